"""Frames of sound: 16-bit little-endian mono PCM, 20 ms each."""

import math
import sys
from array import array

FRAME_MS = 20
FRAME_S = FRAME_MS / 1000
SAMPLE_BYTES = 2
FULL_SCALE = 32767
LEVEL_FLOOR_DBOV = -127.0  # of digital silence, as in RFC 6464


def frame_bytes(rate_hz: int) -> int:
    """Size of one frame."""
    return rate_hz * FRAME_MS // 1000 * SAMPLE_BYTES


def duration_ms(pcm: bytes, rate_hz: int) -> float:
    """Return how long a stretch of PCM plays."""
    return len(pcm) / SAMPLE_BYTES / rate_hz * 1000


def level_dbov(pcm: bytes) -> float:
    """RMS level: 0 for a full-scale square wave, -3 for a full-scale sine, never above 0."""
    samples = samples_of(pcm)
    if not samples:
        return LEVEL_FLOOR_DBOV
    mean_square = sum(sample * sample for sample in samples) / len(samples)
    if not mean_square:
        return LEVEL_FLOOR_DBOV
    return min(0.0, max(LEVEL_FLOOR_DBOV, 10 * math.log10(mean_square / FULL_SCALE**2)))


def faded(pcm: bytes, start: float, end: float) -> bytes:
    """Scale PCM by a factor that runs from ``start`` to ``end``, each 0 to 1."""
    samples = samples_of(pcm)
    step = (end - start) / max(1, len(samples))
    return pcm_of(array("h", [int(s * (start + step * i)) for i, s in enumerate(samples)]))


def crossfaded(first: bytes, second: bytes) -> bytes:
    """Fade from one stretch to another of the same length."""
    before, after = samples_of(first), samples_of(second)
    count = len(before)
    return pcm_of(
        array(
            "h",
            [
                (a * (count - i) + b * i) // count
                for i, (a, b) in enumerate(zip(before, after, strict=True))
            ],
        )
    )


def samples_of(pcm: bytes) -> "array[int]":
    """Return the samples; an odd last octet is left out."""
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) & ~1])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def pcm_of(samples: "array[int]") -> bytes:
    """Return samples (array type ``h``) as PCM."""
    if sys.byteorder == "big":
        samples = samples[:]
        samples.byteswap()
    return samples.tobytes()
