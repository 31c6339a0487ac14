"""Keeping one binding at a registrar.  RFC 3261 section 10.2, RFC 5626 section 4.

::

    REGISTERING --200--> REGISTERED --refresh due--> REGISTERING
         |                   |
      no answer, 5xx     flow lost
         v                   v
      WAITING <--------------+          WAITING --retry due--> REGISTERING
    REGISTERING --refused--> REFUSED
    unregister: --> UNREGISTERING --> ENDED
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from ..errors import LocalError, ParseError
from .agent_context import AgentContext
from .client_transaction import ClientTransaction
from .dialog import secure_contact
from .digest_client import DigestClient
from .grammar import parse_delta_seconds
from .header_values import NameAddress
from .message import Request, Response
from .session_events import Registered, RegistrationFailed, Unregistered
from .transport import Flow, Hop
from .uri import SipUri

#: When to refresh, as shares of the life granted: early enough for a lost REGISTER, and
#: spread, so that phones which started together do not stay together.
_REFRESH_SHARES: Final = (0.8, 0.9)
#: A REGISTER that gets no answer takes 64*T1 to fail; it fits in before the end.
_MARGIN_S: Final = 32.0
#: Shortest gap between two REGISTERs, whatever life a registrar grants.
MIN_REFRESH_S: Final = 1.0
#: Longest life believed in: a phone that is gone should not be called for longer.
MAX_EXPIRES_S: Final = 86_400
#: RFC 5626 section 4.5: base and cap of the back-off of a phone with one flow.
BACK_OFF_BASE_S: Final = 30.0
BACK_OFF_MAX_S: Final = 1800.0
#: 423 and 439 answered by asking in another way, before it counts as a failure.
MAX_CORRECTIONS: Final = 2
#: Answers that may be another one later; all others would only come again.
_WORTH_RETRYING: Final = frozenset({408, 430, 480, 491})


class State(Enum):
    REGISTERING = auto()
    REGISTERED = auto()
    WAITING = auto()
    REFUSED = auto()
    UNREGISTER_WAITING = auto()  # a REGISTER is under way; the next waits for its end
    UNREGISTERING = auto()
    ENDED = auto()
    __hash__ = object.__hash__


class Input(Enum):
    ACCEPTED = auto()
    FAILED = auto()  # worth another try
    REFUSED = auto()  # not worth one
    CORRECTED = auto()  # asked once more, in another way
    REFRESH_DUE = auto()
    RETRY_DUE = auto()
    FLOW_REPLACED = auto()
    FLOW_LOST = auto()
    UNREGISTER = auto()
    __hash__ = object.__hash__


class Action(Enum):
    SEND = auto()
    SEND_REMOVAL = auto()
    START_REFRESH = auto()
    START_BACK_OFF = auto()
    REPORT_REGISTERED = auto()
    REPORT_FAILED = auto()
    REPORT_UNREGISTERED = auto()
    __hash__ = object.__hash__


_S, _I, _A = State, Input, Action
_BACK_OFF = (_S.WAITING, (_A.START_BACK_OFF, _A.REPORT_FAILED))
_REMOVE = (_S.UNREGISTERING, (_A.SEND_REMOVAL,))
_GONE = (_S.ENDED, (_A.REPORT_UNREGISTERED,))

#: A pair that is absent is ignored; the tests list them.
TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = {
    (_S.REGISTERING, _I.ACCEPTED): (_S.REGISTERED, (_A.START_REFRESH, _A.REPORT_REGISTERED)),
    (_S.REGISTERING, _I.FAILED): _BACK_OFF,
    (_S.REGISTERING, _I.REFUSED): (_S.REFUSED, (_A.REPORT_FAILED,)),
    (_S.REGISTERING, _I.CORRECTED): (_S.REGISTERING, (_A.SEND,)),
    (_S.REGISTERING, _I.FLOW_REPLACED): (_S.REGISTERING, (_A.SEND,)),
    # Section 10.2: no new one before the answer to the last.
    (_S.REGISTERING, _I.UNREGISTER): (_S.UNREGISTER_WAITING, ()),
    (_S.REGISTERED, _I.REFRESH_DUE): (_S.REGISTERING, (_A.SEND,)),
    (_S.REGISTERED, _I.FLOW_REPLACED): (_S.REGISTERING, (_A.SEND,)),
    (_S.REGISTERED, _I.FLOW_LOST): _BACK_OFF,
    (_S.REGISTERED, _I.UNREGISTER): _REMOVE,
    (_S.WAITING, _I.RETRY_DUE): (_S.REGISTERING, (_A.SEND,)),
    (_S.WAITING, _I.FLOW_REPLACED): (_S.REGISTERING, (_A.SEND,)),
    (_S.WAITING, _I.UNREGISTER): _GONE,
    (_S.REFUSED, _I.FLOW_REPLACED): (_S.REGISTERING, (_A.SEND,)),
    (_S.REFUSED, _I.UNREGISTER): _GONE,
    (_S.UNREGISTER_WAITING, _I.ACCEPTED): _REMOVE,
    (_S.UNREGISTER_WAITING, _I.FAILED): _GONE,
    (_S.UNREGISTER_WAITING, _I.REFUSED): _GONE,
    (_S.UNREGISTERING, _I.ACCEPTED): _GONE,
    (_S.UNREGISTERING, _I.FAILED): _GONE,
    (_S.UNREGISTERING, _I.REFUSED): _GONE,
}


@dataclass(frozen=True, slots=True)
class RegistrationPlan:
    """What is registered where."""

    registrar_uri: str
    "Request-URI: the domain, without a user part."

    aor: str
    "Address-of-record, the URI of To and From."

    contact: str
    "Our URI."

    display_name: str = ""

    expires_s: int = 600
    "Life asked for."

    instance_id: str = ""
    "``urn:uuid:…`` that outlives restarts (RFC 5626 section 4.1); none if empty."

    reg_id: int = 1
    "Number of the flow; only with an instance."

    fields: Sequence[tuple[str, str]] = ()
    "More headers, in wire form."


class Registration:
    """One binding, refreshed until it is taken back.

    Args:
        context: What all calls and registrations share.
        plan: What is registered where.
        hop: Where REGISTER goes.
        credentials: Answers challenges, if there is a password.
        now: Monotonic seconds.

    """

    def __init__(
        self,
        context: AgentContext,
        plan: RegistrationPlan,
        *,
        hop: Hop,
        credentials: DigestClient | None,
        now: float,
    ) -> None:
        _check_secure(plan.registrar_uri, hop)
        self.plan = plan
        self.hop = hop
        self.state = State.REGISTERING
        self.service_route: tuple[str, ...] = ()
        "Where calls should go first, by the registrar's wish (RFC 3608)."
        self._context = context
        self._credentials = credentials
        self._call_id = context.element.new_token()
        self._tag = context.element.new_token()
        self._cseq = 0
        self._asked_s = plan.expires_s
        self._granted_s = 0
        self._outbound = bool(plan.instance_id)
        self._corrections = 0
        self._failures = 0
        self._failure = (0, "")
        self._wait_s: float | None = None
        self._retry_after_s = 0.0
        self._transaction: ClientTransaction | None = None
        self._due: tuple[Input, float] | None = None
        self._act(Action.SEND, now)
        context.registrations[self] = None

    def __repr__(self) -> str:
        return f"<Registration of {self.plan.aor} {self.state.name}>"

    @property
    def leaving(self) -> bool:
        """The binding is being taken back."""
        return self.state in (State.UNREGISTER_WAITING, State.UNREGISTERING)

    # What the user does

    def unregister(self, now: float) -> None:
        """Take the binding back (section 10.2.2); ends with Unregistered."""
        self._step(Input.UNREGISTER, now)

    def replace_flow(self, hop: Hop, contact: str | None, now: float) -> None:
        """Register again over another flow, at once.

        Args:
            hop: The new flow.
            contact: Our URI there; None if it has not changed.
            now: Monotonic seconds.

        Raises:
            LocalError: The registration was promised TLS, and the new hop is without.

        """
        _check_secure(self.plan.registrar_uri, hop)
        self.hop = hop
        if contact is not None:
            secure = SipUri.parse(self.plan.registrar_uri).secure
            contact = secure_contact(contact) if secure else contact
            self.plan = replace(self.plan, contact=contact)
        self._step(Input.FLOW_REPLACED, now)

    # What comes in

    def receive_response(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> None:
        """Take a response to a REGISTER."""
        if transaction is not self._transaction or response.status < 200:
            return
        if not isinstance(self.hop, Flow) and isinstance(transaction.hop, Flow):
            self.hop = transaction.hop
        status = response.status
        if status < 300:
            self._receive_success(response, now)
        elif not self._is_corrected(transaction.request, response, now):
            self._failure = (status, response.reason)
            self._retry_after_s = _retry_after_s(response)
            retry = status in _WORTH_RETRYING or 500 <= status <= 599
            self._step(Input.FAILED if retry else Input.REFUSED, now)

    def _receive_success(self, response: Response, now: float) -> None:
        self._granted_s = min(self._granted_expires(response), MAX_EXPIRES_S)
        if self._granted_s == 0 and self.state is State.REGISTERING:
            self._failure = (500, "the registrar took no binding")
            self._step(Input.FAILED, now)
            return
        try:
            self.service_route = tuple(response.items("service-route"))
        except ParseError:
            self.service_route = ()
        self._failures = self._corrections = 0
        self._step(Input.ACCEPTED, now)

    def _is_corrected(self, request: Request, response: Response, now: float) -> bool:
        """Ask once more where the answer says how: 401, 407, 423, 439."""
        status = response.status
        if status in (401, 407):
            if self._credentials is None:
                return False
            if not self._credentials.receive_challenge(request, response):
                return False
            # The same again, be it to bind or to remove.
            self._send(request.value("expires") or "0", now)
            return True
        if self.state is not State.REGISTERING or self._corrections >= MAX_CORRECTIONS:
            return False
        self._corrections += 1
        if status == 423:
            wanted_s = _delta_seconds(response.value("min-expires"))
            if not self._asked_s < wanted_s <= MAX_EXPIRES_S:
                return False
            self._asked_s = wanted_s
        elif status == 439 and self._outbound:  # RFC 5626 section 6: then without it
            self._outbound = False
        else:
            return False
        self._step(Input.CORRECTED, now)
        return True

    def receive_failure(
        self, transaction: ClientTransaction, status: int, reason: str, now: float
    ) -> None:
        """A REGISTER got no answer (408), or could not be sent (503)."""
        if transaction is self._transaction:
            self._failure, self._retry_after_s = (status, reason), 0.0
            self._step(Input.FAILED, now)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """A flow is gone; if it is ours, nobody can call us until it comes back."""
        if flow == self.hop:
            self._failure, self._retry_after_s = (503, reason), 0.0
            self._step(Input.FLOW_LOST, now)

    # The five calls

    def handle_timer(self, now: float) -> None:
        """Refresh or try again, if that is due."""
        if self._due is not None and now >= self._due[1]:
            given, self._due = self._due[0], None
            self._step(given, now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._due[1] if self._due else None

    # Inside

    def _step(self, given: Input, now: float) -> None:
        entry = TABLE.get((self.state, given))
        if entry is None:
            return
        entered, actions = entry
        self._due = None
        self._wait_s = None
        for action in actions:
            self._act(action, now)
        self.state = entered
        self._context.deadlines.set(self, self.next_deadline())
        if entered is State.ENDED:
            self._context.registrations.pop(self, None)

    def _act(self, action: Action, now: float) -> None:
        report = self._context.events.append
        match action:
            case Action.SEND:
                self._send(str(self._asked_s), now)
            case Action.SEND_REMOVAL:
                self._send("0", now)
            case Action.START_REFRESH:
                self._due = (Input.REFRESH_DUE, now + self._refresh_s())
            case Action.START_BACK_OFF:
                self._failures += 1
                self._wait_s = self._back_off_s()
                self._due = (Input.RETRY_DUE, now + self._wait_s)
            case Action.REPORT_REGISTERED:
                report(Registered(self, self._granted_s))
            case Action.REPORT_FAILED:
                report(RegistrationFailed(self, *self._failure, self._wait_s))
            case Action.REPORT_UNREGISTERED:
                report(Unregistered(self))

    def _send(self, expires: str, now: float) -> None:
        plan, profile = self.plan, self._context.profile
        self._cseq += 1
        contact = f"<{plan.contact}>;expires={expires}"
        fields = [("Max-Forwards", "70")]
        if self._outbound:
            contact += f';+sip.instance="<{plan.instance_id}>";reg-id={plan.reg_id}'
            fields.append(("Supported", "path, outbound"))
        else:
            fields.append(("Supported", "path"))
        request = Request.make(
            "REGISTER",
            plan.registrar_uri,
            [
                ("From", str(NameAddress(plan.display_name, plan.aor, {"tag": self._tag}))),
                ("To", str(NameAddress(plan.display_name, plan.aor))),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", contact),
                ("Expires", expires),
                ("Allow", ", ".join(profile.allow)),
                *fields,
                *profile.request_fields(),
                *plan.fields,
            ],
        )
        if self._credentials is not None:
            request = self._credentials.authorize(request)
        self._transaction = self._context.element.send_request(request, self.hop, self, now)

    def _granted_expires(self, response: Response) -> int:
        """Find the life of our binding among those of all phones (section 10.2.4)."""
        whole = response.value("expires")
        fallback = _delta_seconds(whole) if whole else self._asked_s
        try:
            ours = [each for each in response.contacts if self._is_own(each)]
        except ParseError:
            return fallback
        if not ours:
            # A registrar that shows another address than ours, or none: it said 200.
            return fallback
        expires = ours[0].params.get("expires")
        return _delta_seconds(expires) if expires else fallback

    def _is_own(self, contact: NameAddress) -> bool:
        instance = (contact.params.get("+sip.instance") or "").strip('"<>').lower()
        if self._outbound and instance:
            reg_id = contact.params.get("reg-id") or str(self.plan.reg_id)
            same_flow = reg_id == str(self.plan.reg_id)
            return instance == self.plan.instance_id.lower() and same_flow
        try:
            return contact.sip_uri.equivalent(SipUri.parse(self.plan.contact))
        except ParseError:
            return False

    def _refresh_s(self) -> float:
        granted_s = float(self._granted_s)
        share = self._context.between(*_REFRESH_SHARES)
        wait_s = max(granted_s / 2, min(share * granted_s, granted_s - _MARGIN_S))
        return max(wait_s, MIN_REFRESH_S)

    def _back_off_s(self) -> float:
        """RFC 5626 section 4.5: half to all of a time that doubles with each failure."""
        # The exponent is bounded for arithmetic's sake alone: the cap comes long before.
        longest_s = min(BACK_OFF_MAX_S, BACK_OFF_BASE_S * 2 ** min(self._failures, 16))
        wait_s = self._context.between(0.5 * longest_s, longest_s)
        return max(wait_s, min(self._retry_after_s, BACK_OFF_MAX_S))


def _check_secure(registrar_uri: str, hop: Hop) -> None:
    if SipUri.parse(registrar_uri).secure and not hop.transport.secure:
        raise LocalError(f"{registrar_uri}: sips means TLS, which {hop} is without")


def _delta_seconds(text: str | None) -> int:
    try:
        return parse_delta_seconds(text or "")
    except ParseError:
        return 0


def _retry_after_s(response: Response) -> float:
    # Retry-After = delta-seconds [ comment ] *( SEMI retry-param )
    value = (response.value("retry-after") or "").partition(";")[0].partition("(")[0]
    return float(_delta_seconds(value.strip(" \t")))
