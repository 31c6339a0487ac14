"""RFC 3261 sections 7 and 8.2.6."""

import pytest

from sottovoce.errors import LocalError, ParseError
from sottovoce.sip.field_names import canonical_name, wire_name
from sottovoce.sip.header_values import Via
from sottovoce.sip.message import Request, Response, field
from sottovoce.sip.parser import parse_message

FIELDS = [
    ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2"),
    ("v", "SIP/2.0/UDP c;branch=z9hG4bK3"),
    ("Max-Forwards", "70"),
    ("Record-Route", "<sip:p1;lr>"),
    ("f", "<sip:alice@a>;tag=1"),
    ("To", "<sip:bob@b>"),
    ("Call-ID", "1@a"),
    ("CSeq", "1 INVITE"),
    ("X-Odd", "  kept,as;it is "),
    ("Timestamp", "54"),
]


def invite(*more: tuple[str, str], body: bytes = b"") -> Request:
    return Request.make("INVITE", "sip:bob@b", [*FIELDS, *more], body)


def names(message: Request | Response) -> list[str]:
    return [name for name, _ in message.fields]


def test_names_are_found_in_any_spelling() -> None:
    request = invite(("m", "<sip:alice@a:5070>"), ("CONTACT", "<sip:alice@c>"))
    assert request.value("From") == request.value("f") == "<sip:alice@a>;tag=1"
    assert request.values("Contact") == ["<sip:alice@a:5070>", "<sip:alice@c>"]
    assert [each.uri for each in request.contacts] == ["sip:alice@a:5070", "sip:alice@c"]
    assert "Contact" in request
    assert "route" not in request
    assert request.value("route") is None
    assert request.items("route") == []
    assert request.routes == []


def test_items_run_across_fields() -> None:
    assert [Via.parse(each).host for each in invite().items("via")] == ["a", "b", "c"]
    assert [via.host for via in invite().vias] == ["a", "b", "c"]
    assert invite().top_via.host == "a"


def test_missing_headers() -> None:
    request = Request.make("OPTIONS", "sip:b", [])
    assert (request.max_forwards, request.expires, request.content_type) == (None, None, "")
    for header in ("top_via", "from_", "to", "cseq", "call_id"):
        with pytest.raises(ParseError, match="missing"):
            getattr(request, header)


def test_numbers_beyond_reason_are_cut() -> None:
    """RFC 4475 section 3.1.2.4."""
    request = Request.make(
        "REGISTER", "sip:b", [("Max-Forwards", "300"), ("Expires", "1" + "0" * 99)]
    )
    assert (request.max_forwards, request.expires) == (255, 2**32 - 1)


def test_media_type_without_its_parameters() -> None:
    request = invite(("c", "Multipart/Mixed ; boundary=x"))
    assert (request.content_type, request.media_type) == (
        "Multipart/Mixed ; boundary=x",
        "multipart/mixed",
    )


@pytest.mark.rfc("rfc4475-5118", 2)
def test_request_uri_with_headers_is_refused() -> None:
    with pytest.raises(ParseError) as refused:
        invite().with_request_uri("sip:b?Route=%3Csip:c%3E").uri  # noqa: B018
    assert refused.value.status_hint == 400


# Changed copies


def test_a_new_field_goes_above_its_kind_or_above_all() -> None:
    assert invite().with_top("Record-Route", "<sip:p2;lr>").values("record-route") == [
        "<sip:p2;lr>",
        "<sip:p1;lr>",
    ]
    assert names(invite().with_top("Route", "<sip:p2;lr>"))[0] == "route"
    assert invite().with_top("Via", "SIP/2.0/TLS p;branch=z9hG4bK9").top_via.host == "p"


def test_only_the_first_item_of_the_first_field_is_taken_away() -> None:
    request = invite()
    request.top_via  # noqa: B018 - now it is cached
    once = request.without_top_item("Via")
    twice = once.without_top_item("via")
    assert once.values("via") == ["SIP/2.0/UDP b;branch=z9hG4bK2", "SIP/2.0/UDP c;branch=z9hG4bK3"]
    assert once.top_via.host == "b"
    assert twice.top_via.host == "c"
    assert twice.without_top_item("via").items("via") == []
    with pytest.raises(ParseError):
        twice.without_top_item("via").without_top_item("via")
    assert request.top_via.host == "a"


def test_marked_via_takes_the_place_of_the_first_item() -> None:
    via = Via("UDP", "a", None, {"branch": "z9hG4bK1", "received": "192.0.2.1"})
    marked = invite().with_replaced_top_via(via)
    assert marked.top_via == marked.vias[0] == via
    assert [each.host for each in marked.vias] == ["a", "b", "c"]
    assert marked.to_bytes().count(b"received=192.0.2.1") == 1


def test_replaced_header_stands_once_in_the_first_ones_place() -> None:
    request = invite(("Route", "<sip:x;lr>"), ("Route", "<sip:y;lr>"))
    request.routes  # noqa: B018 - now they are cached
    changed = request.with_replaced("Route", "<sip:z;lr>")
    assert [route.uri for route in changed.routes] == ["sip:z;lr"]
    assert names(changed).index("route") == names(request).index("route")
    assert invite().with_replaced("Route", "<sip:z;lr>").values("route") == ["<sip:z;lr>"]
    assert invite().with_replaced("max-forwards", "69").max_forwards == 69


def test_removed_header_is_gone_in_every_spelling() -> None:
    request = invite(("Proxy-Authorization", "a"), ("PROXY-AUTHORIZATION", "b"))
    assert "proxy-authorization" not in request.without("Proxy-Authorization")


def test_copies_leave_the_original_alone() -> None:
    request = invite()
    before = request.to_bytes()
    request.with_top("Via", "x").with_added("X", "y").without("to").with_body(b"z")
    request.with_request_uri("sip:other")
    assert request.to_bytes() == before


@pytest.mark.rfc("rfc3261-registrar-proxy", 24)
def test_unknown_headers_and_order_survive_a_proxy() -> None:
    raw = (
        b"INVITE sip:b SIP/2.0\r\nX-Odd :  a;;,,\r\n  folded\r\n"
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
        b"t: <sip:b>\r\nFROM: \xff\xfe <sip:a>;tag=1\r\ni: 1\r\nCSeq: 1 INVITE\r\nl: 3\r\n\r\nabc"
    )
    forwarded = parse_message(raw).with_top("Via", "SIP/2.0/TLS p;branch=z9hG4bK2")
    new_line = b"Via: SIP/2.0/TLS p;branch=z9hG4bK2\r\n"
    at = raw.index(b"Via:")
    assert forwarded.to_bytes() == raw[:at] + new_line + raw[at:]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX: y", "a\0"])
def test_a_value_cannot_bring_headers_of_its_own(value: str) -> None:
    with pytest.raises(LocalError):
        field("Subject", value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\n", "ä"])
def test_a_header_name_is_a_token(name: str) -> None:
    with pytest.raises(LocalError):
        field(name, "x")


@pytest.mark.parametrize(("method", "uri"), [("A B", "sip:b"), ("A", "sip:b c"), ("A", "sip:\r\n")])
def test_a_start_line_cannot_be_broken(method: str, uri: str) -> None:
    with pytest.raises(LocalError):
        Request.make(method, uri, [])
    with pytest.raises(LocalError):
        Response.make(200, "OK\r\nX: y", [])
    with pytest.raises(LocalError):
        Response.make(99, "", [])
    with pytest.raises(LocalError):
        invite().with_request_uri("sip:a b")


# Writing


@pytest.mark.parametrize("given_length", [[], [("Content-Length", "99")], [("l", "0"), ("L", "1")]])
def test_content_length_is_made_right(given_length: list[tuple[str, str]]) -> None:
    written = Request.make("INFO", "sip:b", [*given_length, ("Subject", "x")], b"body").to_bytes()
    assert written == b"INFO sip:b SIP/2.0\r\nSubject: x\r\nContent-Length: 4\r\n\r\nbody"


def test_changed_body_changes_its_length() -> None:
    raw = invite(body=b"12345").to_bytes()
    assert b"Content-Length: 2\r\n\r\nab" in parse_message(raw).with_body(b"ab").to_bytes()


# Responses


@pytest.mark.rfc("rfc3261-ua-transactions", 16)
def test_response_copies_what_section_8_2_6_names() -> None:
    response = Response.to_request(invite(), 180, to_tag="9", fields=[("Contact", "<sip:bob@x>")])
    assert response.start_line == "SIP/2.0 180 Ringing"
    assert names(response) == [
        "via",
        "via",
        "record-route",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
    ]
    assert response.to.tag == "9"
    assert [via.host for via in response.vias] == ["a", "b", "c"]


@pytest.mark.rfc("rfc3261-ua-transactions", 16)
def test_trying_has_a_timestamp_and_no_tag() -> None:
    response = Response.to_request(invite(), 100, to_tag=None)
    assert response.to.tag is None
    assert response.value("timestamp") == "54"
    assert "record-route" not in response


def test_refusal_carries_no_record_route() -> None:
    assert "record-route" not in Response.to_request(invite(), 486, "Busy", to_tag="9")


def test_tag_that_is_there_stays() -> None:
    request = invite().with_replaced("To", "<sip:bob@b>;tag=5")
    assert Response.to_request(request, 200, to_tag="9").to.tag == "5"


def test_tag_is_added_to_a_bare_uri() -> None:
    request = invite().with_replaced("To", "sip:bob@b")
    assert Response.to_request(request, 404, to_tag="9").to.tag == "9"


def test_header_names_as_they_are_best_written() -> None:
    assert [wire_name(each) for each in ("call-id", "cseq", "www-authenticate", "x-odd")] == [
        "Call-ID",
        "CSeq",
        "WWW-Authenticate",
        "X-Odd",
    ]
    assert canonical_name("V \t") == "via"
