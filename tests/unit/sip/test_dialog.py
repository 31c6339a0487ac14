"""RFC 3261 section 12; RFC 5630 section 5."""

import pytest

from sottovoce.errors import LocalError, ParseError
from sottovoce.sip.dialog import MAX_LOCAL_CSEQ, Dialog, DialogId, OutOfOrder, own_contact
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.transport import Flow, Transport

ROUTES = ("<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>")


def invite(
    request_uri: str = "sip:bob@example.com",
    *extra: tuple[str, str],
    contact: str | None = "<sip:alice@192.0.2.1>",
    from_: str = '"Alice" <sip:alice@example.com>;tag=a',
    to: str = "<sip:bob@example.com>",
    cseq: str = "7 INVITE",
) -> Request:
    fields = [
        ("Via", "SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKx"),
        ("From", from_),
        ("To", to),
        ("Call-ID", "c@1"),
        ("CSeq", cseq),
        *([("Contact", contact)] if contact else []),
        *extra,
    ]
    return Request.make(cseq.split()[1], request_uri, fields)


def answer(
    request: Request,
    *record_routes: str,
    contact: str | None = "<sip:bob@192.0.2.9>",
    status: int = 200,
) -> Response:
    fields = [("Record-Route", each) for each in record_routes]
    fields += [("Contact", contact)] if contact else []
    return Response.to_request(request, status, to_tag="b", fields=fields)


def uac(
    *record_routes: str, contact: str | None = "<sip:bob@192.0.2.9>", uri: str = "sip:bob@x"
) -> Dialog:
    request = invite(uri)
    return Dialog.as_uac(request, answer(request, *record_routes, contact=contact))


def uas(*extra: tuple[str, str], uri: str = "sip:bob@x", contact: str = "<sip:a@h>") -> Dialog:
    return Dialog.as_uas(invite(uri, *extra, contact=contact), "b")


def later(number: int, method: str = "INFO", contact: str | None = None) -> Request:
    return invite("sip:bob@h", contact=contact, to="<sip:b@x>;tag=b", cseq=f"{number} {method}")


@pytest.mark.rfc("rfc3261-ua-transactions", 17)
def test_both_ends_name_the_same_dialog_from_their_own_side() -> None:
    assert uac().id == DialogId("c@1", "a", "b")
    assert uas().id == DialogId("c@1", "b", "a")
    assert DialogId.of_request(later(8)) == uas().id


@pytest.mark.rfc("rfc3261-ua-transactions", 17, 18)
def test_caller_goes_through_the_recorded_route_backwards_and_callee_forwards() -> None:
    caller = uac(*ROUTES).make_request("BYE")
    callee = uas(*(("Record-Route", each) for each in ROUTES)).make_request("BYE")

    assert caller.values("route") == list(ROUTES[::-1])
    assert callee.values("route") == list(ROUTES)
    assert caller.request_uri == "sip:bob@192.0.2.9"
    assert callee.request_uri == "sip:a@h"


@pytest.mark.rfc("rfc3261-ua-transactions", 18)
def test_strict_router_stands_in_the_start_line_and_the_target_comes_last() -> None:
    request = uac("<sip:p2.example.com;lr>", "<sip:p1.example.com;method=X?a=b>").make_request(
        "BYE"
    )

    assert request.request_uri == "sip:p1.example.com"
    assert request.values("route") == ["<sip:p2.example.com;lr>", "<sip:bob@192.0.2.9>"]


@pytest.mark.rfc("rfc3261-ua-transactions", 14)
def test_request_bears_the_tags_and_the_next_cseq_and_can_be_read_back() -> None:
    dialog = uac()
    dialog.make_request("OPTIONS")
    request = dialog.make_request(
        "INVITE", contact="sip:alice@192.0.2.1", fields=[("Content-Type", "x/y")], body=b"hello"
    ).with_top("Via", "SIP/2.0/TLS h;branch=z9hG4bKy")
    read = parse_message(request.to_bytes())

    assert isinstance(read, Request)
    assert str(read.cseq) == "9 INVITE"
    assert (read.from_.tag, read.to.tag, read.call_id) == ("a", "b", "c@1")
    assert read.from_.display_name == "Alice"
    assert read.contacts[0].uri == "sip:alice@192.0.2.1"
    assert read.max_forwards == 70
    assert read.body == b"hello"


@pytest.mark.rfc("rfc3261-ua-transactions", 4)
def test_ack_has_the_number_of_its_invite_and_uses_up_none() -> None:
    dialog = uac(*ROUTES)
    ack = dialog.make_ack(7)

    assert str(ack.cseq) == "7 ACK"
    assert ack.values("route") == list(ROUTES[::-1])
    assert dialog.make_request("BYE").cseq.number == 8


def test_response_without_contact_leaves_the_request_uri_as_target() -> None:
    assert uac(contact=None).remote_target == "sip:bob@x"


@pytest.mark.parametrize("contact", ["<tel:+15551234>", "*", "<sip:a@h>, <sip:b@h>", "<sip:a@h"])
def test_contact_that_cannot_be_followed_makes_no_dialog(contact: str) -> None:
    with pytest.raises(ParseError, match="Contact") as raised:
        uas(contact=contact)
    assert raised.value.status_hint == 400


def test_request_without_contact_makes_no_dialog() -> None:
    with pytest.raises(ParseError, match="Contact: missing"):
        Dialog.as_uas(invite(contact=None), "b")


def test_record_route_that_cannot_be_followed_makes_no_dialog() -> None:
    with pytest.raises(ParseError, match="Record-Route"):
        uas(("Record-Route", "<tel:+1>"))


@pytest.mark.rfc("rfc3261-ua-transactions", 19)
@pytest.mark.parametrize("number", [0, 6, 7])
def test_request_not_above_the_last_one_is_out_of_order(number: int) -> None:
    with pytest.raises(OutOfOrder) as raised:
        uas().check_request(later(number))
    assert raised.value.status_hint == 500


def test_check_changes_nothing_and_receive_moves_the_number_on() -> None:
    dialog = uas()
    dialog.check_request(later(100))
    dialog.check_request(later(8))
    dialog.receive_request(later(100))

    with pytest.raises(OutOfOrder):
        dialog.check_request(later(99))
    dialog.check_request(later(7, "ACK"))  # an ACK has the number of its INVITE


@pytest.mark.rfc("rfc3261-ua-transactions", 19)
def test_new_contact_moves_the_target_and_not_the_route_set() -> None:
    dialog = uas(("Record-Route", ROUTES[0]))
    dialog.refresh_target(later(8, "INVITE", contact="<sip:new@h>"))
    dialog.refresh_target(later(9, "UPDATE"))

    assert dialog.remote_target == "sip:new@h"
    assert dialog.make_request("BYE").values("route") == [ROUTES[0]]


@pytest.mark.rfc("rfc5630", 10)
def test_secure_dialog_refuses_to_move_to_a_target_without_tls() -> None:
    dialog = uas(uri="sips:bob@x", contact="<sips:a@h>")
    moving = later(8, "INVITE", contact="<sip:a@h>")
    with pytest.raises(ParseError, match="sips"):
        dialog.check_request(moving)
    with pytest.raises(ParseError, match="sips"):
        dialog.refresh_target(moving)

    assert dialog.remote_target == "sips:a@h"


@pytest.mark.rfc("rfc5630", 4, 10)
def test_target_that_says_transport_tls_is_taken_as_sips_in_a_secure_dialog() -> None:
    dialog = uac(uri="sips:bob@x", contact="<sip:bob@192.0.2.9:5061;transport=TLS;ob>")
    assert dialog.remote_target == "sips:bob@192.0.2.9:5061;ob"

    dialog.refresh_target(answer(invite(), contact="<sip:bob@h;transport=tls>"))
    assert dialog.remote_target == "sips:bob@h"


def test_display_name_with_control_characters_does_not_stop_our_requests() -> None:
    raw = invite(from_='"a--b" <sip:alice@x>;tag=a').to_bytes().replace(b"--", b"\\\0\\\7")
    request = parse_message(raw)
    assert isinstance(request, Request)
    dialog = Dialog.as_uas(request, "b")

    assert dialog.make_request("BYE").to.display_name == "ab"


@pytest.mark.parametrize(
    ("header", "line"),
    [("Call-ID", b"Call-ID: c@1\\\0"), ("Record-Route", b'Record-Route: "\\\0" <sip:p;lr>')],
)
def test_what_no_header_of_ours_can_repeat_makes_no_dialog(header: str, line: bytes) -> None:
    raw = invite().without(header).to_bytes().replace(b"\r\nCSeq", b"\r\n" + line + b"\r\nCSeq")
    request = parse_message(raw)
    assert isinstance(request, Request)
    with pytest.raises(ParseError, match=f"{header}: holds NUL"):
        Dialog.as_uas(request, "b")


def test_caller_without_tag_is_answered_without_tag() -> None:
    dialog = Dialog.as_uas(invite(from_="<sip:alice@x>"), "b")
    assert dialog.id.remote_tag == ""
    assert dialog.make_request("BYE").to.tag is None


def test_sequence_numbers_end() -> None:
    dialog = uac()
    dialog.local_cseq = MAX_LOCAL_CSEQ
    with pytest.raises(LocalError):
        dialog.make_request("BYE")


@pytest.mark.rfc("rfc5630", 5)
def test_own_contact_says_how_the_flow_is_reached() -> None:
    tls = Flow(Transport.TLS, ("192.0.2.1", 5061), ("192.0.2.2", 9), 1)
    udp = Flow(Transport.UDP, ("2001:db8::1", 5060), ("2001:db8::2", 9))

    assert own_contact(tls, "alice", secure=True) == "sips:alice@192.0.2.1:5061"
    assert own_contact(tls, "alice", secure=False) == "sip:alice@192.0.2.1:5061;transport=tls"
    assert own_contact(udp, None, secure=False) == "sip:[2001:db8::1]:5060"
