"""RTP, RTCP and telephone events.  RFC 3550, 3551 and 4733."""

from .packet import RtpPacket, is_rtcp
from .rtcp import parse_compound, serialize_compound
from .rtcp_schedule import RtcpSchedule
from .statistics import ReceptionStatistics
from .telephone_event import TelephoneEvent, TelephoneEventReceiver, TelephoneEventSender

__all__ = [
    "ReceptionStatistics",
    "RtcpSchedule",
    "RtpPacket",
    "TelephoneEvent",
    "TelephoneEventReceiver",
    "TelephoneEventSender",
    "is_rtcp",
    "parse_compound",
    "serialize_compound",
]
