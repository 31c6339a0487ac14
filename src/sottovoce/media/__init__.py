"""Sound: frames, codecs, jitter buffer, sessions, WAV files."""

from .codec import CODECS, PCMA, PCMU, Codec, find_codec
from .frame import FRAME_MS, FRAME_S, frame_bytes, level_dbov
from .sender import RtpStart
from .session import MediaEvent, MediaSession, PacketProtection
from .stream import Address, AudioStream, ByeReceived, DtmfReceived, MediaStatistics
from .tone import tone, tone_level_dbov
from .wav import WavWriter, read_wav

__all__ = [
    "Address",
    "AudioStream",
    "ByeReceived",
    "CODECS",
    "Codec",
    "DtmfReceived",
    "FRAME_MS",
    "FRAME_S",
    "MediaEvent",
    "MediaSession",
    "MediaStatistics",
    "PCMA",
    "PCMU",
    "PacketProtection",
    "RtpStart",
    "WavWriter",
    "find_codec",
    "frame_bytes",
    "level_dbov",
    "read_wav",
    "tone",
    "tone_level_dbov",
]
