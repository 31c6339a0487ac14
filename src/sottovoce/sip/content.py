"""Session descriptions in message bodies.  RFC 3261 section 7.4, RFC 2046 section 5.1, RFC 5621.

A description stays opaque octets here; only where it stands is known.
"""

import re
from collections.abc import Iterator
from typing import Final

from ..errors import ParseError
from .grammar import parse_params, unquote
from .message import Message

SDP_TYPE: Final = "application/sdp"
MULTIPART: Final = "multipart/"
#: Parts of one multipart body; calls with location or ISUP beside the SDP have three.
MAX_PARTS: Final = 16

_PART_TYPE = re.compile(rb"^content-type[ \t]*:[ \t]*([^;\s]++)", re.IGNORECASE | re.MULTILINE)
# An encoding that changes octets; SIP asks for none (RFC 3261 section 27.5 says binary).
_PART_ENCODED = re.compile(
    rb"^content-(?:transfer-)?encoding[ \t]*:[ \t]*+(?!7bit|8bit|binary|identity)",
    re.IGNORECASE | re.MULTILINE,
)


def find_sdp(message: Message) -> bytes | None:
    """Return the session description of a message, None if it has none that can be read.

    It is the body itself, or the first such part of a multipart body.
    """
    if not message.body:
        return None
    media_type = message.media_type
    if media_type == SDP_TYPE:
        return message.body
    if media_type.startswith(MULTIPART):
        for head, content in _parts(message.body, message.content_type):
            found = _PART_TYPE.search(head)
            if found and found[1].lower() == SDP_TYPE.encode() and not _PART_ENCODED.search(head):
                return content
    return None


def _parts(body: bytes, content_type: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield head and content of each part; nothing if the body is not what its type says."""
    boundary = _boundary(content_type)
    if boundary is None:
        return
    # dash-boundary stands at the start of a line; the CRLF before it belongs to it.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 1)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):  # the close-delimiter; what follows is an epilogue
            return
        line_end = piece.find(b"\r\n")
        if line_end < 0 or piece[:line_end].strip(b" \t"):
            continue
        part = piece[line_end:]  # a part without headers begins with the empty line
        head, found, content = part.partition(b"\r\n\r\n")
        if found:
            yield head[2:], content


def _boundary(content_type: str) -> bytes | None:
    _, semicolon, params = content_type.partition(";")
    try:
        value = parse_params(semicolon + params).get("boundary")
    except ParseError:
        return None
    return unquote(value).encode("utf-8", "surrogateescape") if value else None
