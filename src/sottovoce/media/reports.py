"""The RTCP reports of one session: what we tell, and what we are told.  RFC 3550 section 6.4."""

from collections import deque
from collections.abc import Iterable

from ..rtp.rtcp import (
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesItem,
    SenderReport,
    SourceDescription,
    serialize_compound,
)
from ..rtp.statistics import ReceptionStatistics
from .sender import AudioSender

ROUND_TRIP_LIMIT_S = 30.0  # more is a clock that jumped, or a report of another session


class RtcpReports:
    """Builds compounds and reads those of the other side.

    Our NTP timestamps count from the start of the session, which section 4 allows to a
    participant without a wall clock; so they tell nobody how long this machine is up.

    Args:
        cname: Canonical name: random, nothing private (RFC 7022).
        now: Start of the session, monotonic seconds.

    """

    def __init__(self, cname: str, now: float) -> None:
        self._cname = cname.encode()[:255]
        self._started_at = now
        self._last_sr_ssrc: int | None = None
        self._last_sr = 0  # middle 32 bits of its NTP timestamp
        self._last_sr_at = 0.0
        # Sent by the last two reports: who has sent nothing since is no sender (section 6.4).
        self._reported_packets: deque[int] = deque((0, 0), maxlen=2)
        self.round_trip_s: float | None = None

    def compound(
        self,
        now: float,
        sender: AudioSender,
        *,
        rtp_timestamp: int,
        remote_ssrc: int | None,
        statistics: ReceptionStatistics | None,
        bye: bool = False,
    ) -> bytes:
        """Return SR or RR, SDES with the CNAME, and BYE when leaving (section 6.1)."""
        blocks: tuple[ReportBlock, ...] = ()
        if remote_ssrc is not None and statistics is not None:
            blocks = (self._block(remote_ssrc, statistics, now),)
        report: RtcpPacket
        if sender.source_packets and sender.source_packets != self._reported_packets[0]:
            report = SenderReport(
                ssrc=sender.ssrc,
                ntp_timestamp=int((now - self._started_at) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF,
                rtp_timestamp=rtp_timestamp,
                packet_count=sender.source_packets & 0xFFFF_FFFF,
                octet_count=sender.source_octets & 0xFFFF_FFFF,
                reports=blocks,
            )
        else:
            report = ReceiverReport(sender.ssrc, blocks)
        self._reported_packets.append(sender.source_packets)
        cname = ((sender.ssrc, ((int(SdesItem.CNAME), self._cname),)),)
        packets: list[RtcpPacket] = [report, SourceDescription(cname)]
        if bye:
            packets.append(Bye((sender.ssrc,)))
        return serialize_compound(packets)

    def receive_compound(self, packets: Iterable[RtcpPacket], own_ssrc: int, now: float) -> None:
        """Take what a verified compound says of our stream and of its own."""
        for packet in packets:
            if not isinstance(packet, SenderReport | ReceiverReport):
                continue
            if isinstance(packet, SenderReport):
                self._last_sr_ssrc = packet.ssrc
                self._last_sr = packet.ntp_timestamp >> 16 & 0xFFFF_FFFF
                self._last_sr_at = now
            for block in packet.reports:
                if block.ssrc == own_ssrc and block.last_sr:
                    self._measure_round_trip(block, now)

    def _measure_round_trip(self, block: ReportBlock, now: float) -> None:
        """Compute A - LSR - DLSR (section 6.4.1)."""
        arrived = int((now - self._started_at) * 65536)
        ticks = (arrived - block.last_sr - block.delay_since_last_sr) & 0xFFFF_FFFF
        # A trip shorter than the rounding of both clocks comes out just under zero.
        round_trip_s = 0.0 if ticks > 0xFFFF_FF00 else ticks / 65536
        if round_trip_s <= ROUND_TRIP_LIMIT_S:
            self.round_trip_s = round_trip_s

    def _block(self, ssrc: int, statistics: ReceptionStatistics, now: float) -> ReportBlock:
        report = statistics.take_report()
        heard_sr = ssrc == self._last_sr_ssrc
        delay = int((now - self._last_sr_at) * 65536) & 0xFFFF_FFFF if heard_sr else 0
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=report.fraction_lost,
            cumulative_lost=report.cumulative_lost,
            extended_highest_sequence=report.extended_highest_sequence,
            jitter_ticks=report.jitter_ticks,
            last_sr=self._last_sr if heard_sr else 0,
            delay_since_last_sr=delay,
        )
