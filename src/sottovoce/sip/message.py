"""Requests and responses: fields kept as received, parsed when asked.  RFC 3261 section 7.

A field is a pair: the header's name in canonical form (long, lower case) and the whole
raw line as it stood on the wire, folds kept, without its last CRLF.  A message is not
changed in place: the ``with`` and ``without`` methods return changed copies that share
all untouched lines, so that order and unknown headers survive a proxy.
"""

from collections.abc import Callable, Iterable
from re import Match
from typing import Any, Final, Self, TypeVar

from ..errors import LocalError, ParseError
from .field_names import COMMON_SPELLINGS, canonical_name, wire_name
from .grammar import field_value, is_token, shown, split_items
from .header_values import (
    CSeq,
    NameAddress,
    Via,
    parse_call_id_line,
    parse_expires_line,
    parse_max_forwards_line,
)
from .reasons import REASONS
from .uri import SipUri, is_uri_text

Field = tuple[str, str]
_Value = TypeVar("_Value")


def field(name: str, value: str) -> Field:
    """Make a field from a header name in wire form and its value.

    Raises:
        LocalError: The name is no token, or the value holds CR, LF or NUL, with which
            a text from elsewhere could add headers of its own.

    """
    if "\n" in value or "\r" in value or "\0" in value:
        raise LocalError(f"value of {name} holds a line break or NUL")
    try:
        return canonical_name(name), f"{name}: {value}"
    except ParseError as wrong:
        raise LocalError(f"{shown(name)} is not a header name") from wrong


class Message:
    """What requests and responses have in common.

    Properties named after headers parse on first use and keep the result; each raises
    :exc:`ParseError` if the header is missing or malformed, unless it may be None.
    Header names given to methods are taken in any spelling.
    """

    __slots__ = ("_first", "_parsed", "_raw", "body", "fields")

    fields: list[Field]
    "All headers in order.  Shared between copies: never change this list in place."

    body: bytes

    _raw: bytes | None
    "The octets received, while nothing was changed."

    _first: dict[str, str] | None
    "Canonical name to the first raw line of that name."

    _parsed: dict[str, Any]
    "Header values parsed so far; From and To perhaps only matched."

    @property
    def start_line(self) -> str:
        """The first line, without its CRLF."""
        raise NotImplementedError

    # Reading fields

    def value(self, name: str) -> str | None:
        """Return the value of the first field of that name, None without one."""
        line = self._index().get(COMMON_SPELLINGS.get(name) or canonical_name(name))
        return None if line is None else field_value(line)

    def values(self, name: str) -> list[str]:
        """Return the value of every field of that name."""
        name = canonical_name(name)
        return [field_value(line) for found, line in self.fields if found == name]

    def items(self, name: str) -> list[str]:
        """Return the comma-separated items of all fields of that name, in order.

        Raises:
            ParseError: A quote or bracket is not closed.

        """
        name = COMMON_SPELLINGS.get(name) or canonical_name(name)
        items: list[str] = []
        if name in self._index():
            for found, line in self.fields:
                if found == name:
                    items += split_items(field_value(line))
        return items

    def __contains__(self, name: str) -> bool:
        return (COMMON_SPELLINGS.get(name) or canonical_name(name)) in self._index()

    # Parsed headers

    @property
    def top_via(self) -> Via:
        """The first Via item."""
        found: Via | None = self._parsed.get("via")
        if found is None:
            found = self._parsed["via"] = self._parse("via", Via.parse_first)
        return found

    @property
    def from_(self) -> NameAddress:
        """Who sends the request."""
        return self._name_address("from")

    @property
    def to(self) -> NameAddress:
        """Whom the request is for."""
        return self._name_address("to")

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        found: CSeq | None = self._parsed.get("cseq")
        if found is None:
            found = self._parsed["cseq"] = self._parse("cseq", CSeq.parse_line)
        return found

    @property
    def call_id(self) -> str:
        """The Call-ID, never empty."""
        found: str | None = self._parsed.get("call-id")
        if found is None:
            found = self._parsed["call-id"] = self._parse("call-id", parse_call_id_line)
        return found

    @property
    def max_forwards(self) -> int | None:
        """Hops left, at most 255; None without the header."""
        found: int | None = self._parsed.get("max-forwards")
        if found is None and "max-forwards" in self._index():
            found = self._parse("max-forwards", parse_max_forwards_line)
            self._parsed["max-forwards"] = found
        return found

    @property
    def expires(self) -> int | None:
        """The Expires header in seconds, at most 2**32 - 1; None without it."""
        if "expires" not in self._index():
            return None
        return self._parse("expires", parse_expires_line)

    @property
    def contacts(self) -> list[NameAddress]:
        """Every Contact; ``*`` (only in REGISTER) is refused here: ask ``items`` first."""
        return self._parse_list("contact")

    @property
    def routes(self) -> list[NameAddress]:
        """Every Route, topmost first."""
        return self._parse_list("route")

    @property
    def record_routes(self) -> list[NameAddress]:
        """Every Record-Route, topmost first."""
        return self._parse_list("record-route")

    @property
    def vias(self) -> list[Via]:
        """Every Via, topmost first."""
        return [Via.parse(item) for item in self.items("via")]

    @property
    def content_type(self) -> str:
        """Content-Type with its parameters as received; "" without one."""
        return self.value("content-type") or ""

    @property
    def media_type(self) -> str:
        """Content-Type in lower case without parameters, e.g. ``application/sdp``."""
        return self.content_type.partition(";")[0].strip(" \t").lower()

    # Changed copies

    def with_fields(self, fields: list[Field]) -> Self:
        """Return a copy that has these fields and everything else unchanged."""
        raise NotImplementedError

    def with_body(self, body: bytes) -> Self:
        """Return a copy with another body; Content-Length is set right when written."""
        changed = self._changed(self.fields, "content-length")
        changed.body = body
        return changed

    def with_top(self, name: str, value: str) -> Self:
        """Return a copy with a new field before the first of its name, or before all."""
        new = field(name, value)
        at = next((i for i, old in enumerate(self.fields) if old[0] == new[0]), 0)
        return self._changed([*self.fields[:at], new, *self.fields[at:]], new[0])

    def with_added(self, name: str, value: str) -> Self:
        """Return a copy with a new field after all others."""
        new = field(name, value)
        return self._changed([*self.fields, new], new[0])

    def with_replaced(self, name: str, value: str) -> Self:
        """Return a copy with one field of that name: in the first one's place, or last."""
        new = field(name, value)
        kept: list[Field] = []
        placed = False
        for old in self.fields:
            if old[0] != new[0]:
                kept.append(old)
            elif not placed:
                kept.append(new)
                placed = True
        if not placed:
            kept.append(new)
        return self._changed(kept, new[0])

    def with_replaced_top_via(self, via: Via) -> Self:
        """Return a copy whose first Via item is this one.

        Raises:
            ParseError: There is no Via.

        """
        changed = self._with_top_items("via", [str(via)])
        changed._parsed["via"] = via
        return changed

    def without_top_item(self, name: str) -> Self:
        """Return a copy without the first comma item of the first field of that name.

        Raises:
            ParseError: There is none.

        """
        return self._with_top_items(canonical_name(name), [])

    def without(self, name: str, holding: str = "") -> Self:
        """Return a copy with no field of that name, or with none whose line holds a text."""
        name = canonical_name(name)
        kept = [old for old in self.fields if old[0] != name or holding not in old[1]]
        return self._changed(kept, name)

    # Writing

    def to_bytes(self) -> bytes:
        """Write the message.

        One that was parsed and not changed comes out octet for octet (without CRLFs
        that stood before it and octets that stood behind its body); otherwise
        Content-Length is set to the body's length.
        """
        if self._raw is not None:
            return self._raw
        lines = [line for _, line in self.fields]
        length = str(len(self.body))
        length_line = f"Content-Length: {length}"
        if length_line not in lines and self.value("content-length") != length:
            kept = [line for name, line in self.fields if name != "content-length"]
            lines = [*kept, length_line]
        head = "\r\n".join((self.start_line, *lines, "", ""))
        return head.encode("utf-8", "surrogateescape") + self.body

    __bytes__ = to_bytes

    # Inside

    def _changed(self, fields: list[Field], name: str) -> Self:
        """Return a copy with these fields, which differ only in headers of that name."""
        changed = self.with_fields(fields)
        parsed = changed._parsed = self._parsed.copy()
        parsed.pop(name, None)
        return changed

    def _with_top_items(self, name: str, items: list[str]) -> Self:
        """Put items in the place of the first one of that name."""
        fields = self.fields
        for at, (found, line) in enumerate(fields):
            if found == name and (old := split_items(field_value(line))):
                items = items + old[1:]
                # Not through field(), which checks: items read from a message are clean, and
                # a quoted NUL in a Via is no mistake of ours.
                new = [(name, f"{wire_name(name)}: {', '.join(items)}")] if items else []
                return self._changed([*fields[:at], *new, *fields[at + 1 :]], name)
        raise ParseError(f"{wire_name(name)}: missing")

    def _index(self) -> dict[str, str]:
        first = self._first
        if first is None:
            first = self._first = dict(reversed(self.fields))
        return first

    def _parse(self, name: str, parse: Callable[[str], _Value]) -> _Value:
        line = (self._first or self._index()).get(name)
        if line is None:
            raise ParseError(f"{wire_name(name)}: missing")
        try:
            return parse(line)
        except ParseError as wrong:
            raise ParseError(f"{wire_name(name)}: {wrong}") from None

    def _name_address(self, name: str) -> NameAddress:
        found: NameAddress | Match[str] | None = self._parsed.get(name)
        if isinstance(found, NameAddress):
            return found
        if found is None:
            made = self._parse(name, NameAddress.parse_line)
        else:  # the parser has checked it
            made = NameAddress.of_match(found)
        self._parsed[name] = made
        return made

    def _parse_list(self, name: str) -> list[NameAddress]:
        found: list[NameAddress] | None = self._parsed.get(name)
        if found is None:
            try:
                found = [NameAddress.parse(item) for item in self.items(name)]
            except ParseError as wrong:
                raise ParseError(f"{wire_name(name)}: {wrong}") from None
            self._parsed[name] = found
        return found.copy()


class Request(Message):
    """A request.  The constructor takes parts that are right already; see :meth:`make`."""

    __slots__ = ("method", "request_uri")

    def __init__(
        self, method: str, request_uri: str, fields: list[Field], body: bytes = b""
    ) -> None:
        self.method = method
        self.request_uri = request_uri
        self.fields = fields
        self.body = body
        self._raw = None
        self._first = None
        self._parsed = {}

    @classmethod
    def make(
        cls, method: str, request_uri: str, fields: Iterable[tuple[str, str]], body: bytes = b""
    ) -> "Request":
        """Make a request from headers in wire form, e.g. ``("Via", "SIP/2.0/TLS ...")``.

        Raises:
            LocalError: A part would break the message's form.

        """
        if not is_token(method) or not is_uri_text(request_uri):
            raise LocalError(f"{shown(method)} {shown(request_uri)} makes no start line")
        return cls(method, request_uri, [field(*pair) for pair in fields], body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {shown(self.request_uri)}>"

    @property
    def start_line(self) -> str:
        """Request-Line (section 7.1), without its CRLF."""
        return f"{self.method} {self.request_uri} SIP/2.0"

    @property
    def uri(self) -> SipUri:
        """The Request-URI in parts.

        Raises:
            ParseError: Malformed, or holds headers, which section 19.1.1 forbids here
                (status 400); of another scheme (416).

        """
        found: SipUri | None = self._parsed.get("request-uri")
        if found is None:
            found = SipUri.parse(self.request_uri)
            if found.headers:
                raise ParseError(f"Request-URI {shown(self.request_uri)} holds headers")
            self._parsed["request-uri"] = found
        return found

    def with_fields(self, fields: list[Field]) -> "Request":
        """Return a copy that has these fields and everything else unchanged."""
        return Request(self.method, self.request_uri, fields, self.body)

    def with_request_uri(self, request_uri: str) -> "Request":
        """Return a copy with another Request-URI.

        Raises:
            LocalError: The text holds what no URI may hold.

        """
        if not is_uri_text(request_uri):
            raise LocalError(f"{shown(request_uri)} is not a Request-URI")
        changed = self._changed(self.fields, "request-uri")
        changed.request_uri = request_uri
        return changed


class Response(Message):
    """A response.  The constructor takes parts that are right already; see :meth:`make`."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, fields: list[Field], body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
        self._raw = None
        self._first = None
        self._parsed = {}

    @classmethod
    def make(
        cls, status: int, reason: str, fields: Iterable[tuple[str, str]], body: bytes = b""
    ) -> "Response":
        """Make a response from headers in wire form; no reason means the usual one.

        Raises:
            LocalError: A part would break the message's form.

        """
        reason = reason or REASONS.get(status, "")
        if not 100 <= status <= 699 or "\r" in reason or "\n" in reason:
            raise LocalError(f"{status} {shown(reason)} makes no start line")
        return cls(status, reason, [field(*pair) for pair in fields], body)

    @classmethod
    def to_request(
        cls,
        request: Request,
        status: int,
        reason: str = "",
        *,
        to_tag: str | None,
        fields: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> "Response":
        """Answer a request (section 8.2.6.2).

        Copies Via, From, To, Call-ID and CSeq; Record-Route too in a response that may
        form a dialog (section 12.1.1), Timestamp in a 100 (section 8.2.6.1).

        Args:
            request: What is answered.
            status: 100 to 699.
            reason: Empty for the usual phrase.
            to_tag: Added to To unless that has a tag; None adds none (for 100).
            fields: More headers, in wire form.
            body: Empty, or content whose Content-Type is among ``fields``.

        """
        copied = _COPIED
        if 100 < status < 300:
            copied = _COPIED_IN_DIALOG
        elif status == 100:
            copied = _COPIED_IN_TRYING
        kept = [old for old in request.fields if old[0] in copied]
        if to_tag is not None and _has_no_to_tag(request):
            kept = [
                (name, f"{line};tag={to_tag}") if name == "to" else (name, line)
                for name, line in kept
            ]
        response = cls.make(status, reason, fields, body)
        response.fields[:0] = kept
        return response

    def __repr__(self) -> str:
        return f"<Response {self.status} {shown(self.reason)}>"

    @property
    def start_line(self) -> str:
        """Status-Line (section 7.2), without its CRLF."""
        return f"SIP/2.0 {self.status} {self.reason}"

    def with_fields(self, fields: list[Field]) -> "Response":
        """Return a copy that has these fields and everything else unchanged."""
        return Response(self.status, self.reason, fields, self.body)


def _has_no_to_tag(request: Request) -> bool:
    """Say if a tag can be added to To; one that cannot be read is echoed as it came."""
    try:
        return request.to.tag is None
    except ParseError:
        return False


_COPIED: Final = frozenset({"via", "from", "to", "call-id", "cseq"})
_COPIED_IN_DIALOG: Final = _COPIED | {"record-route"}
_COPIED_IN_TRYING: Final = _COPIED | {"timestamp"}
