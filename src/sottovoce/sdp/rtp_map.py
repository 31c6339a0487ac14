"""What an RTP payload type stands for.  RFC 8866 section 6.6, RFC 3551 section 6."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

TELEPHONE_EVENT = "telephone-event"

MAX_PAYLOAD_TYPE = 127
DYNAMIC_PAYLOAD_TYPES = range(96, 128)  # RFC 3551 section 6

#: ``<payload type> <name>/<clock rate>[/<channels>]``; no rate of today needs more digits.
_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]{1,64})/([0-9]{1,6})(?:/([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True)
class RtpCodec:
    """A codec and the payload type that stands for it in one description."""

    name: str
    "Encoding name as in ``a=rtpmap``; compared without regard to case."

    clock_rate_hz: int
    "Rate of the RTP timestamp, which for G722 is not that of the samples."

    channels: int
    payload_type: int

    fmtp: str = ""
    "Value of ``a=fmtp`` without the payload type, verbatim."

    @property
    def identity(self) -> tuple[str, int, int]:
        """What two descriptions compare to see whether they mean the same codec."""
        return self.name.lower(), self.clock_rate_hz, self.channels

    @property
    def rtpmap(self) -> str:
        """Value of the ``a=rtpmap`` line."""
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_rate_hz}{channels}"


#: The audio half of RFC 3551 table 4: known without an ``a=rtpmap`` line.
STATIC_CODECS = {
    codec.payload_type: codec
    for codec in (
        RtpCodec("PCMU", 8000, 1, 0),
        RtpCodec("GSM", 8000, 1, 3),
        RtpCodec("G723", 8000, 1, 4),
        RtpCodec("DVI4", 8000, 1, 5),
        RtpCodec("DVI4", 16000, 1, 6),
        RtpCodec("LPC", 8000, 1, 7),
        RtpCodec("PCMA", 8000, 1, 8),
        RtpCodec("G722", 8000, 1, 9),
        RtpCodec("L16", 44100, 2, 10),
        RtpCodec("L16", 44100, 1, 11),
        RtpCodec("QCELP", 8000, 1, 12),
        RtpCodec("CN", 8000, 1, 13),
        RtpCodec("MPA", 90000, 1, 14),
        RtpCodec("G728", 8000, 1, 15),
        RtpCodec("DVI4", 11025, 1, 16),
        RtpCodec("DVI4", 22050, 1, 17),
        RtpCodec("G729", 8000, 1, 18),
    )
}


def codecs_of(
    formats: Iterable[str], rtpmaps: Iterable[str], fmtps: Iterable[str]
) -> tuple[RtpCodec, ...]:
    """Return the codec of each format whose meaning is known, in the order of the formats.

    Formats that are no payload type, stand twice, or have neither a readable
    ``a=rtpmap`` line nor a static meaning are left out: an unknown codec must not
    spoil the known ones beside it.
    """
    mapped: dict[int, RtpCodec] = {}
    for text in rtpmaps:
        codec = _parse_rtpmap(text)
        if codec is not None:
            mapped.setdefault(codec.payload_type, codec)
    parameters: dict[str, str] = {}
    for text in fmtps:
        payload_type, _, value = text.partition(" ")
        parameters.setdefault(payload_type, value.strip(" "))
    found: dict[int, RtpCodec] = {}
    for text in formats:
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1
        codec = mapped.get(number) or STATIC_CODECS.get(number)
        if codec is not None and number not in found:
            fmtp = parameters.get(text, "")
            found[number] = RtpCodec(codec.name, codec.clock_rate_hz, codec.channels, number, fmtp)
    return tuple(found.values())


def _parse_rtpmap(text: str) -> RtpCodec | None:
    match = _RTPMAP.fullmatch(text)
    if match is None:
        return None
    payload_type, clock_rate_hz, channels = int(match[1]), int(match[3]), int(match[4] or 1)
    if payload_type > MAX_PAYLOAD_TYPE or clock_rate_hz == 0 or channels == 0:
        return None
    return RtpCodec(match[2], clock_rate_hz, channels, payload_type)
