"""One call, as a program sees it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CallFailed, LocalError, RequestFailed, SettingsError, Unreachable
from ..media.stream import MediaStatistics
from ..media.wav import WavWriter, read_wav
from ..net.tls import TlsSecurity
from ..sip.call_parties import Direction
from ..sip.invite_session import InviteSession
from .call_media import CallMedia

if TYPE_CHECKING:
    from .phone import Phone

log = logging.getLogger("sottovoce.phone")


class CallState(Enum):
    """Where a call is in its life."""

    CALLING = "calling"
    "Our INVITE is out."

    RINGING = "ringing"
    "The callee's phone rings, or ours does."

    ESTABLISHED = "established"
    "Answered."

    ENDED = "ended"
    "Over; also a call that never came about."


@dataclass(frozen=True, slots=True)
class CallSecurity:
    """What protects a call, hop by hop: nothing here speaks for hops that we do not see."""

    signalling: TlsSecurity | None
    "TLS between us and our server; None if third parties can read the signalling."

    secure_request: bool
    "The request went to a sips URI: every further hop promised TLS, too (RFC 5630)."

    media_suite: str | None
    "SRTP suite of the sound; None if it is in clear."

    @property
    def media_protected(self) -> bool:
        """Third parties cannot hear: SRTP, and its keys did not pass our hop in clear."""
        return self.media_suite is not None and self.signalling is not None


class Call:
    """A call, from its first ring to its end; made by :class:`~sottovoce.phone.Phone`.

    Sound is 16-bit little-endian mono PCM of :attr:`rate_hz`.
    """

    def __init__(self, phone: "Phone", session: InviteSession, media: CallMedia) -> None:
        self._phone = phone
        self.session = session
        self.media = media
        self.state = CallState.CALLING
        self.end_status = 0
        self.end_reason = ""
        self.ended_by_remote = False
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._ended = asyncio.Event()
        self._settled: asyncio.Future[None] = loop.create_future()
        self._recordings: list[_Recording] = []
        self._last_statistics: MediaStatistics | None = None

    def __repr__(self) -> str:
        return f"<Call {self.remote_uri} {self.state.value}>"

    # Who and how

    @property
    def remote_uri(self) -> str:
        """The other side's address."""
        return self.session.remote_uri

    @property
    def remote_display_name(self) -> str:
        """The other side's name, as it gives it; may be empty, and proves nothing."""
        return self.session.remote_display_name

    @property
    def security(self) -> CallSecurity:
        """What protects each hop that we see, and the media."""
        suite = self.media.negotiation.suite
        return CallSecurity(
            self._phone.signalling_security,
            self.session.request.uri.secure,
            suite.name if suite is not None and self.media.protected else None,
        )

    @property
    def statistics(self) -> MediaStatistics | None:
        """The media in numbers; None before the call is answered."""
        return self.media.statistics() or self._last_statistics

    @property
    def duration_s(self) -> float:
        """Since it was answered."""
        if self.answered_at is None:
            return 0.0
        return (self.ended_at or self._loop.time()) - self.answered_at

    # Answering

    async def ring(self) -> None:
        """Tell the caller that we ring."""
        self.session.ring(self._loop.time())
        self._phone.pump()

    async def answer(self) -> None:
        """Take an incoming call.

        Raises:
            CallFailed: It ended before it was answered, or its media is not acceptable;
                the caller has been told.
            LocalError: It is no incoming call, or answered already.

        """
        self._check_unanswered()
        if self.state is not CallState.ENDED:
            self._phone.answer(self)
        await self.wait_settled()

    async def reject(self, status: int = 486) -> None:
        """Refuse an incoming call; nothing happens if the caller has given up.

        Raises:
            LocalError: It is no incoming call, or answered already: hang it up.

        """
        self._check_unanswered()
        if self.state is CallState.ENDED:
            return
        self.session.reject(status, self._loop.time())
        self.end(status, "rejected", by_remote=False)
        self._phone.pump()

    def _check_unanswered(self) -> None:
        if self.session.direction is not Direction.INCOMING:
            raise LocalError("the call is ours; only incoming calls are answered or rejected")
        if self.answered_at is not None:
            raise LocalError("the call is answered already; end it with hangup()")

    async def wait_settled(self, timeout_s: float | None = None) -> None:
        """Wait until the call is established.

        Args:
            timeout_s: How long to let it ring; None for as long as the network lets it.

        Raises:
            RequestFailed: It never will be, or not in that time.

        """
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._settled)
        except TimeoutError:
            raise Unreachable(408, f"nobody answered within {timeout_s:.0f} s") from None

    # Sound

    @property
    def rate_hz(self) -> int:
        """Samples a second of the PCM that is read and written."""
        return self.media.rate_hz

    async def read_audio(self) -> bytes:
        """The next 20 ms from the other side; empty when the call is over."""
        return await self.media.read()

    async def audio(self) -> AsyncIterator[bytes]:
        """Frames of 20 ms from the other side, until the call is over."""
        while frame := await self.media.read():
            yield frame

    async def write_audio(self, pcm: bytes) -> None:
        """Say PCM of any length; returns when all but the last 200 ms is said."""
        await self.media.write(pcm)

    async def play(self, path: Path | str) -> None:
        """Say a WAV file of any rate; returns when it is said, or the call is over.

        Raises:
            SettingsError: It cannot be read as one.

        """
        await self.media.write(load_wav(Path(path), self.rate_hz))
        await self.media.drain()

    def record(self, path: Path | str) -> None:
        """Write what the other side says to a WAV file, until the call is over.

        Raises:
            SettingsError: The file cannot be written.

        """
        recording = _Recording(Path(path), self.rate_hz)
        self._recordings.append(recording)
        self.media.add_sink(recording.write)

    @property
    def recording_error(self) -> str:
        """Why a recording ends before the call does, a full disk for example; empty if none."""
        return next((each.error for each in self._recordings if each.error), "")

    def echo(self) -> None:
        """Send back whatever the other side says, until the call is over."""
        self.media.add_sink(self.media.queue)

    # Keypad

    async def send_dtmf(self, digits: str) -> None:
        """Press keys, one after another; returns when they are sent.

        Raises:
            LocalError: The other side takes none, or these are not 0-9, *, #, A-D.

        """
        self.media.send_dtmf(digits)
        await self.media.drain()

    async def read_digit(self) -> str:
        """The next key that the other side pressed; empty when the call is over."""
        return await self.media.read_digit()

    # Hold

    async def hold(self) -> None:
        """Ask the other side to be silent."""
        self._phone.offer(self, hold=True)

    async def resume(self) -> None:
        """End :meth:`hold`."""
        self._phone.offer(self, hold=False)

    # The end

    async def hangup(self) -> None:
        """End the call, in whatever state it is; twice is once."""
        if self.state is CallState.ENDED:
            return
        self.session.hang_up(self._loop.time())
        self._phone.pump()
        self.end(self.end_status or 487, "hung up here", by_remote=False)

    async def wait_ended(self) -> None:
        """Wait until the call is over."""
        await self._ended.wait()

    def establish(self) -> None:
        """Note that the call was answered; called by the phone."""
        if self.state is not CallState.ENDED and self.state is not CallState.ESTABLISHED:
            self.state = CallState.ESTABLISHED
            self.end_status = 200
            self.answered_at = self._loop.time()
            if not self._settled.done():
                self._settled.set_result(None)

    def end(self, status: int, reason: str, *, by_remote: bool, warning: str = "") -> None:
        """Note that the call is over, and let the media go; called by the phone."""
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        self.end_status, self.end_reason, self.ended_by_remote = status, reason, by_remote
        self.ended_at = self._loop.time()
        self.media.close()
        for recording in self._recordings:
            recording.close()
        self._settle_with(CallFailed(status, reason, warning))
        self._ended.set()
        self._phone.forget(self)

    def fail(self, error: RequestFailed) -> None:
        """Note that the call was never established; called by the phone."""
        self._settle_with(error)
        reason = f"{error.reason} ({error.warning})" if error.warning else error.reason
        self.end(error.status, reason, by_remote=True)

    def _settle_with(self, error: RequestFailed) -> None:
        if not self._settled.done():
            self._settled.set_exception(error)
            self._settled.exception()  # whoever waits is told; nobody has to wait


class _Recording:
    """A WAV file that is being written; when its disk is full it ends, and the call goes on.

    Raises:
        SettingsError: The file cannot be written.

    """

    def __init__(self, path: Path, rate_hz: int) -> None:
        self.error = ""
        self._path = path
        try:
            self._file = path.open("wb")
            self._writer = WavWriter(self._file, rate_hz=rate_hz)
        except OSError as error:
            raise SettingsError(f"{path}: cannot be written: {error.strerror}") from error

    def write(self, pcm: bytes) -> None:
        if not self.error:
            try:
                self._writer.write(pcm)
            except OSError as error:
                self._note(error)

    def close(self) -> None:
        try:
            if not self.error:
                self._writer.close()
        except OSError as error:
            self._note(error)
        finally:
            with suppress(OSError):  # what is buffered does not fit any more
                self._file.close()

    def _note(self, error: OSError) -> None:
        self.error = f"{self._path}: the recording is cut short: {error.strerror}"
        log.error("%s", self.error)


def load_wav(path: Path, rate_hz: int) -> bytes:
    """Read a WAV file of any rate as PCM of ``rate_hz``.

    Raises:
        SettingsError: It cannot be read as one.

    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    return read_wav(data, name=str(path), rate_hz=rate_hz)
