"""The two ends of the conversation, as they are spoken and as they are compared."""

from importlib import resources

from ..media.wav import read_wav

RATE_HZ = 8000

#: Who says what; each name is a file of this package.
SPEAKERS = ("alice", "bob")


def clip_wav(speaker: str) -> bytes:
    """Return a speaker's WAV file."""
    return resources.files(__package__).joinpath(f"{speaker}.wav").read_bytes()


def clip_pcm(speaker: str) -> bytes:
    """Return a speaker's words as 16-bit PCM at RATE_HZ."""
    return read_wav(clip_wav(speaker), name=f"{speaker}.wav", rate_hz=RATE_HZ)
