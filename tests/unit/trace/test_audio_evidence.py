"""What is speech, what is noise, what is the same recording: measured on both sides."""

import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from sottovoce.media.g711 import decode_a_law, decode_mu_law, encode_a_law, encode_mu_law
from sottovoce.trace.audio_evidence import (
    chi_square,
    correlation,
    looks_encrypted,
    looks_like_speech,
    spectral_flatness,
)

RATE_HZ = 8000
SECONDS = 6
T = np.arange(SECONDS * RATE_HZ) / RATE_HZ
CODECS = {"mu-law": (encode_mu_law, decode_mu_law), "A-law": (encode_a_law, decode_a_law)}


def pcm(samples: npt.NDArray[np.float64]) -> bytes:
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def noise(amplitude: float) -> npt.NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=len(T)) * amplitude


def tone(frequency_hz: float) -> npt.NDArray[np.float64]:
    wave: npt.NDArray[np.float64] = np.sin(2 * np.pi * frequency_hz * T)
    return wave


def key_presses() -> npt.NDArray[np.float64]:
    """All different, 0.2 s on and 0.2 s off."""
    low, high = (697, 770, 852, 941), (1209, 1336, 1477)
    sound = np.zeros(len(T))
    for number in range(15):
        on = (number * 0.4 <= T) & (number * 0.4 + 0.2 > T)
        sound += 5000 * on * (tone(low[number % 4]) + tone(high[number % 3]))
    return sound


NOT_SPEECH: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "silence": lambda: bytes(2 * len(T)),
    "hiss": lambda: pcm(noise(20)),
    "white noise": lambda: pcm(noise(3000)),
    "bursts of noise": lambda: pcm(noise(3000) * (T % 0.4 < 0.2)),
    "a tone": lambda: pcm(8000 * tone(440)),
    "a sweep": lambda: pcm(8000 * np.sin(2 * np.pi * (300 + 200 * T) * T)),
    "ringing": lambda: pcm(8000 * tone(425) * (T % 2 < 1)),
    "key presses": lambda: pcm(key_presses()),
    "random mu-law": lambda: decode_mu_law(random.Random(2).randbytes(len(T))),
    "random A-law": lambda: decode_a_law(random.Random(2).randbytes(len(T))),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
def test_what_is_not_speech_is_not_taken_for_it(name: str) -> None:
    assert not looks_like_speech(NOT_SPEECH[name](), RATE_HZ)


@pytest.mark.parametrize("law", CODECS)
def test_both_voices_are_speech_before_and_after_g711(
    law: str, alice_pcm: bytes, bob_pcm: bytes
) -> None:
    encode, decode = CODECS[law]
    for voice in (alice_pcm, bob_pcm):
        assert looks_like_speech(voice, RATE_HZ)
        assert looks_like_speech(decode(encode(voice)), RATE_HZ)
        quiet = (np.frombuffer(voice, "<i2") // 20).astype("<i2").tobytes()
        assert looks_like_speech(quiet, RATE_HZ)


def test_speech_on_a_noisy_line_is_speech(alice_pcm: bytes) -> None:
    voice = np.frombuffer(alice_pcm, "<i2").astype(float)
    hiss = np.random.default_rng(3).normal(size=len(voice)) * voice.std() / 10  # 20 dB under it
    assert looks_like_speech(pcm(voice + hiss), RATE_HZ)


@pytest.mark.parametrize("law", CODECS)
@pytest.mark.parametrize("octets", [1600, 8000, 50_000])
def test_no_second_of_g711_looks_encrypted(law: str, octets: int, alice_pcm: bytes) -> None:
    encode, _ = CODECS[law]
    for sound in (
        alice_pcm,
        *(make() for name, make in NOT_SPEECH.items() if "random" not in name),
    ):
        coded = encode(sound)
        for start in range(0, len(coded) - octets + 1, octets):
            assert not looks_encrypted(coded[start : start + octets])


def test_random_octets_look_encrypted_at_every_length() -> None:
    """Not one of 600 samples is taken for audio; their mean is what theory says."""
    source = random.Random(4)
    samples = [source.randbytes(size) for size in (1600, 8000, 60_000) for _ in range(200)]
    assert all(map(looks_encrypted, samples))
    assert np.mean([chi_square(sample) for sample in samples]) == pytest.approx(255, abs=5)


def test_too_few_octets_are_not_taken_for_audio() -> None:
    assert looks_encrypted(b"")
    assert looks_encrypted(bytes(1599))
    assert not looks_encrypted(bytes(1600))


def test_flatness_tells_noise_from_voice_and_tone(alice_pcm: bytes) -> None:
    assert spectral_flatness(pcm(noise(3000)), RATE_HZ) == pytest.approx(0.56, abs=0.03)
    assert spectral_flatness(NOT_SPEECH["random mu-law"](), RATE_HZ) > 0.5
    assert spectral_flatness(alice_pcm, RATE_HZ) < 0.1
    assert spectral_flatness(pcm(8000 * tone(440)), RATE_HZ) < 0.01
    assert spectral_flatness(b"", RATE_HZ) == 0.0


@pytest.mark.parametrize("shift", [-16_000, -801, -1, 0, 1, 1234, 40_000])
def test_the_same_recording_correlates_wherever_it_starts(shift: int, alice_pcm: bytes) -> None:
    """The clip's first 0.1 s and last 2 s hold little: cutting 2 s off its start costs most."""
    moved = bytes(2 * shift) + alice_pcm if shift > 0 else alice_pcm[-2 * shift :]
    value = correlation(alice_pcm, decode_mu_law(encode_mu_law(moved)), RATE_HZ)
    assert value > (0.99 if shift > -1000 else 0.75)


def test_volume_does_not_matter_and_inversion_does(alice_pcm: bytes) -> None:
    voice = np.frombuffer(alice_pcm, "<i2").astype(float)
    assert correlation(alice_pcm, pcm(voice / 7), RATE_HZ) > 0.99
    assert correlation(alice_pcm, pcm(-voice), RATE_HZ) < 0.6


def test_half_a_recording_correlates_by_half(alice_pcm: bytes) -> None:
    half = alice_pcm[: len(alice_pcm) // 4 * 2]
    assert 0.4 < correlation(alice_pcm, half, RATE_HZ) < 0.9


def test_what_is_unrelated_does_not_correlate(alice_pcm: bytes, bob_pcm: bytes) -> None:
    assert correlation(alice_pcm, bob_pcm, RATE_HZ) < 0.2
    for name, make in NOT_SPEECH.items():
        assert correlation(alice_pcm, make(), RATE_HZ) < 0.15, name


def test_odd_bytes_and_nothing_are_taken(alice_pcm: bytes) -> None:
    assert correlation(b"", alice_pcm, RATE_HZ) == 0.0
    assert correlation(alice_pcm, b"\x01", RATE_HZ) == 0.0
    assert correlation(bytes(100), bytes(100), RATE_HZ) == 0.0
    assert not looks_like_speech(b"\x01" * 3, RATE_HZ)
