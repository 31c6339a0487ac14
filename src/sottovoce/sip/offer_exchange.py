"""Changing a session that stands: offers and answers in a dialog.  RFC 3261 section 14, RFC 3311.

::

    IDLE --our offer----> OFFERING --2xx---------> IDLE
                              |------2xx, offer--> ANSWERING --our answer in the ACK--> IDLE
                              |------491---------> BACKING_OFF --> OFFERING
                              +------refused-----> IDLE
    IDLE --peer's offer-> OFFERED --UPDATE taken, or refused--> IDLE
                              +-----INVITE taken--> ACKNOWLEDGING --ACK--> IDLE

At most one exchange is under way, and a failed one leaves the session as it was.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ..errors import LocalError, ParseError
from .agent_context import AgentContext
from .call_leg import CallLeg, UnacknowledgedAnswer
from .client_transaction import ClientTransaction
from .content import find_sdp
from .dialog import Dialog
from .element import KEYS_IN_CLEAR, KeysInClear
from .message import Request, Response
from .server_transaction import ServerTransaction
from .session_events import OfferAnswered, OfferRefused, OfferWithdrawn, SessionOffered
from .uas_checks import warning_field, warning_text

if TYPE_CHECKING:
    from .invite_session import InviteSession

#: How often we try again after 491; a peer that is always busy would keep us at it for ever.
MAX_GLARE_RETRIES: Final = 5
#: A person may be asked about our offer at the other end; after this nobody is there.
MAX_OFFERING_S: Final = 60.0
#: Section 14.2: what a peer is told to wait who offers twice at once.
MAX_RETRY_AFTER_S: Final = 10.0
#: Section 14.1: how long to wait after a 491, by whether the Call-ID is ours.
_OWNER_BACK_OFF_S: Final = (2.1, 4.0)
_OTHER_BACK_OFF_S: Final = (0.0, 2.0)


class State(Enum):
    CALLING = auto()  # our first INVITE is not answered yet
    CALLED = auto()  # we have not answered the peer's first INVITE
    IDLE = auto()
    OFFERING = auto()
    BACKING_OFF = auto()
    ANSWERING = auto()
    OFFERED = auto()
    ACKNOWLEDGING = auto()
    CLOSED = auto()
    __hash__ = object.__hash__


class Input(Enum):
    ANSWER_SENT = auto()  # our 2xx to the first INVITE is on its way
    READY = auto()  # the call is set up
    OFFER = auto()  # the user wants a change
    ANSWERED = auto()  # 2xx to our INVITE with an offer
    LATE_OFFER = auto()  # 2xx to our INVITE without one
    GLARE = auto()  # 491
    FAILED = auto()  # any other end of our INVITE
    RETRY_DUE = auto()
    OVERDUE = auto()  # our INVITE rings for ever
    PEER_OFFER = auto()  # INVITE, or UPDATE with a description
    ACCEPT_INVITE = auto()
    ACCEPT_UPDATE = auto()
    ACCEPT_LATE_OFFER = auto()
    REFUSE = auto()
    WITHDRAWN = auto()  # CANCEL, or no way back to the peer
    ACK = auto()
    NO_ACK = auto()
    CLOSE = auto()
    __hash__ = object.__hash__


class Action(Enum):
    SEND_INVITE = auto()
    SEND_CANCEL = auto()
    SEND_ACK = auto()
    SEND_ANSWER = auto()
    SEND_2XX = auto()
    SEND_REFUSAL = auto()
    SEND_481 = auto()
    SEND_487 = auto()
    SEND_491 = auto()
    SEND_500 = auto()
    START_BACK_OFF = auto()
    TAKE_OFFER = auto()
    REPORT_ANSWER = auto()
    REPORT_ACKED_ANSWER = auto()
    REPORT_REFUSAL = auto()
    REPORT_OVERTAKEN = auto()
    REPORT_OFFER = auto()
    REPORT_WITHDRAWN = auto()
    LOSE_CALL = auto()
    __hash__ = object.__hash__


_S, _I, _A = State, Input, Action

#: A pair that is absent is ignored, or for what the user asks an error; the tests list them.
TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = {
    (_S.CALLING, _I.READY): (_S.IDLE, ()),
    (_S.CALLING, _I.LATE_OFFER): (_S.ANSWERING, (_A.REPORT_OFFER,)),
    (_S.CALLING, _I.PEER_OFFER): (_S.CALLING, (_A.SEND_491,)),
    (_S.CALLING, _I.CLOSE): (_S.CLOSED, ()),
    (_S.CALLED, _I.ANSWER_SENT): (_S.ACKNOWLEDGING, ()),
    (_S.CALLED, _I.PEER_OFFER): (_S.CALLED, (_A.SEND_500,)),
    (_S.CALLED, _I.CLOSE): (_S.CLOSED, ()),
    (_S.IDLE, _I.OFFER): (_S.OFFERING, (_A.SEND_INVITE,)),
    (_S.IDLE, _I.PEER_OFFER): (_S.OFFERED, (_A.TAKE_OFFER, _A.REPORT_OFFER)),
    # A 2xx that we had given up: the peer has changed the session and we have not.
    (_S.IDLE, _I.ANSWERED): (_S.IDLE, (_A.SEND_ACK, _A.LOSE_CALL)),
    (_S.IDLE, _I.LATE_OFFER): (_S.IDLE, (_A.SEND_ACK, _A.LOSE_CALL)),
    (_S.IDLE, _I.CLOSE): (_S.CLOSED, ()),
    (_S.OFFERING, _I.ANSWERED): (_S.IDLE, (_A.SEND_ACK, _A.REPORT_ANSWER)),
    (_S.OFFERING, _I.LATE_OFFER): (_S.ANSWERING, (_A.REPORT_OFFER,)),
    (_S.OFFERING, _I.GLARE): (_S.BACKING_OFF, (_A.START_BACK_OFF,)),
    (_S.OFFERING, _I.FAILED): (_S.IDLE, (_A.REPORT_REFUSAL,)),
    (_S.OFFERING, _I.OVERDUE): (_S.IDLE, (_A.SEND_CANCEL, _A.REPORT_REFUSAL, _A.LOSE_CALL)),
    (_S.OFFERING, _I.PEER_OFFER): (_S.OFFERING, (_A.SEND_491,)),
    (_S.OFFERING, _I.CLOSE): (_S.CLOSED, ()),
    (_S.BACKING_OFF, _I.RETRY_DUE): (_S.OFFERING, (_A.SEND_INVITE,)),
    # What we meant to offer was a change of a session that is about to be another.
    (_S.BACKING_OFF, _I.PEER_OFFER): (
        _S.OFFERED,
        (_A.REPORT_OVERTAKEN, _A.TAKE_OFFER, _A.REPORT_OFFER),
    ),
    (_S.BACKING_OFF, _I.FAILED): (_S.IDLE, (_A.REPORT_REFUSAL,)),
    (_S.BACKING_OFF, _I.CLOSE): (_S.CLOSED, ()),
    (_S.ANSWERING, _I.ACCEPT_LATE_OFFER): (_S.IDLE, (_A.SEND_ANSWER,)),
    # Section 13.2.2.4: an offer in a 2xx can only be refused by leaving.
    (_S.ANSWERING, _I.REFUSE): (_S.IDLE, (_A.SEND_ACK, _A.LOSE_CALL)),
    (_S.ANSWERING, _I.PEER_OFFER): (_S.ANSWERING, (_A.SEND_491,)),
    (_S.ANSWERING, _I.CLOSE): (_S.CLOSED, (_A.SEND_ACK,)),
    (_S.OFFERED, _I.ACCEPT_INVITE): (_S.ACKNOWLEDGING, (_A.SEND_2XX,)),
    (_S.OFFERED, _I.ACCEPT_UPDATE): (_S.IDLE, (_A.SEND_2XX,)),
    (_S.OFFERED, _I.REFUSE): (_S.IDLE, (_A.SEND_REFUSAL,)),
    (_S.OFFERED, _I.WITHDRAWN): (_S.IDLE, (_A.SEND_487, _A.REPORT_WITHDRAWN)),
    (_S.OFFERED, _I.PEER_OFFER): (_S.OFFERED, (_A.SEND_500,)),
    (_S.OFFERED, _I.CLOSE): (_S.CLOSED, (_A.SEND_487,)),
    (_S.ACKNOWLEDGING, _I.READY): (_S.IDLE, ()),
    (_S.ACKNOWLEDGING, _I.ACK): (_S.IDLE, (_A.REPORT_ACKED_ANSWER,)),
    (_S.ACKNOWLEDGING, _I.NO_ACK): (_S.IDLE, (_A.LOSE_CALL,)),
    (_S.ACKNOWLEDGING, _I.PEER_OFFER): (_S.ACKNOWLEDGING, (_A.SEND_491,)),
    (_S.ACKNOWLEDGING, _I.CLOSE): (_S.CLOSED, ()),
    (_S.CLOSED, _I.ANSWERED): (_S.CLOSED, (_A.SEND_ACK,)),
    (_S.CLOSED, _I.LATE_OFFER): (_S.CLOSED, (_A.SEND_ACK,)),
    (_S.CLOSED, _I.PEER_OFFER): (_S.CLOSED, (_A.SEND_481,)),
}

_REPORTS: Final = frozenset(action for action in Action if action.name.startswith("REPORT"))
_STATUS: Final = {Action.SEND_481: 481, Action.SEND_491: 491, Action.SEND_500: 500}
#: What may only be asked in a state that has it in the table.
_ASKED_FOR = {
    Input.OFFER: "another change of the session is under way, or the call does not stand",
    Input.ACCEPT_INVITE: "there is no offer to accept",
    Input.ACCEPT_UPDATE: "there is no offer to accept",
    Input.ACCEPT_LATE_OFFER: "there is no offer to accept",
}


class OfferExchange:
    """The offers and answers of one call after, and the late ones of, its first INVITE.

    Args:
        context: What all calls share.
        leg: The call's path.
        session: Named in events.
        owns_call_id: We began the call.

    """

    def __init__(
        self, context: AgentContext, leg: CallLeg, session: "InviteSession", *, owns_call_id: bool
    ) -> None:
        self.state = State.CALLING if owns_call_id else State.CALLED
        self.lost = ""  # why the whole call is over, once it is
        self._context = context
        self._leg = leg
        self._session = session
        self._owns_call_id = owns_call_id
        self._client: ClientTransaction | None = None  # our INVITE
        self._invite: Request | None = None  # whose 2xx is to be acknowledged
        self._asking: ServerTransaction | None = None  # the peer's newest INVITE or UPDATE
        self._server: ServerTransaction | None = None  # the one that is being dealt with
        self._unacknowledged: UnacknowledgedAnswer | None = None
        self._offer: bytes | None = None  # ours, under way
        self._description: bytes | None = None  # what the message in hand brings or takes
        self._refusal = (0, "", "")  # status, reason, warning: ours or the peer's
        self._retries = 0
        self._retry_at: float | None = None
        self._overdue_at: float | None = None

    # The first INVITE

    def first_answer_sent(self, now: float) -> None:
        """We answered the call; whoever called does not know it yet."""
        self._step(Input.ANSWER_SENT, now)

    def set_up(self, now: float) -> None:
        """The call stands; from now on the session may change."""
        self._step(Input.READY, now)

    def receive_late_offer(self, invite: Request, sdp: bytes | None, now: float) -> None:
        """Take the offer that the 2xx to our first INVITE brought; its ACK brings our answer."""
        self._invite, self._description = invite, sdp
        self._step(Input.LATE_OFFER, now)

    # What the user does

    def offer(self, sdp: bytes | None, now: float) -> None:
        """Offer a change (section 14.1); None asks the peer for an offer.

        Raises:
            LocalError: Another exchange is under way, or the call does not stand.
            KeysInClear: The offer holds SRTP keys and the hop is not TLS.

        """
        self._check_may(Input.OFFER)
        self._offer, self._retries = sdp, 0
        self._step(Input.OFFER, now)

    def accept(self, sdp: bytes, now: float) -> None:
        """Take the peer's offer and give our answer, or the offer that the peer asked for.

        Raises:
            LocalError: There is none.
            KeysInClear: The answer holds SRTP keys and the hop is not TLS.

        """
        given = Input.ACCEPT_INVITE
        if self.state is State.ANSWERING:
            given = Input.ACCEPT_LATE_OFFER
        elif self._server is not None and self._server.request.method == "UPDATE":
            given = Input.ACCEPT_UPDATE
        self._check_may(given)
        self._description = sdp
        self._step(given, now)

    def refuse(self, status: int, reason: str, warning: str, now: float) -> None:
        """Refuse the peer's offer, if there still is one; the session stays as it is."""
        if (self.state, Input.REFUSE) in TABLE:
            self._refusal = (status, reason, warning)
            self._step(Input.REFUSE, now)

    def _check_may(self, given: Input) -> None:
        if (self.state, given) not in TABLE:
            raise LocalError(_ASKED_FOR[given])

    def close(self, now: float) -> None:
        """The call ends: leave nothing unanswered."""
        self._step(Input.CLOSE, now)

    # What the peer does

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Take an INVITE or UPDATE in the dialog that has passed all checks."""
        sdp = find_sdp(request)
        if request.method == "UPDATE" and sdp is None:
            self._refresh_target(request)
            self._leg.respond(transaction, 200, now)
            return
        self._asking = transaction
        if self.state in (State.IDLE, State.BACKING_OFF):
            self._description = sdp
        self._step(Input.PEER_OFFER, now)

    def receive_withdrawal(self, transaction: ServerTransaction, now: float) -> None:
        """The peer cancelled its INVITE, or our answer cannot reach it."""
        if transaction is self._server:
            self._step(Input.WITHDRAWN, now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx of ours."""
        waiting = self._unacknowledged
        if waiting is not None and waiting.is_acknowledged_by(ack):
            self._description = find_sdp(ack)
            self._step(Input.ACK, now)

    def receive_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """Take a response to an INVITE of ours in the dialog."""
        if response.status < 200:
            return
        if response.status < 300:
            self._receive_success(transaction, response, now)
        elif transaction is self._client:
            again = self._leg.answer_challenge(transaction, response, now)
            if again is not None:
                self._client = again
                return
            self.receive_failure(
                transaction, response.status, response.reason, warning_text(response), now
            )

    def _receive_success(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        if self._leg.repeat_ack(response):
            return
        self._invite, self._description = transaction.request, find_sdp(response)
        self._refresh_target(response)
        late = find_sdp(transaction.request) is None and self._description is not None
        self._step(Input.LATE_OFFER if late else Input.ANSWERED, now)

    def receive_failure(
        self, transaction: ClientTransaction, status: int, reason: str, warning: str, now: float
    ) -> None:
        """Our INVITE ended without success; 408 and 503 stand for silence and no way."""
        if transaction is not self._client:
            return
        self._client = None
        self._refusal = (status, reason, warning)
        if status == 491 and self._retries < MAX_GLARE_RETRIES:
            self._step(Input.GLARE, now)
            return
        self._step(Input.FAILED, now)
        if status in (408, 481):  # section 12.2.1.2: nobody is there any more
            self.lost = f"{status} {reason}"

    def _refresh_target(self, message: Request | Response) -> None:
        dialog = self._dialog
        try:
            dialog.refresh_target(message)
        except ParseError:
            return  # the target that was right goes on being used

    # The five calls

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            try:
                self._step(Input.RETRY_DUE, now)
            except KeysInClear:  # the call has moved to another hop since
                self._refusal = (488, KEYS_IN_CLEAR, "")
                self._step(Input.FAILED, now)
        if self._overdue_at is not None and now >= self._overdue_at:
            self._refusal = (408, "Request Timeout", "")
            self._step(Input.OVERDUE, now)
        waiting = self._unacknowledged
        if waiting is not None and not waiting.handle_timer(now):
            self._refusal = (408, "no ACK came", "")
            self._step(Input.NO_ACK, now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        waiting = self._unacknowledged
        due = (self._retry_at, self._overdue_at, waiting.next_deadline() if waiting else None)
        return min((at for at in due if at is not None), default=None)

    # Inside

    @property
    def _dialog(self) -> Dialog:
        dialog = self._leg.dialog
        assert dialog is not None
        return dialog

    def _step(self, given: Input, now: float) -> None:
        entry = TABLE.get((self.state, given))
        if entry is None:
            return
        entered, actions = entry
        for action in actions:
            self._act(action, now)
        self.state = entered
        if entered is not State.OFFERING:
            self._overdue_at = None
        if entered is not State.BACKING_OFF:
            self._retry_at = None
        if entered is not State.ACKNOWLEDGING:
            self._unacknowledged = None

    def _act(self, action: Action, now: float) -> None:
        if action in _REPORTS:
            self._report(action)
        elif action is Action.LOSE_CALL:
            self.lost = self._refusal[1] or "the session could not be changed"
        elif action is Action.TAKE_OFFER:
            self._server = self._asking
        elif action is Action.START_BACK_OFF:
            self._retries += 1
            span = _OWNER_BACK_OFF_S if self._owns_call_id else _OTHER_BACK_OFF_S
            # In steps of 10 ms, as section 14.1 has it.
            self._retry_at = now + round(self._context.between(*span), 2)
        else:
            self._send(action, now)

    def _send(self, action: Action, now: float) -> None:
        leg, server = self._leg, self._server
        match action:
            case Action.SEND_INVITE:
                self._client = leg.send("INVITE", now, sdp=self._offer)
                self._overdue_at = now + MAX_OFFERING_S
            case Action.SEND_CANCEL if self._client is not None:
                self._context.element.cancel(self._client, now)
            case Action.SEND_ACK if self._invite is not None:
                leg.acknowledge(self._dialog, self._invite)
            case Action.SEND_ANSWER if self._invite is not None:
                leg.acknowledge(self._dialog, self._invite, self._description)
            case Action.SEND_2XX if server is not None:
                response = leg.respond(server, 200, now, sdp=self._description)
                self._refresh_target(server.request)
                if server.request.method == "INVITE":
                    self._unacknowledged = UnacknowledgedAnswer(
                        self._context, server, response, now
                    )
            case Action.SEND_REFUSAL if server is not None:
                status, reason, warning = self._refusal
                leg.refuse(server, status, now, reason=reason, fields=warning_field(warning))
            case Action.SEND_487 if server is not None:
                leg.refuse(server, 487, now)
            case Action.SEND_481 | Action.SEND_491 | Action.SEND_500 if self._asking is not None:
                self._turn_away(self._asking, _STATUS[action], now)

    def _turn_away(self, asking: ServerTransaction, status: int, now: float) -> None:
        fields = []
        if status == 500:
            wait_s = round(self._context.between(0.0, MAX_RETRY_AFTER_S))
            fields = [("Retry-After", str(wait_s))]
        self._leg.refuse(asking, status, now, fields=fields)

    def _report(self, action: Action) -> None:
        report, session, sdp = self._context.events.append, self._session, self._description
        match action:
            case Action.REPORT_OFFER:
                report(SessionOffered(session, sdp))
            case Action.REPORT_WITHDRAWN:
                report(OfferWithdrawn(session))
            case Action.REPORT_OVERTAKEN:
                report(OfferRefused(session, 491, "the peer's offer came first"))
            case Action.REPORT_REFUSAL:
                report(OfferRefused(session, *self._refusal[:2]))
            case Action.REPORT_ACKED_ANSWER if not self._we_offered:
                pass
            case _ if sdp is not None:
                report(OfferAnswered(session, sdp))
            case _:
                report(OfferRefused(session, 488, "the answer has no session description"))

    @property
    def _we_offered(self) -> bool:
        """The peer's INVITE asked for our offer."""
        return self._server is not None and find_sdp(self._server.request) is None
