"""Who is who and who said what, as far as the captured messages tell."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import RemoteError
from ..sip import Request, Response
from ..trace.call_flow import SipMessageSeen, printable
from ..trace.event import Endpoint
from ..trace.exposure import Exposure

#: Rows of an abridged call flow.
MAX_ROWS = 20

SERVER = "server"

_KEY = re.compile(rb"^[ \t]*a=crypto:", re.IGNORECASE | re.MULTILINE)
_MAX_NAME_CHARACTERS = 20
_MAX_URI_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One message on its way."""

    frame: int
    source: str
    destination: str
    text: str
    "Method and Request-URI, or status and reason."

    short: str
    "The same where space is short."

    note: str = ""
    "What a third party likes about it."


class Cast:
    """Names for the endpoints of a capture, read from its messages.

    The server is whoever speaks to most others; a phone is called what its own requests
    say in From, and after it the address where it wants its media.
    """

    def __init__(self, exposure: Exposure) -> None:
        peers: dict[Endpoint, set[Endpoint]] = {}
        for seen in exposure.messages:
            peers.setdefault(seen.source, set()).add(seen.destination)
            peers.setdefault(seen.destination, set()).add(seen.source)
        self._names: dict[Endpoint, str] = {}
        self._server = max(peers, key=lambda end: len(peers[end]), default=None)
        if self._server is not None:
            self._names[self._server] = SERVER
        for seen in exposure.messages:
            if seen.source not in self._names and (name := _own_name(seen)):
                self._names[seen.source] = name
        for media in exposure.media:  # a server hands SDP on: the first to send it wrote it
            name = self._names.get(media.sender, "")
            if name and name != SERVER:
                self._names.setdefault(media.receiver, name)

    def name(self, endpoint: Endpoint) -> str:
        """The name of an endpoint, or its address."""
        return self._names.get(endpoint, str(endpoint))

    def speaker(self, source: Endpoint, destination: Endpoint) -> str:
        """Who sends media from here to there, as well as it can be told."""
        return f"{self.name(source)} to {self.name(destination)}"


def ladder(exposure: Exposure, cast: Cast) -> tuple[list[Row], int]:
    """Return the rows of an abridged call flow, and how many messages it leaves out.

    Left out are 100 Trying, all of each phone's registrations but the first that shows a
    digest and its answer, and what lies in the middle when there are still too many.
    """
    told = _without_routine(exposure.messages)
    if len(told) > MAX_ROWS:
        told = told[: MAX_ROWS // 2] + told[-MAX_ROWS // 2 :]
    rows = [
        Row(
            seen.frame,
            cast.name(seen.source),
            cast.name(seen.destination),
            _text(seen),
            _short(seen),
            _note(seen),
        )
        for seen in told
    ]
    return rows, exposure.messages_seen - len(rows)


def _without_routine(messages: Iterable[SipMessageSeen]) -> list[SipMessageSeen]:
    told = []
    shown: set[Endpoint] = set()
    waiting: set[Endpoint] = set()
    for seen in messages:
        message = seen.message
        if isinstance(message, Request) and message.method == "REGISTER":
            if seen.source in shown or "authorization" not in message:
                continue
            shown.add(seen.source)
            waiting.add(seen.source)
        elif isinstance(message, Response) and message.cseq.method == "REGISTER":
            if seen.destination not in waiting or message.status != 200:
                continue
            waiting.discard(seen.destination)
        elif isinstance(message, Response) and message.status == 100:
            continue
        told.append(seen)
    return told


def _own_name(seen: SipMessageSeen) -> str:
    """The user in From of a request, or in To of a response: both are their sender."""
    if seen.message is None:
        return ""
    try:
        address = seen.message.from_ if isinstance(seen.message, Request) else seen.message.to
        user = address.sip_uri.user
    except RemoteError:
        return ""
    return printable(user or "")[:_MAX_NAME_CHARACTERS]


def _text(seen: SipMessageSeen) -> str:
    message = seen.message
    if isinstance(message, Request):
        return f"{message.method} {printable(message.request_uri)[:_MAX_URI_CHARACTERS]}"
    if isinstance(message, Response):
        return f"{message.status} {printable(message.reason)[:_MAX_URI_CHARACTERS]}"
    return seen.first_line[:_MAX_URI_CHARACTERS]


def _short(seen: SipMessageSeen) -> str:
    message = seen.message
    if isinstance(message, Request):
        try:
            user = message.to.sip_uri.user or ""
            return (
                message.method
                if message.method == "REGISTER"
                else f"{message.method} {printable(user)}"
            )
        except RemoteError:
            return message.method
    return _text(seen)


def _note(seen: SipMessageSeen) -> str:
    if seen.message is None:
        return "damaged"
    body = seen.message.body
    if _KEY.search(body):
        return "SDP with the SRTP key"
    if b"\nm=audio" in body:
        return "SDP"
    if isinstance(seen.message, Request) and seen.message.value("authorization"):
        return "digest of the password"
    return ""
