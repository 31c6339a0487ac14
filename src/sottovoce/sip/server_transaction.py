"""Server transactions.  RFC 3261 section 17.2, RFC 6026 section 7.1.

::

    INVITE received -> PROCEEDING --2xx------> ACCEPTED  --L--> TERMINATED   (figure 7)
                            |
                            +------300-699---> COMPLETED --ACK--> CONFIRMED --I--> TERMINATED

    other received --> TRYING --1xx--> PROCEEDING                            (figure 8)
                          |                |
                          +----200-699-----+--> COMPLETED --J--> TERMINATED
"""

from collections.abc import Mapping
from enum import Enum, auto

from .message import Request, Response
from .timers import TimerValues
from .transport import Flow


class State(Enum):
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()
    __hash__ = object.__hash__


class Input(Enum):
    REQUEST = auto()  # the same request again
    ACK = auto()
    RESPOND_1XX = auto()
    RESPOND_2XX = auto()
    RESPOND_300_699 = auto()
    TIMER_TRYING = auto()  # the user has said nothing for 200 ms
    TIMER_G = auto()  # repeat the refusal of an INVITE
    TIMER_H = auto()  # no ACK came
    TIMER_I = auto()  # repeats of the ACK have died out
    TIMER_J = auto()  # repeats of the request have died out
    TIMER_L = auto()  # repeats of the INVITE have died out, after a 2xx
    TRANSPORT_ERROR = auto()
    __hash__ = object.__hash__


class Action(Enum):
    SEND = auto()
    RESEND = auto()
    SEND_TRYING = auto()
    PASS_ACK_UP = auto()
    REPORT_NO_ACK = auto()
    REPORT_TRANSPORT_ERROR = auto()
    START_G_AND_H = auto()
    REPEAT_G = auto()
    START_I = auto()
    START_J = auto()
    START_L = auto()
    __hash__ = object.__hash__


_S, _I, _A = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

#: Figure 7 as RFC 6026 figure 6 amends it.
INVITE_TABLE: Table = {
    (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, (_A.RESEND,)),
    (_S.PROCEEDING, _I.TIMER_TRYING): (_S.PROCEEDING, (_A.SEND_TRYING,)),
    (_S.PROCEEDING, _I.RESPOND_1XX): (_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _I.RESPOND_2XX): (_S.ACCEPTED, (_A.SEND, _A.START_L)),
    (_S.PROCEEDING, _I.RESPOND_300_699): (_S.COMPLETED, (_A.SEND, _A.START_G_AND_H)),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, (_A.RESEND,)),
    (_S.COMPLETED, _I.TIMER_G): (_S.COMPLETED, (_A.RESEND, _A.REPEAT_G)),
    (_S.COMPLETED, _I.TIMER_H): (_S.TERMINATED, (_A.REPORT_NO_ACK,)),
    (_S.COMPLETED, _I.ACK): (_S.CONFIRMED, (_A.START_I,)),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.CONFIRMED, _I.TIMER_I): (_S.TERMINATED, ()),
    # RFC 6026 section 7.1: further 2xx from the user (or from other branches) go out.
    (_S.ACCEPTED, _I.RESPOND_2XX): (_S.ACCEPTED, (_A.SEND,)),
    (_S.ACCEPTED, _I.ACK): (_S.ACCEPTED, (_A.PASS_ACK_UP,)),
    (_S.ACCEPTED, _I.TRANSPORT_ERROR): (_S.ACCEPTED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.ACCEPTED, _I.TIMER_L): (_S.TERMINATED, ()),
}

#: Figure 8.
NON_INVITE_TABLE: Table = {
    (_S.TRYING, _I.RESPOND_1XX): (_S.PROCEEDING, (_A.SEND,)),
    (_S.TRYING, _I.RESPOND_2XX): (_S.COMPLETED, (_A.SEND, _A.START_J)),
    (_S.TRYING, _I.RESPOND_300_699): (_S.COMPLETED, (_A.SEND, _A.START_J)),
    (_S.TRYING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, (_A.RESEND,)),
    (_S.PROCEEDING, _I.RESPOND_1XX): (_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _I.RESPOND_2XX): (_S.COMPLETED, (_A.SEND, _A.START_J)),
    (_S.PROCEEDING, _I.RESPOND_300_699): (_S.COMPLETED, (_A.SEND, _A.START_J)),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, (_A.RESEND,)),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.COMPLETED, _I.TIMER_J): (_S.TERMINATED, ()),
}

_TIMERS = frozenset(given for given in Input if given.name.startswith("TIMER"))


def _live_timers(table: Table) -> Mapping[State, frozenset[Input]]:
    """Timers that still mean something in each state; entering a state drops the rest."""
    return {s: frozenset(g for at, g in table if at is s and g in _TIMERS) for s in State}


_LIVE_IN_INVITE = _live_timers(INVITE_TABLE)
_LIVE_IN_NON_INVITE = _live_timers(NON_INVITE_TABLE)


class ServerTransaction:
    """One request of a peer, from receiving it to the last repeat of our final response.

    Args:
        request: The request, with ``received`` and ``rport`` already in its top Via.
        flow: Where it came from.
        reply_flow: Where its responses go (section 18.2.2, RFC 3581 section 4).
        key: What repeats of it are known by (section 17.2.3).
        now: Monotonic seconds, from the same clock as every later call.
        timers: Base times.

    """

    __slots__ = (
        "_due_at",
        "_gap_s",
        "_last",
        "_live",
        "_reliable",
        "_table",
        "_timers",
        "flow",
        "key",
        "outcome",
        "owner",
        "reply_flow",
        "request",
        "sends",
        "state",
    )

    def __init__(
        self,
        request: Request,
        flow: Flow,
        reply_flow: Flow,
        key: tuple[str, ...],
        now: float,
        timers: TimerValues,
    ) -> None:
        self.request = request
        self.flow = flow
        self.reply_flow = reply_flow
        self.key = key
        self.owner: object = None
        self.sends: list[bytes] = []
        self.outcome: list[Action] = []
        self._timers = timers
        self._reliable = flow.transport.reliable
        self._gap_s = timers.t1_s
        self._last = b""
        self._due_at: dict[Input, float] = {}
        if request.method == "INVITE":
            self.state = State.PROCEEDING
            self._table, self._live = INVITE_TABLE, _LIVE_IN_INVITE
            self._due_at[Input.TIMER_TRYING] = now + timers.trying_s
        else:
            self.state = State.TRYING
            self._table, self._live = NON_INVITE_TABLE, _LIVE_IN_NON_INVITE

    @property
    def answered(self) -> bool:
        """A final response has gone out."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def receive_repeat(self, now: float) -> None:
        """Take the same request once more."""
        self._step(Input.REQUEST, now)

    def receive_ack(self, now: float) -> None:
        """Take the ACK that belongs to this INVITE."""
        self._step(Input.ACK, now)

    def respond(self, response: Response, now: float) -> bool:
        """Send a response; False if the transaction is past it and it went nowhere."""
        if response.status < 200:
            given = Input.RESPOND_1XX
        elif response.status < 300:
            given = Input.RESPOND_2XX
        else:
            given = Input.RESPOND_300_699
        if (self.state, given) not in self._table:
            return False
        self._last = response.to_bytes()
        self._due_at.pop(Input.TIMER_TRYING, None)
        self._step(given, now)
        return True

    def report_transport_error(self, now: float) -> None:
        """Tell the transaction that its response could not be sent."""
        self._step(Input.TRANSPORT_ERROR, now)

    def drop(self) -> None:
        """End here and now, whatever the state; nothing is sent or reported any more."""
        self.state = State.TERMINATED
        self._due_at.clear()

    def handle_timer(self, now: float) -> None:
        """Fire every timer due at or before ``now``, earliest first."""
        while self._due_at:
            timer = min(self._due_at, key=self._due_at.__getitem__)
            if self._due_at[timer] > now:
                return
            del self._due_at[timer]
            self._step(timer, now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None if nothing is pending."""
        return min(self._due_at.values()) if self._due_at else None

    def take_outcome(self) -> list[Action]:
        """Hand over what the user must be told: PASS_ACK_UP or one of the reports."""
        outcome, self.outcome = self.outcome, []
        return outcome

    def _step(self, given: Input, now: float) -> None:
        entry = self._table.get((self.state, given))
        if entry is None:
            return
        entered, actions = entry
        for action in actions:
            self._act(action, now)
        if entered is not self.state:
            self.state = entered
            live = self._live[entered]
            for timer in self._due_at.keys() - live:
                del self._due_at[timer]

    def _act(self, action: Action, now: float) -> None:
        match action:
            case Action.SEND:
                self.sends.append(self._last)
            case Action.RESEND:
                if self._last:  # before the 100 there is nothing to repeat
                    self.sends.append(self._last)
            case Action.SEND_TRYING:
                self._last = Response.to_request(self.request, 100, to_tag=None).to_bytes()
                self.sends.append(self._last)
            case Action.PASS_ACK_UP | Action.REPORT_NO_ACK | Action.REPORT_TRANSPORT_ERROR:
                self.outcome.append(action)
            case Action.START_G_AND_H:
                self._due_at[Input.TIMER_H] = now + self._timers.transaction_s
                if not self._reliable:
                    self._due_at[Input.TIMER_G] = now + self._gap_s
            case Action.REPEAT_G:
                self._gap_s = min(2 * self._gap_s, self._timers.t2_s)
                self._due_at[Input.TIMER_G] = now + self._gap_s
            case Action.START_I:
                self._due_at[Input.TIMER_I] = now + self._timers.i_s(reliable=self._reliable)
            case Action.START_J:
                self._due_at[Input.TIMER_J] = now + self._timers.j_s(reliable=self._reliable)
            case Action.START_L:
                self._due_at[Input.TIMER_L] = now + self._timers.transaction_s
