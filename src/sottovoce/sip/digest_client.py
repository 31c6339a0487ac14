"""A client that remembers its challenges.  RFC 3261 section 22.2, RFC 7616 section 3.6."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import ParseError
from ..secret import Secret
from .digest import Challenge, Credentials, answer_challenge, choose
from .message import Request, Response

#: The header that challenges, and the one that answers it.
_HEADERS = (("www-authenticate", "Authorization"), ("proxy-authenticate", "Proxy-Authorization"))


@dataclass(slots=True)
class _Known:
    """The last challenge of a realm."""

    challenge: Challenge

    request_uri: str | None
    """Of the request that a 401 challenged; None after a 407.  A proxy takes its credentials
    out, a registrar's would go on to whom we call, who could guess at the password."""

    nonce_count: int = 0
    stale_again: bool = False  # it answers a fresh nonce that was called stale at once


class DigestClient:
    """Puts credentials into requests, and judges 401 and 407.

    The last challenge of each realm is kept, so that later requests carry credentials at
    once and save a round trip::

        request = client.authorize(request)
        ...
        if response.status in (401, 407) and client.receive_challenge(request, response):
            ...  # send again: next CSeq, new branch, client.authorize() once more

    ACK and CANCEL carry the credentials of their INVITE and are not given here.

    Args:
        username: The user's name in all of the realms.
        password: Likewise.
        realms: Who may ask; a challenge from any other realm is not answered, so that
            nobody on the way collects proofs of the password.
        random_bytes: Source of random octets, for cnonces.

    """

    def __init__(
        self,
        *,
        username: str,
        password: Secret[str],
        realms: frozenset[str],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._username = username
        self._password = password
        self._realms = realms
        self._random_bytes = random_bytes
        self._known: dict[tuple[str, str], _Known] = {}  # by answering header and realm

    def authorize(self, request: Request) -> Request:
        """Return the request with credentials for every realm that asked before."""
        for _, header in _HEADERS:
            kept = [text for text in request.values(header) if not self._is_own(text)]
            own = [
                str(self._credentials(known, request))
                for (place, _), known in self._known.items()
                if place == header and known.request_uri in (None, request.request_uri)
            ]
            if own or header in request:
                request = request.without(header)
                for text in (*own, *kept):
                    request = request.with_added(header, text)
        return request

    def receive_challenge(self, request: Request, response: Response) -> bool:
        """Take a 401 or 407; True if the request should be sent again.

        It should not if our credentials were refused (never twice the same, section
        22.2), no realm is ours, or no algorithm is known.
        """
        retry = False
        for asking, header in _HEADERS:
            for realm in self._realms:
                texts = [text for text in response.values(asking) if _realm(text) == realm]
                challenge = choose(texts)
                if challenge is None:
                    continue
                target = request.request_uri if header == "Authorization" else None
                if not self._take(header, challenge, target, _sent(request, header, realm)):
                    return False
                retry = True
        return retry

    def _take(
        self, header: str, challenge: Challenge, target: str | None, sent: Credentials | None
    ) -> bool:
        """Remember a challenge; False if it refuses our answer to the one before."""
        key = (header, challenge.realm)
        known = self._known.get(key)
        stale_again = False
        # A nonce used before may just have grown old, and not every server says so;
        # one used for the first time was fresh, so the password is what is wrong.
        if sent is not None and sent.nonce_count <= 1:
            stale_again = True
            was_stale_before = known is not None and known.stale_again
            if sent.nonce == challenge.nonce or not challenge.stale or was_stale_before:
                self._known.pop(key, None)
                return False
        self._known[key] = _Known(challenge, target, stale_again=stale_again)
        return True

    def _credentials(self, known: _Known, request: Request) -> Credentials:
        known.nonce_count += 1
        return answer_challenge(
            known.challenge,
            username=self._username,
            password=self._password,
            method=request.method,
            uri=request.request_uri,
            cnonce=self._random_bytes(12).hex(),
            nonce_count=known.nonce_count,
            body=request.body,
        )

    def _is_own(self, text: str) -> bool:
        return _realm(text) in self._realms


def _realm(text: str) -> str | None:
    """Return the realm of a challenge or of credentials, None if it cannot be read."""
    for form in (Challenge, Credentials):
        try:
            return form.parse(text).realm
        except ParseError:
            continue
    return None


def _sent(request: Request, header: str, realm: str) -> Credentials | None:
    """Return the credentials for a realm that a request carried."""
    return next((each for each in _parsed(request.values(header)) if each.realm == realm), None)


def _parsed(texts: list[str]) -> Iterator[Credentials]:
    for text in texts:
        try:
            yield Credentials.parse(text)
        except ParseError:
            continue
