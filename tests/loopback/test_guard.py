"""Guessers, slow senders and idle peers on real sockets; loopback addresses are exempt no more."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sottovoce.cli.main import main
from sottovoce.net.tls import client_context
from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message

from .conftest import DOMAIN, Office

GUESSER, HONEST = "127.0.0.1", "127.0.0.2"
WAIT_S = 10.0


class Peer:
    """Plain SIP over TLS from a loopback address of one's choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.framer = StreamFramer()
        self.number = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, office: Office, address: str) -> AsyncIterator["Peer"]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            office.ports["tls"],
            ssl=client_context(office.data / "ca.pem"),
            server_hostname=DOMAIN,
            local_addr=(address, 0),
        )
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def request(self, user: str) -> Request:
        self.number += 1
        return Request.make(
            "REGISTER",
            f"sips:{DOMAIN}",
            [
                ("Via", f"SIP/2.0/TLS a.invalid;branch=z9hG4bK{secrets.token_hex(8)};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<sips:{user}@{DOMAIN}>;tag=a"),
                ("To", f"<sips:{user}@{DOMAIN}>"),
                ("Call-ID", "same"),
                ("CSeq", f"{self.number} REGISTER"),
                ("Contact", "<sips:x@127.0.0.1>"),
                ("Content-Length", "0"),
            ],
        )

    async def ask(self, request: Request) -> Response:
        self.writer.write(request.to_bytes())
        async with asyncio.timeout(WAIT_S):
            while (message := self.framer.next_message()) is None:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                self.framer.receive_bytes(data)
        response = parse_message(message)
        assert isinstance(response, Response)
        return response

    async def register(self, user: str, password: str) -> int:
        """The status that a password gets."""
        client = DigestClient(
            username=user,
            password=Secret(password),
            realms=frozenset({DOMAIN}),
            random_bytes=secrets.token_bytes,
        )
        asked = self.request(user)
        client.receive_challenge(asked, await self.ask(asked))
        return (await self.ask(client.authorize(self.request(user)))).status

    async def guess(self, times: int) -> int:
        """Guess so often, or until the connection is closed; how many were answered."""
        for number in range(times):
            try:
                assert await self.register("alice", f"guess-{number}") == 401
            except (ConnectionError, ssl.SSLError):
                return number
        return times

    async def wait_closed(self) -> None:
        async with asyncio.timeout(WAIT_S):
            try:
                while await self.reader.read(65536):
                    pass
            except (ConnectionError, ssl.SSLError):
                pass


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.02)


def command(*arguments: str) -> int:
    return main(["ban", *arguments])


async def test_guesser_is_banned_and_lifted_by_command_and_another_address_never_notices(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    await office.start(ban_exempt=[], guess_limit=3)
    server = office.server
    assert server is not None
    async with Peer.connected(office, HONEST) as honest:
        assert await honest.register("bob", office.passwords["bob"]) == 200
        async with Peer.connected(office, GUESSER) as beside, Peer.connected(office, GUESSER) as it:
            assert (await beside.ask(beside.request("alice"))).status == 401
            for _ in range(3):
                assert await it.guess(1) == 1
                assert await honest.register("bob", office.passwords["bob"]) == 200
            assert await it.guess(20) == 0
            await beside.wait_closed()

        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with Peer.connected(office, GUESSER):
                pass
        assert await honest.register("bob", office.passwords["bob"]) == 200

        data = str(office.data)
        assert await asyncio.to_thread(command, "list", "--data", data, "--json") == 0
        assert f'"address": "{GUESSER}"' in capsys.readouterr().out
        assert await asyncio.to_thread(command, "lift", GUESSER, "--data", data) == 0
        await until(lambda: server.doorkeeper.admits(GUESSER))
        async with Peer.connected(office, GUESSER) as mended:
            assert await mended.register("alice", office.passwords["alice"]) == 200
            assert await asyncio.to_thread(command, "add", GUESSER, "--data", data) == 0
            await mended.wait_closed()
        assert await honest.register("bob", office.passwords["bob"]) == 200


async def test_banned_address_gets_no_answer_over_udp(office: Office) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    loop, server = asyncio.get_running_loop(), office.server
    assert server is not None
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answers.put_nowait(data)

    options = (
        f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP a.invalid;branch=z9hG4bK%d;rport\r\n"
        f"From: <sip:a@{DOMAIN}>;tag=a\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: a\r\n"
        "CSeq: %d OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    place = ("127.0.0.1", office.ports["udp"])
    bad, _ = await loop.create_datagram_endpoint(
        Receiver, local_addr=(GUESSER, 0), remote_addr=place
    )
    good, _ = await loop.create_datagram_endpoint(
        Receiver, local_addr=(HONEST, 0), remote_addr=place
    )
    bad.sendto((options % (1, 1)).encode())
    assert b"CSeq: 1 OPTIONS" in await asyncio.wait_for(answers.get(), WAIT_S)

    assert await asyncio.to_thread(command, "add", GUESSER, "--data", str(office.data)) == 0
    await until(lambda: not server.doorkeeper.admits(GUESSER))
    bad.sendto((options % (2, 2)).encode())
    good.sendto((options % (3, 3)).encode())
    assert b"CSeq: 3 OPTIONS" in await asyncio.wait_for(answers.get(), WAIT_S)
    assert answers.empty()
    for transport in (bad, good):
        transport.close()


async def test_slow_sender_is_cut_off_and_others_live_on(office: Office) -> None:
    await office.start(message_timeout_s=0.3, idle_timeout_s=600)
    async with Peer.connected(office, GUESSER) as slow, Peer.connected(office, GUESSER) as phone:
        assert await phone.register("bob", office.passwords["bob"]) == 200

        async def drip() -> None:
            for octet in slow.request("alice").to_bytes():
                slow.writer.write(bytes([octet]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        await slow.wait_closed()
        assert not dripping.done()
        dripping.cancel()
        assert (await phone.ask(phone.request("bob"))).status == 401


async def test_idle_connection_is_closed_and_a_registered_one_kept(office: Office) -> None:
    await office.start(idle_timeout_s=0.3)
    async with Peer.connected(office, GUESSER) as idle, Peer.connected(office, GUESSER) as phone:
        assert await phone.register("bob", office.passwords["bob"]) == 200
        await idle.wait_closed()
        await asyncio.sleep(0.5)
        assert (await phone.ask(phone.request("bob"))).status == 401


async def test_one_source_has_so_many_connections_and_another_its_own(office: Office) -> None:
    await office.start(ban_exempt=[], max_connections_per_source=1)
    async with Peer.connected(office, GUESSER):
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with Peer.connected(office, GUESSER):
                pass
        async with Peer.connected(office, HONEST) as honest:
            assert await honest.register("bob", office.passwords["bob"]) == 200


async def test_ban_survives_a_restart(office: Office, tmp_path: Path) -> None:
    await office.start(ban_exempt=[], guess_limit=1)
    async with Peer.connected(office, GUESSER) as guesser:
        assert await guesser.guess(20) == 1
    await office.stop()
    await office.start(ban_exempt=[], guess_limit=1)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        async with Peer.connected(office, GUESSER):
            pass
