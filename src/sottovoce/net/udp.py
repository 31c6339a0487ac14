"""One UDP port for SIP."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable

from ..sip.transport import Flow, Transport
from .addresses import is_wildcard

MAX_DATAGRAM_BYTES = 65_535
#: Datagrams taken before the other sockets get their turn.
MAX_READS_A_WAKE_UP = 64
# Which of our addresses a datagram came to, and is to come from (RFC 3542 section 6; ip(7)).
_PACKET_INFO_V4 = 8 if sys.platform == "linux" else getattr(socket, "IP_PKTINFO", 26)
_V4 = struct.Struct("=i4s4s")  # interface, local address, destination
_V6 = struct.Struct("=16sI")  # address, interface
_ANCILLARY_BYTES = socket.CMSG_SPACE(_V6.size) + socket.CMSG_SPACE(_V4.size)


class UdpPort:
    """A bound UDP socket; each peer address is a flow of its own.

    A port bound to every address tells for each datagram which one it came to: that is what
    Record-Route, Contact and ``c=`` must name, and where the answer must come from.

    Args:
        loop: The loop that watches the socket.
        address: IP address and port to bind; port 0 lets the system choose.
        on_datagram: Called with each datagram and its flow.

    Raises:
        OSError: The address cannot be bound.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: tuple[str, int],
        on_datagram: Callable[[bytes, Flow], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._loop = loop
        self._on_datagram = on_datagram
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:  # as for TCP: [::] is every IPv6 address
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind(address)
            self._wildcard = is_wildcard(self._socket.getsockname()[0])
            if self._wildcard and family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            elif self._wildcard:
                self._socket.setsockopt(socket.IPPROTO_IP, _PACKET_INFO_V4, 1)
        except OSError:
            self._socket.close()
            raise
        bound = self._socket.getsockname()
        self.local: tuple[str, int] = (bound[0], bound[1])
        self.family = family
        loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        for _ in range(MAX_READS_A_WAKE_UP):
            try:
                local = self.local
                if self._wildcard:
                    data, ancillary, _, remote = self._socket.recvmsg(
                        MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES
                    )
                    local = self._destination(ancillary)
                else:
                    data, remote = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier send; it names no message
                continue
            self._on_datagram(data, Flow(Transport.UDP, local, (remote[0], remote[1])))

    def _destination(self, ancillary: list[tuple[int, int, bytes]]) -> tuple[str, int]:
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _PACKET_INFO_V4):
                return socket.inet_ntop(socket.AF_INET, _V4.unpack(value)[1]), self.local[1]
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                return socket.inet_ntop(socket.AF_INET6, _V6.unpack(value)[0]), self.local[1]
        return self.local

    def is_at(self, local: tuple[str, int]) -> bool:
        """Tell whether a flow with this local end is one of this port."""
        if not self._wildcard:
            return local == self.local
        same_family = (":" in local[0]) is (self.family == socket.AF_INET6)
        return same_family and local[1] == self.local[1]

    def local_towards(self, host: str) -> tuple[str, int]:
        """The local end of a flow over this port, on a machine that is ``host`` to the peer."""
        return (host, self.local[1]) if self._wildcard else self.local

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one datagram; a full buffer drops it, as the network might.

        Raises:
            OSError: The datagram cannot be sent at all.

        """
        try:
            if self._wildcard and not is_wildcard(flow.local[0]):
                self._socket.sendmsg([data], [self._source(flow.local[0])], 0, flow.remote)
            else:
                self._socket.sendto(data, flow.remote)
        except (BlockingIOError, InterruptedError):
            return

    def _source(self, host: str) -> tuple[int, int, bytes]:
        packed = socket.inet_pton(self.family, host.partition("%")[0])
        if self.family == socket.AF_INET6:
            return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _V6.pack(packed, 0)
        return socket.IPPROTO_IP, _PACKET_INFO_V4, _V4.pack(0, packed, bytes(4))

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
