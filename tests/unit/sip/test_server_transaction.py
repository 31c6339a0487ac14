"""RFC 3261 section 17.2; RFC 6026 section 7.1."""

import itertools

import pytest

from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.server_transaction import (
    INVITE_TABLE,
    NON_INVITE_TABLE,
    Action,
    Input,
    ServerTransaction,
    State,
)
from sottovoce.sip.timers import RFC3261_TIMERS
from sottovoce.sip.transport import Flow, Transport

UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TLS = Flow(Transport.TLS, ("192.0.2.1", 5061), ("192.0.2.2", 5061), 1)


def start(method: str = "INVITE", flow: Flow = UDP) -> ServerTransaction:
    request = Request.make(
        method,
        "sip:bob@example.org",
        [
            ("Via", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKa"),
            ("From", "<sip:alice@example.org>;tag=a"),
            ("To", "<sip:bob@example.org>"),
            ("Call-ID", "c"),
            ("CSeq", f"1 {method}"),
            ("Timestamp", "54"),
        ],
    )
    return ServerTransaction(request, flow, flow, ("k",), 0.0, RFC3261_TIMERS)


def take(transaction: ServerTransaction) -> list[int]:
    """Status of each response that goes out."""
    statuses = []
    for data in transaction.sends:
        response = parse_message(data)
        assert isinstance(response, Response)
        statuses.append(response.status)
    transaction.sends.clear()
    return statuses


def respond(transaction: ServerTransaction, status: int, now: float = 1.0) -> bool:
    response = Response.to_request(transaction.request, status, to_tag="b")
    return transaction.respond(response, now)


def run_out(transaction: ServerTransaction, until: float = 1000.0) -> list[float]:
    """Jump from deadline to deadline: when something was sent."""
    sent: list[float] = []
    for _ in range(50):
        now = transaction.next_deadline()
        if now is None or now > until:
            return sent
        transaction.handle_timer(now)
        sent += [now] * len(take(transaction))
    raise AssertionError("still has a deadline after 50 steps")


# INVITE


@pytest.mark.rfc("rfc3261-ua-transactions", 6, 16)
def test_trying_goes_out_after_200_ms_without_a_to_tag() -> None:
    transaction = start()
    assert transaction.next_deadline() == 0.2
    transaction.handle_timer(0.2)
    trying = parse_message(transaction.sends[0])

    assert isinstance(trying, Response)
    assert (trying.status, trying.to.tag, trying.value("timestamp")) == (100, None, "54")
    assert transaction.next_deadline() is None


@pytest.mark.rfc("rfc3261-ua-transactions", 6)
def test_user_who_answers_in_200_ms_makes_trying_needless() -> None:
    transaction = start()
    respond(transaction, 180, 0.1)

    assert transaction.next_deadline() is None
    assert take(transaction) == [180]


def test_repeated_invite_gets_the_newest_provisional_response_again() -> None:
    transaction = start()
    transaction.receive_repeat(0.1)
    assert take(transaction) == []  # nothing was said yet
    for status in (180, 183):
        respond(transaction, status)
    transaction.receive_repeat(2.0)

    assert take(transaction) == [180, 183, 183]


@pytest.mark.rfc("rfc3261-ua-transactions", 6)
def test_refusal_is_repeated_up_to_t2_until_64_t1() -> None:
    transaction = start()
    respond(transaction, 486, 0.0)
    assert take(transaction) == [486]

    expected = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert run_out(transaction) == expected
    assert transaction.take_outcome() == [Action.REPORT_NO_ACK]
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 6)
def test_refusal_goes_once_over_a_reliable_transport_and_waits_for_its_ack() -> None:
    transaction = start(flow=TLS)
    respond(transaction, 486, 0.0)
    take(transaction)

    assert run_out(transaction) == []
    assert transaction.take_outcome() == [Action.REPORT_NO_ACK]


@pytest.mark.rfc("rfc3261-ua-transactions", 6)
@pytest.mark.parametrize(("flow", "absorb_s"), [(UDP, 5.0), (TLS, 0.0)])
def test_ack_ends_the_repeats_and_is_absorbed(flow: Flow, absorb_s: float) -> None:
    transaction = start(flow=flow)
    respond(transaction, 486, 0.0)
    transaction.receive_ack(0.7)
    take(transaction)

    assert transaction.next_deadline() == 0.7 + absorb_s  # timer I
    transaction.receive_ack(0.8)
    transaction.receive_repeat(0.8)
    assert take(transaction) == []
    assert transaction.take_outcome() == []
    transaction.handle_timer(0.7 + absorb_s)
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 25)
def test_after_a_2xx_repeats_are_absorbed_acks_passed_up_and_more_2xx_sent() -> None:
    transaction = start()
    respond(transaction, 200, 1.0)
    transaction.receive_repeat(1.1)
    transaction.receive_ack(1.2)
    assert respond(transaction, 200, 1.5)

    assert take(transaction) == [200, 200]
    assert transaction.take_outcome() == [Action.PASS_ACK_UP]
    assert transaction.next_deadline() == 1.0 + 32.0  # timer L
    assert run_out(transaction) == []
    assert transaction.state is State.TERMINATED


@pytest.mark.parametrize(("first", "second"), [(486, 200), (200, 486), (486, 180), (200, 180)])
def test_response_after_the_final_one_goes_nowhere(first: int, second: int) -> None:
    transaction = start()
    assert respond(transaction, first)
    take(transaction)

    assert not respond(transaction, second)
    assert take(transaction) == []


# Others


@pytest.mark.rfc("rfc3261-ua-transactions", 7, 25)
def test_other_requests_get_no_response_of_the_transactions_own() -> None:
    """RFC 4320: neither a 100 by itself nor a 408."""
    transaction = start("OPTIONS")
    transaction.receive_repeat(0.5)

    assert transaction.next_deadline() is None
    assert take(transaction) == []


@pytest.mark.rfc("rfc3261-ua-transactions", 7)
def test_repeated_request_gets_the_same_final_response_for_64_t1() -> None:
    transaction = start("OPTIONS")
    respond(transaction, 200, 1.0)
    first = transaction.sends[0]
    transaction.receive_repeat(2.0)
    assert transaction.sends == [first, first]
    take(transaction)

    assert transaction.next_deadline() == 1.0 + 32.0  # timer J
    assert run_out(transaction) == []
    assert transaction.state is State.TERMINATED


@pytest.mark.rfc("rfc3261-ua-transactions", 7)
def test_nothing_is_kept_after_the_answer_over_a_reliable_transport() -> None:
    transaction = start("OPTIONS", TLS)
    respond(transaction, 200, 1.0)
    transaction.handle_timer(1.0)
    assert transaction.state is State.TERMINATED


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_lost_connection_is_reported_while_an_answer_is_owed(method: str) -> None:
    transaction = start(method, TLS)
    transaction.report_transport_error(1.0)

    assert transaction.take_outcome() == [Action.REPORT_TRANSPORT_ERROR]
    assert transaction.state is State.TERMINATED
    assert not respond(transaction, 200)


#: What each state ignores, written out so that a new input cannot be forgotten.
_EVERYTHING = " ".join(given.name for given in Input)
IGNORED_BY_INVITE = {
    State.TRYING: _EVERYTHING,
    State.PROCEEDING: "ACK TIMER_G TIMER_H TIMER_I TIMER_J TIMER_L",
    State.ACCEPTED: "REQUEST RESPOND_1XX RESPOND_300_699 "
    "TIMER_TRYING TIMER_G TIMER_H TIMER_I TIMER_J",
    State.COMPLETED: "RESPOND_1XX RESPOND_2XX RESPOND_300_699 TIMER_TRYING TIMER_I TIMER_J TIMER_L",
    State.CONFIRMED: "REQUEST ACK RESPOND_1XX RESPOND_2XX RESPOND_300_699 TRANSPORT_ERROR "
    "TIMER_TRYING TIMER_G TIMER_H TIMER_J TIMER_L",
    State.TERMINATED: _EVERYTHING,
}
_INVITES_OWN = "ACK TIMER_TRYING TIMER_G TIMER_H TIMER_I TIMER_L"
IGNORED_BY_OTHERS = {
    State.TRYING: f"REQUEST TIMER_J {_INVITES_OWN}",
    State.PROCEEDING: f"TIMER_J {_INVITES_OWN}",
    State.ACCEPTED: _EVERYTHING,
    State.COMPLETED: f"RESPOND_1XX RESPOND_2XX RESPOND_300_699 {_INVITES_OWN}",
    State.CONFIRMED: _EVERYTHING,
    State.TERMINATED: _EVERYTHING,
}


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_tables_say_what_every_state_does_with_every_input(state: State, given: Input) -> None:
    for table, ignored in (
        (INVITE_TABLE, IGNORED_BY_INVITE),
        (NON_INVITE_TABLE, IGNORED_BY_OTHERS),
    ):
        assert ((state, given) in table) is (given.name not in ignored[state].split())
