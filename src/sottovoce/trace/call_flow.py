"""The SIP messages in a capture, on whatever port they travel.

A payload is tried as SIP when its first line is one (RFC 3261 section 7), so that
nothing depends on port numbers.  A message that does not parse is kept with its first
line: a third party reads it all the same.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass

from ..errors import RemoteError
from ..sip import Request, Response, StreamFramer, parse_message
from ..sip.transport import Transport
from .event import DatagramSeen, Endpoint, Event, StreamBytesSeen

#: Messages kept of one capture (some 60 MB of usual ones); later ones are only counted.
MAX_MESSAGES = 20_000

#: TCP directions read as SIP at the same time; the one silent for longest goes first.
MAX_STREAMS = 4096

#: A first line longer than this is not waited for on a stream.
MAX_FIRST_LINE_BYTES = 8192

# Request-Line = Method SP Request-URI SP SIP-Version; Status-Line = SIP-Version SP 3DIGIT SP ...
_FIRST_LINE = re.compile(
    rb"[\r\n]*(SIP/2\.0 [1-6][0-9]{2}[ \r\n][^\r\n]*|[A-Za-z0-9.!%*_+`'~-]{1,32} "
    rb"[^\s]{1,8192} SIP/2\.0)\r?\n",
    re.IGNORECASE,
)
_FIRST_LINE_SO_FAR = re.compile(rb"[\r\n]*[A-Za-z0-9.!%*_+`'~/-]{0,32}(?: [^\r\n]*)?\r?")


@dataclass(frozen=True, slots=True)
class SipMessageSeen:
    """A SIP message that anyone on the wire could read."""

    frame: int
    "The packet that completed it."

    at_s: float
    transport: Transport
    source: Endpoint
    destination: Endpoint
    first_line: str
    "As sent, with what cannot be printed escaped."

    message: Request | Response | None
    "None if it does not parse."

    error: str = ""
    "Why it does not parse."


class CallFlow:
    """Collect the SIP messages of a capture, in the order they were completed."""

    def __init__(self) -> None:
        self.messages: list[SipMessageSeen] = []
        self.messages_seen = 0
        self._streams: OrderedDict[tuple[Endpoint, Endpoint], _SipStream] = OrderedDict()

    def receive_event(self, event: Event) -> bool:
        """Take what was seen next; say whether it was SIP."""
        if isinstance(event, DatagramSeen):
            if not _FIRST_LINE.match(event.payload):
                return False
            self._add(event, Transport.UDP, event.payload)
            return True
        way = (event.source, event.destination)
        stream = self._streams.get(way)
        if stream is None:
            stream = self._streams[way] = _SipStream()
            if len(self._streams) > MAX_STREAMS:
                self._streams.popitem(last=False)
        self._streams.move_to_end(way)
        messages = stream.receive_bytes(event.payload, after_gap=event.after_gap)
        for octets in messages:
            self._add(event, Transport.TCP, octets)
        return stream.is_sip

    def _add(
        self, event: DatagramSeen | StreamBytesSeen, transport: Transport, octets: bytes
    ) -> None:
        self.messages_seen += 1
        if len(self.messages) >= MAX_MESSAGES:
            return
        message, error = None, ""
        octets = octets.lstrip(b"\r\n")
        try:
            message = parse_message(octets)
        except RemoteError as problem:
            error = str(problem)
        self.messages.append(
            SipMessageSeen(
                event.frame,
                event.at_s,
                transport,
                event.source,
                event.destination,
                printable(octets.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")),
                message,
                error,
            )
        )


class _SipStream:
    """One direction of a TCP connection, as far as it is SIP.

    After a gap or a message without end, reading starts again at the first segment that
    begins like a message.
    """

    def __init__(self) -> None:
        self._framer: StreamFramer | None = None
        self._undecided = b""

    @property
    def is_sip(self) -> bool:
        return self._framer is not None

    def receive_bytes(self, octets: bytes, *, after_gap: bool) -> list[bytes]:
        """Return the messages that are whole now."""
        if after_gap:
            self._framer, self._undecided = None, b""
        if self._framer is None:
            octets, self._undecided = self._undecided + octets, b""
            if not _FIRST_LINE.match(octets):
                if len(octets) <= MAX_FIRST_LINE_BYTES and _FIRST_LINE_SO_FAR.fullmatch(octets):
                    self._undecided = octets
                return []
            self._framer = StreamFramer()
        messages = []
        try:
            self._framer.receive_bytes(octets)
            while (message := self._framer.next_message()) is not None:
                messages.append(message)
        except RemoteError:
            self._framer = None
        return messages


def printable(text: str) -> str:
    """Make a stranger's text safe for a terminal: control and format characters are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
