"""RFC 4568 section 6.2, RFC 6188 section 4, RFC 7714 section 14."""

import pytest

from sottovoce.errors import ParseError
from sottovoce.srtp import CryptoSuite


@pytest.mark.rfc("rfc6188", 2, 4)
@pytest.mark.rfc("rfc7714", 8, 10)
@pytest.mark.parametrize(
    ("name", "key_and_salt_bytes", "tag_bytes", "rtcp_tag_bytes"),
    [
        ("AES_CM_128_HMAC_SHA1_80", 30, 10, 10),
        ("AES_CM_128_HMAC_SHA1_32", 30, 4, 10),
        ("AES_192_CM_HMAC_SHA1_80", 38, 10, 10),
        ("AES_192_CM_HMAC_SHA1_32", 38, 4, 10),
        ("AES_256_CM_HMAC_SHA1_80", 46, 10, 10),
        ("AES_256_CM_HMAC_SHA1_32", 46, 4, 10),
        ("AEAD_AES_128_GCM", 28, 16, 16),
        ("AEAD_AES_256_GCM", 44, 16, 16),
    ],
)
def test_suite_has_its_iana_name_and_lengths(
    name: str, key_and_salt_bytes: int, tag_bytes: int, rtcp_tag_bytes: int
) -> None:
    suite = CryptoSuite.from_name(name)

    assert suite.name == suite.value == name
    assert suite.key_bytes + suite.salt_bytes == key_and_salt_bytes
    assert (suite.tag_bytes, suite.rtcp_tag_bytes) == (tag_bytes, rtcp_tag_bytes)


@pytest.mark.rfc("rfc6188", 6)
def test_wrong_spelling_of_many_phones_is_read_as_the_iana_name() -> None:
    suite = CryptoSuite.from_name("AES_CM_256_HMAC_SHA1_80")

    assert suite is CryptoSuite.AES_256_CM_HMAC_SHA1_80
    assert suite.value == "AES_256_CM_HMAC_SHA1_80"


def test_name_is_read_in_any_case() -> None:
    assert CryptoSuite.from_name("aead_aes_128_gcm") is CryptoSuite.AEAD_AES_128_GCM


@pytest.mark.parametrize(
    "name", ["F8_128_HMAC_SHA1_80", "NULL_HMAC_SHA1_80", "AEAD_AES_128_GCM_8", "", "mro", "ſ"]
)
def test_suite_that_protects_less_or_is_unknown_is_refused(name: str) -> None:
    with pytest.raises(ParseError, match="is not one of AES_CM_128_HMAC_SHA1_80") as refused:
        CryptoSuite.from_name(name)

    assert refused.value.status_hint == 488


def test_refusal_shows_no_more_than_the_start_of_a_long_name() -> None:
    with pytest.raises(ParseError) as refused:
        CryptoSuite.from_name("X" * 100_000)

    assert len(str(refused.value)) < 400
