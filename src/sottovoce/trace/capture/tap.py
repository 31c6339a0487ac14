"""Capture by standing in the path, for users who may not open a packet socket."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

from ..event import DatagramSeen, Endpoint, Event, StreamBytesSeen

Address = tuple[str, int]

#: Clients of one UDP relay, and connections of all TCP relays; more are not forwarded.
MAX_TAP_CLIENTS = 64
_TAP_CHUNK_BYTES = 65_536
_LARGEST_DATAGRAM_BYTES = 65_536
#: Datagrams taken in one turn of the event loop, so that a flood starves nobody.
_DATAGRAMS_A_TURN = 64


class TapProxy:
    """Forward traffic through relays on loopback and record the bytes that pass.

    For users who may not open a packet socket.  A relay listens on a port of its own;
    whoever is to be tapped is told that address instead of the real one.  The bytes are
    forwarded as they are, TLS too, so a tap sees what a packet socket sees: events name
    the client and the relay's address, as on the client's side of the path.

    Args:
        receive: Called with every UDP datagram and every stretch of TCP bytes.
        host: Loopback address to listen on.

    """

    description = "forwarding tap in the path (packet sockets are not allowed here)"

    def __init__(self, receive: Callable[[Event], None], *, host: str = "127.0.0.1") -> None:
        self._receive = receive
        self._host = host
        self._frames = 0
        self._servers: list[asyncio.Server] = []
        self._udp_relays: list[_UdpRelay] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def relay_udp(self, server: Address, *, port: int = 0) -> Address:
        """Forward datagrams to ``server`` and the answers back; return where to send them.

        Every client has a socket of its own towards the server, as behind a NAT.

        Raises:
            OSError: The port is taken.

        """
        relay = _UdpRelay(self._record_datagram, server, (self._host, port))
        self._udp_relays.append(relay)
        return relay.address

    def relay_media(self, receiver: Address) -> Address:
        """Forward RTP to ``receiver``, and RTCP to the port above it.

        Returns:
            The address to announce in SDP: an even port, with its RTCP port above it.

        Raises:
            OSError: No pair of ports was free.

        """
        for _ in range(50):
            address = self.relay_udp(receiver)
            if address[1] % 2 == 0:
                try:
                    self.relay_udp((receiver[0], receiver[1] + 1), port=address[1] + 1)
                except OSError:
                    pass
                else:
                    return address
            self._udp_relays.pop().close()
        raise OSError("no pair of free UDP ports for a media relay")

    async def relay_tcp(self, server: Address, *, port: int = 0) -> Address:
        """Forward connections to ``server``; return where to connect to.

        Raises:
            OSError: The port is taken.

        """

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._forward_connection(server, reader, writer)

        listening = await asyncio.start_server(accept, self._host, port)
        self._servers.append(listening)
        name: tuple[str, int] = listening.sockets[0].getsockname()[:2]
        return name

    async def close(self) -> None:
        """Stop listening and forwarding.  May be called twice."""
        for listening in self._servers:
            listening.close()
        for relay in self._udp_relays:
            relay.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()
        self._udp_relays.clear()
        await asyncio.sleep(0)  # closed transports free their sockets in the next turn

    def _record_datagram(self, source: Address, destination: Address, payload: bytes) -> None:
        self._frames += 1
        self._receive(
            DatagramSeen(
                self._frames, time.time(), Endpoint(*source), Endpoint(*destination), payload
            )
        )

    async def _forward_connection(
        self, server: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward both directions until both have ended."""
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= MAX_TAP_CLIENTS:
            writer.close()
            return
        self._tasks.add(task)
        client: Address = writer.get_extra_info("peername")[:2]
        relay: Address = writer.get_extra_info("sockname")[:2]
        writers = [writer]
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*server)
            writers.append(onward_writer)
            await asyncio.gather(
                self._copy(reader, onward_writer, client, relay),
                self._copy(onward_reader, writer, relay, client),
            )
        except OSError:
            pass  # nobody there, or a side reset its connection: the other one sees it closed
        finally:
            self._tasks.discard(task)
            for each in writers:
                each.close()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: Address,
        destination: Address,
    ) -> None:
        """Forward one direction until it ends, then end it on the other side too."""
        first = True
        ends = Endpoint(*source), Endpoint(*destination)
        while payload := await reader.read(_TAP_CHUNK_BYTES):
            self._frames += 1
            self._receive(
                StreamBytesSeen(self._frames, time.time(), *ends, payload, after_gap=first)
            )
            first = False
            writer.write(payload)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _UdpRelay:
    """One relayed UDP port: a socket towards all clients, and one for each towards the server."""

    def __init__(
        self,
        receive: Callable[[Address, Address, bytes], None],
        server: Address,
        listen: Address,
    ) -> None:
        self._receive = receive
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._onward: dict[Address, socket.socket] = {}
        self._socket = _udp_socket(listen)
        try:
            self._socket.bind(listen)
        except OSError:
            self._socket.close()
            raise
        self.address: Address = self._socket.getsockname()[:2]
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        for each in (self._socket, *self._onward.values()):
            self._loop.remove_reader(each)
            each.close()

    def _read(self) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                data, sender = self._socket.recvfrom(_LARGEST_DATAGRAM_BYTES)
            except OSError:  # nothing there, or what was sent last was refused
                return
            client = sender[:2]
            self._receive(client, self.address, data)
            onward = self._onward.get(client)
            if onward is None:
                if len(self._onward) >= MAX_TAP_CLIENTS:
                    continue
                onward = self._onward[client] = _udp_socket(self._server)
                onward.connect(self._server)
                self._loop.add_reader(onward, self._read_answers, onward, client)
            with contextlib.suppress(OSError):  # full or refused: datagrams may be lost
                onward.send(data)

    def _read_answers(self, onward: socket.socket, client: Address) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            try:
                data = onward.recv(_LARGEST_DATAGRAM_BYTES)
            except OSError:
                return
            self._receive(self.address, client, data)
            with contextlib.suppress(OSError):
                self._socket.sendto(data, client)


def _udp_socket(peer: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    return opened
