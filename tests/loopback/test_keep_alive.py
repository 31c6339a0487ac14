"""A phone whose server fell silent notices, and comes back."""

import asyncio

import pytest

from sottovoce import Account, Phone
from sottovoce.net.tls import server_context
from sottovoce.sip import keep_alive

from .conftest import DOMAIN, Certificates, Office

WAIT_S = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep_alive, "SHORTEST_GAP_S", 0.05)
    monkeypatch.setattr(keep_alive, "LONGEST_GAP_S", 0.1)
    monkeypatch.setattr(keep_alive, "PONG_TIMEOUT_S", 0.3)


async def test_a_server_that_answers_once_and_never_again_is_connected_to_anew(
    certificates: Certificates,
) -> None:
    connected: asyncio.Queue[None] = asyncio.Queue()

    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.put_nowait(None)
        await reader.readexactly(len(keep_alive.PING))
        writer.write(b"\r\n")
        while await reader.read(100):
            pass
        writer.close()

    context = server_context(*certificates.pair("right"))
    server = await asyncio.start_server(fall_silent, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    account = Account(
        f"sips:alice@{DOMAIN}", "x", f"127.0.0.1:{port};transport=tls", certificates.ca
    )
    async with Phone(account, register=False):
        for _ in range(2):
            await asyncio.wait_for(connected.get(), WAIT_S)
    server.close()


async def test_our_server_answers_pings_so_that_the_connection_stays(office: Office) -> None:
    await office.start()
    async with Phone(office.account("alice")) as alice:
        flow = alice.flow
        await asyncio.sleep(0.8)  # several pings; without their pongs the flow would be given up
        assert alice.flow == flow
        assert alice.registered
