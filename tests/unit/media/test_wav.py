"""WAV files."""

import io
import struct
import wave
from pathlib import Path

import pytest

from sottovoce.errors import SettingsError
from sottovoce.media.frame import level_dbov, samples_of
from sottovoce.media.g711 import encode_a_law, encode_mu_law
from sottovoce.media.tone import tone, tone_level_dbov
from sottovoce.media.wav import WavWriter, read_wav


def wav(
    sound: bytes, *, encoding: int = 1, channels: int = 1, rate_hz: int = 8000, bits: int = 16
) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", encoding, channels, rate_hz, rate_hz * block, block, bits)
    chunks = b"fmt \x10\0\0\0" + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_file_of_the_wanted_form_is_passed_through() -> None:
    sound = tone(440, 100)

    assert read_wav(wav(sound), name="a.wav") == sound


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_keeps_the_tone_and_the_length(rate_hz: int) -> None:
    sound = tone(440, 500, rate_hz=rate_hz, level_dbov=-12)
    pcm = read_wav(wav(sound, rate_hz=rate_hz), name="a.wav")

    assert len(pcm) == pytest.approx(8000, abs=4)
    assert tone_level_dbov(pcm, 440) == pytest.approx(-12, abs=0.5)


def packed(samples: list[float], bits: int) -> bytes:
    if bits == 8:
        return bytes(round(sample * 127) + 128 for sample in samples)
    scale = 2 ** (bits - 1) - 1
    return b"".join(round(s * scale).to_bytes(bits // 8, "little", signed=True) for s in samples)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_any_sample_size_keeps_the_level(bits: int) -> None:
    samples = [s / 32767 for s in samples_of(tone(440, 200, level_dbov=-12))]
    pcm = read_wav(wav(packed(samples, bits), bits=bits), name="a.wav")

    assert tone_level_dbov(pcm, 440) == pytest.approx(-12, abs=0.1)


def test_float_samples_are_read_clipped_and_freed_of_what_is_no_number() -> None:
    sound = struct.pack("<5f", 0.5, -0.5, 3.0, -3.0, float("nan"))
    pcm = read_wav(wav(sound, encoding=3, bits=32), name="a.wav")

    assert list(samples_of(pcm)) == [16384, -16384, 32767, -32768, 0]


def test_stereo_is_mixed_down() -> None:
    left, right = samples_of(tone(440, 200)), samples_of(tone(1000, 200))
    both = b"".join(struct.pack("<hh", a, b) for a, b in zip(left, right, strict=True))
    pcm = read_wav(wav(both, channels=2), name="a.wav")

    assert len(pcm) == 3200
    assert tone_level_dbov(pcm, 440) == pytest.approx(-16, abs=0.3)
    assert tone_level_dbov(pcm, 1000) == pytest.approx(-16, abs=0.3)


def test_files_of_both_telephone_laws_are_read() -> None:
    sound = tone(440, 100, level_dbov=-12)
    for encoding, encode in ((6, encode_a_law), (7, encode_mu_law)):
        pcm = read_wav(wav(encode(sound), encoding=encoding, bits=8), name="a.wav")
        assert tone_level_dbov(pcm, 440) == pytest.approx(-12, abs=0.2)


def test_extensible_format_and_foreign_chunks_are_read() -> None:
    sub_format = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + sub_format
    chunks = b"LIST\x03\0\0\0abc\0" + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data\x04\0\0\0\1\0\2\0"

    assert read_wav(b"RIFF\0\0\0\0WAVE" + chunks, name="a.wav") == b"\1\0\2\0"


def test_file_cut_short_plays_what_there_is() -> None:
    assert read_wav(wav(tone(440, 100))[:-101], name="a.wav") == tone(440, 100)[:-102]


GOOD = wav(tone(440, 100))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "a.wav: empty, expected a WAV file"),
        (b"ID3\x04 this is an mp3 file", r"a.wav: begins with b'ID3\\x04', expected a WAV"),
        (b"RF64" + GOOD[4:], "a.wav: a RF64 file"),
        (GOOD[:36], "a.wav: no data chunk in 36 bytes"),
        (wav(b""), "a.wav: no sound in it"),
        (wav(b"x"), "a.wav: no sound in it"),
        (wav(bytes(100), encoding=0x11, bits=4), "compressed or unknown format 17 with 4 bits"),
        (wav(bytes(100), encoding=0x55, bits=0), "compressed or unknown format 85"),
        (wav(bytes(100), bits=12), "unknown format 1 with 12 bits"),
        (wav(bytes(100), channels=0), "0 channels"),
        (wav(bytes(100), rate_hz=100), "100 samples a second"),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", "before any format"),
        (b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd", "format of 4 bytes, expected 16"),
    ],
)
def test_unreadable_file_is_one_line_that_names_it_and_what_was_expected(
    data: bytes, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        read_wav(data, name="a.wav")
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_by_the_standard_library() -> None:
    file = io.BytesIO()
    writer = WavWriter(file)
    sound = tone(440, 2500)
    for at in range(0, len(sound), 320):
        writer.write(sound[at : at + 320])
    writer.close()
    writer.close()

    assert writer.seconds_written == 2.5
    with wave.open(io.BytesIO(file.getvalue())) as reader:
        assert reader.getparams()[:4] == (1, 2, 8000, 20_000)
        assert reader.readframes(30_000) == sound


def test_recording_of_a_killed_process_lacks_no_more_than_its_last_second(tmp_path: Path) -> None:
    with (tmp_path / "killed.wav").open("wb") as file:
        writer = WavWriter(file)
        for _ in range(124):  # 2.48 s, and no close
            writer.write(tone(440, 20))
        left = (tmp_path / "killed.wav").read_bytes()

    assert len(read_wav(left, name="killed.wav")) >= 2 * 16_000
    assert level_dbov(read_wav(left, name="killed.wav")) > -20


def test_pipe_gets_sizes_that_mean_unknown() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    writer = WavWriter(pipe)
    writer.write(tone(440, 1500))
    writer.close()

    assert pipe.getvalue()[40:44] == b"\xff" * 4
    assert read_wav(pipe.getvalue(), name="pipe") == tone(440, 1500)
