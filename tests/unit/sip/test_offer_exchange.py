"""RFC 3261 section 14, RFC 3311 section 5."""

import itertools

import pytest

from sottovoce.errors import LocalError
from sottovoce.sip.element import KeysInClear
from sottovoce.sip.invite_session import InviteSession
from sottovoce.sip.invite_states import State as CallState
from sottovoce.sip.message import Request
from sottovoce.sip.offer_exchange import MAX_GLARE_RETRIES, MAX_OFFERING_S, TABLE, Input, State
from sottovoce.sip.session_events import (
    CallEnded,
    OfferAnswered,
    OfferRefused,
    OfferWithdrawn,
    SessionOffered,
)

from .conftest import ANSWER, OFFER, TCP, Bench

HOLD = b"v=0\r\ns=hold\r\n"
KEYS = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd\r\n"


def called(bench: Bench) -> tuple[InviteSession, Request]:
    """A call from Bob that stands, and what names its dialog from Alice's side."""
    session, invite = bench.call_in()
    ack = bench.stand(session, invite)
    from_, to = ack.value("to") or "", ack.value("from") or ""
    return session, ack.with_replaced("From", from_).with_replaced("To", to)


# Our changes


def test_our_change_refreshes_the_peers_target(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(HOLD, 0.0)
    invite = bench.sent_request("INVITE")
    assert str(invite.cseq) == "2 INVITE"
    assert invite.body == HOLD
    assert invite.contacts
    assert "INVITE" in invite.items("allow")
    for _ in range(2):
        bench.answer(invite, 200, contact="<sip:moved@h>", body=ANSWER)
    acks = bench.sent()

    assert [str(each.cseq) for each in acks] == ["2 ACK"] * 2
    assert isinstance(acks[0], Request)
    assert acks[0].request_uri == "sip:moved@h"
    assert bench.events() == [OfferAnswered(session, ANSWER)]


@pytest.mark.parametrize("status", [400, 403, 415, 488, 500, 603])
@pytest.mark.rfc("rfc3261-ua-transactions", 21)
def test_refused_change_can_be_followed_by_another(bench: Bench, status: int) -> None:
    session, _ = bench.call_out()
    session.offer(HOLD, 0.0)
    bench.answer(bench.sent_request("INVITE"), status, contact="<sip:moved@h>")
    (refused,) = bench.events()
    assert isinstance(refused, OfferRefused)
    assert refused.status == status
    bench.sent()

    session.offer(HOLD, 0.0)
    assert bench.sent_request("INVITE").request_uri == "sip:bob@192.0.2.2"


@pytest.mark.rfc("rfc3261-ua-transactions", 20)
@pytest.mark.parametrize(("owner", "low", "high"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_change_that_met_another_is_tried_again_after_a_while(
    bench: Bench, owner: bool, low: float, high: float
) -> None:
    session = bench.call_out()[0] if owner else called(bench)[0]
    session.offer(HOLD, bench.now)
    invite = bench.sent_request("INVITE")
    for tries in range(1, MAX_GLARE_RETRIES + 1):
        refused_at = bench.now
        bench.answer(invite, 491)
        assert bench.labels() == ["ACK"]
        if tries == MAX_GLARE_RETRIES:
            break
        at = bench.agent.next_deadline()
        assert at is not None
        wait_s = at - refused_at
        assert low <= wait_s <= high
        assert round(wait_s * 100, 6) == round(wait_s * 100)  # in steps of 10 ms
        bench.agent.handle_timer(at)
        bench.now = at
        invite = bench.sent_request("INVITE")
        assert invite.body == HOLD
    bench.agent.handle_timer(bench.now + 5)
    last = bench.sent_request("INVITE")
    bench.answer(last, 491)
    bench.labels()

    assert bench.wait(30) == []
    assert bench.events() == [OfferRefused(session, 491, "Request Pending")]
    assert session.state is CallState.CONFIRMED
    session.offer(HOLD, bench.now)
    bench.answer(bench.sent_request("INVITE"), 491)
    assert bench.events() == []  # the next one has its own tries


def test_change_of_the_peer_while_we_wait_comes_first(bench: Bench) -> None:
    session, dialog = called(bench)
    session.offer(HOLD, 0.0)
    bench.answer(bench.sent_request("INVITE"), 491)
    bench.sent()
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))

    assert bench.events() == [
        OfferRefused(session, 491, "the peer's offer came first"),
        SessionOffered(session, OFFER),
    ]
    session.accept(ANSWER, 0.0)
    bench.sent()
    bench.receive(bench.later(dialog, "ACK", 2))
    assert bench.wait(10) == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.rfc("rfc3261-ua-transactions", 20)
def test_change_of_the_peer_while_ours_is_under_way_is_491(bench: Bench, method: str) -> None:
    session, dialog = called(bench)
    session.offer(HOLD, 0.0)
    ours = bench.sent_request("INVITE")
    bench.receive(bench.later(dialog, method, 2, body=OFFER))
    assert bench.sent_response().status == 491
    bench.answer(ours, 200, body=ANSWER)
    assert bench.events() == [OfferAnswered(session, ANSWER)]


def test_one_change_at_a_time(bench: Bench) -> None:
    session, dialog = called(bench)
    session.offer(HOLD, 0.0)
    with pytest.raises(LocalError, match="under way"):
        session.offer(OFFER, 0.0)
    bench.answer(bench.sent_request("INVITE"), 488)
    bench.sent()
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    with pytest.raises(LocalError, match="under way"):
        session.offer(OFFER, 0.0)


def test_answer_without_a_description_is_a_refusal(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(HOLD, 0.0)
    bench.answer(bench.sent_request("INVITE"), 200)
    assert bench.labels() == ["ACK"]
    assert bench.events() == [OfferRefused(session, 488, "the answer has no session description")]


def test_asking_for_an_offer_and_answering_it_in_the_ack(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(None, 0.0)
    invite = bench.sent_request("INVITE")
    assert invite.body == b""
    for _ in range(2):
        bench.answer(invite, 200, body=OFFER)
    assert bench.sent() == []
    assert bench.events() == [SessionOffered(session, OFFER)]
    session.accept(ANSWER, 0.0)
    ack = bench.sent_request("ACK")
    assert (ack.body, ack.media_type, ack.cseq.number) == (ANSWER, "application/sdp", 2)
    bench.answer(invite, 200, body=OFFER)
    assert bench.sent_request("ACK").body == ANSWER


def test_offer_asked_for_that_does_not_come_is_a_refusal(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(None, 0.0)
    bench.answer(bench.sent_request("INVITE"), 200)
    assert bench.labels() == ["ACK"]
    assert bench.events() == [OfferRefused(session, 488, "the answer has no session description")]


def test_offer_asked_for_and_refused_ends_the_call(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(None, 0.0)
    bench.answer(bench.sent_request("INVITE"), 200, body=OFFER)
    session.refuse(488, 0.0, reason="no codec")

    assert bench.labels() == ["ACK", "BYE"]
    assert bench.events()[-1] == CallEnded(session, False, "no codec")


def test_change_that_rings_for_ever_ends_the_call(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(HOLD, 0.0)
    bench.answer(bench.sent_request("INVITE"), 180)
    assert bench.wait(MAX_OFFERING_S) == [(MAX_OFFERING_S, "CANCEL"), (MAX_OFFERING_S, "BYE")]
    refused, ended = bench.events()
    assert refused == OfferRefused(session, 408, "Request Timeout")
    assert isinstance(ended, CallEnded)


def test_answer_to_a_change_after_the_end_is_acknowledged(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(HOLD, 0.0)
    invite = bench.sent_request("INVITE")
    session.hang_up(0.0)
    bench.sent()
    bench.events()
    bench.answer(invite, 200, body=ANSWER)
    assert bench.labels() == ["ACK"]
    assert bench.events() == []


def test_keys_that_would_show_are_not_offered() -> None:
    bench = Bench(TCP)
    session, dialog = called(bench)
    with pytest.raises(KeysInClear):
        session.offer(KEYS, 0.0)
    session.offer(HOLD, 0.0)  # the session is as it was
    bench.answer(bench.sent_request("INVITE"), 200, body=ANSWER)
    bench.sent()
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    with pytest.raises(KeysInClear):
        session.accept(KEYS, 0.0)
    session.accept(ANSWER, 0.0)
    assert bench.sent_response().status == 200


def test_retry_over_a_flow_that_would_show_keys_is_not_sent(bench: Bench) -> None:
    session, _ = bench.call_out()
    session.offer(KEYS, 0.0)
    bench.answer(bench.sent_request("INVITE"), 491)
    bench.sent()
    session.move(TCP)
    assert bench.wait(10) == []
    (refused,) = bench.events()
    assert isinstance(refused, OfferRefused)
    assert refused.status == 488


# The peer's changes


def test_peers_change_is_answered_until_it_is_acknowledged(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "INVITE", 2, contact="<sip:moved@h>", body=OFFER))
    assert bench.events() == [SessionOffered(session, OFFER)]
    session.accept(ANSWER, 0.0)
    assert bench.sent_response().body == ANSWER
    assert bench.wait(2) == [(0.5, "200"), (1.5, "200")]
    bench.receive(bench.later(dialog, "ACK", 2))
    assert bench.wait(10) == []
    assert bench.events() == []
    session.hang_up(bench.now)
    assert bench.sent_request("BYE").request_uri == "sip:moved@h"


def test_peers_change_that_is_never_acknowledged_ends_the_call(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    session.accept(ANSWER, 0.0)
    assert bench.wait(40)[-1] == (32.0, "BYE")
    assert bench.events()[-1] == CallEnded(session, False, "no ACK came")


def test_refusal_of_a_change_must_be_one(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    with pytest.raises(LocalError, match="refuses nothing"):
        session.refuse(200, 0.0)
    assert bench.sent() == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_refused_change_moves_no_target(bench: Bench, method: str) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, method, 2, contact="<sip:moved@h>", body=OFFER))
    session.refuse(488, 0.0, warning="no codec")
    response = bench.sent_response()
    assert response.status == 488
    assert "no codec" in (response.value("warning") or "")
    session.hang_up(0.0)
    assert bench.sent()[-1].start_line == "BYE sip:bob@192.0.2.2 SIP/2.0"


def test_update_is_answered_once_and_needs_no_ack(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "UPDATE", 2, body=OFFER))
    assert bench.events() == [SessionOffered(session, OFFER)]
    session.accept(ANSWER, 0.0)
    assert bench.sent_response().body == ANSWER
    assert bench.wait(10) == []
    session.offer(HOLD, bench.now)


def test_update_without_a_description_moves_the_target_at_once(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "UPDATE", 2, contact="<sip:moved@h>"))
    assert bench.sent_response().status == 200
    assert bench.events() == []
    session.hang_up(0.0)
    assert bench.sent_request("BYE").request_uri == "sip:moved@h"


@pytest.mark.rfc("rfc3261-ua-transactions", 20)
def test_second_change_before_the_first_is_decided_is_500(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    bench.receive(bench.later(dialog, "INVITE", 3, body=HOLD))
    response = bench.sent_response()
    assert response.status == 500
    assert 0 <= int(response.value("retry-after") or "-1") <= 10

    bench.wait(40)  # nobody acknowledges the 500, which concerns the first one not at all
    assert [type(event) for event in bench.events()] == [SessionOffered]
    session.accept(ANSWER, bench.now)
    answer = bench.sent_response()
    assert (answer.status, answer.cseq.number) == (200, 2)


def test_peer_that_asks_for_our_offer_answers_in_its_ack(bench: Bench) -> None:
    session, dialog = called(bench)
    bench.receive(bench.later(dialog, "INVITE", 2))
    assert bench.events() == [SessionOffered(session, None)]
    session.accept(OFFER, 0.0)
    bench.sent()
    bench.receive(bench.later(dialog, "ACK", 2, body=ANSWER))
    assert bench.events() == [OfferAnswered(session, ANSWER)]

    bench.receive(bench.later(dialog, "INVITE", 3))
    session.accept(OFFER, 0.0)
    bench.receive(bench.later(dialog, "ACK", 3))
    assert bench.events()[-1] == OfferRefused(session, 488, "the answer has no session description")


def test_cancelled_change_is_withdrawn(bench: Bench) -> None:
    session, dialog = called(bench)
    invite = bench.later(dialog, "INVITE", 2, body=OFFER)
    bench.receive(invite)
    bench.events()
    cancel = Request.make(
        "CANCEL",
        invite.request_uri,
        [
            *(
                (name.title(), invite.value(name) or "")
                for name in ("via", "from", "to", "call-id")
            ),
            ("CSeq", "2 CANCEL"),
            ("Content-Length", "0"),
        ],
    )
    bench.receive(cancel)

    assert bench.labels() == ["200", "487"]
    assert bench.events() == [OfferWithdrawn(session)]
    with pytest.raises(LocalError):
        session.accept(ANSWER, 0.0)
    session.refuse(488, 0.0)
    assert bench.sent() == []
    assert session.state is CallState.CONFIRMED


def test_requests_of_a_call_that_we_are_leaving_are_481(bench: Bench) -> None:
    session, dialog = called(bench)
    session.hang_up(0.0)
    bench.sent()
    bench.receive(bench.later(dialog, "INVITE", 2, body=OFFER))
    assert bench.sent_response().status == 481


#: What each state ignores, written out so that a new input cannot be forgotten.
_ACCEPTS = "ACCEPT_INVITE ACCEPT_UPDATE ACCEPT_LATE_OFFER"
_OURS = "OFFER ANSWERED LATE_OFFER GLARE FAILED RETRY_DUE OVERDUE"
_THEIRS = f"{_ACCEPTS} REFUSE WITHDRAWN ACK NO_ACK"
IGNORED = {
    State.CALLING: "ANSWER_SENT OFFER ANSWERED GLARE FAILED RETRY_DUE OVERDUE " + _THEIRS,
    State.CALLED: f"READY {_OURS} {_THEIRS}",
    State.IDLE: f"READY ANSWER_SENT GLARE FAILED RETRY_DUE OVERDUE {_THEIRS}",
    State.OFFERING: f"READY ANSWER_SENT OFFER RETRY_DUE {_THEIRS}",
    State.BACKING_OFF: f"READY ANSWER_SENT OFFER ANSWERED LATE_OFFER GLARE OVERDUE {_THEIRS}",
    State.ANSWERING: "READY ANSWER_SENT ACCEPT_INVITE ACCEPT_UPDATE WITHDRAWN ACK NO_ACK " + _OURS,
    State.OFFERED: f"READY ANSWER_SENT ACCEPT_LATE_OFFER ACK NO_ACK {_OURS}",
    State.ACKNOWLEDGING: f"ANSWER_SENT {_ACCEPTS} REFUSE WITHDRAWN {_OURS}",
    State.CLOSED: f"READY ANSWER_SENT OFFER GLARE FAILED RETRY_DUE OVERDUE CLOSE {_THEIRS}",
}


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_table_says_what_every_state_does_with_every_input(state: State, given: Input) -> None:
    assert ((state, given) in TABLE) is (given.name not in IGNORED[state].split())
