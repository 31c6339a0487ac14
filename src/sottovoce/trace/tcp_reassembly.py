"""TCP segments back into the bytes that were written, each direction by itself.

What a listener can do: retransmitted bytes are dropped, early segments wait for the
missing ones, and what never comes is given up for a gap when the wait costs too much
memory.  A connection whose start was not captured begins at its first segment.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from .event import Endpoint, StreamBytesSeen

#: Directions followed at the same time; the one silent for longest is forgotten first.
MAX_DIRECTIONS = 8192

#: What may wait in one direction for a missing segment: more than the usual receive
#: window of a phone's signalling connection.
MAX_WAITING_BYTES = 262_144
MAX_WAITING_SEGMENTS = 256

#: What may wait in all directions together.
MAX_WAITING_BYTES_IN_ALL = 64 * 1024 * 1024

FIN, SYN, RST = 0x01, 0x02, 0x04
_SEQUENCE_SPACE = 1 << 32


@dataclass(frozen=True, slots=True)
class TcpSegment:
    """The TCP layer of one packet."""

    source: Endpoint
    destination: Endpoint
    sequence_number: int
    flags: int
    payload: bytes


@dataclass(slots=True)
class _Direction:
    first: int
    "Sequence number of the first byte, as far as it is known."

    expected: int
    "Sequence number of the next byte."

    fresh: bool = True
    "Nothing was handed over yet."

    waiting: dict[int, tuple[bytes, int, float]] = field(default_factory=dict)
    "Sequence number -> payload, frame, time of segments that came early."

    waiting_bytes: int = 0


class TcpReassembly:
    """Put the segments of all connections of a capture in order."""

    def __init__(self) -> None:
        self._directions: OrderedDict[tuple[Endpoint, Endpoint], _Direction] = OrderedDict()
        self._waiting_bytes = 0

    def receive_segment(
        self, segment: TcpSegment, frame: int, at_s: float
    ) -> Iterator[StreamBytesSeen]:
        """Take the next segment as captured; give the bytes it made readable."""
        key = (segment.source, segment.destination)
        start = segment.sequence_number
        if segment.flags & SYN:
            # SYN takes one number itself (RFC 9293 section 3.4); the ports may be in use again.
            start = (start + 1) % _SEQUENCE_SPACE
            if key in self._directions and self._directions[key].first != start:
                self._forget(key)
        direction = self._directions.get(key)
        if direction is None:
            if not segment.payload and not segment.flags & SYN:
                return
            direction = self._directions[key] = _Direction(start, start)
        self._directions.move_to_end(key)
        while len(self._directions) > MAX_DIRECTIONS:
            self._forget(next(iter(self._directions)))

        if segment.payload:
            self._keep(direction, start, segment.payload, frame, at_s)
            yield from self._release(key, direction)
            while self._too_much(direction):
                self._skip_gap(direction)
                yield from self._release(key, direction, after_gap=True)
        if segment.flags & RST:
            self._forget(key)

    def receive_end(self) -> Iterator[StreamBytesSeen]:
        """Give what still waits, with its gaps, and forget everything."""
        for key, direction in self._directions.items():
            while direction.waiting:
                self._skip_gap(direction)
                yield from self._release(key, direction, after_gap=True)
        self._directions.clear()
        self._waiting_bytes = 0

    def _keep(
        self, direction: _Direction, start: int, payload: bytes, frame: int, at_s: float
    ) -> None:
        known = direction.waiting.get(start)
        if known is not None:
            if len(known[0]) >= len(payload):
                return
            self._drop_waiting(direction, start)
        direction.waiting[start] = (payload, frame, at_s)
        direction.waiting_bytes += len(payload)
        self._waiting_bytes += len(payload)

    def _release(
        self,
        key: tuple[Endpoint, Endpoint],
        direction: _Direction,
        *,
        after_gap: bool = False,
    ) -> Iterator[StreamBytesSeen]:
        """Hand over all that now follows without a gap."""
        while direction.waiting:
            # Nearest first; a negative distance is a repeat, whole or in part.
            start = min(direction.waiting, key=lambda at: _distance(direction.expected, at))
            ahead = _distance(direction.expected, start)
            if ahead > 0:
                return
            payload, frame, at_s = self._drop_waiting(direction, start)
            new = payload[-ahead:] if ahead else payload
            if not new:
                continue
            direction.expected = (direction.expected + len(new)) % _SEQUENCE_SPACE
            afresh = after_gap or direction.fresh
            direction.fresh = after_gap = False
            yield StreamBytesSeen(frame, at_s, *key, new, afresh)

    def _too_much(self, direction: _Direction) -> bool:
        return bool(direction.waiting) and (
            direction.waiting_bytes > MAX_WAITING_BYTES
            or len(direction.waiting) > MAX_WAITING_SEGMENTS
            or self._waiting_bytes > MAX_WAITING_BYTES_IN_ALL
        )

    def _skip_gap(self, direction: _Direction) -> None:
        direction.expected = min(
            direction.waiting, key=lambda at: _distance(direction.expected, at)
        )

    def _drop_waiting(self, direction: _Direction, start: int) -> tuple[bytes, int, float]:
        payload, frame, at_s = direction.waiting.pop(start)
        direction.waiting_bytes -= len(payload)
        self._waiting_bytes -= len(payload)
        return payload, frame, at_s

    def _forget(self, key: tuple[Endpoint, Endpoint]) -> None:
        direction = self._directions.pop(key, None)
        if direction is not None:
            self._waiting_bytes -= direction.waiting_bytes


def _distance(expected: int, start: int) -> int:
    """How far ahead of ``expected`` a segment starts; negative for a repeat (RFC 9293 3.4)."""
    return (start - expected + _SEQUENCE_SPACE // 2) % _SEQUENCE_SPACE - _SEQUENCE_SPACE // 2
