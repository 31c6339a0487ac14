"""From the octets of one whole message to a Request or Response.  RFC 3261 section 7.

What must hold for every message is checked here, before anybody acts on it: an exact
start line, clean lines, the headers each element needs there once and readable, one
right Content-Length.  All other headers are found here and parsed when asked for.
"""

import re
from typing import Final

from ..errors import LocalError, ParseError
from .field_names import COMMON_SPELLINGS, SINGLE_INSTANCE, canonical_name, wire_name
from .grammar import TOKEN_CHARACTERS, field_value, parse_number, shown
from .header_values import (
    CSeq,
    NameAddress,
    Via,
    parse_call_id_line,
    parse_max_forwards_line,
)
from .message import Field, Message, Request, Response

MAX_HEAD_BYTES: Final = 32 * 1024
"Start line and headers.  Long routes, tokens and certificates in headers stay under 16 KiB."

MAX_BODY_BYTES: Final = 128 * 1024
"Session descriptions are under 4 KiB; presence and multipart documents stay under this."

MAX_LINE_BYTES: Final = 8 * 1024
"One header with its folds.  The longest in use, Identity and tokens, stay under 6 KiB."

MAX_FIELDS: Final = 256
"Header fields.  70 hops with Via and Record-Route each make 140."

# Request-Line = Method SP Request-URI SP SIP-Version; Status-Line = SIP-Version SP 3DIGIT SP ...
# One SP each, nothing behind: RFC 4475 sections 3.1.2.8 to 3.1.2.10.
_REQUEST_LINE = re.compile(rf"([{TOKEN_CHARACTERS}]++) ([!#-;=?-~]++) [Ss][Ii][Pp]/2\.0")
_STATUS_LINE = re.compile(r"[Ss][Ii][Pp]/2\.0 ([1-6][0-9][0-9]) ([^\x00-\x08\x0a-\x1f\x7f]*+)")
_OTHER_VERSION = re.compile(
    rf"(?:[{TOKEN_CHARACTERS}]++ \S++ )?[Ss][Ii][Pp]/(?!2\.0(?![0-9]))[0-9]++\.[0-9]++(?: .*)?"
)

MAX_LENGTH: Final = 2**32 - 1
"Content-Length, before it is compared with what is there."

_UNFOLDED_LINE_END = re.compile(r"\r\n(?![ \t])")
# NUL stands only as a quoted-pair (RFC 4475 section 3.1.1.2).
_BARE_NUL = re.compile(r"(?<!\\)\x00")

# What every element reads of every message; reading is checking.
_ROUTING_HEADERS: Final = (
    ("cseq", CSeq.parse_line),
    ("via", Via.parse_first),
    ("from", NameAddress.check_line),
    ("to", NameAddress.check_line),
    ("call-id", parse_call_id_line),
    ("max-forwards", parse_max_forwards_line),
)

_NEEDED: Final = frozenset({"via", "to", "from", "call-id", "cseq"})

#: Methods of the IANA registry: another one is answered 501, not 400, if its CSeq is wrong.
KNOWN_METHODS: Final = frozenset({
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK",
    "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE",
})  # fmt: skip


def parse_message(data: bytes) -> Request | Response:
    """Read a whole datagram, or one message out of a :class:`StreamFramer`.

    CRLFs before the start line are skipped (section 7.5).  Without Content-Length the
    body is the rest; octets beyond Content-Length are ignored (section 18.3).

    Raises:
        ParseError: The message must not be acted on; ``status_hint`` is the answer if
            it is a request (see :func:`salvage`), a response is dropped.

    """
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")
    head_bytes = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES + 4)
    if head_bytes < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise ParseError(f"headers are over {MAX_HEAD_BYTES} bytes", status_hint=513)
        raise ParseError("no empty line ends the headers")
    head = data[:head_bytes].decode("utf-8", "surrogateescape")
    lines = _split_lines(head)
    message = _start(lines[0])
    message.fields, first = _split_fields(head, lines)
    message._first = first
    if not first.keys() >= _NEEDED:
        missing = sorted(wire_name(name) for name in _NEEDED - first.keys())
        raise ParseError(f"{', '.join(missing)}: missing")
    _set_body(message, first, data, head_bytes + 4)
    _read_routing_headers(message, first)
    return message


def _split_lines(head: str) -> list[str]:
    """Split at line ends; refuse what another parser may take for one."""
    lines = head.split("\r\n")
    within = "".join(lines)  # and look in there: counting line ends takes four times as long
    if "\r" in within or "\n" in within:
        raise ParseError("a bare CR or LF stands in the headers")
    if "\0" in head and _BARE_NUL.search(head):
        raise ParseError("a bare NUL stands in the headers")
    return lines


def _start(line: str) -> Request | Response:
    found = _REQUEST_LINE.fullmatch(line)
    if found is not None:
        return Request(found[1], found[2], [])
    found = _STATUS_LINE.fullmatch(line)
    if found is not None:
        return Response(int(found[1]), found[2], [])
    if _OTHER_VERSION.fullmatch(line):
        raise ParseError(f"version of {shown(line)} is not SIP/2.0", status_hint=505)
    raise ParseError(f"{shown(line)} is no start line")


def _split_fields(head: str, lines: list[str]) -> tuple[list[Field], dict[str, str]]:
    """Return all fields, and the first line of each name."""
    known = COMMON_SPELLINGS
    start = lines[0]
    lines = lines[1:]
    try:  # a line without colon gives no name: "Route" alone must not pass for a header
        names = [known[part[0]] for line in lines if (part := line.partition(":"))[1]]
    except KeyError:
        names = []
    if len(names) != len(lines):  # a fold, an unusual spelling, or no header
        unfolded, *lines = _UNFOLDED_LINE_END.split(head)
        if unfolded != start:
            raise ParseError("the start line is folded")
        names = [_name(line) for line in lines]
    if len(lines) > MAX_FIELDS:
        raise ParseError(f"{len(lines)} headers are over {MAX_FIELDS}", status_hint=513)
    if len(head) > MAX_LINE_BYTES and max(map(len, lines)) > MAX_LINE_BYTES:
        raise ParseError(f"a header is over {MAX_LINE_BYTES} bytes", status_hint=513)
    fields = list(zip(names, lines, strict=True))
    first = dict(reversed(fields))
    # Via alone stands more than once in nearly all messages.
    if len(names) - len(first) != names.count("via") - 1:
        _check_doubles(names)
    return fields, first


def _name(line: str) -> str:
    name, colon, _ = line.partition(":")
    if not colon:
        raise ParseError(f"header {shown(line)} has no colon")
    return canonical_name(name)


def _check_doubles(names: list[str]) -> None:
    """Refuse doubles that two elements may read differently."""
    single = [name for name in names if name in SINGLE_INSTANCE]
    for name in set(single):
        if single.count(name) > 1:
            raise ParseError(f"{wire_name(name)}: stands twice")


def _set_body(message: Message, first: dict[str, str], data: bytes, body_at: int) -> None:
    end = len(data)
    declared = first.get("content-length")
    if declared is not None:
        try:
            end = body_at + parse_number(field_value(declared), MAX_LENGTH)
        except ParseError as wrong:
            raise ParseError(f"Content-Length: {wrong}") from None
        if end > len(data):
            short = end - len(data)
            raise ParseError(f"Content-Length: body ends {short} bytes before it should")
    if end - body_at > MAX_BODY_BYTES:
        raise ParseError(f"body is over {MAX_BODY_BYTES} bytes", status_hint=513)
    message.body = data[body_at:end]
    message._raw = data if end == len(data) else data[:end]


def _read_routing_headers(message: Request | Response, first: dict[str, str]) -> None:
    """Read what every element reads, so that no malformed one gets past here."""
    parsed = message._parsed
    name = ""
    try:
        for name, parse in _ROUTING_HEADERS:
            if name in first:
                parsed[name] = parse(first[name])
    except ParseError as wrong:
        raise ParseError(f"{wire_name(name)}: {wrong}") from None
    if isinstance(message, Request) and message.cseq.method != message.method:
        raise ParseError(
            f"CSeq: method {shown(message.cseq.method)} is not that of the start line",
            status_hint=400 if message.method in KNOWN_METHODS else 501,
        )


def salvage(data: bytes) -> Request | None:
    """Make enough of a broken request that a response can be sent to it.

    The result has all Via lines and the first From, To, Call-ID and CSeq, as far as they
    are there, for :meth:`Response.to_request` to copy; only its ``top_via`` and
    ``call_id`` are sure to be readable.  None if these two are not, if other elements
    may split the lines differently, or for ACK, which is never answered.
    """
    head = data.lstrip(b"\r\n")[:MAX_HEAD_BYTES].partition(b"\r\n\r\n")[0]
    lines = _UNFOLDED_LINE_END.split(head.decode("utf-8", "surrogateescape"))
    method, space, _ = lines[0].partition(" ")
    if not space or method == "ACK" or "/" in method:  # a status line, or nothing at all
        return None
    fields: list[Field] = []
    for line in lines[1 : MAX_FIELDS + 1]:
        try:
            name = canonical_name(line.partition(":")[0])
        except ParseError:
            continue
        repeated = name != "via" and any(name == seen for seen, _ in fields)
        if name in _NEEDED and ":" in line and not repeated:
            fields.append((name, line))
    try:
        _split_lines("\r\n".join(line for _, line in fields))
        request = Request.make(method, "sip:invalid", ()).with_fields(fields)
        _ = request.top_via, request.call_id
    except (ParseError, LocalError):
        return None
    return request
