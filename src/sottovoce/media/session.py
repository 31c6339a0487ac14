"""One audio stream of one call, from datagrams to PCM and back.

No sockets, no clock, no threads: the owner passes datagrams and the time in, takes
datagrams out, and reads and writes audio when it likes.
"""

from collections import deque
from typing import Protocol

from ..errors import LocalError, RemoteError, UnauthenticPacket
from ..rtp.packet import RtpPacket, is_rtcp
from ..rtp.rtcp import Bye, parse_compound
from ..rtp.rtcp_schedule import ReportDue, RtcpSchedule
from .frame import FRAME_S, SAMPLE_BYTES, level_dbov
from .receiver import EVENTS_LIMIT, AudioReceiver
from .remote_address import RemoteAddress
from .reports import RtcpReports
from .sender import DTMF_MS, AudioSender, RandomBytes, RtpStart
from .stream import Address, AudioStream, ByeReceived, DtmfReceived, MediaStatistics

CATCH_UP_TICKS = 5  # sent in one go after a stall; what is older is left out
_TICK_TOLERANCE = 0.001  # of a tick: a timer that fires 20 us early is on time

MediaEvent = DtmfReceived | ByeReceived


class PacketProtection(Protocol):
    """One direction's keys: what :class:`sottovoce.srtp.SrtpContext` does."""

    def protect(self, packet: bytes) -> bytes:
        """RTP to SRTP."""

    def unprotect(self, packet: bytes) -> bytes:
        """SRTP to RTP, or RemoteError."""

    def protect_rtcp(self, packet: bytes) -> bytes:
        """RTCP to SRTCP."""

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """SRTCP to RTCP, or RemoteError."""


class MediaSession:
    """Sends and receives one audio stream, secured when it is given keys.

    Once secured a session stays so: nothing leaves it in clear, and nothing that fails
    verification changes anything but a counter.

    Args:
        stream: As negotiated.
        outbound: Keys of what we send; None, with ``inbound``, for plain RTP.
        inbound: Keys of what we receive.
        cname: Canonical name for RTCP: random, nothing private (RFC 7022).
        random_bytes: Source of SSRC, first numbers and RTCP intervals.
        now: Monotonic seconds; the first frame is due 20 ms later.
        start: The first source's numbers, drawn when None.

    Raises:
        LocalError: Keys for one direction only.

    """

    def __init__(
        self,
        stream: AudioStream,
        *,
        outbound: PacketProtection | None,
        inbound: PacketProtection | None,
        cname: str,
        random_bytes: RandomBytes,
        now: float,
        start: RtpStart | None = None,
    ) -> None:
        secured = _check_keys(outbound, inbound)
        self._stream = stream
        self._outbound, self._inbound = outbound, inbound
        self._random_bytes = random_bytes
        self._started_at = now
        self._ticks = 0
        self._stopped = False
        self._sends: list[tuple[Address, bytes]] = []
        self._events: deque[ByeReceived] = deque(maxlen=EVENTS_LIMIT)
        self._rtp_remote = RemoteAddress(stream.remote_address, secured=secured)
        self._rtcp_remote = RemoteAddress(stream.rtcp_address, secured=secured)
        self._looped_source: Address | None = None
        self._sender = AudioSender(stream, start or RtpStart.fresh(random_bytes))
        self._receiver = AudioReceiver(stream, authenticated=secured)
        self._reports = RtcpReports(cname, now)
        self._schedule = RtcpSchedule(
            bandwidth_bps=2 * stream.codec.bandwidth_bps, random=self._random, now=now
        )
        self._rtcp_sent = False
        self._received_packets = self._authenticated_packets = 0
        self._refused_packets = self._refused_rtcp_packets = 0

    # -- what was negotiated ----------------------------------------------------------

    @property
    def stream(self) -> AudioStream:
        """What is in force."""
        return self._stream

    @property
    def secured(self) -> bool:
        """SRTP in both directions."""
        return self._outbound is not None

    @property
    def rate_hz(self) -> int:
        """Of the PCM that is read and written."""
        return self._stream.codec.rate_hz

    @property
    def ssrc(self) -> int:
        """Of what we send."""
        return self._sender.ssrc

    @property
    def destination(self) -> Address | None:
        """Where RTP goes at present."""
        return self._rtp_remote.destination

    def update(
        self,
        stream: AudioStream,
        outbound: PacketProtection | None,
        inbound: PacketProtection | None,
        now: float,
    ) -> None:
        """Take over a new negotiation (re-INVITE, answer after early media).

        The same ``outbound`` object means the same keys: SSRC and sequence numbers go on.
        Another one begins as a new source, so that an index is never used twice with one
        key, even if the new object holds the old key (RFC 3711 section 9.1), and so that
        neither side has to guess a rollover counter.

        Raises:
            LocalError: Keys for one direction only, or none on a session that has them.

        """
        secured = _check_keys(outbound, inbound)
        if self.secured and not secured:
            raise LocalError("a secured media session does not go back to plain RTP")
        self._rtp_remote.update(stream.remote_address, secured=secured)
        self._rtcp_remote.update(stream.rtcp_address, secured=secured)
        if secured and not self.secured:
            self._receiver.forget_sources()  # nothing learned in clear counts any more
            self._sends.clear()
            self._looped_source = None
        self._sender.update(stream)
        self._receiver.update(stream, authenticated=secured)
        if outbound is not self._outbound:
            self._restart()
        self._stream, self._outbound, self._inbound = stream, outbound, inbound

    # -- audio and digits --------------------------------------------------------------

    def write_audio(self, pcm: bytes) -> int:
        """Queue PCM of :attr:`rate_hz`, any length; return how many octets were taken.

        At most OUTGOING_LIMIT_MS waits to be sent; offer the rest again later.
        """
        return self._sender.write(pcm)

    def clear_audio(self) -> None:
        """Forget audio that was written and not sent."""
        self._sender.clear()

    @property
    def outgoing_audio_ms(self) -> float:
        """How much of what was written waits to be sent."""
        return self._sender.queued_ms

    def read_audio(self) -> bytes | None:
        """Hand over the oldest 20 ms received; None when there is none yet.

        From the first packet on there is one each tick, made up where packets are missing.
        """
        return self._receiver.read()

    def send_dtmf(self, digits: str, *, duration_ms: int = DTMF_MS) -> None:
        """Queue keypad digits as telephone events (RFC 4733); audio pauses for them.

        Raises:
            LocalError: Not negotiated, on hold, not digits, or too many waiting.

        """
        self._sender.send_dtmf(digits, duration_ms)

    @property
    def outgoing_digits(self) -> int:
        """How many digits are not wholly sent."""
        return self._sender.digits_queued

    # -- the five calls ----------------------------------------------------------------

    def receive_rtp(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram of the RTP port; what is not acceptable is counted and dropped."""
        if self._stopped:
            return
        if is_rtcp(data):  # some peers multiplex unasked (RFC 5761); it proves itself or not
            self._receive_report(data, source, now)
            return
        try:
            if self._inbound is not None:
                data = self._inbound.unprotect(data)
                self._authenticated_packets += 1
            elif not self._rtp_remote.admits(source):
                raise UnauthenticPacket("a source other than the one that is heard")
            packet = RtpPacket.parse(data)
        except RemoteError:
            self._refused_packets += 1
            return
        if packet.ssrc == self._sender.ssrc:
            self._collide(source, now)
            return
        self._received_packets += 1
        newest = self._receiver.receive_packet(packet, now)
        if newest:
            self._rtp_remote.learn(source)
            self._schedule.receive_rtp(packet.ssrc, now)

    def receive_rtcp(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram of the RTCP port; clear RTCP on a secured session is dropped."""
        if not self._stopped and self._receive_report(data, source, now):
            self._rtcp_remote.learn(source)

    def handle_timer(self, now: float) -> None:
        """Do the ticks that are due; media time is counted from the start and never drifts."""
        if self._stopped:
            return
        due = int((now - self._started_at) / FRAME_S + _TICK_TOLERANCE) - self._ticks
        if due <= 0:
            return
        if due > CATCH_UP_TICKS:
            late = due - CATCH_UP_TICKS
            self._ticks += late
            self._sender.skip(late)
            self._receiver.skip(late)
            due = CATCH_UP_TICKS
        for _ in range(due):
            self._tick()
        self._receiver.handle_timer(now)
        self._schedule.handle_timer(now)
        while (event := self._schedule.next_event()) is not None:
            if isinstance(event, ReportDue):
                self._send_report(now)

    def next_deadline(self) -> float | None:
        """When the next tick is due; None after :meth:`stop`."""
        if self._stopped:
            return None
        return self._started_at + (self._ticks + 1) * FRAME_S

    def take_sends(self) -> list[tuple[Address, bytes]]:
        """Hand over datagrams, in order; :func:`sottovoce.rtp.is_rtcp` tells from which port."""
        sends, self._sends = self._sends, []
        return sends

    def next_event(self) -> MediaEvent | None:
        """Hand over the oldest event, or None."""
        digit = self._receiver.next_event()
        if digit is not None:
            return digit
        return self._events.popleft() if self._events else None

    # -- the end, and the numbers ------------------------------------------------------

    def stop(self, now: float) -> None:
        """Say BYE (RFC 3550 section 6.3.7: only one that was heard of) and end."""
        if self._stopped:
            return
        if self._rtcp_sent or self._sender.source_packets:
            self._send_report(now, bye=True)
        self._stopped = True
        self._schedule.stop()

    def statistics(self) -> MediaStatistics:
        """Count up what happened until now."""
        sender, receiver, buffer = self._sender, self._receiver, self._receiver.jitter_buffer
        round_trip_s = self._reports.round_trip_s
        bytes_per_s = self.rate_hz * SAMPLE_BYTES
        return MediaStatistics(
            packets_sent=sender.packets_sent,
            packets_received=self._received_packets,
            packets_authenticated=self._authenticated_packets,
            packets_refused=self._refused_packets,
            packets_lost=receiver.packets_lost,
            packets_late=buffer.late_packets,
            jitter_ms=receiver.statistics.jitter_s * 1000 if receiver.statistics else 0.0,
            round_trip_ms=None if round_trip_s is None else round_trip_s * 1000,
            audio_seconds_received=buffer.played_bytes / bytes_per_s,
            audio_seconds_sent=sender.audio_bytes_sent / bytes_per_s,
            level_in_dbov=level_dbov(receiver.last_frame),
            level_out_dbov=level_dbov(sender.last_frame),
            dtmf_received=receiver.digits,
            buffer_ms=buffer.delay_ms,
            frames_concealed=buffer.concealed_frames,
            frames_overflowed=receiver.frames_overflowed,
            rtcp_packets_refused=self._refused_rtcp_packets,
            secured=self.secured,
        )

    # -- inside ------------------------------------------------------------------------

    def _receive_report(self, data: bytes, source: Address, now: float) -> bool:
        """Take one compound; True when it was accepted."""
        try:
            if self._inbound is not None:
                data = self._inbound.unprotect_rtcp(data)
            elif not self._admits_clear_rtcp(source):
                raise UnauthenticPacket("a source other than the one that is heard")
            packets = parse_compound(data)
        except RemoteError:
            self._refused_rtcp_packets += 1
            return False
        first_ssrc = getattr(packets[0], "ssrc", None)
        if first_ssrc is None or first_ssrc == self._sender.ssrc:
            return False
        self._schedule.receive_rtcp(first_ssrc, len(data), now)
        self._reports.receive_compound(packets, self._sender.ssrc, now)
        for packet in packets:
            if isinstance(packet, Bye) and first_ssrc in packet.sources:
                self._schedule.receive_bye(first_ssrc, now)
                self._events.append(ByeReceived(first_ssrc))
        return True

    def _tick(self) -> None:
        self._ticks += 1
        due_at = self._started_at + self._ticks * FRAME_S
        destination = self._rtp_remote.destination
        packets = self._sender.tick(reachable=destination is not None)
        if destination is not None and packets:
            if self._outbound is not None:
                packets = [self._outbound.protect(packet) for packet in packets]
            self._sends += [(destination, packet) for packet in packets]
            self._schedule.sent_rtp(due_at)
        self._receiver.tick(due_at)

    def _send_report(self, now: float, *, bye: bool = False) -> None:
        # RTCP goes on during hold (RFC 3264 section 8.4): only the audio pauses.
        muxed = self._stream.rtcp_address == self._stream.remote_address
        remote = self._rtp_remote if muxed else self._rtcp_remote
        destination = remote.destination
        if destination is None:
            return
        since_tick_s = now - (self._started_at + self._ticks * FRAME_S)
        elapsed_ticks = int(since_tick_s * self._stream.codec.clock_rate_hz)
        compound = self._reports.compound(
            now,
            self._sender,
            rtp_timestamp=(self._sender.timestamp + elapsed_ticks) & 0xFFFF_FFFF,
            remote_ssrc=self._receiver.ssrc,
            statistics=self._receiver.statistics,
            bye=bye,
        )
        if self._outbound is not None:
            compound = self._outbound.protect_rtcp(compound)
        self._sends.append((destination, compound))
        self._rtcp_sent = True
        self._schedule.sent_rtcp(len(compound), now)

    def _collide(self, source: Address, now: float) -> None:
        """Somebody sends with our SSRC: leave it to them once; again, it is our own echo.

        RFC 3550 section 8.2.
        """
        if self._looped_source is not None:
            self._refused_packets += 1
            return
        self._looped_source = source
        self._send_report(now, bye=True)
        self._restart()

    def _restart(self) -> None:
        taken = {self._sender.ssrc, self._receiver.ssrc}
        self._sender.restart(RtpStart.fresh(self._random_bytes, taken=taken))

    def _admits_clear_rtcp(self, source: Address) -> bool:
        """RTCP proves no more than RTP does: it may come from where that comes."""
        announced = self._stream.rtcp_address
        if announced is not None and source[0] == announced[0]:
            return True
        learned = self._rtp_remote.destination
        return learned is not None and source[0] == learned[0]

    def _random(self) -> float:
        return int.from_bytes(self._random_bytes(4), "big") / 2**32


def _check_keys(outbound: PacketProtection | None, inbound: PacketProtection | None) -> bool:
    if (outbound is None) is not (inbound is None):
        raise LocalError("a media session has keys for both directions or for none")
    return outbound is not None
