"""RFC 3261 section 16, on a real element over flows made up here."""

import gc
import itertools
from collections.abc import Callable

import pytest

from sottovoce.sip.client_transaction import ClientTransaction
from sottovoce.sip.element import Element
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.proxy import ForwardingTarget, Proxy, best_response, has_looped
from sottovoce.sip.server_transaction import ServerTransaction
from sottovoce.sip.transactions import RequestReceived, Send
from sottovoce.sip.transport import Flow, Transport

SERVER = ("192.0.2.1", 5061)
ALICE = Flow(Transport.TLS, SERVER, ("198.51.100.1", 40001), connection=1)
BOB = Flow(Transport.TLS, SERVER, ("198.51.100.2", 40002), connection=2)
BOBS_OTHER = Flow(Transport.TLS, SERVER, ("198.51.100.3", 40003), connection=3)
CLEAR = Flow(Transport.TCP, SERVER, ("198.51.100.4", 40004), connection=4)
KEYS = b"v=0\r\nm=audio 9 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n"


def counter() -> Callable[[int], bytes]:
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


class Bench:
    """An element under a proxy that forwards all requests to the given flows."""

    def __init__(self, *flows: Flow) -> None:
        self.element = Element(counter(), sent_by=dict.fromkeys(Transport, "192.0.2.1:5061"))
        self.proxy = Proxy(self.element)
        self.flows = flows
        self.now = 0.0

    def receive(self, message: bytes, flow: Flow) -> None:
        self.element.receive_stream(message, flow, self.now)
        self.run()

    def run(self) -> None:
        while (event := self.element.next_event()) is not None:
            if isinstance(event, RequestReceived):
                targets = [
                    ForwardingTarget(
                        f"sips:bob@{flow.remote[0]}", flow, ("<sips:tok@192.0.2.1;lr>",)
                    )
                    for flow in self.flows
                ]
                self.proxy.forward(event.transaction, event.request, targets, self.now)
            else:
                self.proxy.receive_event(event, self.now)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        """Let the made-up clock run from deadline to deadline."""
        end = self.now + seconds
        while True:
            due = [self.element.next_deadline(), self.proxy.next_deadline()]
            at = min((each for each in due if each is not None), default=None)
            if at is None or at > end:
                break
            self.now = at
            self.element.handle_timer(at)
            self.proxy.handle_timer(at)
            self.run()
        self.now = end

    def sent(self) -> list[tuple[Flow, Request | Response]]:
        return [
            (send.hop, parse_message(send.data))
            for send in self.element.take_sends()
            if isinstance(send, Send) and isinstance(send.hop, Flow)
        ]

    def sent_to(self, flow: Flow) -> list[str]:
        return [_line(message) for hop, message in self.sent() if hop == flow]


def _line(message: Request | Response) -> str:
    return message.method if isinstance(message, Request) else str(message.status)


def invite(method: str = "INVITE", max_forwards: str = "70", body: bytes = b"") -> bytes:
    head = (
        f"{method} sips:bob@example.org SIP/2.0\r\n"
        "Via: SIP/2.0/TLS alice.invalid;branch=z9hG4bKcaller;rport\r\n"
        f"Max-Forwards: {max_forwards}\r\n"
        "X-Unknown:  kept   as it is \r\n"
        "From: <sips:alice@example.org>;tag=a\r\n"
        "To: <sips:bob@example.org>\r\n"
        "Call-ID: c1\r\n"
        f"CSeq: 1 {method}\r\n"
        "Contact: <sips:alice@198.51.100.1:40001>\r\n"
        + ("Content-Type: application/sdp\r\n" if body else "")
        + f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(request: Request, status: int, tag: str = "b", *fields: tuple[str, str]) -> bytes:
    return Response.to_request(request, status, to_tag=tag, fields=fields).to_bytes()


def call(bench: Bench) -> dict[Flow, Request]:
    """Send the INVITE in; the copies that came out, by flow."""
    bench.receive(invite(), ALICE)
    return {flow: message for flow, message in bench.sent() if isinstance(message, Request)}


@pytest.mark.rfc("rfc3261-registrar-proxy", 24)
def test_what_the_proxy_need_not_change_survives_to_the_letter() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB].to_bytes().decode()

    assert "\r\nX-Unknown:  kept   as it is \r\n" in copy
    assert copy.index("X-Unknown") < copy.index("From:") < copy.index("Contact:")


@pytest.mark.rfc("rfc3261-registrar-proxy", 12)
def test_max_forwards_goes_down_by_one() -> None:
    assert call(Bench(BOB))[BOB].max_forwards == 69


@pytest.mark.rfc("rfc3261-registrar-proxy", 12)
def test_max_forwards_is_put_in_where_it_is_missing() -> None:
    bench = Bench(BOB)
    bench.receive(invite().replace(b"Max-Forwards: 70\r\n", b""), ALICE)

    (copy,) = [message for flow, message in bench.sent() if flow == BOB]
    assert copy.max_forwards == 70


def test_a_call_rings_is_answered_and_the_via_of_the_proxy_comes_off_again() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB]
    assert [via.host for via in copy.vias] == ["192.0.2.1", "alice.invalid"]
    assert copy.items("record-route") == ["<sips:tok@192.0.2.1;lr>"]

    bench.receive(answer(copy, 180), BOB)
    bench.receive(answer(copy, 200), BOB)

    back = [message for flow, message in bench.sent() if flow == ALICE]
    assert [_line(each) for each in back] == ["180", "200"]
    assert [[via.host for via in each.vias] for each in back] == [["alice.invalid"]] * 2


@pytest.mark.rfc("rfc3261-registrar-proxy", 22)
def test_a_100_ends_at_the_proxy() -> None:
    bench = Bench(BOB)
    bench.receive(invite(), ALICE)
    sent = bench.sent()
    assert [_line(message) for flow, message in sent if flow == ALICE] == ["100"]  # our own
    copy = next(message for flow, message in sent if flow == BOB)
    assert isinstance(copy, Request)

    bench.receive(Response.to_request(copy, 100, to_tag=None).to_bytes(), BOB)

    assert bench.sent_to(ALICE) == []


@pytest.mark.rfc("rfc3261-registrar-proxy", 18)
def test_the_phone_that_answers_first_wins_and_the_others_are_cancelled() -> None:
    bench = Bench(BOB, BOBS_OTHER)
    copies = call(bench)
    assert copies[BOB].top_via.branch != copies[BOBS_OTHER].top_via.branch
    bench.receive(answer(copies[BOBS_OTHER], 180), BOBS_OTHER)
    bench.receive(answer(copies[BOB], 180), BOB)
    bench.receive(answer(copies[BOB], 200), BOB)

    sent = bench.sent()
    assert [_line(m) for flow, m in sent if flow == BOBS_OTHER] == ["CANCEL"]
    assert [_line(m) for flow, m in sent if flow == BOB] == []


@pytest.mark.rfc("rfc3261-registrar-proxy", 18)
def test_a_second_answer_that_crosses_the_cancel_goes_back_too() -> None:
    """The caller's user agent must see it, to hang it up."""
    bench = Bench(BOB, BOBS_OTHER)
    copies = call(bench)
    for flow, tag in ((BOB, "b"), (BOBS_OTHER, "o")):
        bench.receive(answer(copies[flow], 180, tag), flow)
    for flow, tag in ((BOB, "b"), (BOBS_OTHER, "o")):
        bench.receive(answer(copies[flow], 200, tag), flow)

    assert bench.sent_to(ALICE) == ["180", "180", "200", "200"]


@pytest.mark.rfc("rfc3261-registrar-proxy", 18)
def test_a_decline_by_one_phone_stops_all_others_at_once() -> None:
    bench = Bench(BOB, BOBS_OTHER)
    copies = call(bench)
    for flow in (BOB, BOBS_OTHER):
        bench.receive(answer(copies[flow], 180), flow)
    bench.receive(answer(copies[BOB], 603), BOB)

    sent = bench.sent()
    assert "CANCEL" in [_line(m) for flow, m in sent if flow == BOBS_OTHER]
    bench.receive(answer(copies[BOBS_OTHER], 487), BOBS_OTHER)
    assert bench.sent_to(ALICE) == ["603"]


@pytest.mark.rfc("rfc3261-registrar-proxy", 23)
def test_a_cancel_of_the_caller_reaches_every_phone_that_rings() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB]
    bench.receive(answer(copy, 180), BOB)
    bench.receive(invite("CANCEL"), ALICE)

    sent = bench.sent()
    assert [_line(m) for flow, m in sent if flow == ALICE] == ["180", "200"]
    (cancel,) = [m for flow, m in sent if flow == BOB]
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.top_via.branch) == ("CANCEL", copy.top_via.branch)
    bench.receive(answer(copy, 487), BOB)
    assert bench.sent_to(ALICE) == ["487"]


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB]
    bench.receive(invite("CANCEL"), ALICE)
    assert bench.sent_to(BOB) == []

    bench.receive(answer(copy, 180), BOB)
    assert bench.sent_to(BOB) == ["CANCEL"]


@pytest.mark.rfc("rfc3261-registrar-proxy", 21)
def test_timer_c_ends_a_call_that_rings_for_ever() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB]
    bench.receive(answer(copy, 180), BOB)
    bench.sent()
    bench.wait(180)
    assert bench.sent_to(BOB) == []

    bench.wait(11)
    assert bench.sent_to(BOB) == ["CANCEL"]


@pytest.mark.parametrize("statuses", [(200, 487), (486, 404), (603, 487)])
def test_a_call_that_is_over_is_freed_without_the_garbage_collector(
    statuses: tuple[int, int],
) -> None:
    def alive() -> int:
        kinds = ClientTransaction, ServerTransaction, Request, Response
        return sum(isinstance(each, kinds) for each in gc.get_objects())

    bench = Bench(BOB, BOBS_OTHER)
    gc.collect()
    before = alive()
    gc.disable()
    try:
        phones = call(bench)
        for (flow, request), status in zip(phones.items(), statuses, strict=True):
            bench.receive(answer(request, 180), flow)
            bench.receive(answer(request, status), flow)
        del phones, request
        bench.wait(200)
        bench.sent()
        assert alive() == before
    finally:
        gc.enable()


@pytest.mark.rfc("rfc3261-registrar-proxy", 19)
def test_a_phone_that_never_answers_is_a_408() -> None:
    bench = Bench(BOB)
    call(bench)
    bench.wait(33)

    assert bench.sent_to(ALICE) == ["408"]


def test_a_non_invite_without_answer_gets_none_either() -> None:
    """RFC 4320 section 4.1: a 408 would only arrive after the client gave up."""
    bench = Bench(BOB)
    bench.receive(invite("MESSAGE"), ALICE)
    bench.sent()
    bench.wait(40)

    assert bench.sent_to(ALICE) == []


@pytest.mark.rfc("rfc3261-registrar-proxy", 19, 25)
def test_a_request_that_gets_no_answer_is_forgotten() -> None:
    bench = Bench(BOB)
    bench.receive(invite("OPTIONS"), ALICE)
    bench.wait(200)

    assert len(bench.element.transactions) == 0


def test_a_caller_whose_connection_is_lost_lets_nobody_go_on_ringing() -> None:
    bench = Bench(BOB)
    copy = call(bench)[BOB]
    bench.receive(answer(copy, 180), BOB)
    bench.element.connection_lost(ALICE, "gone", bench.now)
    bench.run()

    assert bench.sent_to(BOB) == ["CANCEL"]
    bench.receive(answer(copy, 487), BOB)
    assert bench.sent_to(ALICE) == []


def test_a_lost_connection_is_a_503_which_reaches_the_caller_as_500() -> None:
    bench = Bench(BOB)
    call(bench)
    bench.element.connection_lost(BOB, "reset", bench.now)
    bench.run()

    assert bench.sent_to(ALICE) == ["500"]


def test_keys_are_not_forwarded_over_a_hop_without_tls() -> None:
    bench = Bench(CLEAR)
    bench.receive(invite(body=KEYS), ALICE)

    sent = bench.sent()
    assert [flow for flow, _ in sent if flow == CLEAR] == []
    refusal = sent[-1][1]
    assert isinstance(refusal, Response)
    assert refusal.status == 488
    assert "SRTP keys" in (refusal.value("warning") or "")


def test_keys_go_on_over_tls_untouched() -> None:
    bench = Bench(BOB)
    bench.receive(invite(body=KEYS), ALICE)

    (copy,) = [message for flow, message in bench.sent() if flow == BOB]
    assert copy.body == KEYS


def test_an_answer_with_keys_for_a_caller_without_tls_becomes_a_488() -> None:
    bench = Bench(BOB)
    bench.receive(invite().replace(b"SIP/2.0/TLS", b"SIP/2.0/TCP"), CLEAR)
    copy = next(message for flow, message in bench.sent() if flow == BOB)
    assert isinstance(copy, Request)
    response = Response.to_request(
        copy, 200, to_tag="b", fields=[("Content-Type", "application/sdp")], body=KEYS
    )
    bench.receive(response.to_bytes(), BOB)

    assert bench.sent_to(CLEAR) == ["488"]


def response(status: int, *fields: tuple[str, str]) -> Response:
    return Response.make(status, "", fields)


@pytest.mark.rfc("rfc3261-registrar-proxy", 19)
@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([404, 603, 302], 603),
        ([486, 302], 302),
        ([500, 486, 404], 486),
        ([486, 415], 415),
        ([503, 500], 500),
        ([503, 408], 408),
    ],
)
def test_best_response(statuses: list[int], best: int) -> None:
    assert best_response([response(status) for status in statuses]).status == best


@pytest.mark.rfc("rfc3261-registrar-proxy", 20)
def test_every_challenge_of_every_branch_goes_back() -> None:
    one = response(407, ("Proxy-Authenticate", 'Digest realm="a"'))
    other = response(401, ("WWW-Authenticate", 'Digest realm="b"'))
    best = best_response([one, other])

    assert best.values("proxy-authenticate") + best.values("www-authenticate") == [
        'Digest realm="a"',
        'Digest realm="b"',
    ]


@pytest.mark.rfc("rfc3261-registrar-proxy", 14)
def test_a_request_that_comes_back_unchanged_has_looped_and_a_spiral_has_not() -> None:
    copy = call(Bench(BOB))[BOB]
    # The next element sends it back to us, with its own Via on top.
    back = copy.with_request_uri("sips:bob@example.org").with_top(
        "Via", "SIP/2.0/TLS 203.0.113.7;branch=z9hG4bKother"
    )

    assert has_looped(back, ["192.0.2.1:5061"])
    assert not has_looped(back.with_request_uri("sips:carol@example.org"), ["192.0.2.1:5061"])
    assert not has_looped(back, ["192.0.2.99:5061"])
