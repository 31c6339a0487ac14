"""The phone: an asyncio API over one secure connection to one server.

::

    async with Phone(Account("sips:alice@example.org", password)) as phone:
        call = await phone.call("sips:bob@example.org")
        await call.play("question.wav")
        await call.hangup()
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Self

from ..errors import (
    AuthenticationFailed,
    CallFailed,
    Error,
    LocalError,
    RemoteError,
    RequestFailed,
    Unreachable,
)
from ..media.stream import Address
from ..net.driver import Driver
from ..net.media_clock import MediaClock
from ..net.tls import TlsSecurity, client_context
from ..sip.digest_client import DigestClient
from ..sip.element import Element, ElementEvent, KeysInClear
from ..sip.invite_session import InviteSession
from ..sip.registration import Registration
from ..sip.transport import Flow, Transport, host_port
from ..sip.uri import SipUri
from ..sip.user_agent import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallProgress,
    IncomingCall,
    OfferAnswered,
    OfferRefused,
    Registered,
    RegistrationFailed,
    SessionOffered,
    UserAgent,
)
from ..sip.user_agent import CallFailed as CallFailedEvent
from .call import Call, CallState
from .call_media import CallMedia
from .settings import Account

log = logging.getLogger("sottovoce.phone")

USER_AGENT: Final = "Sottovoce phone"
#: Calls at once; a caller beyond hears busy.
MAX_CALLS: Final = 200
#: First and longest wait before a lost connection is tried again (RFC 5626 section 4.5
#: has longer ones for phones by the million; each wait is drawn from 50 to 100 %).
RECONNECT_FIRST_S: Final = 0.5
RECONNECT_MAX_S: Final = 60.0
_UNREGISTER_S: Final = 2.0

IncomingCallHandler = Callable[[Call], Awaitable[None]]


class Phone:
    """One account at one server, with any number of calls.

    Args:
        account: Who we are, and how to reach the server.
        on_incoming_call: Awaited, as a task of its own, for each call that comes in; it
            answers or rejects.  Without it callers hear that nobody is there.
        register: Tell the server where we are; without it only outgoing calls work.
        announce_media: Gives the address at which others reach the RTP address that it is
            given, where a port forwarding stands before this machine.

    Raises:
        SettingsError: From :meth:`__aenter__`, if the account cannot work.
        Unreachable: No connection came about.
        CertificateRefused: The server cannot prove that it is the account's.
        AuthenticationFailed: It does not take the password.

    """

    def __init__(
        self,
        account: Account,
        *,
        on_incoming_call: IncomingCallHandler | None = None,
        register: bool = True,
        announce_media: Callable[[Address], Address] | None = None,
    ) -> None:
        self.account = account
        self._announce_media = announce_media
        self._on_incoming_call = on_incoming_call
        self._registers = register
        self._flow: Flow | None = None
        self._calls: dict[InviteSession, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._registration: Registration | None = None
        self._registered = asyncio.Event()
        self._registering: asyncio.Future[None] | None = None
        self._closing = False
        self._security: TlsSecurity | None = None

    # Life

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        account = self.account
        self._clock = MediaClock(self._loop)
        self._element = Element(
            secrets.token_bytes, allow_keys_in_clear_text=account.allow_keys_in_clear_text
        )
        self._agent = UserAgent(
            self._element, random_bytes=secrets.token_bytes, user_agent=USER_AGENT
        )
        self._digest = DigestClient(
            username=account.user,
            password=account.secret,
            realms=frozenset({account.domain}),
            random_bytes=secrets.token_bytes,
        )
        tls = client_context(account.ca_path)
        self._driver = Driver(self._element, _PhoneCore(self), client_tls=tls)
        self._contact_user = secrets.token_hex(4)
        try:
            await self._connect()
            if self._registers:
                await self._register()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for call in tuple(self._calls.values()):
            await call.hangup()
        if self._registration is not None and self._registered.is_set():
            self._registering = self._loop.create_future()
            self._registration.unregister(self._loop.time())
            self.pump()
            await asyncio.wait({self._registering}, timeout=_UNREGISTER_S)
        self._close()

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._clock.close()
        self._driver.close()

    async def _connect(self) -> None:
        old, target = self._flow, self.account.target()
        self._flow = await self._driver.connect(target)
        self._security = self._driver.security_of(self._flow)
        log.info("= connected to %s", target)
        if old is not None:
            self._agent.replace_flow(old, self._flow)

    async def _register(self) -> None:
        """Register, and wait until the server agrees.

        Raises:
            RequestFailed: It does not.

        """
        self._registering = self._loop.create_future()
        if self._registration is None:
            uri = self.account.sip_uri
            self._registration = self._agent.register(
                registrar=f"{uri.scheme}:{uri.host}",
                aor=f"{uri.scheme}:{uri.user}@{uri.host}",
                hop=self.flow,
                contact=self._contact,
                expires_s=self.account.expires_s,
                credentials=self._digest,
                now=self._loop.time(),
            )
        else:
            self._registration.refresh(self._loop.time())
        self.pump()
        await self._registering

    # What is known

    @property
    def flow(self) -> Flow:
        """The connection to our server."""
        if self._flow is None:
            raise LocalError("the phone is not connected; use it in `async with Phone(...)`")
        return self._flow

    @property
    def signalling_security(self) -> TlsSecurity | None:
        """What protects the way to our server; None without TLS."""
        return self._security

    @property
    def registered(self) -> bool:
        """The server knows where we are."""
        return self._registered.is_set()

    async def wait_registered(self) -> None:
        """Wait until the server knows where we are, again if the connection was lost."""
        await self._registered.wait()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Calls that are not over."""
        return tuple(self._calls.values())

    def address_of(self, text: str) -> str:
        """Complete what a person dials: a number or name gets our scheme and domain.

        Raises:
            LocalError: It is no SIP address.

        """
        own = self.account.sip_uri
        if ":" not in text:
            text = f"{own.scheme}:{text}"
        if "@" not in text:
            text = f"{text}@{own.host}"
        try:
            uri = SipUri.parse(text)
        except RemoteError as error:
            raise LocalError(f"{text!r}: {error}; expected sips:user@domain") from None
        if uri.secure and uri.transport == "udp":
            raise LocalError(f"{text}: sips means TLS, which does not run over UDP")
        return str(uri)

    # Calling

    async def call(self, address: str, *, timeout_s: float = 120.0) -> Call:
        """Call somebody, and return when the call is answered.

        Args:
            address: ``sips:bob@example.org``, or just ``bob`` for somebody of our domain.
            timeout_s: How long to let it ring.

        Raises:
            CallFailed: With the SIP status: 486 busy, 404 unknown, 488 media refused, 408
                nobody answered, ...
            Unreachable: The server did not answer, or the connection is lost.
            AuthenticationFailed: The server does not take our password.
            LocalError: The address is none, or its media must not go this way.

        """
        call = self.start_call(address)
        try:
            async with asyncio.timeout(timeout_s):
                await call.wait_settled()
        except TimeoutError:
            await call.hangup()
            raise CallFailed(408, f"no answer within {timeout_s:.0f} s") from None
        except asyncio.CancelledError:
            await call.hangup()
            raise
        return call

    def start_call(self, address: str) -> Call:
        """Call somebody, and return at once; :meth:`Call.wait_settled` waits for the answer.

        Raises:
            LocalError: The address is none, or its media must not go this way.

        """
        uri, account = self.address_of(address), self.account
        media = self._media()
        own = account.sip_uri
        try:
            session = self._agent.invite(
                uri,
                local_uri=f"{own.scheme}:{own.user}@{own.host}",
                display_name=account.display_name,
                hop=self.flow,
                contact=self._contact(self.flow),
                sdp=media.make_offer(),
                credentials=self._digest,
                now=self._loop.time(),
            )
        except Error:
            media.close()
            raise
        call = self._calls[session] = Call(self, session, media)
        self.pump()
        return call

    def _media(self) -> CallMedia:
        flow = self.flow
        return CallMedia(
            self._clock,
            flow.local[0],
            policy=self.account.srtp,
            keys_allowed=flow.secure or self.account.allow_keys_in_clear_text,
            announce=self._announce_media,
        )

    def _contact(self, flow: Flow) -> str:
        """Where requests reach us: over this very flow."""
        scheme = "sips" if flow.secure and self.account.sip_uri.secure else "sip"
        transport = ""
        if scheme == "sip" and flow.transport is not Transport.UDP:
            transport = f";transport={flow.transport.value.lower()}"
        return f"{scheme}:{self._contact_user}@{host_port(*flow.local)}{transport}"

    def answer(self, call: Call) -> None:
        """Answer an incoming call; use :meth:`Call.answer`."""
        session = call.session
        try:
            sdp = session.request_sdp
            answer = call.media.make_offer() if sdp is None else call.media.receive_offer(sdp)
            session.answer(answer)
        except (RemoteError, LocalError) as error:
            status = error.status_hint if isinstance(error, RemoteError) else 488
            session.reject(status, warning=str(error))
            call.end(status, "media not acceptable", by_remote=False, warning=str(error))
        else:
            call.establish()
        self.pump()

    def offer(self, call: Call, *, hold: bool) -> None:
        """Offer to hold or resume; use :meth:`Call.hold` and :meth:`Call.resume`."""
        call.session.offer(call.media.make_offer(hold=hold))
        self.pump()

    def forget(self, call: Call) -> None:
        """Let go of a call that is over."""
        self._calls.pop(call.session, None)

    def pump(self) -> None:
        """Send what there is to send."""
        self._driver.pump()

    # What the user agent tells

    def handle_events(self, agent: UserAgent) -> None:
        """Take what the user agent has to tell."""
        while (event := agent.next_event()) is not None:
            match event:
                case Registered():
                    self._registered.set()
                    self._settle_registration(None)
                case RegistrationFailed(_, status, reason):
                    self._registered.clear()
                    self._settle_registration(failure(status, reason))
                case IncomingCall(session):
                    self._receive_call(session)
                case _ if (call := self._calls.get(event.session)) is not None:
                    self._handle_call_event(call, event)
                case _:
                    pass

    def _settle_registration(self, error: RequestFailed | None) -> None:
        waiter = self._registering
        if waiter is None or waiter.done():
            if error is not None:
                log.warning("registration failed: %s", error)
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    def _handle_call_event(self, call: Call, event: object) -> None:
        match event:
            case CallProgress(_, status, _, sdp):
                if status >= 180:
                    call.state = CallState.RINGING
                if sdp is not None:
                    self._take_answer(call, sdp, final=False)
            case CallAnswered(_, sdp):
                if sdp is None or self._take_answer(call, sdp, final=True):
                    call.establish()
            case CallConfirmed(_, sdp) if sdp is not None:
                self._take_answer(call, sdp, final=True)
            case SessionOffered(session, sdp):
                self._receive_offer(call, session, sdp)
            case OfferAnswered(_, sdp) if sdp is not None:
                self._take_answer(call, sdp, final=True)
            case OfferRefused(_, status, reason):
                call.media.negotiation.withdraw_offer()
                log.info("= %s: offer refused: %d %s", call.remote_uri, status, reason)
            case CallFailedEvent(_, status, reason, warning):
                call.fail(failure(status, reason, warning))
            case CallEnded(_, by_remote, reason):
                call.end(call.end_status, reason, by_remote=by_remote)

    def _take_answer(self, call: Call, sdp: bytes, *, final: bool) -> bool:
        """Judge an answer; one that breaks our policy ends the call, and says why."""
        try:
            call.media.receive_answer(sdp)
        except (RemoteError, LocalError) as error:
            if final:
                call.session.hang_up()
                call.fail(CallFailed(488, "Not Acceptable Here", str(error)))
            return False
        return True

    def _receive_offer(self, call: Call, session: InviteSession, sdp: bytes | None) -> None:
        try:
            answer = call.media.make_offer() if sdp is None else call.media.receive_offer(sdp)
            session.accept(answer)
        except (RemoteError, KeysInClear) as error:
            status = error.status_hint if isinstance(error, RemoteError) else 488
            session.refuse(status, warning=str(error))

    def _receive_call(self, session: InviteSession) -> None:
        if self._on_incoming_call is None:
            session.reject(480)
            return
        if len(self._calls) >= MAX_CALLS or self._closing:
            session.reject(486)
            return
        try:
            media = self._media()
        except LocalError as error:
            log.error("%s", error)
            session.reject(500)
            return
        call = self._calls[session] = Call(self, session, media)
        call.state = CallState.RINGING
        session.ring()
        self._start(self._offer_to_handler(call, self._on_incoming_call))

    async def _offer_to_handler(self, call: Call, handler: IncomingCallHandler) -> None:
        try:
            await handler(call)
        except CallFailed as error:
            log.info("= %s: %s", call.remote_uri, error)
        except Exception:
            log.exception("the handler of an incoming call failed")
            await call.hangup()

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # When the connection is lost

    def connection_lost(self, flow: Flow, reason: str) -> None:
        """Come back; calls go on, for their sound takes another way."""
        if flow != self._flow or self._closing:
            return
        log.warning("connection to the server lost: %s", reason)
        self._registered.clear()
        self._settle_registration(Unreachable(503, f"connection lost: {reason}"))
        self._start(self._come_back())

    async def _come_back(self) -> None:
        wait_s = RECONNECT_FIRST_S
        while not self._closing:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            wait_s = min(2 * wait_s, RECONNECT_MAX_S)
            try:
                await self._connect()
                if self._registers:
                    await self._register()
            except Error as error:
                log.warning("no way back to the server yet: %s", error)
                if isinstance(error, AuthenticationFailed):
                    return  # the same password again would only get us banned
                continue
            return


class _PhoneCore:
    """The driver's core: the user agent, and after each step its events."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._agent = phone._agent

    def receive_event(self, event: ElementEvent, now: float) -> None:
        self._agent.receive_event(event, now)
        self._phone.handle_events(self._agent)

    def handle_timer(self, now: float) -> None:
        self._agent.handle_timer(now)
        self._phone.handle_events(self._agent)

    def next_deadline(self) -> float | None:
        return self._agent.next_deadline()

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        self._phone.connection_lost(flow, reason)
        self._phone.handle_events(self._agent)


def failure(status: int, reason: str, warning: str = "") -> RequestFailed:
    """The exception for a final status (RFC 3261 section 21)."""
    if status in (401, 403, 407):
        return AuthenticationFailed(status, reason, warning)
    if status in (408, 503):
        return Unreachable(status, reason, warning)
    return CallFailed(status, reason, warning)
