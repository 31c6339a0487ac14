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
        self._transports: list[asyncio.BaseTransport] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def relay_udp(self, server: Address, *, port: int = 0) -> Address:
        """Forward datagrams to ``server`` and the answers back; return where to send them.

        Every client has a socket of its own towards the server, as behind a NAT.

        Raises:
            OSError: The port is taken.

        """
        loop = asyncio.get_running_loop()
        relay = _UdpRelay(self, server)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: relay, local_addr=(self._host, port)
        )
        self._transports.append(transport)
        return _address(transport)

    async def relay_media(self, receiver: Address) -> Address:
        """Forward RTP to ``receiver``, and RTCP to the port above it.

        Returns:
            The address to announce in SDP: an even port, with its RTCP port above it.

        Raises:
            OSError: No pair of ports was free.

        """
        for _ in range(50):
            address = await self.relay_udp(receiver)
            if address[1] % 2 == 0:
                try:
                    await self.relay_udp((receiver[0], receiver[1] + 1), port=address[1] + 1)
                except OSError:
                    pass
                else:
                    return address
            self._transports.pop().close()
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
        for transport in self._transports:
            transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()
        self._transports.clear()
        await asyncio.sleep(0)  # closed transports free their sockets in the next turn

    def record_datagram(self, source: Address, destination: Address, payload: bytes) -> None:
        """Report one datagram."""
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


class _UdpRelay(asyncio.DatagramProtocol):
    """Towards the clients of one relayed UDP port."""

    def __init__(self, tap: TapProxy, server: Address) -> None:
        self._tap = tap
        self._server = server
        self._clients: dict[Address, _UdpOnward] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._own: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport
        self._own = _address(transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        client = addr[:2]
        self._tap.record_datagram(client, self._own, data)
        onward = self._clients.get(client)
        if onward is None:
            if len(self._clients) >= MAX_TAP_CLIENTS:
                return
            onward = self._clients[client] = _UdpOnward(self, client, self._server)
        onward.send(data)

    def answer(self, client: Address, data: bytes) -> None:
        """Send back what the server sent to this client."""
        self._tap.record_datagram(self._own, client, data)
        if self._transport is not None:
            self._transport.sendto(data, client)

    def error_received(self, exc: Exception) -> None:
        """Ignore a client that is gone: datagrams may be lost."""

    def connection_lost(self, exc: Exception | None) -> None:
        for onward in self._clients.values():
            onward.close()


class _UdpOnward:
    """One client's socket towards the server."""

    def __init__(self, relay: _UdpRelay, client: Address, server: Address) -> None:
        self._relay = relay
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._socket.setblocking(False)
        self._socket.connect(server)
        self._loop.add_reader(self._socket, self._read)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # full or refused: datagrams may be lost
            self._socket.send(data)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(64):
            try:
                data = self._socket.recv(_LARGEST_DATAGRAM_BYTES)
            except OSError:  # nothing there, or the last one was refused
                return
            self._relay.answer(self._client, data)


def _address(transport: asyncio.BaseTransport) -> Address:
    name: Address = transport.get_extra_info("sockname")[:2]
    return name
