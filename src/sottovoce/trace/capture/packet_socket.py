"""Capture by a packet socket, which sees all that passes an interface.  Linux only."""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable, Container

from ...errors import LocalError, RemoteError
from ..decode import PacketDecoder, Skipped, UdpDatagram, decode_packet
from ..event import Event
from ..pcap import CapturedPacket, LinkType
from ..tcp_reassembly import TcpSegment

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_RCVBUFFORCE = 33
_ARPHRD_ETHERNET, _ARPHRD_LOOPBACK = 1, 772

#: What the kernel keeps while the event loop is busy: some seconds of many calls.
_RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024
_LARGEST_PACKET_BYTES = 65_536 + 64
#: Packets taken in one turn of the event loop, so that a flood starves nobody.
_PACKETS_A_TURN = 256


class PacketCapture:
    """Capture what passes an interface, by a Linux packet socket on the running loop.

    Args:
        receive: Called with every UDP datagram and every stretch of TCP bytes.
        interface: Name of an Ethernet or loopback interface.
        ports: Only packets from or to one of these; None for all.
        keep: Called with every packet whose ports fit, as for a pcap file.

    Raises:
        LocalError: Not allowed (CAP_NET_RAW is missing), not Linux, or no such interface.

    """

    def __init__(
        self,
        receive: Callable[[Event], None],
        *,
        interface: str = "lo",
        ports: Container[int] | None = None,
        keep: Callable[[CapturedPacket], None] | None = None,
    ) -> None:
        self.interface = interface
        self.ports = ports
        self.packets_dropped = 0
        self._receive = receive
        self._keep = keep
        self._decoder = PacketDecoder()
        self._frames = 0
        self._socket = _open_packet_socket(interface)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    @property
    def description(self) -> str:
        """How this captures, for a report."""
        return f"packet socket on {self.interface}"

    def close(self) -> None:
        """Take what the kernel still holds, then stop.  May be called twice."""
        if self._socket.fileno() < 0:
            return
        while self._read():
            pass
        for event in self._decoder.receive_end():
            self._receive(event)
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.packets_dropped += struct.unpack("II", statistics)[1]
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> int:
        """Take some packets; return how many there were."""
        for taken in range(_PACKETS_A_TURN):
            try:
                octets, address = self._socket.recvfrom(_LARGEST_PACKET_BYTES)
            except (BlockingIOError, InterruptedError):
                return taken
            except OSError:  # the interface went down; what was captured stands
                return 0
            # On the loopback interface every packet passes twice, going out and coming in.
            if address[2] == _PACKET_OUTGOING and address[3] == _ARPHRD_LOOPBACK:
                continue
            self._take(octets)
        return _PACKETS_A_TURN

    def _take(self, octets: bytes) -> None:
        try:
            found = decode_packet(LinkType.ETHERNET, octets)
        except RemoteError:
            return
        if isinstance(found, Skipped) or not self._wanted(found):
            return
        self._frames += 1
        at_s = time.time()
        for event in self._decoder.receive_decoded(found, self._frames, at_s):
            self._receive(event)
        if self._keep is not None:
            self._keep(CapturedPacket(self._frames, at_s, LinkType.ETHERNET, octets, len(octets)))

    def _wanted(self, found: UdpDatagram | TcpSegment) -> bool:
        ports = self.ports
        return ports is None or found.source.port in ports or found.destination.port in ports


def _open_packet_socket(interface: str) -> socket.socket:
    if sys.platform != "linux":
        raise LocalError("packet capture needs a packet socket, which only Linux has")
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    except OSError as problem:
        raise LocalError(
            "packet capture is not allowed: it needs CAP_NET_RAW; run as root or with "
            "`setpriv --inh-caps +net_raw --ambient-caps +net_raw`"
        ) from problem
    try:
        opened.bind((interface, 0))
        if opened.getsockname()[3] not in (_ARPHRD_ETHERNET, _ARPHRD_LOOPBACK):
            raise LocalError(f"{interface}: neither an Ethernet nor a loopback interface")
        opened.setblocking(False)
    except OSError as problem:
        opened.close()
        raise LocalError(f"{interface}: {problem.strerror}") from problem
    except LocalError:
        opened.close()
        raise
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    except OSError:  # CAP_NET_ADMIN is missing: as much as anybody may have
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    return opened
