"""Link layers, IPv4, IPv6, UDP, TCP, cut off and damaged in every way."""

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError
from sottovoce.trace.decode import PacketDecoder, Skipped, UdpDatagram, decode_packet
from sottovoce.trace.event import DatagramSeen, Endpoint, StreamBytesSeen
from sottovoce.trace.pcap import CapturedPacket, LinkType
from sottovoce.trace.tcp_reassembly import TcpSegment

Build = Callable[..., bytes]
IPV4, IPV6, VLAN = b"\x08\x00", b"\x86\xdd", b"\x81\x00\x00\x05"
SIX = Endpoint("2001:db8::1", 1000), Endpoint("2001:db8::2", 2000)


def ipv6_udp(payload: bytes, extensions: bytes = b"", first: int = 17) -> bytes:
    body = extensions + struct.pack("!HHHH", 1000, 2000, 8 + len(payload), 0) + payload
    addresses = bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002")
    return struct.pack("!IHBB", 6 << 28, len(body), first, 64) + addresses + body


@pytest.mark.parametrize(
    ("link_type", "before"),
    [
        (LinkType.ETHERNET, bytes(12) + IPV4),
        (LinkType.ETHERNET, bytes(12) + VLAN + IPV4),
        (LinkType.ETHERNET, bytes(12) + b"\x88\xa8\x00\x01" + VLAN + IPV4),
        (LinkType.RAW, b""),
        (LinkType.RAW_BSD, b""),
        (LinkType.RAW_OPENBSD, b""),
        (LinkType.IPV4, b""),
        (LinkType.NULL, b"\x02\x00\x00\x00"),
        (LinkType.LOOP, b"\x00\x00\x00\x02"),
        (LinkType.LINUX_SLL, bytes(14) + IPV4),
        (LinkType.LINUX_SLL, bytes(14) + VLAN + IPV4),
        (LinkType.LINUX_SLL2, IPV4 + bytes(18)),
    ],
)
def test_a_datagram_is_found_behind_every_link_header(
    link_type: LinkType, before: bytes, udp_packet: Build
) -> None:
    found = decode_packet(link_type, before + udp_packet(b"hello"))
    assert found == UdpDatagram(Endpoint("10.0.0.1", 5060), Endpoint("10.0.0.2", 5062), b"hello")


def test_ethernet_padding_is_not_payload(udp_packet: Build) -> None:
    found = decode_packet(LinkType.RAW, udp_packet(b"hello") + bytes(20))
    assert isinstance(found, UdpDatagram)
    assert found.payload == b"hello"


@pytest.mark.parametrize(
    ("extensions", "first"),
    [
        (b"", 17),
        (b"\x11\x00" + bytes(6), 0),  # hop-by-hop
        (b"\x3c\x01" + bytes(14) + b"\x11\x00" + bytes(6), 43),  # routing, destination options
        (b"\x11\x04" + bytes(22), 51),  # authentication counts in fours
    ],
)
def test_ipv6_extension_headers_are_skipped(extensions: bytes, first: int) -> None:
    found = decode_packet(LinkType.IPV6, ipv6_udp(b"six", extensions, first))
    assert found == UdpDatagram(*SIX, b"six")


def test_endless_ipv6_extensions_end() -> None:
    packet = ipv6_udp(b"", b"\x00\x00" * 4 * 40, 0)
    assert decode_packet(LinkType.IPV6, packet) is Skipped.OTHER_PROTOCOL


def test_fragments_are_left_out(udp_packet: Build) -> None:
    packet = bytearray(udp_packet(b"first part"))
    packet[6] = 0x20  # more fragments
    assert decode_packet(LinkType.RAW, bytes(packet)) is Skipped.FRAGMENT
    packet[6:8] = b"\x00\x05"  # an offset
    assert decode_packet(LinkType.RAW, bytes(packet)) is Skipped.FRAGMENT
    packet[6:8] = b"\x40\x00"  # do not fragment
    assert isinstance(decode_packet(LinkType.RAW, bytes(packet)), UdpDatagram)
    assert decode_packet(LinkType.IPV6, ipv6_udp(b"", bytes(8), 44)) is Skipped.FRAGMENT


def test_what_is_not_for_us_is_named() -> None:
    assert decode_packet(LinkType.ETHERNET, bytes(12) + b"\x08\x06" + bytes(28)) is Skipped.NOT_IP
    assert decode_packet(9999, b"whatever") is Skipped.NOT_IP
    icmp = bytes.fromhex("4500001c00010000400100000a0000010a000002") + bytes(8)
    assert decode_packet(LinkType.RAW, icmp) is Skipped.OTHER_PROTOCOL


@pytest.mark.parametrize("kind", ["udp", "tcp", "ipv6"])
def test_headers_cut_off_anywhere_are_refused(
    kind: str, udp_packet: Build, tcp_packet: Build
) -> None:
    packet, headers_bytes = {
        "udp": (udp_packet(b"hello"), 28),
        "tcp": (tcp_packet(b"hello", 1), 40),
        "ipv6": (ipv6_udp(b"hello"), 48),
    }[kind]
    for size in range(headers_bytes):
        with pytest.raises(ParseError):
            decode_packet(LinkType.RAW, packet[:size])


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 0x44), (0, 0x4F), (3, 10), (25, 7)],
    ids=["header of 16", "header of 60", "total length 10", "UDP length 7"],
)
def test_lengths_that_contradict_each_other_are_refused(
    at: int, value: int, udp_packet: Build
) -> None:
    packet = bytearray(udp_packet(b"hello"))
    packet[at] = value
    with pytest.raises(ParseError):
        decode_packet(LinkType.RAW, bytes(packet))


def test_tcp_data_offset_beyond_the_segment_is_refused(tcp_packet: Build) -> None:
    packet = bytearray(tcp_packet(b"hello", 1))
    packet[32] = 0xF0
    with pytest.raises(ParseError, match="length 60 of 25"):
        decode_packet(LinkType.RAW, bytes(packet))


def test_decoder_counts_what_it_could_not_read(udp_packet: Build, tcp_packet: Build) -> None:
    decoder = PacketDecoder()
    seen = []
    for frame, octets in enumerate(
        [udp_packet(b"one"), b"\x45", tcp_packet(b"two", 7), b"\x00", udp_packet(b"three")], 1
    ):
        packet = CapturedPacket(frame, frame / 10, LinkType.RAW, octets, len(octets))
        seen += decoder.receive_packet(packet)

    ends = Endpoint("10.0.0.1", 5060), Endpoint("10.0.0.2", 5062)
    tcp_ends = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.2", 5060)
    assert seen == [
        DatagramSeen(1, 0.1, *ends, b"one"),
        StreamBytesSeen(3, 0.3, *tcp_ends, b"two", after_gap=True),
        DatagramSeen(5, 0.5, *ends, b"three"),
    ]
    assert (decoder.packets, decoder.packets_damaged) == (5, 1)
    assert decoder.packets_skipped == {Skipped.NOT_IP: 1}


@given(st.sampled_from([*LinkType, 4711]), st.binary(max_size=120))
def test_any_bytes_decode_or_are_a_parse_error(link_type: int, octets: bytes) -> None:
    with contextlib.suppress(ParseError):
        decode_packet(link_type, octets)


@given(st.data())
def test_any_damage_to_a_real_packet_decodes_or_is_a_parse_error(data: st.DataObject) -> None:
    packet = bytearray(ipv6_udp(b"hello", b"\x11\x00" + bytes(6), 0))
    for _ in range(data.draw(st.integers(1, 6))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_packet(LinkType.RAW, bytes(packet[: data.draw(st.integers(0, 70))]))
    except ParseError:
        return
    assert isinstance(found, UdpDatagram | TcpSegment | Skipped)
