"""One INVITE, many phones: a dialog for each that rings.  RFC 3261 section 13.2.2."""

from typing import TYPE_CHECKING, Final

from ..errors import ParseError
from .agent_context import AgentContext
from .call_leg import CallLeg
from .dialog import Dialog
from .message import Request, Response

if TYPE_CHECKING:
    from .invite_session import InviteSession

#: Forked copies of one INVITE that may ring at once; proxies fork to about ten.
MAX_EARLY_DIALOGS: Final = 16
#: Forked copies that answer after the first did; each gets ACK and BYE.
MAX_FORKED_ANSWERS: Final = 16


class EarlyDialogs:
    """The dialogs that provisional responses to one INVITE of ours have begun.

    Args:
        context: What all calls share.
        leg: The call's path.
        session: Who takes requests in these dialogs.

    """

    __slots__ = ("_by_tag", "_context", "_forked_answers", "_leg", "_session")

    def __init__(self, context: AgentContext, leg: CallLeg, session: "InviteSession") -> None:
        self._context = context
        self._leg = leg
        self._session = session
        self._by_tag: dict[str, Dialog] = {}
        self._forked_answers = 0

    def note(self, invite: Request, response: Response) -> None:
        """Take a provisional response; each new To tag is a dialog (section 12.1.2)."""
        tag = response.to.tag
        if response.status == 100 or not tag or tag in self._by_tag:
            return
        if len(self._by_tag) >= MAX_EARLY_DIALOGS:
            return
        try:
            dialog = Dialog.as_uac(invite, response)
        except ParseError:
            return  # it can still become one with a 2xx that is right
        self._by_tag[tag] = dialog
        self._context.dialogs[dialog.id] = self._session

    def find(self, remote_tag: str | None) -> Dialog | None:
        """Return the early dialog with a phone, None if there is none."""
        return self._by_tag.get(remote_tag or "")

    def confirm(self, dialog: Dialog) -> None:
        """Forget all of them but go on with this one, made from its 2xx."""
        early = self.find(dialog.remote.tag)
        if early is not None:
            dialog.remote_cseq = early.remote_cseq
        self.forget()
        self._leg.dialog = dialog
        self._context.dialogs[dialog.id] = self._session

    def leave_fork(self, dialog: Dialog, invite: Request, now: float) -> None:
        """Another phone answered, too; we talk to one (section 13.2.2.4): ACK, then BYE."""
        if self._forked_answers < MAX_FORKED_ANSWERS:
            self._forked_answers += 1
            self._leg.acknowledge(dialog, invite)
            self._leg.send("BYE", now, dialog=dialog)

    def forget(self) -> None:
        """Take no more requests in any of them."""
        for dialog in self._by_tag.values():
            self._context.dialogs.pop(dialog.id, None)
        self._by_tag.clear()
