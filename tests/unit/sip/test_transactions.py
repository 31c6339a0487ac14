"""RFC 3261 sections 9, 17.1.3 and 17.2.3; RFC 3581."""

import itertools

import pytest

from sottovoce.errors import LocalError
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.server_transaction import ServerTransaction
from sottovoce.sip.transactions import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseFailed,
    ResponseReceived,
    Send,
    StrayResponse,
    TransactionEvent,
    Transactions,
    TransactionTimedOut,
    TransportFailed,
)
from sottovoce.sip.transport import Flow, Target, Transport

LOCAL = ("192.0.2.1", 5060)
UDP = Flow(Transport.UDP, LOCAL, ("192.0.2.2", 40000))
TLS = Flow(Transport.TLS, LOCAL, ("192.0.2.2", 40001), 1)
OTHER_TLS = Flow(Transport.TLS, LOCAL, ("192.0.2.3", 40002), 2)
BRANCH = "z9hG4bKabc"


def layer() -> Transactions:
    numbers = itertools.count(1)
    return Transactions(lambda: f"{next(numbers):04}")


def request(
    method: str = "INVITE",
    via: str = f"SIP/2.0/UDP h:5060;branch={BRANCH}",
    *,
    uri: str = "sip:bob@h",
    to_tag: str = "",
    from_tag: str = "a",
    call_id: str = "c",
    number: int = 1,
) -> Request:
    return Request.make(
        method,
        uri,
        [
            ("Via", via),
            ("From", f"<sip:alice@h>;tag={from_tag}"),
            ("To", f"<sip:bob@h>{';tag=' + to_tag if to_tag else ''}"),
            ("Call-ID", call_id),
            ("CSeq", f"{number} {method}"),
        ],
    )


def receive(
    transactions: Transactions, given: Request, flow: Flow = UDP, now: float = 0.0
) -> list[TransactionEvent]:
    transactions.receive_request(given, given.top_via, flow, now)
    return events(transactions)


def events(transactions: Transactions) -> list[TransactionEvent]:
    return list(iter(transactions.next_event, None))


def new(transactions: Transactions, given: Request, flow: Flow = UDP) -> ServerTransaction:
    (event,) = receive(transactions, given, flow)
    assert isinstance(event, RequestReceived)
    return event.transaction


def respond(
    transactions: Transactions, transaction: ServerTransaction, status: int, now: float = 0.0
) -> None:
    response = Response.to_request(transaction.request, status, to_tag="b")
    transactions.respond(transaction, response, now)


def sent(transactions: Transactions) -> list[str]:
    """Method or status of what goes out."""
    messages = [parse_message(send.data) for send in transactions.take_sends()]
    return [m.method if isinstance(m, Request) else str(m.status) for m in messages]


def answer(
    transactions: Transactions, given: Request, status: int, now: float = 1.0, tag: str = "b"
) -> list[TransactionEvent]:
    """Receive the response to a request of ours."""
    response = Response.to_request(given, status, to_tag=tag)
    transactions.receive_response(response, response.top_via, TLS, now)
    return events(transactions)


# Matching requests


@pytest.mark.rfc("rfc3261-ua-transactions", 8)
@pytest.mark.parametrize(
    ("second", "same"),
    [
        (request(), True),
        (request(uri="sip:other@h", call_id="x", from_tag="x"), True),  # the branch decides
        (request(via="SIP/2.0/UDP h:5060;branch=z9hG4bKxyz"), False),
        (request(via=f"SIP/2.0/UDP h:5061;branch={BRANCH}"), False),
        (request(via=f"SIP/2.0/UDP i:5060;branch={BRANCH}"), False),
        (request("OPTIONS"), False),
    ],
)
def test_requests_are_the_same_by_branch_sent_by_and_method(second: Request, same: bool) -> None:
    transactions = layer()
    new(transactions, request())
    assert (receive(transactions, second) == []) is same


@pytest.mark.rfc("rfc3261-ua-transactions", 8)
@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"uri": "sip:other@h"}, False),
        ({"call_id": "x"}, False),
        ({"from_tag": "x"}, False),
        ({"number": 2}, False),
        ({"via": "SIP/2.0/UDP other"}, False),
    ],
)
def test_requests_without_the_cookie_are_the_same_by_all_that_names_them(
    branch: str, changes: dict[str, str], same: bool
) -> None:
    transactions = layer()
    first, second = {"via": f"SIP/2.0/UDP h{branch}"}, {"via": f"SIP/2.0/UDP h{branch}"}
    new(transactions, request(**first))  # type: ignore[arg-type]
    again = request(**(second | changes))  # type: ignore[arg-type]
    assert (receive(transactions, again) == []) is same


@pytest.mark.rfc("rfc3261-ua-transactions", 8)
@pytest.mark.parametrize("via", [f"SIP/2.0/UDP h:5060;branch={BRANCH}", "SIP/2.0/UDP h"])
def test_ack_of_a_refusal_goes_to_its_invite(via: str) -> None:
    transactions = layer()
    invite = new(transactions, request(via=via))
    respond(transactions, invite, 486)
    sent(transactions)

    assert receive(transactions, request("ACK", via, to_tag="b")) == []
    transactions.handle_timer(3.0)
    assert sent(transactions) == []  # it is no longer repeated


@pytest.mark.rfc("rfc3261-ua-transactions", 8, 25)
def test_ack_of_a_2xx_belongs_to_the_dialog() -> None:
    transactions = layer()
    respond(transactions, new(transactions, request()), 200)
    ack = request("ACK", "SIP/2.0/UDP h:5060;branch=z9hG4bKother", to_tag="b")

    assert receive(transactions, ack) == [AckReceived(ack, UDP)]
    # A peer that gives it the INVITE's branch is heard, too.
    same_branch = request("ACK", to_tag="b")
    assert receive(transactions, same_branch) == [AckReceived(same_branch, UDP)]


# Matching responses


@pytest.mark.rfc("rfc3261-ua-transactions", 8, 13)
def test_response_finds_its_request_by_branch_and_method() -> None:
    transactions = layer()
    owner = object()
    ours = request("OPTIONS")
    transaction = transactions.send_request(ours, TLS, owner, 0.0)

    (event,) = answer(transactions, ours, 200)
    assert isinstance(event, ResponseReceived)
    assert event.transaction is transaction
    assert transaction.owner is owner
    for stray in (request("INVITE"), request("OPTIONS", "SIP/2.0/UDP h;branch=z9hG4bKother")):
        (event,) = answer(transactions, stray, 200)
        assert isinstance(event, StrayResponse)


def test_request_without_a_branch_is_not_sent() -> None:
    with pytest.raises(LocalError):
        layer().send_request(request(via="SIP/2.0/UDP h"), TLS, None, 0.0)


def test_branches_begin_with_the_cookie_and_differ() -> None:
    transactions = layer()
    branches = {transactions.new_branch(".x") for _ in range(3)}
    assert len(branches) == 3
    assert all(each.startswith("z9hG4bK") and each.endswith(".x") for each in branches)


# CANCEL


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
@pytest.mark.parametrize("via", [f"SIP/2.0/UDP h:5060;branch={BRANCH}", "SIP/2.0/UDP h"])
def test_cancel_is_answered_here_and_the_invite_is_left_to_its_user(via: str) -> None:
    transactions = layer()
    invite = new(transactions, request(via=via))

    assert receive(transactions, request("CANCEL", via)) == [CancelReceived(invite)]
    assert sent(transactions) == ["200"]
    assert not invite.answered


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_after_the_final_response_is_answered_and_has_no_effect() -> None:
    transactions = layer()
    respond(transactions, new(transactions, request()), 486)
    sent(transactions)

    assert receive(transactions, request("CANCEL")) == []
    assert sent(transactions) == ["200"]


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_of_nothing_is_answered_481() -> None:
    transactions = layer()
    assert receive(transactions, request("CANCEL")) == []
    assert sent(transactions) == ["481"]
    receive(transactions, request("CANCEL"))
    assert sent(transactions) == ["481"]  # a repeat gets the same


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_of_ours_waits_for_a_provisional_response() -> None:
    transactions = layer()
    invite = transactions.send_request(request(), TLS, None, 0.0)
    assert transactions.cancel(invite, 1.0) is None
    answer(transactions, invite.request, 180)
    sent(transactions)

    assert transactions.cancel(invite, 2.0) is not None
    assert sent(transactions) == ["CANCEL"]
    answer(transactions, invite.request, 487, 3.0)
    assert sent(transactions) == ["ACK"]
    assert transactions.cancel(invite, 4.0) is None


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_invite_whose_peer_vanished_ends_64_t1_after_its_cancel() -> None:
    transactions = layer()
    invite = transactions.send_request(request(), TLS, None, 0.0)
    answer(transactions, invite.request, 180)
    transactions.handle_timer(500.0)
    assert events(transactions) == []  # without the CANCEL it may ring for ever
    transactions.cancel(invite, 500.0)
    while (at := transactions.next_deadline()) is not None:
        transactions.handle_timer(at)

    assert TransactionTimedOut(invite) in events(transactions)
    assert len(transactions) == 0


# Where responses go


@pytest.mark.rfc("rfc5626-3581", 16, 17)
@pytest.mark.parametrize(
    ("via", "flow", "remote"),
    [
        ("SIP/2.0/UDP h:5070;branch=z9hG4bK1", UDP, ("192.0.2.2", 5070)),
        ("SIP/2.0/UDP h;branch=z9hG4bK1", UDP, ("192.0.2.2", 5060)),
        ("SIP/2.0/UDP h:5070;branch=z9hG4bK1;rport=40000", UDP, ("192.0.2.2", 40000)),
        ("SIP/2.0/TLS h:5070;branch=z9hG4bK1", TLS, ("192.0.2.2", 40001)),
    ],
)
def test_response_goes_where_via_flow_and_rport_say(
    via: str, flow: Flow, remote: tuple[str, int]
) -> None:
    transactions = layer()
    respond(transactions, new(transactions, request(via=via), flow), 486)
    (send,) = transactions.take_sends()

    assert isinstance(send.hop, Flow)
    assert (send.hop.remote, send.hop.local, send.hop.connection) == (
        remote,
        LOCAL,
        flow.connection,
    )


# What the transport tells


def test_lost_connection_ends_what_depends_on_it_and_nothing_else() -> None:
    transactions = layer()
    ours = transactions.send_request(request("OPTIONS"), TLS, None, 0.0)
    others = transactions.send_request(
        request("OPTIONS", "SIP/2.0/TLS h;branch=z9hG4bK2"), OTHER_TLS, None, 0.0
    )
    theirs = new(transactions, request(via="SIP/2.0/TLS h;branch=z9hG4bK3"), TLS)
    transactions.connection_lost(TLS, "reset", 1.0)

    told = events(transactions)
    assert len(told) == 2
    assert TransportFailed(ours, "reset") in told
    assert ResponseFailed(theirs) in told
    assert len(transactions) == 1
    assert others.next_deadline() is not None


def test_requests_that_wait_for_a_connection_are_bound_to_it() -> None:
    target = Target(Transport.TLS, "h", 5061, "h")
    transactions = layer()
    ours = transactions.send_request(request("OPTIONS"), target, None, 0.0)
    transactions.connection_opened(target, TLS)
    assert ours.hop == TLS

    transactions.connection_lost(TLS, "reset", 1.0)
    assert events(transactions) == [TransportFailed(ours, "reset")]


def test_send_that_fails_ends_its_transaction() -> None:
    transactions = layer()
    ours = transactions.send_request(request("OPTIONS"), TLS, None, 0.0)
    (send,) = transactions.take_sends()
    transactions.report_send_failed(send, "no route", 0.0)
    transactions.report_send_failed(Send(TLS, b""), "no route", 0.0)

    assert events(transactions) == [TransportFailed(ours, "no route")]


# Time and room


def test_nothing_is_left_when_all_has_run_out() -> None:
    transactions = layer()
    transactions.send_request(request("OPTIONS"), UDP, None, 0.0)
    transactions.send_request(request("INVITE", "SIP/2.0/UDP h;branch=z9hG4bK2"), UDP, None, 0.0)
    respond(transactions, new(transactions, request(via="SIP/2.0/UDP h;branch=z9hG4bK3")), 200)
    respond(transactions, new(transactions, request("BYE", "SIP/2.0/UDP h;branch=z9hG4bK4")), 200)
    respond(transactions, new(transactions, request(via="SIP/2.0/UDP h;branch=z9hG4bK5")), 486)
    while (at := transactions.next_deadline()) is not None:
        transactions.handle_timer(at)

    assert len(transactions) == 0
    assert not transactions._on_connection
    kinds = sorted(type(event).__name__ for event in events(transactions))
    assert kinds == ["ResponseFailed", "TransactionTimedOut", "TransactionTimedOut"]


def test_layer_says_when_it_is_full_and_which_requests_wait() -> None:
    transactions = Transactions(lambda: "t", max_transactions=2)
    waiting = new(transactions, request())
    assert not transactions.full
    answered = new(transactions, request("OPTIONS"))
    respond(transactions, answered, 200)

    assert transactions.full
    assert transactions.unanswered() == [waiting]
