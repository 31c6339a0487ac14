"""Whole calls between two user agents.  RFC 3261 sections 9, 13, 14, 15."""

import contextlib
import random
from collections.abc import Callable

import pytest

from sottovoce.errors import LocalError
from sottovoce.sip.invite_session import InviteSession
from sottovoce.sip.invite_states import State
from sottovoce.sip.session_events import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallFailed,
    CallProgress,
    IncomingCall,
    OfferAnswered,
    OfferRefused,
    OfferWithdrawn,
    SessionOffered,
)
from sottovoce.sip.transport import Transport

from .conftest import ANSWER, HELD, HOLD, LATENCY_S, OFFER, End, Network

Step = Callable[[InviteSession, float], object]


def incoming(network: Network) -> InviteSession:
    return network.bob.take(IncomingCall).session


# Set-up and end


def test_call_is_set_up_and_the_caller_hangs_up(network: Network) -> None:
    ours = network.invite(display_name="Alice")
    network.run(0.1)
    theirs = incoming(network)
    assert theirs.remote_offer == OFFER
    assert (theirs.remote_uri, theirs.remote_display_name) == ("sip:alice@example.org", "Alice")
    theirs.ring(network.now)
    network.run(2)
    theirs.answer(ANSWER, network.now)
    network.run(1)

    assert network.alice.take(CallProgress).status == 180
    assert network.alice.take(CallAnswered).sdp == ANSWER
    assert network.bob.take(CallConfirmed).sdp is None
    assert network.sent() == ["INVITE", "180 INVITE", "200 INVITE", "ACK"]
    assert ours.state is theirs.state is State.CONFIRMED

    ours.hang_up(network.now)
    network.run(1)
    assert network.sent()[4:] == ["BYE", "200 BYE"]
    assert network.alice.take(CallEnded).by_remote is False
    assert network.bob.take(CallEnded).by_remote is True
    network.run_out()
    network.check_nothing_is_left()


def test_callee_hangs_up(network: Network) -> None:
    _, theirs = network.call()
    theirs.hang_up(network.now)
    network.run(1)

    assert network.alice.take(CallEnded).by_remote is True
    assert network.bob.take(CallEnded).by_remote is False
    network.run_out()
    network.check_nothing_is_left()


def test_both_hang_up_at_once(network: Network) -> None:
    ours, theirs = network.call()
    ours.hang_up(network.now)
    theirs.hang_up(network.now)
    network.run(1)

    assert sorted(network.sent()) == ["200 BYE", "200 BYE", "BYE", "BYE"]
    network.run_out()
    network.check_nothing_is_left()


def test_call_without_an_offer_gets_one_and_answers_in_the_ack(network: Network) -> None:
    ours = network.invite(None)
    network.run(0.1)
    theirs = incoming(network)
    assert theirs.remote_offer is None
    theirs.answer(OFFER, network.now)
    network.run(0.1)

    assert network.alice.take(CallAnswered).sdp is None
    assert network.alice.take(SessionOffered).sdp == OFFER
    assert "ACK" not in network.sent()
    network.run(5)  # the 2xx comes again and again, while our user thinks
    ours.accept(ANSWER, network.now)
    network.run(5)
    assert network.bob.take(CallConfirmed).sdp == ANSWER
    assert network.sent("alice").count("ACK") == 1
    assert network.sent("bob").count("200 INVITE") > 1

    theirs.hang_up(network.now)
    network.run_out()
    network.check_nothing_is_left()


def test_late_offer_that_cannot_be_taken_is_left_with_ack_and_bye(network: Network) -> None:
    ours = network.invite(None)
    network.run(0.1)
    incoming(network).answer(OFFER, network.now)
    network.run(0.1)
    ours.refuse(488, network.now)
    network.run(1)

    assert network.sent("alice")[1:3] == ["ACK", "BYE"]
    network.run_out()
    network.check_nothing_is_left()


def test_early_media_is_shown_before_the_answer(network: Network) -> None:
    network.invite()
    network.run(0.1)
    incoming(network).progress(ANSWER, network.now)
    network.run(0.1)

    progress = network.alice.take(CallProgress)
    assert (progress.status, progress.sdp) == (183, ANSWER)


@pytest.mark.parametrize(
    ("refuse", "status"),
    [
        (lambda session, now: session.reject(486, now, warning="gone fishing"), 486),
        (lambda session, now: session.hang_up(now), 480),
        (lambda session, now: (session.ring(now), session.hang_up(now)), 603),
    ],
)
def test_callee_refuses(network: Network, refuse: Step, status: int) -> None:
    network.invite()
    network.run(0.1)
    refuse(incoming(network), network.now)
    network.run(1)

    failed = network.alice.take(CallFailed)
    assert failed.status == status
    assert failed.warning == ("gone fishing" if status == 486 else "")
    assert network.bob.take(CallEnded).by_remote is False
    network.run_out()
    network.check_nothing_is_left()


def test_unanswered_call_ends_at_both_ends(network: Network) -> None:
    network.invite()
    network.run(0.1)
    incoming(network).ring(network.now)
    network.run_out()

    assert network.alice.take(CallFailed).status in (408, 480)
    assert network.bob.take(CallEnded).reason
    assert network.sent().count("180 INVITE") == 3  # one each minute: section 13.3.1.1
    network.check_nothing_is_left()


# CANCEL


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_ends_the_ringing(network: Network) -> None:
    ours = network.invite()
    network.run(0.1)
    incoming(network).ring(network.now)
    network.run(0.1)
    ours.hang_up(network.now)
    network.run(1)

    assert network.sent()[2:] == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
    assert network.alice.take(CallFailed).status == 487
    assert network.bob.take(CallEnded).by_remote is True
    network.run_out()
    network.check_nothing_is_left()


@pytest.mark.rfc("rfc3261-ua-transactions", 9)
def test_cancel_waits_for_the_first_provisional_response(network: Network) -> None:
    ours = network.invite()
    ours.hang_up(network.now)
    network.run(0.1)
    assert network.sent() == ["INVITE"]
    network.run(0.2)  # the callee's transaction says 100 after 200 ms
    assert network.sent("alice")[:2] == ["INVITE", "CANCEL"]
    network.run_out()

    assert network.alice.take(CallFailed).status == 487
    network.check_nothing_is_left()


def test_answer_that_crosses_the_cancel_is_acknowledged_and_ended(network: Network) -> None:
    ours = network.invite()
    network.run(0.1)
    theirs = incoming(network)
    theirs.ring(network.now)
    network.run(0.1)
    ours.hang_up(network.now)
    theirs.answer(ANSWER, network.now)
    network.run(1)

    assert network.sent("alice")[1:] == ["CANCEL", "ACK", "BYE"]
    assert network.alice.take(CallFailed).status == 487
    assert network.bob.take(CallEnded).by_remote is True
    assert not network.alice.has(CallAnswered)
    network.run_out()
    network.check_nothing_is_left()


def test_hanging_up_before_the_ack_waits_for_it(udp: Network) -> None:
    """Section 15: no BYE on a dialog whose 2xx is not acknowledged."""
    udp.lose("ACK", times=2)
    udp.invite()
    udp.run(0.1)
    theirs = incoming(udp)
    theirs.answer(ANSWER, udp.now)
    udp.run(0.1)
    theirs.hang_up(udp.now)
    udp.run(0.1)
    assert "BYE" not in udp.sent("bob")

    udp.run_out()
    assert udp.sent("bob")[-1] == "BYE"
    udp.check_nothing_is_left()


# Loss


@pytest.mark.rfc("rfc3261-ua-transactions", 5)
def test_answer_is_repeated_on_every_transport_until_its_ack_comes(network: Network) -> None:
    network.lose("ACK", times=1000)
    network.invite()
    network.run(0.5)
    answered_at = network.now - network.started_at
    incoming(network).answer(ANSWER, network.now)
    network.run_out()

    times = [at for at, _, name in network.trace if name == "200 INVITE"]
    gaps = [round(at - answered_at, 3) for at in times]
    assert gaps == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    byes = [(at, who) for at, who, name in network.trace if name == "BYE"]
    assert byes[0] == (round(answered_at + 32, 3), "bob")
    assert network.sent("alice").count("ACK") == len(times)
    network.check_nothing_is_left()


@pytest.mark.parametrize("lost", ["INVITE", "200 INVITE", "ACK"])
def test_lost_message_of_the_set_up_is_sent_again(udp: Network, lost: str) -> None:
    udp.lose(lost)
    udp.invite()
    udp.run(1)
    incoming(udp).answer(ANSWER, udp.now)
    udp.run(2)

    assert udp.alice.has(CallAnswered)
    assert udp.bob.has(CallConfirmed)
    assert len(udp.bob.agent.sessions) == 1


@pytest.mark.parametrize("lost", ["BYE", "200 BYE"])
def test_lost_message_of_the_end_is_sent_again(udp: Network, lost: str) -> None:
    ours, _ = udp.call()
    udp.lose(lost)
    ours.hang_up(udp.now)
    udp.run_out()

    assert udp.sent("alice").count("BYE") == 2
    udp.check_nothing_is_left()


@pytest.mark.parametrize("lost", ["CANCEL", "200 CANCEL", "487 INVITE"])
def test_lost_message_of_a_cancelled_call_is_sent_again(udp: Network, lost: str) -> None:
    ours = udp.invite()
    udp.run(0.3)
    udp.lose(lost)
    ours.hang_up(udp.now)
    udp.run_out()

    assert udp.alice.take(CallFailed).status == 487
    udp.check_nothing_is_left()


def test_nobody_there(udp: Network) -> None:
    udp.lose_everything()
    udp.invite()
    udp.run_out()

    assert udp.alice.take(CallFailed).status == 408
    assert udp.now - udp.started_at == pytest.approx(32.0)
    udp.check_nothing_is_left()


def test_peer_vanishes_while_it_rings(network: Network) -> None:
    ours = network.invite()
    network.run(0.3)
    network.lose_everything()
    network.run(10)
    ours.hang_up(network.now)
    network.run_out()

    assert network.alice.take(CallFailed).status == 487
    network.check_nothing_is_left()


def test_peer_vanishes_in_the_call(network: Network) -> None:
    ours, theirs = network.call()
    network.lose_everything()
    ours.hang_up(network.now)
    network.run(40)
    assert network.alice.take(CallEnded)
    assert not network.alice.agent.sessions

    theirs.offer(HOLD, network.now)
    network.run_out()
    assert network.bob.take(OfferRefused).status == 408
    assert network.bob.take(CallEnded)  # section 12.2.1.2
    network.check_nothing_is_left()


def stormy(chance: random.Random) -> Network:
    """A third of the messages lost, some doubled, all late by up to a second."""
    network = Network(Transport.UDP, chance.randrange(1000))

    def link(name: str, sender: str, now: float) -> list[float]:
        copies = chance.choice([0, 0, 1, 1, 1, 2])
        return [chance.uniform(0.01, 1.0) for _ in range(copies)]

    def react(event: object, now: float) -> None:
        if isinstance(event, IncomingCall):
            event.session.ring(now)
            if chance.random() < 0.8:
                event.session.answer(ANSWER, now)
        elif isinstance(event, SessionOffered):
            if chance.random() < 0.5:
                event.session.accept(HELD, now)
            else:
                event.session.refuse(488, now)

    network.link = link
    for end in network.ends:
        end.on_event = react
    return network


def act(session: InviteSession, chance: random.Random, now: float) -> None:
    match chance.choice(["offer", "wait", "wait", "hang_up"]):
        case "hang_up":
            session.hang_up(now)
        case "offer":
            with contextlib.suppress(LocalError):  # another change may be under way
                session.offer(HOLD, now)


@pytest.mark.parametrize("seed", range(12))
def test_calls_come_to_an_end_whatever_the_network_does(seed: int) -> None:
    chance = random.Random(seed)
    network = stormy(chance)
    ours = [network.invite(), network.invite(None), network.invite()]
    for _ in range(20):
        network.run(chance.uniform(0.1, 5))
        for end in network.ends:
            for session in end.agent.sessions:
                act(session, chance, network.now)
    for end in network.ends:
        for session in end.agent.sessions:
            session.hang_up(network.now)
    network.run_out()

    network.check_nothing_is_left()
    assert all(network.alice.ends[session] == 1 for session in ours)


# Connections


def test_connection_lost_before_the_answer(tls: Network) -> None:
    tls.invite()
    tls.run(0.1)
    tls.cut_connection()
    tls.run_out()

    assert tls.alice.take(CallFailed).status == 503
    assert tls.bob.take(CallEnded).by_remote is True
    tls.check_nothing_is_left()


def test_call_outlives_its_connection(tls: Network) -> None:
    ours, _ = tls.call()
    tls.cut_connection()
    tls.run(5)
    tls.connect_again()
    ours.hang_up(tls.now)
    tls.run(1)

    assert tls.bob.take(CallEnded).by_remote is True
    tls.run_out()
    tls.check_nothing_is_left()


def test_call_ends_without_its_connection(tls: Network) -> None:
    ours, _ = tls.call()
    tls.cut_connection()
    ours.hang_up(tls.now)
    tls.run(1)

    assert tls.alice.take(CallEnded).by_remote is False
    assert not tls.alice.agent.sessions


# Changes


def offered(end: End) -> tuple[InviteSession, bytes | None]:
    event = end.take(SessionOffered)
    return event.session, event.sdp


def test_hold_and_resume(network: Network) -> None:
    ours, _ = network.call()
    for offer, answer in ((HOLD, HELD), (OFFER, ANSWER)):
        ours.offer(offer, network.now)
        network.run(0.1)
        session, sdp = offered(network.bob)
        assert sdp == offer
        session.accept(answer, network.now)
        network.run(1)
        assert network.alice.take(OfferAnswered).sdp == answer
    assert network.sent() == ["INVITE", "200 INVITE", "ACK"] * 2
    network.run_out()


def test_change_that_asks_for_the_peers_offer(network: Network) -> None:
    _, theirs = network.call()
    theirs.offer(None, network.now)
    network.run(0.1)
    session, sdp = offered(network.alice)
    assert sdp is None
    session.accept(HOLD, network.now)
    network.run(0.1)
    session, sdp = offered(network.bob)
    assert sdp == HOLD
    session.accept(HELD, network.now)
    network.run(1)

    assert network.alice.take(OfferAnswered).sdp == HELD


@pytest.mark.rfc("rfc3261-ua-transactions", 21)
def test_refused_change_leaves_the_session_as_it_was(network: Network) -> None:
    ours, theirs = network.call()
    ours.offer(HOLD, network.now)
    network.run(0.1)
    offered(network.bob)[0].refuse(488, network.now, warning="no")
    network.run(1)

    refused = network.alice.take(OfferRefused)
    assert (refused.status, refused.reason) == (488, "Not Acceptable Here")
    assert ours.state is theirs.state is State.CONFIRMED


@pytest.mark.rfc("rfc3261-ua-transactions", 20)
def test_offers_that_cross_are_both_refused_and_the_callees_comes_first_then(
    network: Network,
) -> None:
    ours, theirs = network.call()
    ours.offer(HOLD, network.now)
    theirs.offer(OFFER, network.now)
    started_at = network.now - network.started_at
    network.run(0.1)
    assert network.sent("bob")[:2] == ["INVITE", "491 INVITE"]

    network.alice.on_event = network.bob.on_event = lambda event, now: (
        event.session.accept(HELD, now) if isinstance(event, SessionOffered) else None
    )
    network.run(6)
    again = {who: at for at, who, name in network.trace if name == "INVITE"}
    assert 0.0 <= again["bob"] - started_at - 2 * LATENCY_S <= 2.0
    assert network.bob.take(OfferAnswered).sdp == HELD
    # The caller waits longer, and its offer was for a session that is another one now.
    assert network.alice.take(OfferRefused).status == 491


def test_change_is_withdrawn_when_the_call_ends(network: Network) -> None:
    ours, theirs = network.call()
    ours.offer(HOLD, network.now)
    network.run(0.1)
    ours.hang_up(network.now)
    network.run(1)

    assert network.sent("bob")[:2] == ["200 BYE", "487 INVITE"]
    assert theirs.state is State.ENDED
    network.run_out()
    network.check_nothing_is_left()


def test_change_that_nobody_decides_on_ends_the_call(network: Network) -> None:
    ours, _ = network.call()
    ours.offer(HOLD, network.now)
    network.run_out()

    assert network.bob.has(OfferWithdrawn)
    assert network.alice.take(OfferRefused).status == 408
    assert network.alice.take(CallEnded)
    network.check_nothing_is_left()
