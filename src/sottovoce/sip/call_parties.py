"""Who talks to whom in a call, for display."""

from enum import Enum, auto

from .call_leg import CallLeg
from .content import find_sdp
from .dialog import Dialog
from .message import Request, Response
from .transport import Hop


class Direction(Enum):
    OUTGOING = auto()
    INCOMING = auto()
    __hash__ = object.__hash__


class CallParties:
    """What can be read of a call without driving it.

    Args:
        direction: Who began it.
        request: The INVITE.
        leg: The call's path.

    """

    def __init__(self, direction: Direction, request: Request, leg: CallLeg) -> None:
        self.direction = direction
        self.request = request
        "The INVITE, ours or the peer's."
        self.response: Response | None = None
        "The newest response to our INVITE."
        self.call_id = request.call_id
        self._leg = leg

    @property
    def local_uri(self) -> str:
        """Our address in this call."""
        outgoing = self.direction is Direction.OUTGOING
        return self.request.from_.uri if outgoing else self.request.to.uri

    @property
    def remote_uri(self) -> str:
        """The peer's address, as it or we wrote it; nothing proves it."""
        outgoing = self.direction is Direction.OUTGOING
        return self.request.to.uri if outgoing else self.request.from_.uri

    @property
    def remote_display_name(self) -> str:
        """What a caller calls itself; nothing proves it."""
        outgoing = self.direction is Direction.OUTGOING
        return self.request.to.display_name if outgoing else self.request.from_.display_name

    @property
    def remote_offer(self) -> bytes | None:
        """The description in the peer's INVITE; None if ours is asked for, or we called."""
        return find_sdp(self.request) if self.direction is Direction.INCOMING else None

    @property
    def flow(self) -> Hop:
        """Where our requests go; a flow as soon as there is one."""
        return self._leg.hop

    @property
    def contact(self) -> str:
        """Our URI in this call; change it before the first answer, or with an offer."""
        return self._leg.contact

    @contact.setter
    def contact(self, uri: str) -> None:
        self._leg.contact = uri

    @property
    def dialog(self) -> Dialog | None:
        """The dialog of a call to us, and of ours once it is answered."""
        return self._leg.dialog
