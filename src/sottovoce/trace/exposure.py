"""What a third party learns from captured traffic, and from nothing else.

:class:`Outsider` takes the events of a capture and finds SIP, TLS, keys and media in
them by itself.  It is told no address, key, codec or call.
"""

from collections.abc import Container
from dataclasses import dataclass

from .announcements import Announcements, KeySeen, MediaSeen
from .call_flow import CallFlow, SipMessageSeen
from .event import DatagramSeen, Event
from .recovery import StreamExposure, recover
from .rtp_streams import RtpStreamFinder
from .tls_records import TlsConnection, TlsObserver


@dataclass(frozen=True, slots=True)
class Exposure:
    """The findings on one capture."""

    datagrams_seen: int
    stream_segments_seen: int
    messages: tuple[SipMessageSeen, ...]
    messages_seen: int
    "Readable SIP messages; more than ``messages`` holds when that is full."

    tls_connections: tuple[TlsConnection, ...]
    keys: tuple[KeySeen, ...]
    media: tuple[MediaSeen, ...]
    streams: tuple[StreamExposure, ...]

    @property
    def sip_messages_captured(self) -> int:
        """Messages read, and TLS records that may hold one each.

        Inside TLS a third party cannot count messages.  What it can count are records of
        type application_data on the signalling connections: SIP stacks write one a
        message, and TLS 1.3 sends the end of its handshake in them too.  So for TLS this
        is an upper bound of the messages that went by.
        """
        return self.messages_seen + sum(c.application_records for c in self.tls_connections)

    @property
    def sip_messages_readable(self) -> int:
        """Messages whose text was there to read."""
        return self.messages_seen

    @property
    def srtp_key_recovered(self) -> bool:
        """Whether a master key stood in a readable message."""
        return bool(self.keys)

    @property
    def audio_seconds_recovered(self) -> float:
        """Seconds of sound read, all streams together.

        A stream that was captured twice, before and behind a relay, has one SSRC and
        counts once.
        """
        longest: dict[int, float] = {}
        for found in self.streams:
            ssrc = found.stream.ssrc
            longest[ssrc] = max(longest.get(ssrc, 0.0), found.seconds_recovered)
        return sum(longest.values())


class Outsider:
    """Collect what is seen on the wire; judge it when asked.

    Memory is bounded by the limits of its parts, whatever goes by.

    Args:
        signalling_ports: Count TLS connections to or from these ports as signalling;
            None for all, where the capture holds nothing else.

    """

    def __init__(self, *, signalling_ports: Container[int] | None = None) -> None:
        self._signalling_ports = signalling_ports
        self._call_flow = CallFlow()
        self._tls = TlsObserver()
        self._rtp = RtpStreamFinder()
        self._datagrams_seen = 0
        self._stream_segments_seen = 0

    def receive_event(self, event: Event) -> None:
        """Take the next datagram or stream bytes."""
        if isinstance(event, DatagramSeen):
            self._datagrams_seen += 1
            if not self._call_flow.receive_event(event):
                self._rtp.receive_datagram(event)
            return
        self._stream_segments_seen += 1
        if not self._tls.receive_event(event):
            self._call_flow.receive_event(event)

    def findings(self) -> Exposure:
        """Judge all that was seen so far; this takes the time that decrypting takes."""
        announcements = Announcements()
        for message in self._call_flow.messages:
            announcements.receive_message(message)
        return Exposure(
            datagrams_seen=self._datagrams_seen,
            stream_segments_seen=self._stream_segments_seen,
            messages=tuple(self._call_flow.messages),
            messages_seen=self._call_flow.messages_seen,
            tls_connections=tuple(filter(self._is_signalling, self._tls.connections)),
            keys=tuple(announcements.keys),
            media=tuple(announcements.media),
            streams=tuple(recover(stream, announcements) for stream in self._rtp.streams),
        )

    def _is_signalling(self, connection: TlsConnection) -> bool:
        ports = self._signalling_ports
        return ports is None or connection.server.port in ports or connection.client.port in ports
