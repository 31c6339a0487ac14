"""RFC 3261 section 17.1; RFC 6026 section 7.2."""

import itertools

import pytest

from sottovoce.sip.client_transaction import (
    INVITE_TABLE,
    NON_INVITE_TABLE,
    Action,
    ClientTransaction,
    Input,
    State,
    ack_for,
    cancel_for,
)
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.timers import RFC3261_TIMERS, TimerValues
from sottovoce.sip.transport import Flow, Transport

UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TLS = Flow(Transport.TLS, ("192.0.2.1", 5061), ("192.0.2.2", 5061), 1)


def request(method: str = "INVITE") -> Request:
    return Request.make(
        method,
        "sip:bob@example.org",
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"),
            ("Route", "<sip:p1.example.org;lr>"),
            ("Route", "<sip:p2.example.org;lr>"),
            ("From", '"Alice" <sip:alice@example.org>;tag=a'),
            ("To", "<sip:bob@example.org>"),
            ("Call-ID", "c"),
            ("CSeq", f"42 {method}"),
            ("Contact", "<sip:alice@192.0.2.1>"),
            ("Proxy-Authorization", "Digest x"),
            ("Content-Type", "application/sdp"),
        ],
        b"v=0\r\n",
    )


def start(
    method: str = "INVITE", flow: Flow = UDP, timers: TimerValues = RFC3261_TIMERS
) -> ClientTransaction:
    transaction = ClientTransaction(request(method), flow, ("a", method), None, 0.0, timers)
    assert [data.split()[0].decode() for data in take(transaction)] == [method]
    return transaction


def take(transaction: ClientTransaction) -> list[bytes]:
    sends = transaction.sends.copy()
    transaction.sends.clear()
    return sends


def run_out(transaction: ClientTransaction, until: float = 1000.0) -> list[float]:
    """Jump from deadline to deadline: when something was sent."""
    sent: list[float] = []
    for _ in range(50):  # a machine that never ends must fail, not hang
        now = transaction.next_deadline()
        if now is None or now > until:
            return sent
        transaction.handle_timer(now)
        sent += [now] * len(take(transaction))
    raise AssertionError("still has a deadline after 50 steps")


def answer(transaction: ClientTransaction, status: int, now: float = 1.0) -> list[str]:
    """Receive a response: what was sent because of it."""
    response = Response.to_request(transaction.request, status, to_tag="b")
    transaction.receive_response(response, now)
    return [data.split()[0].decode() for data in take(transaction)]


# INVITE


@pytest.mark.rfc("rfc3261-ua-transactions", 1)
def test_unanswered_invite_is_resent_at_doubling_gaps_then_times_out() -> None:
    transaction = start()

    assert run_out(transaction, 31.9) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert transaction.next_deadline() == 32.0
    transaction.handle_timer(32.0)
    assert transaction.take_outcome() == [Action.REPORT_TIMEOUT]
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 1, 2)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_reliable_transport_never_resends_but_times_out_alike(method: str) -> None:
    transaction = start(method, TLS)

    assert transaction.next_deadline() == 32.0
    assert run_out(transaction) == []
    assert transaction.take_outcome() == [Action.REPORT_TIMEOUT]


@pytest.mark.rfc("rfc3261-ua-transactions", 1)
def test_ringing_stops_the_resends_and_the_timeout() -> None:
    transaction = start()
    answer(transaction, 180)

    assert transaction.next_deadline() is None
    assert transaction.take_outcome() == [Action.PASS_UP]


@pytest.mark.rfc("rfc3261-ua-transactions", 3)
@pytest.mark.parametrize(("flow", "absorb_s"), [(UDP, 32.0), (TLS, 0.0)])
def test_every_repeat_of_a_refusal_is_acked_but_passed_up_once(flow: Flow, absorb_s: float) -> None:
    transaction = start(flow=flow)

    assert [answer(transaction, 486, now) for now in (1.0, 1.5, 2.5)] == [["ACK"]] * 3
    assert transaction.take_outcome() == [Action.PASS_UP]
    assert transaction.next_deadline() == 1.0 + absorb_s  # timer D
    transaction.handle_timer(1.0 + absorb_s)
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 3)
def test_timer_d_is_at_least_32_seconds_whatever_t1_is() -> None:
    transaction = start(timers=TimerValues(t1_s=0.1))
    answer(transaction, 486)
    assert transaction.next_deadline() == 1.0 + 32.0


@pytest.mark.rfc("rfc3261-ua-transactions", 3)
def test_ack_of_a_refusal_is_the_invite_in_all_that_names_it() -> None:
    response = Response.to_request(request(), 486, to_tag="b")
    ack = parse_message(ack_for(request(), response).to_bytes())

    assert isinstance(ack, Request)
    assert ack.request_uri == "sip:bob@example.org"
    assert ack.values("via") == ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"]
    assert ack.values("route") == ["<sip:p1.example.org;lr>", "<sip:p2.example.org;lr>"]
    assert str(ack.cseq) == "42 ACK"
    assert (ack.call_id, ack.from_.tag, ack.to.tag) == ("c", "a", "b")
    assert ack.body == b""
    assert "contact" not in ack


@pytest.mark.rfc("rfc3261-ua-transactions", 4, 25)
def test_every_2xx_is_passed_up_and_none_is_acked_here() -> None:
    transaction = start()

    assert answer(transaction, 200, 1.0) == answer(transaction, 200, 1.5) == []
    assert transaction.take_outcome() == [Action.PASS_UP] * 2
    assert transaction.next_deadline() == 1.0 + 32.0  # timer M runs from the first
    assert run_out(transaction) == []
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_is_the_invite_in_all_that_names_it() -> None:
    cancel = parse_message(cancel_for(request()).to_bytes())

    assert isinstance(cancel, Request)
    assert cancel.request_uri == "sip:bob@example.org"
    assert cancel.values("via") == ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"]
    assert cancel.values("route") == ["<sip:p1.example.org;lr>", "<sip:p2.example.org;lr>"]
    assert str(cancel.cseq) == "42 CANCEL"
    assert (cancel.call_id, cancel.from_.tag, cancel.to.tag) == ("c", "a", None)
    assert cancel.body == b""
    assert not {"contact", "require", "proxy-require"} & {name for name, _ in cancel.fields}


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_invite_that_no_answer_ends_is_given_up_64_t1_after_its_cancel() -> None:
    transaction = start()
    answer(transaction, 180)
    transaction.take_outcome()
    transaction.expect_end(10.0)
    transaction.expect_end(20.0)  # the first CANCEL counts
    answer(transaction, 183, 30.0)
    transaction.take_outcome()

    assert transaction.next_deadline() == 42.0
    transaction.handle_timer(42.0)
    assert transaction.take_outcome() == [Action.REPORT_TIMEOUT]
    assert transaction.state is State.TERMINATED


def test_answer_after_the_cancel_ends_the_wait() -> None:
    transaction = start(flow=TLS)
    answer(transaction, 180)
    transaction.expect_end(10.0)
    answer(transaction, 487, 11.0)
    transaction.handle_timer(11.0)

    assert transaction.state is State.TERMINATED
    assert transaction.take_outcome() == [Action.PASS_UP] * 2
    transaction.expect_end(12.0)
    assert transaction.next_deadline() is None


# Others


@pytest.mark.rfc("rfc3261-ua-transactions", 2)
def test_unanswered_request_is_resent_at_gaps_up_to_t2() -> None:
    transaction = start("OPTIONS")

    expected = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert run_out(transaction) == expected
    assert transaction.take_outcome() == [Action.REPORT_TIMEOUT]


@pytest.mark.rfc("rfc3261-ua-transactions", 2)
def test_after_a_provisional_response_the_gap_is_t2_and_the_timeout_stays() -> None:
    transaction = start("OPTIONS")
    answer(transaction, 100, 0.2)

    assert run_out(transaction) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert transaction.take_outcome() == [Action.PASS_UP, Action.REPORT_TIMEOUT]


@pytest.mark.parametrize(("flow", "absorb_s"), [(UDP, 5.0), (TLS, 0.0)])
@pytest.mark.parametrize("status", [200, 302, 404, 500, 603])
def test_final_response_is_passed_up_once_and_repeats_are_absorbed(
    flow: Flow, absorb_s: float, status: int
) -> None:
    transaction = start("BYE", flow)

    assert answer(transaction, status, 1.0) == answer(transaction, status, 1.5) == []
    assert transaction.take_outcome() == [Action.PASS_UP]
    assert transaction.next_deadline() == 1.0 + absorb_s  # timer K
    transaction.handle_timer(1.0 + absorb_s)
    assert transaction.state is State.TERMINATED


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
@pytest.mark.parametrize("ringing", [False, True])
def test_lost_connection_ends_a_request_that_waits(method: str, *, ringing: bool) -> None:
    transaction = start(method)
    if ringing:
        answer(transaction, 180)
        transaction.take_outcome()
    transaction.report_transport_error(2.0)

    assert transaction.take_outcome() == [Action.REPORT_TRANSPORT_ERROR]
    assert transaction.next_deadline() is None


#: What each state ignores, written out so that a new input cannot be forgotten.
_INVITE_TIMERS = "TIMER_A TIMER_B TIMER_D TIMER_M TIMER_CANCELLED"
_OTHER_TIMERS = "TIMER_E TIMER_F TIMER_K"
_EVERYTHING = " ".join(given.name for given in Input)
IGNORED_BY_INVITE = {
    State.CALLING: f"TIMER_D TIMER_M TIMER_CANCELLED {_OTHER_TIMERS}",
    State.TRYING: _EVERYTHING,
    State.PROCEEDING: f"TIMER_A TIMER_B TIMER_D TIMER_M {_OTHER_TIMERS}",
    State.ACCEPTED: "RESPONSE_1XX RESPONSE_300_699 TRANSPORT_ERROR "
    f"TIMER_A TIMER_B TIMER_D TIMER_CANCELLED {_OTHER_TIMERS}",
    State.COMPLETED: "RESPONSE_1XX RESPONSE_2XX "
    f"TIMER_A TIMER_B TIMER_M TIMER_CANCELLED {_OTHER_TIMERS}",
    State.TERMINATED: _EVERYTHING,
}
IGNORED_BY_OTHERS = {
    State.CALLING: _EVERYTHING,
    State.TRYING: f"TIMER_K {_INVITE_TIMERS}",
    State.PROCEEDING: f"TIMER_K {_INVITE_TIMERS}",
    State.ACCEPTED: _EVERYTHING,
    State.COMPLETED: "RESPONSE_1XX RESPONSE_2XX RESPONSE_300_699 TRANSPORT_ERROR "
    f"TIMER_E TIMER_F {_INVITE_TIMERS}",
    State.TERMINATED: _EVERYTHING,
}


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_tables_say_what_every_state_does_with_every_input(state: State, given: Input) -> None:
    for table, ignored in (
        (INVITE_TABLE, IGNORED_BY_INVITE),
        (NON_INVITE_TABLE, IGNORED_BY_OTHERS),
    ):
        assert ((state, given) in table) is (given.name not in ignored[state].split())
