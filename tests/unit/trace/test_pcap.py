"""draft-ietf-opsawg-pcap."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError
from sottovoce.trace.pcap import (
    MAX_PACKET_BYTES,
    CapturedPacket,
    LinkType,
    PcapReader,
    pcap_file_header,
    pcap_record,
    read_pcap,
)

packets = st.lists(
    st.tuples(st.integers(0, 2**31 * 10**6).map(lambda us: us / 10**6), st.binary(max_size=60)),
    max_size=5,
).map(
    lambda found: [
        CapturedPacket(number, at_s, LinkType.RAW, octets, len(octets) + 3)
        for number, (at_s, octets) in enumerate(found, 1)
    ]
)


def written(found: list[CapturedPacket]) -> bytes:
    return pcap_file_header(LinkType.RAW) + b"".join(map(pcap_record, found))


@given(packets)
def test_what_is_written_reads_back_the_same(found: list[CapturedPacket]) -> None:
    assert list(read_pcap(written(found))) == found


@given(packets, st.integers(1, 9))
def test_a_file_may_come_in_pieces_of_any_size(found: list[CapturedPacket], size: int) -> None:
    reader, read = PcapReader(), []
    octets = written(found)
    for start in range(0, len(octets), size):
        reader.receive_bytes(octets[start : start + size])
        while (packet := reader.next_packet()) is not None:
            read.append(packet)
    reader.receive_end()
    assert read == found


@pytest.mark.parametrize(
    ("magic", "order", "ticks_per_s"),
    [
        (b"\xd4\xc3\xb2\xa1", "<", 10**6),
        (b"\xa1\xb2\xc3\xd4", ">", 10**6),
        (b"\x4d\x3c\xb2\xa1", "<", 10**9),
        (b"\xa1\xb2\x3c\x4d", ">", 10**9),
    ],
)
def test_both_byte_orders_and_both_clocks_are_read(
    magic: bytes, order: str, ticks_per_s: int
) -> None:
    header = magic + struct.pack(order + "HHiIII", 2, 4, 0, 0, 65535, LinkType.LINUX_SLL)
    record = struct.pack(order + "IIII", 7, ticks_per_s // 2, 3, 9) + b"abc"

    assert list(read_pcap(header + record)) == [CapturedPacket(1, 7.5, 113, b"abc", 9)]


def test_frame_check_sequence_bits_do_not_hide_the_link_type() -> None:
    header = bytearray(pcap_file_header(LinkType.ETHERNET))
    header[23] = 0x54
    record = pcap_record(CapturedPacket(1, 1.0, LinkType.ETHERNET, b"x", 1))
    assert next(read_pcap(bytes(header) + record)).link_type == LinkType.ETHERNET


def test_cut_off_file_gives_what_was_readable_then_the_offset() -> None:
    whole = [CapturedPacket(n, 1.0, LinkType.RAW, b"abcd", 4) for n in (1, 2)]
    read: list[CapturedPacket] = []
    with pytest.raises(ParseError, match="packet 2 at byte 44 is cut off after 19 bytes"):
        read.extend(read_pcap(written(whole)[:-1]))
    reader = PcapReader()
    reader.receive_bytes(written(whole)[:-1])
    assert reader.next_packet() == whole[0]
    assert reader.next_packet() is None


def test_a_length_that_cannot_be_true_is_found_at_once() -> None:
    record = struct.pack("<IIII", 0, 0, MAX_PACKET_BYTES + 1, 60)
    with pytest.raises(ParseError, match="byte 24 claims 262145 bytes"):
        list(read_pcap(pcap_file_header() + record))


@pytest.mark.parametrize("octets", [b"", b"\xd4\xc3", b"RIFF" * 9, b"\x0a\x0d\x0d\x0a" + bytes(40)])
def test_what_is_not_pcap_is_said_to_be_so(octets: bytes) -> None:
    with pytest.raises(ParseError, match="pcap"):
        list(read_pcap(octets))


@given(st.binary(max_size=200))
def test_any_bytes_give_packets_or_a_parse_error(octets: bytes) -> None:
    for start in (octets, pcap_file_header() + octets):
        with contextlib.suppress(ParseError):
            list(read_pcap(start))
