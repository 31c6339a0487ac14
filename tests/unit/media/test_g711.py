"""ITU-T G.711."""

import math
import warnings
from array import array
from types import ModuleType

import pytest

from sottovoce.media.codec import CODECS, find_codec
from sottovoce.media.frame import pcm_of, samples_of
from sottovoce.media.g711 import decode_a_law, decode_mu_law, encode_a_law, encode_mu_law
from sottovoce.media.tone import tone

ALL_PCM = array("H", range(65536)).tobytes()
ALL_OCTETS = bytes(range(256))


def pcm(*samples: int) -> bytes:
    return pcm_of(array("h", samples))


def test_mu_law_has_the_values_of_the_recommendation() -> None:
    """Table 2a: the ends, zero, and the first value of a few segments."""
    assert encode_mu_law(pcm(0, 32767, -32768)) == bytes.fromhex("ff8000")
    decoded = samples_of(decode_mu_law(bytes.fromhex("ff 7f 80 00 8f 0f f0 9f")))
    assert list(decoded) == [0, 0, 32124, -32124, 16764, -16764, 120, 8316]


def test_a_law_has_the_values_of_the_recommendation() -> None:
    """Table 1a: the ends and both zeros."""
    assert encode_a_law(pcm(0, 32767, -32768, -1)) == bytes.fromhex("d5aa2a55")
    assert list(samples_of(decode_a_law(bytes.fromhex("d5 55 aa 2a")))) == [8, -8, 32256, -32256]


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_mu_law, decode_mu_law), (encode_a_law, decode_a_law)]
)
def test_every_octet_is_its_own_value_encoded(encode, decode) -> None:  # type: ignore[no-untyped-def]
    # Only mu-law's negative zero comes back as the positive one.
    again = encode(decode(ALL_OCTETS))
    assert {a for a, b in zip(ALL_OCTETS, again, strict=True) if a != b} <= {0x7F}


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_mu_law, decode_mu_law), (encode_a_law, decode_a_law)]
)
def test_decoded_sound_is_nowhere_further_off_than_half_a_step(encode, decode) -> None:  # type: ignore[no-untyped-def]
    for value, back in zip(samples_of(ALL_PCM), samples_of(decode(encode(ALL_PCM))), strict=True):
        assert abs(back - value) <= max(16, abs(value) / 32 + 8) or abs(value) > 32_000


def test_signal_to_noise_ratio_is_that_of_g711() -> None:
    sound = tone(1020, 200, level_dbov=-13)
    for encode, decode in ((encode_mu_law, decode_mu_law), (encode_a_law, decode_a_law)):
        pairs = list(zip(samples_of(sound), samples_of(decode(encode(sound))), strict=True))
        noise = sum((a - b) ** 2 for a, b in pairs) or 1
        assert 10 * math.log10(sum(a * a for a, _ in pairs) / noise) > 36


def test_tables_agree_with_the_standard_library_where_it_still_has_them() -> None:
    audioop: ModuleType
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="gone in Python 3.13")
    assert encode_mu_law(ALL_PCM) == audioop.lin2ulaw(ALL_PCM, 2)
    assert encode_a_law(ALL_PCM) == audioop.lin2alaw(ALL_PCM, 2)
    assert decode_mu_law(ALL_OCTETS) == audioop.ulaw2lin(ALL_OCTETS, 2)
    assert decode_a_law(ALL_OCTETS) == audioop.alaw2lin(ALL_OCTETS, 2)


def test_no_sample_and_a_single_one_are_encoded_too() -> None:
    assert encode_mu_law(b"") == b""
    assert encode_a_law(pcm(0)) == b"\xd5"


@pytest.mark.rfc("rfc3550", 12)
def test_codecs_are_found_by_name_in_any_case_and_clock_rate() -> None:
    assert {codec.name: codec.static_payload_type for codec in CODECS} == {"PCMU": 0, "PCMA": 8}
    found = find_codec("pcma", 8000)
    assert found is not None
    assert found.name == "PCMA"
    assert find_codec("PCMA", 16_000) is None
    assert find_codec("opus", 48_000) is None
