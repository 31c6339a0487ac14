"""Requests made to break the server: each is refused, and leaves nothing behind."""

import secrets
import tracemalloc
from datetime import UTC, datetime

import pytest

from sottovoce.secret import Secret
from sottovoce.server.doorkeeper import Doorkeeper
from sottovoce.server.flow_register import FlowRegister
from sottovoce.server.guard import GuardSettings
from sottovoce.server.location import Location
from sottovoce.server.node import Node
from sottovoce.sip.authenticator import Authenticator
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.element import Element
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.registrar import RegistrarSettings
from sottovoce.sip.transactions import Send
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.user_agent import UserAgent
from sottovoce.store import Account, MemoryStore

DOMAIN = "example.test"
BOB = f"sips:bob@{DOMAIN}"
#: Longer than any transaction has to be kept.
LONG_S = 600.0


class Server:
    """A node without sockets, and its clock."""

    def __init__(self) -> None:
        store = MemoryStore()
        for user in ("alice", "bob"):
            account = Account.make(user, DOMAIN, Secret(user), created_utc=datetime.now(UTC))
            store.add_account(account)
        self.now = 1.0
        self.element = Element(secrets.token_bytes)
        self.node = Node(
            DOMAIN,
            self.element,
            accounts=store,
            location=Location(store, 0.0),
            flows=FlowRegister("run", b"k" * 32),
            authenticator=Authenticator(DOMAIN, b"k" * 32, secrets.token_bytes),
            doorkeeper=Doorkeeper(GuardSettings(), self.element, store, self.wall_clock, 0.0),
            user_agent=UserAgent(self.element, random_bytes=secrets.token_bytes),
            registrar_settings=RegistrarSettings(),
            md5_only_agents=(),
            wall_clock=self.wall_clock,
        )

    def wall_clock(self) -> float:
        return 1e9 + self.now

    def receive(self, message: Request | Response, flow: Flow) -> list[Send]:
        if flow.transport.reliable:
            self.element.receive_stream(message.to_bytes(), flow, self.now)
        else:
            self.element.receive_datagram(message.to_bytes(), flow, self.now)
        return self._work()

    def wait(self, seconds: float) -> list[Send]:
        """Let time pass, each timer at its own time."""
        end, sends = self.now + seconds, self._work()
        while (due := self.element.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.element.handle_timer(self.now)
            sends += self._work()
        self.now = end
        self.node.handle_timer(end)
        return sends + self._work()

    def _work(self) -> list[Send]:
        while (event := self.element.next_event()) is not None:
            self.node.receive_event(event, self.now)
        return [each for each in self.element.take_sends() if isinstance(each, Send)]


class Peer:
    """Somebody with a connection and, perhaps, a password."""

    def __init__(self, server: Server, user: str, number: int, transport: Transport) -> None:
        self.server = server
        self.user = user
        self.cseq = 0
        connection = number if transport.reliable else 0
        port = 40000 + number
        self.flow = Flow(transport, ("192.0.2.1", 5061), ("198.51.100.1", port), connection)
        self.client = DigestClient(
            username=user,
            password=Secret(user),
            realms=frozenset({DOMAIN}),
            random_bytes=secrets.token_bytes,
        )

    def request(self, method: str, uri: str, to: str, *fields: tuple[str, str]) -> Request:
        self.cseq += 1
        head = [
            ("Via", f"SIP/2.0/{self.flow.transport.value} a.invalid;branch={new_branch()}"),
            ("Max-Forwards", "70"),
            ("From", f"<sips:{self.user}@{DOMAIN}>;tag=a"),
            ("To", to),
            ("Call-ID", secrets.token_hex(4)),
            ("CSeq", f"{self.cseq} {method}"),
            ("Contact", f"<sips:{self.user}@198.51.100.1>"),
        ]
        return Request.make(method, uri, [*head, *fields, ("Content-Length", "0")])

    def send(self, request: Request) -> list[Request | Response]:
        return [parse_message(each.data) for each in self.server.receive(request, self.flow)]

    def prove(self, request: Request) -> list[Request | Response]:
        """Send a request, and again with the password."""
        (challenge,) = self.send(request)
        assert isinstance(challenge, Response)
        self.client.receive_challenge(request, challenge)
        again = self.client.authorize(request).without("via")
        via = f"SIP/2.0/{self.flow.transport.value} a.invalid;branch={new_branch()}"
        return self.send(again.with_top("Via", via))


def new_branch() -> str:
    return f"z9hG4bK{secrets.token_hex(6)}"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def alice(server: Server) -> Peer:
    return Peer(server, "alice", 1, Transport.TLS)


@pytest.fixture
def bob(server: Server) -> Peer:
    peer = Peer(server, "bob", 2, Transport.TLS)
    (registered,) = peer.prove(peer.request("REGISTER", f"sips:{DOMAIN}", f"<{BOB}>"))
    assert isinstance(registered, Response)
    assert registered.status == 200
    return peer


def status_of(messages: list[Request | Response]) -> list[int]:
    return [each.status for each in messages if isinstance(each, Response)]


def forwarded(messages: list[Request | Response]) -> Request:
    (request,) = [each for each in messages if isinstance(each, Request)]
    return request


@pytest.mark.parametrize("route", ["", ",", "<>", "<sip:é@x>", '"\\\0" <sip:a@b>', "<tel:1>"])
@pytest.mark.parametrize("method", ["BYE", "ACK"])
def test_a_strict_route_without_a_target_is_refused(
    alice: Peer, bob: Peer, method: str, route: str
) -> None:
    invite = forwarded(alice.prove(alice.request("INVITE", BOB, f"<{BOB}>")))
    token = invite.record_routes[0].uri
    request = alice.request(method, token, f"<{BOB}>;tag=b")
    # Not through make(), which lets no NUL pass; a peer is free to write one.
    request = request.with_fields([*request.fields, ("route", f"Route: {route}")])

    answers = status_of(alice.send(request))
    assert answers in ([400], [416]) if method == "BYE" else answers == []


@pytest.mark.parametrize("name", ["Proxy-Require", "Require"])
def test_an_extension_that_no_header_can_name_is_refused(
    server: Server, alice: Peer, name: str
) -> None:
    request = alice.request("REGISTER", f"sips:{DOMAIN}", f"<sips:alice@{DOMAIN}>")
    request = request.with_fields([*request.fields, (name.lower(), f'{name}: "\\\0", x')])

    answers = alice.prove(request) if name == "Require" else alice.send(request)
    assert status_of(answers) == [420]
    assert answers[0].value("unsupported") == "x"


@pytest.mark.parametrize("hops", ["70", "0"])
def test_a_refusal_is_not_repeated_to_an_address_that_nobody_has_proved(
    server: Server, hops: str
) -> None:
    """RFC 3261 section 26.3.2.4: whoever owns the address would be hit eleven times."""
    stranger = Peer(server, "mallory", 3, Transport.UDP)
    invite = stranger.request("INVITE", f"sip:bob@{DOMAIN}", f"<sip:bob@{DOMAIN}>")
    answers = stranger.send(invite.with_replaced("Max-Forwards", hops))

    assert len(answers) == 1
    assert server.wait(LONG_S) == []


@pytest.mark.parametrize("transport", list(Transport))
def test_nothing_is_kept_of_a_request_that_proves_nothing(
    server: Server, transport: Transport
) -> None:
    stranger = Peer(server, "mallory", 3, transport)
    for method, uri in (("INVITE", BOB), ("REGISTER", f"sips:{DOMAIN}"), ("BYE", BOB)):
        assert len(stranger.send(stranger.request(method, uri, f"<{BOB}>"))) == 1

    assert len(server.element.transactions) == 0
    assert server.element.next_deadline() is None


def test_a_repeat_of_a_refused_request_gets_the_same_tag(server: Server) -> None:
    stranger = Peer(server, "mallory", 3, Transport.UDP)
    invite = stranger.request("INVITE", f"sip:bob@{DOMAIN}", f"<sip:bob@{DOMAIN}>")

    tags = [stranger.send(invite)[0].to.tag for _ in range(2)]
    assert tags[0] is not None
    assert tags[0] == tags[1]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_an_answer_that_names_no_caller_ends_the_request(
    server: Server, alice: Peer, bob: Peer, method: str
) -> None:
    request = forwarded(alice.prove(alice.request(method, BOB, f"<{BOB}>")))
    answer = Response.to_request(request, 200, to_tag="b").without("via")
    answer = answer.with_top("Via", str(request.top_via))

    sends = server.receive(answer, bob.flow)
    answers = [parse_message(each.data) for each in sends if each.hop == alice.flow]
    assert status_of(answers) == [502]
    server.wait(LONG_S)
    assert len(server.element.transactions) == 0


def test_a_request_without_hops_left_reaches_no_phone(alice: Peer, bob: Peer) -> None:
    to_bob = alice.request("OPTIONS", BOB, f"<{BOB}>").with_replaced("Max-Forwards", "0")
    assert status_of(alice.send(to_bob)) == [483]
    to_us = alice.request("OPTIONS", f"sips:{DOMAIN}", f"<sips:{DOMAIN}>")
    assert status_of(alice.send(to_us.with_replaced("Max-Forwards", "0"))) == [200]


def test_great_requests_that_have_ended_are_forgotten(server: Server, alice: Peer) -> None:
    """A user could have filled half a gigabyte with 4,096 requests, kept for ever."""
    uri = f"sips:echo@{DOMAIN}"
    alice.prove(alice.request("OPTIONS", uri, f"<{uri}>"))
    tracemalloc.start()
    for _ in range(200):
        request = alice.request("OPTIONS", uri, f"<{uri}>").with_body(bytes(100_000))
        assert status_of(alice.send(alice.client.authorize(request))) == [200]
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept_bytes < 100 * 100_000


def test_pongs_go_out_together(server: Server) -> None:
    """One write for each would make a ping of four octets dearer than a whole request."""
    flow = Flow(Transport.TCP, ("192.0.2.1", 5060), ("198.51.100.1", 40001), connection=1)
    server.element.receive_stream(b"\r\n\r\n" * 5000, flow, server.now)

    (pongs,) = server.element.take_sends()
    assert isinstance(pongs, Send)
    assert pongs.data == b"\r\n" * 5000
