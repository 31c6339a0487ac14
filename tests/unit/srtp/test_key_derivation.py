"""RFC 3711 section 4.3; the published numbers are in tests/vectors."""

import pytest

from sottovoce.errors import LocalError
from sottovoce.secret import Secret
from sottovoce.srtp import CryptoSuite
from sottovoce.srtp.key_derivation import Label, derive, derive_session_keys


@pytest.mark.parametrize("suite", CryptoSuite)
def test_session_keys_have_the_suites_lengths_and_are_all_different(suite: CryptoSuite) -> None:
    rtp, rtcp = derive_session_keys(
        suite, Secret(bytes(suite.key_bytes)), Secret(bytes(suite.salt_bytes))
    )

    for keys in (rtp, rtcp):
        assert len(keys.encryption_key.reveal()) == suite.key_bytes
        assert len(keys.salt.reveal()) == suite.salt_bytes
        assert len(keys.authentication_key.reveal()) == (0 if suite.is_aead else 20)
    assert rtp.encryption_key != rtcp.encryption_key
    assert rtp.salt != rtcp.salt


def test_labels_are_those_of_the_rfc() -> None:
    assert [label.value for label in Label] == [0, 1, 2, 3, 4, 5]
    assert len({derive(bytes(16), bytes(14), label, 16) for label in Label}) == 6


def test_session_keys_show_nothing() -> None:
    rtp, _ = derive_session_keys(
        CryptoSuite.AES_CM_128_HMAC_SHA1_80, Secret(b"k" * 16), Secret(b"s" * 14)
    )

    assert rtp.encryption_key.reveal().hex() not in repr(rtp)
    assert "Secret(…)" in repr(rtp)


@pytest.mark.parametrize(("key_bytes", "salt_bytes"), [(15, 14), (32, 14), (16, 12), (0, 0)])
def test_master_key_of_another_length_is_refused_without_being_shown(
    key_bytes: int, salt_bytes: int
) -> None:
    with pytest.raises(LocalError, match=rf"{key_bytes} and {salt_bytes} bytes, expected 16 and"):
        derive_session_keys(
            CryptoSuite.AES_CM_128_HMAC_SHA1_80,
            Secret(b"k" * key_bytes),
            Secret(b"s" * salt_bytes),
        )
