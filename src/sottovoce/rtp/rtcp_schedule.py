"""When to send RTCP, and which members are gone.  RFC 3550 sections 6.2, 6.3 and A.7."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

RTCP_MIN_S = 5.0  # section 6.2: the least average interval; half of it before the first
RTCP_SHARE = 0.05  # section 6.2: of the session bandwidth
SENDER_SHARE = 0.25  # section 6.2: of the RTCP bandwidth, while senders are that few
TIMEOUT_INTERVALS = 5  # section 6.3.5: silent that many intervals, and a member is gone
SENDER_INTERVALS = 2  # section 6.3.5: not sending for so many, and it is no sender
MEMBERS_LIMIT = 64  # a call has two members; a stream of made-up SSRCs must cost nothing
UDP_AND_IP_BYTES = 28  # section 6.2: sizes count the lower layers; a likely header

_COMPENSATION = math.e - 1.5  # section 6.3.1: for timer reconsideration settling too low


@dataclass(frozen=True, slots=True)
class ReportDue:
    """Send a compound now, then tell :meth:`RtcpSchedule.sent_rtcp` its size."""


@dataclass(frozen=True, slots=True)
class MemberTimedOut:
    """A member has been silent for TIMEOUT_INTERVALS."""

    ssrc: int


def rtcp_interval_s(
    *,
    members: int,
    senders: int,
    bandwidth_bytes_per_s: float,
    average_bytes: float,
    we_sent: bool,
    initial: bool,
    random: Callable[[], float] | None,
) -> float:
    """Compute the interval to the next RTCP packet (A.7).

    Args:
        members: All of them, this one counted.
        senders: Those that sent RTP of late, this one counted.
        bandwidth_bytes_per_s: For RTCP, of the whole session.
        average_bytes: Size of a compound with lower-layer headers.
        we_sent: This member is among the senders.
        initial: Nothing has been sent yet.
        random: Returns 0 <= x < 1; None for the deterministic interval of timeouts.

    """
    counted = members
    if 0 < senders <= members * SENDER_SHARE:
        if we_sent:
            bandwidth_bytes_per_s *= SENDER_SHARE
            counted = senders
        else:
            bandwidth_bytes_per_s *= 1 - SENDER_SHARE
            counted = members - senders
    least_s = RTCP_MIN_S / 2 if initial else RTCP_MIN_S
    interval_s = max(average_bytes * counted / bandwidth_bytes_per_s, least_s)
    if random is None:
        return interval_s
    return interval_s * (random() + 0.5) / _COMPENSATION


@dataclass(slots=True)
class _Member:
    heard_at: float
    sent_rtp_at: float | None = None


class RtcpSchedule:
    """One member's view of one RTP session.

    Args:
        bandwidth_bps: Of the session's RTP, bits a second with headers.
        random: Returns 0 <= x < 1.
        now: Monotonic seconds, as in every later call.
        first_bytes: The likely size of the first compound, without lower layers.

    """

    def __init__(
        self,
        *,
        bandwidth_bps: float,
        random: Callable[[], float],
        now: float,
        first_bytes: int = 80,
    ) -> None:
        self._bandwidth_bytes_per_s = bandwidth_bps * RTCP_SHARE / 8
        self._random = random
        self._average_bytes = float(first_bytes + UDP_AND_IP_BYTES)
        self._members: dict[int, _Member] = {}
        self._most_members = 1  # pmembers of section 6.3
        self._initial = True
        self._sent_rtp_at: float | None = None
        self._sent_at = now  # tp
        self._due_at: float | None = now + self._interval_s(now)  # tn
        self._events: deque[ReportDue | MemberTimedOut] = deque()

    @property
    def members(self) -> int:
        """How many there are, this one counted."""
        return len(self._members) + 1

    def receive_rtp(self, ssrc: int, now: float) -> None:
        """Note that a verified source sent RTP."""
        member = self._members.get(ssrc)
        if member is not None:  # the hot path: once a packet
            member.heard_at = member.sent_rtp_at = now
        elif len(self._members) < MEMBERS_LIMIT:
            self._members[ssrc] = _Member(now, now)

    def receive_rtcp(self, ssrc: int, size_bytes: int, now: float) -> None:
        """Take a verified compound of a member (section 6.3.3)."""
        self._average(size_bytes)
        member = self._members.get(ssrc)
        if member is not None:
            member.heard_at = now
        elif len(self._members) < MEMBERS_LIMIT:
            self._members[ssrc] = _Member(now)

    def receive_bye(self, ssrc: int, now: float) -> None:
        """Forget a member; draw the next report nearer in proportion (section 6.3.4)."""
        if self._members.pop(ssrc, None) is not None:
            self._reconsider_back(now)

    def sent_rtp(self, now: float) -> None:
        """Note that this member sent RTP."""
        self._sent_rtp_at = now

    def sent_rtcp(self, size_bytes: int, now: float) -> None:
        """Note that a compound was sent, and when the next is due (section 6.3.6)."""
        self._average(size_bytes)
        self._initial = False
        self._sent_at = now
        self._most_members = self.members
        self._due_at = now + self._interval_s(now)

    def stop(self) -> None:
        """Leave the session: no deadline any more."""
        self._due_at = None

    def handle_timer(self, now: float) -> None:
        """Report what is due at or before ``now`` (section 6.3.6: timer reconsideration)."""
        if self._due_at is None or now < self._due_at:
            return
        self._time_out_members(now)
        reconsidered_at = self._sent_at + self._interval_s(now)
        if reconsidered_at <= now:
            # Should the owner send nothing, ask again after an interval, not at once.
            self._sent_at = now
            self._due_at = now + self._interval_s(now)
            self._events.append(ReportDue())
        else:
            self._due_at = reconsidered_at
        self._most_members = self.members

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`."""
        return self._due_at

    def take_sends(self) -> list[bytes]:
        """Return nothing, ever: the owner builds what a :class:`ReportDue` asks for."""
        return []

    def next_event(self) -> ReportDue | MemberTimedOut | None:
        """Hand over the oldest event, or None."""
        return self._events.popleft() if self._events else None

    def _interval_s(self, now: float, *, deterministic: bool = False) -> float:
        # Senders are those of the last two intervals; one that just stopped costs nothing.
        recently = now - SENDER_INTERVALS * RTCP_MIN_S
        we_sent = self._sent_rtp_at is not None and self._sent_rtp_at >= recently
        senders = sum(
            1
            for member in self._members.values()
            if member.sent_rtp_at is not None and member.sent_rtp_at >= recently
        )
        return rtcp_interval_s(
            members=self.members,
            senders=senders + we_sent,
            bandwidth_bytes_per_s=self._bandwidth_bytes_per_s,
            average_bytes=self._average_bytes,
            we_sent=we_sent,
            initial=self._initial and not deterministic,
            random=None if deterministic else self._random,
        )

    def _average(self, size_bytes: int) -> None:
        self._average_bytes += (size_bytes + UDP_AND_IP_BYTES - self._average_bytes) / 16

    def _time_out_members(self, now: float) -> None:
        gone_before = now - TIMEOUT_INTERVALS * self._interval_s(now, deterministic=True)
        gone = [ssrc for ssrc, member in self._members.items() if member.heard_at < gone_before]
        for ssrc in gone:
            del self._members[ssrc]
            self._events.append(MemberTimedOut(ssrc))
        if gone:
            self._reconsider_back(now)

    def _reconsider_back(self, now: float) -> None:
        if self._due_at is None or self.members >= self._most_members:
            return
        share = self.members / self._most_members
        self._due_at = now + share * (self._due_at - now)
        self._sent_at = now - share * (now - self._sent_at)
        self._most_members = self.members
