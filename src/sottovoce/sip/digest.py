"""Digest authentication.  RFC 3261 section 22, RFC 8760 (SHA-256 in SIP), RFC 7616.

Offered and answered: SHA-256 and MD5.  The client also answers ``qop=auth-int`` and, with
MD5, challenges without ``qop``; the server takes ``qop=auth`` alone, since only the nonce
count that comes with it shows a replay.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ..errors import ParseError
from ..secret import Secret
from .grammar import QUOTED_STRING, TOKEN_CHARACTERS, quote, shown, unquote
from .nonces import Nonces
from .uri import SipUri, frozen_by_type

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

MAX_CREDENTIALS: Final = 8
"Authorization values looked at in one request; others belong to proxies on the way."


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


class Outcome(Enum):
    """What :meth:`Authenticator.check` found."""

    ACCEPTED = auto()
    STALE = auto()  # nonce too old, not issued to this peer, or used before: stale=true
    REFUSED = auto()  # wrong user, password or URI, in answer to a challenge to this very peer
    ABSENT = auto()  # no credentials for this realm


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a request's credentials."""

    outcome: Outcome

    username: str = ""
    "Who sent the request; only if accepted."

    unverified_username: str = ""
    "Whose password was tried; only if refused."


_STALE = Verdict(Outcome.STALE)
_ABSENT = Verdict(Outcome.ABSENT)


class Authenticator:
    """The server's side of one realm.

    Nonces carry their time and a MAC, so none is remembered before its first right
    answer.  An unknown user takes the same path as a wrong password.  The nonce is looked at
    first: only who received a challenge can guess, and "stale" says nothing of a password.

    Args:
        realm: Usually the SIP domain.
        secret_key: At least 32 random octets, kept as long as nonces shall be known.
        random_bytes: Source of random octets.
        algorithms: Offered in this order.
        nonce_life_s: How long a nonce may be used.

    """

    def __init__(
        self,
        realm: str,
        secret_key: bytes,
        random_bytes: Callable[[int], bytes],
        *,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA_256, Algorithm.MD5),
        nonce_life_s: float = 300,
    ) -> None:
        self.realm = realm
        self._nobody = {
            algorithm: Secret(algorithm.hex_digest(random_bytes(32))) for algorithm in algorithms
        }
        self._nonces = {
            algorithm: Nonces(f"{algorithm.value}:{realm}", secret_key, random_bytes, nonce_life_s)
            for algorithm in algorithms
        }

    def challenges(
        self, now: float, *, stale: bool = False, md5_only: bool = False, recipient: str = ""
    ) -> list[str]:
        """Return the values of as many WWW- or Proxy-Authenticate headers, in order.

        Args:
            now: Monotonic seconds.
            stale: The last credentials answered a nonce that is none any more.
            md5_only: The client gives up at a challenge that it does not know.
            recipient: The address whose answers alone are taken, over UDP; empty: anybody's.

        """
        return [
            str(Challenge(self.realm, each.issue(now, recipient), name, ("auth",), stale=stale))
            for name, each in (
                (algorithm.value, nonces) for algorithm, nonces in self._nonces.items()
            )
            if not md5_only or name == Algorithm.MD5.value
        ]

    def check(
        self,
        texts: Iterable[str],
        method: str,
        request_uri: str,
        find_ha1: Callable[[str, Algorithm], Secret[str] | None],
        now: float,
        recipient: str = "",
    ) -> Verdict:
        """Check the Authorization or Proxy-Authorization values of a request.

        Args:
            texts: The values as received; those for other realms are passed over.
            method: Of the request.
            request_uri: Of the request, as received.
            find_ha1: Gives a user's HA1 for an algorithm, None for an unknown user.
            now: Monotonic seconds.
            recipient: As for :meth:`challenges`.

        """
        given = self._own(texts)
        if given is None or given.algorithm is None:
            return _ABSENT
        algorithm = given.algorithm
        nonces = self._nonces[algorithm]
        if not nonces.is_live(given.nonce, now, recipient):
            return _STALE
        known = find_ha1(given.username, algorithm)
        expected = compute_response(
            algorithm,
            known or self._nobody[algorithm],
            method=method,
            uri=given.uri,
            nonce=given.nonce,
            nonce_count=given.nonce_count,
            cnonce=given.cnonce,
            qop="auth",
        )
        right = hmac.compare_digest(expected.encode(), given.response.encode("utf-8", "replace"))
        usable = given.qop == "auth" and given.nonce_count > 0 and given.cnonce != ""
        if not (right and known and usable and _same_uri(given.uri, request_uri)):
            return Verdict(Outcome.REFUSED, unverified_username=given.username)
        if not nonces.take(given.nonce, given.nonce_count, now):
            return _STALE
        return Verdict(Outcome.ACCEPTED, given.username)

    def _own(self, texts: Iterable[str]) -> Credentials | None:
        """Return the first credentials for this realm and an algorithm offered here."""
        for text, _ in zip(texts, range(MAX_CREDENTIALS), strict=False):
            try:
                given = Credentials.parse(text)
            except ParseError:
                continue
            if given.realm == self.realm and given.algorithm in self._nonces:
                return given
        return None


def _same_uri(one: str, other: str) -> bool:
    """Compare the digest's URI with the Request-URI (RFC 7616 section 3.4.6)."""
    if one == other:
        return True
    try:
        return SipUri.parse(one).equivalent(SipUri.parse(other))
    except ParseError:
        return False


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
