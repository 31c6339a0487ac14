"""Session keys from the master key.  RFC 3711 section 4.3, RFC 7714 section 11.

Only key derivation rate 0 is supported: keys are derived once.  RFC 3711's text and its
implementations disagree on how an SRTCP index would enter the derivation with any other
rate, and nobody uses one; whoever reads a rate from a peer must refuse what is not 0.
"""

from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ..errors import LocalError
from ..secret import Secret
from .suite import CryptoSuite

AUTHENTICATION_KEY_BYTES = 20  # n_a, RFC 3711 section 8.2; the 94 of B.3 are an example's
_PRF_SALT_BYTES = 14  # what the PRF takes; the 12 of an AEAD suite are padded on the right
_BLOCK_BYTES = 16


class Label(IntEnum):
    """What a derived key is for (RFC 3711 sections 4.3.1 and 4.3.2)."""

    RTP_ENCRYPTION = 0
    RTP_AUTHENTICATION = 1
    RTP_SALT = 2
    RTCP_ENCRYPTION = 3
    RTCP_AUTHENTICATION = 4
    RTCP_SALT = 5


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What protects the packets of one protocol, SRTP or SRTCP."""

    encryption_key: Secret[bytes]
    "For AES, in the master key's length."

    salt: Secret[bytes]
    "Enters every packet's initialization vector."

    authentication_key: Secret[bytes]
    "For HMAC-SHA1; empty in an AEAD suite, which needs none."


def derive(master_key: bytes, master_salt: bytes, label: Label, length_bytes: int) -> bytes:
    """Run the AES-CM pseudo-random function (RFC 3711 section 4.3.3) for one label.

    Args:
        master_key: 16, 24 or 32 bytes; its length chooses the AES (RFC 6188 section 3).
        master_salt: At most 14 bytes.
        label: Which of the keys.
        length_bytes: How many bytes of it.

    """
    salt = int.from_bytes(master_salt.ljust(_PRF_SALT_BYTES, b"\0"), "big")
    # key_id is label || r, where r, the 48-bit index DIV kdr, is 0; then x * 2^16.
    x = salt ^ label << 48
    counter = (x << 16).to_bytes(_BLOCK_BYTES, "big")
    prf = Cipher(algorithms.AES(master_key), modes.CTR(counter)).encryptor()
    return prf.update(bytes(length_bytes))


def derive_session_keys(
    suite: CryptoSuite, master_key: Secret[bytes], master_salt: Secret[bytes]
) -> tuple[SessionKeys, SessionKeys]:
    """Derive the keys for SRTP and those for SRTCP, in this order.

    Raises:
        LocalError: The master key or salt has not the length the suite wants.

    """
    key, salt = master_key.reveal(), master_salt.reveal()
    if len(key) != suite.key_bytes or len(salt) != suite.salt_bytes:
        raise LocalError(
            f"{suite.name}: master key and salt of {len(key)} and {len(salt)} bytes,"
            f" expected {suite.key_bytes} and {suite.salt_bytes}"
        )
    authentication_key_bytes = 0 if suite.is_aead else AUTHENTICATION_KEY_BYTES

    def keys(encryption: Label, authentication: Label, salting: Label) -> SessionKeys:
        return SessionKeys(
            Secret(derive(key, salt, encryption, suite.key_bytes)),
            Secret(derive(key, salt, salting, suite.salt_bytes)),
            Secret(derive(key, salt, authentication, authentication_key_bytes)),
        )

    return (
        keys(Label.RTP_ENCRYPTION, Label.RTP_AUTHENTICATION, Label.RTP_SALT),
        keys(Label.RTCP_ENCRYPTION, Label.RTCP_AUTHENTICATION, Label.RTCP_SALT),
    )
