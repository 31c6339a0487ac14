"""Numbers that the server answers itself: ``echo``, ``music`` and ``clock``.

They let one phone prove that calls, keys and sound work, before there is a second one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Final

from ..errors import LocalError, RemoteError, SettingsError
from ..keying import SrtpPolicy
from ..media.frame import FRAME_S
from ..net.driver import Core
from ..net.media_clock import MediaClock
from ..phone.call_media import CallMedia
from ..sip.element import ElementEvent
from ..sip.invite_session import InviteSession
from ..sip.session_events import CallConfirmed, CallEnded, IncomingCall, SessionOffered
from ..sip.transport import Flow
from ..sip.user_agent import UserAgent
from .node import Node
from .sounds import music, time_signal

log = logging.getLogger("sottovoce.server")

#: A call to a built-in number that nobody hangs up.
MAX_CALL_S: Final = 3600.0
#: A call from which no packet comes any more: its phone has lost its power or its network.
MAX_SILENCE_S: Final = 60.0


class BuiltInNumbers:
    """Answers and plays.

    Args:
        user_agent: The calls' signalling.
        max_calls: At once; the next caller hears busy.
        port_range: First and last UDP port for sound.
        allow_keys_in_clear_text: SRTP keys may come over hops without TLS.
        allow_clear_text_media: Callers without SRTP are answered, too.
        pump: Sends what the user agent has to send.

    """

    def __init__(
        self,
        user_agent: UserAgent,
        *,
        max_calls: int,
        port_range: tuple[int, int],
        allow_keys_in_clear_text: bool,
        allow_clear_text_media: bool,
        pump: Callable[[], None],
    ) -> None:
        self._user_agent = user_agent
        self._max_calls = max_calls
        self._port_range = port_range
        self._allow_keys_in_clear_text = allow_keys_in_clear_text
        self._policy = SrtpPolicy.OPTIONAL if allow_clear_text_media else SrtpPolicy.MANDATORY
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._clock = MediaClock(self._loop)
        self._calls: dict[InviteSession, CallMedia] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def beside(self, node: Node) -> Core:
        """The node as the driver's core, with these numbers fed after each of its steps."""
        return _NodeWithNumbers(node, self)

    def handle_events(self, now: float) -> None:
        """Take what the user agent has to tell."""
        while (event := self._user_agent.next_event()) is not None:
            match event:
                case IncomingCall(session):
                    self._receive_call(session, now)
                case CallConfirmed(session, sdp) if sdp is not None:
                    self._take_late_answer(session, sdp, now)
                case SessionOffered(session, sdp):
                    self._receive_offer(session, sdp, now)
                case CallEnded(session):
                    self._end(session)
                case _:
                    pass

    def _receive_call(self, session: InviteSession, now: float) -> None:
        if len(self._calls) >= self._max_calls:
            session.reject(486, now)
            return
        flow = session.flow
        if not isinstance(flow, Flow):
            session.reject(500, now)
            return
        try:
            media = CallMedia(
                self._clock,
                flow.local[0],
                policy=self._policy,
                keys_allowed=flow.secure or self._allow_keys_in_clear_text,
                port_range=self._port_range,
            )
        except SettingsError as error:
            log.error("%s", error)
            session.reject(503, now)
            return
        try:
            sdp = session.remote_offer
            answer = media.make_offer() if sdp is None else media.receive_offer(sdp)
            session.answer(answer, now)
        except (RemoteError, LocalError) as error:
            media.close()
            session.reject(488, now, warning=str(error))
            return
        self._calls[session] = media
        log.info("= %s answered for %s", _number(session), session.remote_uri)
        self._start(self._play(session, media))
        self._start(self._end_when_silent(session, media))

    def _take_late_answer(self, session: InviteSession, sdp: bytes, now: float) -> None:
        media = self._calls.get(session)
        if media is None:
            return
        try:
            media.receive_answer(sdp)
        except RemoteError as error:
            log.info("= answer of %s refused: %s", session.remote_uri, error)
            session.hang_up(now)

    def _receive_offer(self, session: InviteSession, sdp: bytes | None, now: float) -> None:
        media = self._calls.get(session)
        if media is None:
            session.refuse(481, now)
            return
        try:
            answer = media.make_offer() if sdp is None else media.receive_offer(sdp)
            session.accept(answer, now)
        except (RemoteError, LocalError) as error:
            status = error.status_hint if isinstance(error, RemoteError) else 488
            session.refuse(status, now, warning=str(error))

    def _end(self, session: InviteSession) -> None:
        media = self._calls.pop(session, None)
        if media is not None:
            media.close()

    async def _play(self, session: InviteSession, media: CallMedia) -> None:
        """Be the number that was called, until the caller hangs up."""
        try:
            async with asyncio.timeout(MAX_CALL_S):
                match _number(session):
                    case "music":
                        while session in self._calls:
                            await media.write(music())
                    case "clock":
                        await self._tell_time(session, media)
                    case _:
                        media.add_sink(media.queue)
                        await media.wait_closed()
        except TimeoutError:
            session.hang_up(self._loop.time())
            self._pump()

    async def _end_when_silent(self, session: InviteSession, media: CallMedia) -> None:
        heard = -1
        while session in self._calls:
            await asyncio.sleep(MAX_SILENCE_S)
            received = media.packets_expected()
            if received is not None and received == heard:
                log.info("= %s: nothing heard of %s", _number(session), session.remote_uri)
                session.hang_up(self._loop.time())
                self._pump()
                return
            heard = -1 if received is None else received

    async def _tell_time(self, session: InviteSession, media: CallMedia) -> None:
        now_utc = time.time()
        await asyncio.sleep(-now_utc % 1)
        second = int(now_utc + 1) % 60
        while session in self._calls:
            await media.write(time_signal(second))
            second = (second + 1) % 60

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a built-in number failed: %r", error)

    async def close(self) -> None:
        """End all sound; the calls are hung up by the node."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.sleep(FRAME_S)
        for media in self._calls.values():
            media.close()
        self._calls.clear()
        self._clock.close()


def _number(session: InviteSession) -> str:
    """Which number was called."""
    return session.request.uri.unescaped_user


class _NodeWithNumbers:
    """The driver's core: the node, and after each step the user agent's events."""

    def __init__(self, node: Node, numbers: BuiltInNumbers) -> None:
        self._node = node
        self._numbers = numbers

    def receive_event(self, event: ElementEvent, now: float) -> None:
        self._node.receive_event(event, now)
        self._numbers.handle_events(now)

    def handle_timer(self, now: float) -> None:
        self._node.handle_timer(now)
        self._numbers.handle_events(now)

    def next_deadline(self) -> float | None:
        return self._node.next_deadline()

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        self._node.connection_lost(flow, reason, now)
        self._numbers.handle_events(now)
