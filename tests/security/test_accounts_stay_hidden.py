"""Who has an account is not told: the same answer to a wrong password and a wrong name."""

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sottovoce.secret import Secret
from sottovoce.server.doorkeeper import Doorkeeper
from sottovoce.server.flow_register import FlowRegister
from sottovoce.server.guard import GuardSettings
from sottovoce.server.location import Location
from sottovoce.server.node import Node
from sottovoce.sip.authenticator import Authenticator, Outcome
from sottovoce.sip.digest import Algorithm
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
FLOW = Flow(Transport.TLS, ("192.0.2.1", 5061), ("198.51.100.1", 40001), connection=1)


class Server:
    """A node without sockets."""

    def __init__(self) -> None:
        store = MemoryStore()
        now = datetime.now(UTC)
        store.add_account(Account.make("alice", DOMAIN, Secret("right-password"), created_utc=now))
        self.element = Element(secrets.token_bytes)
        self.node = Node(
            DOMAIN,
            self.element,
            accounts=store,
            location=Location(store, 0.0),
            flows=FlowRegister("run", b"k" * 32),
            authenticator=Authenticator(DOMAIN, b"k" * 32, secrets.token_bytes),
            doorkeeper=Doorkeeper(GuardSettings(), self.element, store, lambda: 1e9, 0.0),
            user_agent=UserAgent(self.element, random_bytes=secrets.token_bytes),
            registrar_settings=RegistrarSettings(),
            md5_only_agents=(),
            wall_clock=lambda: 1e9,
        )

    def ask(self, request: Request) -> Response:
        self.element.receive_stream(request.to_bytes(), FLOW, 1.0)
        while (event := self.element.next_event()) is not None:
            self.node.receive_event(event, 1.0)
        (send,) = [each for each in self.element.take_sends() if isinstance(each, Send)]
        response = parse_message(send.data)
        assert isinstance(response, Response)
        return response


def request(method: str, user: str, number: int) -> Request:
    return Request.make(
        method,
        f"sips:{DOMAIN}" if method == "REGISTER" else f"sips:echo@{DOMAIN}",
        [
            ("Via", f"SIP/2.0/TLS a.invalid;branch=z9hG4bK{secrets.token_hex(4)}"),
            ("Max-Forwards", "70"),
            ("From", f"<sips:{user}@{DOMAIN}>;tag=a"),
            ("To", f"<sips:{user}@{DOMAIN}>"),
            ("Call-ID", "same"),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sips:x@198.51.100.1>"),
        ],
    )


def refusals(user: str, password: str, method: str) -> Iterator[Response]:
    server = Server()
    client = DigestClient(
        username=user,
        password=Secret(password),
        realms=frozenset({DOMAIN}),
        random_bytes=secrets.token_bytes,
    )
    for number in (1, 2):
        asked = client.authorize(request(method, user, number))
        response = server.ask(asked)
        yield response
        client.receive_challenge(asked, response)


def without_randomness(response: Response) -> str:
    text = response.to_bytes().decode()
    return re.sub(r'(nonce="|tag=|branch=z9hG4bK)[0-9a-f]+', r"\1x", text)


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(method: str) -> None:
    wrong_password = [without_randomness(each) for each in refusals("alice", "guess", method)]
    wrong_name = [
        without_randomness(each).replace("nobod", "alice")
        for each in refusals("nobod", "x", method)
    ]

    assert wrong_password == wrong_name
    assert wrong_password[1].startswith("SIP/2.0 40")


def test_the_right_password_is_taken_so_the_test_above_can_fail() -> None:
    last = list(refusals("alice", "right-password", "REGISTER"))[-1]
    assert last.status == 200


def test_an_unknown_user_costs_the_same_work_as_a_known_one() -> None:
    """Both ways end in one comparison of a computed answer; only the stored hash differs."""
    looked_up: list[str] = []

    def find(user: str, algorithm: Algorithm) -> Secret[str] | None:
        looked_up.append(user)
        return None

    authenticator = Authenticator(DOMAIN, b"k" * 32, secrets.token_bytes)
    client = DigestClient(
        username="nobody",
        password=Secret("x"),
        realms=frozenset({DOMAIN}),
        random_bytes=secrets.token_bytes,
    )
    asked = request("REGISTER", "nobody", 1)
    challenge = Response.to_request(
        asked,
        401,
        to_tag="b",
        fields=[("WWW-Authenticate", each) for each in authenticator.challenges(0.0)],
    )
    client.receive_challenge(asked, challenge)
    given = client.authorize(asked).values("authorization")

    verdict = authenticator.check(given, "REGISTER", asked.request_uri, find, 1.0)
    assert verdict.outcome is Outcome.REFUSED
    assert looked_up == ["nobody"]
