"""Real sockets on loopback, heard by a packet socket and by a tap."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from sottovoce.errors import LocalError
from sottovoce.trace.capture import PacketCapture, TapProxy
from sottovoce.trace.decode import PacketDecoder
from sottovoce.trace.event import DatagramSeen, Endpoint, Event, StreamBytesSeen
from sottovoce.trace.pcap import CapturedPacket

Address = tuple[str, int]
WAIT_S = 5.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.transport.sendto(data.upper(), addr)


@contextlib.asynccontextmanager
async def udp_echo(port: int = 0) -> AsyncIterator[Address]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Echo, local_addr=("127.0.0.1", port)
    )
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def tcp_echo() -> AsyncIterator[Address]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await asyncio.sleep(0)


async def ask_udp(address: Address, text: bytes) -> tuple[Address, bytes]:
    """Send a datagram, wait for the answer; return our address and it."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind(("127.0.0.1", 0))
        client.connect(address)
        await loop.sock_sendall(client, text)
        answer = await asyncio.wait_for(loop.sock_recv(client, 4096), WAIT_S)
        return client.getsockname(), answer


async def ask_tcp(address: Address, text: bytes) -> tuple[Address, bytes]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text)
    answer = await asyncio.wait_for(reader.readexactly(len(text)), WAIT_S)
    own = writer.get_extra_info("sockname")
    writer.close()
    await writer.wait_closed()
    return own, answer


def packet_capture(
    receive: Callable[[Event], None],
    ports: set[int],
    keep: Callable[[CapturedPacket], None] | None = None,
) -> PacketCapture:
    try:
        return PacketCapture(receive, ports=ports, keep=keep)
    except LocalError as problem:
        pytest.skip(f"{problem} (sudo make test)")


def spoken(events: list[Event], source: Endpoint, destination: Endpoint) -> bytes:
    return b"".join(
        event.payload
        for event in events
        if (event.source, event.destination) == (source, destination)
    )


async def test_packet_socket_hears_datagrams_both_ways_once() -> None:
    events: list[Event] = []
    async with udp_echo() as server, udp_echo() as other:
        capture = packet_capture(events.append, {server[1]})
        await ask_udp(other, b"not for us")
        client, _ = await ask_udp(server, b"hello")
        capture.close()
    there, here = Endpoint(*server), Endpoint(*client)
    assert all(isinstance(event, DatagramSeen) for event in events)
    assert [(e.frame, e.source, e.destination, e.payload) for e in events] == [
        (1, here, there, b"hello"),
        (2, there, here, b"HELLO"),
    ]
    assert capture.description == "packet socket on lo"
    assert capture.packets_dropped == 0
    capture.close()


async def test_packet_socket_hears_both_directions_of_a_connection() -> None:
    events: list[Event] = []
    text = b"quite a long text " * 20_000
    async with tcp_echo() as server:
        capture = packet_capture(events.append, {server[1]})
        client, answer = await ask_tcp(server, text)
        capture.close()
    there, here = Endpoint(*server), Endpoint(*client)
    assert answer == text.upper()
    assert spoken(events, here, there) == text
    assert spoken(events, there, here) == text.upper()
    assert sum(isinstance(event, StreamBytesSeen) and event.after_gap for event in events) == 2


async def test_kept_packets_decode_to_the_same_events() -> None:
    events: list[Event] = []
    packets: list[CapturedPacket] = []
    async with udp_echo() as server, tcp_echo() as stream:
        capture = packet_capture(events.append, {server[1], stream[1]}, packets.append)
        await ask_udp(server, b"hello")
        await ask_tcp(stream, b"hello again")
        capture.close()
    decoder = PacketDecoder()
    again = [event for packet in packets for event in decoder.receive_packet(packet)]
    assert again == events


async def test_no_such_interface_is_a_clear_error() -> None:
    with pytest.raises(LocalError, match=r"nowhere0: No such device|not allowed"):
        PacketCapture(lambda event: None, interface="nowhere0")


async def test_without_the_right_the_error_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("sottovoce.trace.capture.packet_socket.socket.socket", refuse)
    with pytest.raises(LocalError, match="needs CAP_NET_RAW"):
        PacketCapture(lambda event: None)


async def test_tap_forwards_datagrams_and_reports_them() -> None:
    events: list[Event] = []
    tap = TapProxy(events.append)
    async with udp_echo() as server:
        relay = tap.relay_udp(server)
        one, answer = await ask_udp(relay, b"hello")
        two, _ = await ask_udp(relay, b"world")
        await tap.close()
    assert answer == b"HELLO"
    ends = Endpoint(*relay)
    assert [(e.frame, e.source, e.destination, e.payload) for e in events] == [
        (1, Endpoint(*one), ends, b"hello"),
        (2, ends, Endpoint(*one), b"HELLO"),
        (3, Endpoint(*two), ends, b"world"),
        (4, ends, Endpoint(*two), b"WORLD"),
    ]
    await tap.close()


async def test_tap_forwards_connections_and_reports_them() -> None:
    events: list[Event] = []
    text = b"quite a long text " * 20_000
    tap = TapProxy(events.append)
    async with tcp_echo() as server:
        relay = await tap.relay_tcp(server)
        client, answer = await ask_tcp(relay, text)
        await tap.close()
    assert answer == text.upper()
    assert spoken(events, Endpoint(*client), Endpoint(*relay)) == text
    assert spoken(events, Endpoint(*relay), Endpoint(*client)) == text.upper()
    assert sum(isinstance(event, StreamBytesSeen) and event.after_gap for event in events) == 2


async def test_tap_closes_the_connection_when_nobody_is_behind_it() -> None:
    tap = TapProxy(lambda event: None)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = await tap.relay_tcp(unused.getsockname())
        reader, writer = await asyncio.open_connection(*relay)
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()
    await tap.close()


async def test_media_relay_is_a_pair_of_ports_for_rtp_and_rtcp() -> None:
    events: list[Event] = []
    tap = TapProxy(events.append)
    async with udp_echo() as rtp, udp_echo(rtp[1] + 1):
        relay = tap.relay_media(rtp)
        assert relay[1] % 2 == 0
        assert (await ask_udp(relay, b"rtp"))[1] == b"RTP"
        assert (await ask_udp((relay[0], relay[1] + 1), b"rtcp"))[1] == b"RTCP"
        await tap.close()
    assert len(events) == 4


async def test_tap_takes_no_more_clients_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sottovoce.trace.capture.tap.MAX_TAP_CLIENTS", 1)
    events: list[Event] = []
    tap = TapProxy(events.append)
    async with udp_echo() as server:
        relay = tap.relay_udp(server)
        await ask_udp(relay, b"first")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            second.sendto(b"second", relay)
            await until(lambda: len(events) == 3)  # seen, but not forwarded
        await tap.close()
    assert events[-1].payload == b"second"
