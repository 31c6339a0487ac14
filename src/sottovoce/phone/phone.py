"""The phone: an asyncio API over one secure connection to one server.

::

    async with Phone(Account("sips:alice@example.org", password)) as phone:
        call = await phone.call("sips:bob@example.org")
        await call.play("question.wav")
        await call.hangup()
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Self

from ..errors import CallFailed, Error, LocalError, RemoteError, RequestFailed
from ..media.stream import Address
from ..net.media_clock import MediaClock
from ..net.tls import TlsSecurity
from ..sip.invite_session import InviteSession
from ..sip.session_events import (
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
    Unregistered,
    UserAgentEvent,
)
from ..sip.session_events import CallFailed as CallFailedEvent
from ..sip.transport import Flow
from ..sip.uri import SipUri
from .call import Call, CallState
from .call_media import CallMedia
from .connection import ServerConnection, failure
from .settings import Account

log = logging.getLogger("sottovoce.phone")

#: Calls at once; a caller beyond hears busy.
MAX_CALLS: Final = 200
#: Given to handlers of incoming calls to tidy up when the phone is left.
_HANDLERS_S: Final = 2.0

IncomingCallHandler = Callable[[Call], Awaitable[None]]


class Phone:
    """One account at one server, with any number of calls.

    Entering the context connects and registers, leaving it hangs up and unregisters.

    Args:
        account: Who we are, and how to reach the server.
        on_incoming_call: Awaited, as a task of its own, for each call that comes in; it
            answers or rejects.  Without it callers hear that nobody is there.
        register: Tell the server where we are; without it only outgoing calls work.
        announce_media: Gives the address at which others reach the RTP address that it is
            given, where a port forwarding stands before this machine.

    Raises:
        SettingsError: The account cannot work.
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
        self._on_incoming_call = on_incoming_call
        self._registers = register
        self._announce_media = announce_media
        self._calls: dict[InviteSession, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connection: ServerConnection | None = None
        self._entered = False
        self._closing = False

    # Life

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LocalError("the phone is in use already; make another one")
        self._loop = asyncio.get_running_loop()
        self._clock = MediaClock(self._loop)
        self._connection = ServerConnection(
            self.account, registers=self._registers, on_event=self._receive_event
        )
        self._entered, self._closing = True, False
        try:
            await self._connection.open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in self.calls:
            await call.hangup()
        await self._close()

    async def _close(self) -> None:
        self._closing = True
        handlers = self._tasks - {asyncio.current_task()}
        for task in handlers:
            task.cancel()
        try:
            if handlers:
                await asyncio.wait(handlers, timeout=_HANDLERS_S)
        finally:
            try:
                await self._server.close()
            finally:
                self._clock.close()
                self._entered = False

    @property
    def _server(self) -> ServerConnection:
        if self._connection is None:
            raise LocalError("the phone is not connected; use it in `async with Phone(...)`")
        return self._connection

    # What is known

    @property
    def flow(self) -> Flow:
        """The connection to our server.

        Raises:
            LocalError: There is none: the phone is not entered yet, or left again.

        """
        return self._server.flow

    @property
    def signalling_security(self) -> TlsSecurity | None:
        """What protects the way to our server; None without TLS."""
        return self._connection.security if self._connection else None

    @property
    def registered(self) -> bool:
        """The server knows where we are."""
        return self._connection is not None and self._connection.registered.is_set()

    async def wait_registered(self) -> None:
        """Wait until the server knows where we are; at once, unless the connection was lost."""
        await self._server.registered.wait()

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
            CallFailed: With the SIP status: 486 busy, 404 unknown, 488 media refused, ...
            Unreachable: Nobody answered, or the connection is lost.
            AuthenticationFailed: The server does not take our password.
            LocalError: The address is none, or its media must not go this way.

        """
        call = self.start_call(address)
        try:
            await call.wait_settled(timeout_s)
        except BaseException:
            await call.hangup()
            raise
        return call

    def start_call(self, address: str) -> Call:
        """Call somebody, and return at once; :meth:`Call.wait_settled` waits for the answer.

        Raises:
            LocalError: The address is none, or its media must not go this way.

        """
        uri, account = self.address_of(address), self.account
        own = account.sip_uri
        media = self._media()
        try:
            session = self._server.agent.invite(
                uri,
                local_uri=f"{own.scheme}:{own.user}@{own.host}",
                display_name=account.display_name,
                hop=self.flow,
                contact=self._server.contact,
                sdp=media.make_offer(),
                credentials=self._server.credentials,
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

    def answer(self, call: Call) -> None:
        """Answer an incoming call; use :meth:`Call.answer`."""
        session, now = call.session, self._loop.time()
        try:
            sdp = session.remote_offer
            answer = call.media.make_offer() if sdp is None else call.media.receive_offer(sdp)
            session.answer(answer, now)
        except (RemoteError, LocalError) as error:
            status = error.status_hint if isinstance(error, RemoteError) else 488
            session.reject(status, now, warning=str(error))
            call.fail(CallFailed(status, "media not acceptable", str(error)))
        else:
            call.establish()
        self.pump()

    def offer(self, call: Call, *, hold: bool) -> None:
        """Offer to hold or resume; use :meth:`Call.hold` and :meth:`Call.resume`."""
        if call.state is not CallState.ESTABLISHED:
            raise LocalError("only a call that is established can be held or resumed")
        sdp = call.media.make_offer(hold=hold)
        try:
            call.session.offer(sdp, self._loop.time())
        except LocalError:
            call.media.negotiation.withdraw_offer()
            raise
        self.pump()

    def forget(self, call: Call) -> None:
        """Let go of a call that is over."""
        self._calls.pop(call.session, None)

    def pump(self) -> None:
        """Send what there is to send."""
        self._server.pump()

    # What the user agent tells

    def _receive_event(self, event: UserAgentEvent) -> None:
        match event:
            case Registered() | RegistrationFailed() | Unregistered():
                pass  # the connection's
            case IncomingCall(session):
                self._receive_call(session)
            case _ if (call := self._calls.get(event.session)) is not None:
                self._receive_call_event(call, event)
            case _:
                pass

    def _receive_call_event(self, call: Call, event: UserAgentEvent) -> None:
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
            case OfferAnswered(_, sdp):
                self._take_answer(call, sdp, final=True)
            case OfferRefused(_, status, reason):
                call.media.negotiation.withdraw_offer()
                log.info("= %s: offer refused: %d %s", call.remote_uri, status, reason)
            case CallFailedEvent(_, status, reason, warning):
                call.fail(failure(status, reason, warning))
            case CallEnded(_, by_remote, reason):
                call.end(call.end_status, reason, by_remote=by_remote)
            case _:
                pass

    def _take_answer(self, call: Call, sdp: bytes, *, final: bool) -> bool:
        """Judge an answer; one that breaks our policy ends the call, and says why."""
        try:
            call.media.receive_answer(sdp)
        except (RemoteError, LocalError) as error:
            if final:
                call.session.hang_up(self._loop.time())
                call.fail(CallFailed(488, "Not Acceptable Here", str(error)))
            return False
        return True

    def _receive_offer(self, call: Call, session: InviteSession, sdp: bytes | None) -> None:
        now = self._loop.time()
        try:
            answer = call.media.make_offer() if sdp is None else call.media.receive_offer(sdp)
            session.accept(answer, now)
        except (RemoteError, LocalError) as error:
            status = error.status_hint if isinstance(error, RemoteError) else 488
            session.refuse(status, now, warning=str(error))

    def _receive_call(self, session: InviteSession) -> None:
        now = self._loop.time()
        if self._on_incoming_call is None:
            session.reject(480, now)
            return
        if len(self._calls) >= MAX_CALLS or self._closing:
            session.reject(486, now)
            return
        try:
            media = self._media()
        except LocalError as error:
            log.error("%s", error)
            session.reject(500, now)
            return
        call = self._calls[session] = Call(self, session, media)
        call.state = CallState.RINGING
        session.ring(now)
        task = self._loop.create_task(self._offer_to_handler(call, self._on_incoming_call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _offer_to_handler(self, call: Call, handler: IncomingCallHandler) -> None:
        try:
            await handler(call)
        except RequestFailed as error:
            log.info("= %s: %s", call.remote_uri, error)
        except Exception:
            log.exception("the handler of an incoming call failed")
            await call.hangup()
