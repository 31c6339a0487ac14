"""RTCP packets and compounds of them.  RFC 3550 section 6.

Each packet begins with ``|V=2|P| count |  packet type | length in words - 1 |``.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ..errors import ParseError

SDES_ITEM_LIMIT_BYTES = 255  # the length field has eight bits
_HEADER = struct.Struct("!BBH")
_WORD = struct.Struct("!I")
_SENDER_INFO = struct.Struct("!IIIII")
_REPORT_BLOCK = struct.Struct("!IB3sIIII")
_COUNT_LIMIT = 31  # the count field has five bits


class RtcpType(IntEnum):
    """Packet types (section 12.1)."""

    SR = 200
    RR = 201
    SDES = 202
    BYE = 203
    APP = 204


class SdesItem(IntEnum):
    """Item types of a source description (section 12.2)."""

    END = 0
    CNAME = 1
    NAME = 2
    EMAIL = 3
    PHONE = 4
    LOC = 5
    TOOL = 6
    NOTE = 7
    PRIV = 8


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one source is received (section 6.4.1)."""

    ssrc: int
    "The source reported on."

    fraction_lost: int
    "Of 256, since the report before."

    cumulative_lost: int
    "24 bits, signed."

    extended_highest_sequence: int

    jitter_ticks: int

    last_sr: int
    "Middle 32 bits of the NTP timestamp of the last SR received; 0 before one."

    delay_since_last_sr: int
    "In 1/65536 s; 0 before an SR."


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (section 6.4.1)."""

    ssrc: int
    ntp_timestamp: int
    "64 bits: seconds and 1/2**32 s of the sender's clock."

    rtp_timestamp: int
    "The same instant in timestamp units."

    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (section 6.4.2)."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (section 6.5): for each source its items as (type, value)."""

    chunks: tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """BYE (section 6.6)."""

    sources: tuple[int, ...]
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class App:
    """APP (section 6.7)."""

    subtype: int
    ssrc: int
    name: bytes
    "Four octets."

    data: bytes = b""
    "Whole words."


@dataclass(frozen=True, slots=True)
class UnknownRtcp:
    """A packet of a type that this module does not read (feedback, XR, ...)."""

    packet_type: int
    count: int
    body: bytes


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Bye | App | UnknownRtcp


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """Read one datagram, checked as section A.2 says.

    Raises:
        ParseError: A length or count does not fit, or the first packet is not an SR or
            RR (reduced-size RTCP, RFC 5506, is never negotiated here).

    """
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(data):
        if start + 4 > len(data):
            raise ParseError(f"RTCP: {len(data) - start} octets are left, a header has 4")
        first, packet_type, words = _HEADER.unpack_from(data, start)
        end = start + 4 * (words + 1)
        if first >> 6 != 2:
            raise ParseError(f"RTCP: version {first >> 6} at octet {start}, expected 2")
        if end > len(data):
            raise ParseError(f"RTCP: packet of {end - start} octets in {len(data) - start}")
        if not packets and packet_type not in (RtcpType.SR, RtcpType.RR):
            raise ParseError(f"RTCP: first packet has type {packet_type}, expected SR or RR")
        body = data[start + 4 : end]
        if first & 0x20:
            if end != len(data):
                raise ParseError(f"RTCP: padding at octet {start}, before the last packet")
            padding_bytes = body[-1] if body else 0
            if padding_bytes % 4 or not 0 < padding_bytes <= len(body):
                raise ParseError(f"RTCP: {padding_bytes} octets of padding in {len(body)}")
            body = body[:-padding_bytes]
        packets.append(_parse_body(packet_type, first & 0x1F, body))
        start = end
    if not packets:
        raise ParseError("RTCP: empty")
    return packets


def serialize_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """Return one datagram; the caller keeps the order of section 6.1."""
    return b"".join(_serialize(packet) for packet in packets)


def _parse_body(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    match packet_type:
        case RtcpType.SR:
            _need(body, _SENDER_INFO.size + 4 + count * _REPORT_BLOCK.size, "SR")
            ssrc = _WORD.unpack_from(body)[0]
            high, low, rtp_timestamp, packet_count, octet_count = _SENDER_INFO.unpack_from(body, 4)
            return SenderReport(
                ssrc,
                high << 32 | low,
                rtp_timestamp,
                packet_count,
                octet_count,
                _parse_reports(body, 4 + _SENDER_INFO.size, count),
            )
        case RtcpType.RR:
            _need(body, 4 + count * _REPORT_BLOCK.size, "RR")
            return ReceiverReport(_WORD.unpack_from(body)[0], _parse_reports(body, 4, count))
        case RtcpType.SDES:
            return _parse_description(body, count)
        case RtcpType.BYE:
            _need(body, 4 * count, "BYE")
            rest = body[4 * count :]
            if rest and rest[0] > len(rest) - 1:
                raise ParseError(f"RTCP: BYE reason of {rest[0]} octets in {len(rest) - 1}")
            reason = rest[1 : 1 + rest[0]] if rest else b""
            return Bye(struct.unpack_from(f"!{count}I", body), reason)
        case RtcpType.APP:
            _need(body, 8, "APP")
            return App(count, _WORD.unpack_from(body)[0], body[4:8], body[8:])
        case _:
            return UnknownRtcp(packet_type, count, body)


def _need(body: bytes, size: int, name: str) -> None:
    if len(body) < size:
        raise ParseError(f"RTCP: {name} of {len(body)} octets, its counts ask for {size}")


def _parse_reports(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    reports = []
    for at in range(start, start + count * _REPORT_BLOCK.size, _REPORT_BLOCK.size):
        ssrc, fraction, lost, highest, jitter, last_sr, delay = _REPORT_BLOCK.unpack_from(body, at)
        cumulative = int.from_bytes(lost, "big", signed=True)
        reports.append(ReportBlock(ssrc, fraction, cumulative, highest, jitter, last_sr, delay))
    return tuple(reports)


def _parse_description(body: bytes, count: int) -> SourceDescription:
    chunks = []
    at = 0
    for _ in range(count):
        _need(body, at + 4, "SDES")
        ssrc = _WORD.unpack_from(body, at)[0]
        at += 4
        items = []
        while True:
            _need(body, at + 1, "SDES")
            item_type = body[at]
            if item_type == SdesItem.END:
                break
            _need(body, at + 2, "SDES")
            size = body[at + 1]
            _need(body, at + 2 + size, "SDES")
            items.append((item_type, body[at + 2 : at + 2 + size]))
            at += 2 + size
        at += 4 - at % 4  # one to four zero octets up to the next word
        chunks.append((ssrc, tuple(items)))
    return SourceDescription(tuple(chunks))


def _serialize(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport():
            body = _WORD.pack(packet.ssrc) + _SENDER_INFO.pack(
                packet.ntp_timestamp >> 32,
                packet.ntp_timestamp & 0xFFFF_FFFF,
                packet.rtp_timestamp,
                packet.packet_count,
                packet.octet_count,
            )
            body += _serialize_reports(packet.reports)
            return _frame(RtcpType.SR, len(packet.reports), body)
        case ReceiverReport():
            body = _WORD.pack(packet.ssrc) + _serialize_reports(packet.reports)
            return _frame(RtcpType.RR, len(packet.reports), body)
        case SourceDescription():
            body = b"".join(_serialize_chunk(ssrc, items) for ssrc, items in packet.chunks)
            return _frame(RtcpType.SDES, len(packet.chunks), body)
        case Bye():
            body = struct.pack(f"!{len(packet.sources)}I", *packet.sources)
            if packet.reason:
                body += bytes((len(packet.reason),)) + packet.reason
            return _frame(RtcpType.BYE, len(packet.sources), body + bytes(-len(body) % 4))
        case App():
            body = _WORD.pack(packet.ssrc) + packet.name + packet.data
            return _frame(RtcpType.APP, packet.subtype, body)
        case UnknownRtcp():
            return _frame(packet.packet_type, packet.count, packet.body)


def _serialize_reports(reports: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _REPORT_BLOCK.pack(
            block.ssrc,
            block.fraction_lost,
            block.cumulative_lost.to_bytes(3, "big", signed=True),
            block.extended_highest_sequence,
            block.jitter_ticks,
            block.last_sr,
            block.delay_since_last_sr,
        )
        for block in reports
    )


def _serialize_chunk(ssrc: int, items: tuple[tuple[int, bytes], ...]) -> bytes:
    body = _WORD.pack(ssrc)
    for item_type, value in items:
        body += bytes((item_type, len(value))) + value
    return body + bytes(4 - len(body) % 4)


def _frame(packet_type: int, count: int, body: bytes) -> bytes:
    if count > _COUNT_LIMIT or len(body) % 4:
        raise ValueError(f"RTCP type {packet_type}: {count} parts, {len(body)} octets")
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
