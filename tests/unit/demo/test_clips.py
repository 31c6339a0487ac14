"""The clips that are shipped in the package."""

import pytest

from sottovoce.demo.clips import RATE_HZ, SPEAKERS, clip_pcm, clip_wav
from sottovoce.trace.audio_evidence import correlation, looks_like_speech


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_each_clip_is_some_seconds_of_speech(speaker: str) -> None:
    pcm = clip_pcm(speaker)
    assert 5 < len(pcm) / 2 / RATE_HZ < 8
    assert looks_like_speech(pcm, RATE_HZ)


def test_the_clips_are_small_and_differ() -> None:
    assert sum(len(clip_wav(speaker)) for speaker in SPEAKERS) < 250_000
    assert correlation(clip_pcm("alice"), clip_pcm("bob"), RATE_HZ) < 0.2
