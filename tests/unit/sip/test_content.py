"""RFC 3261 section 7.4, RFC 2046 section 5.1."""

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.sip.content import MAX_PARTS, find_sdp
from sottovoce.sip.message import Request

SDP = b"v=0\r\ns=-\r\n"


def message(content_type: str, body: bytes) -> Request:
    fields = [("Content-Type", content_type)] if content_type else []
    return Request.make("INVITE", "sip:h", fields, body)


def test_body_that_is_a_description_is_found_in_any_spelling() -> None:
    assert find_sdp(message("application/sdp", SDP)) == SDP
    assert find_sdp(message("Application/SDP ; charset=utf-8", SDP)) == SDP
    assert find_sdp(message("text/plain", SDP)) is None
    assert find_sdp(message("", SDP)) is None
    assert find_sdp(message("application/sdp", b"")) is None


def test_description_is_found_among_other_parts() -> None:
    body = (
        b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1  \r\n"
        b"Content-ID: <x>\r\ncontent-type :application/SDP;x=y\r\n\r\n" + SDP + b"\r\n--b1--\r\n"
        b"--b1\r\nContent-Type: application/sdp\r\n\r\nepilogue\r\n"
    )
    assert find_sdp(message("multipart/mixed;boundary=b1", body)) == SDP
    assert find_sdp(message('multipart/mixed; Boundary="b1"', body)) == SDP
    assert find_sdp(message("multipart/mixed;boundary=b2", body)) is None
    assert find_sdp(message("multipart/mixed", body)) is None
    assert find_sdp(message("multipart/mixed;boundary=;;", body)) is None


def test_what_stands_behind_the_last_part_is_no_part() -> None:
    body = b"--b\r\n\r\nx\r\n--b--\r\n--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP
    assert find_sdp(message("multipart/mixed;boundary=b", body)) is None


def test_part_in_an_encoding_is_passed_over() -> None:
    head = b"--b\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: "
    for encoding, found in ((b"base64", None), (b"binary", SDP), (b"8bit", SDP)):
        body = head + encoding + b"\r\n\r\n" + SDP + b"\r\n--b--"
        assert find_sdp(message("multipart/mixed;boundary=b", body)) == found


def test_parts_are_bounded() -> None:
    part = b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx"
    sdp = b"\r\n--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b--"
    mixed = "multipart/mixed;boundary=b"
    assert find_sdp(message(mixed, part * (MAX_PARTS - 1) + sdp)) == SDP
    assert find_sdp(message(mixed, part * (MAX_PARTS + 1) + sdp)) is None


@given(st.binary(max_size=200))
def test_no_body_makes_it_fail(body: bytes) -> None:
    for text in ("multipart/mixed;boundary=b", 'multipart/mixed;boundary="\\"'):
        find_sdp(message(text, body + b"\r\n--b" + body))
