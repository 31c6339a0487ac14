"""Which request is for whom, and who may send it: the node on an element without sockets."""

import itertools
import secrets
from datetime import UTC, datetime

import pytest

from sottovoce.secret import Secret
from sottovoce.server.doorkeeper import Doorkeeper
from sottovoce.server.flow_register import FlowRegister
from sottovoce.server.guard import GuardSettings
from sottovoce.server.location import WRITE_BEHIND_S, Location
from sottovoce.server.node import Node
from sottovoce.sip.authenticator import Authenticator
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.element import Element
from sottovoce.sip.header_values import Via
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.registrar import RegistrarSettings
from sottovoce.sip.transactions import Send
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.user_agent import UserAgent
from sottovoce.store import Account, MemoryStore

DOMAIN = "example.test"
SERVER = ("192.0.2.1", 5061)
ALICE = Flow(Transport.TLS, SERVER, ("198.51.100.1", 40001), connection=1)
BOB = Flow(Transport.TLS, SERVER, ("198.51.100.2", 40002), connection=2)
MALLORY = Flow(Transport.TLS, SERVER, ("198.51.100.3", 40003), connection=3)


class Site:
    """A node with users alice, bob and mallory, each registered over a flow of their own."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        for user in ("alice", "bob", "mallory"):
            password = Secret(f"{user}-password")
            now = datetime.now(UTC)
            self.store.add_account(Account.make(user, DOMAIN, password, created_utc=now))
        self.element = Element(secrets.token_bytes, sent_by={Transport.TLS: f"{DOMAIN}:5061"})
        self.node = Node(
            DOMAIN,
            self.element,
            accounts=self.store,
            location=Location(self.store, 0.0),
            flows=FlowRegister("run", b"k" * 32),
            authenticator=Authenticator(DOMAIN, b"k" * 32, secrets.token_bytes),
            doorkeeper=Doorkeeper(GuardSettings(), self.element, self.store, lambda: 1e9, 0.0),
            user_agent=UserAgent(self.element, random_bytes=secrets.token_bytes),
            registrar_settings=RegistrarSettings(),
            md5_only_agents=("oldphone/1",),
            wall_clock=lambda: 1e9,
        )
        self.clients: dict[str, DigestClient] = {}
        self.numbers = itertools.count(1)

    def send(
        self, message: Request | Response, flow: Flow
    ) -> list[tuple[Flow, Request | Response]]:
        """Give the node a message; what it sends because of it."""
        self.element.receive_stream(message.to_bytes(), flow, 1.0)
        while (event := self.element.next_event()) is not None:
            self.node.receive_event(event, 1.0)
        return [
            (each.hop, parse_message(each.data))
            for each in self.element.take_sends()
            if isinstance(each, Send) and isinstance(each.hop, Flow)
        ]

    def ask(self, request: Request, flow: Flow, user: str) -> list[tuple[Flow, Request | Response]]:
        """Send a request with the user's credentials, as its phone would after a challenge."""
        client = self.clients.setdefault(user, new_client(user))
        first = client.authorize(request)
        sent = self.send(first, flow)
        answer = sent[-1][1]
        if isinstance(answer, Response) and answer.status in (401, 407):
            client.receive_challenge(first, answer)
            again = request.with_replaced("CSeq", f"{next(self.numbers) + 100} {request.method}")
            again = again.with_replaced_top_via(new_via())
            sent = self.send(client.authorize(again), flow)
        return sent

    def register(self, user: str, flow: Flow) -> None:
        ((_, answer),) = self.ask(self.request("REGISTER", user, user, flow), flow, user)
        assert isinstance(answer, Response)
        assert answer.status == 200

    def request(self, method: str, sender: str, recipient: str, flow: Flow) -> Request:
        register = method == "REGISTER"
        return Request.make(
            method,
            f"sips:{DOMAIN}" if register else f"sips:{recipient}@{DOMAIN}",
            [
                ("Via", f"SIP/2.0/TLS a.invalid;branch=z9hG4bK{secrets.token_hex(4)}"),
                ("Max-Forwards", "70"),
                ("From", f"<sips:{sender}@{DOMAIN}>;tag=a"),
                ("To", f"<sips:{recipient}@{DOMAIN}>"),
                ("Call-ID", f"c{next(self.numbers)}"),
                ("CSeq", f"1 {method}"),
                ("Contact", f"<sips:{sender}@{flow.remote[0]}:{flow.remote[1]}>"),
            ],
        )

    def call(self) -> Request:
        """Alice's INVITE as it reaches bob."""
        sent = self.ask(self.request("INVITE", "alice", "bob", ALICE), ALICE, "alice")
        (invite,) = [message for flow, message in sent if flow == BOB]
        assert isinstance(invite, Request)
        return invite


def new_client(user: str) -> DigestClient:
    return DigestClient(
        username=user,
        password=Secret(f"{user}-password"),
        realms=frozenset({DOMAIN}),
        random_bytes=secrets.token_bytes,
    )


def new_via() -> Via:
    return Via.parse(f"SIP/2.0/TLS a.invalid;branch=z9hG4bK{secrets.token_hex(4)}")


@pytest.fixture
def site() -> Site:
    made = Site()
    for user, flow in (("alice", ALICE), ("bob", BOB), ("mallory", MALLORY)):
        made.register(user, flow)
    return made


def status(sent: list[tuple[Flow, Request | Response]], flow: Flow) -> int:
    answers = [each for hop, each in sent if hop == flow and isinstance(each, Response)]
    return answers[-1].status


def in_dialog(invite: Request, method: str) -> Request:
    """A request in the dialog of a call, from whoever knows its Record-Route."""
    return Request.make(
        method,
        "sips:alice@198.51.100.1:40001",
        [
            ("Via", f"SIP/2.0/TLS x.invalid;branch=z9hG4bK{secrets.token_hex(4)}"),
            ("Max-Forwards", "70"),
            ("Route", invite.items("record-route")[0]),
            ("From", f"{invite.value('to')};tag=b"),
            ("To", invite.value("from") or ""),
            ("Call-ID", invite.call_id),
            ("CSeq", f"1 {method}"),
        ],
    )


def test_a_dialogs_requests_reach_the_connection_of_the_other_phone(site: Site) -> None:
    sent = site.send(in_dialog(site.call(), "BYE"), BOB)

    assert [flow for flow, message in sent if isinstance(message, Request)] == [ALICE]


@pytest.mark.rfc("rfc5626-3581", 12)
@pytest.mark.parametrize("method", ["BYE", "INVITE", "ACK"])
def test_a_dialogs_token_is_of_no_use_on_anybody_elses_connection(site: Site, method: str) -> None:
    sent = site.send(in_dialog(site.call(), method), MALLORY)

    assert [flow for flow, message in sent if isinstance(message, Request)] == []


@pytest.mark.rfc("rfc3261-registrar-proxy", 1)
def test_nobody_registers_for_somebody_else(site: Site) -> None:
    request = site.request("REGISTER", "alice", "alice", MALLORY)

    assert status(site.ask(request, MALLORY, "mallory"), MALLORY) == 403
    assert status(site.ask(site.request("INVITE", "mallory", "alice", MALLORY), MALLORY, "mallory"),
                  MALLORY) == 100  # fmt: skip


def test_proofs_of_a_password_do_not_reach_the_callee_but_those_for_others_do(site: Site) -> None:
    request = site.request("INVITE", "alice", "bob", ALICE)
    foreign = 'Digest username="a", realm="elsewhere.test", nonce="n", uri="sip:x", response="0"'
    own = f'Digest username="alice", realm="{DOMAIN}", nonce="n", uri="sips:x", response="0"'
    request = request.with_added("Authorization", own).with_added("Proxy-Authorization", foreign)
    sent = site.ask(request, ALICE, "alice")
    (invite,) = [message for flow, message in sent if flow == BOB]

    assert invite.values("proxy-authorization") == [foreign]
    assert invite.values("authorization") == []


def test_an_old_phone_that_gives_up_at_sha_256_is_challenged_with_md5_alone(site: Site) -> None:
    request = site.request("REGISTER", "alice", "alice", ALICE)
    ((_, usual),) = site.send(request, ALICE)
    other = site.request("REGISTER", "alice", "alice", ALICE)
    ((_, quirk),) = site.send(other.with_added("User-Agent", "oldphone/1.2 x"), ALICE)

    assert [("SHA-256" in each, "MD5" in each) for each in usual.values("www-authenticate")] == [
        (True, False),
        (False, True),
    ]
    (only,) = quirk.values("www-authenticate")
    assert "algorithm=MD5" in only


@pytest.mark.rfc("rfc3261-registrar-proxy", 13)
def test_what_a_proxy_cannot_do_is_refused_with_its_name(site: Site) -> None:
    request = site.request("INVITE", "alice", "bob", ALICE).with_added("Proxy-Require", "magic")
    sent = site.ask(request, ALICE, "alice")

    assert status(sent, ALICE) == 420
    assert sent[-1][1].value("unsupported") == "magic"


@pytest.mark.rfc("rfc3261-registrar-proxy", 12)
def test_a_request_with_no_hops_left_goes_no_further(site: Site) -> None:
    request = site.request("INVITE", "alice", "bob", ALICE).with_replaced("Max-Forwards", "0")

    assert status(site.ask(request, ALICE, "alice"), ALICE) == 483


def test_a_phone_whose_connection_is_lost_cannot_be_reached_until_it_comes_back(
    site: Site,
) -> None:
    site.node.connection_lost(BOB, "reset", 1.0)
    sent = site.ask(site.request("INVITE", "alice", "bob", ALICE), ALICE, "alice")
    assert status(sent, ALICE) == 480

    site.register("bob", BOB)
    assert site.call().method == "INVITE"


def test_registrations_are_written_within_a_second_and_not_at_once(site: Site) -> None:
    assert site.store.load_bindings() == {}
    due_at = site.node.next_deadline()
    assert due_at is not None
    assert due_at <= 1.0 + WRITE_BEHIND_S

    site.node.handle_timer(1.0 + WRITE_BEHIND_S)
    assert set(site.store.load_bindings()) == {
        f"sip:{user}@{DOMAIN}" for user in ("alice", "bob", "mallory")
    }


def test_a_removed_user_can_no_longer_call(site: Site) -> None:
    site.store.remove_account("alice", DOMAIN)
    sent = site.ask(site.request("INVITE", "alice", "bob", ALICE), ALICE, "alice")

    assert status(sent, ALICE) == 407
