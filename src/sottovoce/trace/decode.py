"""From a packet on the link to UDP payloads and TCP stream bytes.

Every read is checked against what was captured; whatever the bytes, only ParseError
comes out.  Checksums are not verified: on the sending machine a capture sees packets
before the network card has filled them in.  IP fragments are counted and left out.
"""

import ipaddress
import struct
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

from ..errors import ParseError
from .event import DatagramSeen, Endpoint, Event
from .pcap import CapturedPacket, LinkType
from .tcp_reassembly import TcpReassembly, TcpSegment

_ETHERTYPE_IPV4 = 0x0800
_ETHERTYPE_IPV6 = 0x86DD
_ETHERTYPES_VLAN = {0x8100, 0x88A8, 0x9100}
_PROTOCOL_TCP = 6
_PROTOCOL_UDP = 17

_IPV4_HEADER = struct.Struct("!BxHxxHxBxx8B")
_UDP_HEADER = struct.Struct("!HHH")
_TCP_HEADER = struct.Struct("!HHI4xBB")

#: IPv6 headers that may stand before UDP or TCP and carry their own length
#: (RFC 8200 section 4.1): hop-by-hop, routing, destination options, mobility.
_IPV6_EXTENSIONS = {0, 43, 60, 135}
_IPV6_FRAGMENT = 44
_IPV6_AUTHENTICATION = 51

#: RFC 8200 expects each extension once or twice; the loop over them must end.
MAX_IPV6_EXTENSIONS = 8

#: 802.1ad stacks two; the loop over them must end.
MAX_VLAN_TAGS = 4


class Skipped(Enum):
    """A packet that is whole but holds nothing for us."""

    NOT_IP = auto()
    FRAGMENT = auto()
    OTHER_PROTOCOL = auto()


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """The UDP layer of one packet."""

    source: Endpoint
    destination: Endpoint
    payload: bytes


def decode_packet(link_type: int, octets: bytes) -> UdpDatagram | TcpSegment | Skipped:
    """Read one packet down to its UDP or TCP payload.

    Raises:
        ParseError: A header is cut off or contradicts itself.

    """
    start, ether_type = _ip_start(link_type, octets)
    if ether_type == _ETHERTYPE_IPV4:
        return _decode_ipv4(octets, start)
    if ether_type == _ETHERTYPE_IPV6:
        return _decode_ipv6(octets, start)
    return Skipped.NOT_IP


class PacketDecoder:
    """Turn captured packets into events, and count what could not be read.

    Memory is bounded by the limits of :class:`.TcpReassembly`.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.packets_damaged = 0
        self.packets_skipped: Counter[Skipped] = Counter()
        self._tcp = TcpReassembly()

    def receive_packet(self, packet: CapturedPacket) -> list[Event]:
        """Take the next packet; return what it made readable."""
        self.packets += 1
        try:
            found = decode_packet(packet.link_type, packet.octets)
        except ParseError:
            self.packets_damaged += 1
            return []
        if isinstance(found, Skipped):
            self.packets_skipped[found] += 1
            return []
        return self.receive_decoded(found, packet.frame, packet.at_s)

    def receive_decoded(
        self, found: UdpDatagram | TcpSegment, frame: int, at_s: float
    ) -> list[Event]:
        """Take what :func:`decode_packet` made of a packet; return what became readable."""
        if isinstance(found, TcpSegment):
            return list(self._tcp.receive_segment(found, frame, at_s))
        return [DatagramSeen(frame, at_s, found.source, found.destination, found.payload)]

    def receive_end(self) -> list[Event]:
        """Say that the capture ends here; return what still waited for a missing segment."""
        return list(self._tcp.receive_end())


def _ip_start(link_type: int, octets: bytes) -> tuple[int, int]:
    """Where the IP header starts, and the EtherType that says which one it is."""
    match link_type:
        case LinkType.ETHERNET:
            return _past_vlan_tags(octets, 12)
        case LinkType.RAW | LinkType.RAW_BSD | LinkType.RAW_OPENBSD:
            return 0, _ether_type_of_version(octets, 0)
        case LinkType.IPV4:
            return 0, _ETHERTYPE_IPV4
        case LinkType.IPV6:
            return 0, _ETHERTYPE_IPV6
        case LinkType.NULL | LinkType.LOOP:
            # The address family's number differs from system to system, and so does its
            # byte order; the IP header tells as much.
            return 4, _ether_type_of_version(octets, 4)
        case LinkType.LINUX_SLL:
            return _past_vlan_tags(octets, 14)
        case LinkType.LINUX_SLL2:
            return 20, _uint16(octets, 0, "link header")
        case _:
            return 0, 0


def _past_vlan_tags(octets: bytes, type_at: int) -> tuple[int, int]:
    ether_type = _uint16(octets, type_at, "link header")
    for _ in range(MAX_VLAN_TAGS):
        if ether_type not in _ETHERTYPES_VLAN:
            break
        type_at += 4
        ether_type = _uint16(octets, type_at, "VLAN tag")
    return type_at + 2, ether_type


def _ether_type_of_version(octets: bytes, start: int) -> int:
    if len(octets) <= start:
        raise ParseError("IP header: no octets left")
    return {4: _ETHERTYPE_IPV4, 6: _ETHERTYPE_IPV6}.get(octets[start] >> 4, 0)


def _decode_ipv4(octets: bytes, start: int) -> UdpDatagram | TcpSegment | Skipped:
    if len(octets) < start + 20:
        raise ParseError(f"IPv4 header: {len(octets) - start} octets, expected 20 or more")
    first, total_bytes, fragment, protocol, *addresses = _IPV4_HEADER.unpack_from(octets, start)
    version, header_bytes = first >> 4, (first & 0x0F) * 4
    if version != 4 or header_bytes < 20:
        raise ParseError(f"IPv4 header: version {version}, length {header_bytes}")
    # Segmentation offload leaves a total length of 0 in the sender's own capture.
    end = start + total_bytes if total_bytes else len(octets)
    if end < start + header_bytes:
        raise ParseError(f"IPv4 header: total length {total_bytes} is less than the header")
    if fragment & 0x3FFF:  # more fragments, or an offset
        return Skipped.FRAGMENT
    source = "%d.%d.%d.%d" % tuple(addresses[:4])  # noqa: UP031 - in half the time of format
    destination = "%d.%d.%d.%d" % tuple(addresses[4:])  # noqa: UP031
    body = octets[start + header_bytes : end]
    return _decode_transport(protocol, source, destination, body)


def _decode_ipv6(octets: bytes, start: int) -> UdpDatagram | TcpSegment | Skipped:
    if len(octets) < start + 40:
        raise ParseError(f"IPv6 header: {len(octets) - start} octets, expected 40")
    if octets[start] >> 4 != 6:
        raise ParseError(f"IPv6 header: version {octets[start] >> 4}")
    payload_bytes = int.from_bytes(octets[start + 4 : start + 6])
    protocol = octets[start + 6]
    source = str(ipaddress.IPv6Address(octets[start + 8 : start + 24]))
    destination = str(ipaddress.IPv6Address(octets[start + 24 : start + 40]))
    at = start + 40
    end = at + payload_bytes if payload_bytes else len(octets)
    for _ in range(MAX_IPV6_EXTENSIONS):
        if protocol == _IPV6_FRAGMENT:
            return Skipped.FRAGMENT
        if protocol not in _IPV6_EXTENSIONS and protocol != _IPV6_AUTHENTICATION:
            break
        if len(octets) < at + 8:
            raise ParseError(f"IPv6 extension header {protocol} is cut off")
        units = 4 if protocol == _IPV6_AUTHENTICATION else 8  # RFC 4302 section 2.2 counts in 4s
        size_bytes = (octets[at + 1] + (2 if units == 4 else 1)) * units
        protocol, at = octets[at], at + size_bytes
    return _decode_transport(protocol, source, destination, octets[at : max(at, end)])


def _decode_transport(
    protocol: int, source: str, destination: str, body: bytes
) -> UdpDatagram | TcpSegment | Skipped:
    if protocol == _PROTOCOL_UDP:
        if len(body) < 8:
            raise ParseError(f"UDP header: {len(body)} octets, expected 8")
        source_port, destination_port, length_bytes = _UDP_HEADER.unpack_from(body)
        if 0 < length_bytes < 8:
            raise ParseError(f"UDP header: length {length_bytes} is less than the header")
        return UdpDatagram(
            Endpoint(source, source_port),
            Endpoint(destination, destination_port),
            body[8 : length_bytes or len(body)],
        )
    if protocol == _PROTOCOL_TCP:
        if len(body) < 20:
            raise ParseError(f"TCP header: {len(body)} octets, expected 20 or more")
        source_port, destination_port, sequence_number, offset, flags = _TCP_HEADER.unpack_from(
            body
        )
        header_bytes = (offset >> 4) * 4
        if not 20 <= header_bytes <= len(body):
            raise ParseError(f"TCP header: length {header_bytes} of {len(body)} octets")
        return TcpSegment(
            Endpoint(source, source_port),
            Endpoint(destination, destination_port),
            sequence_number,
            flags,
            body[header_bytes:],
        )
    return Skipped.OTHER_PROTOCOL


def _uint16(octets: bytes, at: int, what: str) -> int:
    if len(octets) < at + 2:
        raise ParseError(f"{what}: {len(octets)} octets, expected {at + 2} or more")
    return int.from_bytes(octets[at : at + 2])
