"""RFC 3261 sections 9, 12, 13, 15, 22."""

import itertools

import pytest

from sottovoce.errors import LocalError
from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.early_dialogs import MAX_EARLY_DIALOGS, MAX_FORKED_ANSWERS
from sottovoce.sip.element import KeysInClear
from sottovoce.sip.invite_session import MAX_RINGING_S, InviteSession
from sottovoce.sip.invite_states import TABLE, Input, State
from sottovoce.sip.message import Request
from sottovoce.sip.session_events import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallFailed,
    CallProgress,
    OfferRefused,
    SessionOffered,
)
from sottovoce.sip.transport import Flow

from .conftest import ANSWER, OFFER, TCP, TLS, UDP, Bench

KEYS = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd\r\n"
CHALLENGE = ("WWW-Authenticate", 'Digest realm="example.org", nonce="n", qop="auth"')


def credentials(password: str = "correct horse") -> DigestClient:
    return DigestClient(
        username="alice",
        password=Secret(password),
        realms=frozenset({"example.org"}),
        random_bytes=lambda size: bytes(size),
    )


# We call


@pytest.mark.rfc("rfc3261-ua-transactions", 4)
def test_answer_is_acknowledged_each_time_it_comes_and_reported_once(bench: Bench) -> None:
    session, invite = bench.invite()
    for _ in range(3):
        bench.answer(invite, 200, body=ANSWER)
    acks = bench.sent()

    assert [str(each.cseq) for each in acks] == ["1 ACK"] * 3
    assert len({each.top_via.branch for each in (invite, *acks)}) == 4
    ack = acks[0]
    assert isinstance(ack, Request)
    assert ack.request_uri == "sip:bob@192.0.2.2"
    assert (ack.from_.tag, ack.to.tag) == (invite.from_.tag, "b")
    assert bench.events() == [CallAnswered(session, ANSWER)]
    assert bench.wait(200) == []  # no timer ever sends it


@pytest.mark.rfc("rfc3261-ua-transactions", 17)
def test_each_phone_that_rings_is_a_dialog_and_one_that_answers_is_chosen(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 180, tag="one", contact="<sip:one@h>")
    bench.answer(invite, 180, tag="two", contact="<sip:two@h>")
    bench.answer(invite, 200, tag="two", contact="<sip:two@h>", body=ANSWER)
    bench.sent()
    assert [type(event) for event in bench.events()] == [CallProgress, CallProgress, CallAnswered]

    session.hang_up(0.0)
    assert bench.sent_request("BYE").request_uri == "sip:two@h"


@pytest.mark.rfc("rfc3261-ua-transactions", 17)
def test_second_phone_that_answers_gets_ack_and_bye(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 200, tag="one", body=ANSWER)
    bench.sent()
    bench.answer(invite, 200, tag="two", contact="<sip:two@h>", body=ANSWER)
    ack, bye = bench.sent()

    assert isinstance(bye, Request)
    assert (ack.cseq.method, bye.method) == ("ACK", "BYE")
    assert (ack.to.tag, bye.to.tag, bye.request_uri) == ("two", "two", "sip:two@h")
    bench.answer(bye, 200)
    bench.answer(invite, 200, tag="two", contact="<sip:two@h>", body=ANSWER)
    assert bench.labels() == ["ACK"]
    assert session.state is State.CONFIRMED
    assert [type(event) for event in bench.events()] == [CallAnswered]


def test_forks_are_bounded(bench: Bench) -> None:
    _, invite = bench.invite()
    for number in range(2 * MAX_EARLY_DIALOGS):
        bench.answer(invite, 180, tag=f"t{number}")
    assert len(bench.agent._context.dialogs) == MAX_EARLY_DIALOGS
    for number in range(3 * MAX_FORKED_ANSWERS):
        bench.answer(invite, 200, tag=f"t{number}", body=ANSWER)
    assert bench.labels().count("BYE") == MAX_FORKED_ANSWERS
    assert len(bench.agent._context.dialogs) == 1


@pytest.mark.rfc("rfc3261-ua-transactions", 23)
def test_provisional_response_without_a_tag_makes_no_dialog(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 183, tag=None)
    assert not bench.agent._context.dialogs
    bench.answer(invite, 100, tag=None)
    assert bench.events() == [CallProgress(session, 183, "Session Progress", None)]


@pytest.mark.parametrize("status", [302, 404, 486, 500, 603, 699])
def test_refusal_ends_the_call_with_its_words(bench: Bench, status: int) -> None:
    session, invite = bench.invite()
    bench.answer(invite, status, ("Warning", '399 h "no \\"way\\""'), ("Contact", "<sip:x@h>"))

    (event,) = bench.events()
    assert isinstance(event, CallFailed)
    assert (event.session, event.status) == (session, status)
    assert event.warning.startswith("no ")
    assert bench.labels() == ["ACK"]
    assert not bench.agent.busy


def test_answer_that_cannot_be_followed_fails_the_call(bench: Bench) -> None:
    _, invite = bench.invite()
    bench.answer(invite, 200, contact="<tel:+1>", body=ANSWER)
    (event,) = bench.events()
    assert isinstance(event, CallFailed)
    assert event.status == 502
    assert not bench.agent.busy


def test_answer_without_a_description_is_acknowledged_and_ended(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 200, ("Warning", '399 h "keys in clear"'))

    assert bench.labels() == ["ACK", "BYE"]
    assert bench.events() == [
        CallFailed(session, 488, "the answer has no session description", "keys in clear")
    ]


def test_empty_answer_to_a_call_given_up_is_reported_as_given_up(bench: Bench) -> None:
    session, invite = bench.invite()
    session.hang_up(0.0)
    bench.answer(invite, 200)
    assert bench.labels() == ["ACK", "BYE"]
    assert bench.events() == [CallFailed(session, 487, "hung up here")]


def test_end_of_a_fork_is_not_the_end_of_the_call(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 200, tag="one", body=ANSWER)
    bench.answer(invite, 200, tag="two", body=ANSWER)
    session.hang_up(0.0)
    _, _, forks_bye, own_bye = bench.sent()
    assert isinstance(forks_bye, Request)
    assert isinstance(own_bye, Request)
    bench.answer(forks_bye, 200)
    assert bench.agent.busy
    bench.answer(own_bye, 200)
    assert not bench.agent.busy


def test_numbers_of_an_early_dialog_go_on_in_the_call(bench: Bench) -> None:
    _, invite = bench.invite()
    bench.answer(invite, 180)
    dialog = invite.with_replaced("To", f"{invite.value('to')};tag=b")
    bench.receive(bench.later(dialog, "OPTIONS", 5))
    bench.answer(invite, 200, body=ANSWER)
    bench.sent()
    for number, status in ((5, 500), (6, 200), (6, 500)):
        bench.receive(bench.later(dialog, "OPTIONS", number))
        assert bench.sent_response().status == status


def test_call_that_moved_shows_no_keys_by_repeating_itself(bench: Bench) -> None:
    """What went over TLS before is not sent again over a hop without it."""
    session, invite = bench.invite(None, credentials=credentials())
    bench.answer(invite, 200, body=KEYS)
    session.accept(KEYS, 0.0)
    bench.sent()
    session.offer(KEYS, 0.0)
    change = bench.sent_request("INVITE")
    session.move(TCP)
    bench.answer(invite, 200, body=KEYS)
    assert bench.sent() == []
    bench.answer(change, 401, CHALLENGE)
    assert bench.labels() == ["ACK"]
    assert bench.events()[-1] == OfferRefused(session, 401, "Unauthorized")


def test_answer_that_came_early_counts(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 183, body=ANSWER)
    bench.answer(invite, 200)
    assert bench.labels() == ["ACK"]
    assert bench.events()[-1] == CallAnswered(session, None)


def test_bye_that_overtakes_the_answer_ends_the_call(udp_bench: Bench) -> None:
    bench = udp_bench
    session, invite = bench.invite()
    bench.answer(invite, 180)
    bench.events()
    bye = bench.later(invite.with_replaced("To", f"{invite.value('to')};tag=b"), "BYE", 1)
    bench.receive(bye)
    assert bench.labels() == ["200", "CANCEL"]
    bench.answer(invite, 200, body=ANSWER)

    assert bench.labels() == ["ACK", "BYE"]
    assert bench.events() == [CallFailed(session, 487, "ended by the peer")]


def test_ringing_ends_after_its_time_with_a_cancel(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 180)
    bench.events()
    assert bench.wait(200) == [(MAX_RINGING_S, "CANCEL")]
    bench.answer(invite, 487)
    assert bench.events() == [CallFailed(session, 408, "nobody answered")]


def test_phone_that_answers_after_all_is_over_gets_ack_and_bye(bench: Bench) -> None:
    session, invite = bench.invite()
    bench.answer(invite, 180)
    session.hang_up(0.0)
    bench.answer(invite, 487)
    bench.sent()
    assert session.state is State.ENDED
    session.hang_up(0.0)
    assert bench.sent() == []


# Credentials


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_challenged_call_is_sent_again_as_the_same_call(udp_bench: Bench) -> None:
    bench = udp_bench
    session, first = bench.invite(credentials=credentials())
    bench.answer(first, 100, tag=None)
    bench.answer(first, 401, CHALLENGE)
    ack, second = bench.sent()

    assert isinstance(second, Request)
    assert (ack.cseq.method, second.method) == ("ACK", "INVITE")
    assert str(second.cseq) == "2 INVITE"
    assert second.top_via.branch != first.top_via.branch
    assert len(second.vias) == 1
    assert [second.value(name) for name in ("from", "to", "call-id")] == [
        first.value(name) for name in ("from", "to", "call-id")
    ]
    assert second.body == OFFER
    assert "authorization" in second
    bench.answer(first, 401, CHALLENGE)  # a repeat
    assert bench.labels() == ["ACK"]
    bench.answer(second, 200, body=ANSWER)
    answer = bench.sent_request("ACK")
    assert str(answer.cseq) == "2 ACK"
    assert answer.value("authorization") == second.value("authorization")
    assert session.state is State.CONFIRMED
    session.hang_up(0.0)
    assert str(bench.sent_request("BYE").cseq) == "3 BYE"


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_password_that_was_refused_is_not_sent_again(bench: Bench) -> None:
    session, first = bench.invite(credentials=credentials())
    bench.answer(first, 401, CHALLENGE)
    _, second = bench.sent()
    assert isinstance(second, Request)
    bench.answer(second, 401, CHALLENGE)

    assert bench.labels() == ["ACK"]
    assert bench.events() == [CallFailed(session, 401, "Unauthorized")]


@pytest.mark.parametrize("heard", [False, True])
def test_call_given_up_is_not_sent_again(bench: Bench, *, heard: bool) -> None:
    session, invite = bench.invite(credentials=credentials())
    if heard:
        bench.answer(invite, 100, tag=None)
    session.hang_up(0.0)
    bench.sent()
    bench.answer(invite, 401, CHALLENGE)

    assert bench.labels() == ["ACK"]
    assert bench.events() == [CallFailed(session, 487, "hung up here")]


def test_challenged_bye_is_sent_again(bench: Bench) -> None:
    session, invite = bench.invite(credentials=credentials())
    bench.answer(invite, 200, body=ANSWER)
    bench.sent()
    session.hang_up(0.0)
    bench.answer(bench.sent_request("BYE"), 401, CHALLENGE)
    again = bench.sent_request("BYE")

    assert str(again.cseq) == "3 BYE"
    assert "authorization" in again
    assert bench.agent.busy
    bench.answer(again, 200)
    assert not bench.agent.busy


def test_no_secret_shows(bench: Bench) -> None:
    session, _ = bench.invite(credentials=credentials())
    bench.receive(bench.request("INVITE", body=KEYS))
    assert "abcd" not in repr(bench.events()) + repr(bench.agent._context)
    other, invite = bench.invite()
    bench.answer(invite, 200, body=KEYS)
    events = bench.events()
    assert events == [CallAnswered(other, KEYS)]
    bench.sent()
    bench.agent.invite("sip:b@h", local_uri="sip:a@h", hop=TLS, sdp=KEYS, now=0.0)
    assert "abcd" not in repr(events) + repr(bench.element.take_sends())
    assert "correct horse" not in repr(session) + repr(vars(session)) + repr(bench.agent)


# We are called


def test_answer_raises_and_leaves_the_call_ringing_when_its_keys_would_show() -> None:
    for flow in (UDP, TCP):
        bench = Bench(flow)
        session, invite = bench.call_in()
        for do in (session.answer, session.progress):
            with pytest.raises(KeysInClear):
                do(KEYS, 0.0)
        assert bench.sent() == []
        assert session.state is State.RINGING
        session.hang_up(0.0)
        assert bench.sent_response().status == 480  # it has not rung
        assert invite.call_id == session.call_id


@pytest.mark.parametrize("name", ["answer", "progress"])
def test_call_that_does_not_wait_cannot_be_answered(bench: Bench, name: str) -> None:
    session, invite = bench.call_in()
    bench.stand(session, invite)
    outgoing, _ = bench.invite()
    for each in (session, outgoing):
        with pytest.raises(LocalError, match="does not wait"):
            getattr(each, name)(ANSWER, 0.0)
        each.ring(0.0)
    assert bench.sent() == []


@pytest.mark.parametrize("status", [100, 200, 299, 700])
def test_refusal_must_be_one(bench: Bench, status: int) -> None:
    session, _ = bench.call_in()
    with pytest.raises(LocalError):
        session.reject(status, 0.0)
    assert session.state is State.RINGING


def test_refusal_bears_what_we_say(bench: Bench) -> None:
    session, _ = bench.call_in()
    session.reject(488, 0.0, reason="No Such Codec", warning='say "please"')
    response = bench.sent_response()

    assert (response.status, response.reason) == (488, "No Such Codec")
    assert response.value("warning") == "399 sottovoce \"say 'please'\""
    assert response.to.tag
    assert bench.events() == [CallEnded(session, False, "No Such Codec")]
    session.reject(486, 0.0)
    assert bench.sent() == []


@pytest.mark.parametrize(("expires", "ends_at"), [(None, MAX_RINGING_S), ("20", 20.0)])
def test_call_that_is_not_answered_in_time_is_refused(
    bench: Bench, expires: str | None, ends_at: float
) -> None:
    fields = [("Expires", expires)] if expires else []
    bench.receive(bench.request("INVITE", *fields, body=OFFER))
    bench.events()
    refused = [(at, name) for at, name in bench.wait(200) if name != "100"]
    assert refused == [(ends_at, "487" if expires else "480")]
    (event,) = bench.events()
    assert isinstance(event, CallEnded)


def test_early_bye_of_the_caller_ends_the_ringing(bench: Bench) -> None:
    session, _ = bench.call_in()
    session.ring(0.0)
    ringing = bench.sent_response()
    bench.receive(bench.later(ringing, "BYE", 2))

    assert bench.labels() == ["200", "487"]
    assert bench.events() == [CallEnded(session, True, "ended by the peer")]


def test_ack_of_another_invite_confirms_nothing(bench: Bench) -> None:
    session, _ = bench.call_in()
    session.answer(ANSWER, 0.0)
    response = bench.sent_response()
    bench.receive(bench.later(response, "ACK", 7))
    assert bench.events() == []
    bench.receive(bench.later(response, "ACK", 1))
    assert session.state is State.CONFIRMED
    assert bench.events() == [CallConfirmed(session, None)]


def test_answer_without_a_description_in_the_ack_ends_the_call(bench: Bench) -> None:
    session, _ = bench.call_in(b"")
    session.answer(OFFER, 0.0)
    bench.receive(bench.later(bench.sent_response(), "ACK", 1))

    assert bench.labels() == ["BYE"]
    assert isinstance(bench.events()[-1], CallEnded)


# In the call


@pytest.mark.rfc("rfc3261-ua-transactions", 19)
def test_older_request_is_500_and_changes_nothing(bench: Bench) -> None:
    session, invite = bench.call_in()
    ack = bench.stand(session, invite)
    bench.receive(bench.later(of_alice(ack), "BYE", 1))

    assert bench.sent_response().status == 500
    assert session.state is State.CONFIRMED


def of_alice(ack: Request) -> Request:
    """The dialog as one of Alice's requests would name it, from Bob's ACK."""
    return ack.with_replaced("From", ack.value("to") or "").with_replaced(
        "To", ack.value("from") or ""
    )


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("INFO", 405), ("REFER", 405), ("NEWMETHOD", 501), ("UPDATE", 200)],
)
def test_requests_in_the_call_are_answered(bench: Bench, method: str, status: int) -> None:
    session, invite = bench.call_in()
    ack = bench.stand(session, invite)
    bench.receive(bench.later(of_alice(ack), method, 2))
    response = bench.sent_response()

    assert response.status == status
    assert "INVITE" in response.items("allow")
    assert bench.events() == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("Require", "100rel")], 420),
        ([("Content-Type", "text/plain")], 415),
    ],
)
def test_change_that_asks_too_much_is_refused(
    bench: Bench, fields: list[tuple[str, str]], status: int
) -> None:
    session, invite = bench.call_in()
    ack = bench.stand(session, invite)
    bench.receive(bench.later(of_alice(ack), "INVITE", 2, *fields, body=b"x"))
    assert bench.sent_response().status == status
    assert session.state is State.CONFIRMED


@pytest.mark.rfc("rfc5630", 10)
def test_change_to_a_target_without_tls_is_refused_in_a_secure_call(bench: Bench) -> None:
    invite = bench.request("INVITE", uri="sips:alice@h", contact="<sips:bob@h>", body=OFFER)
    bench.receive(invite)
    session = bench.agent.sessions[0]
    ack = bench.stand(session, invite)
    bench.receive(bench.later(of_alice(ack), "INVITE", 2, contact="<sip:bob@h>", body=OFFER))

    assert bench.sent_response().status == 400
    assert bench.events() == []
    session.hang_up(0.0)
    assert bench.sent_request("BYE").request_uri == "sips:bob@h"


def test_request_of_a_secure_call_that_comes_without_tls_is_refused(bench: Bench) -> None:
    invite = bench.request("INVITE", uri="sips:alice@h", contact="<sips:bob@h>", body=OFFER)
    bench.receive(invite)
    session = bench.agent.sessions[0]
    ack = bench.stand(session, invite)
    bench.flow = TCP
    bench.receive(bench.later(of_alice(ack), "BYE", 2))
    assert bench.sent_response().status == 403
    assert session.state is State.CONFIRMED


def test_offer_before_ours_is_answered_waits(bench: Bench) -> None:
    """RFC 3311 section 5.2, for an early dialog of our own call."""
    _, invite = bench.invite()
    bench.answer(invite, 180)
    bench.events()
    dialog = invite.with_replaced("To", f"{invite.value('to')};tag=b")
    bench.receive(bench.later(dialog, "UPDATE", 1, body=OFFER))
    assert bench.sent_response().status == 491
    assert bench.events() == []


def test_second_invite_before_the_first_answer_comes_too_early(bench: Bench) -> None:
    session, _ = bench.call_in()
    session.ring(0.0)
    ringing = bench.sent_response()
    bench.receive(bench.later(ringing, "INVITE", 2, body=OFFER))
    response = bench.sent_response()

    assert response.status == 500
    assert 0 <= int(response.value("retry-after") or "-1") <= 10
    assert session.state is State.RINGING


def test_change_before_the_ack_of_the_answer_has_come_waits(bench: Bench) -> None:
    session, _ = bench.call_in()
    session.answer(ANSWER, 0.0)
    response = bench.sent_response()
    bench.receive(bench.later(response, "INVITE", 2, body=OFFER))
    assert bench.sent_response().status == 491


@pytest.mark.parametrize("status", [408, 481])
def test_peer_that_does_not_know_the_call_ends_it(bench: Bench, status: int) -> None:
    session, _ = bench.call_out()
    session.offer(OFFER, 0.0)
    bench.answer(bench.sent_request("INVITE"), status)

    assert bench.labels() == ["ACK", "BYE"]
    refused, ended = bench.events()
    assert isinstance(refused, OfferRefused)
    assert isinstance(ended, CallEnded)
    assert not ended.by_remote


def test_peers_changes_are_for_the_user_to_decide(bench: Bench) -> None:
    session, invite = bench.call_in()
    ack = bench.stand(session, invite)
    bench.receive(bench.later(of_alice(ack), "INVITE", 2, body=OFFER))
    assert bench.events() == [SessionOffered(session, OFFER)]
    assert bench.wait(0.3) == [(0.2, "100")]


@pytest.mark.parametrize("flow", [TLS, UDP])
def test_ended_call_leaves_nothing_behind(flow: Flow) -> None:
    bench = Bench(flow)
    session, invite = bench.call_in()
    bench.stand(session, invite)
    session.hang_up(0.0)
    bench.wait(100)

    assert not bench.agent.busy
    assert not bench.agent._context.dialogs
    assert bench.agent.next_deadline() is None
    assert len(bench.element.transactions) == 0


def test_call_of_us_is_of_no_use_in_a_state_it_has_left(bench: Bench) -> None:
    session, _ = bench.call_out()
    assert isinstance(session, InviteSession)
    with pytest.raises(LocalError, match="no offer"):
        session.accept(ANSWER, 0.0)
    session.refuse(488, 0.0)
    assert bench.sent() == []
    session.hang_up(0.0)
    with pytest.raises(LocalError, match="does not stand"):
        session.offer(OFFER, 0.0)


#: What each state ignores, written out so that a new input cannot be forgotten.
_CALLED = "PROGRESS ANSWER REJECT CANCEL ACK NO_ACK REPEAT_PROGRESS"
_FINALS = "PROVISIONAL CHALLENGE SUCCESS EMPTY_SUCCESS FAILURE"
_EVERYTHING = " ".join(given.name for given in Input)
IGNORED = {
    State.CALLING: f"BYE BYE_OVER LOST {_CALLED}",
    State.PROCEEDING: f"BYE_OVER LOST {_CALLED}",
    State.CANCEL_WAITING: f"CHALLENGE HANG_UP NO_ANSWER BYE BYE_OVER LOST {_CALLED}",
    State.CANCELLING: f"PROVISIONAL CHALLENGE HANG_UP NO_ANSWER BYE BYE_OVER LOST {_CALLED}",
    State.RINGING: f"ACK NO_ACK BYE_OVER {_FINALS}",
    State.ANSWERED: "PROGRESS ANSWER REJECT CANCEL REPEAT_PROGRESS NO_ANSWER BYE_OVER LOST "
    f"{_FINALS}",
    State.HANGING_UP: "PROGRESS ANSWER REJECT CANCEL REPEAT_PROGRESS NO_ANSWER BYE_OVER LOST "
    f"HANG_UP {_FINALS}",
    State.CONFIRMED: f"NO_ANSWER BYE_OVER {_CALLED} {_FINALS}",
    State.LEAVING: f"HANG_UP NO_ANSWER BYE LOST {_CALLED} {_FINALS}",
    State.ENDED: _EVERYTHING,
}


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_table_says_what_every_state_does_with_every_input(state: State, given: Input) -> None:
    assert ((state, given) in TABLE) is (given.name not in IGNORED[state].split())
