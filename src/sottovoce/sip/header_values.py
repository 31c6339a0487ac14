"""The header values a SIP element acts on: Via, CSeq, and name-addr headers.

RFC 3261 sections 20.42, 20.16, 20.10 and 25.1; RFC 3581 for rport.
"""

import re
from dataclasses import field

from ..errors import ParseError
from .grammar import (
    PLAIN_VALUE,
    QUOTED_STRING,
    TOKEN_CHARACTERS,
    Params,
    field_value,
    format_params,
    parse_delta_seconds,
    parse_number,
    parse_params,
    quote,
    shown,
    split_items,
    unquote,
)
from .uri import MAX_PORT, SipUri, bracketed, check_port, frozen_by_type

# The usual first parameter is taken along with the rest: a match is quicker than two.
# via-parm = sent-protocol LWS sent-by *( SEMI via-params ); LWS about "/" and ":" is legal,
# and so is another version than 2.0, which the start line of its message then has too
_VIA = re.compile(
    rf"[ \t]*[Ss][Ii][Pp][ \t]*/[ \t]*[0-9.]++[ \t]*/[ \t]*([{TOKEN_CHARACTERS}]++)[ \t]+"
    r"([A-Za-z0-9_][A-Za-z0-9._\-]*+|\[[0-9A-Fa-f:.]++\])[ \t]*(?::[ \t]*([0-9]{1,5})[ \t]*)?"
    rf"(?:;branch=({PLAIN_VALUE})(?=;|$))?(;[^\r]*)?",
).fullmatch

# name-addr = [ display-name ] LAQUOT addr-spec RAQUOT; display-name = *(token LWS)/ quoted-string
# Wider than the grammar: a bare display name may hold any visible character but the
# separators, since phones send names in UTF-8 without quotes.
_NAME_ADDRESS = re.compile(
    rf'[ \t]*({QUOTED_STRING}|[^\x00-\x08\x0a-\x1f\x7f"<>,;:\\]*+)[ \t]*'
    r"<([A-Za-z][A-Za-z0-9+.\-]*+:[!#-;=?-~]++)>[ \t]*"
    rf"(?:;tag=({PLAIN_VALUE})(?=;|$))?(;[^\r]*)?",
    re.DOTALL,
).fullmatch
# addr-spec standing alone: section 20.10 wants brackets if it holds comma, "?" or ";",
# so that ";" begins the header's own parameters.
_BARE_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]*+:[!#-+\--:=@-~]++)[ \t]*(;.*)?", re.DOTALL
).fullmatch

_CSEQ = re.compile(rf"[ \t]*([0-9]++)[ \t]+([{TOKEN_CHARACTERS}]++)[ \t]*").fullmatch

MAX_CSEQ = 2**32 - 1
"Section 8.1.1.5: expressible as a 32-bit unsigned integer."

MAX_MAX_FORWARDS = 255
"Section 20.22; greater values count as this one (RFC 4475 section 3.1.2.4)."

_USUAL_HOPS = {str(hops): hops for hops in range(MAX_MAX_FORWARDS + 1)}


@frozen_by_type
class Via:
    """One hop of a message's path (section 20.42)."""

    transport: str
    "In upper case, e.g. ``TLS``; unknown ones are accepted."

    host: str
    "Host of sent-by; an IPv6 address without its brackets."

    port: int | None
    "Port of sent-by, if it was written out."

    params: Params = field(default_factory=dict, hash=False)
    "Lower-case name to value as received, in order; treat as read-only."

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Read one Via item.

        Raises:
            ParseError: Not of the form the section asks for.

        """
        return cls._parse(text, 0)

    @classmethod
    def parse_first(cls, line: str) -> "Via":
        """Read the first item of a raw header line.

        Raises:
            ParseError: As for :meth:`parse`.

        """
        if "," not in line and "\r" not in line:
            return cls._parse(line, line.index(":") + 1)
        items = split_items(field_value(line))
        return cls._parse(items[0] if items else "", 0)

    @classmethod
    def _parse(cls, text: str, start: int) -> "Via":
        found = _VIA(text, start)
        if found is None:
            raise ParseError(f"{shown(text[start:])} has not the form SIP/2.0/TRANSPORT host")
        transport, host, port_digits, branch, params_text = found.groups()
        params: Params = {} if branch is None else {"branch": branch}
        return cls(
            transport.upper(),
            host[1:-1] if host[0] == "[" else host,
            None if port_digits is None else check_port(port_digits),
            parse_params(params_text, params) if params_text else params,
        )

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        params = format_params(self.params)
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{params}"

    @property
    def branch(self) -> str | None:
        """Transaction identifier; None from an RFC 2543 element."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """Source address the next hop saw; an IPv6 address without its brackets."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """Source port the next hop saw (RFC 3581).

        None without a usable value: a client that asks for one sends ``rport`` bare,
        which shows as ``"rport" in via.params``.
        """
        value = self.params.get("rport")
        if value is None or len(value) > 5 or not (value.isascii() and value.isdigit()):
            return None
        port = int(value)
        return port if 0 < port <= MAX_PORT else None


@frozen_by_type
class NameAddress:
    """A value of From, To, Contact, Route, Record-Route and their like (section 20.10)."""

    display_name: str
    "Without its quotes; empty without one."

    uri: str
    "As received."

    params: Params = field(default_factory=dict, hash=False)
    "The header's parameters, not the URI's; treat as read-only."

    @classmethod
    def parse(cls, text: str) -> "NameAddress":
        """Read one item.

        Raises:
            ParseError: Neither ``name <uri>;params`` nor ``uri;params``.

        """
        return cls._parse(text, 0)

    @classmethod
    def parse_line(cls, line: str) -> "NameAddress":
        """Read a raw header line of one item.

        Raises:
            ParseError: As for :meth:`parse`.

        """
        if "\r" in line:
            return cls._parse(field_value(line), 0)
        return cls._parse(line, line.index(":") + 1)

    @classmethod
    def check_line(cls, line: str) -> "NameAddress | re.Match[str]":
        """Read a raw header line of one item, but do not make an object of a plain one.

        Every message is checked so, and a proxy reads neither From nor To of most.

        Returns:
            The object, or what :meth:`of_match` makes it from.

        Raises:
            ParseError: As for :meth:`parse`.

        """
        found = _NAME_ADDRESS(line, line.index(":") + 1)
        if found is None or found[4]:  # an unusual form, or parameters still to be checked
            return cls.parse_line(line)
        return found

    @classmethod
    def _parse(cls, text: str, start: int) -> "NameAddress":
        found = _NAME_ADDRESS(text, start)
        return cls._parse_bare(text[start:].strip(" \t")) if found is None else cls.of_match(found)

    @classmethod
    def of_match(cls, found: re.Match[str]) -> "NameAddress":
        """Make the object of what :meth:`check_line` returned."""
        name, uri, tag, params_text = found.groups()
        if name:
            name = unquote(name) if name[0] == '"' else name.rstrip(" \t")
        params: Params = {} if tag is None else {"tag": tag}
        return cls(name, uri, parse_params(params_text, params) if params_text else params)

    @classmethod
    def _parse_bare(cls, text: str) -> "NameAddress":
        bare = _BARE_ADDRESS(text)
        if bare is None:
            raise ParseError(f"{shown(text)} is neither a name-addr nor a bare URI")
        uri, params_text = bare.groups()
        return cls("", uri, parse_params(params_text) if params_text else {})

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"

    @property
    def tag(self) -> str | None:
        """The tag parameter of From and To."""
        return self.params.get("tag")

    @property
    def sip_uri(self) -> SipUri:
        """The URI in parts.

        Raises:
            ParseError: Not a SIP or SIPS URI.

        """
        return SipUri.parse(self.uri)


@frozen_by_type
class CSeq:
    """Sequence number and method of a request (section 20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """Read the value.

        Raises:
            ParseError: Not a number below 2**32 and a method.

        """
        return cls._parse(text, 0)

    @classmethod
    def parse_line(cls, line: str) -> "CSeq":
        """Read a raw header line.

        Raises:
            ParseError: As for :meth:`parse`.

        """
        if "\r" in line:
            return cls._parse(field_value(line), 0)
        return cls._parse(line, line.index(":") + 1)

    @classmethod
    def _parse(cls, text: str, start: int) -> "CSeq":
        found = _CSEQ(text, start)
        if found is None:
            raise ParseError(f"{shown(text[start:])} is not a number and a method")
        digits, method = found.groups()
        return cls(parse_number(digits, MAX_CSEQ), method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_call_id_line(line: str) -> str:
    """Read a raw Call-ID line.

    Raises:
        ParseError: It is empty.

    """
    value = field_value(line)
    if not value:
        raise ParseError("empty")
    return value


def parse_max_forwards_line(line: str) -> int:
    """Read a raw Max-Forwards line; more than 255 becomes 255.

    Raises:
        ParseError: Not a number.

    """
    value = field_value(line)
    hops = _USUAL_HOPS.get(value)
    return min(parse_delta_seconds(value), MAX_MAX_FORWARDS) if hops is None else hops


def parse_expires_line(line: str) -> int:
    """Read a raw Expires line in seconds, at most 2**32 - 1.

    Raises:
        ParseError: Not a number.

    """
    return parse_delta_seconds(field_value(line))
