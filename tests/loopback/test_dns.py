"""Phones that find their server in the DNS: a name server, servers good and bad, on loopback."""

import asyncio
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from sottovoce import Account, Call, CertificateRefused, Phone, SrtpPolicy, Unreachable
from sottovoce.net.dns import Resolver
from sottovoce.net.driver import Driver
from sottovoce.net.tls import client_context, server_context
from sottovoce.phone import failover
from sottovoce.sip.element import Element, ElementEvent
from sottovoce.sip.transactions import RequestReceived
from sottovoce.sip.transport import Flow, Transport
from sottovoce.sip.uri import SipUri

from .conftest import DOMAIN, Certificates, Office

LOCAL = "127.0.0.1"
SERVICE = f"_sips._tcp.{DOMAIN}"
WAIT_S = 10


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone, and counts what it is asked; ``silent`` names get no answer."""

    transport: asyncio.DatagramTransport
    address: str

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[dns.rrset.RRset]] = {}
        self.silent: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.add("sip.hosts.test. 60 A 127.0.0.1")

    def add(self, *lines: str) -> None:
        for line in lines:
            name, ttl, kind, rdata = line.split(None, 3)
            name = name if name.endswith(".") else f"{name}."
            record = dns.rrset.from_text(name, int(ttl), "IN", kind, rdata)
            self.zone.setdefault((name.lower(), kind), []).append(record)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{name.rstrip('.')} {kind}"] += 1
        if name.rstrip(".") in self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        response.answer += self.zone.get((name, kind), self.zone.get((name, "CNAME"), []))
        if not any(name == known for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not response.answer:
            soa = "ns.test. hostmaster.test. 1 60 60 60 60"
            response.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA", soa))
        self.transport.sendto(response.to_wire(), addr)


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(NameServer, local_addr=(LOCAL, 0))
    protocol.transport = transport
    protocol.address = "{}:{}".format(*transport.get_extra_info("sockname"))
    yield protocol
    transport.close()


@pytest.fixture
async def hanging() -> AsyncIterator[int]:
    """A port at which connections are taken, and nothing is ever said."""
    held: list[asyncio.StreamWriter] = []

    def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, LOCAL, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in held:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
def refusing() -> int:
    """A port at which nobody listens."""
    with socket.create_server((LOCAL, 0)) as unused:
        return int(unused.getsockname()[1])


class Responder:
    """A server with a certificate of its own that gives every request one status."""

    def __init__(self, certificates: Certificates, certificate: str, status: int = 200) -> None:
        self.element = Element(secrets.token_bytes)
        self.status = status
        self.requests: list[str] = []
        self.driver = Driver(self.element, self, client_tls=client_context(certificates.ca))
        tls = server_context(*certificates.pair(certificate))
        self.port = self.driver.listen(Transport.TLS, LOCAL, 0, tls)[1]

    def receive_event(self, event: ElementEvent, now: float) -> None:
        if isinstance(event, RequestReceived):
            self.requests.append(event.transaction.request.method)
            self.element.reply(event.transaction, self.status, now)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        pass

    def handle_timer(self, now: float) -> None:
        pass

    def next_deadline(self) -> float | None:
        return None


def found_by(office: Office, names: NameServer, user: str, **settings: Any) -> Account:
    """An account without an outbound proxy: the DNS is all that it has."""
    values = {"password": office.passwords[user], "ca_file": office.data / "ca.pem", **settings}
    return Account(f"sips:{user}@{DOMAIN}", dns_server=names.address, **values)


def srv(priority: int, port: int, host: str = "sip.hosts.test.", weight: int = 0) -> str:
    return f"{SERVICE} 60 SRV {priority} {weight} {port} {host}"


@pytest.fixture
async def wrong(office: Office, certificates: Certificates) -> AsyncIterator[Responder]:
    """A server whose certificate is good, but another domain's."""
    made = Responder(certificates, "other-domain")
    yield made
    made.driver.close()


@pytest.fixture
async def busy(office: Office, certificates: Certificates) -> AsyncIterator[Responder]:
    """A server of the domain that has no time."""
    made = Responder(certificates, "right", 503)
    yield made
    made.driver.close()


async def answer(call: Call) -> None:
    await call.answer()


async def test_two_phones_find_their_server_and_talk(office: Office, names: NameServer) -> None:
    await office.start()
    names.add(srv(1, office.ports["tls"]))
    async with (
        Phone(found_by(office, names, "bob"), on_incoming_call=answer),
        Phone(found_by(office, names, "alice")) as alice,
    ):
        call = await alice.call(f"sips:bob@{DOMAIN}")
        assert call.security.media_protected
        security = alice.signalling_security
        assert security is not None
        assert f"URI:sip:{DOMAIN}" in security.subject_identities
        await call.hangup()

    assert names.asked[f"{DOMAIN} NAPTR"] == 2  # each phone has its own memory


@pytest.mark.rfc("rfc3263", 1, 5)
async def test_naptr_leads_to_the_srv_records(office: Office, names: NameServer) -> None:
    await office.start()
    names.add(
        f'{DOMAIN} 60 NAPTR 1 1 "s" "SIP+D2U" "" _sip._udp.{DOMAIN}.',
        f'{DOMAIN} 60 NAPTR 2 1 "s" "SIPS+D2T" "" _phones.hosts.test.',
        f"_phones.hosts.test. 60 SRV 1 1 {office.ports['tls']} sip.hosts.test.",
    )
    async with Phone(found_by(office, names, "alice")) as alice:
        assert alice.registered

    assert names.asked["_phones.hosts.test SRV"] == 1
    assert not any("_sip._udp" in each for each in names.asked)


async def test_an_alias_is_followed(office: Office, names: NameServer) -> None:
    await office.start()
    names.add(srv(1, office.ports["tls"], "alias.test."))
    names.zone["alias.test.", "CNAME"] = [
        dns.rrset.from_text("alias.test.", 60, "IN", "CNAME", "sip.hosts.test."),
        *names.zone["sip.hosts.test.", "A"],
    ]
    async with Phone(found_by(office, names, "alice")) as alice:
        assert alice.registered


@pytest.mark.rfc("rfc3263", 8, 10)
async def test_a_server_that_refuses_is_followed_by_the_next_priority(
    office: Office, names: NameServer, refusing: int
) -> None:
    await office.start()
    names.add(srv(20, office.ports["tls"]), srv(10, refusing))
    async with Phone(found_by(office, names, "alice")) as alice:
        assert alice.flow.remote[1] == office.ports["tls"]


@pytest.mark.rfc("rfc3263", 10)
async def test_every_address_of_a_host_is_tried(office: Office, names: NameServer) -> None:
    await office.start()
    names.add("many.test. 60 A 127.0.0.2", "many.test. 60 A 127.0.0.1")
    proxy = f"many.test:{office.ports['tls']};transport=tls"
    account = office.account("alice", outbound_proxy=proxy, dns_server=names.address)
    async with Phone(account) as alice:
        assert alice.flow.remote[0] == LOCAL

    assert not any("SRV" in each or "NAPTR" in each for each in names.asked)


@pytest.mark.rfc("rfc3263", 10)
async def test_a_server_that_hangs_gets_its_share_of_the_time_and_no_more(
    office: Office, names: NameServer, hanging: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "MAX_SERVER_S", 0.3)
    await office.start()
    names.add(srv(20, office.ports["tls"]), srv(10, hanging))
    async with Phone(found_by(office, names, "alice")) as alice:
        assert alice.flow.remote[1] == office.ports["tls"]


@pytest.mark.rfc("rfc3263", 10, 12)
@pytest.mark.rfc("rfc5922-5924", 9, 10)
async def test_a_server_with_a_wrong_certificate_gets_no_message_and_the_next_is_tried(
    office: Office, names: NameServer, certificates: Certificates, wrong: Responder
) -> None:
    await office.start()
    names.add(srv(10, wrong.port), srv(20, office.ports["tls"]))
    async with Phone(found_by(office, names, "alice")) as alice:
        assert alice.flow.remote[1] == office.ports["tls"]
    assert wrong.requests == []


@pytest.mark.rfc("rfc3263", 12)
async def test_a_certificate_of_the_srv_target_proves_nothing(
    office: Office, names: NameServer, certificates: Certificates, wrong: Responder
) -> None:
    names.add(srv(10, wrong.port, "other.test."), "other.test. 60 A 127.0.0.1")
    with pytest.raises(CertificateRefused, match=DOMAIN):
        async with Phone(found_by(office, names, "alice", ca_file=certificates.ca)):
            pass
    assert wrong.requests == []


@pytest.mark.rfc("rfc3263", 10)
async def test_a_server_that_answers_503_is_followed_by_the_next(
    office: Office, names: NameServer, certificates: Certificates, busy: Responder
) -> None:
    await office.start()
    both = office.data / "both.pem"
    both.write_bytes((office.data / "ca.pem").read_bytes() + certificates.ca.read_bytes())
    names.add(srv(10, busy.port), srv(20, office.ports["tls"]))
    async with (
        Phone(found_by(office, names, "bob", ca_file=both), on_incoming_call=answer) as bob,
        Phone(found_by(office, names, "alice")) as alice,
    ):
        assert bob.registered
        assert bob.flow.remote[1] == office.ports["tls"]
        call = await alice.call("bob")
        await call.hangup()
        async with asyncio.timeout(WAIT_S):
            while busy.driver.connections:  # bob has left it
                await asyncio.sleep(0.02)

    assert busy.requests == ["REGISTER"]


async def test_when_no_server_works_each_is_told_with_its_reason(
    office: Office, names: NameServer, certificates: Certificates, wrong: Responder, refusing: int
) -> None:
    names.add(srv(10, refusing), srv(20, wrong.port))
    with pytest.raises(CertificateRefused) as failure:
        async with Phone(found_by(office, names, "alice", ca_file=certificates.ca)):
            pass
    assert f"nothing answers at TLS {LOCAL}:{refusing}" in str(failure.value)
    assert f"TLS {LOCAL}:{wrong.port}: " in str(failure.value)
    assert "other.test" in str(failure.value)


@pytest.mark.rfc("rfc3263", 9)
async def test_a_domain_that_offers_no_sips_is_not_called_at_its_address(
    office: Office, names: NameServer, certificates: Certificates
) -> None:
    names.add(srv(0, 0, "."), f"{DOMAIN} 60 A 127.0.0.1")
    with pytest.raises(Unreachable, match="not offered"):
        async with Phone(found_by(office, names, "alice", ca_file=certificates.ca)):
            pass

    assert names.asked[f"{DOMAIN} A"] == 0


@pytest.mark.rfc("rfc3263", 15)
async def test_sips_never_falls_to_clear_text(office: Office, names: NameServer) -> None:
    await office.start("udp", "tcp", allow_clear_text_sip=True)
    names.add(
        f"_sip._tcp.{DOMAIN} 60 SRV 1 1 {office.ports['tcp']} sip.hosts.test.",
        f"_sip._udp.{DOMAIN} 60 SRV 1 1 {office.ports['udp']} sip.hosts.test.",
        f'{DOMAIN} 60 NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.{DOMAIN}.',
    )
    with pytest.raises(Unreachable, match="has no server"):
        async with Phone(found_by(office, names, "alice", allow_clear_text_sip=True)):
            pass
    with pytest.raises(Unreachable, match="has no server"):
        async with Phone(Account(f"sip:alice@{DOMAIN}", "x", dns_server=names.address)):
            pass

    assert not any("_sip._" in each for each in names.asked)


@pytest.mark.rfc("rfc3263", 6)
async def test_clear_text_is_found_by_those_who_allow_it(office: Office, names: NameServer) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    names.add(f"_sip._udp.{DOMAIN} 60 SRV 1 1 {office.ports['udp']} sip.hosts.test.")
    account = Account(
        f"sip:alice@{DOMAIN}",
        office.passwords["alice"],
        dns_server=names.address,
        allow_clear_text_sip=True,
        srtp=SrtpPolicy.OFF,
    )
    assert any("allow_clear_text_sip" in each for each in account.warnings())
    async with Phone(account) as alice:
        assert alice.flow.transport is Transport.UDP


async def test_an_outbound_proxy_by_name_is_found_by_srv_too(
    office: Office, names: NameServer
) -> None:
    await office.start()
    names.add(f"_sips._tcp.edge.test 60 SRV 1 1 {office.ports['tls']} sip.hosts.test.")
    account = office.account("alice", outbound_proxy="edge.test", dns_server=names.address)
    async with Phone(account) as alice:
        assert alice.registered


async def test_a_phone_comes_back_at_another_server_of_its_domain(
    office: Office, names: NameServer
) -> None:
    await office.start()
    names.add(f"{SERVICE} 0 SRV 10 0 {office.ports['tls']} sip.hosts.test.")
    async with Phone(found_by(office, names, "alice")) as alice:
        del office.ports["tls"]
        await office.stop()
        await office.start()
        names.add(f"{SERVICE} 0 SRV 20 0 {office.ports['tls']} sip.hosts.test.")
        async with asyncio.timeout(WAIT_S):
            while not alice.registered or alice.flow.remote[1] != office.ports["tls"]:
                await asyncio.sleep(0.02)


# The resolver itself


async def look_up(resolver: Resolver) -> list[str]:
    found = await resolver.locate(
        SipUri.parse(f"sips:{DOMAIN}"), transports=[Transport.TLS], domain=DOMAIN
    )
    return [str(each) for each in found]


async def test_a_second_look_up_asks_nothing(names: NameServer) -> None:
    names.add(srv(1, 5061))
    resolver = Resolver(names.address)
    first = await look_up(resolver)
    asked = dict(names.asked)

    assert await look_up(resolver) == first == ["TLS 127.0.0.1:5061"]
    assert names.asked == asked
    assert set(asked.values()) == {1}  # also "there is none" is remembered


async def test_after_its_ttl_an_answer_is_asked_for_again(names: NameServer) -> None:
    now = 0.0
    names.add(srv(1, 5061))
    resolver = Resolver(names.address, clock=lambda: now)
    await look_up(resolver)
    now = 61.0
    names.zone.pop((f"{SERVICE}.", "SRV"))
    names.add(srv(1, 5099))

    assert await look_up(resolver) == ["TLS 127.0.0.1:5099"]


async def test_a_name_that_is_not_there_is_told(names: NameServer) -> None:
    with pytest.raises(Unreachable, match=rf"{SERVICE} SRV: no such name.*A: no such name"):
        await look_up(Resolver(names.address))


async def test_a_name_server_that_says_nothing_is_told_and_the_search_goes_on(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sottovoce.net.dns.QUESTION_TIMEOUT_S", 0.1)
    names.add(srv(1, 5061))
    names.silent.add(DOMAIN)
    resolver = Resolver(names.address)
    assert await look_up(resolver) == ["TLS 127.0.0.1:5061"]

    names.silent |= {"sip.hosts.test"}
    with pytest.raises(Unreachable, match=r"sip\.hosts\.test A: no answer from the name server"):
        await look_up(Resolver(names.address))


async def test_a_search_that_takes_too_long_ends(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sottovoce.net.dns.SEARCH_TIMEOUT_S", 0.1)
    names.silent.add(DOMAIN)
    with pytest.raises(Unreachable, match=f"did not answer within .*{DOMAIN} NAPTR"):
        await look_up(Resolver(names.address))
