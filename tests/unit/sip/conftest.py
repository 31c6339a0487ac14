"""One user agent on its element; the test plays the peer, message by message."""

import itertools
import random

import pytest

from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.element import Element
from sottovoce.sip.invite_session import InviteSession
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message
from sottovoce.sip.session_events import IncomingCall, UserAgentEvent
from sottovoce.sip.transactions import Send
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.user_agent import UserAgent

LOCAL, REMOTE = ("192.0.2.1", 5061), ("192.0.2.2", 5061)
TLS = Flow(Transport.TLS, LOCAL, REMOTE, 1)
TCP = Flow(Transport.TCP, LOCAL, REMOTE, 2)
UDP = Flow(Transport.UDP, LOCAL, REMOTE)
OFFER, ANSWER = b"v=0\r\ns=offer\r\n", b"v=0\r\ns=answer\r\n"
SDP = ("Content-Type", "application/sdp")


class Bench:
    """A user agent under test, called Alice; the peer is Bob."""

    def __init__(self, flow: Flow = TLS, **options: int) -> None:
        source = random.Random(3).randbytes
        self.flow = flow
        self.element = Element(source)
        self.agent = UserAgent(self.element, random_bytes=source, user_agent="Bench", **options)  # type: ignore[arg-type]
        self.now = 0.0
        self.taken = False  # what receive_event said of the last message
        self._branches = itertools.count(1)

    # The user agent's side

    def invite(
        self,
        sdp: bytes | None = OFFER,
        *,
        uri: str = "sip:bob@example.org",
        credentials: DigestClient | None = None,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> tuple[InviteSession, Request]:
        """Alice calls: the session, and the INVITE as Bob sees it."""
        session = self.agent.invite(
            uri,
            local_uri="sip:alice@example.org",
            hop=self.flow,
            sdp=sdp,
            credentials=credentials,
            fields=fields,
            now=self.now,
        )
        return session, self.sent_request("INVITE")

    def call_out(self) -> tuple[InviteSession, Request]:
        """A call from Alice to Bob that stands: the session and its INVITE."""
        session, invite = self.invite()
        self.answer(invite, 200, body=ANSWER)
        self.sent_request("ACK")
        self.events()
        return session, invite

    def call_in(self, body: bytes = OFFER) -> tuple[InviteSession, Request]:
        """A call from Bob to Alice that rings: the session and its INVITE."""
        invite = self.request("INVITE", body=body)
        self.receive(invite)
        (event,) = self.events()
        assert isinstance(event, IncomingCall)
        return event.session, invite

    def stand(self, session: InviteSession, invite: Request) -> Request:
        """Alice answers and Bob acknowledges: the 2xx's ACK."""
        session.answer(ANSWER, self.now)
        response = self.sent_response()
        ack = self.later(response, "ACK", invite.cseq.number)
        self.receive(ack)
        self.events()
        return ack

    def events(self) -> list[UserAgentEvent]:
        return list(iter(self.agent.next_event, None))

    def sent(self) -> list[Request | Response]:
        self._run()
        return [
            parse_message(send.data) for send in self.element.take_sends() if isinstance(send, Send)
        ]

    def sent_request(self, method: str) -> Request:
        (message,) = self.sent()
        assert isinstance(message, Request)
        assert message.method == method
        return message

    def sent_response(self) -> Response:
        (message,) = self.sent()
        assert isinstance(message, Response)
        return message

    def labels(self) -> list[str]:
        return [m.method if isinstance(m, Request) else str(m.status) for m in self.sent()]

    def wait(self, seconds: float) -> list[tuple[float, str]]:
        """Let time pass: what was sent when."""
        end, found = self.now + seconds, []
        while True:
            due = [self.element.next_deadline(), self.agent.next_deadline()]
            at = min((each for each in due if each is not None), default=None)
            if at is None or at > end:
                break
            self.now = at
            self.element.handle_timer(at)
            self.agent.handle_timer(at)
            found += [(round(at, 3), name) for name in self.labels()]
        self.now = end
        return found

    # The peer's side

    def request(
        self,
        method: str,
        *extra: tuple[str, str],
        uri: str = "sip:alice@192.0.2.1:5061",
        to: str = "<sip:alice@example.org>",
        from_: str = '"Bob" <sip:bob@example.org>;tag=b',
        call_id: str = "bobs-call",
        number: int = 1,
        contact: str | None = "<sip:bob@192.0.2.2>",
        body: bytes = b"",
    ) -> Request:
        named = {name.lower() for name, _ in extra}
        via = f"SIP/2.0/TLS 192.0.2.2:5061;branch=z9hG4bKbob{next(self._branches)}"
        fields = [
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", from_),
            ("To", to),
            ("Call-ID", call_id),
            ("CSeq", f"{number} {method}"),
            *([("Contact", contact)] if contact else []),
            *([SDP] if body and "content-type" not in named else []),
            *extra,
            ("Content-Length", str(len(body))),
        ]
        return Request.make(method, uri, fields, body)

    def later(
        self,
        dialog: Request | Response,
        method: str,
        number: int,
        *extra: tuple[str, str],
        contact: str | None = "<sip:bob@192.0.2.2>",
        body: bytes = b"",
    ) -> Request:
        """Bob's next request in a dialog, which one of Alice's messages of it names."""
        alice, bob = dialog.from_, dialog.to
        if isinstance(dialog, Response):
            alice, bob = bob, alice
        return self.request(
            method,
            *extra,
            to=str(alice),
            from_=str(bob),
            call_id=dialog.call_id,
            number=number,
            contact=contact,
            body=body,
        )

    def receive(self, message: Request | Response) -> None:
        data = message.to_bytes()
        if self.flow.connection:
            self.element.receive_stream(data, self.flow, self.now)
        else:
            self.element.receive_datagram(data, self.flow, self.now)
        self._run()

    def answer(
        self,
        request: Request,
        status: int,
        *extra: tuple[str, str],
        tag: str | None = "b",
        contact: str | None = "<sip:bob@192.0.2.2>",
        body: bytes = b"",
    ) -> None:
        """Bob answers a request of Alice's."""
        fields = [
            *([("Contact", contact)] if contact else []),
            *([SDP] if body else []),
            *extra,
            ("Content-Length", str(len(body))),
        ]
        self.receive(Response.to_request(request, status, to_tag=tag, fields=fields, body=body))

    def _run(self) -> None:
        while (event := self.element.next_event()) is not None:
            self.taken = self.agent.receive_event(event, self.now)


@pytest.fixture
def bench() -> Bench:
    """Over TLS."""
    return Bench()


@pytest.fixture
def udp_bench() -> Bench:
    """Over UDP."""
    return Bench(UDP)
