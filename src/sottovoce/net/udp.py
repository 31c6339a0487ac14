"""One UDP port for SIP."""

import asyncio
import socket
from collections.abc import Callable

from ..sip.transport import Flow, Transport

MAX_DATAGRAM_BYTES = 65_535
#: Datagrams taken before the other sockets get their turn.
MAX_READS_A_WAKE_UP = 64


class UdpPort:
    """A bound UDP socket; each peer address is a flow of its own.

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
            self._socket.bind(address)
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
                data, remote = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier send; it names no message
                continue
            self._on_datagram(data, Flow(Transport.UDP, self.local, (remote[0], remote[1])))

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        """Send one datagram; a full buffer drops it, as the network might.

        Raises:
            OSError: The datagram cannot be sent at all.

        """
        try:
            self._socket.sendto(data, remote)
        except (BlockingIOError, InterruptedError):
            return

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
