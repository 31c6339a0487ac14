"""SRTP keys in ``a=crypto`` lines.  RFC 4568; suites of RFC 6188 and RFC 7714.

A line carries the key with which its *sender* encrypts.  Read liberally: every dialect
that real phones speak and that leaves no doubt about the key.  Written plainly: one
key with its ``=`` padding, no lifetime, no MKI, no session parameters, for there are
peers which accept those and then do something else.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import ParseError
from ..sdp.key_lines import cannot_be_inspected, carries_keys, redact
from ..sdp.line_values import shown
from ..secret import Secret
from ..srtp import CryptoSuite, SrtpContext

__all__ = [
    "DEFAULT_SUITES",
    "CryptoAttribute",
    "accept",
    "cannot_be_inspected",
    "carries_keys",
    "check_tags",
    "choose",
    "context_for",
    "contexts",
    "fresh",
    "match",
    "redact",
]

#: Offered, and accepted, unless told otherwise: what every phone with SDES has.
DEFAULT_SUITES = (CryptoSuite.AES_CM_128_HMAC_SHA1_80, CryptoSuite.AES_CM_128_HMAC_SHA1_32)

MAX_LINES = 32  # rtpengine, which offers all it knows, sends 12
MAX_LIFETIME_PACKETS = 2**48  # RFC 3711 section 9.2
MAX_MKI_BYTES = 128  # RFC 4568 section 6.1
MIN_WINDOW_SIZE_HINT = 64  # RFC 4568 section 6.3.6

_TAG = re.compile(r"[0-9]{1,9}")
_SUITE = re.compile(r"[A-Z0-9_]{1,64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,256}={0,2}")
_LIFETIME = re.compile(r"2\^([0-9]{1,2})|([0-9]{1,15})")
_MKI = re.compile(r"([0-9]{1,309}):([0-9]{1,3})")  # 128 octets are 309 digits
_PARAMETER = re.compile(r"(KDR|WSH)=([0-9]{1,9})", re.IGNORECASE)
#: They concern forward error correction (RFC 4568 section 6.3.5), which is not used here.
_HARMLESS_PARAMETERS = ("FEC_ORDER=", "FEC_KEY=")


@dataclass(frozen=True, slots=True)
class CryptoAttribute:
    """One ``a=crypto`` line."""

    tag: int
    suite: CryptoSuite
    master_key: Secret[bytes]
    master_salt: Secret[bytes]

    lifetime_packets: int | None = None
    "After how many its sender will change the key; None for the most that SRTP allows."

    mki: bytes = b""
    "Master key identifier in the sender's packets; empty for none."

    session_params: tuple[str, ...] = ()
    "As written; all of them such that they change nothing for us."

    @classmethod
    def parse(cls, value: str) -> "CryptoAttribute":
        """Read the value of an ``a=crypto`` line, which is what follows the colon.

        Raises:
            ParseError: The line is wrong, or right and not acceptable: a suite that is
                not supported, several keys, a parameter that would weaken protection.
                The text never shows the key.

        """
        words = value.split()
        if len(words) < 3:
            raise _refusal("a=crypto without tag, suite and key")
        tag = _tag(words[0])
        if tag is None:
            raise _refusal(f"tag {shown(words[0])} is not 1 to 9 digits")
        if not _SUITE.fullmatch(words[1]):
            raise _refusal(f"{shown(words[1])} is not the name of a crypto suite")
        try:
            suite = CryptoSuite.from_name(words[1])
        except ParseError:
            raise _refusal(f"crypto suite {words[1]} is not supported") from None
        key, lifetime_packets, mki = _parse_key(words[2], suite)
        for parameter in words[3:]:
            _check_session_parameter(parameter)
        return cls(
            tag,
            suite,
            Secret(key[: suite.key_bytes]),
            Secret(key[suite.key_bytes :]),
            lifetime_packets,
            mki,
            tuple(words[3:]),
        )

    def to_text(self) -> str:
        """Return the value for the line; it holds the key in clear."""
        key = base64.b64encode(self.master_key.reveal() + self.master_salt.reveal()).decode()
        lifetime = f"|{self.lifetime_packets}" if self.lifetime_packets else ""
        mki = f"|{int.from_bytes(self.mki, 'big')}:{len(self.mki)}" if self.mki else ""
        words = [str(self.tag), self.suite.name, f"inline:{key}{lifetime}{mki}"]
        return " ".join([*words, *self.session_params])

    def same_key(self, other: "CryptoAttribute | None") -> bool:
        """Tell whether packets protected by one line are protected by the other."""
        return (
            other is not None
            and self.suite is other.suite
            and self.master_key == other.master_key
            and self.master_salt == other.master_salt
            and self.mki == other.mki
        )


def fresh(
    suites: Sequence[CryptoSuite], random_bytes: Callable[[int], bytes]
) -> tuple[CryptoAttribute, ...]:
    """Return a line with a new key for each suite, for an offer.

    Args:
        suites: In order of preference.
        random_bytes: ``secrets.token_bytes`` or, in tests, something repeatable.

    """
    return tuple(_fresh(tag, suite, random_bytes) for tag, suite in enumerate(suites, 1))


def check_tags(offered: Sequence[str]) -> None:
    """Raise :exc:`ParseError` if it would be open which line of an offer an answer means."""
    if len(offered) > MAX_LINES:
        raise _refusal(f"{len(offered)} a=crypto lines are over {MAX_LINES}")
    first_words = [line.split(maxsplit=1)[0] for line in offered if line.strip()]
    tags = [tag for tag in map(_tag, first_words) if tag is not None]
    if len(set(tags)) != len(tags):
        raise _refusal("two a=crypto lines have the same tag")


def accept(offered: Sequence[str], supported: Sequence[CryptoSuite]) -> CryptoAttribute:
    """Return the first line of an offer that is acceptable; the order is the offerer's.

    Raises:
        ParseError: None is, with the reasons; or :func:`check_tags` does.

    """
    check_tags(offered)
    if not offered:
        raise _refusal("no a=crypto line")
    reasons = []
    for line in offered:
        try:
            attribute = CryptoAttribute.parse(line)
        except ParseError as reason:
            reasons.append(str(reason))
            continue
        if attribute.suite in supported:
            return attribute
        reasons.append(f"{attribute.suite.name} is switched off here")
    raise _refusal("no acceptable a=crypto line: " + "; ".join(reasons[:3]))


def choose(
    offered: Sequence[str],
    supported: Sequence[CryptoSuite],
    random_bytes: Callable[[int], bytes],
) -> tuple[CryptoAttribute, CryptoAttribute] | None:
    """Pick a line of an offer and make the line for the answer.

    Returns:
        The accepted line and our own: same tag, same suite, new key.  None if no line is
        acceptable, which must not lead to media in clear where SRTP was demanded.

    """
    try:
        accepted = accept(offered, supported)
    except ParseError:
        return None
    return accepted, _fresh(accepted.tag, accepted.suite, random_bytes)


def match(
    offered: Sequence[CryptoAttribute], answered: Sequence[str]
) -> tuple[CryptoAttribute, CryptoAttribute]:
    """Judge the lines of an answer to our offer (RFC 4568 section 5.1.3).

    Returns:
        Our line that was accepted, and the peer's.

    Raises:
        ParseError: There is not exactly one acceptable line, its tag or suite was not
            offered, or it gives our own key back.

    """
    if len(answered) != 1:
        raise _refusal(f"the answer has {len(answered)} a=crypto lines where 1 was expected")
    theirs = CryptoAttribute.parse(answered[0])
    for own in offered:
        if own.tag != theirs.tag:
            continue
        if own.suite is not theirs.suite:
            raise _refusal(f"tag {own.tag} was offered as {own.suite.name}, answered otherwise")
        # Both directions under one key would repeat the key stream (RFC 3711 section 9.1).
        if own.master_key == theirs.master_key:
            raise _refusal("the answer has our own key")
        return own, theirs
    raise _refusal(f"the answer accepts tag {theirs.tag}, which was not offered")


def contexts(own: CryptoAttribute, theirs: CryptoAttribute) -> tuple[SrtpContext, SrtpContext]:
    """Return the contexts for what we send and for what we receive."""
    return context_for(own), context_for(theirs)


def context_for(line: CryptoAttribute) -> SrtpContext:
    """Return the context for the packets of the side that wrote the line."""
    return SrtpContext(
        line.suite,
        master_key=line.master_key,
        master_salt=line.master_salt,
        mki=line.mki,
    )


def _fresh(tag: int, suite: CryptoSuite, random_bytes: Callable[[int], bytes]) -> CryptoAttribute:
    key, salt = random_bytes(suite.key_bytes), random_bytes(suite.salt_bytes)
    return CryptoAttribute(tag, suite, Secret(key), Secret(salt))


def _tag(text: str) -> int | None:
    return int(text) if _TAG.fullmatch(text) else None


def _parse_key(text: str, suite: CryptoSuite) -> tuple[bytes, int | None, bytes]:
    """Read key-params: key and salt together, lifetime, MKI (RFC 4568 section 6.1)."""
    if ";" in text:
        # Departs from RFC 4568 section 6.1: one key a line; nobody is known to send more.
        raise _refusal("several keys in one a=crypto line are not supported")
    method, _, material = text.partition(":")
    if method.lower() != "inline":
        raise _refusal("the key method is not inline")
    encoded, *extras = material.split("|")
    key = _decode(encoded)
    needed = suite.key_bytes + suite.salt_bytes
    if len(key) != needed:
        raise _refusal(f"key and salt of {len(key)} octets; {suite.name} has {needed}")
    if len(extras) > 2:
        raise _refusal("the key has more than lifetime and MKI")
    lifetime_packets, mki = None, b""
    # "|lifetime|MKI:length", each optional.  A last field without a length, which some
    # write for "key number 1", announces no field in the packets.
    for place, extra in enumerate(extras):
        if place == len(extras) - 1 and ":" in extra:
            mki = _parse_mki(extra)
        elif place == 0:
            lifetime_packets = _parse_lifetime(extra)
        elif not _TAG.fullmatch(extra):
            raise _refusal(f"MKI {shown(extra)} is not a number")
    return key, lifetime_packets, mki


def _decode(encoded: str) -> bytes:
    if not _BASE64.fullmatch(encoded):
        raise _refusal("the key is not base64")
    bare = encoded.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise _refusal("the key is not base64") from None


def _parse_lifetime(text: str) -> int:
    found = _LIFETIME.fullmatch(text)
    packets = 0
    if found is not None:
        packets = 1 << int(found[1]) if found[1] else int(found[2])
    if not 0 < packets <= MAX_LIFETIME_PACKETS:
        raise _refusal(f"lifetime {shown(text)} is not in 1 to 2^48 packets")
    return packets


def _parse_mki(text: str) -> bytes:
    found = _MKI.fullmatch(text)
    length = int(found[2]) if found else 0
    if found is None or not 0 < length <= MAX_MKI_BYTES:
        raise _refusal(f"MKI {shown(text)} is not value:length with 1 to {MAX_MKI_BYTES} octets")
    value = int(found[1])
    if value >> (8 * length):
        raise _refusal(f"MKI {shown(text)} does not fit its length")
    return value.to_bytes(length, "big")


def _check_session_parameter(text: str) -> None:
    """Raise unless the parameter leaves protection as it is without it (section 6.3)."""
    found = _PARAMETER.fullmatch(text)
    if found is not None:
        name, number = found[1].upper(), int(found[2])
        if name == "KDR" and number != 0:
            raise _refusal("a key derivation rate other than 0 is not supported")
        if name == "WSH" and number < MIN_WINDOW_SIZE_HINT:
            raise _refusal(f"WSH {number} is under {MIN_WINDOW_SIZE_HINT}")
    elif not text.startswith("-") and not text.upper().startswith(_HARMLESS_PARAMETERS):
        # UNENCRYPTED_SRTP and its like among them: they are refused on purpose.
        raise _refusal(f"session parameter {shown(text)} is not accepted")


def _refusal(reason: str) -> ParseError:
    return ParseError(reason, status_hint=488)
