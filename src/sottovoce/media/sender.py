"""Our audio and digits on their way out: media time, sequence numbers, RTP packets in clear."""

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass

from ..errors import LocalError
from ..rtp.packet import RtpPacket
from ..rtp.telephone_event import TelephoneEventSender, event_of
from .frame import FRAME_MS, SAMPLE_BYTES, frame_bytes
from .stream import AudioStream

OUTGOING_LIMIT_MS = 5000  # written ahead by the application; more is not taken
DTMF_QUEUE_LIMIT_DIGITS = 64
DTMF_MS = 160  # well over the 40 ms that receivers must hear (ITU-T Q.24)
DTMF_MIN_MS = 40
DTMF_MAX_MS = 10_000
_DTMF_GAP_FRAMES = 3  # 60 ms of audio between two digits

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class RtpStart:
    """Where the numbers of one source begin (RFC 3550 section 5.1)."""

    ssrc: int

    sequence_number: int
    """Under 0x8000: a receiver that misses the first packets could otherwise not tell
    whether the number has wrapped, and would decrypt with the wrong rollover counter."""

    timestamp: int

    @classmethod
    def fresh(cls, random_bytes: RandomBytes, *, taken: Container[int | None] = ()) -> "RtpStart":
        """Draw a source whose SSRC is none of those ``taken``, which are few."""
        ssrc = int.from_bytes(random_bytes(4), "big")
        while ssrc in taken:
            ssrc = (ssrc + 1) & 0xFFFF_FFFF
        return cls(
            ssrc,
            int.from_bytes(random_bytes(2), "big") & 0x7FFF,
            int.from_bytes(random_bytes(4), "big"),
        )


class AudioSender:
    """One outgoing source; each :meth:`tick` is 20 ms of media time."""

    def __init__(self, stream: AudioStream, start: RtpStart) -> None:
        self._outgoing = bytearray()
        self._written = False  # since the last tick
        self._digits: deque[tuple[int, int]] = deque()  # event, duration in ticks
        self._event: TelephoneEventSender | None = None
        self._gap_frames = 0
        self.last_frame = b""
        self.packets_sent = 0  # over all sources, as the next
        self.audio_bytes_sent = 0  # PCM that the application wrote
        self.update(stream)
        self.restart(start)

    def update(self, stream: AudioStream) -> None:
        """Take over what was negotiated; numbers and media time go on."""
        self._payload_type = stream.payload_type
        self._event_payload_type = stream.event_payload_type
        self._sends = stream.direction.sends
        self._encode = stream.codec.new_encoder()
        self._rate_hz = stream.codec.rate_hz
        self._clock_rate_hz = stream.codec.clock_rate_hz
        self._frame_ticks = self._clock_rate_hz * FRAME_MS // 1000
        self._silence = bytes(frame_bytes(self._rate_hz))
        self._limit_bytes = self._rate_hz * OUTGOING_LIMIT_MS // 1000 * SAMPLE_BYTES
        self._marker = True
        if self._event_payload_type is None or not self._sends:
            self._digits.clear()
            self._event = None

    def restart(self, start: RtpStart) -> None:
        """Go on as another source."""
        self.ssrc = start.ssrc
        self._sequence_number = start.sequence_number
        self._timestamp = start.timestamp
        self._event = None  # its timestamps were the other source's
        self._marker = True
        self.source_packets = 0  # of this SSRC, for its sender reports
        self.source_octets = 0

    @property
    def timestamp(self) -> int:
        """RTP timestamp of the next tick's frame."""
        return self._timestamp

    @property
    def sequence_number(self) -> int:
        """Of the next packet."""
        return self._sequence_number

    @property
    def queued_ms(self) -> float:
        """How much of what was written has not been sent."""
        return len(self._outgoing) / SAMPLE_BYTES / self._rate_hz * 1000

    @property
    def digits_queued(self) -> int:
        """Digits not wholly sent."""
        return len(self._digits) + (self._event is not None)

    def write(self, pcm: bytes) -> int:
        """Queue audio; return how many octets were taken, the rest is for later."""
        taken = max(0, min(len(pcm), self._limit_bytes - len(self._outgoing)))
        self._outgoing += pcm[:taken]
        self._written = True
        return taken

    def clear(self) -> None:
        """Forget what is queued."""
        self._outgoing.clear()

    def send_dtmf(self, digits: str, duration_ms: int) -> None:
        """Queue keypad digits.

        Raises:
            LocalError: Not negotiated, on hold, not digits, too many, or too short or long.

        """
        if self._event_payload_type is None:
            raise LocalError("the other side does not take telephone events (RFC 4733)")
        if not self._sends:
            raise LocalError("the call is on hold: digits cannot be sent")
        if not DTMF_MIN_MS <= duration_ms <= DTMF_MAX_MS:
            raise LocalError(
                f"a digit of {duration_ms} ms is not within {DTMF_MIN_MS} to {DTMF_MAX_MS} ms"
            )
        try:
            events = [event_of(digit) for digit in digits]
        except ValueError as error:
            raise LocalError(str(error)) from error
        if len(self._digits) + len(events) > DTMF_QUEUE_LIMIT_DIGITS:
            raise LocalError(f"over {DTMF_QUEUE_LIMIT_DIGITS} digits are waiting to be sent")
        duration_ticks = duration_ms * self._clock_rate_hz // 1000
        self._digits.extend((event, duration_ticks) for event in events)

    def tick(self, *, reachable: bool = True) -> list[bytes]:
        """Move on by 20 ms; return the RTP packets of that time.

        None while the direction does not send, or with no address to send to.
        """
        timestamp = self._timestamp
        self._timestamp = (timestamp + self._frame_ticks) & 0xFFFF_FFFF
        frame = self._take_frame()
        if not (self._sends and reachable):
            self._marker = True
            return []
        if self._event is None and self._digits:
            if self._gap_frames:
                self._gap_frames -= 1
            else:
                self._start_event(timestamp)
        if self._event is not None:
            return self._tick_event()
        self.last_frame = frame or self._silence
        self.audio_bytes_sent += len(frame)
        payload = self._encode(self.last_frame)
        packet = self._packet(self._payload_type, timestamp, payload, marker=self._marker)
        self._marker = False
        return [packet]

    def skip(self, ticks: int) -> None:
        """Move media time on without sending (RFC 3550: timestamps continue over silence)."""
        self._timestamp = (self._timestamp + ticks * self._frame_ticks) & 0xFFFF_FFFF
        self._marker = True

    def _take_frame(self) -> bytes:
        """Return the next frame written; a part of one only when no more came for a tick."""
        size, written = len(self._silence), self._written
        self._written = False
        queued = len(self._outgoing)
        if not queued or (queued < size and written):
            return b""
        frame = bytes(self._outgoing[:size])
        del self._outgoing[:size]
        return frame if queued >= size else frame + self._silence[queued:]

    def _start_event(self, timestamp: int) -> None:
        event, duration_ticks = self._digits.popleft()
        self._event = TelephoneEventSender(
            event,
            timestamp=timestamp,
            duration_ticks=duration_ticks,
            update_ticks=self._frame_ticks,
        )

    def _tick_event(self) -> list[bytes]:
        """Send an event's update in place of audio (RFC 4733 section 2.1)."""
        assert self._event is not None
        assert self._event_payload_type is not None
        packets = [
            self._packet(self._event_payload_type, send.timestamp, send.payload, marker=send.marker)
            for send in self._event.next_update()
        ]
        if self._event.done:
            self._event = None
            self._gap_frames = _DTMF_GAP_FRAMES
        return packets

    def _packet(self, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> bytes:
        sequence_number = self._sequence_number
        self._sequence_number = (sequence_number + 1) & 0xFFFF
        self.packets_sent += 1
        self.source_packets += 1
        self.source_octets += len(payload)
        return RtpPacket(
            payload_type, sequence_number, timestamp, self.ssrc, payload, marker
        ).serialize()
