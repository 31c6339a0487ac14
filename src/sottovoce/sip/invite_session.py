"""One call as a user agent core sees it.  RFC 3261 sections 9, 13, 15.

The table of states is :mod:`.invite_states`; changes of the session while it stands are
:mod:`.offer_exchange`.
"""

from typing import Final

from ..errors import LocalError, ParseError
from .agent_context import AgentContext
from .call_leg import CallLeg, UnacknowledgedAnswer
from .call_parties import CallParties, Direction
from .client_transaction import ClientTransaction
from .content import find_sdp
from .dialog import Dialog
from .digest_client import DigestClient
from .early_dialogs import EarlyDialogs
from .element import KeysInClear
from .invite_states import LIVE_TIMERS, TABLE, Action, Input, State, Why
from .message import Request, Response
from .offer_exchange import OfferExchange
from .reasons import REASONS
from .server_transaction import ServerTransaction
from .session_events import CallAnswered, CallConfirmed, CallEnded, CallFailed, CallProgress
from .transport import Hop
from .uas_checks import (
    check_content,
    check_method,
    check_require,
    check_secure,
    warning_field,
    warning_text,
)

#: A call that nobody answers ends after this, whatever the peer goes on ringing.
MAX_RINGING_S: Final = 180.0
#: Section 13.3.1.1: a provisional response each minute, or proxies give the call up.
PROGRESS_EVERY_S: Final = 60.0

_NOT_WAITING = "the call does not wait for an answer of ours"
_PLAINLY = Why()


class InviteSession(CallParties):
    """One call, from its INVITE to the end of its last transaction.

    Made by a UserAgent; the user drives it with the methods below, each of which takes
    the time in monotonic seconds, and hears of it in events.  They raise, and change
    nothing:

    * LocalError where the call's state does not allow what is asked, which the peer may
      have changed before its event was read,
    * KeysInClear where a description holds SRTP keys and would travel without TLS.
    """

    def __init__(
        self,
        context: AgentContext,
        direction: Direction,
        request: Request,
        *,
        hop: Hop,
        contact: str,
        credentials: DigestClient | None = None,
    ) -> None:
        leg = CallLeg(context, owner=self, hop=hop, contact=contact, credentials=credentials)
        super().__init__(direction, request, leg)
        self._context = context
        outgoing = direction is Direction.OUTGOING
        self.state = State.CALLING if outgoing else State.RINGING
        self._exchange = OfferExchange(context, self._leg, self, owns_call_id=outgoing)
        self._early = EarlyDialogs(context, leg, self)
        self._previewed = False  # a provisional response brought a description
        self._client: ClientTransaction | None = None  # our first INVITE
        self._server: ServerTransaction | None = None  # the peer's first INVITE
        self._bye: ClientTransaction | None = None
        self._unacknowledged: UnacknowledgedAnswer | None = None
        self._due_at: dict[Input, float] = {}
        self._local_tag = ""
        self._progress: tuple[int, bytes | None] = (0, None)  # our last provisional response
        self._unanswered = Why(408 if outgoing else 480, "nobody answered")
        self._why = _PLAINLY
        self._given_up: Why | None = None
        self._sdp: bytes | None = None  # what the message in hand brings, or takes

    @classmethod
    def outgoing(
        cls,
        context: AgentContext,
        request: Request,
        *,
        hop: Hop,
        contact: str,
        credentials: DigestClient | None,
        now: float,
    ) -> "InviteSession":
        """Send an INVITE.

        Raises:
            KeysInClear: The offer holds SRTP keys and the hop is not TLS.

        """
        session = cls(
            context,
            Direction.OUTGOING,
            request,
            hop=hop,
            contact=contact,
            credentials=credentials,
        )
        session._client = session._leg.start(request, now)
        session._due_at[Input.NO_ANSWER] = now + MAX_RINGING_S
        context.sessions[session] = None
        session._schedule()
        return session

    @classmethod
    def incoming(
        cls, context: AgentContext, transaction: ServerTransaction, contact: str, now: float
    ) -> "InviteSession":
        """Take an INVITE that has passed all checks.

        Raises:
            ParseError: No dialog can be made with it.

        """
        request = transaction.request
        expires_s = request.expires or MAX_RINGING_S
        session = cls(context, Direction.INCOMING, request, hop=transaction.flow, contact=contact)
        session._local_tag = context.element.new_token()
        session._leg.dialog = Dialog.as_uas(request, session._local_tag)
        session._server = transaction
        transaction.owner = session
        if expires_s < MAX_RINGING_S:
            session._unanswered = Why(487, "nobody answered")  # section 13.3.1
        session._due_at[Input.NO_ANSWER] = now + min(MAX_RINGING_S, expires_s)
        context.dialogs[session._leg.dialog.id] = session
        context.sessions[session] = None
        session._schedule()
        return session

    def __repr__(self) -> str:
        return f"<InviteSession {self.call_id} {self.state.name}>"

    # What the user does with a call to us

    def ring(self, now: float) -> None:
        """Tell the caller that it rings here; nothing happens if it no longer does."""
        if self.state is State.RINGING:
            self._send_progress(180, None, now)

    def progress(self, sdp: bytes, now: float) -> None:
        """Send early media: a 183 with the answer, which the later 200 must repeat."""
        self._send_progress(183, sdp, now)

    def _send_progress(self, status: int, sdp: bytes | None, now: float) -> None:
        self._check_may(Input.PROGRESS)
        before, self._progress = self._progress, (status, sdp)
        try:
            self._step(Input.PROGRESS, now)
        except KeysInClear:
            self._progress = before
            raise

    def answer(self, sdp: bytes, now: float) -> None:
        """Answer the call: with the answer to its offer, or an offer where it has none."""
        self._check_may(Input.ANSWER)
        self._sdp = sdp
        self._step(Input.ANSWER, now)

    def reject(self, status: int, now: float, *, reason: str = "", warning: str = "") -> None:
        """Refuse the call with 300 to 699; nothing happens if it no longer rings."""
        _check_refuses(status)
        self._step(Input.REJECT, now, Why(status, reason, warning, phrase=reason))

    def hang_up(self, now: float) -> None:
        """End the call in whatever way its state needs; nothing happens if it has ended."""
        if self.state is State.RINGING:  # one phone that rings declines for all of them
            self._step(Input.HANG_UP, now, Why(603 if self._progress[0] else 480))
        else:
            self._give_up(Input.HANG_UP, now, Why(487, "hung up here"))

    # What the user does with a call that stands

    def offer(self, sdp: bytes | None, now: float) -> None:
        """Offer a change, hold for example; None asks the peer for an offer."""
        self._exchange.offer(sdp, now)
        self._schedule()

    def accept(self, sdp: bytes, now: float) -> None:
        """Take what SessionOffered brought, with our answer (or the offer it asks for)."""
        self._exchange.accept(sdp, now)
        self._schedule()

    def refuse(self, status: int, now: float, *, reason: str = "", warning: str = "") -> None:
        """Refuse what SessionOffered brought; nothing happens if it is withdrawn."""
        _check_refuses(status)
        self._exchange.refuse(status, reason, warning, now)
        self._settle_exchange(now)

    def move(self, hop: Hop) -> None:
        """Send requests over another flow from now on."""
        self._leg.move(hop)

    def _check_may(self, given: Input) -> None:
        if (self.state, given) not in TABLE:
            raise LocalError(_NOT_WAITING)

    # Responses to our requests

    def receive_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """Take a response to a request of this call."""
        self._leg.learn_flow(transaction)
        if transaction is self._bye:
            if response.status >= 200:
                self._bye = self._leg.answer_challenge(transaction, response, now)
                if self._bye is None:
                    self._step(Input.BYE_OVER, now)
        elif transaction.request.method != "INVITE":
            return  # the BYE of a fork, or a CANCEL
        elif "tag" in transaction.request.to.params:
            self._exchange.receive_response(transaction, response, now)
            self._settle_exchange(now)
        else:
            self._receive_first(transaction, response, now)

    def _receive_first(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        status = response.status
        if 200 <= status < 300:
            self._receive_success(transaction, response, now)
        elif status < 200:
            self.response = response
            self._early.note(transaction.request, response)
            self._step(Input.PROVISIONAL, now)
        elif not self._is_sent_again(transaction, response, now):
            self.response = response
            self._step(
                Input.FAILURE, now, Why(status, response.reason, warning_text(response), True)
            )

    def _is_sent_again(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> bool:
        if (self.state, Input.CHALLENGE) not in TABLE:
            return False
        again = self._leg.answer_challenge(transaction, response, now)
        if again is None:
            return False
        self._client = again
        self._early.forget()
        self._step(Input.CHALLENGE, now)
        return True

    def _receive_success(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        if self._leg.repeat_ack(response):
            return
        try:
            dialog = Dialog.as_uac(transaction.request, response)
        except ParseError as error:
            self._step(Input.FAILURE, now, Why(502, f"the answer cannot be followed: {error}"))
            return
        chosen = self._leg.dialog
        if chosen is not None and dialog.id == chosen.id:
            return  # its ACK waits for our user's answer
        if chosen is not None or (self.state, Input.SUCCESS) not in TABLE:
            self._early.leave_fork(dialog, transaction.request, now)
            return
        self._early.confirm(dialog)
        self.request, self.response = transaction.request, response
        self._sdp = find_sdp(response)
        if self._sdp is not None or (self._previewed and find_sdp(self.request) is not None):
            self._step(Input.SUCCESS, now)
        else:
            why = Why(488, "the answer has no session description", warning_text(response))
            self._given_up = self._given_up or why
            self._step(Input.EMPTY_SUCCESS, now)
        self._settle_exchange(now)

    def receive_failure(
        self, transaction: ClientTransaction, status: int, reason: str, now: float
    ) -> None:
        """A request of this call got no answer (408), or could not be sent (503)."""
        if transaction is self._client:
            self._step(Input.FAILURE, now, Why(status, reason))
        elif transaction is self._bye:
            self._step(Input.BYE_OVER, now)
        else:
            self._exchange.receive_failure(transaction, status, reason, "", now)
            self._settle_exchange(now)

    # The peer's requests

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Take a request in one of this call's dialogs.

        Raises:
            RemoteError: It is to be refused, with that status.

        """
        dialog = self._leg.dialog or self._early.find(request.from_.tag)
        assert dialog is not None
        profile = self._context.profile
        if dialog.secure:
            check_secure(transaction.flow)
        dialog.check_request(request)
        dialog.receive_request(request)
        check_method(request, profile.allow)
        check_require(request, profile.supported)
        if request.method == "BYE":
            self._context.element.reply(transaction, 200, now)
            self._give_up(Input.BYE, now, Why(487, "ended by the peer", by_remote=True))
        elif request.method == "OPTIONS":
            fields = profile.response_fields()
            self._context.element.reply(transaction, 200, now, fields=fields)
        elif self._leg.dialog is None:
            # Our own first offer is not answered yet (RFC 3311 section 5.2).
            self._context.element.reply(transaction, 491, now)
        else:
            check_content(request)
            transaction.owner = self
            self._exchange.receive_request(transaction, request, now)
            self._settle_exchange(now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx of ours."""
        waiting = self._unacknowledged
        if waiting is not None and waiting.is_acknowledged_by(ack):
            self._unacknowledged = None
            self._sdp = find_sdp(ack)
            self._step(Input.ACK, now)
            if find_sdp(self.request) is None and self._sdp is None:
                self._step(Input.LOST, now, Why(0, "the ACK has no session description"))
        else:
            self._exchange.receive_ack(ack, now)
            self._schedule()

    def receive_cancel(self, invite: ServerTransaction, now: float) -> None:
        """The peer cancelled an INVITE of its own."""
        if invite is self._server:
            why = Why(487, "cancelled by the caller", by_remote=True)
            self._step(Input.CANCEL, now, why)
        else:
            self._exchange.receive_withdrawal(invite, now)
            self._schedule()

    def receive_response_failure(self, transaction: ServerTransaction, now: float) -> None:
        """A response of ours cannot reach the peer."""
        if transaction is self._server:
            if self.state is State.RINGING:
                self._step(Input.LOST, now, Why(0, "connection lost", by_remote=True))
        else:
            self._exchange.receive_withdrawal(transaction, now)
            self._schedule()

    # The five calls

    def handle_timer(self, now: float) -> None:
        """Fire what is due, earliest first."""
        while self._due_at:
            timer, at = min(self._due_at.items(), key=lambda item: item[1])
            if at > now:
                break
            del self._due_at[timer]
            if timer is Input.REPEAT_PROGRESS:
                self._step(timer, now)
            else:
                self._give_up(timer, now, self._unanswered)
        waiting = self._unacknowledged
        if waiting is not None and not waiting.handle_timer(now):
            self._unacknowledged = None
            self._step(Input.NO_ACK, now, Why(408, "no ACK came"))
        self._exchange.handle_timer(now)
        self._settle_exchange(now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        waiting = self._unacknowledged
        due = [*self._due_at.values(), self._exchange.next_deadline()]
        due.append(waiting.next_deadline() if waiting else None)
        return min((at for at in due if at is not None), default=None)

    def _schedule(self) -> None:
        ended = self.state is State.ENDED
        self._context.deadlines.set(self, None if ended else self.next_deadline())

    def _settle_exchange(self, now: float) -> None:
        lost, self._exchange.lost = self._exchange.lost, ""
        if lost:
            self._step(Input.LOST, now, Why(0, lost))
        self._schedule()

    # The table

    def _give_up(self, given: Input, now: float, why: Why) -> None:
        """Take a step after which what the far end still says no longer counts."""
        if (self.state, given) in TABLE and self._given_up is None:
            self._given_up = why
        self._step(given, now, why)

    def _step(self, given: Input, now: float, why: Why = _PLAINLY) -> None:
        entry = TABLE.get((self.state, given))
        if entry is None:
            return
        entered, actions = entry
        self._why = why
        for action in actions:
            self._act(action, now)
        self.state = entered
        live = LIVE_TIMERS[entered]
        self._due_at = {timer: at for timer, at in self._due_at.items() if timer in live}
        if entered is State.ENDED:
            self._finish(now)
        self._schedule()

    def _act(self, action: Action, now: float) -> None:
        context, leg, why = self._context, self._leg, self._why
        match action:
            case Action.NOTE_PROGRESS:
                self._note_progress()
            case Action.CONFIRM:
                self._confirm(now)
            case Action.CONFIRM_AND_LEAVE if leg.dialog is not None:
                leg.acknowledge(leg.dialog, self.request)
                self._leave(now)
            case Action.SEND_CANCEL if self._client is not None:
                context.element.cancel(self._client, now)
            case Action.SEND_PROGRESS if self._server is not None:
                status, sdp = self._progress
                leg.respond(self._server, status, now, sdp=sdp, to_tag=self._local_tag)
                self._due_at[Input.REPEAT_PROGRESS] = now + PROGRESS_EVERY_S
            case Action.SEND_ANSWER if self._server is not None:
                server, tag = self._server, self._local_tag
                response = leg.respond(server, 200, now, sdp=self._sdp, to_tag=tag)
                self._unacknowledged = UnacknowledgedAnswer(context, server, response, now)
                self._exchange.first_answer_sent(now)
            case Action.SEND_REFUSAL if self._server is not None:
                fields = warning_field(why.warning)
                server, tag = self._server, self._local_tag
                leg.refuse(server, why.status, now, reason=why.phrase, fields=fields, to_tag=tag)
            case Action.SEND_BYE:
                self._leave(now)
            case Action.START_CHANGES:
                self._exchange.set_up(now)
            case Action.REPORT_CONFIRMED:
                context.events.append(CallConfirmed(self, self._sdp))
            case Action.REPORT_FAILED:
                end = self._given_up or why
                context.events.append(CallFailed(self, end.status, end.reason, end.warning))
            case Action.REPORT_ENDED:
                reason = why.reason or REASONS.get(why.status, "")
                context.events.append(CallEnded(self, why.by_remote, reason))

    def _note_progress(self) -> None:
        response = self.response
        if response is not None and response.status > 100:
            sdp = find_sdp(response)
            self._previewed = self._previewed or sdp is not None
            self._context.events.append(CallProgress(self, response.status, response.reason, sdp))

    def _confirm(self, now: float) -> None:
        """Section 13.2.2.4: the ACK goes at once, unless it must bring our answer."""
        dialog, sdp = self._leg.dialog, self._sdp
        assert dialog is not None
        if find_sdp(self.request) is not None:
            self._leg.acknowledge(dialog, self.request)
            self._exchange.set_up(now)
            self._context.events.append(CallAnswered(self, sdp))
        else:
            self._context.events.append(CallAnswered(self, None))
            self._exchange.receive_late_offer(self.request, sdp, now)

    def _leave(self, now: float) -> None:
        self._exchange.close(now)
        self._bye = self._leg.send("BYE", now)

    def _finish(self, now: float) -> None:
        self._exchange.close(now)
        self._early.forget()
        if self._leg.dialog is not None:
            self._context.dialogs.pop(self._leg.dialog.id, None)
        self._context.sessions.pop(self, None)


def _check_refuses(status: int) -> None:
    if not 300 <= status <= 699:
        raise LocalError(f"{status} refuses nothing; expected 300 to 699")
