"""Digest authentication.  RFC 3261 section 22, RFC 8760 (SHA-256 in SIP), RFC 7616.

Offered and answered: SHA-256 and MD5.  The client also answers ``qop=auth-int`` and, with
MD5, challenges without ``qop``; the server takes ``qop=auth`` alone, since only the nonce
count that comes with it shows a replay.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ..errors import ParseError
from ..secret import Secret
from .grammar import QUOTED_STRING, TOKEN_CHARACTERS, quote, shown, unquote
from .uri import frozen_by_type

# auth-param = auth-param-name EQUAL ( token / quoted-string ); bare values wider, as in the field
_AUTH_VALUE = rf'{QUOTED_STRING}|[^\x00-\x20\x7f",]++'
_AUTH_PARAMS = re.compile(
    rf"(?:[ \t]*[{TOKEN_CHARACTERS}]++[ \t]*=[ \t]*(?:{_AUTH_VALUE})[ \t]*(?:,|\Z))+", re.DOTALL
).fullmatch
_EACH_AUTH_PARAM = re.compile(
    rf"([{TOKEN_CHARACTERS}]++)[ \t]*=[ \t]*({_AUTH_VALUE})", re.DOTALL
).findall
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}").fullmatch

MAX_AUTH_PARAMS: Final = 24
"Parameters of one challenge or answer; the standards name 13."


class Algorithm(Enum):
    """Hash algorithms by their registered names."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"

    # Compared by identity alone, so the quick hash of object does.
    __hash__ = object.__hash__

    def hex_digest(self, text: str | bytes) -> str:
        """Hash a text; the result is lower-case hexadecimal."""
        octets = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        if self is Algorithm.MD5:
            return hashlib.md5(octets, usedforsecurity=False).hexdigest()
        return hashlib.sha256(octets).hexdigest()

    @property
    def digest_characters(self) -> int:
        """Length of a response in hexadecimal digits (RFC 8760 section 2.5)."""
        return 32 if self is Algorithm.MD5 else 64


_ALGORITHMS: Final = {algorithm.value: algorithm for algorithm in Algorithm}


def ha1(algorithm: Algorithm, username: str, realm: str, password: Secret[str]) -> Secret[str]:
    """Return H(username:realm:password), which is as good as the password in that realm."""
    return Secret(algorithm.hex_digest(f"{username}:{realm}:{password.reveal()}"))


def compute_response(
    algorithm: Algorithm,
    secret_ha1: Secret[str],
    *,
    method: str,
    uri: str,
    nonce: str,
    nonce_count: int = 0,
    cnonce: str = "",
    qop: str = "",
    body: bytes = b"",
) -> str:
    """Return the request-digest of RFC 7616 section 3.4.1; without ``qop`` RFC 2069's."""
    a2 = f"{method}:{uri}"
    if qop == "auth-int":
        a2 = f"{a2}:{algorithm.hex_digest(body)}"
    ha2 = algorithm.hex_digest(a2)
    middle = f"{nonce_count:08x}:{cnonce}:{qop}:" if qop else ""
    return algorithm.hex_digest(f"{secret_ha1.reveal()}:{nonce}:{middle}{ha2}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str

    algorithm_name: str = ""
    "As received; empty means MD5."

    qop: tuple[str, ...] = ()
    "Kinds of protection offered, in lower case; empty from an RFC 2069 server."

    opaque: str | None = None
    "To be sent back."

    stale: bool = False
    "The credentials were right, but their nonce is too old."

    @classmethod
    def parse(cls, text: str) -> "Challenge":
        """Read one value.

        Raises:
            ParseError: Another scheme than Digest, malformed, or without realm or nonce.

        """
        params = _parse_auth_params(text)
        return cls(
            realm=_needed(params, "realm"),
            nonce=_needed(params, "nonce"),
            algorithm_name=unquote(params.get("algorithm", "")),
            qop=tuple(
                item.strip().lower()
                for item in unquote(params.get("qop", "")).split(",")
                if item.strip()
            ),
            opaque=unquote(params["opaque"]) if "opaque" in params else None,
            stale=unquote(params.get("stale", "")).lower() == "true",
        )

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.algorithm_name:
            parts.append(f"algorithm={self.algorithm_name}")
        if self.qop:
            parts.append(f'qop="{",".join(self.qop)}"')
        if self.stale:
            parts.append("stale=true")
        return f"Digest {', '.join(parts)}"

    @property
    def algorithm(self) -> Algorithm | None:
        """The algorithm, None for one that is not known here."""
        return _algorithm(self.algorithm_name)

    @property
    def usable_qop(self) -> str | None:
        """The protection to answer with; "" for RFC 2069's, None if there is none."""
        if "auth" in self.qop:
            return "auth"
        if "auth-int" in self.qop:
            return "auth-int"
        # RFC 8760 section 2.6: a server that uses SHA-2 must offer qop.
        return "" if not self.qop and self.algorithm is Algorithm.MD5 else None


@frozen_by_type
class Credentials:
    """One Authorization or Proxy-Authorization value."""

    username: str
    realm: str
    nonce: str

    uri: str
    "The Request-URI that the client answered for."

    response: str = field(repr=False)
    "Proof of the password, which can be guessed from it at leisure: never shown."

    algorithm_name: str = ""
    "As in the challenge; empty means MD5."

    cnonce: str = ""

    qop: str = ""
    "In lower case."

    nonce_count: int = 0
    "How many requests were sent with this nonce, this one counted; 0 without qop."

    opaque: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Read one value.

        Raises:
            ParseError: Another scheme than Digest, malformed, or without a needed part.

        """
        params = _parse_auth_params(text)
        count = params.get("nc", "0" * 8)
        if not _NONCE_COUNT(count):
            raise ParseError(f"nc {shown(count)} is not 8 hexadecimal digits")
        return cls(
            username=_needed(params, "username"),
            realm=_needed(params, "realm"),
            nonce=_needed(params, "nonce"),
            uri=_needed(params, "uri"),
            response=_needed(params, "response"),
            algorithm_name=unquote(params.get("algorithm", "")),
            cnonce=unquote(params.get("cnonce", "")),
            qop=unquote(params.get("qop", "")).lower(),
            nonce_count=int(count, 16),
            opaque=unquote(params["opaque"]) if "opaque" in params else None,
        )

    def __str__(self) -> str:
        parts = [
            f"username={quote(self.username)}",
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"uri={quote(self.uri)}",
            f'response="{self.response}"',
        ]
        if self.algorithm_name:
            parts.append(f"algorithm={self.algorithm_name}")
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop:
            parts.append(f"qop={self.qop}")
            parts.append(f"nc={self.nonce_count:08x}")
            parts.append(f"cnonce={quote(self.cnonce)}")
        return f"Digest {', '.join(parts)}"

    @property
    def algorithm(self) -> Algorithm | None:
        """The algorithm, None for one that is not known here."""
        return _algorithm(self.algorithm_name)


def choose(challenges: Iterable[str]) -> Challenge | None:
    """Return the first challenge that can be answered (RFC 8760 section 2.4).

    Values of other schemes, with unknown algorithms, or malformed are passed over.
    """
    for text in challenges:
        try:
            challenge = Challenge.parse(text)
        except ParseError:
            continue
        if challenge.algorithm is not None and challenge.usable_qop is not None:
            return challenge
    return None


def answer(
    challenges: Sequence[str],
    *,
    username: str,
    password: Secret[str],
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int = 1,
    body: bytes = b"",
) -> Credentials | None:
    """Answer the first challenge whose algorithm is known, in the server's order.

    Args:
        challenges: The WWW-Authenticate or Proxy-Authenticate values of one response.
        username: For the realm that asks.
        password: Likewise.
        method: Of the request that will carry the credentials.
        uri: Its Request-URI as it will be sent.
        cnonce: Fresh and random.
        nonce_count: How many requests carry this nonce, this one counted.
        body: Of the request; needed if the server wants ``auth-int``.

    Returns:
        None if no challenge can be answered.

    """
    challenge = choose(challenges)
    if challenge is None:
        return None
    return answer_challenge(
        challenge,
        username=username,
        password=password,
        method=method,
        uri=uri,
        cnonce=cnonce,
        nonce_count=nonce_count,
        body=body,
    )


def answer_challenge(
    challenge: Challenge,
    *,
    username: str,
    password: Secret[str],
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int,
    body: bytes = b"",
) -> Credentials:
    """Answer a challenge that :func:`choose` returned; arguments as for :func:`answer`."""
    algorithm = challenge.algorithm or Algorithm.MD5
    qop = challenge.usable_qop or ""
    response = compute_response(
        algorithm,
        ha1(algorithm, username, challenge.realm, password),
        method=method,
        uri=uri,
        nonce=challenge.nonce,
        nonce_count=nonce_count,
        cnonce=cnonce,
        qop=qop,
        body=body,
    )
    return Credentials(
        username=username,
        realm=challenge.realm,
        nonce=challenge.nonce,
        uri=uri,
        response=response,
        algorithm_name=challenge.algorithm_name,
        cnonce=cnonce if qop else "",
        qop=qop,
        nonce_count=nonce_count if qop else 0,
        opaque=challenge.opaque,
    )


def _algorithm(name: str) -> Algorithm | None:
    return _ALGORITHMS.get(name.upper()) if name else Algorithm.MD5


def _parse_auth_params(text: str) -> dict[str, str]:
    """Read ``Digest name=value, ...``; quoted values keep their quotes."""
    scheme, _, rest = text.strip(" \t").partition(" ")
    if scheme.lower() != "digest":
        raise ParseError(f"authentication scheme {shown(scheme)} is not Digest")
    if not _AUTH_PARAMS(rest):
        raise ParseError("parameters of Digest are malformed")
    pairs = _EACH_AUTH_PARAM(rest)
    params = {name.lower(): value for name, value in pairs}
    if len(params) != len(pairs) or len(pairs) > MAX_AUTH_PARAMS:
        raise ParseError(f"a parameter of Digest stands twice, or over {MAX_AUTH_PARAMS} do")
    return params


def _needed(params: dict[str, str], name: str) -> str:
    value = params.get(name)
    if value is None:
        raise ParseError(f"Digest without {name}")
    return unquote(value)
