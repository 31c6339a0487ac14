"""SIP and SIPS URIs.  RFC 3261 section 19.1; RFC 5118 for IPv6 references."""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import Final, TypeVar, dataclass_transform
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..errors import ParseError
from .grammar import shown

_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"

# SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
# user = 1*( unreserved / escaped / user-unreserved ); "#" besides, which phones dial bare
_URI = re.compile(
    rf"(?:([{_UNRESERVED}%&=+$,;?/#]++)(?::([{_UNRESERVED}%&=+$,]*+))?@)?"
    r"([A-Za-z0-9_][A-Za-z0-9._\-]*+|\[[0-9A-Fa-f:.]++\])"
    r"(?::([0-9]{1,5}))?"
    r"((?:;[!#-:=A-~]++)*)"
    r"(?:\?([!#-;=?A-~]++))?",
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_IS_UNRESERVED = re.compile(rf"[{_UNRESERVED}]").fullmatch
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:")
# Every character a URI may hold; "<", ">", DQUOTE, spaces and controls end or break one.
is_uri_text: Final = re.compile(r"[!#-;=?-~]++").fullmatch

# Written bare in the user part of a canonical address of record.
_USER_SAFE = "-_.!~*'()&=+$,;?/"

# Section 19.1.4: these never match a URI that lacks them.
_COMPARED_IF_IN_EITHER = ("user", "ttl", "method", "maddr", "transport")

MAX_PORT: Final = 65535
_DEFAULT_PORTS = {"sip": 5060, "sips": 5061}


_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen_by_type(cls: _Class) -> _Class:
    """Make a value class that type checkers hold to be frozen, and Python does not.

    Making a frozen instance takes three times as long, and each message makes half a
    dozen.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)  # type: ignore[return-value]


@frozen_by_type
class SipUri:
    """A ``sip:`` or ``sips:`` URI, its parts as received."""

    scheme: str
    "``sip`` or ``sips``."

    user: str | None
    "As received, escapes and all; None without one."

    password: str | None
    "As received; section 19.1.1 advises against it. Not shown in ``repr``."

    host: str
    "Name, IPv4 address, or IPv6 address without its brackets."

    port: int | None
    "Only if it was written out."

    params: dict[str, str | None] = field(default_factory=dict, hash=False)
    "Lower-case name to value as received, in order; treat as read-only."

    headers: str = ""
    "What follows the question mark, as received."

    def __repr__(self) -> str:
        hidden = None if self.password is None else "…"
        shown_uri = SipUri(
            self.scheme, self.user, hidden, self.host, self.port, self.params, self.headers
        )
        return f"SipUri({str(shown_uri)!r})"

    @classmethod
    def parse(cls, text: str) -> "SipUri":
        """Read a URI.

        Raises:
            ParseError: Wrong form, or (``status_hint`` 416) of another scheme.

        """
        if text[:4] == "sip:" or text[:4].lower() == "sip:":
            scheme, start = "sip", 4
        elif text[:5].lower() == "sips:":
            scheme, start = "sips", 5
        elif is_uri_text(text) and _SCHEME.match(text):
            raise ParseError(f"URI scheme of {shown(text)} is not sip or sips", status_hint=416)
        else:
            raise ParseError(f"{shown(text)} is not a URI")
        found = _URI.fullmatch(text, start)
        if found is None:
            raise ParseError(f"{shown(text)} is not a {scheme} URI")
        user, password, host, port_digits, params_text, headers = found.groups()
        if "%" in text and _BAD_ESCAPE.search(text):
            raise ParseError(f"bad escape in {shown(text)}")
        if host[0] == "[":
            host = _ipv6(host)
        return cls(
            scheme,
            user,
            password,
            host,
            None if port_digits is None else check_port(port_digits),
            _uri_params(params_text) if params_text else {},
            headers or "",
        )

    def __str__(self) -> str:
        userinfo = ""
        if self.user is not None:
            password = "" if self.password is None else f":{self.password}"
            userinfo = f"{self.user}{password}@"
        port = "" if self.port is None else f":{self.port}"
        params = "".join(
            f";{name}" if value is None else f";{name}={value}"
            for name, value in self.params.items()
        )
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{userinfo}{bracketed(self.host)}{port}{params}{headers}"

    @property
    def secure(self) -> bool:
        """True for ``sips``."""
        return self.scheme == "sips"

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, if there is one."""
        value = self.params.get("transport")
        return None if value is None else value.lower()

    @property
    def loose_route(self) -> bool:
        """True if the ``lr`` parameter is there (section 16.12.1.1)."""
        return "lr" in self.params

    @property
    def unescaped_user(self) -> str:
        """The user part with its escapes decoded once, "" without a user part."""
        return unquote_to_bytes(self.user or "").decode("utf-8", "surrogateescape")

    def canonical_aor(self) -> str:
        """Return the key of an address of record (section 10.3 step 5).

        Parameters and headers go, escapes are decoded (and written again only where
        a character may not stand bare), the host is lower case, a port that is the
        scheme's own goes. ``sip`` and ``sips`` name the same resource (RFC 5630 section
        3.3), so both begin with ``sip:``.
        """
        user = ""
        if self.user is not None:
            user = quote_from_bytes(unquote_to_bytes(self.user), safe=_USER_SAFE) + "@"
        own = self.port is None or self.port == _DEFAULT_PORTS[self.scheme]
        port = "" if own else f":{self.port}"
        return f"sip:{user}{bracketed(self.host.lower().rstrip('.'))}{port}"

    def equivalent(self, other: "SipUri") -> bool:
        """Compare by the rules of section 19.1.4, which differ from ``==``."""
        return (
            self.scheme == other.scheme
            and self.port == other.port
            and _same_host(self.host, other.host)
            and _normal_escapes(self.user) == _normal_escapes(other.user)
            and _normal_escapes(self.password) == _normal_escapes(other.password)
            and _params_match(self.params, other.params)
            and _header_set(self.headers) == _header_set(other.headers)
        )


def canonical_aor(uri: str | SipUri) -> str:
    """Return the key of the address of record a URI names; see :meth:`SipUri.canonical_aor`.

    Raises:
        ParseError: The text is no SIP or SIPS URI.

    """
    return (SipUri.parse(uri) if isinstance(uri, str) else uri).canonical_aor()


def bracketed(host: str) -> str:
    """Write a host as URIs and Via do: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def check_port(digits: str) -> int:
    """Read a port of at most five digits.

    Raises:
        ParseError: It is 0 or over 65535.

    """
    port = int(digits)
    if not 0 < port <= MAX_PORT:
        raise ParseError(f"port {port} is not between 1 and {MAX_PORT}")
    return port


def _ipv6(reference: str) -> str:
    address = reference[1:-1]
    try:
        IPv6Address(address)
    except AddressValueError as wrong:
        raise ParseError(f"{shown(reference)} is not an IPv6 reference") from wrong
    return address


def _uri_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    for piece in text[1:].split(";"):
        name, equals, value = piece.partition("=")
        name = name.lower()
        if not name or name in params:
            raise ParseError(f"URI parameter {shown(name)} is empty or stands twice")
        params[name] = value if equals else None
    return params


def _same_host(one: str, other: str) -> bool:
    if ":" in one and ":" in other:
        return IPv6Address(one) == IPv6Address(other)
    return one.lower() == other.lower()


def _normal_escapes(text: str | None) -> str | None:
    """Decode escapes of unreserved characters, which never mean another thing."""
    if text is None or "%" not in text:
        return text

    def normal(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if _IS_UNRESERVED(character) else found[0].upper()

    return _ESCAPE.sub(normal, text)


def _params_match(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
    for name in _COMPARED_IF_IN_EITHER:
        if (name in one) != (name in other):
            return False
    return all(
        (_normal_escapes(value) or "").lower() == (_normal_escapes(other[name]) or "").lower()
        for name, value in one.items()
        if name in other
    )


def _header_set(headers: str) -> list[tuple[str, str | None]]:
    pairs = (piece.partition("=") for piece in headers.split("&") if piece)
    return sorted((name.lower(), _normal_escapes(value)) for name, _, value in pairs)
