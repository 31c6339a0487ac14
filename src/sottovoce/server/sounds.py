"""What the built-in numbers play, made of sines at start.  PCM of 8000 Hz."""

import math
from array import array
from functools import cache

from ..media.frame import pcm_of
from ..media.tone import tone

RATE_HZ = 8000

#: A slow tune of our own: MIDI note numbers, each an eighth of a second apart in an arpeggio.
_CHORDS = ((57, 60, 64, 69), (53, 57, 60, 65), (48, 55, 60, 64), (55, 59, 62, 67))
_NOTE_MS = 240
_PEAK = 5200  # -16 dBov: quieter than a voice


@cache
def music() -> bytes:
    """One round of the tune, about eight seconds, which ends where it begins."""
    sound = array("h")
    for chord in _CHORDS:
        for note in (*chord, chord[2], *reversed(chord[1:]), chord[2]):
            sound.extend(_plucked(440 * 2 ** ((note - 69) / 12)))
    return pcm_of(sound)


def _plucked(frequency_hz: float) -> list[int]:
    """One note that fades like a string, with a softer octave above."""
    count = RATE_HZ * _NOTE_MS // 1000
    step = 2 * math.pi * frequency_hz / RATE_HZ
    return [
        round(
            _PEAK
            * math.exp(-3 * i / count)
            * min(1.0, i / 40)  # no click
            * (math.sin(step * i) + 0.3 * math.sin(2 * step * i))
        )
        for i in range(count)
    ]


def time_signal(second: int) -> bytes:
    """One second of the speaking clock without a voice: a pip each second, long on the minute.

    Args:
        second: Of the minute, 0 to 59; the five before the minute are doubled.

    """
    if second == 0:
        pips = tone(1000, 500)
    elif second >= 55:
        pips = tone(1000, 100) + _silence(100) + tone(1000, 100)
    else:
        pips = tone(1000, 100)
    return (pips + _silence(1000))[: RATE_HZ * 2]


def _silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1000)
