"""What one receiver knows of one source: order, loss and jitter.  RFC 3550 section A."""

from typing import NamedTuple

from .sequence import timestamp_distance

MIN_SEQUENTIAL_PACKETS = 2  # in order, before an unauthenticated source is believed
MAX_DROPOUT_PACKETS = 3000  # a larger jump forward is a restart: a minute of audio
MAX_MISORDER_PACKETS = 100  # a larger jump back is a restart: two seconds of audio

_CUMULATIVE_LOST_MAX = (1 << 23) - 1  # 24 bits, signed: section 6.4.1
_CUMULATIVE_LOST_MIN = -(1 << 23)


class LossReport(NamedTuple):
    """The loss and jitter fields of a report block (section 6.4.1)."""

    fraction_lost: int
    "Of 256, since the report before."

    cumulative_lost: int
    "Expected less received, within 24 signed bits; negative with duplicates."

    extended_highest_sequence: int
    "32 bits."

    jitter_ticks: int
    "Interarrival jitter in timestamp units."


class ReceptionStatistics:
    """Sequence checks (A.1), loss (A.3) and jitter (A.8) of one SSRC.

    Args:
        clock_rate_hz: Of the RTP timestamps.
        authenticated: True when every packet given was verified, so that the very first
            one is believed.  A source that anyone can claim must first send
            MIN_SEQUENTIAL_PACKETS in order.

    """

    __slots__ = (
        "_bad_sequence", "_base", "_clock_rate_hz", "_expected_prior", "_highest", "_jitter",
        "_min_sequential", "_probation", "_received_prior", "_transit", "received_packets",
        "restarts",
    )  # fmt: skip

    def __init__(self, clock_rate_hz: int, *, authenticated: bool) -> None:
        self._clock_rate_hz = clock_rate_hz
        self._min_sequential = 1 if authenticated else MIN_SEQUENTIAL_PACKETS
        self._probation = self._min_sequential
        self._base = 0
        self._highest = -1  # extended; -1 before the first packet
        self._bad_sequence = -1  # what must come next to prove a restart
        self._expected_prior = 0
        self._received_prior = 0
        self._transit: int | None = None
        self._jitter = 0.0  # scaled by nothing: floats carry what A.8's 4 bits do
        self.received_packets = 0
        self.restarts = -1  # times the numbering began anew, the first not counted

    @property
    def valid(self) -> bool:
        """The source has passed its probation."""
        return self.restarts >= 0

    @property
    def highest(self) -> int:
        """The extended highest sequence number, -1 before the first packet."""
        return self._highest

    def receive(self, sequence_number: int) -> int | None:
        """Count a packet; return its extended sequence number, None when it must be dropped.

        After a restart the extended numbers begin anew; compare :attr:`restarts`.
        """
        if self._probation:
            return self._receive_in_probation(sequence_number)
        ahead = (sequence_number - self._highest) & 0xFFFF
        if ahead < MAX_DROPOUT_PACKETS:
            self._highest += ahead
            self.received_packets += 1
            return self._highest
        if ahead <= 0x10000 - MAX_MISORDER_PACKETS:
            # Two in a row after a wide jump: the other side restarted without telling us.
            if sequence_number == self._bad_sequence:
                self._begin(sequence_number)
                return self._highest
            self._bad_sequence = (sequence_number + 1) & 0xFFFF
            return None
        self.received_packets += 1  # a duplicate, or one out of order
        return self._highest - (0x10000 - ahead)

    def observe_transit(self, timestamp: int, arrived_at: float) -> None:
        """Take a packet's timing into the jitter (A.8); leave out repeats of a timestamp."""
        # Relative transit times wrap with the timestamps: only differences mean anything.
        transit = (round(arrived_at * self._clock_rate_hz) - timestamp) & 0xFFFF_FFFF
        if self._transit is not None:
            difference = abs(timestamp_distance(transit, self._transit))
            # A leap of a second is a new timeline, not jitter.
            if difference < self._clock_rate_hz:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit

    @property
    def jitter_s(self) -> float:
        """Interarrival jitter in seconds."""
        return self._jitter / self._clock_rate_hz

    @property
    def lost_packets(self) -> int:
        """Expected less received (A.3); negative with duplicates."""
        return self._expected() - self.received_packets if self.valid else 0

    def take_report(self) -> LossReport:
        """Return the figures for a report block and begin the next interval (A.3)."""
        expected = self._expected() if self.valid else 0
        expected_now = expected - self._expected_prior
        lost_now = expected_now - (self.received_packets - self._received_prior)
        self._expected_prior = expected
        self._received_prior = self.received_packets
        fraction = (lost_now << 8) // expected_now if expected_now and lost_now > 0 else 0
        lost = expected - self.received_packets
        return LossReport(
            fraction_lost=min(fraction, 255),
            cumulative_lost=max(_CUMULATIVE_LOST_MIN, min(lost, _CUMULATIVE_LOST_MAX)),
            extended_highest_sequence=max(self._highest, 0) & 0xFFFF_FFFF,
            jitter_ticks=min(int(self._jitter), 0xFFFF_FFFF),
        )

    def _receive_in_probation(self, sequence_number: int) -> int | None:
        in_order = self._highest >= 0 and sequence_number == (self._highest + 1) & 0xFFFF
        self._probation = (self._probation if in_order else self._min_sequential) - 1
        self._highest = sequence_number
        if self._probation:
            return None
        self._begin(sequence_number)
        return self._highest

    def _begin(self, sequence_number: int) -> None:
        self._base = self._highest = sequence_number
        self._bad_sequence = -1
        self.received_packets = 1
        self._expected_prior = self._received_prior = 0
        self._transit = None
        self.restarts += 1

    def _expected(self) -> int:
        return self._highest - self._base + 1
