"""16-bit PCM frames."""

import pytest

from sottovoce.media.frame import (
    crossfaded,
    duration_ms,
    faded,
    frame_bytes,
    level_dbov,
    pcm_of,
    samples_of,
)
from sottovoce.media.tone import tone, tone_level_dbov


def test_frame_is_20_ms_of_16_bit_samples() -> None:
    assert frame_bytes(8000) == 320
    assert frame_bytes(16_000) == 640
    assert duration_ms(bytes(320), 8000) == 20


def test_samples_are_little_endian_on_any_machine() -> None:
    assert list(samples_of(b"\x01\x00\x00\x80\xff")) == [1, -32768]
    assert pcm_of(samples_of(b"\x01\x02\x03\x04")) == b"\x01\x02\x03\x04"


def test_level_of_silence_square_and_sine() -> None:
    assert level_dbov(bytes(320)) == -127
    assert level_dbov(b"") == -127
    assert level_dbov(b"\xff\x7f" * 160) == 0
    assert level_dbov(b"\x00\x80" * 160) == 0  # one step over full scale is still full
    assert level_dbov(tone(1000, 100, level_dbov=-20)) == pytest.approx(-20, abs=0.05)


def test_fade_runs_from_one_factor_to_the_other() -> None:
    samples = samples_of(faded(b"\x10\x27" * 100, 1.0, 0.0))

    assert samples[0] == 10_000
    assert 0 < samples[99] < 200
    assert list(samples) == sorted(samples, reverse=True)


def test_crossfade_begins_with_one_sound_and_ends_with_the_other() -> None:
    samples = samples_of(crossfaded(b"\x10\x27" * 100, b"\xf0\xd8" * 100))

    assert samples[0] == 10_000
    assert samples[99] < -9_000


def test_tone_is_found_at_its_frequency_and_nowhere_else() -> None:
    sound = tone(440, 500, level_dbov=-12)

    assert len(sound) == 8000
    assert tone_level_dbov(sound, 440) == pytest.approx(-12, abs=0.1)
    assert tone_level_dbov(sound, 1000) < -45
    assert tone_level_dbov(bytes(8000), 440) == -127
