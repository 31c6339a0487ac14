"""A-law and mu-law.  ITU-T G.711, by tables that are built here from its definition.

Both laws cut the magnitude into eight segments of sixteen equal steps; the step doubles
from segment to segment.  An octet is ``sign | segment (3 bits) | step (4 bits)``, sent
inverted: all bits but the sign's in mu-law, every other bit in A-law.
"""

import sys
from operator import itemgetter

_PCM_VALUES = 1 << 16

# mu-law works on 14 bits with a bias that makes all segments alike, A-law on 13 bits.
_MU_BIAS = 33
_MU_SHIFT, _A_SHIFT = 2, 3


def _mu_law_codes() -> bytes:
    """Return the code (positive, not inverted) of each biased magnitude, 32 .. 8191."""
    return b"".join(
        bytes((segment << 4 | step,)) * (2 << segment) for segment in range(8) for step in range(16)
    )


def _a_law_codes() -> bytes:
    """Return the code (positive, not inverted) of each magnitude, 0 .. 4095."""
    return b"".join(
        bytes((segment << 4 | step,)) * (1 << max(segment, 1))
        for segment in range(8)
        for step in range(16)
    )


def _mu_law_encoder() -> bytes:
    codes = _mu_law_codes()

    def code(value: int) -> int:
        magnitude = min(abs(value) + _MU_BIAS, 8191)
        return codes[magnitude - 32] ^ (0xFF if value >= 0 else 0x7F)

    return _by_pcm(bytes(code(value) for value in _linear(_MU_SHIFT)), _MU_SHIFT)


def _a_law_encoder() -> bytes:
    codes = _a_law_codes()

    def code(value: int) -> int:
        return codes[value] ^ 0xD5 if value >= 0 else codes[-value - 1] ^ 0x55

    return _by_pcm(bytes(code(value) for value in _linear(_A_SHIFT)), _A_SHIFT)


def _linear(shift: int) -> list[int]:
    """Return all values of a shorter sample, in the order of unsigned 16-bit PCM."""
    half = 1 << (15 - shift)
    return [*range(half), *range(-half, 0)]


def _by_pcm(codes: bytes, shift: int) -> bytes:
    """Spread a table over the 65,536 values of 16-bit PCM, as this machine reads them."""
    table = bytearray(_PCM_VALUES)
    for low_bits in range(1 << shift):
        table[low_bits :: 1 << shift] = codes
    if sys.byteorder == "big":
        return bytes(table[value >> 8 | (value & 0xFF) << 8] for value in range(_PCM_VALUES))
    return bytes(table)


def _mu_law_value(octet: int) -> int:
    code = octet ^ 0xFF
    magnitude = (((code & 0x0F) << 1 | 0x21) << (code >> 4 & 7)) - _MU_BIAS
    return (-magnitude if code & 0x80 else magnitude) << _MU_SHIFT


def _a_law_value(octet: int) -> int:
    code = octet ^ 0x55
    segment, step = code >> 4 & 7, code & 0x0F
    # In half steps, so that each code stands for the middle of what it covers.
    magnitude = step << 1 | 1 if not segment else (step << 1 | 0x21) << (segment - 1)
    return (magnitude if code & 0x80 else -magnitude) << _A_SHIFT


def _octets(values: list[int]) -> tuple[bytes, bytes]:
    """Split samples into translation tables for their low and their high octets."""
    return bytes(value & 0xFF for value in values), bytes(value >> 8 & 0xFF for value in values)


_MU_LAW_CODES = _mu_law_encoder()
_A_LAW_CODES = _a_law_encoder()
_MU_LAW_LOW, _MU_LAW_HIGH = _octets([_mu_law_value(octet) for octet in range(256)])
_A_LAW_LOW, _A_LAW_HIGH = _octets([_a_law_value(octet) for octet in range(256)])


def encode_mu_law(pcm: bytes) -> bytes:
    """Return one octet a sample (5 us for 160 samples)."""
    return _encode(pcm, _MU_LAW_CODES)


def encode_a_law(pcm: bytes) -> bytes:
    """Return one octet a sample (5 us for 160 samples)."""
    return _encode(pcm, _A_LAW_CODES)


def decode_mu_law(payload: bytes) -> bytes:
    """Return 16-bit PCM (1 us for 160 samples)."""
    pcm = bytearray(2 * len(payload))
    pcm[0::2] = payload.translate(_MU_LAW_LOW)
    pcm[1::2] = payload.translate(_MU_LAW_HIGH)
    return bytes(pcm)


def decode_a_law(payload: bytes) -> bytes:
    """Return 16-bit PCM (1 us for 160 samples)."""
    pcm = bytearray(2 * len(payload))
    pcm[0::2] = payload.translate(_A_LAW_LOW)
    pcm[1::2] = payload.translate(_A_LAW_HIGH)
    return bytes(pcm)


def _encode(pcm: bytes, codes: bytes) -> bytes:
    values = memoryview(pcm).cast("H")
    if len(values) < 2:  # itemgetter returns a bare item for one, and wants at least one
        return bytes(codes[value] for value in values)
    return bytes(itemgetter(*values)(codes))
