"""Is this speech, is this noise, is this the same recording?  Measured, never assumed.

PCM is 16-bit little-endian, one channel.  The thresholds stand between what was
measured on speech on the one side and, on the other, tones, silence, noise and random
bytes decoded as G.711 (tests/unit/trace/test_audio_evidence.py).
"""

import numpy as np
import numpy.typing as npt

_Samples = npt.NDArray[np.float64]

#: Under this many octets a histogram of 256 values says nothing.
MIN_OCTETS_TO_JUDGE = 1600

#: Chi-square of ciphertext has mean 255 and standard deviation 22.6, so one in a million
#: ciphertexts is above this; 0.2 s of G.711 with anything to hear in it is over 2000.
MAX_CHI_SQUARE_OF_RANDOM = 370.0

_FRAME_S = 0.032
_MIN_SPEECH_S = 0.5
#: Longest stretch looked at: enough for a verdict, and bounds time and memory.
MAX_JUDGED_S = 120.0


def chi_square(octets: bytes) -> float:
    """How far octets are from evenly spread: about 255 for ciphertext, whatever its length.

    Returns 0 for no octets.
    """
    if not octets:
        return 0.0
    counts = np.bincount(np.frombuffer(octets, np.uint8), minlength=256)
    expected = len(octets) / 256
    return float(((counts - expected) ** 2).sum() / expected)


def looks_encrypted(octets: bytes) -> bool:
    """Say whether octets cannot be told from random ones: encrypted, or compressed.

    Uncompressed audio is never like that: small samples are more frequent than large
    ones, and G.711 codes them accordingly.  Too few octets count as encrypted, so that
    nothing is claimed without evidence.
    """
    return len(octets) < MIN_OCTETS_TO_JUDGE or chi_square(octets) < MAX_CHI_SQUARE_OF_RANDOM


def spectral_flatness(pcm: bytes, rate_hz: int) -> float:
    """Median over the louder frames of geometric by arithmetic mean of the power spectrum.

    About 0.56 for white noise (the spectrum of one frame of noise is not smooth), under
    0.1 for voiced speech, near 0 for tones.  0 for silence.
    """
    power = _power_spectra(_samples(pcm, rate_hz), rate_hz)
    if not len(power):
        return 0.0
    return float(np.median(_flatness(power)))


def looks_like_speech(pcm: bytes, rate_hz: int) -> bool:
    """Say whether PCM holds somebody speaking.

    Speech is loud and quiet by turns; most of its loud frames are voiced, between noise
    and pure tone; and their tone colour changes from one sound to the next.  Noise fails
    the first two, a steady tone the first, keypad and call progress tones the last two.
    """
    samples = _samples(pcm, rate_hz)
    if len(samples) < _MIN_SPEECH_S * rate_hz:
        return False
    frames = _frames(samples, rate_hz)
    level_db = 10 * np.log10((frames**2).mean(axis=1) + 1.0)
    loud_db = np.percentile(level_db, 95)
    if loud_db < 30.0:  # an amplitude of 32 in 32768: silence
        return False
    if loud_db - np.percentile(level_db, 10) < 12.0:
        return False
    power = _power_spectra(samples, rate_hz)
    tonal = _flatness(power) < 0.3
    if len(power) < 8 or tonal.mean() < 0.5:
        return False
    return bool(np.median(_peak_share(power)) < 0.9) and _colours(power) > 0.15


def correlation(original: bytes, recovered: bytes, rate_hz: int) -> float:
    """How alike two recordings are, wherever the one starts in the other.

    The highest normalised cross-correlation over all shifts: 1 for the same recording at
    any volume, near 0 for unrelated ones.  A part that is missing in ``recovered`` counts
    against it; what was recorded before and after does not.

    Args:
        original: What was said.
        recovered: What was made of it elsewhere, at the same rate.
        rate_hz: Sample rate; only the first MAX_JUDGED_S are looked at.

    """
    first, second = _samples(original, rate_hz), _samples(recovered, rate_hz)
    if not len(first) or not len(second):
        return 0.0
    size = 1 << (len(first) + len(second) - 1).bit_length()
    product = np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size)
    at_shift = np.fft.irfft(product, size)
    shift = int(np.argmax(at_shift))
    best = float(at_shift[shift])
    if shift > size // 2 and shift >= len(second):
        shift -= size  # recovered starts later than original
    overlap = second[max(0, shift) : max(0, shift + len(first))]
    scale = float(np.sqrt((first**2).sum() * (overlap**2).sum()))
    return max(0.0, best / scale) if scale > 0 else 0.0


def _samples(pcm: bytes, rate_hz: int) -> _Samples:
    """As floats around zero, cut to MAX_JUDGED_S."""
    usable = min(len(pcm) // 2, int(MAX_JUDGED_S * rate_hz))
    samples = np.frombuffer(pcm, np.dtype("<i2"), usable).astype(np.float64)
    return samples - samples.mean() if usable else samples


def _frames(samples: _Samples, rate_hz: int) -> _Samples:
    size = int(_FRAME_S * rate_hz)
    return samples[: len(samples) // size * size].reshape(-1, size)


def _power_spectra(samples: _Samples, rate_hz: int) -> _Samples:
    """Power spectra of the louder frames, from 100 Hz up."""
    frames = _frames(samples, rate_hz)
    if not len(frames):
        return frames
    power = (frames**2).mean(axis=1)
    frames = frames[power > max(power.max() / 300, 100.0)]
    window = np.hanning(frames.shape[1]) if len(frames) else np.ones(frames.shape[1])
    spectra: _Samples = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return spectra[:, int(100 * _FRAME_S) :]


def _flatness(power: _Samples) -> _Samples:
    flatness: _Samples = np.exp(np.log(power + 1e-3).mean(axis=1)) / (power.mean(axis=1) + 1e-3)
    return flatness


def _peak_share(power: _Samples) -> _Samples:
    """Share of the six strongest lines: nearly all of one or two tones, two thirds of a voice."""
    share: _Samples = np.sort(power, axis=1)[:, -6:].sum(axis=1) / (power.sum(axis=1) + 1e-3)
    return share


def _colours(power: _Samples) -> float:
    """How much the spectrum's shape differs from frame to frame: 0 never, towards 1 always."""
    bands = np.stack(
        [band.sum(axis=1) for band in np.array_split(np.sqrt(power), 16, axis=1)], axis=1
    )
    bands /= np.linalg.norm(bands, axis=1, keepdims=True) + 1e-9
    mean = bands.mean(axis=0)
    return 1.0 - float(mean @ mean)
