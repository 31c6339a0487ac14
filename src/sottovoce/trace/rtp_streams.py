"""RTP and SRTP streams among the datagrams of a capture, found without knowing any call.

The RTP header stays in clear under SRTP (RFC 3711 section 3.1), so both are found the
same way: version 2, not RTCP (RFC 5761 section 4), one SSRC between two endpoints, and
sequence numbers that rise by little from packet to packet.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass, field

from ..rtp.packet import FIXED_HEADER_BYTES, is_rtcp
from .event import DatagramSeen, Endpoint

#: Fewer packets (0.2 s) are chance.
MIN_STREAM_PACKETS = 10

#: Share of steps from packet to packet that must be a small rise.
MIN_RISING_SHARE = 0.8
MAX_STEP = 32

#: Streams and would-be streams at the same time; the one silent for longest goes first,
#: which under a flood of random datagrams is one of theirs.
MAX_STREAMS = 4096

#: Octets kept of all streams of a capture, 55 minutes of G.711 in one direction; later
#: packets are only counted.
MAX_KEPT_BYTES = 32 * 1024 * 1024

_HEADER = struct.Struct("!xBHxxxxI")


@dataclass(slots=True)
class RtpStreamSeen:
    """The packets of one SSRC from one endpoint to another, still as captured."""

    source: Endpoint
    destination: Endpoint
    ssrc: int
    first_frame: int
    first_at_s: float
    last_frame: int = 0
    last_at_s: float = 0.0
    packets: int = 0
    payload_types: dict[int, int] = field(default_factory=dict)
    "Payload type -> packets."

    kept: list[bytes] = field(default_factory=list)
    "Whole RTP packets in order of capture."

    rising_steps: int = 0
    last_sequence_number: int = 0

    @property
    def payload_type(self) -> int:
        """The most frequent one: audio, where key presses have their own."""
        return max(self.payload_types, key=lambda number: self.payload_types[number])

    @property
    def plausible(self) -> bool:
        """Whether this can hardly be anything but RTP."""
        return (
            self.packets >= MIN_STREAM_PACKETS
            and self.rising_steps >= MIN_RISING_SHARE * (self.packets - 1)
            and len(self.payload_types) <= 4
        )


class RtpStreamFinder:
    """Sort datagrams into RTP streams."""

    def __init__(self) -> None:
        self._streams: OrderedDict[tuple[Endpoint, Endpoint, int], RtpStreamSeen] = OrderedDict()
        self._kept_bytes = 0

    @property
    def streams(self) -> list[RtpStreamSeen]:
        """The streams that are plausible so far, in order of their first packet."""
        found = [stream for stream in self._streams.values() if stream.plausible]
        return sorted(found, key=lambda stream: stream.first_frame)

    def receive_datagram(self, event: DatagramSeen) -> None:
        """Take a datagram that is not SIP."""
        octets = event.payload
        if len(octets) < FIXED_HEADER_BYTES or octets[0] >> 6 != 2 or is_rtcp(octets):
            return
        # No more than the header: what follows may be encrypted, its padding count too.
        second, sequence_number, ssrc = _HEADER.unpack_from(octets)
        key = (event.source, event.destination, ssrc)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = RtpStreamSeen(*key, event.frame, event.at_s)
            if len(self._streams) > MAX_STREAMS:
                _, forgotten = self._streams.popitem(last=False)
                self._kept_bytes -= sum(map(len, forgotten.kept))
        else:
            self._streams.move_to_end(key)
            step = (sequence_number - stream.last_sequence_number) & 0xFFFF
            stream.rising_steps += 1 <= step <= MAX_STEP
        stream.last_sequence_number = sequence_number
        stream.last_frame, stream.last_at_s = event.frame, event.at_s
        stream.packets += 1
        payload_type = second & 0x7F
        stream.payload_types[payload_type] = stream.payload_types.get(payload_type, 0) + 1
        if self._kept_bytes + len(octets) <= MAX_KEPT_BYTES:
            stream.kept.append(octets)
            self._kept_bytes += len(octets)
