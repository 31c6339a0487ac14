"""RFC 3550 section 6."""

import pytest

from sottovoce.errors import ParseError
from sottovoce.rtp.rtcp import (
    App,
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    UnknownRtcp,
    parse_compound,
    serialize_compound,
)

EMPTY_RR = bytes.fromhex("80c9 0001 00000001")
BLOCK = ReportBlock(0x12345678, 64, -3, 0x00021234, 77, 0xAABBCCDD, 65536)


def test_sender_report_is_laid_out_as_the_rfc_draws_it() -> None:
    report = SenderReport(0xDEADBEEF, 0x0102030405060708, 160, 5, 800, (BLOCK,))

    assert serialize_compound([report]) == bytes.fromhex(
        "81c8 000c deadbeef 01020304 05060708 000000a0 00000005 00000320"
        "12345678 40 fffffd 00021234 0000004d aabbccdd 00010000"
    )


def test_description_pads_each_chunk_to_a_word_with_at_least_one_zero() -> None:
    description = SourceDescription(((1, ((1, b"ab"),)),))

    assert serialize_compound([description]) == bytes.fromhex(
        "81ca 0003 00000001 0102 6162 00000000"
    )


@pytest.mark.parametrize(
    "packet",
    [
        SenderReport(1, 2, 3, 4, 5, (BLOCK, BLOCK)),
        ReceiverReport(1, (BLOCK,) * 31),
        SourceDescription(((1, ((1, b"a" * 255), (6, b""))), (2, ()))),
        Bye((1, 2), b"goodbye"),
        Bye((), b""),
        App(5, 1, b"test", b"12345678"),
        UnknownRtcp(205, 1, bytes(12)),
    ],
)
def test_what_is_built_is_read_back(packet: RtcpPacket) -> None:
    data = EMPTY_RR + serialize_compound([packet])

    assert parse_compound(data) == [ReceiverReport(1), packet]


def test_padding_of_the_last_packet_is_taken_off() -> None:
    padded_bye = bytes.fromhex("a1cb 0002 00000001 00000004")

    assert parse_compound(EMPTY_RR + padded_bye)[1] == Bye((1,))


@pytest.mark.rfc("rfc3550", 7, 15)
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "empty"),
        (EMPTY_RR[:3], "3 octets are left"),
        (b"\x40" + EMPTY_RR[1:], "version 1"),
        (EMPTY_RR + EMPTY_RR[:6], "packet of 8 octets in 6"),
        (bytes.fromhex("81c9 0001 00000001"), "RR of 4 octets"),
        (bytes.fromhex("80c8 0001 00000001"), "SR of 4 octets"),
        (bytes.fromhex("81cb 0001 00000001"), "first packet has type 203"),
        (EMPTY_RR + bytes.fromhex("81ca 0001 00000001"), "SDES of 4 octets"),
        (EMPTY_RR + bytes.fromhex("81ca 0002 00000001 01ff6162"), "SDES of 8 octets"),
        (EMPTY_RR + bytes.fromhex("82cb 0001 00000001"), "BYE of 4"),
        (EMPTY_RR + bytes.fromhex("81cb 0002 00000001 ff616263"), "reason of 255 octets in 3"),
        (EMPTY_RR + bytes.fromhex("80cc 0001 00000001"), "APP of 4"),
        (bytes.fromhex("a0c9 0001 00000001") + EMPTY_RR, "padding at octet 0"),
        (EMPTY_RR + bytes.fromhex("a0c9 0001 00000003"), "3 octets of padding"),
        (EMPTY_RR + bytes.fromhex("a0c9 0001 00000008"), "8 octets of padding"),
        (EMPTY_RR + bytes.fromhex("a0c9 0000"), "0 octets of padding"),
    ],
)
def test_compound_that_lies_about_its_parts_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ParseError, match=complaint):
        parse_compound(data)


def test_more_report_blocks_than_the_count_field_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="32 parts"):
        serialize_compound([ReceiverReport(1, (BLOCK,) * 32)])
