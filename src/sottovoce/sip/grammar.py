"""The lexical rules every SIP header shares.  RFC 3261 sections 7.3.1 and 25.1.

Texts here are header values as ``str``: one line, or folded lines joined by
:func:`unfold`.  Octets that are not UTF-8 stand as lone surrogates (PEP 383) and come
out again unchanged.  Every pattern takes time linear in its input.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import LocalError, ParseError

# token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
TOKEN_CHARACTERS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 - no password
# No group here or elsewhere is possessive, as in "(...)*+": the re module of Python 3.11.2,
# which Debian 12 has, loses its place when such a group's last round fails half-way.
# quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
QUOTED_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*"'

# Wider than gen-value: tags and branches in the field hold "@", "=" and "/" too.
PLAIN_VALUE: Final = r'[^\x00-\x20\x7f";,<>]++'

Params = dict[str, str | None]
"Parameters by lower-case name."

is_token: Final = re.compile(rf"[{TOKEN_CHARACTERS}]++", re.ASCII).fullmatch

_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_QUOTED_PAIR = re.compile(r'["\\\x00-\x08\x0b-\x1f\x7f]')

# A piece of a list: anything but the separator, with quoted strings and <...> whole.
_COMMA_ITEM = re.compile(rf'(?:[^,"<>]++|{QUOTED_STRING}|<[^<>"]*+>)*', re.DOTALL)

# generic-param = token [ EQUAL gen-value ]; gen-value = token / host / quoted-string
_PARAM = re.compile(
    rf";[ \t]*([{TOKEN_CHARACTERS}]++)[ \t]*"
    rf"(?:=[ \t]*({PLAIN_VALUE}|{QUOTED_STRING})[ \t]*)?",
    re.DOTALL,
).match

MAX_PARAMS: Final = 64
"Parameters of one header value: far over any real one, so that no list grows for ever."

# Longest digit string worth converting; delta-seconds and CSeq are under 2**32.
_SIGNIFICANT_DIGITS = 10
MAX_DELTA_SECONDS: Final = 2**32 - 1


def unfold(text: str) -> str:
    """Join folded lines with one space and strip the ends (section 7.3.1)."""
    return (_FOLD.sub(" ", text) if "\r" in text else text).strip(" \t")


def field_value(line: str) -> str:
    """Return the value of a raw header line: after the colon, unfolded, stripped."""
    value = line.partition(":")[2]
    return unfold(value) if "\r" in value else value.strip(" \t")


def split_items(text: str) -> list[str]:
    """Split a comma-separated list, leaving quoted strings and ``<...>`` whole.

    Empty items are skipped: phones send ``Allow: INVITE, ACK,``.

    Raises:
        ParseError: A quote or an angle bracket is not closed.

    """
    if "," not in text:
        item = text.strip(" \t")
        return [item] if item else []
    if '"' not in text and "<" not in text:
        pieces = text.split(",")
    else:
        pieces = []
        at, end = 0, len(text)
        while at <= end:
            found = _COMMA_ITEM.match(text, at)
            stop = found.end() if found else at
            if stop < end and text[stop] != ",":
                raise ParseError(f"unbalanced {text[stop]!r} at character {stop} of a list")
            pieces.append(text[at:stop])
            at = stop + 1
    return [item for piece in pieces if (item := piece.strip(" \t"))]


def parse_params(text: str, known: dict[str, str | None] | None = None) -> Params:
    """Parse ``;name=value;name`` into a dict in order of arrival.

    Names become lower case; values stay as received, a quoted one with its quotes
    (see :func:`unquote`); a parameter without ``=`` has the value None.

    Args:
        text: Empty, or beginning with a semicolon.
        known: Parameters that stood before these; this dict is added to and returned.

    Raises:
        ParseError: Not of that form, a name stands twice (section 7.3.1), or there are
            more than :data:`MAX_PARAMS`.

    """
    params: Params = {} if known is None else known
    at, end = 0, len(text)
    while at < end:
        found = _PARAM(text, at)
        if found is None:
            raise ParseError(f"parameter expected at character {at} of {shown(text)}")
        name, value = found.groups()
        name = name.lower()
        if name in params:
            raise ParseError(f"parameter {shown(name)} stands twice")
        params[name] = value
        at = found.end()
    if len(params) > MAX_PARAMS:
        raise ParseError(f"{len(params)} parameters are over {MAX_PARAMS}")
    return params


def format_params(params: Mapping[str, str | None]) -> str:
    """Write parameters as :func:`parse_params` reads them."""
    return "".join(
        f";{name}" if value is None else f";{name}={value}" for name, value in params.items()
    )


def unquote(text: str) -> str:
    """Return what a quoted string stands for, or the text itself if it is not one."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def quote(text: str) -> str:
    """Write a text as a quoted string.

    Raises:
        LocalError: It holds CR or LF, which no quoted string can carry.

    """
    if "\r" in text or "\n" in text:
        raise LocalError("a quoted string cannot hold a line break")
    return '"' + _NEEDS_QUOTED_PAIR.sub(r"\\\g<0>", text) + '"'


def parse_number(text: str, limit: int) -> int:
    """Read decimal digits no greater than ``limit``.

    Raises:
        ParseError: Not digits only, or over the limit.

    """
    if not (text.isdigit() and text.isascii()):
        raise ParseError(f"{shown(text)} is not a number")
    number = int(text) if len(text) <= _SIGNIFICANT_DIGITS else _long_decimal(text)
    if number > limit:
        raise ParseError(f"{shown(text)} is over {limit}")
    return number


def parse_delta_seconds(text: str) -> int:
    """Read delta-seconds; a number too great for 32 bits becomes the greatest.

    RFC 4475 section 3.1.2.4 lets an element use a default in place of such a value.

    Raises:
        ParseError: Not digits only.

    """
    if not (text.isdigit() and text.isascii()):
        raise ParseError(f"{shown(text)} is not a number")
    return min(_long_decimal(text), MAX_DELTA_SECONDS)


def _long_decimal(text: str) -> int:
    """Read digits, as far as they tell how a number compares with one of 32 bits."""
    return int(text.lstrip("0")[: _SIGNIFICANT_DIGITS + 1] or "0")


def shown(text: str, limit: int = 40) -> str:
    """Show remote text in an error: printable, short, with no octet of its own choosing."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")


def join_items(items: Iterable[str]) -> str:
    """Write a list as :func:`split_items` reads it."""
    return ", ".join(items)
