"""What all calls and registrations of one user agent share."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from ..deadlines import Deadlines
from .content import SDP_TYPE
from .dialog import DialogId
from .element import Element
from .session_events import UserAgentEvent
from .timers import TimerValues

if TYPE_CHECKING:
    from .invite_session import InviteSession
    from .registration import Registration

#: Methods that a user agent takes.
ALLOW: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE")
#: Extensions that it knows in calls: RFC 5626.
SUPPORTED: Final = ("outbound",)


class Timed(Protocol):
    """A machine with deadlines."""

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What a user agent says of itself."""

    user_agent: str = ""
    "Product name for User-Agent and Server headers; none if empty."

    allow: tuple[str, ...] = ALLOW

    supported: tuple[str, ...] = SUPPORTED

    def request_fields(self) -> list[tuple[str, str]]:
        """Headers of every request."""
        return [("User-Agent", self.user_agent)] if self.user_agent else []

    def capability_fields(self) -> list[tuple[str, str]]:
        """Headers of INVITE, and of the 2xx to it and to OPTIONS."""
        return [
            ("Allow", ", ".join(self.allow)),
            ("Supported", ", ".join(self.supported)),
            ("Accept", SDP_TYPE),
        ]

    def response_fields(self) -> list[tuple[str, str]]:
        """Headers of the 2xx to INVITE, UPDATE and OPTIONS."""
        server = [("Server", self.user_agent)] if self.user_agent else []
        return [*self.capability_fields(), *server]


@dataclass(slots=True, repr=False)
class AgentContext:
    """The element below, the events above, and who is due or in which dialog."""

    element: Element
    random_bytes: Callable[[int], bytes]
    timers: TimerValues
    profile: AgentProfile
    events: deque[UserAgentEvent] = field(default_factory=deque)
    deadlines: Deadlines[Timed] = field(default_factory=Deadlines)
    dialogs: "dict[DialogId, InviteSession]" = field(default_factory=dict)
    sessions: "dict[InviteSession, None]" = field(default_factory=dict)
    "Calls that are not over, oldest first."
    registrations: "dict[Registration, None]" = field(default_factory=dict)

    def between(self, low: float, high: float) -> float:
        """Draw a number evenly."""
        share = int.from_bytes(self.random_bytes(4), "big") / 2**32
        return low + share * (high - low)
