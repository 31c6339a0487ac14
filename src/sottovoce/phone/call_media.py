"""The media of one call on real sockets: offer and answer, ports, clock, sound."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from ..errors import LocalError, SettingsError
from ..keying import SecureMediaNegotiation, SrtpPolicy
from ..media.codec import CODECS, PCMU, find_codec
from ..media.frame import frame_bytes
from ..media.session import MediaSession
from ..media.stream import Address, AudioStream, DtmfReceived, MediaStatistics
from ..net.media_clock import MediaClock
from ..net.media_port import MediaPort
from ..sdp import LocalAudio, NegotiatedAudio, RtpCodec, SessionDescription

#: Received sound kept for an application that does not read it: the last second.
MAX_UNREAD_FRAMES = 50
#: Digits received and kept for an application that does not read them.
MAX_UNREAD_DIGITS = 128
#: Sound queued for sending before a writer has to wait: enough for a busy process to
#: miss a few ticks, little enough to hang up on.
WRITE_AHEAD_MS = 200.0

Sink = Callable[[bytes], object]


class CallMedia:
    """One call's sound, from its first offer to its end.

    Args:
        clock: The process's 20 ms clock.
        host: Our IP address towards the peer.
        policy: Whether SRTP is wanted or demanded.
        keys_allowed: SRTP keys may travel with this call's signalling: it is TLS, or the
            user decided otherwise.
        port_range: First and last UDP port to use; None leaves it to the system.
        announce: Gives the address at which the world reaches our RTP port, where a
            forwarding stands before it; RTCP is one port higher on both sides.

    Raises:
        SettingsError: No UDP ports can be opened.

    """

    def __init__(
        self,
        clock: MediaClock,
        host: str,
        *,
        policy: SrtpPolicy,
        keys_allowed: bool,
        port_range: tuple[int, int] | None = None,
        announce: Callable[[Address], Address] | None = None,
    ) -> None:
        self._clock = clock
        loop = asyncio.get_running_loop()
        self._loop = loop
        try:
            self._port = MediaPort(loop, host, port_range=port_range)
        except OSError as error:
            raise SettingsError(f"no UDP ports for sound at {host}: {error.strerror}") from error
        codecs = tuple(
            RtpCodec(codec.name, codec.clock_rate_hz, 1, codec.static_payload_type)
            for codec in CODECS
            if codec.static_payload_type is not None
        )
        here = self._port.rtp_address
        local = LocalAudio(*(announce(here) if announce else here), codecs)
        self.negotiation = SecureMediaNegotiation(
            local, policy=policy, keys_allowed=keys_allowed, random_bytes=secrets.token_bytes
        )
        self._cname = secrets.token_hex(8)
        self._session: MediaSession | None = None
        self._sinks: list[Sink] = []
        self._unread: deque[bytes] = deque(maxlen=MAX_UNREAD_FRAMES)
        self._digits: asyncio.Queue[str] = asyncio.Queue(MAX_UNREAD_DIGITS)
        self._over = asyncio.Event()

    # Offer and answer; descriptions as SIP bodies

    def make_offer(self, *, hold: bool | None = None) -> bytes:
        """Describe what we want: at first, or to hold (True) or resume (False)."""
        if hold is None:
            return self.negotiation.make_offer().to_bytes()
        return (self.negotiation.hold() if hold else self.negotiation.resume()).to_bytes()

    def receive_answer(self, sdp: bytes) -> None:
        """Take the peer's answer, or raise RemoteError and change nothing."""
        self.negotiation.receive_answer(SessionDescription.parse(sdp))
        self._apply()

    def receive_offer(self, sdp: bytes) -> bytes:
        """Take the peer's offer and return our answer, or raise RemoteError and change nothing."""
        answer = self.negotiation.receive_offer(SessionDescription.parse(sdp))
        self._apply()
        return answer.to_bytes()

    def _apply(self) -> None:
        """Bring the media session to what is negotiated."""
        audio = self.negotiation.negotiated
        if audio is None or self._over.is_set():
            return
        stream = _stream_of(audio)
        outbound, inbound = self.negotiation.outbound, self.negotiation.inbound
        now = self._loop.time()
        if self._session is not None:
            self._session.update(stream, outbound, inbound, now)
            return
        self._session = MediaSession(
            stream,
            outbound=outbound,
            inbound=inbound,
            cname=self._cname,
            random_bytes=secrets.token_bytes,
            now=now,
        )
        self._port.attach(self._session)
        self._clock.add(self)

    # Sound

    @property
    def rate_hz(self) -> int:
        """Of the PCM that is read and written."""
        return self._session.rate_hz if self._session else PCMU.rate_hz

    @property
    def session(self) -> MediaSession | None:
        """The media session; None before the first answer."""
        return self._session

    @property
    def protected(self) -> bool:
        """SRTP in both directions."""
        return self._session is not None and self._session.secured

    def add_sink(self, sink: Sink) -> None:
        """Give each received frame to this function, too."""
        self._sinks.append(sink)

    def handle_timer(self, now: float) -> None:
        """Do one tick: the clock calls this each 20 ms."""
        self._port.handle_timer(now)
        session = self._session
        if session is None:
            return
        while (frame := session.read_audio()) is not None:
            self._unread.append(frame)
            for sink in self._sinks:
                sink(frame)
        while (event := session.next_event()) is not None:
            if isinstance(event, DtmfReceived) and not self._digits.full():
                self._digits.put_nowait(event.digit)

    async def read(self) -> bytes:
        """The next 20 ms that were received; empty when the call is over."""
        while not self._unread:
            if self._over.is_set():
                return b""
            await self._clock.wait_tick()
        return self._unread.popleft()

    def queue(self, pcm: bytes) -> None:
        """Send PCM without waiting; what does not fit is lost."""
        if self._session is not None:
            self._session.write_audio(pcm)

    async def write(self, pcm: bytes) -> None:
        """Send PCM; returns when it is sent but for a last 200 ms, or the call is over."""
        rest = memoryview(pcm)
        step = frame_bytes(self.rate_hz) * 5
        while rest and not self._over.is_set():
            session = self._session
            if session is not None and session.outgoing_audio_ms < WRITE_AHEAD_MS:
                taken = session.write_audio(bytes(rest[:step]))
                rest = rest[taken:]
                if taken:
                    continue
            await self._clock.wait_tick()

    async def drain(self) -> None:
        """Wait until all that was written, digits too, is sent."""
        while not self._over.is_set() and (session := self._session) is not None:
            if not session.outgoing_audio_ms and not session.outgoing_digits:
                return
            await self._clock.wait_tick()

    def discard_unsent(self) -> None:
        """Forget sound that was written and not sent yet."""
        if self._session is not None:
            self._session.clear_audio()

    def send_dtmf(self, digits: str) -> None:
        """Send keypad digits as telephone events.

        Raises:
            LocalError: The peer takes none, or these are not digits.

        """
        if self._session is None:
            raise LocalError("digits can be sent once the call is answered")
        self._session.send_dtmf(digits)

    async def read_digit(self) -> str:
        """The next key that the other side pressed; empty when the call is over."""
        while self._digits.empty():
            if self._over.is_set():
                return ""
            await self._clock.wait_tick()
        return self._digits.get_nowait()

    def packets_expected(self) -> int | None:
        """How many packets came so far; None while none are to come: on hold, or unanswered."""
        session = self._session
        if session is None or not session.stream.direction.receives:
            return None
        return session.statistics().packets_received

    def statistics(self) -> MediaStatistics | None:
        """The numbers until now; None before the first answer."""
        return self._session.statistics() if self._session else None

    # The end

    async def wait_closed(self) -> None:
        """Wait until the call is over."""
        await self._over.wait()

    def close(self) -> None:
        """Say goodbye by RTCP and close the ports."""
        if self._over.is_set():
            return
        self._over.set()
        self._clock.remove(self)
        if self._session is not None:
            self._session.stop(self._loop.time())
        self._port.close()


def _stream_of(audio: NegotiatedAudio) -> AudioStream:
    """Say in the media layer's terms what was negotiated."""
    codec = find_codec(audio.send_codec.name, audio.send_codec.clock_rate_hz)
    if codec is None:
        raise LocalError(f"negotiated {audio.send_codec.name}, which is not a codec of ours")
    receive = {
        payload_type: found
        for payload_type, listed in audio.receive_payload_types.items()
        if (found := find_codec(listed.name, listed.clock_rate_hz)) is not None
    }
    return AudioStream(
        remote_address=(audio.remote_address, audio.remote_port),
        rtcp_address=audio.remote_rtcp,
        codec=codec,
        payload_type=audio.send_codec.payload_type,
        receive_payload_types=receive,
        direction=audio.direction,
        event_payload_type=audio.send_event_payload_type,
        receive_event_payload_type=audio.receive_event_payload_type,
    )
