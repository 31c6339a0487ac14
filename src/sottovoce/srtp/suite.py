"""The crypto suites two ends can agree on, by their IANA names.

RFC 4568 section 6.2 (AES_CM_128), RFC 6188 section 4 (longer keys), RFC 7714 section 14.2
(GCM).  The NULL and F8 suites are left out on purpose: the first protects nothing, the
second nobody needs.
"""

from enum import Enum

from ..errors import ParseError

#: Wrong spellings that FreeSWITCH, Asterisk, Linphone and Bria send: read, never written.
_SPELLINGS_SEEN = {
    "AES_CM_192_HMAC_SHA1_80": "AES_192_CM_HMAC_SHA1_80",
    "AES_CM_192_HMAC_SHA1_32": "AES_192_CM_HMAC_SHA1_32",
    "AES_CM_256_HMAC_SHA1_80": "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_256_HMAC_SHA1_32": "AES_256_CM_HMAC_SHA1_32",
}
_SHOWN_CHARACTERS = 40  # of a name that a peer made up; it may be as long as a message


class CryptoSuite(Enum):
    """A cipher, an authentication and their lengths; the value is the IANA name."""

    AES_CM_128_HMAC_SHA1_80 = ("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10)
    AES_CM_128_HMAC_SHA1_32 = ("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10)
    AES_192_CM_HMAC_SHA1_80 = ("AES_192_CM_HMAC_SHA1_80", 24, 14, 10, 10)
    AES_192_CM_HMAC_SHA1_32 = ("AES_192_CM_HMAC_SHA1_32", 24, 14, 4, 10)
    AES_256_CM_HMAC_SHA1_80 = ("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10)
    AES_256_CM_HMAC_SHA1_32 = ("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10)
    AEAD_AES_128_GCM = ("AEAD_AES_128_GCM", 16, 12, 16, 16)
    AEAD_AES_256_GCM = ("AEAD_AES_256_GCM", 32, 12, 16, 16)

    key_bytes: int
    "Length of the master key, and of the session encryption key."

    salt_bytes: int
    "Length of the master salt, and of the session salt."

    tag_bytes: int
    "What authentication adds to an RTP packet."

    rtcp_tag_bytes: int
    "What it adds to an RTCP packet, never under 10 (RFC 3711 section 5.2)."

    def __new__(
        cls, iana_name: str, key_bytes: int, salt_bytes: int, tag_bytes: int, rtcp_tag_bytes: int
    ) -> "CryptoSuite":
        suite = object.__new__(cls)
        suite._value_ = iana_name
        suite.key_bytes = key_bytes
        suite.salt_bytes = salt_bytes
        suite.tag_bytes = tag_bytes
        suite.rtcp_tag_bytes = rtcp_tag_bytes
        return suite

    @property
    def is_aead(self) -> bool:
        """Whether one operation both encrypts and authenticates (RFC 7714)."""
        return self.name.startswith("AEAD_")

    @classmethod
    def from_name(cls, name: str) -> "CryptoSuite":
        """Find a suite by the name a peer gave, in any case, or by a wrong spelling in use.

        Raises:
            ParseError: No suite of that name is supported; status 488.

        """
        upper = name.upper()  # literals in ABNF match in any case: RFC 5234 section 2.3
        suite = cls.__members__.get(_SPELLINGS_SEEN.get(upper, upper))
        if suite is None:
            raise ParseError(
                f"crypto suite {name[:_SHOWN_CHARACTERS]!r} is not one of"
                f" {', '.join(cls.__members__)}",
                status_hint=488,
            )
        return suite
