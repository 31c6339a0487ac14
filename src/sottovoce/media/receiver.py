"""The other side's audio and digits: which source, in what order, when to play.

Everything that comes here was verified, or came from the right address on a clear session.
"""

from collections import deque

from ..errors import ParseError
from ..rtp.packet import RtpPacket
from ..rtp.statistics import ReceptionStatistics
from ..rtp.telephone_event import DIGITS, TelephoneEventReceiver
from .jitter_buffer import JitterBuffer
from .stream import AudioStream, DtmfReceived

INCOMING_LIMIT_FRAMES = 50  # unread for a second: the oldest is dropped
EVENTS_LIMIT = 64  # unread; the oldest is dropped
DIGITS_REMEMBERED = 64
SOURCE_SILENCE_S = 1.0  # a source that was replaced comes back only after that


class _Source:
    """One SSRC."""

    __slots__ = ("events", "heard_at", "restarts", "ssrc", "statistics")

    def __init__(self, ssrc: int, clock_rate_hz: int, *, authenticated: bool) -> None:
        self.ssrc = ssrc
        self.statistics = ReceptionStatistics(clock_rate_hz, authenticated=authenticated)
        self.events = TelephoneEventReceiver()
        self.restarts = 0
        self.heard_at = 0.0


class AudioReceiver:
    """Receives one source at a time and follows when another takes its place.

    A call has one talker, but its SSRC changes when the far end is transferred, restarts,
    or a PBX bridges another stream in.  The newest SSRC wins; the one before comes back
    only when the present one is silent, so that two sources do not alternate.
    """

    def __init__(self, stream: AudioStream, *, authenticated: bool) -> None:
        self._frames: deque[bytes] = deque(maxlen=INCOMING_LIMIT_FRAMES)
        self._events: deque[DtmfReceived] = deque(maxlen=EVENTS_LIMIT)
        self._digits: deque[str] = deque(maxlen=DIGITS_REMEMBERED)
        self._current: _Source | None = None
        self._candidate: _Source | None = None
        self._retired_ssrc: int | None = None
        self._lost_before = 0  # of sources that were replaced
        self._rates = (stream.codec.clock_rate_hz, stream.codec.rate_hz)
        self.jitter_buffer = JitterBuffer(*self._rates)
        self.last_frame = b""
        self.frames_overflowed = 0
        self.update(stream, authenticated=authenticated)

    def update(self, stream: AudioStream, *, authenticated: bool) -> None:
        """Take over what was negotiated; the source and its statistics stay."""
        rates = (stream.codec.clock_rate_hz, stream.codec.rate_hz)
        if rates != self._rates:
            self._rates = rates
            self.jitter_buffer = JitterBuffer(*rates)
            self._frames.clear()
        self._authenticated = authenticated
        self._receives = stream.direction.receives
        self._decoders = {
            payload_type: codec.new_decoder()
            for payload_type, codec in stream.receive_payload_types.items()
        }
        self._event_payload_type = stream.receive_event_payload_type
        if not self._receives:
            self.jitter_buffer.reset()

    def forget_sources(self) -> None:
        """Begin with whatever source comes next: another peer, or other keys."""
        if self._current is not None:
            self._retire(self._current)
        self._current = self._candidate = self._retired_ssrc = None

    @property
    def ssrc(self) -> int | None:
        """The source that is played."""
        return None if self._current is None else self._current.ssrc

    @property
    def statistics(self) -> ReceptionStatistics | None:
        """Of the source that is played."""
        return None if self._current is None else self._current.statistics

    @property
    def packets_lost(self) -> int:
        """Over all sources."""
        current = 0 if self._current is None else max(0, self._current.statistics.lost_packets)
        return self._lost_before + current

    @property
    def digits(self) -> str:
        """The last digits received."""
        return "".join(self._digits)

    def receive_packet(self, packet: RtpPacket, now: float) -> bool:
        """Take one packet; True when it is the newest yet of the source that is played."""
        source = self._source_of(packet.ssrc, now)
        if source is None:
            return False
        statistics = source.statistics
        highest = statistics.highest
        sequence = statistics.receive(packet.sequence_number)
        if sequence is None:
            return False
        if source is not self._current:
            self._promote(source)
        newest = sequence > highest or source.restarts != statistics.restarts
        if source.restarts != statistics.restarts:
            source.restarts = statistics.restarts
            self.jitter_buffer.reset()
        source.heard_at = now
        self._play(source, packet, sequence, now)
        return newest

    def tick(self, due_at: float) -> None:
        """Move one frame from the jitter buffer to the application's queue."""
        if not self._receives:
            return
        frame = self.jitter_buffer.pull(due_at)
        if frame is None:
            return
        self.last_frame = frame
        if len(self._frames) == INCOMING_LIMIT_FRAMES:
            self.frames_overflowed += 1
        self._frames.append(frame)

    def skip(self, ticks: int) -> None:
        """Leave out frames whose time has passed."""
        self.jitter_buffer.advance(ticks)

    def handle_timer(self, now: float) -> None:
        """Report digits whose end was lost."""
        if self._current is not None:
            self._current.events.handle_timer(now)
            self._report_digits(self._current)

    def read(self) -> bytes | None:
        """Hand over the oldest frame, or None."""
        return self._frames.popleft() if self._frames else None

    def next_event(self) -> DtmfReceived | None:
        """Hand over the oldest digit, or None."""
        return self._events.popleft() if self._events else None

    def _source_of(self, ssrc: int, now: float) -> _Source | None:
        current = self._current
        if current is not None:
            if ssrc == current.ssrc:
                return current
            if ssrc == self._retired_ssrc and now - current.heard_at < SOURCE_SILENCE_S:
                return None
        if self._candidate is None or self._candidate.ssrc != ssrc:
            clock_rate_hz = self._rates[0]
            self._candidate = _Source(ssrc, clock_rate_hz, authenticated=self._authenticated)
        return self._candidate

    def _promote(self, source: _Source) -> None:
        if self._current is not None:
            self._retire(self._current)
            self._retired_ssrc = self._current.ssrc
        self._current, self._candidate = source, None
        self.jitter_buffer.reset()

    def _retire(self, source: _Source) -> None:
        self._lost_before += max(0, source.statistics.lost_packets)
        source.events.handle_timer(float("inf"))  # no end will come any more
        self._report_digits(source)

    def _play(self, source: _Source, packet: RtpPacket, sequence: int, now: float) -> None:
        payload_type, payload = packet.payload_type, packet.payload
        decode = self._decoders.get(payload_type)
        if decode is not None and payload:
            source.statistics.observe_transit(packet.timestamp, now)
            if self._receives:
                self.jitter_buffer.push(sequence, packet.timestamp, payload, now, decode)
            return
        # Events, comfort noise, empty packets for a NAT, what was not negotiated: none is lost.
        self.jitter_buffer.skip(sequence)
        if payload_type == self._event_payload_type and self._receives:
            try:
                source.events.receive_event(payload, sequence, packet.timestamp, now)
            except ParseError:
                return
            self._report_digits(source)

    def _report_digits(self, source: _Source) -> None:
        while (received := source.events.next_event()) is not None:
            if received.event < len(DIGITS):
                digit = DIGITS[received.event]
                duration_ms = received.duration_ticks * 1000 // self._rates[0]
                self._digits.append(digit)
                self._events.append(DtmfReceived(digit, duration_ms))
