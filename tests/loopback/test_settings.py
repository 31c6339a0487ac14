"""Each setting of the server does something: seen from outside, on real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sottovoce import CallFailed, Error, Phone

from .conftest import Office

WAIT_S = 10


@asynccontextmanager
async def connected(office: Office, **wanted: Any) -> AsyncIterator[ssl.SSLObject]:
    """A TLS connection of a phone that checks the address it dials."""
    context = ssl.create_default_context(cafile=office.data / "ca.pem")
    context.check_hostname = False
    for name, value in wanted.items():
        setattr(context, name, value)
    reader, writer = await asyncio.open_connection("127.0.0.1", office.ports["tls"], ssl=context)
    try:
        yield writer.get_extra_info("ssl_object")
    finally:
        writer.close()
        del reader


async def test_tls_minimum_version(office: Office) -> None:
    await office.start(tls_minimum_version="1.3")
    with pytest.raises(ssl.SSLError):
        async with connected(office, maximum_version=ssl.TLSVersion.TLSv1_2):
            pass
    async with connected(office) as tls:
        assert tls.version() == "TLSv1.3"


async def test_certificate_names(office: Office) -> None:
    await office.start(certificate_names=("pbx.example.net", "192.0.2.7"))
    async with connected(office) as tls:
        certificate = tls.getpeercert()

    assert certificate is not None
    names = certificate["subjectAltName"]
    assert ("DNS", "pbx.example.net") in names
    assert ("IP Address", "192.0.2.7") in names


async def test_max_connections(office: Office) -> None:
    await office.start(max_connections=1)
    async with Phone(office.account("alice"), register=False):
        with pytest.raises(Error):
            async with Phone(office.account("bob"), register=False):
                pass


async def test_handshake_timeout_s(office: Office) -> None:
    await office.start(handshake_timeout_s=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", office.ports["tls"])

    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()


async def test_max_builtin_calls_and_rtp_ports(office: Office) -> None:
    await office.start(max_builtin_calls=1, rtp_port_min=20100, rtp_port_max=20103)
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("echo")
        assert call.session.response is not None
        assert b"m=audio 2010" in call.session.response.body
        with pytest.raises(CallFailed, match="486"):
            await alice.call("echo")
        await call.hangup()


@pytest.mark.parametrize(("asked_s", "granted_s"), [(2, 5), (7, 7), (3000, 9)])
async def test_registration_min_s_and_max_s(office: Office, asked_s: int, granted_s: int) -> None:
    times = {"registration_min_s": 5, "registration_default_s": 6, "registration_max_s": 9}
    await office.start(**times)
    async with Phone(office.account("alice", expires_s=asked_s)):
        assert office.server is not None
        (binding,) = office.server.node._location._bindings["sip:alice@example.test"]
        now_utc = office.server.node._wall_clock()

    assert granted_s - 2 < binding.expires_utc - now_utc <= granted_s
