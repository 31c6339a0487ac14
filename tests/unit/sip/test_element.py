"""RFC 3261 section 18, RFC 3581, RFC 5626 section 4.4, RFC 4568 section 7.1."""

import itertools

import pytest

from sottovoce.sip.element import (
    KEYS_IN_CLEAR,
    CloseFlow,
    Element,
    KeepAliveReceived,
    KeysInClear,
    MessageRefused,
)
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.transactions import (
    RequestReceived,
    ResponseReceived,
    Send,
    TransactionTimedOut,
    TransportFailed,
)
from sottovoce.sip.transport import Flow, Target, Transport

LOCAL = ("192.0.2.1", 5060)
UDP = Flow(Transport.UDP, LOCAL, ("192.0.2.2", 40000))
TCP = Flow(Transport.TCP, LOCAL, ("192.0.2.2", 40001), 1)
TLS = Flow(Transport.TLS, LOCAL, ("192.0.2.2", 40002), 2)
FLOWS = pytest.mark.parametrize("flow", [UDP, TCP, TLS], ids=lambda flow: str(flow.transport.value))
CLEAR = pytest.mark.parametrize("flow", [UDP, TCP], ids=lambda flow: str(flow.transport.value))
KEYS = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd\r\n"
PLAIN = b"v=0\r\n"


def element(*, allow_keys_in_clear_text: bool = False) -> Element:
    numbers = itertools.count(1)
    return Element(
        lambda size: next(numbers).to_bytes(size, "big"),
        allow_keys_in_clear_text=allow_keys_in_clear_text,
    )


def request(
    method: str = "OPTIONS",
    *extra: tuple[str, str],
    via: str = "SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bKa",
    body: bytes = b"",
) -> Request:
    fields = [
        ("Via", via),
        ("From", "<sip:alice@h>;tag=a"),
        ("To", "<sip:bob@h>"),
        ("Call-ID", "c"),
        ("CSeq", f"1 {method}"),
        *([("Content-Type", "application/sdp")] if body else []),
        *extra,
    ]
    return Request.make(method, "sip:bob@h", fields, body)


def receive(under_test: Element, data: bytes, flow: Flow, now: float = 0.0) -> list[object]:
    """Receive bytes: the events they made."""
    if flow.connection:
        under_test.receive_stream(data, flow, now)
    else:
        under_test.receive_datagram(data, flow, now)
    return events(under_test)


def events(under_test: Element) -> list[object]:
    return list(iter(under_test.next_event, None))


def sent(under_test: Element) -> list[tuple[Flow, Request | Response]]:
    found = []
    for send in under_test.take_sends():
        assert isinstance(send, Send)
        assert isinstance(send.hop, Flow)
        found.append((send.hop, parse_message(send.data)))
    return found


def only_response(under_test: Element) -> Response:
    ((_, message),) = sent(under_test)
    assert isinstance(message, Response)
    return message


def received(under_test: Element, given: Request, flow: Flow) -> RequestReceived:
    (event,) = receive(under_test, given.to_bytes(), flow)
    assert isinstance(event, RequestReceived)
    return event


# Where requests came from


@pytest.mark.rfc("rfc3261-ua-transactions", 12)
@pytest.mark.rfc("rfc5626-3581", 15, 16, 17, 19)
@pytest.mark.parametrize(
    ("via", "marked", "port"),
    [
        # The Via tells the truth: nothing is added, the answer goes to its port.
        ("192.0.2.2:5070;branch=z9hG4bKa", "192.0.2.2:5070;branch=z9hG4bKa", 5070),
        ("192.0.2.2;branch=z9hG4bKa", "192.0.2.2;branch=z9hG4bKa", 5060),
        ("pc:5070;branch=z9hG4bKa", "pc:5070;branch=z9hG4bKa;received=192.0.2.2", 5070),
        # A wish for symmetric answers is granted, also if both are as the Via says.
        (
            "192.0.2.2:40000;rport;branch=z9hG4bKa",
            "192.0.2.2:40000;rport=40000;branch=z9hG4bKa;received=192.0.2.2",
            40000,
        ),
        # What a client claims of itself is written over.
        (
            "pc;branch=z9hG4bKa;rport=1;received=203.0.113.9",
            "pc;branch=z9hG4bKa;rport=40000;received=192.0.2.2",
            40000,
        ),
        (
            "pc:5070;branch=z9hG4bKa;received=203.0.113.9",
            "pc:5070;branch=z9hG4bKa;received=192.0.2.2",
            5070,
        ),
    ],
)
def test_via_is_marked_and_answered_where_it_came_from(via: str, marked: str, port: int) -> None:
    under_test = element()
    event = received(under_test, request(via=f"SIP/2.0/UDP {via}"), UDP)
    assert event.request.value("via") == f"SIP/2.0/UDP {marked}"

    under_test.reply(event.transaction, 200, 0.0)
    ((hop, response),) = sent(under_test)
    assert hop.remote == ("192.0.2.2", port)
    assert hop.local == LOCAL
    assert response.value("via") == f"SIP/2.0/UDP {marked}"


@pytest.mark.rfc("rfc3261-ua-transactions", 12)
def test_answer_over_a_stream_goes_back_on_it_whatever_the_via_says() -> None:
    under_test = element()
    event = received(under_test, request(via="SIP/2.0/TLS h:1;branch=z9hG4bKa"), TLS)
    under_test.reply(event.transaction, 200, 0.0)
    assert [hop for hop, _ in sent(under_test)] == [TLS]


@pytest.mark.rfc("rfc5626-3581", 18)
def test_our_requests_ask_for_symmetric_answers() -> None:
    under_test = element()
    under_test.send_request(request().without("via"), UDP, None, 0.0)
    under_test.sent_by[Transport.TLS] = "sip.example.org:5061"
    under_test.send_request(request().without("via"), TLS, None, 0.0)

    over_udp, over_tls = (message.top_via for _, message in sent(under_test))
    assert (over_udp.host, over_udp.port) == LOCAL
    assert "rport" in over_udp.params
    assert over_udp.rport is None
    assert str(over_tls).startswith("SIP/2.0/TLS sip.example.org:5061;branch=z9hG4bK")


def test_phone_without_a_name_gives_away_none_in_its_via() -> None:
    under_test = element()
    under_test.send_request(request().without("via"), TLS, None, 0.0)
    ((_, message),) = sent(under_test)
    assert message.top_via.host.endswith(".invalid")
    assert LOCAL[0] not in message.top_via.host


# Broken messages


@FLOWS
def test_broken_request_that_says_who_sent_it_is_answered(flow: Flow) -> None:
    under_test = element()
    broken = request("INVITE", ("Max-Forwards", "seventy"), ("Content-Length", "0"))
    (event,) = receive(under_test, broken.to_bytes(), flow)

    assert isinstance(event, MessageRefused)
    response = only_response(under_test)
    assert response.status == 400
    assert response.value("warning") == f'399 sottovoce "{event.reason}"'
    assert "Max-Forwards" in event.reason
    assert response.to.tag


@pytest.mark.rfc("rfc3261-ua-transactions", 14)
@pytest.mark.parametrize("name", ["To", "From", "CSeq"])
def test_each_header_that_every_request_needs_is_missed(name: str) -> None:
    under_test = element()
    receive(under_test, request("INVITE").without(name).to_bytes(), UDP)
    (send,) = under_test.take_sends()
    assert isinstance(send, Send)
    assert send.data.startswith(b"SIP/2.0 400 ")
    assert f'"{name}: missing"'.encode() in send.data


@pytest.mark.parametrize(
    "broken",
    [
        b"\x16\x03\x01\x00\xa5",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        request("ACK").without("from").to_bytes(),
        request().without("via").to_bytes(),
        Response.to_request(request(), 200, to_tag="b").without("from").to_bytes(),
        b"\0" * 3000,
        bytes(range(256)) * 4,
    ],
)
def test_what_cannot_be_answered_is_dropped_and_noted(broken: bytes) -> None:
    under_test = element()
    (event,) = receive(under_test, broken, UDP) or [MessageRefused(UDP, "keep-alive")]

    assert isinstance(event, MessageRefused)
    assert under_test.take_sends() == []
    assert len(under_test.transactions) == 0


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
def test_stream_that_cannot_be_followed_is_closed_after_what_was_owed() -> None:
    under_test = element()
    good = request("CANCEL", ("Content-Length", "0"))
    bad = request("INVITE", ("Content-Length", "0")).to_bytes().replace(b"h: 0", b"h: many")
    told = receive(under_test, good.to_bytes() + bad, TCP)
    answer, close = under_test.take_sends()

    assert isinstance(answer, Send)
    assert answer.data.startswith(b"SIP/2.0 481 ")
    assert isinstance(close, CloseFlow)
    assert close.flow == TCP
    assert isinstance(told[-1], MessageRefused)


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
def test_messages_are_found_in_a_stream_however_it_is_cut() -> None:
    under_test = element()
    messages = [
        request("OPTIONS", ("Content-Length", "0"), via=f"SIP/2.0/TCP h;branch=z9hG4bK{number}")
        for number in range(3)
    ]
    data = b"\r\n" + b"".join(each.to_bytes() for each in messages)
    told = [
        event for at in range(len(data)) for event in receive(under_test, data[at : at + 1], TCP)
    ]
    assert [type(event) for event in told] == [KeepAliveReceived, *[RequestReceived] * 3]


@pytest.mark.rfc("rfc5626-3581", 1, 2)
def test_ping_on_a_stream_gets_its_pong() -> None:
    under_test = element()
    assert receive(under_test, b"\r\n\r\n", TLS) == [KeepAliveReceived(TLS)]
    assert under_test.take_sends() == [Send(TLS, b"\r\n")]
    assert receive(under_test, b"\r\n", TLS) == [KeepAliveReceived(TLS)]
    assert under_test.take_sends() == []


@pytest.mark.rfc("rfc5626-3581", 3)
@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"])
def test_keep_alives_over_udp_are_no_messages(data: bytes) -> None:
    under_test = element()
    assert receive(under_test, data, UDP) == []
    assert under_test.take_sends() == []


def test_new_stream_of_a_connection_that_was_lost_starts_afresh() -> None:
    under_test = element()
    receive(under_test, b"OPTIONS sip:h SIP/2.0\r\nVia", TCP)
    under_test.connection_lost(TCP, "reset", 0.0)
    later = Flow(TCP.transport, TCP.local, TCP.remote, 9)
    data = request("OPTIONS", ("Content-Length", "0")).to_bytes()
    assert [type(event) for event in receive(under_test, data, later)] == [RequestReceived]


# SRTP keys


@CLEAR
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "MESSAGE"])
def test_request_with_keys_in_clear_is_refused_and_says_why(flow: Flow, method: str) -> None:
    under_test = element()
    data = request(method, ("Content-Length", str(len(KEYS))), body=KEYS).to_bytes()
    assert receive(under_test, data, flow) == [MessageRefused(flow, KEYS_IN_CLEAR)]

    response = only_response(under_test)
    assert response.status == 488
    assert response.value("warning") == f'399 sottovoce "{KEYS_IN_CLEAR}"'
    assert b"abcd" not in response.to_bytes()


@CLEAR
def test_ack_with_keys_in_clear_is_dropped(flow: Flow) -> None:
    under_test = element()
    data = request("ACK", ("Content-Length", str(len(KEYS))), body=KEYS).to_bytes()
    assert receive(under_test, data, flow) == [MessageRefused(flow, KEYS_IN_CLEAR)]
    assert under_test.take_sends() == []


@CLEAR
@pytest.mark.parametrize("status", [200, 183, 488])
def test_response_with_keys_in_clear_comes_up_without_them(flow: Flow, status: int) -> None:
    """A 200 stays one: its callee waits for an ACK, and for the BYE of a caller without media."""
    under_test = element()
    under_test.send_request(request("INVITE").without("via"), flow, None, 0.0)
    ((_, invite),) = sent(under_test)
    assert isinstance(invite, Request)
    fields = [("Content-Type", "application/sdp"), ("Content-Length", str(len(KEYS)))]
    response = Response.to_request(invite, status, to_tag="b", fields=fields, body=KEYS)
    refused, event = receive(under_test, response.to_bytes(), flow)

    assert refused == MessageRefused(flow, KEYS_IN_CLEAR)
    assert isinstance(event, ResponseReceived)
    assert event.response.status == status
    assert event.response.body == b""
    assert KEYS_IN_CLEAR in (event.response.value("warning") or "")


@CLEAR
def test_nothing_with_keys_is_sent_in_clear(flow: Flow) -> None:
    under_test = element()
    event = received(under_test, request("INVITE", ("Content-Length", "0")), flow)
    under_test.take_sends()
    fields = [("Content-Type", "application/sdp")]
    with_keys = request("INVITE", body=KEYS).without("via")
    response = Response.to_request(event.request, 200, to_tag="b", fields=fields, body=KEYS)

    with pytest.raises(KeysInClear):
        under_test.send_request(with_keys, flow, None, 0.0)
    with pytest.raises(KeysInClear):
        under_test.send_ack(with_keys, flow)
    with pytest.raises(KeysInClear):
        under_test.respond(event.transaction, response, 0.0)
    with pytest.raises(KeysInClear):
        under_test.forward_response(response, flow)
    assert under_test.take_sends() == []
    assert not event.transaction.answered


def test_keys_travel_over_tls_both_ways() -> None:
    under_test = element()
    data = request("INVITE", ("Content-Length", str(len(KEYS))), body=KEYS)
    event = received(under_test, data, TLS)
    fields = [("Content-Type", "application/sdp")]
    response = Response.to_request(event.request, 200, to_tag="b", fields=fields, body=KEYS)
    assert under_test.respond(event.transaction, response, 0.0)
    under_test.send_request(request("INVITE", body=KEYS).without("via"), TLS, None, 0.0)

    assert [message.body for _, message in sent(under_test)] == [KEYS, KEYS]


def test_keys_wait_for_no_connection_that_would_not_be_tls() -> None:
    under_test = element()
    clear = Target(Transport.TCP, "h", 5060, "h")
    with pytest.raises(KeysInClear):
        under_test.send_request(request("INVITE", body=KEYS).without("via"), clear, None, 0.0)
    secure = Target(Transport.TLS, "h", 5061, "h")
    under_test.send_request(request("INVITE", body=KEYS).without("via"), secure, None, 0.0)
    assert len(under_test.take_sends()) == 1


@CLEAR
def test_operator_can_allow_keys_in_clear_text(flow: Flow) -> None:
    under_test = element(allow_keys_in_clear_text=True)
    data = request("INVITE", ("Content-Length", str(len(KEYS))), body=KEYS)
    received(under_test, data, flow)
    under_test.send_request(request("INVITE", body=KEYS).without("via"), flow, None, 0.0)
    assert len(sent(under_test)) == 1


@CLEAR
def test_description_without_keys_travels_anywhere(flow: Flow) -> None:
    under_test = element()
    data = request("INVITE", ("Content-Length", str(len(PLAIN))), body=PLAIN)
    received(under_test, data, flow)
    under_test.send_request(request("INVITE", body=PLAIN).without("via"), flow, None, 0.0)
    assert len(sent(under_test)) == 1


# Room and time


def test_full_element_asks_to_come_back_but_still_ends_what_is_under_way() -> None:
    under_test = element()
    under_test.transactions._max_transactions = 1
    received(under_test, request("INVITE"), UDP)
    receive(under_test, request(via="SIP/2.0/UDP h;branch=z9hG4bKother").to_bytes(), UDP)
    response = only_response(under_test)
    assert (response.status, response.value("retry-after")) == (503, "10")

    receive(under_test, request("CANCEL").to_bytes(), UDP)
    assert only_response(under_test).status == 200
    assert len(under_test.transactions) == 2


def test_refusal_gets_the_same_tag_when_the_request_comes_again() -> None:
    under_test = element()
    under_test.transactions._max_transactions = 0
    for _ in range(2):
        receive(under_test, request().to_bytes(), UDP)
    first, second = (message.to.tag for _, message in sent(under_test))
    assert first == second


def test_timers_and_failures_come_up_as_events() -> None:
    under_test = element()
    lost = under_test.send_request(request().without("via"), TLS, None, 0.0)
    unheard = under_test.send_request(request().without("via"), UDP, None, 0.0)
    under_test.connection_lost(TLS, "reset", 1.0)
    assert events(under_test) == [TransportFailed(lost, "reset")]
    while (at := under_test.next_deadline()) is not None:
        under_test.handle_timer(at)
    assert events(under_test) == [TransactionTimedOut(unheard)]


def test_bytes_leave_in_the_order_in_which_they_were_made() -> None:
    under_test = element()
    under_test.send_request(request("INVITE").without("via"), TLS, None, 0.0)
    under_test.send_ack(request("ACK").without("via"), TLS)
    under_test.send_request(request("BYE").without("via"), TLS, None, 0.0)
    labels = [message.method for _, message in sent(under_test) if isinstance(message, Request)]
    assert labels == ["INVITE", "ACK", "BYE"]
