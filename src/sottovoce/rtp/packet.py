"""RTP packets.  RFC 3550 section 5.1.

::

     0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |           synchronization source (SSRC) identifier            |
    |            contributing source (CSRC) identifiers  (CC times) |
    | extension: profile (16)       | length in words (16) | words  |
    | payload ...                          | padding, its count (8) |
"""

import struct
from typing import NamedTuple

from ..errors import ParseError

FIXED_HEADER_BYTES = 12
CSRC_LIMIT = 15  # CC has four bits

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_VERSION_2 = 0x80
_PADDING, _EXTENDED, _MARKER = 0x20, 0x10, 0x80


# A named tuple, not a frozen dataclass: it is made once a packet, in a third of the time.
class RtpPacket(NamedTuple):
    """One RTP packet in clear."""

    payload_type: int
    "0 .. 127."

    sequence_number: int
    "16 bits, wraps."

    timestamp: int
    "32 bits, in ticks of the payload type's clock, wraps."

    ssrc: int
    "32 bits."

    payload: bytes
    "Without padding."

    marker: bool = False
    "For audio: the first packet after a silence (RFC 3551 section 4.1)."

    csrc: tuple[int, ...] = ()
    "At most 15."

    extension: tuple[int, bytes] | None = None
    "The profile's 16 bits and a multiple of four octets."

    padding_bytes: int = 0
    "How many octets of padding, its count included; 0 to 255."

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Read one datagram.

        Raises:
            ParseError: Not version 2, or a part reaches beyond the end.

        """
        size = len(data)
        if size < FIXED_HEADER_BYTES:
            raise ParseError(f"RTP: {size} octets are under the {FIXED_HEADER_BYTES} of a header")
        first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
        marker = second >= _MARKER
        if first == _VERSION_2:  # no padding, no extension, no CSRC: nearly every packet
            return cls(
                second & 0x7F, sequence_number, timestamp, ssrc, data[FIXED_HEADER_BYTES:], marker
            )
        if first >> 6 != 2:
            raise ParseError(f"RTP: version {first >> 6}, expected 2")
        start = FIXED_HEADER_BYTES + 4 * (first & 0x0F)
        if start > size:
            raise ParseError(f"RTP: {first & 0x0F} CSRC do not fit in {size} octets")
        csrc = struct.unpack_from(f"!{first & 0x0F}I", data, FIXED_HEADER_BYTES)
        extension = None
        if first & _EXTENDED:
            if start + 4 > size:
                raise ParseError(f"RTP: the extension header at octet {start} is cut off")
            profile, words = _EXTENSION.unpack_from(data, start)
            start += 4
            extension = (profile, data[start : start + 4 * words])
            start += 4 * words
            if start > size:
                raise ParseError(f"RTP: extension of {words} words does not fit in {size} octets")
        padding_bytes = 0
        if first & _PADDING:
            padding_bytes = data[-1]
            if not 0 < padding_bytes <= size - start:
                raise ParseError(f"RTP: {padding_bytes} octets of padding in {size - start}")
        return cls(
            second & 0x7F,
            sequence_number,
            timestamp,
            ssrc,
            data[start : size - padding_bytes],
            marker,
            csrc,
            extension,
            padding_bytes,
        )

    def serialize(self) -> bytes:
        """Return the datagram.

        Raises:
            struct.error: A number of ours does not fit its field.
            ValueError: More than 15 CSRC, or an extension that is not whole words.

        """
        second = self.payload_type | (_MARKER if self.marker else 0)
        if not (self.csrc or self.extension or self.padding_bytes):
            header = _HEADER.pack(
                _VERSION_2, second, self.sequence_number, self.timestamp, self.ssrc
            )
            return header + self.payload
        if len(self.csrc) > CSRC_LIMIT:
            raise ValueError(f"{len(self.csrc)} CSRC are over {CSRC_LIMIT}")
        first = _VERSION_2 | len(self.csrc)
        middle = struct.pack(f"!{len(self.csrc)}I", *self.csrc)
        if self.extension is not None:
            profile, words = self.extension
            if len(words) % 4:
                raise ValueError(f"an extension of {len(words)} octets is not whole words")
            first |= _EXTENDED
            middle += _EXTENSION.pack(profile, len(words) // 4) + words
        end = b""
        if self.padding_bytes:
            first |= _PADDING
            end = bytes(self.padding_bytes - 1) + bytes((self.padding_bytes,))
        header = _HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        return header + middle + self.payload + end


def is_rtcp(data: bytes) -> bool:
    """Tell RTCP from RTP on one port: packet types 192 to 223.  RFC 5761 section 4."""
    return len(data) > 1 and 192 <= data[1] <= 223
