"""The driver on real sockets: connections that stand, fail, lie, and stay silent."""

import asyncio
import secrets
import socket
import ssl
import warnings
from collections.abc import AsyncIterator

import pytest

from sottovoce.errors import CertificateRefused, SettingsError, Unreachable
from sottovoce.net.driver import Driver
from sottovoce.net.peer_watch import ConnectionLimits
from sottovoce.net.stream import MAX_WRITE_QUEUE_BYTES
from sottovoce.net.tls import client_context, server_context
from sottovoce.sip.element import Element, ElementEvent
from sottovoce.sip.message import Request
from sottovoce.sip.transactions import RequestReceived, ResponseReceived, TransportFailed
from sottovoce.sip.transport import Flow, Target, Transport

from .conftest import DOMAIN, Certificates

LOCAL = "127.0.0.1"


class Answerer:
    """A core that answers every request 200 and keeps every other event."""

    def __init__(self) -> None:
        self.element = Element(secrets.token_bytes)
        self.lost: list[str] = []
        self.events: asyncio.Queue[ElementEvent] = asyncio.Queue()

    def receive_event(self, event: ElementEvent, now: float) -> None:
        if isinstance(event, RequestReceived):
            self.element.reply(event.transaction, 200, now)
        else:
            self.events.put_nowait(event)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        self.lost.append(reason)

    def handle_timer(self, now: float) -> None:
        pass

    def next_deadline(self) -> float | None:
        return None


class Pair:
    """A listening driver and one that connects."""

    def __init__(self, certificates: Certificates, limits: ConnectionLimits) -> None:
        self.certificates = certificates
        self.server_core, self.client_core = Answerer(), Answerer()
        tls = client_context(certificates.ca)
        self.server = Driver(
            self.server_core.element, self.server_core, client_tls=tls, limits=limits
        )
        self.client = Driver(self.client_core.element, self.client_core, client_tls=tls)

    def listen(self, transport: Transport = Transport.TLS, name: str = "right") -> Target:
        tls = None
        if transport is Transport.TLS:
            tls = server_context(*self.certificates.pair(name))
        host, port = self.server.listen(transport, LOCAL, 0, tls)
        return Target(transport, host, port, DOMAIN)

    async def ask(self, target: Target) -> ElementEvent:
        request = options()
        now = asyncio.get_running_loop().time()
        self.client_core.element.send_request(request, target, None, now)
        self.client.pump()
        return await self.client_core.events.get()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What came before the end; a reset is an end, too."""
    received = b""
    try:
        while data := await reader.read(4096):
            received += data
    except ConnectionResetError:
        pass
    return received


def options() -> Request:
    return Request.make(
        "OPTIONS",
        f"sips:{DOMAIN}",
        [
            ("Max-Forwards", "70"),
            ("From", f"<sips:a@{DOMAIN}>;tag=a"),
            ("To", f"<sips:{DOMAIN}>"),
            ("Call-ID", secrets.token_hex(8)),
            ("CSeq", "1 OPTIONS"),
        ],
    )


@pytest.fixture
async def pair(certificates: Certificates) -> AsyncIterator[Pair]:
    made = Pair(certificates, ConnectionLimits(max_handshakes=3, open_timeout_s=0.3))
    yield made
    made.client.close()
    made.server.close()


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_request_is_answered_over_every_transport(pair: Pair, transport: Transport) -> None:
    event = await pair.ask(pair.listen(transport))

    assert isinstance(event, ResponseReceived)
    assert event.response.status == 200


async def test_requests_to_one_target_share_a_connection_and_another_domain_does_not(
    pair: Pair,
) -> None:
    target = pair.listen()
    first = await pair.client.connect(target)
    await pair.ask(target)
    assert await pair.client.connect(target) == first

    other = Target(target.transport, target.host, target.port, "other.test")
    with pytest.raises(CertificateRefused):
        await pair.client.connect(other)


async def test_the_security_of_a_connection_can_be_told(pair: Pair) -> None:
    flow = await pair.client.connect(pair.listen())
    security = pair.client.security_of(flow)

    assert security is not None
    assert security.tls_version == "TLSv1.3"
    assert f"URI:sip:{DOMAIN}" in security.subject_identities
    assert "Sottovoce" in security.issuer


@pytest.mark.rfc("rfc5922-5924", 9, 10)
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("expired", "expired"),
        ("other-domain", "other.test"),
        ("other-ca", "--ca FILE"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_refused_and_the_mend_is_told(
    pair: Pair, name: str, found: str
) -> None:
    with pytest.raises(CertificateRefused, match=found):
        await pair.client.connect(pair.listen(name=name))


async def test_a_request_over_a_refused_connection_fails_and_is_never_sent(pair: Pair) -> None:
    event = await pair.ask(pair.listen(name="other-domain"))

    assert isinstance(event, TransportFailed)
    assert "other.test" in event.reason


async def test_nobody_there_is_told_in_one_line(pair: Pair) -> None:
    with socket.create_server((LOCAL, 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Unreachable, match=f"nothing answers at TLS {LOCAL}:{port}"):
        await pair.client.connect(Target(Transport.TLS, LOCAL, port, DOMAIN))


async def test_a_port_in_use_is_told_with_the_mend(pair: Pair) -> None:
    target = pair.listen(Transport.TCP)
    with pytest.raises(SettingsError, match=r"address already in use.*--listen"):
        pair.server.listen(Transport.TCP, target.host, target.port)


async def test_garbage_closes_its_own_connection_and_no_other(pair: Pair) -> None:
    target = pair.listen(Transport.TCP)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(b"\x16\x03\x01 this is not SIP\r\n\r\n")
    assert await until_closed(reader) == b""
    writer.close()

    assert isinstance(await pair.ask(target), ResponseReceived)


async def test_clear_text_on_a_tls_port_ends_that_connection_only(pair: Pair) -> None:
    target = pair.listen()
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.write(options().with_top("Via", "SIP/2.0/TCP a;branch=z9hG4bK1").to_bytes())
    answer = await until_closed(reader)
    writer.close()

    assert b"SIP/2.0" not in answer
    assert isinstance(await pair.ask(target), ResponseReceived)


async def test_a_handshake_that_never_ends_is_ended(pair: Pair) -> None:
    target = pair.listen()
    reader, writer = await asyncio.open_connection(target.host, target.port)
    assert await until_closed(reader) == b""
    writer.close()


async def test_handshakes_over_the_limit_are_turned_away_until_others_end(pair: Pair) -> None:
    target = pair.listen()
    silent = [await asyncio.open_connection(target.host, target.port) for _ in range(4)]
    assert await until_closed(silent[3][0]) == b""  # at once; the first three time out
    for reader, writer in silent[:3]:
        assert await until_closed(reader) == b""
        writer.close()
    silent[3][1].close()

    assert isinstance(await pair.ask(target), ResponseReceived)


async def test_a_message_cut_into_single_bytes_arrives_whole(pair: Pair) -> None:
    target = pair.listen()
    context = client_context(pair.certificates.ca)
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    message = options().with_top("Via", "SIP/2.0/TLS a.invalid;branch=z9hG4bK1").to_bytes()
    for at in range(len(message)):
        writer.write(message[at : at + 1])
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert answer.startswith(b"SIP/2.0 200")


@pytest.mark.rfc("rfc5626-3581", 1)
async def test_a_keep_alive_ping_gets_its_pong(pair: Pair) -> None:
    target = pair.listen()
    context = client_context(pair.certificates.ca)
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    writer.write(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"\r\n"
    writer.close()


async def test_a_peer_that_does_not_read_is_cut_off(pair: Pair) -> None:
    target = pair.listen(Transport.TCP)
    flow = await pair.client.connect(target)
    (server_flow,) = pair.server.connections
    connection = pair.client._connections[flow.connection]
    connection._loop.remove_reader(connection._fd)
    peer = pair.server._connections[server_flow.connection]
    for _ in range(40):
        peer.write(b"x" * (MAX_WRITE_QUEUE_BYTES // 4))
    for _ in range(3):
        await asyncio.sleep(0)

    assert any("unread" in reason for reason in pair.server_core.lost)


async def test_old_tls_is_refused(pair: Pair) -> None:
    target = pair.listen()
    context = client_context(pair.certificates.ca)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection(target.host, target.port, ssl=context)


async def test_every_address_of_a_name_is_tried(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = pair.listen()

    async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        places = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, (LOCAL, port))]
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in places]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    flow = await pair.client.connect(Target(Transport.TLS, "localhost", target.port, DOMAIN))

    assert flow.remote == (LOCAL, target.port)


@pytest.mark.parametrize("transport", [Transport.TLS, Transport.UDP])
async def test_a_name_that_can_be_none_is_unreachable(pair: Pair, transport: Transport) -> None:
    with pytest.raises(Unreachable, match="not known to the DNS"):
        await pair.client.connect(Target(transport, "a" * 70 + ".test", 5061, DOMAIN))


async def test_a_listening_address_that_is_no_name_is_told(pair: Pair) -> None:
    with pytest.raises(SettingsError) as failure:
        pair.server.listen(Transport.TCP, "a.invalid", 0)

    assert "unknown error" not in str(failure.value)
