"""Is the connection to our server still there?  RFC 5626 sections 3.5.1 and 4.4.1.

A ping is two CRLFs between messages, its pong one.  A NAT that has forgotten us, or a
server whose machine lost its power, tells nothing: only a pong that does not come does.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

PING = b"\r\n\r\n"
#: Section 4.4: pings on a stream, when the server names no time of its own.
SHORTEST_GAP_S = 95.0
LONGEST_GAP_S = 120.0
#: Section 4.4.1: after that long without a pong the flow has failed.
PONG_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class FlowFailed:
    """No pong came: open another connection."""


class _State(Enum):
    WAITING = auto()
    PINGED = auto()
    FAILED = auto()


class KeepAlive:
    """Pings one stream connection.

    A server that has never sent a pong need not know of them: only when one has come does
    the lack of the next mean that the flow has failed.

    Args:
        random: Gives numbers from 0 to 1, so that phones do not ping in step.
        now: Monotonic seconds.

    """

    def __init__(self, random: Callable[[], float], now: float) -> None:
        self._random = random
        self._state = _State.WAITING
        self._answers = False
        self._sends: list[bytes] = []
        self._events: deque[FlowFailed] = deque()
        self._due_at = now + self._gap_s()

    def receive_pong(self, now: float) -> None:
        """Take the peer's answer."""
        self._answers = True
        if self._state is _State.PINGED:
            self._state = _State.WAITING
            self._due_at = now + self._gap_s()

    def handle_timer(self, now: float) -> None:
        """Ping, or give the flow up."""
        if self._state is _State.FAILED or now < self._due_at:
            return
        if self._state is _State.PINGED and self._answers:
            self._state = _State.FAILED
            self._events.append(FlowFailed())
            return
        self._state = _State.PINGED
        self._sends.append(PING)
        self._due_at = now + (PONG_TIMEOUT_S if self._answers else self._gap_s())

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`; None once the flow has failed."""
        return None if self._state is _State.FAILED else self._due_at

    def take_sends(self) -> list[bytes]:
        """Hand over what is to be sent."""
        sends, self._sends = self._sends, []
        return sends

    def next_event(self) -> FlowFailed | None:
        """Hand over the oldest event, or None."""
        return self._events.popleft() if self._events else None

    def _gap_s(self) -> float:
        return SHORTEST_GAP_S + (LONGEST_GAP_S - SHORTEST_GAP_S) * self._random()
