"""Keypad digits as RTP events.  RFC 4733 sections 2.2 to 2.5.

::

    |     event     |E|R| volume    |          duration             |

All packets of one event carry the RTP timestamp of its start; the duration grows from
packet to packet, and the last is sent three times with the E bit.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import ParseError

DIGITS = "0123456789*#ABCD"  # events 0 to 15; 16 (flash) is no digit
DURATION_MAX_TICKS = 0xFFFF
END_PACKETS = 3  # section 2.5.1.4
LOST_END_S = 0.25  # no update for that long (three and more of 50 ms): it ended unseen
DEFAULT_VOLUME = 10  # -dBm0, what most senders use

_PAYLOAD = struct.Struct("!BBH")
_END = 0x80


def event_of(digit: str) -> int:
    """Return the event code of a keypad digit.

    Raises:
        ValueError: Not one of DIGITS (small letters are taken).

    """
    if len(digit) != 1 or (code := DIGITS.find(digit.upper())) < 0:
        raise ValueError(f"{digit!r} is no keypad digit, expected one of {DIGITS}")
    return code


class TelephoneEvent(NamedTuple):
    """The payload of one packet."""

    event: int
    end: bool
    volume: int
    "0 to 63: -dBm0."

    duration_ticks: int

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Read the first event of a payload; the R bit is ignored.

        Raises:
            ParseError: Under four octets.

        """
        if len(payload) < _PAYLOAD.size:
            raise ParseError(f"telephone-event: {len(payload)} octets, expected 4")
        event, flags, duration_ticks = _PAYLOAD.unpack_from(payload)
        return cls(event, flags >= _END, flags & 0x3F, duration_ticks)

    def serialize(self) -> bytes:
        """Return the four octets."""
        return _PAYLOAD.pack(
            self.event, (_END if self.end else 0) | self.volume, self.duration_ticks
        )


class EventToSend(NamedTuple):
    """What the sender puts into one RTP packet; the sequence number rises with each."""

    timestamp: int
    marker: bool
    payload: bytes


class TelephoneEventSender:
    """One event from its start to its third end packet.

    Args:
        event: Its code.
        timestamp: RTP timestamp at its start.
        duration_ticks: At least one update long.
        update_ticks: Between two packets.

    """

    def __init__(
        self,
        event: int,
        *,
        timestamp: int,
        duration_ticks: int,
        update_ticks: int,
        volume: int = DEFAULT_VOLUME,
    ) -> None:
        self._event = event
        self._volume = volume
        self._timestamp = timestamp  # of the current segment
        self._left_ticks = max(duration_ticks, update_ticks)  # of it and those that follow
        self._update_ticks = update_ticks
        self._sent_ticks = 0  # of the current segment
        self._marker = True
        self._repeats: list[EventToSend] = []  # last packets still to be repeated

    def next_update(self) -> list[EventToSend]:
        """Return the packets of this update interval; none when the event is over."""
        sends, self._repeats = self._repeats[:1], self._repeats[1:]
        if not self._left_ticks:
            return sends
        self._sent_ticks += self._update_ticks
        last = self._sent_ticks >= self._left_ticks
        full = not last and self._sent_ticks >= DURATION_MAX_TICKS
        if last and self._left_ticks > DURATION_MAX_TICKS:
            last, full = False, True
        duration_ticks = min(self._sent_ticks, self._left_ticks, DURATION_MAX_TICKS)
        payload = TelephoneEvent(self._event, last, self._volume, duration_ticks).serialize()
        packet = EventToSend(self._timestamp, self._marker, payload)
        self._marker = False
        if last or full:
            self._repeats += [packet._replace(marker=False)] * (END_PACKETS - 1)
        if last:
            self._left_ticks = 0
        elif full:
            # Section 2.5.1.3: what a segment cannot hold goes on in the next, without E.
            self._timestamp = (self._timestamp + DURATION_MAX_TICKS) & 0xFFFF_FFFF
            self._left_ticks -= DURATION_MAX_TICKS
            self._sent_ticks -= DURATION_MAX_TICKS
        return [*sends, packet]

    @property
    def done(self) -> bool:
        """All packets have been handed over."""
        return not self._left_ticks and not self._repeats


@dataclass(frozen=True, slots=True)
class EventReceived:
    """One whole event, reported once."""

    event: int
    duration_ticks: int


class TelephoneEventReceiver:
    """Put packets back together to events, told apart by RTP timestamp.

    An event is reported at its end packet; with all of these lost, when the next event
    begins or nothing came for LOST_END_S.  Losing its first packets costs nothing.
    """

    def __init__(self) -> None:
        self._event: int | None = None  # that is going on
        self._timestamp: int | None = None  # of the latest segment, also when reported
        self._timestamp_before: int | None = None  # its end may be repeated beside the latest
        self._duration_ticks = 0  # of the latest segment
        self._before_ticks = 0  # of the segments before it
        self._sequence = -1  # newest extended one
        self._heard_at = 0.0
        self._events: list[EventReceived] = []

    def receive_event(
        self, payload: bytes, extended_sequence: int, timestamp: int, now: float
    ) -> None:
        """Take one packet.

        Raises:
            ParseError: Not a telephone-event payload.

        """
        event, end, _, duration_ticks = TelephoneEvent.parse(payload)
        if timestamp == self._timestamp:
            if self._event is None:
                return  # a repeat of an end that was reported
            self._duration_ticks = max(self._duration_ticks, duration_ticks)
        else:
            if extended_sequence <= self._sequence or timestamp == self._timestamp_before:
                return  # a late packet of an event or segment before
            follows = (
                self._timestamp is not None
                and timestamp == (self._timestamp + DURATION_MAX_TICKS) & 0xFFFF_FFFF
            )
            if self._event == event and follows:
                self._before_ticks += DURATION_MAX_TICKS
            else:
                self._report()
                self._event = event
            self._timestamp_before, self._timestamp = self._timestamp, timestamp
            self._duration_ticks = duration_ticks
        self._sequence = max(self._sequence, extended_sequence)
        self._heard_at = now
        if end:
            self._report()

    def handle_timer(self, now: float) -> None:
        """Report an event whose end packets were all lost."""
        if self._event is not None and now - self._heard_at >= LOST_END_S:
            self._report()

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`."""
        return None if self._event is None else self._heard_at + LOST_END_S

    def next_event(self) -> EventReceived | None:
        """Hand over the oldest event, or None."""
        return self._events.pop(0) if self._events else None

    def _report(self) -> None:
        if self._event is not None:
            duration_ticks = self._before_ticks + self._duration_ticks
            self._events.append(EventReceived(self._event, duration_ticks))
        self._event = None
        self._before_ticks = 0
