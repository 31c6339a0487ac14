"""A phone, its registrar, and passwords.  RFC 3261 sections 10 and 22, RFC 5626 section 4."""

import random
from collections.abc import Callable

import pytest

from sottovoce.secret import Secret
from sottovoce.sip import registrar
from sottovoce.sip.authenticator import Authenticator, Outcome
from sottovoce.sip.digest import Algorithm, ha1
from sottovoce.sip.element import ElementEvent
from sottovoce.sip.message import Request, Response
from sottovoce.sip.registration import Registration, State
from sottovoce.sip.server_transaction import ServerTransaction
from sottovoce.sip.session_events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    IncomingCall,
    Registered,
    RegistrationFailed,
    Unregistered,
)
from sottovoce.sip.transactions import RequestReceived

from .conftest import ANSWER, Network

DOMAIN, PASSWORD = "example.org", "correct horse"
INSTANCE = "urn:uuid:00000000-0000-4000-8000-000000000001"


class Server:
    """What stands at Bob's end: a registrar that asks for passwords, before a user agent."""

    def __init__(self, network: Network, *, min_expires_s: int = 60) -> None:
        self.network = network
        self.element = network.bob.element
        self.bindings: tuple[registrar.Binding, ...] = ()
        self.requests: list[Request] = []
        self.settings = registrar.RegistrarSettings(min_expires_s=min_expires_s)
        source = random.Random(7).randbytes
        self.authenticator = Authenticator(DOMAIN, source(32), source, nonce_life_s=300)
        self.before: Callable[[ServerTransaction, float], bool] = lambda transaction, now: False
        network.bob.core = self.receive_event

    def receive_event(self, event: ElementEvent, now: float) -> None:
        if not isinstance(event, RequestReceived):
            self.network.bob.agent.receive_event(event, now)
            return
        transaction, request = event.transaction, event.request
        self.requests.append(request)
        if self.before(transaction, now) or not self._is_allowed(transaction, request, now):
            return
        if request.method != "REGISTER":
            self.network.bob.agent.receive_event(event, now)
            return
        result = registrar.apply(
            request, self.bindings, now_utc=now, flow="1", settings=self.settings
        )
        self.bindings = tuple(each for each in result.bindings if each.remaining_s(now))
        response = Response.to_request(
            request, result.status, result.reason, to_tag="r", fields=result.fields
        )
        self.element.respond(transaction, response, now)

    def _is_allowed(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        proxy = request.method != "REGISTER"
        asks, answers = "WWW-Authenticate", "authorization"
        if proxy:
            asks, answers = "Proxy-Authenticate", "proxy-authorization"
        verdict = self.authenticator.check(
            request.values(answers), request.method, request.request_uri, _find_ha1, now
        )
        if verdict.outcome is Outcome.ACCEPTED:
            return True
        stale = verdict.outcome is Outcome.STALE
        fields = [(asks, each) for each in self.authenticator.challenges(now, stale=stale)]
        self.element.reply(transaction, 407 if proxy else 401, now, fields=fields)
        return False


def _find_ha1(user: str, algorithm: Algorithm) -> Secret[str] | None:
    return ha1(algorithm, user, DOMAIN, Secret(PASSWORD)) if user == "alice" else None


def register(network: Network, password: str = PASSWORD, expires_s: int = 600) -> Registration:
    alice = network.alice
    return alice.agent.register(
        f"sip:{DOMAIN}",
        aor=alice.uri,
        hop=alice.flow,
        contact="sip:alice@192.0.2.1:5060",
        credentials=alice.credentials(password),
        expires_s=expires_s,
        instance_id=INSTANCE,
        now=network.now,
    )


def test_phone_registers_with_its_password_and_refreshes_in_time(network: Network) -> None:
    server = Server(network)
    registration = register(network)
    network.run(1)

    assert network.alice.take(Registered).expires_s == 600
    assert network.sent() == ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER"]
    assert server.bindings[0].instance == f"<{INSTANCE}>"
    assert server.bindings[0].reg_id == 1

    registered_at, count = network.now, len(server.requests)
    network.run(3600)
    assert registration.state is State.REGISTERED
    assert server.bindings[0].remaining_s(network.now) > 0
    gaps = [event for event in network.alice.events if isinstance(event, RegistrationFailed)]
    assert not gaps
    assert 6 <= sum(name == "200 REGISTER" for name in network.sent()) - 1 <= 8
    assert network.now > registered_at
    assert len(server.requests) > count
    # Section 10.2: one Call-ID, a CSeq that rises, for as long as the phone lives.
    assert len({each.call_id for each in server.requests}) == 1
    numbers = [each.cseq.number for each in server.requests]
    assert numbers == sorted(set(numbers))


def test_phone_takes_its_binding_back(network: Network) -> None:
    server = Server(network)
    registration = register(network)
    network.run(1)
    registration.unregister(network.now)
    assert network.alice.agent.busy
    network.run(1)

    assert network.alice.has(Unregistered)
    assert server.bindings == ()
    assert not network.alice.agent.registrations
    network.run_out()
    network.check_nothing_is_left()


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_wrong_password_is_not_tried_twice(network: Network) -> None:
    server = Server(network)
    register(network, "wrong")
    network.run(4000)

    failed = network.alice.take(RegistrationFailed)
    assert (failed.status, failed.retry_in_s) == (401, None)
    assert len(server.requests) == 2
    assert server.bindings == ()


def test_too_short_a_life_is_asked_for_again_longer(network: Network) -> None:
    server = Server(network, min_expires_s=120)
    register(network, expires_s=30)
    network.run(1)

    assert "423 REGISTER" in network.sent()
    assert network.alice.take(Registered).expires_s == 120
    assert len(server.bindings) == 1


@pytest.mark.rfc("rfc5626-3581", 11)
def test_registrar_that_is_down_is_asked_at_growing_gaps(network: Network) -> None:
    server = Server(network)

    def down(transaction: ServerTransaction, now: float) -> bool:
        server.element.reply(transaction, 503, now)
        return True

    server.before = down
    register(network)
    asked_at = []
    for failures in range(1, 9):
        network.run(0.2)
        wait_s = network.alice.take(RegistrationFailed).retry_in_s
        assert wait_s is not None
        longest_s = min(1800, 30 * 2**failures)
        assert longest_s / 2 <= wait_s <= longest_s
        asked_at.append(network.now)
        network.run(wait_s - 0.2 + 0.05)
    server.before = lambda transaction, now: False
    network.run(1900)
    assert network.alice.take(Registered).expires_s == 600


def test_nobody_at_the_registrars_address(udp: Network) -> None:
    udp.lose_everything()
    register(udp)
    udp.run(33)

    failed = udp.alice.take(RegistrationFailed)
    assert failed.status == 408
    assert failed.retry_in_s is not None


def test_phone_registers_again_over_its_new_connection(tls: Network) -> None:
    server = Server(tls)
    registration = register(tls)
    tls.run(1)
    tls.cut_connection()
    tls.run(1)
    lost = tls.alice.take(RegistrationFailed)
    assert (lost.status, lost.reason) == (503, "connection reset")
    tls.alice.events.clear()
    tls.connect_again()
    tls.run(1)

    assert tls.alice.has(Registered)
    assert registration.state is State.REGISTERED
    assert len(server.bindings) == 1


# Calls through a server that asks for a password


def test_call_is_sent_again_with_the_password(network: Network) -> None:
    server = Server(network)
    session = network.invite(credentials=network.alice.credentials(PASSWORD))
    network.run(0.1)
    network.bob.take(IncomingCall).session.answer(ANSWER, network.now)
    network.run(1)

    assert network.alice.take(CallAnswered).sdp == ANSWER
    invites = [each for each in server.requests if each.method == "INVITE"]
    assert [each.cseq.number for each in invites] == [1, 2]
    assert len({(each.call_id, each.from_.tag) for each in invites}) == 1
    assert len({each.top_via.branch for each in invites}) == 2

    session.hang_up(network.now)  # BYE has credentials from the start
    network.run(1)
    assert network.sent("alice")[-1] == "BYE"
    assert network.bob.take(CallEnded).by_remote is True
    network.run_out()
    network.check_nothing_is_left()


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_ack_carries_the_credentials_of_its_invite(network: Network) -> None:
    Server(network)
    seen: list[Request] = []

    def core(event: ElementEvent, now: float) -> None:
        request = getattr(event, "request", None)
        if isinstance(request, Request) and request.method == "ACK":
            seen.append(request)
        server_core(event, now)

    server_core = network.bob.core
    network.bob.core = core
    network.invite(credentials=network.alice.credentials(PASSWORD))
    network.run(0.1)
    network.bob.take(IncomingCall).session.answer(ANSWER, network.now)
    network.run(1)

    assert seen[-1].cseq.number == 2
    assert 'username="alice"' in (seen[-1].value("proxy-authorization") or "")


def test_call_with_the_wrong_password_fails(network: Network) -> None:
    server = Server(network)
    network.invite(credentials=network.alice.credentials("wrong"))
    network.run(1)

    assert network.alice.take(CallFailed).status == 407
    assert sum(each.method == "INVITE" for each in server.requests) == 2
    network.run_out()
    network.check_nothing_is_left()


def test_call_without_a_password_fails(network: Network) -> None:
    server = Server(network)
    network.invite()
    network.run(1)

    assert network.alice.take(CallFailed).status == 407
    assert len(server.requests) == 1
