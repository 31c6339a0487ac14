"""The server's side of digest authentication: challenges, and who answers them.

RFC 7616, RFC 8760, RFC 3261 section 22.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ..errors import ParseError
from ..secret import Secret
from .digest import Algorithm, Challenge, Credentials, compute_response
from .nonces import Nonces
from .uri import SipUri

MAX_CREDENTIALS: Final = 8
"Authorization values looked at in one request; others belong to proxies on the way."


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
    answer.  An unknown user takes the same path as a wrong password.

    The nonce is looked at before the password: no guess is judged that does not answer a
    challenge which the guesser received, and "stale" says nothing about a password.

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
            recipient: The address whose answers alone are taken, where the transport does
                not prove it; empty: anybody's.

        """
        return [
            str(
                Challenge(
                    self.realm, nonces.issue(now, recipient), each.value, ("auth",), stale=stale
                )
            )
            for each, nonces in self._nonces.items()
            if not md5_only or each is Algorithm.MD5
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
