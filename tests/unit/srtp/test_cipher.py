"""Wire layouts of the two families; the published numbers are in tests/vectors."""

import pytest

from sottovoce.errors import UnauthenticPacket
from sottovoce.secret import Secret
from sottovoce.srtp import CryptoSuite
from sottovoce.srtp.cipher import PacketCipher, make_cipher
from sottovoce.srtp.key_derivation import derive_session_keys

MKI = b"MKI!"
HEADER = bytes.fromhex("80001234deadbeef00000001")
RTCP = bytes.fromhex("80c90001cafebabe81ca0002cafebabe01016100")


def cipher(suite: CryptoSuite, mki: bytes = MKI) -> PacketCipher:
    _, keys = derive_session_keys(
        suite, Secret(b"k" * suite.key_bytes), Secret(b"s" * suite.salt_bytes)
    )
    return make_cipher(suite, keys, suite.rtcp_tag_bytes, mki)


@pytest.mark.rfc("rfc3711", 4, 5)
def test_counter_mode_puts_the_mki_before_the_tag_and_authenticates_the_index() -> None:
    counter_mode = cipher(CryptoSuite.AES_CM_128_HMAC_SHA1_80)

    assert counter_mode.seal(HEADER + b"x" * 20, 12, 0, 0, bytes(4))[32:36] == MKI
    protected = counter_mode.seal_rtcp(RTCP, 1, 7)
    assert protected[:8] == RTCP[:8]
    assert protected[20:28] == b"\x80\0\0\x07" + MKI
    assert len(protected) == 20 + 4 + len(MKI) + 10


@pytest.mark.rfc("rfc7714", 5)
def test_gcm_puts_the_tag_with_the_ciphertext_then_the_index_then_the_mki() -> None:
    gcm = cipher(CryptoSuite.AEAD_AES_128_GCM)

    assert gcm.seal(HEADER + b"x" * 20, 12, 0, 0, bytes(4))[48:] == MKI
    protected = gcm.seal_rtcp(RTCP, 1, 7)
    assert protected[:8] == RTCP[:8]
    assert protected[36:] == b"\x80\0\0\x07" + MKI


@pytest.mark.parametrize("suite", CryptoSuite)
@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 1000])
def test_payload_of_any_length_comes_back(suite: CryptoSuite, payload: bytes) -> None:
    packet = HEADER + payload
    protected = cipher(suite).seal(packet, 12, 5, 0x1234, bytes(4))

    assert protected[:12] == HEADER
    assert not payload or protected[12 : 12 + len(payload)] != payload
    assert cipher(suite).open(protected, 12, 5, 0x1234, bytes(4)) == packet


@pytest.mark.parametrize("suite", CryptoSuite)
def test_every_octet_is_authenticated_and_the_mki_must_fit(suite: CryptoSuite) -> None:
    """The MKI is not under the tag (RFC 3711 section 3.1), but another one is another key."""
    protected = cipher(suite).seal(HEADER + b"secret", 12, 0, 0x1234, bytes(4))
    protected_rtcp = cipher(suite).seal_rtcp(RTCP, 1, 7)

    for at in range(len(protected)):
        forged = bytearray(protected)
        forged[at] ^= 0x01
        with pytest.raises(UnauthenticPacket):
            cipher(suite).open(bytes(forged), 12, 0, 0x1234, bytes(4))
    for at in range(len(protected_rtcp)):
        forged = bytearray(protected_rtcp)
        forged[at] ^= 0x01
        with pytest.raises(UnauthenticPacket):
            cipher(suite).open_rtcp(bytes(forged), 1, 7)


@pytest.mark.parametrize("suite", CryptoSuite)
def test_rollover_counter_is_authenticated_though_not_sent(suite: CryptoSuite) -> None:
    """GCM has it in the nonce, counter mode under the tag (RFC 3711 section 4.2)."""
    sender = cipher(suite)
    protected = sender.seal(HEADER, 12, sender.nonce_base(1, 1), 0x1234, b"\0\0\0\1")

    with pytest.raises(UnauthenticPacket):
        sender.open(protected, 12, sender.nonce_base(1, 0), 0x1234, b"\0\0\0\0")
    assert sender.open(protected, 12, sender.nonce_base(1, 1), 0x1234, b"\0\0\0\1") == HEADER
