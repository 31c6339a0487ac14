"""Published numbers for RFC 3711, 6188 and 7714; srtp.json names each source."""

import json
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import UnauthenticPacket
from sottovoce.secret import Secret
from sottovoce.srtp import CryptoSuite, SrtpContext
from sottovoce.srtp.cipher import CounterModeCipher, GcmCipher
from sottovoce.srtp.key_derivation import Label, SessionKeys, derive, derive_session_keys
from sottovoce.srtp.replay import estimate_index

Numbers = dict[str, Any]

VECTORS: dict[str, Numbers] = {
    vector["id"]: vector
    for vector in json.loads(Path(__file__).with_name("srtp.json").read_text())["vectors"]
}

PACKETS = [
    ("libsrtp-cm128-80-rtp", CryptoSuite.AES_CM_128_HMAC_SHA1_80),
    ("libsrtp-cm128-80-rtp-mki", CryptoSuite.AES_CM_128_HMAC_SHA1_80),
    ("libsrtp-cm192-80-rtp", CryptoSuite.AES_192_CM_HMAC_SHA1_80),
    ("libsrtp-cm256-80-rtp", CryptoSuite.AES_256_CM_HMAC_SHA1_80),
    ("libsrtp-gcm128-rtp", CryptoSuite.AEAD_AES_128_GCM),
]
RTCP_PACKETS = [
    ("libsrtp-cm128-80-rtcp", CryptoSuite.AES_CM_128_HMAC_SHA1_80),
    ("libsrtp-cm128-80-rtcp-mki", CryptoSuite.AES_CM_128_HMAC_SHA1_80),
    ("libsrtp-gcm128-rtcp", CryptoSuite.AEAD_AES_128_GCM),
]
KEY_DERIVATIONS = ["rfc3711-b3", "rfc6188-7.2-kdf256", "rfc6188-7.4-kdf192"]
KEYSTREAMS = ["rfc3711-b2", "rfc6188-7.1-aes256", "rfc6188-7.3-aes192"]


def read(name: str) -> tuple[Numbers, Numbers]:
    return VECTORS[name]["input"], VECTORS[name]["expected"]


def octets(numbers: Numbers, name: str) -> bytes:
    return bytes.fromhex(numbers[name])


def context(given: Numbers, suite: CryptoSuite) -> SrtpContext:
    return SrtpContext(
        suite,
        master_key=octets(given, "master_key"),
        master_salt=octets(given, "master_salt"),
        mki=bytes.fromhex(given.get("mki", "")),
    )


def session_keys(given: Numbers) -> SessionKeys:
    return SessionKeys(
        Secret(octets(given, "session_key")),
        Secret(octets(given, "session_salt")),
        Secret(bytes(20)),
    )


@pytest.mark.rfc("rfc3711", 3)
@pytest.mark.parametrize("name", KEYSTREAMS)
def test_keystream(name: str) -> None:
    given, expected = read(name)
    cipher = CounterModeCipher(session_keys(given), tag_bytes=10)
    nonce_base = cipher.nonce_base(int(given["ssrc"], 16), int(given["roc"], 16))

    keystream = cipher.seal(
        bytes(16 * 0xFF02), 0, nonce_base, int(given["seq"], 16), octets(given, "roc")
    )

    for counter, block in expected["blocks_by_low16_counter"].items():
        at = 16 * int(counter, 16)
        assert keystream[at : at + 16].hex() == block, counter


@pytest.mark.rfc("rfc3711", 1, 2)
@pytest.mark.parametrize("name", KEY_DERIVATIONS)
def test_session_keys(name: str) -> None:
    given, expected = read(name)
    key, salt = octets(given, "master_key"), octets(given, "master_salt")

    assert derive(key, salt, Label.RTP_ENCRYPTION, len(key)).hex() == expected["cipher_key"]
    assert derive(key, salt, Label.RTP_SALT, 14).hex() == expected["cipher_salt"]
    authentication_key = expected.get("auth_key") or expected["auth_key_used_n_a_160"]
    assert derive(key, salt, Label.RTP_AUTHENTICATION, 20).hex() == authentication_key


@pytest.mark.rfc("rfc3711", 1)
def test_all_94_octets_of_the_worked_example() -> None:
    given, expected = read("rfc3711-b3")
    derived = derive(
        octets(given, "master_key"), octets(given, "master_salt"), Label.RTP_AUTHENTICATION, 94
    )

    assert derived.hex() == expected["auth_key_94_octets"]


@pytest.mark.rfc("rfc3711", 1, 17)
def test_srtcp_session_keys_use_the_label_where_srtp_does() -> None:
    given, expected = read("rfc3711-b3-srtcp")
    _, keys = derive_session_keys(
        CryptoSuite.AES_CM_128_HMAC_SHA1_80,
        Secret(octets(given, "master_key")),
        Secret(octets(given, "master_salt")),
    )

    assert keys.encryption_key.reveal().hex() == expected["srtcp_cipher_key"]
    assert keys.salt.reveal().hex() == expected["srtcp_salt"]
    assert keys.authentication_key.reveal().hex() == expected["srtcp_auth_key"]


@pytest.mark.rfc("rfc7714", 2)
@pytest.mark.parametrize(
    ("suite", "name"),
    [(CryptoSuite.AEAD_AES_128_GCM, "aes128"), (CryptoSuite.AEAD_AES_256_GCM, "aes256")],
)
def test_aead_session_keys_from_a_salt_of_12_octets(suite: CryptoSuite, name: str) -> None:
    given, expected = read("aead-kdf")
    rtp, rtcp = derive_session_keys(
        suite, Secret(bytes(range(suite.key_bytes))), Secret(octets(given, "master_salt"))
    )

    assert {
        "rtp_key": rtp.encryption_key.reveal().hex(),
        "rtp_salt": rtp.salt.reveal().hex(),
        "rtcp_key": rtcp.encryption_key.reveal().hex(),
        "rtcp_salt": rtcp.salt.reveal().hex(),
    } == expected[name]


@pytest.mark.rfc("rfc3711", 4)
@pytest.mark.parametrize(("name", "suite"), PACKETS)
def test_packet_of_libsrtp(name: str, suite: CryptoSuite) -> None:
    given, expected = read(name)
    rtp, protected = octets(given, "rtp"), octets(expected, "packet")

    assert context(given, suite).protect(rtp) == protected
    assert context(given, suite).unprotect(protected) == rtp


@pytest.mark.rfc("rfc3711", 5, 6)
@pytest.mark.rfc("rfc7714", 5)
@pytest.mark.parametrize(("name", "suite"), RTCP_PACKETS)
def test_rtcp_packet_of_libsrtp(name: str, suite: CryptoSuite) -> None:
    """Its index is 1, because libsrtp leaves out 0."""
    given, expected = read(name)
    rtcp, protected = octets(given, "rtcp"), octets(expected, "packet")
    sender = context(given, suite)
    sender.protect_rtcp(rtcp)

    assert sender.protect_rtcp(rtcp) == protected
    assert context(given, suite).unprotect_rtcp(protected) == rtcp


def test_authentic_rtcp_that_is_not_encrypted_is_refused() -> None:
    """UNENCRYPTED_SRTCP is never agreed to, so E = 0 is a downgrade (as in libsrtp)."""
    given, expected = read("libsrtp-null-80-rtcp")
    receiver = context(given, CryptoSuite.AES_CM_128_HMAC_SHA1_80)

    with pytest.raises(UnauthenticPacket, match="not encrypted"):
        receiver.unprotect_rtcp(octets(expected, "packet"))


@pytest.mark.parametrize("name", ["rfc7714-17.3", "rfc7714-17.4"])
def test_gcm_rtcp_with_a_tag_alone_is_refused(name: str) -> None:
    _, expected = read(name)
    receiver = SrtpContext(
        CryptoSuite.AEAD_AES_128_GCM, master_key=bytes(16), master_salt=bytes(12)
    )

    with pytest.raises(UnauthenticPacket, match="not encrypted"):
        receiver.unprotect_rtcp(octets(expected, "packet"))


@pytest.mark.rfc("rfc7714", 3)
@pytest.mark.parametrize("name", ["rfc7714-16.1", "rfc7714-16.2"])
def test_gcm_packet_of_the_rfc(name: str) -> None:
    given, expected = read(name)
    rtp, protected = octets(given, "rtp"), octets(expected, "packet")
    roc, sequence_number = octets(given, "roc"), int.from_bytes(rtp[2:4], "big")
    cipher = GcmCipher(session_keys(given))
    nonce_base = cipher.nonce_base(int.from_bytes(rtp[8:12], "big"), int.from_bytes(roc, "big"))

    assert (nonce_base ^ sequence_number).to_bytes(12, "big").hex() == given["iv"]
    assert cipher.seal(rtp, 12, nonce_base, sequence_number, roc) == protected
    assert cipher.open(protected, 12, nonce_base, sequence_number, roc) == rtp


@pytest.mark.rfc("rfc7714", 4, 5)
@pytest.mark.parametrize("name", ["rfc7714-17.1", "rfc7714-17.2"])
def test_gcm_rtcp_packet_of_the_rfc(name: str) -> None:
    given, expected = read(name)
    rtcp, protected = octets(given, "rtcp"), octets(expected, "packet")
    ssrc, index = int.from_bytes(rtcp[4:8], "big"), int(given["index"], 16)
    cipher = GcmCipher(session_keys(given))

    assert (cipher.nonce_base(ssrc, 0) ^ index).to_bytes(12, "big").hex() == given["iv"]
    assert cipher.seal_rtcp(rtcp, ssrc, index) == protected
    assert cipher.open_rtcp(protected, ssrc, index) == rtcp


@pytest.mark.rfc("rfc3711", 7)
@pytest.mark.parametrize("case", read("rfc3711-appA-roc")[1]["cases"])
def test_index_estimate_of_appendix_a(case: Numbers) -> None:
    newest = case["roc"] << 16 | case["s_l"]
    index = estimate_index(newest, case["seq"])

    assert index % (1 << 48) == case["index"]
    assert (index >> 16) % (1 << 32) == case["v"]
    # "update" says what an authentic packet changes; ours keeps ROC and s_l in one number.
    assert (index > newest) is (case["update"] != "none")


def test_first_packet_of_a_public_capture() -> None:
    given, expected = read("capture-marseillaise-first")
    key_and_salt = b"i know all your little secrets"
    receiver = SrtpContext(
        CryptoSuite.AES_CM_128_HMAC_SHA1_80,
        master_key=key_and_salt[:16],
        master_salt=key_and_salt[16:],
    )

    assert receiver.unprotect(octets(given, "srtp")) == octets(expected, "rtp")
