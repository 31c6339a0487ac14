"""What a user agent tells its user.

Every call ends with one CallFailed or one CallEnded.  Descriptions hold SRTP keys, so
no event shows its own.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .invite_session import InviteSession
    from .registration import Registration


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls: ring, then answer or reject."""

    session: "InviteSession"


@dataclass(frozen=True, slots=True)
class CallProgress:
    """Our call is on its way: 180 rings there, 183 may bring early media."""

    session: "InviteSession"
    status: int
    reason: str
    sdp: bytes | None = field(repr=False)
    "A preview of the answer; the one that counts comes with CallAnswered."


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Our call was answered."""

    session: "InviteSession"

    sdp: bytes | None = field(repr=False)
    """The answer to our offer.  None if it came in a CallProgress before, or if we made no
    offer: then SessionOffered follows with the peer's."""


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The caller knows that we answered."""

    session: "InviteSession"

    sdp: bytes | None = field(repr=False)
    "The answer, if ours was the offer."


@dataclass(frozen=True, slots=True)
class SessionOffered:
    """The peer wants to change the session: accept or refuse, at once."""

    session: "InviteSession"

    sdp: bytes | None = field(repr=False)
    "None: the peer asks for an offer of ours; give it to accept()."


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The peer no longer wants what SessionOffered said; nothing changes."""

    session: "InviteSession"


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """Our offer in a session was taken."""

    session: "InviteSession"
    sdp: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """Our offer in a session was not taken; the session is as it was."""

    session: "InviteSession"
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Our call came to nothing."""

    session: "InviteSession"

    status: int
    "408 and 503 also stand for no answer and no connection; 487 for a call given up by us."

    reason: str

    warning: str = ""
    "Text of the Warning header."


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call is over that was answered, or that we were called with."""

    session: "InviteSession"
    by_remote: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar took our binding, or kept it."""

    registration: "Registration"

    expires_s: int
    "Life it was granted; it is refreshed by itself."


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar did not take our binding, or the way to it is gone."""

    registration: "Registration"
    status: int
    reason: str

    retry_in_s: float | None
    "When it is tried again; None: never by itself, for it would fail again."


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The binding is taken back, or left to expire where the registrar did not answer."""

    registration: "Registration"


UserAgentEvent = (
    IncomingCall
    | CallProgress
    | CallAnswered
    | CallConfirmed
    | SessionOffered
    | OfferWithdrawn
    | OfferAnswered
    | OfferRefused
    | CallFailed
    | CallEnded
    | Registered
    | RegistrationFailed
    | Unregistered
)
