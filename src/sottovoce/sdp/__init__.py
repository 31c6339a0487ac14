"""Session descriptions and what two ends make of them.  RFC 8866, RFC 3264."""

from .description import MediaDescription, SessionDescription
from .line_values import Attribute, Connection, Direction, Origin
from .offer_answer import (
    LocalAudio,
    NegotiatedAudio,
    NotAcceptable,
    judge_answer,
    make_answer,
    make_offer,
)
from .rtp_map import RtpCodec

__all__ = [
    "Attribute",
    "Connection",
    "Direction",
    "LocalAudio",
    "MediaDescription",
    "NegotiatedAudio",
    "NotAcceptable",
    "Origin",
    "RtpCodec",
    "SessionDescription",
    "judge_answer",
    "make_answer",
    "make_offer",
]
