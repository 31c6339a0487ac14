"""SIP without sockets, clock or threads.  RFC 3261."""

from .framing import StreamFramer
from .header_values import CSeq, NameAddress, Via
from .message import Message, Request, Response, field
from .parser import parse_message, salvage
from .uri import SipUri, canonical_aor

__all__ = [
    "CSeq",
    "Message",
    "NameAddress",
    "Request",
    "Response",
    "SipUri",
    "StreamFramer",
    "Via",
    "canonical_aor",
    "field",
    "parse_message",
    "salvage",
]
