"""Pure tones: made for tests and signals, measured to prove that sound came through."""

import math
from array import array

from .frame import FULL_SCALE, LEVEL_FLOOR_DBOV, pcm_of, samples_of


def tone(
    frequency_hz: float, duration_ms: float, *, rate_hz: int = 8000, level_dbov: float = -10.0
) -> bytes:
    """Return a sine as PCM.

    Args:
        frequency_hz: Under half of ``rate_hz``.
        duration_ms: Rounded down to whole samples.
        rate_hz: Of the samples.
        level_dbov: RMS; at most -3.01, where a sine touches full scale.

    """
    peak = min(FULL_SCALE, FULL_SCALE * math.sqrt(2) * 10 ** (level_dbov / 20))
    step = 2 * math.pi * frequency_hz / rate_hz
    count = int(duration_ms * rate_hz / 1000)
    return pcm_of(array("h", [round(peak * math.sin(step * i)) for i in range(count)]))


def tone_level_dbov(pcm: bytes, frequency_hz: float, *, rate_hz: int = 8000) -> float:
    """RMS level of one frequency in PCM (the Goertzel algorithm)."""
    samples = samples_of(pcm)
    coefficient = 2 * math.cos(2 * math.pi * frequency_hz / rate_hz)
    before = latest = 0.0
    for sample in samples:
        before, latest = latest, sample + coefficient * latest - before
    power = before * before + latest * latest - coefficient * before * latest
    mean_square = 2 * max(power, 0.0) / max(1, len(samples)) ** 2
    if mean_square < FULL_SCALE**2 * 10 ** (LEVEL_FLOOR_DBOV / 10):
        return LEVEL_FLOOR_DBOV
    return 10 * math.log10(mean_square / FULL_SCALE**2)
