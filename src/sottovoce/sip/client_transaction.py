"""Client transactions.  RFC 3261 section 17.1, RFC 6026 section 7.2.

::

    INVITE sent -> CALLING --1xx--> PROCEEDING           (figure 5)
                      |                 |
                      +-------2xx-------+--> ACCEPTED  --M--> TERMINATED
                      +-----300-699-----+--> COMPLETED --D--> TERMINATED

    other sent --> TRYING ---1xx--> PROCEEDING           (figure 6)
                      |                 |
                      +-----200-699-----+--> COMPLETED --K--> TERMINATED
"""

from collections.abc import Mapping
from enum import Enum, auto

from .message import Request, Response, field
from .timers import TimerValues
from .transport import Hop


class State(Enum):
    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    TERMINATED = auto()
    __hash__ = object.__hash__


class Input(Enum):
    RESPONSE_1XX = auto()
    RESPONSE_2XX = auto()
    RESPONSE_300_699 = auto()
    TIMER_A = auto()  # resend the INVITE
    TIMER_B = auto()  # no answer at all to an INVITE
    TIMER_D = auto()  # repeats of the final response have died out
    TIMER_E = auto()  # resend another request
    TIMER_F = auto()  # no final answer to another request
    TIMER_K = auto()  # as D, for other requests
    TIMER_M = auto()  # as D, after a 2xx
    TIMER_CANCELLED = auto()  # no final answer after our CANCEL
    TRANSPORT_ERROR = auto()
    __hash__ = object.__hash__


class Action(Enum):
    RESEND_A = auto()
    RESEND_E = auto()
    RESEND_E_SLOWLY = auto()
    SEND_ACK = auto()
    PASS_UP = auto()
    REPORT_TIMEOUT = auto()
    REPORT_TRANSPORT_ERROR = auto()
    START_D = auto()
    START_K = auto()
    START_M = auto()
    __hash__ = object.__hash__


_S, _I, _A = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

#: Figure 5 as RFC 6026 figure 5 amends it.  A pair that is absent is ignored;
#: the tests list the absent ones.
INVITE_TABLE: Table = {
    (_S.CALLING, _I.TIMER_A): (_S.CALLING, (_A.RESEND_A,)),
    (_S.CALLING, _I.TIMER_B): (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
    (_S.CALLING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.CALLING, _I.RESPONSE_1XX): (_S.PROCEEDING, (_A.PASS_UP,)),
    (_S.CALLING, _I.RESPONSE_2XX): (_S.ACCEPTED, (_A.PASS_UP, _A.START_M)),
    (_S.CALLING, _I.RESPONSE_300_699): (_S.COMPLETED, (_A.SEND_ACK, _A.PASS_UP, _A.START_D)),
    (_S.PROCEEDING, _I.RESPONSE_1XX): (_S.PROCEEDING, (_A.PASS_UP,)),
    (_S.PROCEEDING, _I.RESPONSE_2XX): (_S.ACCEPTED, (_A.PASS_UP, _A.START_M)),
    (_S.PROCEEDING, _I.RESPONSE_300_699): (_S.COMPLETED, (_A.SEND_ACK, _A.PASS_UP, _A.START_D)),
    # Departs from RFC 3261 figure 5, which hears of a lost connection only while calling:
    # a response can no longer come, so the user is told now and not by timer C.
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    # Section 9.1: 64*T1 after the CANCEL there is nobody left to wait for.
    (_S.PROCEEDING, _I.TIMER_CANCELLED): (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
    (_S.ACCEPTED, _I.RESPONSE_2XX): (_S.ACCEPTED, (_A.PASS_UP,)),
    (_S.ACCEPTED, _I.TIMER_M): (_S.TERMINATED, ()),
    (_S.COMPLETED, _I.RESPONSE_300_699): (_S.COMPLETED, (_A.SEND_ACK,)),
    (_S.COMPLETED, _I.TIMER_D): (_S.TERMINATED, ()),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
}

#: Figure 6.
NON_INVITE_TABLE: Table = {
    (_S.TRYING, _I.TIMER_E): (_S.TRYING, (_A.RESEND_E,)),
    (_S.TRYING, _I.TIMER_F): (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
    (_S.TRYING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.TRYING, _I.RESPONSE_1XX): (_S.PROCEEDING, (_A.PASS_UP,)),
    (_S.TRYING, _I.RESPONSE_2XX): (_S.COMPLETED, (_A.PASS_UP, _A.START_K)),
    (_S.TRYING, _I.RESPONSE_300_699): (_S.COMPLETED, (_A.PASS_UP, _A.START_K)),
    (_S.PROCEEDING, _I.TIMER_E): (_S.PROCEEDING, (_A.RESEND_E_SLOWLY,)),
    (_S.PROCEEDING, _I.TIMER_F): (_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, (_A.REPORT_TRANSPORT_ERROR,)),
    (_S.PROCEEDING, _I.RESPONSE_1XX): (_S.PROCEEDING, (_A.PASS_UP,)),
    (_S.PROCEEDING, _I.RESPONSE_2XX): (_S.COMPLETED, (_A.PASS_UP, _A.START_K)),
    (_S.PROCEEDING, _I.RESPONSE_300_699): (_S.COMPLETED, (_A.PASS_UP, _A.START_K)),
    (_S.COMPLETED, _I.TIMER_K): (_S.TERMINATED, ()),
}

_TIMERS = frozenset(given for given in Input if given.name.startswith("TIMER"))


def _live_timers(table: Table) -> Mapping[State, frozenset[Input]]:
    """Timers that still mean something in each state; entering a state drops the rest."""
    return {s: frozenset(g for at, g in table if at is s and g in _TIMERS) for s in State}


_LIVE_IN_INVITE = _live_timers(INVITE_TABLE)
_LIVE_IN_NON_INVITE = _live_timers(NON_INVITE_TABLE)


class ClientTransaction:
    """One request of ours, from sending it to the last repeat of its final response.

    Args:
        request: The request as sent, our Via on top.
        hop: Where it goes; a Target becomes a Flow when the connection stands.
        key: Branch and method, by which responses find it (section 17.1.3).
        owner: Whoever asked for it; the layer hands its events to them.
        now: Monotonic seconds, from the same clock as every later call.
        timers: Base times.

    """

    __slots__ = (
        "_due_at",
        "_gap_s",
        "_live",
        "_reliable",
        "_table",
        "_timers",
        "hop",
        "key",
        "outcome",
        "owner",
        "request",
        "sends",
        "state",
    )

    def __init__(
        self,
        request: Request,
        hop: Hop,
        key: tuple[str, str],
        owner: object,
        now: float,
        timers: TimerValues,
    ) -> None:
        self.request = request
        self.hop = hop
        self.key = key
        self.owner = owner
        self.sends: list[bytes] = [request.to_bytes()]
        self.outcome: list[Action] = []
        self._timers = timers
        self._reliable = hop.transport.reliable
        self._gap_s = timers.t1_s
        if request.method == "INVITE":
            self.state = State.CALLING
            self._table, self._live = INVITE_TABLE, _LIVE_IN_INVITE
            end, resend = Input.TIMER_B, Input.TIMER_A
        else:
            self.state = State.TRYING
            self._table, self._live = NON_INVITE_TABLE, _LIVE_IN_NON_INVITE
            end, resend = Input.TIMER_F, Input.TIMER_E
        self._due_at = {end: now + timers.transaction_s}
        if not self._reliable:
            self._due_at[resend] = now + self._gap_s

    def receive_response(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction."""
        if response.status < 200:
            self._step(Input.RESPONSE_1XX, now, response)
        elif response.status < 300:
            self._step(Input.RESPONSE_2XX, now, response)
        else:
            self._step(Input.RESPONSE_300_699, now, response)

    def expect_end(self, now: float) -> None:
        """A CANCEL went out: give the INVITE 64*T1 to end (section 9.1)."""
        if self.state is State.PROCEEDING:
            self._due_at.setdefault(Input.TIMER_CANCELLED, now + self._timers.transaction_s)

    def report_transport_error(self, now: float) -> None:
        """Tell the transaction that its message could not be sent, or its flow is gone."""
        self._step(Input.TRANSPORT_ERROR, now)

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
        """Hand over what the user must be told: PASS_UP or one of the reports."""
        outcome, self.outcome = self.outcome, []
        return outcome

    def _step(self, given: Input, now: float, response: Response | None = None) -> None:
        entry = self._table.get((self.state, given))
        if entry is None:
            return
        entered, actions = entry
        for action in actions:
            self._act(action, now, response)
        if entered is not self.state:
            self.state = entered
            live = self._live[entered]
            for timer in self._due_at.keys() - live:
                del self._due_at[timer]

    def _act(self, action: Action, now: float, response: Response | None) -> None:
        match action:
            case Action.PASS_UP | Action.REPORT_TIMEOUT | Action.REPORT_TRANSPORT_ERROR:
                self.outcome.append(action)
            case Action.RESEND_A:
                self.sends.append(self.request.to_bytes())
                self._gap_s *= 2  # uncapped for INVITE: section 17.1.1.2
                self._due_at[Input.TIMER_A] = now + self._gap_s
            case Action.RESEND_E:
                self.sends.append(self.request.to_bytes())
                self._gap_s = min(2 * self._gap_s, self._timers.t2_s)
                self._due_at[Input.TIMER_E] = now + self._gap_s
            case Action.RESEND_E_SLOWLY:
                self.sends.append(self.request.to_bytes())
                self._due_at[Input.TIMER_E] = now + self._timers.t2_s
            case Action.SEND_ACK if response is not None:
                self.sends.append(ack_for(self.request, response).to_bytes())
            case Action.START_D:
                self._start(Input.TIMER_D, now + self._timers.d_s(reliable=self._reliable))
            case Action.START_K:
                self._start(Input.TIMER_K, now + self._timers.i_s(reliable=self._reliable))
            case Action.START_M:
                self._start(Input.TIMER_M, now + self._timers.transaction_s)

    def _start(self, timer: Input, at: float) -> None:
        self._due_at[timer] = at


def ack_for(invite: Request, response: Response) -> Request:
    """Make the ACK for a 300-699 response.  RFC 3261 section 17.1.1.3."""
    fields = [field("Via", invite.items("via")[0])]
    fields += [entry for entry in invite.fields if entry[0] == "route"]
    fields += [
        field("Max-Forwards", "70"),
        next(entry for entry in invite.fields if entry[0] == "from"),
        next(entry for entry in response.fields if entry[0] == "to"),
        next(entry for entry in invite.fields if entry[0] == "call-id"),
        field("CSeq", f"{invite.cseq.number} ACK"),
        field("Content-Length", "0"),
    ]
    return Request("ACK", invite.request_uri, fields, b"")


def cancel_for(invite: Request) -> Request:
    """Make the CANCEL of an INVITE that has had a provisional answer.  Section 9.1."""
    fields = [field("Via", invite.items("via")[0])]
    fields += [entry for entry in invite.fields if entry[0] == "route"]
    fields += [
        field("Max-Forwards", "70"),
        *(entry for entry in invite.fields if entry[0] in ("from", "to", "call-id")),
        field("CSeq", f"{invite.cseq.number} CANCEL"),
        field("Content-Length", "0"),
    ]
    return Request("CANCEL", invite.request_uri, fields, b"")
