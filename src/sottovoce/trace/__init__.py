"""What a capture shows to a third party: calls, keys, sound.

Packets become events (:class:`PcapReader`, :class:`PacketDecoder`, or live in
:mod:`.capture`), and :class:`Outsider` makes an :class:`Exposure` of events.
"""

from .audio_evidence import correlation, looks_encrypted, looks_like_speech, spectral_flatness
from .call_flow import CallFlow, SipMessageSeen
from .decode import PacketDecoder, decode_packet
from .event import DatagramSeen, Endpoint, Event, StreamBytesSeen
from .exposure import Exposure, Outsider
from .pcap import (
    CapturedPacket,
    LinkType,
    PcapReader,
    pcap_file_header,
    pcap_record,
    read_pcap,
)
from .recovery import Protection, StreamExposure
from .tls_records import TlsConnection

__all__ = [
    "CallFlow",
    "CapturedPacket",
    "DatagramSeen",
    "Endpoint",
    "Event",
    "Exposure",
    "LinkType",
    "PacketDecoder",
    "PcapReader",
    "Protection",
    "SipMessageSeen",
    "StreamBytesSeen",
    "StreamExposure",
    "Outsider",
    "TlsConnection",
    "correlation",
    "decode_packet",
    "looks_encrypted",
    "looks_like_speech",
    "pcap_file_header",
    "pcap_record",
    "read_pcap",
    "spectral_flatness",
]
