"""RFC 3261 sections 7 and 18.3; TRAPS 15."""

import pytest

from sottovoce.errors import ParseError
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import (
    MAX_BODY_BYTES,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    parse_message,
    salvage,
)

HEADERS = [
    b"Via: SIP/2.0/UDP host.example.com;branch=z9hG4bK1",
    b"From: <sip:alice@example.com>;tag=1",
    b"To: <sip:bob@example.com>",
    b"Call-ID: 1@example.com",
    b"CSeq: 1 OPTIONS",
    b"Max-Forwards: 70",
]


def message(
    *more: bytes,
    start: bytes = b"OPTIONS sip:bob@example.com SIP/2.0",
    headers: list[bytes] = HEADERS,
    body: bytes = b"",
) -> bytes:
    return b"\r\n".join([start, *headers, *more, b"", body])


def without(name: bytes) -> list[bytes]:
    return [line for line in HEADERS if not line.startswith(name)]


def refusal(data: bytes) -> int:
    with pytest.raises(ParseError) as refused:
        parse_message(data)
    return refused.value.status_hint


def test_request_in_parts() -> None:
    request = parse_message(message(b"Content-Length: 2", body=b"ab"))
    assert isinstance(request, Request)
    assert (request.method, request.request_uri) == ("OPTIONS", "sip:bob@example.com")
    assert (request.from_.tag, request.call_id, request.cseq.number) == ("1", "1@example.com", 1)
    assert (request.max_forwards, request.body) == (70, b"ab")


def test_response_in_parts() -> None:
    response = parse_message(message(start=b"SIP/2.0 200 \xd0\x9e\xd0\x9a \xff"))
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (200, "ОК \udcff")
    assert (
        response.with_added("X", "y")
        .to_bytes()
        .startswith(b"SIP/2.0 200 \xd0\x9e\xd0\x9a \xff\r\n")
    )


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
def test_leading_line_ends_are_skipped_and_the_rest_is_kept_octet_for_octet() -> None:
    data = message(b"X :  y ", b"sUBJECT: a\r\n\tb", b"l: 0")
    assert parse_message(b"\r\n\r\n" + data).to_bytes() == data


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
@pytest.mark.rfc("rfc4475-5118", 7)
def test_content_length_and_the_datagram() -> None:
    assert parse_message(message(body=b"all of it")).body == b"all of it"
    longer = message(b"Content-Length: 2", body=b"abINVITE sip:smuggled SIP/2.0\r\n")
    assert parse_message(longer).body == b"ab"
    assert parse_message(longer).to_bytes().endswith(b"\r\n\r\nab")
    assert refusal(message(b"Content-Length: 5", body=b"ab")) == 400


@pytest.mark.parametrize("length", [b"-999", b"+1", b"0x1", b"1,1", b"1 1", b"", b"9" * 5000])
def test_content_length_that_is_no_length_is_refused(length: bytes) -> None:
    assert refusal(message(b"Content-Length: " + length)) == 400


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"OPTIONS sip:b SIP/7.0", 505),
        (b"OPTIONS sip:b SIP/2.1", 505),
        (b"OPTIONS sip:b SIP/2.00", 505),
        (b"SIP/3.0 200 OK", 505),
        (b"OPTIONS  sip:b SIP/2.0", 400),
        (b"OPTIONS sip:b  SIP/2.0", 400),
        (b"OPTIONS sip:b SIP/2.0 ", 400),
        (b" OPTIONS sip:b SIP/2.0", 400),
        (b"OPTIONS sip:b; lr SIP/2.0", 400),
        (b"OPTIONS <sip:b> SIP/2.0", 400),
        (b"OPTIONS sip:b", 400),
        (b"OPTIONS sip:b HTTP/1.1", 400),
        (b"OPT(IONS sip:b SIP/2.0", 400),
        (b"OPTIONS sip:b\xc3\xa4 SIP/2.0", 400),
        (b"SIP/2.0 099 Low", 400),
        (b"SIP/2.0 700 High", 400),
        (b"SIP/2.0 4294967301 Huge", 400),
        (b"SIP/2.0 20 Short", 400),
        (b"", 400),
    ],
)
def test_start_line_is_exact(start: bytes, status: int) -> None:
    assert refusal(message(start=start)) == status


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b"From: <sip:a@b>;tag=7", "7"),
        (b"From:<sip:a@b> ;x;tag=7", "7"),
        (b'f : "A\\" B"\r\n <sip:a@b>\r\n ;tag=7', "7"),
        (b"From: sip:a@b;tag=7", "7"),
        (b"From: <sip:a@b;tag=7>", None),
    ],
)
def test_from_is_read_the_same_however_it_is_written(line: bytes, tag: str | None) -> None:
    read = parse_message(message(line, headers=without(b"From"))).from_
    assert (read.uri.partition(";")[0], read.tag) == ("sip:a@b", tag)


@pytest.mark.rfc("rfc3261-ua-transactions", 14)
@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_headers_every_element_needs(name: bytes) -> None:
    assert refusal(message(headers=without(name))) == 400
    start = b"SIP/2.0 200 OK"
    assert refusal(message(headers=without(name), start=start)) == 400


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        (b"Via", b"Via: SIP/2.0/UDP host;;,;,,"),
        (b"Via", b"Via: ,"),
        (b"From", b"From: Bell, Alexander <sip:a@b>;tag=1"),
        (b"To", b'To: "Mr. J. User <sip:j.user@example.com>'),
        (b"From", b"From: <sip:a@b>;tag=1;x=1;X=2"),
        (b"To", b"To: <sip:a@b>;tag=1;;"),
        (b"To", b"To: sip:a@b;tag=1;tag=2"),
        (b"Call-ID", b"Call-ID: "),
        (b"CSeq", b"CSeq: 4294967296 OPTIONS"),
        (b"Max-Forwards", b"Max-Forwards: many"),
    ],
)
def test_headers_every_element_reads_are_read_here(name: bytes, broken: bytes) -> None:
    assert refusal(message(broken, headers=without(name))) == 400


@pytest.mark.rfc("rfc3261-ua-transactions", 14)
@pytest.mark.rfc("rfc4475-5118", 2)
def test_method_of_cseq_is_that_of_the_start_line() -> None:
    assert refusal(message(start=b"INVITE sip:b SIP/2.0")) == 400
    assert refusal(message(start=b"NEWMETHOD sip:b SIP/2.0")) == 501
    assert parse_message(message(start=b"SIP/2.0 200 OK")).cseq.method == "OPTIONS"


# Header smuggling: what two elements might read in two ways


@pytest.mark.parametrize(
    "again",
    [
        b"Call-ID: 2",
        b"i: 2",
        b"CALL-ID : 2",
        b"t: <sip:x>",
        b"F\t: <sip:x>",
        b"CSeq: 1 OPTIONS",
        b"Max-Forwards: 70",
    ],
)
def test_single_headers_stand_once_however_spelled(again: bytes) -> None:
    assert refusal(message(again)) == 400


@pytest.mark.parametrize("again", [b"l: 0", b"Content-length :0", b"Content-Length: 0"])
def test_content_length_stands_once_even_with_equal_values(again: bytes) -> None:
    assert refusal(message(b"Content-Length: 0", again)) == 400


def test_space_before_the_colon_hides_no_header() -> None:
    request = parse_message(message(b"Route \t: <sip:hidden;lr>", b"rOuTe: <sip:seen;lr>"))
    assert [route.uri for route in request.routes] == ["sip:hidden;lr", "sip:seen;lr"]
    assert "route" not in request.without("Route")
    assert b"hidden" not in request.without("Route").to_bytes()


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\nRoute: <sip:evil>",
        b"X: a\rRoute: <sip:evil>",
        b"X: a\n\r b",
        b"X: a\0b",
        b"no colon",
        b"Route",
        b"v",
        b": no name",
        b"two words: x",
        b"n\xc3\xa4me: x",
        b"na\x0bme: x",
        b"X\r\n : folded before the colon",
    ],
)
def test_lines_another_parser_may_split_elsewhere_are_refused(line: bytes) -> None:
    assert refusal(message(line)) == 400


def test_fold_right_behind_the_start_line_is_refused() -> None:
    assert refusal(message(headers=[b" X: y", *HEADERS])) == 400


def test_escaped_header_name_is_another_header() -> None:
    """RFC 4475 section 3.1.1.5."""
    assert parse_message(message(b"C%6Fntact: <sip:a@b>")).contacts == []


def test_unicode_line_ends_and_spaces_are_text() -> None:
    request = parse_message(message("X: a\u2028Route: b\x85\xa0".encode()))
    assert request.routes == []
    assert request.value("x") == "a\u2028Route: b\x85\xa0"


# Limits


def test_limits_are_answered_513() -> None:
    fields = [b"Q: y"] * (MAX_FIELDS - len(HEADERS))
    assert parse_message(message(*fields))
    assert refusal(message(*fields, b"Q: y")) == 513
    assert parse_message(message(b"X: " + b"y" * (MAX_LINE_BYTES - 3)))
    assert refusal(message(b"X: " + b"y" * (MAX_LINE_BYTES - 2))) == 513
    assert refusal(message(b"X: " + b"y\r\n " * (MAX_LINE_BYTES // 4))) == 513
    assert refusal(message(*[b"Q: " + b"y" * 8000] * 5)) == 513
    assert refusal(b"x" * (MAX_HEAD_BYTES + 5)) == 513
    assert parse_message(message(body=b"x" * MAX_BODY_BYTES))
    assert refusal(message(body=b"x" * (MAX_BODY_BYTES + 1))) == 513


# Salvage


@pytest.mark.rfc("rfc3261-ua-transactions", 14)
def test_broken_request_can_still_be_answered() -> None:
    request = salvage(message(b"Call-ID: 2", b"broken", b"v: SIP/2.0/TCP second"))
    assert request is not None
    response = Response.to_request(request, 400, to_tag="9")
    assert parse_message(response.to_bytes()).to.tag == "9"
    assert [via.host for via in response.vias] == ["host.example.com", "second"]
    assert response.values("call-id") == ["1@example.com"]


def test_header_that_cannot_be_read_is_echoed_as_it_came() -> None:
    broken = b'To: "Mr. J. User <sip:j.user@example.com>'
    request = salvage(message(broken, headers=without(b"To")))
    assert request is not None
    assert broken + b"\r\n" in Response.to_request(request, 400, to_tag="9").to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        message(start=b"ACK sip:b SIP/1.0"),
        message(start=b"SIP/1.0 200 OK"),
        message(start=b""),
        message(headers=without(b"Via")),
        message(headers=without(b"Call-ID")),
        message(b"Via: ;", headers=without(b"Via")),
        message(b"To: <sip:b>\nX: y", headers=without(b"To")),
        b"",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_cannot_or_must_not_be_answered_is_not(data: bytes) -> None:
    assert salvage(data) is None
