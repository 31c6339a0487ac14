"""RFC 3550 section 5.1."""

import pytest

from sottovoce.errors import ParseError
from sottovoce.rtp import RtpPacket, is_rtcp

PLAIN = bytes.fromhex("8000 0001 0000 00a0 decafbad") + b"payload"


def test_plain_packet_is_read_field_by_field() -> None:
    packet = RtpPacket.parse(PLAIN)

    assert packet == RtpPacket(0, 1, 160, 0xDECAFBAD, b"payload")
    assert packet.serialize() == PLAIN


def test_marker_is_told_from_the_payload_type() -> None:
    packet = RtpPacket.parse(b"\x80\xe5" + PLAIN[2:])

    assert (packet.marker, packet.payload_type) == (True, 101)


@pytest.mark.rfc("rfc3550", 1)
def test_csrc_extension_and_padding_are_taken_off_the_payload() -> None:
    data = (
        bytes.fromhex("b2 08 ffff ffffffff 00000001")
        + bytes.fromhex("0000000a 0000000b")  # two CSRC
        + bytes.fromhex("bede 0001 10aa0000")  # one word of extension
        + b"voice"
        + b"\0\0\x03"
    )
    packet = RtpPacket.parse(data)

    assert packet.payload == b"voice"
    assert packet.csrc == (10, 11)
    assert packet.extension == (0xBEDE, bytes.fromhex("10aa0000"))
    assert packet.padding_bytes == 3
    assert packet.serialize() == data


@pytest.mark.rfc("rfc3550", 15)
def test_packet_of_nothing_but_padding_has_an_empty_payload() -> None:
    packet = RtpPacket.parse(b"\xa0" + PLAIN[1:12] + bytes(223) + b"\xe0")

    assert packet.payload == b""
    assert packet.padding_bytes == 224


@pytest.mark.rfc("rfc3550", 1, 3)
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "0 octets"),
        (PLAIN[:11], "11 octets"),
        (b"\x40" + PLAIN[1:], "version 1"),
        (b"\xc0" + PLAIN[1:], "version 3"),
        (b"\x8f" + PLAIN[1:], "15 CSRC"),
        (b"\x90" + PLAIN[1:15], "extension header"),
        (b"\x90" + PLAIN[1:12] + b"\xbe\xde\xff\xff", "65535 words"),
        (b"\xa0" + PLAIN[1:12], "padding"),  # the last octet of the header is no count
        (b"\xa0" + PLAIN[1:12] + b"\0", "0 octets of padding"),
        (b"\xa0" + PLAIN[1:12] + b"ab\x04", "4 octets of padding in 3"),
    ],
)
def test_packet_that_lies_about_its_parts_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ParseError, match=complaint):
        RtpPacket.parse(data)


def test_more_csrc_than_the_count_field_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="16 CSRC"):
        RtpPacket(0, 0, 0, 0, b"", csrc=(0,) * 16).serialize()


def test_extension_of_half_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="not whole words"):
        RtpPacket(0, 0, 0, 0, b"", extension=(0, b"ab")).serialize()


@pytest.mark.rfc("rfc3550", 11)
def test_rtcp_is_told_from_rtp_by_its_packet_type() -> None:
    assert is_rtcp(bytes([0x80, 200]))
    assert is_rtcp(bytes([0x81, 205]))
    assert not is_rtcp(PLAIN)
    assert not is_rtcp(bytes([0x80, 0x80 | 101]))
    assert not is_rtcp(b"\x80")
