"""WAV files, as bytes: any rate and common format in, 16-bit PCM out.

A WAV file is a list of chunks ``name (4) | size (4, little-endian) | data | pad to even``;
``fmt `` says how the samples in ``data`` are stored.
"""

import struct
from typing import Any, BinaryIO

from ..errors import SettingsError
from .frame import SAMPLE_BYTES
from .g711 import decode_a_law, decode_mu_law

RATE_MIN_HZ, RATE_MAX_HZ = 2000, 384_000
CHANNELS_LIMIT = 32
HEADER_UPDATE_S = 1.0  # of audio between two corrections of the sizes while recording
FILE_LIMIT_BYTES = 0xFFFF_FFFF - 64  # sizes have 32 bits

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_FORMAT = struct.Struct("<HHIIHH")
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_UNKNOWN_SIZE = 0xFFFF_FFFF
_KNOWN = {  # (format, bits) that are read
    (_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_A_LAW, 8), (_MU_LAW, 8),
}  # fmt: skip


def read_wav(data: bytes, *, name: str, rate_hz: int = 8000) -> bytes:
    """Return the sound of a WAV file as 16-bit mono PCM.

    Takes PCM of 8, 16, 24 and 32 bits, 32-bit float, A-law and mu-law at any rate; several
    channels are mixed down.  A data size that reaches beyond the end, which a recorder
    that was killed leaves behind, is cut to what there is.

    Args:
        data: The whole file.
        name: The file's, for error messages.
        rate_hz: Wanted.

    Raises:
        SettingsError: Not a WAV file, another format, or no sound in it.

    """
    encoding, channels, source_rate_hz, bits, sound = _read_chunks(data, name)
    frame_size = channels * bits // 8
    sound = sound[: len(sound) // frame_size * frame_size]
    if not sound:
        raise SettingsError(f"{name}: no sound in it, expected at least one sample")
    if encoding in (_A_LAW, _MU_LAW):
        sound = decode_a_law(sound) if encoding == _A_LAW else decode_mu_law(sound)
        encoding, bits = _PCM, 16
    if (encoding, channels, bits, source_rate_hz) == (_PCM, 1, 16, rate_hz):
        return sound
    return _convert(sound, encoding, channels, bits, source_rate_hz, rate_hz)


class WavWriter:
    """Write 16-bit mono PCM to a file, sound by sound.

    The sizes in the header are corrected after each second of audio and at the end, so
    that a recording whose process is killed still plays, all but its last second, in any
    program.  A file that cannot seek (a pipe) gets the sizes that mean "unknown".

    Args:
        file: Open for writing, binary, at its start; the caller closes it after
            :meth:`close`.
        rate_hz: Of the samples.

    """

    def __init__(self, file: BinaryIO, *, rate_hz: int = 8000) -> None:
        self._file = file
        self._rate_hz = rate_hz
        self._data_bytes = 0
        self._update_at_bytes = self._update_gap_bytes = int(
            rate_hz * SAMPLE_BYTES * HEADER_UPDATE_S
        )
        self._seekable = file.seekable()
        self._closed = False
        self._file.write(self._header(0 if self._seekable else _UNKNOWN_SIZE))

    @property
    def seconds_written(self) -> float:
        """How much sound the file holds."""
        return self._data_bytes / SAMPLE_BYTES / self._rate_hz

    def write(self, pcm: bytes) -> None:
        """Append sound.

        Raises:
            SettingsError: The file has reached the format's 4 GiB.

        """
        if self._data_bytes + len(pcm) > FILE_LIMIT_BYTES:
            raise SettingsError("a WAV file holds at most 4 GiB: begin another")
        self._file.write(pcm)
        self._data_bytes += len(pcm)
        if self._data_bytes >= self._update_at_bytes:
            self._update_at_bytes = self._data_bytes + self._update_gap_bytes
            self._correct_sizes()

    def close(self) -> None:
        """Correct the sizes; the file itself stays open."""
        if not self._closed:
            self._closed = True
            self._correct_sizes()

    def _correct_sizes(self) -> None:
        if self._seekable:
            self._file.seek(0)
            self._file.write(self._header(self._data_bytes))
            self._file.seek(0, 2)
        self._file.flush()

    def _header(self, data_bytes: int) -> bytes:
        bytes_per_s = self._rate_hz * SAMPLE_BYTES
        return _HEADER.pack(
            b"RIFF", min(data_bytes + _HEADER.size - 8, _UNKNOWN_SIZE), b"WAVE",
            b"fmt ", _FORMAT.size, _PCM, 1, self._rate_hz, bytes_per_s, SAMPLE_BYTES, 16,
            b"data", data_bytes,
        )  # fmt: skip


def _read_chunks(data: bytes, name: str) -> tuple[int, int, int, int, bytes]:
    """Return format, channels, rate, bits and the sound, checked."""
    if len(data) < 12 or data[:4] not in (b"RIFF", b"RIFX", b"RF64") or data[8:12] != b"WAVE":
        found = "empty" if not data else f"begins with {data[:4]!r}"
        raise SettingsError(f"{name}: {found}, expected a WAV file (RIFF ... WAVE)")
    if data[:4] != b"RIFF":
        raise SettingsError(f"{name}: a {data[:4].decode()} file, expected plain WAV (RIFF)")
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        chunk, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if chunk == b"fmt ":
            form = _read_format(data[at : at + size], name)
        elif chunk == b"data":
            if form is None:
                raise SettingsError(f"{name}: sound at byte {at} before any format (fmt chunk)")
            return *form, data[at : at + size]
        at += size + size % 2
    raise SettingsError(f"{name}: no data chunk in {len(data)} bytes, expected sound")


def _read_format(chunk: bytes, name: str) -> tuple[int, int, int, int]:
    if len(chunk) < _FORMAT.size:
        raise SettingsError(f"{name}: format of {len(chunk)} bytes, expected {_FORMAT.size}")
    encoding, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(chunk)
    if encoding == _EXTENSIBLE and len(chunk) >= 26:
        encoding = int.from_bytes(chunk[24:26], "little")  # the sub-format's first two octets
    if (encoding, bits) not in _KNOWN:
        raise SettingsError(
            f"{name}: compressed or unknown format {encoding} with {bits} bits, "
            "expected PCM, float, A-law or mu-law; convert it, e.g. with: sox IN -b 16 OUT.wav"
        )
    if not 1 <= channels <= CHANNELS_LIMIT:
        raise SettingsError(f"{name}: {channels} channels, expected 1 to {CHANNELS_LIMIT}")
    if not RATE_MIN_HZ <= rate_hz <= RATE_MAX_HZ:
        raise SettingsError(
            f"{name}: {rate_hz} samples a second, expected {RATE_MIN_HZ} to {RATE_MAX_HZ}"
        )
    return encoding, channels, rate_hz, bits


def _convert(
    sound: bytes, encoding: int, channels: int, bits: int, from_hz: int, to_hz: int
) -> bytes:
    """Mix down, resample and round to 16 bits."""
    # Imported here: they take 0.2 s, which only those should wait who need them.
    import numpy as np
    import soxr

    samples: np.ndarray[Any, np.dtype[np.floating[Any]]]
    if encoding == _FLOAT:
        samples = np.nan_to_num(np.frombuffer(sound, "<f4").astype(np.float32))
    elif bits == 8:  # the only unsigned one
        samples = (np.frombuffer(sound, np.uint8).astype(np.float32) - 128) / 128
    elif bits == 24:
        octets = np.frombuffer(sound, np.uint8).reshape(-1, 3)
        padded = np.zeros((len(octets), 4), np.uint8)
        padded[:, 1:] = octets
        samples = padded.view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        samples = np.frombuffer(sound, f"<i{bits // 8}").astype(np.float32) / 2 ** (bits - 1)
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1)
    if from_hz != to_hz:
        samples = soxr.resample(samples, from_hz, to_hz)
    rounded = np.clip(np.rint(samples * 32768), -32768, 32767)
    return bytes(rounded.astype("<i2").tobytes())
