"""Two user agents, a network between them that loses and muddles, and one made-up clock."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import pytest

from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.element import CloseFlow, Element, ElementEvent
from sottovoce.sip.invite_session import InviteSession
from sottovoce.sip.message import Request
from sottovoce.sip.parser import parse_message
from sottovoce.sip.session_events import CallEnded, CallFailed, IncomingCall, UserAgentEvent
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.user_agent import UserAgent

OFFER, ANSWER = b"v=0\r\ns=offer\r\n", b"v=0\r\ns=answer\r\n"
HOLD, HELD = b"v=0\r\ns=hold\r\n", b"v=0\r\ns=held\r\n"
LATENCY_S = 0.02
_Event = TypeVar("_Event", bound=UserAgentEvent)
#: Given a message's label, its sender and the time: when it arrives, once for each copy.
Link = Callable[[str, str, float], list[float]]


def label(data: bytes) -> str:
    """``INVITE`` for a request, ``200 INVITE`` for a response."""
    message = parse_message(data)
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"


class End:
    """One user agent with its element."""

    def __init__(self, name: str, flow: Flow, seed: int) -> None:
        source = random.Random(f"{name} {seed}")
        self.name = name
        self.flow = flow
        self.element = Element(source.randbytes)
        self.agent = UserAgent(self.element, random_bytes=source.randbytes, user_agent=name)
        self.events: list[UserAgentEvent] = []
        self.ends: Counter[InviteSession] = Counter()
        self.on_event: Callable[[UserAgentEvent, float], object] = lambda event, now: None
        self.core: Callable[[ElementEvent, float], object] = self.agent.receive_event

    @property
    def uri(self) -> str:
        return f"sip:{self.name}@example.org"

    def credentials(self, password: str) -> DigestClient:
        return DigestClient(
            username=self.name,
            password=Secret(password),
            realms=frozenset({"example.org"}),
            random_bytes=random.Random(self.name).randbytes,
        )

    def take(self, kind: type[_Event]) -> _Event:
        """Hand over the oldest event of a kind, and forget it."""
        for event in self.events:
            if isinstance(event, kind):
                self.events.remove(event)
                return event
        raise AssertionError(f"{self.name} has no {kind.__name__} among {self.events}")

    def has(self, kind: type[UserAgentEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.events)


class Network:
    """Carries bytes between two ends; the clock jumps from deadline to deadline."""

    def __init__(self, transport: Transport, seed: int = 1) -> None:
        a, b = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
        self.now = 1000.0
        self.started_at = self.now
        self.transport = transport
        self._connections = itertools.count(1)
        number = 0 if transport is Transport.UDP else next(self._connections)
        self.alice = End("alice", Flow(transport, a, b, number), seed)
        self.bob = End("bob", Flow(transport, b, a, number), seed)
        self.link: Link = lambda name, sender, now: [LATENCY_S]
        self.trace: list[tuple[float, str, str]] = []
        self.cut = False
        self._in_flight: list[tuple[float, int, bytes, End]] = []
        self._order = itertools.count()

    @property
    def ends(self) -> tuple[End, End]:
        return (self.alice, self.bob)

    # What tests do

    def invite(self, sdp: bytes | None = OFFER, **options: object) -> InviteSession:
        """Alice calls Bob."""
        return self.alice.agent.invite(
            self.bob.uri,
            local_uri=self.alice.uri,
            hop=self.alice.flow,
            sdp=sdp,
            now=self.now,
            **options,  # type: ignore[arg-type]
        )

    def call(self) -> tuple[InviteSession, InviteSession]:
        """Set up a call from Alice to Bob, and forget all that was told of it."""
        ours = self.invite()
        self.run(1)
        theirs = self.bob.take(IncomingCall).session
        theirs.ring(self.now)
        theirs.answer(ANSWER, self.now)
        self.run(1)
        for end in self.ends:
            end.events.clear()
        self.trace.clear()
        return ours, theirs

    def lose(self, *names: str, sender: str = "", times: int = 1) -> None:
        """Lose the next messages of these kinds."""
        left = Counter(dict.fromkeys(names, times))
        before = self.link

        def link(name: str, who: str, now: float) -> list[float]:
            if left[name] > 0 and sender in ("", who):
                left[name] -= 1
                return []
            return before(name, who, now)

        self.link = link

    def lose_everything(self) -> None:
        self.link = lambda name, sender, now: []

    def cut_connection(self) -> None:
        """The stream connection breaks; both ends hear of it."""
        self._in_flight.clear()
        for end in self.ends:
            end.element.connection_lost(end.flow, "connection reset", self.now)
            end.agent.connection_lost(end.flow, "connection reset", self.now)
        self.cut = True
        self._pump()

    def connect_again(self) -> None:
        """A new connection between the same two."""
        number = next(self._connections)
        self.cut = False
        for end in self.ends:
            old = end.flow
            end.flow = Flow(old.transport, old.local, old.remote, number)
            end.agent.replace_flow(old, end.flow, self.now)
        self._pump()

    def sent(self, sender: str = "") -> list[str]:
        """Labels of what was sent since the trace was last cleared."""
        return [name for _, who, name in self.trace if sender in ("", who)]

    # Running

    def run(self, seconds: float) -> None:
        """Let the clock run; everything due happens in order."""
        self._run_until(self.now + seconds)

    def run_out(self, limit_s: float = 1000.0) -> None:
        """Let the clock run until nothing is pending; fail if something always is."""
        end = self.now + limit_s
        self._run_until(end, stop_when_idle=True)
        assert self.now < end, "something is pending for ever"

    def _run_until(self, end: float, *, stop_when_idle: bool = False) -> None:
        self._pump()
        while (at := self._next_at()) is not None and at <= end:
            assert at >= self.now
            self.now = at
            while self._in_flight and self._in_flight[0][0] <= at:
                _, _, data, receiver = heapq.heappop(self._in_flight)
                if self.transport is Transport.UDP:
                    receiver.element.receive_datagram(data, receiver.flow, at)
                else:
                    receiver.element.receive_stream(data, receiver.flow, at)
                self._pump()
            for each in self.ends:
                each.element.handle_timer(at)
                each.agent.handle_timer(at)
            self._pump()
        if not (stop_when_idle and at is None):
            self.now = end

    def _next_at(self) -> float | None:
        due = [self._in_flight[0][0]] if self._in_flight else []
        for each in self.ends:
            for machine in (each.element, each.agent):
                at = machine.next_deadline()
                if at is not None:
                    due.append(at)
        return min(due, default=None)

    def _pump(self) -> None:
        moved = True
        while moved:
            moved = False
            for each in self.ends:
                while (event := each.element.next_event()) is not None:
                    each.core(event, self.now)
                    moved = True
                while (told := each.agent.next_event()) is not None:
                    moved = True
                    each.events.append(told)
                    if isinstance(told, CallEnded | CallFailed):
                        each.ends[told.session] += 1
                    each.on_event(told, self.now)
                for send in each.element.take_sends():
                    moved = True
                    assert not isinstance(send, CloseFlow), send.reason
                    if self.cut:
                        each.element.send_failed(send, "no connection", self.now)
                    else:
                        self._carry(each, send.data)

    def _carry(self, sender: End, data: bytes) -> None:
        name = label(data)
        self.trace.append((round(self.now - self.started_at, 3), sender.name, name))
        receiver = self.bob if sender is self.alice else self.alice
        for delay_s in self.link(name, sender.name, self.now):
            entry = (self.now + delay_s, next(self._order), data, receiver)
            heapq.heappush(self._in_flight, entry)

    def check_nothing_is_left(self) -> None:
        """Every call ended once, and nobody remembers it."""
        for end in self.ends:
            assert not end.agent.sessions
            assert not end.agent.busy
            assert all(times == 1 for times in end.ends.values()), end.ends
            assert len(end.element.transactions) == 0
            assert end.agent.next_deadline() is None
            assert not end.agent._context.dialogs


@pytest.fixture(params=[Transport.UDP, Transport.TLS], ids=lambda each: str(each.value))
def network(request: pytest.FixtureRequest) -> Network:
    """Both kinds of network, without faults."""
    return Network(request.param)


@pytest.fixture
def udp() -> Network:
    """A network that may lose what it carries."""
    return Network(Transport.UDP)


@pytest.fixture
def tls() -> Network:
    """A network whose connection may break."""
    return Network(Transport.TLS)


__all__ = ["ANSWER", "HELD", "HOLD", "LATENCY_S", "OFFER", "End", "Network"]
