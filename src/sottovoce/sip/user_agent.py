"""The user agent core: calls and registrations on top of an element.  RFC 3261 section 8."""

from collections.abc import Callable, Sequence
from typing import Final

from ..errors import LocalError, ParseError, RemoteError
from .agent_context import ALLOW, SUPPORTED, AgentContext, AgentProfile
from .dialog import MAX_FORWARDS, DialogId, own_contact, secure_contact
from .digest_client import DigestClient
from .element import Element, ElementEvent
from .header_values import NameAddress
from .invite_session import InviteSession
from .message import Request
from .registration import Registration, RegistrationPlan
from .server_transaction import ServerTransaction, State
from .session_events import IncomingCall, UserAgentEvent
from .timers import RFC3261_TIMERS, TimerValues
from .transactions import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseFailed,
    ResponseReceived,
    TransactionTimedOut,
    TransportFailed,
)
from .transport import Flow, Hop
from .uas_checks import (
    Refusal,
    check_content,
    check_method,
    check_require,
    check_secure,
    refusal_fields,
)
from .uri import SipUri

#: Calls at once; beyond it callers get 503, and our own are refused.  A server's built-in
#: numbers and a phone's lines stay far under it; one call costs about 10 kB.
MAX_SESSIONS: Final = 1000
#: What a caller is told to wait when there is no room.
BUSY_RETRY_AFTER_S: Final = 10
#: Requests remembered to know merged ones by; older ones that have ended are forgotten.
MAX_RECENT_REQUESTS: Final = 4096
#: Fewer are not worth looking through; a great one that has ended keeps over 100 KB.
_FEW_REQUESTS: Final = 64


class UserAgent:
    """Everything that calls and is called over one element.

    The owner hands it the element's events, takes its own with :meth:`next_event`, and
    sends what the element has to send after each call.

    Args:
        element: Its lower half.
        random_bytes: Source of unguessable octets.
        timers: Base times; those of the element.
        user_agent: Product name for User-Agent and Server headers; none if empty.
        allow: Methods it takes.
        supported: Extensions it knows.
        max_sessions: Bound on calls at once.

    """

    def __init__(
        self,
        element: Element,
        *,
        random_bytes: Callable[[int], bytes],
        timers: TimerValues = RFC3261_TIMERS,
        user_agent: str = "",
        allow: Sequence[str] = ALLOW,
        supported: Sequence[str] = SUPPORTED,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        profile = AgentProfile(user_agent, tuple(allow), tuple(supported))
        self._context = AgentContext(element, random_bytes, timers, profile)
        self._element = element
        self._max_sessions = max_sessions
        self._recent: dict[tuple[str, str, int, str], ServerTransaction] = {}
        self._tidy_at_requests = _FEW_REQUESTS

    @property
    def busy(self) -> bool:
        """A call, or the removal of a registration, is not over yet."""
        context = self._context
        return bool(context.sessions) or any(each.leaving for each in context.registrations)

    @property
    def sessions(self) -> tuple[InviteSession, ...]:
        """The calls that are not over."""
        return tuple(self._context.sessions)

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """The registrations that are not taken back."""
        return tuple(self._context.registrations)

    # What the user does

    def invite(
        self,
        request_uri: str,
        *,
        local_uri: str,
        hop: Hop,
        now: float,
        display_name: str = "",
        contact: str | None = None,
        sdp: bytes | None = None,
        credentials: DigestClient | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> InviteSession:
        """Call somebody.

        Args:
            request_uri: Whom, a ``sip`` or ``sips`` URI.
            local_uri: Who we are: the address-of-record.
            hop: Where to send the INVITE and what follows it.
            now: Monotonic seconds.
            display_name: What we call ourselves.
            contact: Our URI; made from the flow if None.  It becomes ``sips`` if the call
                is (RFC 5630 section 5.1).
            sdp: The offer; None asks the peer for one.
            credentials: Answers challenges.
            fields: More headers in wire form, Route for example.

        Raises:
            LocalError: Too many calls; a URI is none; ``sips`` over a hop without TLS.
            KeysInClear: The offer holds SRTP keys and the hop is not TLS.

        """
        if len(self._context.sessions) >= self._max_sessions:
            raise LocalError(f"{self._max_sessions} calls are under way, and no more are allowed")
        try:
            contact = self._contact_for(request_uri, local_uri, hop, contact, fields)
        except ParseError as error:
            raise LocalError(str(error)) from error
        profile = self._context.profile
        new_token = self._element.new_token
        content = [("Content-Type", "application/sdp")] if sdp else []
        request = Request.make(
            "INVITE",
            request_uri,
            [
                ("Max-Forwards", str(MAX_FORWARDS)),
                ("From", str(NameAddress(display_name, local_uri, {"tag": new_token()}))),
                ("To", str(NameAddress("", request_uri))),
                ("Call-ID", new_token()),
                ("CSeq", "1 INVITE"),
                ("Contact", f"<{contact}>"),
                *profile.capability_fields(),
                *profile.request_fields(),
                *fields,
                *content,
            ],
            sdp or b"",
        )
        return InviteSession.outgoing(
            self._context, request, hop=hop, contact=contact, credentials=credentials, now=now
        )

    def _contact_for(
        self,
        request_uri: str,
        local_uri: str,
        hop: Hop,
        contact: str | None,
        fields: Sequence[tuple[str, str]],
    ) -> str:
        uri, local = SipUri.parse(request_uri), SipUri.parse(local_uri)
        routes = [value for name, value in fields if name.lower() == "route"]
        secure = uri.secure or _is_secure(routes)
        if secure and not hop.transport.secure:
            raise LocalError(f"{request_uri}: sips means TLS, which {hop} is without")
        if contact is None:
            if not isinstance(hop, Flow):
                raise LocalError("a Contact can be made up for an open flow only; give one")
            return own_contact(hop, local.user, secure=secure)
        return secure_contact(contact) if secure else contact

    def register(
        self,
        registrar_uri: str,
        *,
        aor: str,
        hop: Hop,
        contact: str,
        now: float,
        display_name: str = "",
        credentials: DigestClient | None = None,
        expires_s: int = 600,
        instance_id: str = "",
        reg_id: int = 1,
        fields: Sequence[tuple[str, str]] = (),
    ) -> Registration:
        """Register our Contact, and keep it registered.

        Args:
            registrar_uri: The domain, e.g. ``sips:example.org``.
            aor: The address-of-record.
            hop: Where to send REGISTER.
            contact: Our URI; becomes ``sips`` if the registrar's is.
            now: Monotonic seconds.
            display_name: What we call ourselves.
            credentials: Answers challenges.
            expires_s: Life asked for.
            instance_id: ``urn:uuid:…``, the same after each restart; none if empty.
            reg_id: Number of the flow.
            fields: More headers in wire form.

        Raises:
            LocalError: A URI is none; ``sips`` over a hop without TLS.

        """
        try:
            _ = SipUri.parse(aor)
            if SipUri.parse(registrar_uri).secure:
                contact = secure_contact(contact)
        except ParseError as error:
            raise LocalError(str(error)) from error
        plan = RegistrationPlan(
            registrar_uri=registrar_uri,
            aor=aor,
            contact=contact,
            display_name=display_name,
            expires_s=expires_s,
            instance_id=instance_id,
            reg_id=reg_id,
            fields=tuple(fields),
        )
        return Registration(self._context, plan, hop=hop, credentials=credentials, now=now)

    def replace_flow(self, old: Hop, new: Hop, now: float, *, contact: str | None = None) -> None:
        """A phone's connection came back as another one: go on over that.

        Registrations are renewed at once; calls send their next request over it.

        Args:
            old: The flow that is gone.
            new: The flow that takes its place.
            now: Monotonic seconds.
            contact: Our URI there; None if it has not changed.

        Raises:
            LocalError: Something that was promised TLS would move to a hop without.

        """
        for session in self.sessions:
            if session.flow == old:
                session.move(new)
                if contact is not None:
                    secure = session.dialog is not None and session.dialog.secure
                    session.contact = secure_contact(contact) if secure else contact
        for registration in self.registrations:
            if registration.hop == old:
                registration.replace_flow(new, contact, now)

    def shut_down(self, now: float) -> None:
        """End every call and take back every registration; :attr:`busy` tells when it is done."""
        for session in self.sessions:
            session.hang_up(now)
        for registration in self.registrations:
            registration.unregister(now)

    # What comes in

    def has_dialog(self, request: Request) -> bool:
        """Tell whether a request belongs to a call of ours."""
        return DialogId.of_request(request) in self._context.dialogs

    def receive_event(self, event: ElementEvent, now: float) -> bool:
        """Take an event of the element; False if it does not concern a user agent.

        A RequestReceived is always taken and answered: the owner hands over only what is
        meant for the user agent.
        """
        match event:
            case ResponseReceived(transaction, response):
                owner = transaction.owner
                if isinstance(owner, InviteSession | Registration):
                    owner.receive_response(transaction, response, now)
                    return True
            case TransactionTimedOut(transaction):
                return self._fail(transaction.owner, event, 408, "Request Timeout", now)
            case TransportFailed(transaction, reason):
                reason = reason or "Service Unavailable"
                return self._fail(transaction.owner, event, 503, reason, now)
            case RequestReceived(transaction, request):
                self._receive_request(transaction, request, now)
                return True
            case AckReceived(request):
                session = self._context.dialogs.get(DialogId.of_request(request))
                if session is not None:
                    session.receive_ack(request, now)
                    return True
            case CancelReceived(invite):
                if isinstance(invite.owner, InviteSession):
                    invite.owner.receive_cancel(invite, now)
                    return True
            case ResponseFailed(transaction=invite):
                if isinstance(invite.owner, InviteSession):
                    invite.owner.receive_response_failure(invite, now)
                    return True
        return False

    def _fail(
        self,
        owner: object,
        event: TransactionTimedOut | TransportFailed,
        status: int,
        reason: str,
        now: float,
    ) -> bool:
        if not isinstance(owner, InviteSession | Registration):
            return False
        owner.receive_failure(event.transaction, status, reason, now)
        return True

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """A connection is gone: nobody can call us over it until it is replaced."""
        for registration in self.registrations:
            registration.connection_lost(flow, reason, now)

    def _receive_request(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        try:
            session = self._context.dialogs.get(DialogId.of_request(request))
            if session is not None:
                session.receive_request(transaction, request, now)
            elif request.to.tag is not None:
                raise Refusal(481, "no such call here")
            else:
                self._receive_new_request(transaction, request, now)
        except RemoteError as error:
            fields = refusal_fields(error)
            self._element.reply(transaction, error.status_hint, now, fields=fields)

    def _receive_new_request(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        """The checks of section 8.2, in its order."""
        profile = self._context.profile
        if request.method == "BYE":
            raise Refusal(481, "no such call here")
        check_method(request, profile.allow)
        if request.uri.secure:
            check_secure(transaction.flow)
        self._check_merged(transaction, request)
        check_require(request, profile.supported)
        if request.method == "OPTIONS":
            self._element.reply(transaction, 200, now, fields=profile.response_fields())
            return
        if request.method != "INVITE":  # UPDATE and its like live in dialogs only
            raise Refusal(481, "no such call here")
        check_content(request)
        if len(self._context.sessions) >= self._max_sessions:
            retry_after = ("Retry-After", str(BUSY_RETRY_AFTER_S))
            raise Refusal(503, "too many calls", retry_after)
        flow, uri = transaction.flow, request.uri
        secure = uri.secure or _is_secure(request.items("record-route"))
        contact = own_contact(flow, uri.user, secure=secure)
        session = InviteSession.incoming(self._context, transaction, contact, now)
        self._context.events.append(IncomingCall(session))

    def _check_merged(self, transaction: ServerTransaction, request: Request) -> None:
        """482 for a request that came here on two ways (section 8.2.2.2)."""
        cseq = request.cseq
        key = (request.from_.tag or "", request.call_id, cseq.number, cseq.method)
        known = self._recent.get(key)
        if known is not None and known.state is not State.TERMINATED:
            raise Refusal(482, "the same request came another way")
        if len(self._recent) >= min(self._tidy_at_requests, MAX_RECENT_REQUESTS):
            going_on = {k: t for k, t in self._recent.items() if t.state is not State.TERMINATED}
            # Never over the bound, even if all go on: then the oldest are forgotten.
            newest = list(going_on.items())[-MAX_RECENT_REQUESTS // 2 :]
            self._recent = dict(newest)
            self._tidy_at_requests = max(_FEW_REQUESTS, 2 * len(newest))
        self._recent[key] = transaction

    # The rest of the five calls

    def handle_timer(self, now: float) -> None:
        """Fire every timer due at or before ``now``."""
        for machine in self._context.deadlines.take_due(now):
            machine.handle_timer(now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._context.deadlines.next_deadline()

    def next_event(self) -> UserAgentEvent | None:
        """Hand over the oldest event, or None."""
        events = self._context.events
        return events.popleft() if events else None


def _is_secure(routes: Sequence[str]) -> bool:
    """The topmost route is ``sips``."""
    return bool(routes) and "<sips:" in routes[0].lower()
