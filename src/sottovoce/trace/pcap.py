"""The classic pcap file: reading in pieces of any size, writing.

draft-ietf-opsawg-pcap: a 24-octet file header, then for each packet a 16-octet record
header and the packet's first octets.  Both byte orders, and times in micro- or
nanoseconds.  The caller opens files; here are only their bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ..errors import ParseError

#: libpcap refuses longer packets too (MAXIMUM_SNAPLEN), so a wrong length field is found
#: at once instead of after the rest of the file was read as one packet.
MAX_PACKET_BYTES = 262_144

_FILE_HEADER_BYTES = 24
_RECORD_HEADER_BYTES = 16

#: First four octets -> (byte order, ticks a second).
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"


class LinkType(IntEnum):
    """What stands before the IP header (tcpdump.org/linktypes.html), as far as we read it."""

    NULL = 0
    ETHERNET = 1
    RAW_BSD = 12
    RAW_OPENBSD = 14
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """One packet as it was on the link."""

    frame: int
    "Number in its capture, from 1."

    at_s: float
    "Seconds since 1970; a float keeps about a quarter of a microsecond."

    link_type: int
    "A LinkType, or another number of that registry."

    octets: bytes
    "What was captured, perhaps less than what was sent."

    sent_bytes: int
    "Length on the link."


class PcapReader:
    """Turn the bytes of a pcap file into packets, holding one packet at most.

    Feed with :meth:`receive_bytes`, take with :meth:`next_packet` until None, and call
    :meth:`receive_end` at the end of the file.  Errors name the offset in the file.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._offset_bytes = 0  # of _pending[0] in the file
        self._frames = 0
        self._link_type = -1
        self._record = struct.Struct("<IIII")
        self._ticks_per_s = 1

    def receive_bytes(self, octets: bytes) -> None:
        """Append the next bytes of the file."""
        self._pending += octets

    def receive_end(self) -> None:
        """Say that the file ends here.

        Raises:
            ParseError: The file header or the last packet is not whole.

        """
        if self._link_type < 0:
            raise ParseError(
                f"pcap: {len(self._pending)} bytes, expected a {_FILE_HEADER_BYTES}-byte header"
            )
        if self._pending:
            raise ParseError(
                f"pcap: packet {self._frames + 1} at byte {self._offset_bytes} is cut off after "
                f"{len(self._pending)} bytes"
            )

    def next_packet(self) -> CapturedPacket | None:
        """Hand over the next whole packet, or None when more bytes are needed.

        Raises:
            ParseError: Not a pcap file, or a length field that cannot be true.

        """
        if self._link_type < 0 and not self._read_file_header():
            return None
        if len(self._pending) < _RECORD_HEADER_BYTES:
            return None
        seconds, ticks, captured_bytes, sent_bytes = self._record.unpack_from(self._pending)
        if captured_bytes > MAX_PACKET_BYTES:
            raise ParseError(
                f"pcap: packet {self._frames + 1} at byte {self._offset_bytes} claims "
                f"{captured_bytes} bytes, over {MAX_PACKET_BYTES}"
            )
        end = _RECORD_HEADER_BYTES + captured_bytes
        if len(self._pending) < end:
            return None
        octets = bytes(self._pending[_RECORD_HEADER_BYTES:end])
        del self._pending[:end]
        self._offset_bytes += end
        self._frames += 1
        at_s = (seconds * self._ticks_per_s + ticks) / self._ticks_per_s  # rounded once
        return CapturedPacket(self._frames, at_s, self._link_type, octets, sent_bytes)

    def _read_file_header(self) -> bool:
        if bytes(self._pending[:4]) == _PCAPNG_MAGIC:
            raise ParseError("pcap: this is pcapng; save it as pcap (editcap -F pcap)")
        if len(self._pending) < _FILE_HEADER_BYTES:
            return False
        magic = bytes(self._pending[:4])
        if magic not in _MAGIC:
            raise ParseError(f"pcap: file starts with {magic.hex()}, which no pcap file does")
        order, self._ticks_per_s = _MAGIC[magic]
        self._record = struct.Struct(order + "IIII")
        (link_type,) = struct.unpack_from(order + "I", self._pending, 20)
        self._link_type = link_type & 0xFFFF  # above it: length of frame check sequences
        del self._pending[:_FILE_HEADER_BYTES]
        self._offset_bytes = _FILE_HEADER_BYTES
        return True


def read_pcap(octets: bytes) -> Iterator[CapturedPacket]:
    """Read a whole file held in memory.

    Raises:
        ParseError: After the packets that could be read.

    """
    reader = PcapReader()
    reader.receive_bytes(octets)
    while (packet := reader.next_packet()) is not None:
        yield packet
    reader.receive_end()


def pcap_file_header(link_type: LinkType = LinkType.ETHERNET) -> bytes:
    """Start a file with times in microseconds."""
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, MAX_PACKET_BYTES, link_type)


def pcap_record(packet: CapturedPacket) -> bytes:
    """Write one packet; the caller keeps to one link type a file."""
    seconds, ticks = divmod(round(packet.at_s * 1_000_000), 1_000_000)
    return (
        struct.pack("<IIII", seconds, ticks, len(packet.octets), packet.sent_bytes) + packet.octets
    )
