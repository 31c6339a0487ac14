"""The resolver without a network: cache, hosts file, records, and how its server is written."""

from collections import Counter
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from sottovoce.errors import SettingsError, Unreachable
from sottovoce.net.dns import (
    MAX_ALIASES,
    MAX_CACHED_ANSWERS,
    MAX_NEGATIVE_TTL_S,
    MAX_TTL_S,
    NameServers,
    Resolver,
    addresses_in_hosts,
    parse_name_server,
    read_answer,
)
from sottovoce.sip.targets import Answer, NaptrRecord, Question, RecordType, SrvRecord
from sottovoce.sip.transport import Target, Transport
from sottovoce.sip.uri import SipUri

A, AAAA, SRV, NAPTR = RecordType.A, RecordType.AAAA, RecordType.SRV, RecordType.NAPTR
NONE = Answer(reason="no such name")


class Zone:
    """Stands in for a name server, and counts what it is asked."""

    def __init__(self, records: dict[str, tuple[Answer, float]], hosts: Path) -> None:
        self.records = records
        self.asked: Counter[str] = Counter()
        self.now = 100.0
        self.resolver = Resolver(ask=self.ask, clock=lambda: self.now, hosts_file=hosts)

    async def ask(self, question: Question) -> tuple[Answer, float]:
        self.asked[str(question)] += 1
        return self.records.get(str(question), (NONE, 30.0))


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone({"a.test A": (Answer(addresses=("192.0.2.1",)), 60.0)}, tmp_path / "hosts")


async def test_an_answer_is_kept_for_its_ttl_and_asked_for_again_after_it(zone: Zone) -> None:
    question = Question("a.test", A)
    for now in (100.0, 130.0, 159.9):
        zone.now = now
        assert (await zone.resolver.find(question)).addresses == ("192.0.2.1",)
    assert zone.asked["a.test A"] == 1

    zone.now = 160.0
    await zone.resolver.find(question)
    assert zone.asked["a.test A"] == 2


@pytest.mark.parametrize(
    ("answer", "longest_s"),
    [(Answer(addresses=("192.0.2.1",)), MAX_TTL_S), (NONE, MAX_NEGATIVE_TTL_S)],
)
async def test_no_ttl_binds_us_for_longer_than_the_limit(
    zone: Zone, answer: Answer, longest_s: float
) -> None:
    zone.records["a.test A"] = (answer, 1e9)
    question = Question("a.test", A)
    await zone.resolver.find(question)
    zone.now += longest_s - 1
    await zone.resolver.find(question)
    assert zone.asked["a.test A"] == 1
    zone.now += 1
    await zone.resolver.find(question)
    assert zone.asked["a.test A"] == 2


async def test_what_could_not_be_found_out_is_not_remembered(zone: Zone) -> None:
    zone.records["a.test A"] = (Answer(reason="no answer from the name server"), 0.0)
    await zone.resolver.find(Question("a.test", A))
    await zone.resolver.find(Question("a.test", A))

    assert zone.asked["a.test A"] == 2


async def test_a_full_cache_forgets_what_was_used_longest_ago(zone: Zone) -> None:
    kept = Question("a.test", A)
    await zone.resolver.find(kept)
    for n in range(MAX_CACHED_ANSWERS + 10):
        await zone.resolver.find(Question(f"{n}.test", A))
        await zone.resolver.find(kept)
    assert zone.asked["a.test A"] == 1

    await zone.resolver.find(Question("0.test", A))
    assert zone.asked["0.test A"] == 2


async def test_the_hosts_file_stands_before_the_dns(zone: Zone, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("198.51.100.7 other a.test # mine\n::1 a.test\n")

    assert (await zone.resolver.find(Question("a.test", A))).addresses == ("198.51.100.7",)
    assert (await zone.resolver.find(Question("a.test", AAAA))).addresses == ("::1",)
    assert not zone.asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("garbage\n\n  \n#192.0.2.1 a.test\n", ()),
        ("nonsense a.test\n", ()),
        ("192.0.2.1\tA.Test\r\n192.0.2.2 b a.test\n", ("192.0.2.1", "192.0.2.2")),
        ("192.0.2.1 a.test.example\n", ()),
    ],
)
def test_a_hosts_file_is_read_line_by_line(
    tmp_path: Path, text: str, found: tuple[str, ...]
) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)

    assert addresses_in_hosts(path, Question("a.test", A)) == found


async def test_a_name_that_the_dns_has_not_may_be_known_to_the_system(tmp_path: Path) -> None:
    resolver = Resolver(hosts_file=tmp_path / "none")
    resolver._ask = Zone({}, tmp_path / "none").ask

    assert "127.0.0.1" in (await resolver.find(Question("localhost", A))).addresses
    assert (await resolver.find(Question("no such name.invalid", A))).reason == NONE.reason


async def test_a_search_ends_in_targets_of_the_domain(zone: Zone) -> None:
    zone.records["_sips._tcp.d.test SRV"] = (Answer(srv=(SrvRecord(1, 1, 5062, "a.test"),)), 60.0)
    targets = await zone.resolver.locate(
        SipUri.parse("sips:d.test"), transports=[Transport.TLS], domain="d.test"
    )

    assert targets == (Target(Transport.TLS, "192.0.2.1", 5062, "d.test"),)


async def test_a_domain_without_servers_is_told_with_what_was_asked(zone: Zone) -> None:
    with pytest.raises(Unreachable) as failure:
        await zone.resolver.locate(
            SipUri.parse("sips:d.test"), transports=[Transport.TLS], domain="d.test"
        )

    assert "_sips._tcp.d.test SRV: no such name" in failure.value.reason
    assert "--outbound-proxy" in failure.value.reason


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(
    text: str, place: tuple[str, int]
) -> None:
    assert parse_name_server(text) == place


@pytest.mark.parametrize("text", ["ns.example.org", "192.0.2.53:", "192.0.2.53:0", "1.2.3.4:99999"])
def test_anything_else_is_told_with_the_form_that_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"dns_server .* expected an address"):
        parse_name_server(text)


def response(question: str, kind: str, *lines: str) -> dns.message.QueryMessage:
    made = dns.message.make_response(dns.message.make_query(question, kind))
    for line in lines:
        name, ttl, type_, rdata = line.split(None, 3)
        made.answer.append(dns.rrset.from_text(name, int(ttl), "IN", type_, rdata))
    received = dns.message.from_wire(made.to_wire())
    assert isinstance(received, dns.message.QueryMessage)
    return received


def test_records_are_read_with_the_shortest_ttl_on_the_way() -> None:
    answer, ttl_s = read_answer(
        response("d.test", "A", "d.test. 300 CNAME a.test.", "a.test. 20 A 192.0.2.1")
    )
    assert (answer.addresses, ttl_s) == (("192.0.2.1",), 20.0)

    answer, _ = read_answer(
        response("_sips._tcp.d.test", "SRV", "_sips._tcp.d.test. 9 SRV 1 2 5061 a.test.")
    )
    assert answer.srv == (SrvRecord(1, 2, 5061, "a.test"),)

    answer, _ = read_answer(
        response("d.test", "NAPTR", 'd.test. 9 NAPTR 1 2 "s" "SIPS+D2T" "" _sips._tcp.d.test.')
    )
    assert answer.naptr == (NaptrRecord(1, 2, "s", "SIPS+D2T", "_sips._tcp.d.test"),)


@pytest.mark.parametrize("aliases", [MAX_ALIASES, MAX_ALIASES + 1])
def test_a_chain_of_aliases_is_followed_up_to_the_limit(aliases: int) -> None:
    chain = [f"{n}.test. 60 CNAME {n + 1}.test." for n in range(aliases)]
    answer, _ = read_answer(response("0.test", "A", *chain, f"{aliases}.test. 60 A 192.0.2.1"))

    assert bool(answer.addresses) == (aliases <= MAX_ALIASES)


def test_records_of_another_name_are_not_taken() -> None:
    answer, _ = read_answer(response("d.test", "A", "evil.test. 60 A 203.0.113.6"))

    assert answer.addresses == ()
    assert answer.reason


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5)])
async def test_a_name_that_cannot_be_asked_for_is_an_answer_with_a_reason(name: str) -> None:
    answer, ttl_s = await NameServers(("192.0.2.53", 53)).ask(Question(name, A))

    assert answer.reason
    assert ttl_s == 0
