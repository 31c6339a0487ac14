"""Packets of uneven arrival in, one frame every 20 ms out.

The buffer plays along the sender's timestamps, a little behind.  How much is judged by
*headroom*: how long before its turn a packet arrives.  The least headroom over a while
says what could be saved, packets behind their turn say what is missing; the greatest
headroom is the delay that this buffer adds.  Clock drift only moves the headroom, so that
it is taken back a frame at a time and never builds up.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from math import ceil

from ..errors import RemoteError
from ..rtp.sequence import extend_timestamp
from .frame import FRAME_MS, FRAME_S, SAMPLE_BYTES, crossfaded, faded, frame_bytes

START_MS = 60  # headroom the first packet is given: three frames of jitter
DELAY_LIMIT_MS = 120  # ITU-T G.114 wants 150 ms for the whole way
TIMELINE_LIMIT_MS = 1000  # a newest packet further off belongs to another timeline
PACKETS_LIMIT = 128  # stored at once: the delay limit at 1 ms a packet
PACKET_AUDIO_LIMIT_MS = 240  # decoded from one packet; real ones carry 10 to 60 ms
SHRINK_AFTER_PACKETS = 250  # five seconds in which all came early
SHRINK_HEADROOM_MS = 40.0  # all came so early: one frame less still leaves one
GROW_AFTER_LATE_PACKETS = 2  # in those five seconds: one may be chance
IDLE_FRAMES = 250  # five seconds without a packet end the timeline
_DUPLICATES_REMEMBERED = 64
_FADES = ((0.9, 0.6), (0.6, 0.3), (0.3, 0.0))  # of the frames that stand in for lost ones

_Packet = tuple[int, int, bytes, Callable[[bytes], bytes]]  # position, sequence, payload, decode


class JitterBuffer:
    """Playout of one source.

    Args:
        clock_rate_hz: Of the RTP timestamps.
        rate_hz: Of the PCM; a whole multiple of the clock rate.

    """

    def __init__(self, clock_rate_hz: int, rate_hz: int) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._tick_bytes = rate_hz // clock_rate_hz * SAMPLE_BYTES
        self._frame_ticks = clock_rate_hz * FRAME_MS // 1000
        self._frame_bytes = frame_bytes(rate_hz)
        self._silence = bytes(self._frame_bytes)
        self._packet_limit_bytes = rate_hz * PACKET_AUDIO_LIMIT_MS // 1000 * SAMPLE_BYTES
        self._packets: list[_Packet] = []  # sorted
        self._recent: deque[int] = deque(maxlen=_DUPLICATES_REMEMBERED)  # positions stored
        self._position: int | None = None  # timestamp, unwrapped, of the next frame out
        self._next_pull_at: float | None = None
        self._rest = b""  # decoded, from self._position on
        self._last = self._silence  # last frame played, for concealment
        self._concealed_run = 0
        self._idle_frames = 0
        self._started = False
        self._newest_sequence = -1
        self._played_sequence: int | None = None
        self._skipped_packets = 0
        self._pending_frames = 0  # > 0: to insert, < 0: to leave out
        self._low_ms = self._high_ms = self._high_before_ms = 0.0
        self._begin_window()
        self.late_packets = 0  # came after their turn
        self.lost_packets = 0  # not there when their turn came, the late ones among them
        self.duplicate_packets = 0
        self.dropped_packets = 0  # left out to bound the delay
        self.unplayable_packets = 0  # that the codec could not decode
        self.concealed_frames = 0  # that sound or silence stood in for, wholly or in part
        self.played_bytes = 0  # PCM decoded from packets

    @property
    def delay_ms(self) -> float:
        """What this buffer adds at present to the way of the fastest packet."""
        return max(self._high_ms, self._high_before_ms)

    def push(
        self,
        extended_sequence: int,
        timestamp: int,
        payload: bytes,
        arrived_at: float,
        decode: Callable[[bytes], bytes],
    ) -> None:
        """Store one packet; ``decode`` is called when its turn comes."""
        newest = extended_sequence > self._newest_sequence
        if self._position is None:
            self._begin(timestamp)
        assert self._position is not None
        position = extend_timestamp(timestamp, self._position)
        headroom_ms = self._headroom_ms(position, arrived_at)
        if newest and not -TIMELINE_LIMIT_MS < headroom_ms < TIMELINE_LIMIT_MS:
            self._begin(timestamp)
            position = timestamp
            headroom_ms = self._headroom_ms(position, arrived_at)
        if newest:
            self._newest_sequence = extended_sequence
        if headroom_ms > DELAY_LIMIT_MS:
            excess_frames = ceil((headroom_ms - DELAY_LIMIT_MS) / FRAME_MS)
            self._leave_out(excess_frames)
            headroom_ms -= excess_frames * FRAME_MS
        if self._is_duplicate(position, headroom_ms):
            self.duplicate_packets += 1
            return
        self._watch(headroom_ms)
        if position + self._frame_ticks <= self._position:
            self.late_packets += 1
            return
        self._recent.append(position)
        packet = (position, extended_sequence, payload, decode)
        if not self._packets or position > self._packets[-1][0]:
            self._packets.append(packet)
        else:
            insort(self._packets, packet, key=lambda stored: stored[0])
        if len(self._packets) > PACKETS_LIMIT:
            del self._packets[0]
            self.dropped_packets += 1

    def skip(self, extended_sequence: int) -> None:
        """Note a packet that carries no audio but takes a sequence number (an event)."""
        self._newest_sequence = max(self._newest_sequence, extended_sequence)
        self._skipped_packets += 1

    def pull(self, due_at: float) -> bytes | None:
        """Return the next frame; None before the first packet ever.

        Args:
            due_at: When the frame is due, to the tick: not when the caller got round to it.

        """
        self._next_pull_at = due_at + FRAME_S
        if self._position is None:
            return self._silence if self._started else None
        if self._pending_frames > 0:
            self._pending_frames -= 1
            self.concealed_frames += 1
            frame = self._stand_in(self._frame_bytes)
            self._concealed_run += 1
            return frame
        if self._pending_frames < 0 and self._packets:
            self._pending_frames += 1
            return crossfaded(self._take_frame(), self._take_frame())
        frame = self._take_frame()
        if self._idle_frames >= IDLE_FRAMES and not self._packets:
            self.reset()
        return frame

    def advance(self, frames: int) -> None:
        """Leave out frames whose time has passed without a pull."""
        if self._position is not None:
            self._leave_out(frames)
        if self._next_pull_at is not None:
            self._next_pull_at += frames * FRAME_S

    def reset(self) -> None:
        """Forget what is stored; the next packet begins a timeline."""
        self._packets.clear()
        self._recent.clear()
        self._rest = b""
        self._last = self._silence
        self._position = None
        self._newest_sequence = -1
        self._played_sequence = None
        self._pending_frames = 0
        self._high_before_ms = 0.0
        self._begin_window()

    def _begin(self, timestamp: int) -> None:
        self.reset()
        self._position = timestamp - self._clock_rate_hz * START_MS // 1000
        self._started = True
        self._idle_frames = 0
        self._skipped_packets = 0

    def _headroom_ms(self, position: int, arrived_at: float) -> float:
        assert self._position is not None
        ahead_ms = (position - self._position) * 1000 / self._clock_rate_hz
        if self._next_pull_at is None:
            return ahead_ms
        return ahead_ms + (self._next_pull_at - arrived_at) * 1000

    def _is_duplicate(self, position: int, headroom_ms: float) -> bool:
        # In order and on time it cannot be one: no search for nearly every packet.
        if headroom_ms > 0 and (not self._packets or position > self._packets[-1][0]):
            return False
        return position in self._recent

    def _watch(self, headroom_ms: float) -> None:
        self._window_packets += 1
        if headroom_ms <= -DELAY_LIMIT_MS:
            return  # no delay of ours could save it
        self._low_ms = min(self._low_ms, headroom_ms)
        self._high_ms = max(self._high_ms, headroom_ms)
        if headroom_ms < 0:
            self._window_late_packets += 1
            if self._window_late_packets >= GROW_AFTER_LATE_PACKETS:
                room_frames = int((DELAY_LIMIT_MS - self.delay_ms) / FRAME_MS)
                frames = min(ceil(-self._low_ms / FRAME_MS), room_frames)
                if frames > 0:
                    self._pending_frames = frames
                    self._high_before_ms = self.delay_ms + frames * FRAME_MS
                self._begin_window()
        elif self._window_packets >= SHRINK_AFTER_PACKETS:
            if self._low_ms >= SHRINK_HEADROOM_MS:
                self._pending_frames = -1
                self._high_ms -= FRAME_MS
            self._high_before_ms = self._high_ms
            self._begin_window()

    def _begin_window(self) -> None:
        self._window_packets = self._window_late_packets = 0
        self._low_ms = float(DELAY_LIMIT_MS)
        self._high_ms = 0.0

    def _leave_out(self, frames: int) -> None:
        assert self._position is not None
        self._position += frames * self._frame_ticks
        self._rest = self._rest[frames * self._frame_bytes :]
        self._pending_frames = 0
        self._low_ms -= frames * FRAME_MS
        self._high_ms = max(0.0, self._high_ms - frames * FRAME_MS)
        self._high_before_ms = max(0.0, self._high_before_ms - frames * FRAME_MS)
        while self._packets and self._packets[0][0] + self._frame_ticks <= self._position:
            _, sequence, _, _ = self._packets.pop(0)
            self._count_lost(sequence)
            self.dropped_packets += 1

    def _take_frame(self) -> bytes:
        assert self._position is not None
        if not self._rest and self._packets and self._packets[0][0] == self._position:
            # Nearly always: the packet is there and holds one frame.
            pcm = self._decode_first()
            if len(pcm) == self._frame_bytes:
                self._position += self._frame_ticks
                self._last = pcm
                self._concealed_run = 0
                return pcm
            self._rest = pcm
        frame = self._compose_frame()
        self._position += self._frame_ticks
        return frame

    def _compose_frame(self) -> bytes:
        """Put a frame together from what is decoded, what is stored, and what stands in."""
        assert self._position is not None
        frame = bytearray()
        concealed = False
        while (missing_bytes := self._frame_bytes - len(frame)) > 0:
            if self._rest:
                frame += self._rest[:missing_bytes]
                self._rest = self._rest[missing_bytes:]
                continue
            here = self._position + len(frame) // self._tick_bytes
            gap_bytes = missing_bytes
            if self._packets:
                gap_bytes = (self._packets[0][0] - here) * self._tick_bytes
                if gap_bytes <= 0:
                    pcm = self._decode_first()
                    self._rest = pcm[-gap_bytes:]  # its beginning may lie in the past
                    continue
            concealed = True
            frame += self._stand_in(min(gap_bytes, missing_bytes))
        if concealed:
            self._concealed_run += 1
            self._idle_frames += 1
            self.concealed_frames += self._played_sequence is not None
        else:
            self._concealed_run = 0
            self._last = bytes(frame)
        return bytes(frame)

    def _decode_first(self) -> bytes:
        _, sequence, payload, decode = self._packets.pop(0)
        self._count_lost(sequence)
        self._idle_frames = 0
        try:
            pcm = decode(payload)
        except RemoteError:
            pcm = b""
        if not 0 < len(pcm) <= self._packet_limit_bytes:
            self.unplayable_packets += 1
            return b""
        self.played_bytes += len(pcm)
        return pcm

    def _count_lost(self, sequence: int) -> None:
        if self._played_sequence is not None:
            missing = sequence - self._played_sequence - 1 - self._skipped_packets
            self.lost_packets += max(0, missing)
        self._skipped_packets = 0
        self._played_sequence = sequence

    def _stand_in(self, size_bytes: int) -> bytes:
        if self._concealed_run >= len(_FADES) or self._last is self._silence:
            return bytes(size_bytes)
        return faded(self._last, *_FADES[self._concealed_run])[:size_bytes]
