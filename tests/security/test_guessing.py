"""Guessing passwords: slowed, banned, and never at the cost of a bystander."""

import re
import secrets
from datetime import UTC, datetime

import pytest

from sottovoce.secret import Secret
from sottovoce.server import doorkeeper as doorkeeper_module
from sottovoce.server.doorkeeper import Doorkeeper
from sottovoce.server.flow_register import FlowRegister
from sottovoce.server.guard import GuardSettings
from sottovoce.server.location import Location
from sottovoce.server.node import Node
from sottovoce.sip.authenticator import Authenticator
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.element import CloseFlow, Element
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.registrar import RegistrarSettings
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.user_agent import UserAgent
from sottovoce.store import Account, Ban, MemoryStore

DOMAIN = "example.test"
LOCAL = ("192.0.2.1", 5061)
GUESSER = Flow(Transport.TLS, LOCAL, ("198.51.100.1", 40001), connection=1)
HONEST = Flow(Transport.TLS, LOCAL, ("198.51.100.2", 40001), connection=2)
UDP_GUESSER = Flow(Transport.UDP, LOCAL, ("198.51.100.1", 5060))
UDP_BYSTANDER = Flow(Transport.UDP, LOCAL, ("203.0.113.5", 5060))
UTC_AT_START = 1e9


class Server:
    """A node without sockets, and a clock that stands until it is told to go on."""

    def __init__(self, store: MemoryStore | None = None, guess_limit: int = 10) -> None:
        self.now = 1.0
        self.store = store or MemoryStore()
        if store is None:
            account = Account.make(
                "alice", DOMAIN, Secret("right-password"), created_utc=datetime.now(UTC)
            )
            self.store.add_account(account)
        self.element = Element(secrets.token_bytes)
        self.doorkeeper = Doorkeeper(
            GuardSettings(guess_limit=guess_limit), self.element, self.store, self.utc, self.now
        )
        self.bans = 0
        self.doorkeeper.on_ban = self.count_ban
        self.node = Node(
            DOMAIN,
            self.element,
            accounts=self.store,
            location=Location(self.store, self.now),
            flows=FlowRegister("run", b"k" * 32),
            authenticator=Authenticator(DOMAIN, b"k" * 32, secrets.token_bytes),
            doorkeeper=self.doorkeeper,
            user_agent=UserAgent(self.element, random_bytes=secrets.token_bytes),
            registrar_settings=RegistrarSettings(),
            md5_only_agents=(),
            wall_clock=self.utc,
        )

    def utc(self) -> float:
        return UTC_AT_START + self.now

    def count_ban(self) -> None:
        self.bans += 1

    def receive(self, data: bytes, flow: Flow) -> list[Response]:
        if flow.connection:
            self.element.receive_stream(data, flow, self.now)
        else:
            self.element.receive_datagram(data, flow, self.now)
        return self.answers()

    def wait(self, seconds: float) -> list[Response]:
        self.now += seconds
        self.element.handle_timer(self.now)
        self.node.handle_timer(self.now)
        return self.answers()

    def answers(self) -> list[Response]:
        while (event := self.element.next_event()) is not None:
            self.node.receive_event(event, self.now)
        found = []
        for send in self.element.take_sends():
            if not isinstance(send, CloseFlow):
                response = parse_message(send.data)
                assert isinstance(response, Response)
                found.append(response)
        return found

    def admits(self, flow: Flow) -> bool:
        return self.doorkeeper.admits(flow.remote[0])


class Phone:
    """Registers, with one password after the other."""

    def __init__(self, server: Server, flow: Flow, user: str = "alice") -> None:
        self.server, self.flow, self.user = server, flow, user
        self.number = 0

    def request(self) -> Request:
        self.number += 1
        return Request.make(
            "REGISTER",
            f"sips:{DOMAIN}",
            [
                ("Via", f"SIP/2.0/TLS a.invalid;branch=z9hG4bK{secrets.token_hex(4)};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<sips:{self.user}@{DOMAIN}>;tag=a"),
                ("To", f"<sips:{self.user}@{DOMAIN}>"),
                ("Call-ID", "same"),
                ("CSeq", f"{self.number} REGISTER"),
                ("Contact", "<sips:x@198.51.100.1>"),
                ("Content-Length", "0"),
            ],
        )

    def client(self, password: str) -> DigestClient:
        return DigestClient(
            username=self.user,
            password=Secret(password),
            realms=frozenset({DOMAIN}),
            random_bytes=secrets.token_bytes,
        )

    def challenged(self, password: str) -> Request:
        """A request that answers a challenge which came here."""
        client, asked = self.client(password), self.request()
        (challenge,) = self.server.receive(asked.to_bytes(), self.flow)
        client.receive_challenge(asked, challenge)
        return client.authorize(self.request())

    def try_password(self, password: str) -> list[Response]:
        return self.server.receive(self.challenged(password).to_bytes(), self.flow)


@pytest.mark.parametrize("flow", [GUESSER, UDP_GUESSER], ids=["TLS", "UDP"])
def test_guesser_is_banned_and_another_address_is_not(flow: Flow) -> None:
    server = Server(guess_limit=10)
    guesser, honest = Phone(server, flow), Phone(server, HONEST)
    for number in range(10):
        assert server.admits(flow), number
        guesser.try_password(f"guess-{number}")
        assert [each.status for each in honest.try_password("right-password")] == [200]

    assert not server.admits(flow)
    assert server.admits(HONEST)
    assert server.bans == 1
    (ban,) = server.store.load_bans()
    assert (ban.network, ban.reason, ban.strikes) == ("198.51.100.1", "wrong passwords", 1)


def test_refusals_are_the_same_as_ever_only_later() -> None:
    server = Server(guess_limit=100)
    guesser = Phone(server, GUESSER)
    (first,) = guesser.try_password("guess")
    assert guesser.try_password("guess") == []
    assert server.wait(0.2) == []
    (second,) = server.wait(0.1)

    def shown(response: Response) -> str:
        text = response.to_bytes().decode()
        return re.sub(r'(nonce="|tag=|branch=z9hG4bK|CSeq: )[0-9a-f]+', r"\1x", text)

    assert shown(first) == shown(second)
    for _ in range(5):
        guesser.try_password("guess")
    assert len(server.wait(1.9)) < 5
    assert len(server.wait(0.2)) >= 1


def test_right_password_is_never_made_to_wait() -> None:
    server = Server(guess_limit=100)
    phone = Phone(server, GUESSER)
    for _ in range(5):
        phone.try_password("guess")
    assert [each.status for each in phone.try_password("right-password")] == [200]


def test_waiting_refusals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper_module, "MAX_WAITING_REFUSALS", 3)
    server = Server(guess_limit=1000)
    guesser = Phone(server, GUESSER)
    answered = [len(guesser.try_password("guess")) for _ in range(6)]
    assert answered == [1, 0, 0, 0, 1, 1]
    assert len(server.wait(2.1)) == 3


def test_requests_without_an_answer_to_a_challenge_are_no_guesses() -> None:
    server = Server(guess_limit=5)
    phone = Phone(server, GUESSER)
    for _ in range(50):
        (challenge,) = server.receive(phone.request().to_bytes(), GUESSER)
        assert challenge.status == 401
    assert server.admits(GUESSER)


@pytest.mark.parametrize("password", ["guess", "right-password"])
def test_forged_address_is_not_banned_and_tries_no_password(password: str) -> None:
    """The guesser has a nonce of his own, and writes the bystander's address into datagrams."""
    server = Server(guess_limit=5)
    guesser = Phone(server, UDP_GUESSER)
    for _ in range(50):
        forged = guesser.challenged(password)
        (answer,) = server.receive(forged.to_bytes(), UDP_BYSTANDER)
        assert answer.status == 401
        assert "stale=true" in answer.values("www-authenticate")[0]
    assert server.admits(UDP_BYSTANDER)
    assert server.admits(UDP_GUESSER)


@pytest.mark.parametrize("password", ["guess", "right-password"])
def test_made_up_nonce_tries_no_password_either(password: str) -> None:
    server = Server(guess_limit=5)
    guesser = Phone(server, GUESSER)
    client, asked = guesser.client(password), guesser.request()
    fields = [("WWW-Authenticate", f'Digest realm="{DOMAIN}",nonce="made up",qop="auth"')]
    client.receive_challenge(asked, Response.to_request(asked, 401, to_tag="b", fields=fields))
    (answer,) = server.receive(client.authorize(guesser.request()).to_bytes(), GUESSER)
    assert answer.status == 401
    assert "stale=true" in answer.values("www-authenticate")[0]


def test_malformed_messages_count_on_streams_and_not_over_udp() -> None:
    server = Server(guess_limit=5)
    broken = b"OPTIONS sip:example.test SIP/2.0\r\nContent-Length: 0\r\n\r\n"
    for _ in range(100):
        server.receive(broken, UDP_GUESSER)
    assert server.admits(UDP_GUESSER)
    for _ in range(20):
        server.receive(broken, GUESSER)
    assert not server.admits(GUESSER)


def test_ban_survives_a_restart_and_is_lifted_and_added_while_the_server_runs() -> None:
    server = Server(guess_limit=3)
    guesser = Phone(server, GUESSER)
    for _ in range(3):
        guesser.try_password("guess")
    again = Server(server.store)
    assert not again.admits(GUESSER)

    again.store.remove_ban("198.51.100.1")
    again.store.save_ban(Ban("198.51.100.2", "by command", UTC_AT_START, None))
    again.store.version = lambda: 1  # type: ignore[method-assign]
    again.wait(1.0)
    assert again.admits(GUESSER)
    assert not again.admits(HONEST)
    assert again.bans == 1  # connections of the new one are closed


def test_bans_that_are_long_over_leave_the_store() -> None:
    store = MemoryStore()
    store.save_ban(Ban("198.51.100.1", "wrong passwords", 0.0, 600.0, strikes=1))
    server = Server(store)
    server.wait(61.0)
    assert store.load_bans() == []


def test_connection_is_known_once_somebody_has_authenticated_and_until_it_is_gone() -> None:
    server = Server()
    phone = Phone(server, HONEST)
    phone.try_password("guess")
    assert not server.doorkeeper.knows(HONEST)
    phone.try_password("right-password")
    assert server.doorkeeper.knows(HONEST)
    server.node.connection_lost(HONEST, "gone", server.now)
    assert not server.doorkeeper.knows(HONEST)


def test_unwritable_store_bans_all_the_same_and_saves_later() -> None:
    from sottovoce.errors import SettingsError

    server = Server(guess_limit=3)
    save = server.store.save_ban

    def full(ban: Ban) -> None:
        raise SettingsError("the disk is full")

    server.store.save_ban = full  # type: ignore[method-assign]
    guesser = Phone(server, GUESSER)
    for _ in range(3):
        guesser.try_password("guess")
    assert not server.admits(GUESSER)
    assert server.store.load_bans() == []

    server.store.save_ban = save  # type: ignore[method-assign]
    server.wait(1.0)
    assert len(server.store.load_bans()) == 1
