"""The codecs a session can use, by encoding name (RFC 3551 section 6)."""

from collections.abc import Callable
from dataclasses import dataclass

from .g711 import decode_a_law, decode_mu_law, encode_a_law, encode_mu_law

Encode = Callable[[bytes], bytes]
Decode = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Codec:
    """One audio codec; mono."""

    name: str
    "Encoding name, as in a=rtpmap."

    clock_rate_hz: int
    "Of RTP timestamps; G.722 counts 8000 though it samples at 16,000 (RFC 3551 4.5.2)."

    rate_hz: int
    "Of the PCM on our side; a whole multiple of the clock rate."

    static_payload_type: int | None
    "RFC 3551 table 4; None for a codec that needs a=rtpmap."

    new_encoder: Callable[[], Encode]
    "Returns a function from one 20 ms frame of PCM to a payload; it may keep state."

    new_decoder: Callable[[], Decode]
    "Returns a function from a payload to PCM; raises only RemoteError."

    bandwidth_bps: float
    "On the wire at 20 ms, with RTP, UDP and IP headers."


PCMU = Codec(
    name="PCMU",
    clock_rate_hz=8000,
    rate_hz=8000,
    static_payload_type=0,
    new_encoder=lambda: encode_mu_law,
    new_decoder=lambda: decode_mu_law,
    bandwidth_bps=80_000,
)
PCMA = Codec(
    name="PCMA",
    clock_rate_hz=8000,
    rate_hz=8000,
    static_payload_type=8,
    new_encoder=lambda: encode_a_law,
    new_decoder=lambda: decode_a_law,
    bandwidth_bps=80_000,
)

CODECS = (PCMU, PCMA)


def find_codec(name: str, clock_rate_hz: int) -> Codec | None:
    """Return the codec of an a=rtpmap line; names have no case (RFC 8866 section 6.6)."""
    for codec in CODECS:
        if codec.name == name.upper() and codec.clock_rate_hz == clock_rate_hz:
            return codec
    return None
