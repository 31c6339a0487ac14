"""Cut a byte stream into SIP messages.  RFC 3261 sections 7.5 and 18.3; RFC 5626 section 4.4.1."""

import re
from typing import Final

from ..errors import ParseError
from .parser import MAX_BODY_BYTES, MAX_HEAD_BYTES

_CRLF = b"\r\n"
_EMPTY_LINE = b"\r\n\r\n"
# Content-Length in any spelling, its value with folds.
_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*)", re.IGNORECASE
)
_MAX_LENGTH_DIGITS: Final = 10


class StreamFramer:
    """One direction of one TCP or TLS connection.

    Feed octets, then take messages until there is none::

        framer.receive_bytes(data)
        while (message := framer.next_message()) is not None:
            ...

    Every octet is looked at once, however slowly they come.  What waits here is bounded
    by :data:`MAX_HEAD_BYTES`, :data:`MAX_BODY_BYTES` and the last ``data``.

    A :exc:`ParseError` from either method means that nobody knows where the next message
    begins: close the connection.
    """

    __slots__ = (
        "_after_crlf",
        "_buffer",
        "_needed_bytes",
        "_pings",
        "_pongs",
        "_scanned_bytes",
        "messages",
    )

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned_bytes = 0  # no empty line ends before here
        self._needed_bytes = 0  # head and body of the message under way, 0 if not known
        self._after_crlf = False  # the last octets taken were one CRLF between messages
        self._pings = 0
        self._pongs = 0
        self.messages = 0
        "Handed over so far."

    def receive_bytes(self, data: bytes) -> None:
        """Take octets in the order in which the connection delivered them."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """Hand over the next whole message, or None until more octets come.

        Raises:
            ParseError: Headers or body are too great, or Content-Length is missing,
                doubled or no number.

        """
        buffer = self._buffer
        if not buffer:
            return None
        if not self._needed_bytes:
            if buffer.startswith(_CRLF[:1]):
                self._take_keep_alives()
            end = buffer.find(_EMPTY_LINE, self._scanned_bytes)
            if end < 0 or end > MAX_HEAD_BYTES:
                if len(buffer) > MAX_HEAD_BYTES + len(_EMPTY_LINE):
                    raise ParseError(f"headers are over {MAX_HEAD_BYTES} bytes", status_hint=513)
                self._scanned_bytes = max(0, len(buffer) - len(_EMPTY_LINE) + 1)
                return None
            self._after_crlf = False
            self._needed_bytes = end + len(_EMPTY_LINE) + _content_length(buffer, end)
        needed = self._needed_bytes
        if len(buffer) < needed:
            return None
        message = bytes(buffer) if len(buffer) == needed else bytes(memoryview(buffer)[:needed])
        del buffer[:needed]
        self._needed_bytes = self._scanned_bytes = 0
        self.messages += 1
        return message

    def take_pings(self) -> int:
        """Hand over how many double CRLFs came between messages; each wants one CRLF back."""
        pings, self._pings = self._pings, 0
        return pings

    def take_pongs(self) -> int:
        """Hand over how many single CRLFs came between messages: answers to our pings.

        A ping that arrives in two parts may be counted as a pong first.
        """
        pongs, self._pongs = self._pongs, 0
        return pongs

    @property
    def waiting_bytes(self) -> int:
        """Octets of a message that is not whole yet."""
        return len(self._buffer)

    def _take_keep_alives(self) -> None:
        """Drop CRLFs that stand before a start line, counting them."""
        buffer = self._buffer
        taken = 0
        while buffer.startswith(_CRLF, taken):
            taken += len(_CRLF)
            if self._after_crlf:
                self._after_crlf = False
                self._pings += 1
                self._pongs = max(0, self._pongs - 1)
            else:
                self._after_crlf = True
                self._pongs += 1
        del buffer[:taken]
        self._scanned_bytes = 0


def _content_length(buffer: bytearray, head_bytes: int) -> int:
    """Read the one Content-Length of a message on a stream (section 20.14)."""
    values = _CONTENT_LENGTH.findall(buffer, 0, head_bytes)
    if len(values) != 1:
        raise ParseError(f"Content-Length stands {len(values)} times, needed once on a stream")
    digits = values[0].strip(b" \t\r\n")
    if not digits.isdigit() or len(digits) > _MAX_LENGTH_DIGITS:
        raise ParseError(f"Content-Length {digits[:_MAX_LENGTH_DIGITS]!r} is not a length")
    length = int(digits)
    if length > MAX_BODY_BYTES:
        raise ParseError(f"body of {length} bytes is over {MAX_BODY_BYTES}", status_hint=513)
    return length
