"""Seal and open one packet, its index known.  RFC 3711 sections 3.1, 3.4 and 4; RFC 7714.

The two families differ in what they do and in where the pieces stand on the wire::

    counter mode   SRTP    header | ciphertext       | [MKI] | tag
                   SRTCP   8 bytes | ciphertext      | E + index | [MKI] | tag
    GCM            SRTP    header | ciphertext + tag | [MKI]
                   SRTCP   8 bytes | ciphertext + tag | E + index | [MKI]

so each is a class that knows the whole layout.  An instance holds the keys of one
protocol, SRTP or SRTCP.  The methods run for every packet and are written for speed:
cipher and HMAC states are made once and kept, the common work stands in line.
"""

from hmac import compare_digest
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import UnauthenticPacket
from .key_derivation import SessionKeys
from .suite import CryptoSuite

RTCP_HEADER_BYTES = 8  # what SRTCP leaves in clear: the first header and SSRC
RTCP_INDEX_BYTES = 4  # the E flag and the 31-bit index
ENCRYPTED_FLAG = 1 << 31  # E, RFC 3711 section 3.4

_GCM_TAG_BYTES = 16  # never truncated: RFC 7714 section 13.2


class PacketCipher(Protocol):
    """What the context needs of either family."""

    rtcp_trailer_bytes: int
    "From the E flag to the end of an SRTCP packet."

    rtcp_least_bytes: int
    "An SRTCP packet cannot be shorter."

    def nonce_base(self, ssrc: int, roc: int) -> int:
        """Return the initialization vector but for the sequence number or SRTCP index."""

    def seal(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        """Turn an RTP packet into an SRTP packet.

        The caller answers for the index: using one twice gives both packets away.

        Args:
            packet: A whole one.
            header_bytes: How many of them stay in clear.
            nonce_base: From :meth:`nonce_base`, with this packet's rollover counter.
            sequence_number: The lower 16 bits of its index.
            roc: The upper 32 bits, the rollover counter, as 4 bytes.

        """

    def open(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        """Verify an SRTP packet and turn it into the RTP packet.

        Raises:
            UnauthenticPacket: Its MKI or its tag is wrong, or it has no room for them.

        """

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Turn an RTCP packet into an SRTCP packet."""

    def open_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Verify an SRTCP packet whose E flag is set and turn it into the RTCP packet.

        The packet has at least :attr:`rtcp_least_bytes`.

        Raises:
            UnauthenticPacket: Its MKI or its tag is wrong.

        """


def make_cipher(suite: CryptoSuite, keys: SessionKeys, tag_bytes: int, mki: bytes) -> PacketCipher:
    """Make the cipher for one protocol of the suite, with that protocol's tag length."""
    if suite.is_aead:
        return GcmCipher(keys, mki)
    return CounterModeCipher(keys, tag_bytes, mki)


class CounterModeCipher:
    """AES in counter mode and HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1)."""

    def __init__(self, keys: SessionKeys, tag_bytes: int, mki: bytes = b"") -> None:
        self._salt = int.from_bytes(keys.salt.reveal(), "big") << 16
        # Counter mode deciphers by enciphering: one state does both, set back per packet.
        aes = algorithms.AES(keys.encryption_key.reveal())
        keystream = Cipher(aes, modes.CTR(bytes(16))).encryptor()
        self._reset_nonce = keystream.reset_nonce
        self._xor = keystream.update
        # Kept with the key already in it and copied for each packet: half the time of
        # hmac.digest(), which would hash the key anew.
        key = keys.authentication_key.reveal()
        self._copy_hmac = hmac.HMAC(key, hashes.SHA1()).copy  # noqa: S303 - sound in HMAC
        self._tag_bytes = tag_bytes
        self._mki = mki
        self._trailer_bytes = len(mki) + tag_bytes
        self.rtcp_trailer_bytes = RTCP_INDEX_BYTES + self._trailer_bytes
        self.rtcp_least_bytes = RTCP_HEADER_BYTES + self.rtcp_trailer_bytes

    def nonce_base(self, ssrc: int, roc: int) -> int:
        return self._salt ^ ssrc << 64 ^ roc << 32

    def seal(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        self._reset_nonce((nonce_base ^ sequence_number << 16).to_bytes(16, "big"))
        sealed = packet[:header_bytes] + self._xor(packet[header_bytes:])
        authentication = self._copy_hmac()
        authentication.update(sealed + roc)
        tag = authentication.finalize()[: self._tag_bytes]
        return sealed + self._mki + tag if self._mki else sealed + tag

    def open(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        body_end = len(packet) - self._trailer_bytes
        if body_end < header_bytes:
            raise UnauthenticPacket("packet has no room for its authentication tag")
        authentication = self._copy_hmac()
        authentication.update(packet[:body_end] + roc)
        trailer = authentication.finalize()[: self._tag_bytes]
        if self._mki:
            trailer = self._mki + trailer
        if not compare_digest(packet[body_end:], trailer):
            raise UnauthenticPacket("authentication failed")
        self._reset_nonce((nonce_base ^ sequence_number << 16).to_bytes(16, "big"))
        return packet[:header_bytes] + self._xor(packet[header_bytes:body_end])

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        self._reset_nonce((self.nonce_base(ssrc, 0) ^ index << 16).to_bytes(16, "big"))
        sealed = b"".join(
            (
                packet[:RTCP_HEADER_BYTES],
                self._xor(packet[RTCP_HEADER_BYTES:]),
                (ENCRYPTED_FLAG | index).to_bytes(RTCP_INDEX_BYTES, "big"),
            )
        )
        return sealed + self._rtcp_trailer(sealed)

    def open_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        sealed_end = len(packet) - self._trailer_bytes
        if not compare_digest(packet[sealed_end:], self._rtcp_trailer(packet[:sealed_end])):
            raise UnauthenticPacket("authentication failed")
        self._reset_nonce((self.nonce_base(ssrc, 0) ^ index << 16).to_bytes(16, "big"))
        body = packet[RTCP_HEADER_BYTES : sealed_end - RTCP_INDEX_BYTES]
        return packet[:RTCP_HEADER_BYTES] + self._xor(body)

    def _rtcp_trailer(self, sealed: bytes) -> bytes:
        authentication = self._copy_hmac()
        authentication.update(sealed)  # with the index, without a ROC: RFC 3711 section 4.2
        return self._mki + authentication.finalize()[: self._tag_bytes]


class GcmCipher:
    """AES in Galois/counter mode, tag of 16 bytes (RFC 7714)."""

    def __init__(self, keys: SessionKeys, mki: bytes = b"") -> None:
        self._salt = int.from_bytes(keys.salt.reveal(), "big")
        gcm = AESGCM(keys.encryption_key.reveal())
        self._encrypt = gcm.encrypt
        self._decrypt = gcm.decrypt
        self._mki = mki
        self.rtcp_trailer_bytes = RTCP_INDEX_BYTES + len(mki)
        self.rtcp_least_bytes = RTCP_HEADER_BYTES + _GCM_TAG_BYTES + self.rtcp_trailer_bytes

    def nonce_base(self, ssrc: int, roc: int) -> int:
        # 0x0000 | SSRC | ROC | SEQ, or 0x0000 | SSRC | 0x0000 | 0 + index in SRTCP.
        return self._salt ^ ssrc << 48 ^ roc << 16

    def seal(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        header = packet[:header_bytes]
        nonce = (nonce_base ^ sequence_number).to_bytes(12, "big")
        return header + self._encrypt(nonce, packet[header_bytes:], header) + self._mki

    def open(
        self, packet: bytes, header_bytes: int, nonce_base: int, sequence_number: int, roc: bytes
    ) -> bytes:
        body_end = len(packet) - len(self._mki)
        if body_end - header_bytes < _GCM_TAG_BYTES or packet[body_end:] != self._mki:
            raise UnauthenticPacket("packet has no room for its tag, or another MKI")
        header = packet[:header_bytes]
        nonce = (nonce_base ^ sequence_number).to_bytes(12, "big")
        try:
            return header + self._decrypt(nonce, packet[header_bytes:body_end], header)
        except InvalidTag:
            raise UnauthenticPacket("authentication failed") from None

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        header = packet[:RTCP_HEADER_BYTES]
        word = (ENCRYPTED_FLAG | index).to_bytes(RTCP_INDEX_BYTES, "big")
        nonce = (self.nonce_base(ssrc, 0) ^ index).to_bytes(12, "big")
        sealed = self._encrypt(nonce, packet[RTCP_HEADER_BYTES:], header + word)
        return b"".join((header, sealed, word, self._mki))

    def open_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        word_end = len(packet) - len(self._mki)
        if packet[word_end:] != self._mki:
            raise UnauthenticPacket("packet has another MKI")
        word_at = word_end - RTCP_INDEX_BYTES
        header = packet[:RTCP_HEADER_BYTES]
        nonce = (self.nonce_base(ssrc, 0) ^ index).to_bytes(12, "big")
        sealed = packet[RTCP_HEADER_BYTES:word_at]
        try:
            return header + self._decrypt(nonce, sealed, header + packet[word_at:word_end])
        except InvalidTag:
            raise UnauthenticPacket("authentication failed") from None
