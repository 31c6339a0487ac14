"""A UDP port on loopback sockets: which addresses its flows have."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from sottovoce.net.udp import UdpPort
from sottovoce.sip.transport import Flow

Open = Callable[[str, int], tuple[UdpPort, "asyncio.Queue[tuple[bytes, Flow]]"]]


@pytest.fixture
async def open_port() -> AsyncIterator[Open]:
    ports: list[UdpPort] = []

    def open_port(host: str, port: int = 0) -> tuple[UdpPort, "asyncio.Queue[tuple[bytes, Flow]]"]:
        received: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        ports.append(
            UdpPort(loop, (host, port), lambda data, flow: received.put_nowait((data, flow)))
        )
        return ports[-1], received

    yield open_port
    for port in ports:
        port.close()


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1")],
)
async def test_a_flow_has_the_address_that_was_asked_and_answers_from_it(
    open_port: Open, bound: str, asked: str
) -> None:
    port, received = open_port(bound, 0)
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(2)
        peer.sendto(b"question", (asked, port.local[1]))
        data, flow = await asyncio.wait_for(received.get(), 2)
        port.send(b"answer", flow)
        answer, source = await asyncio.to_thread(peer.recvfrom, 100)

    assert data == b"question"
    assert answer == b"answer"
    assert flow.local == source[:2] == (asked, port.local[1])
    assert port.is_at(flow.local)


async def test_a_port_at_one_address_is_at_no_other(open_port: Open) -> None:
    port, _ = open_port("127.0.0.1", 0)
    everywhere, _ = open_port("0.0.0.0", 0)

    assert not port.is_at(("127.0.0.2", port.local[1]))
    assert everywhere.is_at(("127.0.0.2", everywhere.local[1]))
    assert not everywhere.is_at(("::1", everywhere.local[1]))
    assert not everywhere.is_at(("127.0.0.1", port.local[1]))
    assert everywhere.local_towards("192.0.2.1") == ("192.0.2.1", everywhere.local[1])


async def test_both_families_can_have_the_same_port(open_port: Open) -> None:
    one, _ = open_port("0.0.0.0", 0)
    other, _ = open_port("::", one.local[1])

    assert other.local == ("::", one.local[1])
