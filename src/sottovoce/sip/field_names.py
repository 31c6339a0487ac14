"""Header names: one canonical form for every spelling.  RFC 3261 sections 7.3.1 and 7.3.3."""

from collections.abc import Mapping
from typing import Final

from ..errors import ParseError
from .grammar import is_token, shown

# Long names as they are best written; the canonical form is the same in lower case.
_LONG_NAMES = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow",
    "Allow-Events", "Authentication-Info", "Authorization", "Call-ID", "Call-Info", "Contact",
    "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
    "Content-Type", "CSeq", "Date", "Error-Info", "Event", "Expires", "Flow-Timer", "From",
    "History-Info", "Identity", "Identity-Info", "In-Reply-To", "Join", "Max-Breadth",
    "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Organization",
    "P-Access-Network-Info", "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Priority",
    "Privacy", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "Reason",
    "Record-Route", "Refer-To", "Referred-By", "Reject-Contact", "Remote-Party-ID", "Replaces",
    "Reply-To", "Request-Disposition", "Require", "Retry-After", "Route", "RSeq", "Server",
    "Service-Route", "Session-Expires", "SIP-ETag", "SIP-If-Match", "Subject",
    "Subscription-State", "Supported", "Target-Dialog", "Timestamp", "To", "Unsupported",
    "User-Agent", "Via", "Warning", "WWW-Authenticate",
)  # fmt: skip

# RFC 3261 table 3 of section 7.3.3 and the registry kept since.
_COMPACT_FORMS = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_WIRE_NAMES: Final[Mapping[str, str]] = {name.lower(): name for name in _LONG_NAMES}

#: The spellings nearly every message uses; others go through :func:`canonical_name`.
COMMON_SPELLINGS: Final[Mapping[str, str]] = (
    {name: name.lower() for name in _LONG_NAMES}
    | {name.lower(): name.lower() for name in _LONG_NAMES}
    | _COMPACT_FORMS
    | {short.upper(): name for short, name in _COMPACT_FORMS.items()}
)

#: Headers that may stand once, and whose doubling would let two elements read a message
#: differently (section 7.3.1; RFC 4475 sections 3.3.8 and 3.3.9).
SINGLE_INSTANCE: Final = frozenset({
    "call-id", "content-disposition", "content-length", "content-type", "cseq", "date",
    "event", "expires", "flow-timer", "from", "join", "max-breadth", "max-forwards",
    "min-expires", "min-se", "rack", "refer-to", "referred-by", "replaces", "retry-after",
    "rseq", "session-expires", "sip-etag", "sip-if-match", "subscription-state",
    "target-dialog", "to",
})  # fmt: skip


def canonical_name(name: str) -> str:
    """Return the long lower-case form of a header name in any spelling.

    White space behind the name, which the grammar allows before the colon, is dropped:
    ``Contact :`` must not pass as an unknown header.

    Raises:
        ParseError: Not a token.

    """
    known = COMMON_SPELLINGS.get(name)
    if known is not None:
        return known
    name = name.rstrip(" \t")
    if not is_token(name):
        raise ParseError(f"{shown(name)} is not a header name")
    lower = name.lower()
    return _COMPACT_FORMS.get(lower, lower)


def wire_name(name: str) -> str:
    """Return a canonical name as it is best written: ``Call-ID`` for ``call-id``."""
    return _WIRE_NAMES.get(name) or "-".join(part.capitalize() for part in name.split("-"))
