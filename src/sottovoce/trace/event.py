"""What was seen on the wire, however it was captured: a file, a packet socket, a tap."""

from dataclasses import dataclass
from typing import NamedTuple

from ..sip.transport import host_port


# A named tuple, not a frozen dataclass: made and hashed twice a packet, in a third of the time.
class Endpoint(NamedTuple):
    """One end of a datagram or connection."""

    address: str
    "IP address as text, IPv6 without brackets."

    port: int

    def __str__(self) -> str:
        return host_port(self.address, self.port)


@dataclass(frozen=True, slots=True)
class DatagramSeen:
    """A UDP datagram."""

    frame: int
    "Number of the packet in its capture, from 1: what a finding points at."

    at_s: float
    "When, in seconds since 1970 as the capture has it."

    source: Endpoint
    destination: Endpoint
    payload: bytes


@dataclass(frozen=True, slots=True)
class StreamBytesSeen:
    """Bytes of one direction of a TCP connection, in the order they were written.

    Bytes that reached the capture twice are seen once.
    """

    frame: int
    "The packet that carried these bytes; with reordering, numbers may step back."

    at_s: float
    source: Endpoint
    destination: Endpoint
    payload: bytes

    after_gap: bool = False
    "Bytes before these are missing, or a new connection began: a reader must start afresh."


Event = DatagramSeen | StreamBytesSeen
