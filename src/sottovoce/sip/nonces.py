"""Nonces of digest authentication: made without state, taken once a count.

RFC 7616 sections 3.3, 3.4 and 5.4; RFC 3261 section 22.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..secret import Secret

MAX_NONCES: Final = 65536
"Nonces whose counts are remembered; one live nonce a phone, about 300 octets each."

MAX_LATE_COUNTS: Final = 32
"How far behind the highest a count may come: requests sent together over UDP."

# A nonce in hexadecimal: milliseconds issued, random octets, MAC over both.
_TIME_CHARACTERS = 12
_RANDOM_BYTES = 8
_START_CHARACTERS = _TIME_CHARACTERS + 2 * _RANDOM_BYTES
_MAC_BYTES = 16


class Nonces:
    """The nonces of one realm and algorithm.

    A nonce says when it was issued and proves it with a MAC, so that nothing is kept for
    a challenge nobody answers.

    Args:
        purpose: What they are for; nonces of another purpose do not pass.
        secret_key: At least 32 random octets.
        random_bytes: Source of random octets.
        life_s: How long a nonce may be used.

    """

    def __init__(
        self,
        purpose: str,
        secret_key: bytes,
        random_bytes: Callable[[int], bytes],
        life_s: float,
    ) -> None:
        self._key = Secret(hmac.digest(secret_key, purpose.encode(), "sha256"))
        self._random_bytes = random_bytes
        self._life_ms = life_s * 1000
        #: Highest count, which of those behind it were taken, milliseconds issued.
        self._taken: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._forgotten_ms = -1  # what was issued up to here may have been taken and forgotten

    def issue(self, now: float, recipient: str = "") -> str:
        """Make a nonce.

        Args:
            now: Monotonic seconds.
            recipient: The address whose answers alone it is good for; empty: anybody's.

        """
        random = self._random_bytes(_RANDOM_BYTES).hex()
        start = f"{int(now * 1000):0{_TIME_CHARACTERS}x}{random}"
        return start + self._mac(start, recipient)

    def is_live(self, nonce: str, now: float, recipient: str = "") -> bool:
        """Whether a nonce was issued here, to that recipient, and is not too old."""
        start = nonce[:_START_CHARACTERS]
        mac = nonce[_START_CHARACTERS:].encode("utf-8", "replace")
        if not hmac.compare_digest(self._mac(start, recipient).encode(), mac):
            return False
        return int(start[:_TIME_CHARACTERS], 16) + self._life_ms >= now * 1000

    def take(self, nonce: str, count: int, now: float) -> bool:
        """Take one count of a nonce that :meth:`is_live` says yes to.

        Call this only for credentials that are right otherwise: it changes what is
        remembered.

        Returns:
            False if the count was taken before, or may have been and is forgotten.

        """
        issued_ms = int(nonce[:_TIME_CHARACTERS], 16)
        known = self._taken.get(nonce)
        if known is None:
            if issued_ms <= self._forgotten_ms:
                return False
            self._taken[nonce] = (count, 1, issued_ms)
            self._forget(now)
            return True
        highest, mask, _ = known
        late = highest - count
        if late < 0:
            mask = (mask << min(-late, MAX_LATE_COUNTS) | 1) & ((1 << MAX_LATE_COUNTS) - 1)
            self._taken[nonce] = (count, mask, issued_ms)
            return True
        if late >= MAX_LATE_COUNTS or mask >> late & 1:
            return False
        self._taken[nonce] = (highest, mask | 1 << late, issued_ms)
        return True

    def _mac(self, start: str, recipient: str) -> str:
        # BLAKE2 has a MAC built in, a third as dear as HMAC.
        octets = (start + recipient).encode("utf-8", "replace")
        key = self._key.reveal()
        return hashlib.blake2s(octets, key=key, digest_size=_MAC_BYTES).hexdigest()

    def _forget(self, now: float) -> None:
        """Drop the nonces first taken longest ago: those expired, and what is too much."""
        while self._taken:
            nonce, (_, _, issued_ms) = next(iter(self._taken.items()))
            expired = issued_ms + self._life_ms < now * 1000
            if not expired and len(self._taken) <= MAX_NONCES:
                return
            del self._taken[nonce]
            self._forgotten_ms = max(self._forgotten_ms, issued_ms)
