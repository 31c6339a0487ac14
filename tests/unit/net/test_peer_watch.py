"""Which connections are taken and which are closed, with a made-up clock."""

import pytest

from sottovoce.net.peer_watch import ConnectionLimits, Everybody, PeerWatch
from sottovoce.net.source import network_text, one_source, parse_network
from sottovoce.sip.transport import Flow, Transport

LIMITS = ConnectionLimits(
    max_connections_per_source=3,
    max_handshakes_per_source=2,
    message_timeout_s=30,
    idle_timeout_s=60,
)


class Gate(Everybody):
    def __init__(self) -> None:
        self.banned: set[str] = set()
        self.trusted: set[str] = set()
        self.known: set[int] = set()

    def admits(self, address: str) -> bool:
        return address not in self.banned

    def exempts(self, address: str) -> bool:
        return address in self.trusted

    def knows(self, flow: Flow) -> bool:
        return flow.connection in self.known


class Bench:
    def __init__(self) -> None:
        self.gate = Gate()
        self.progress: dict[int, tuple[int, int]] = {}
        self.watch = PeerWatch(LIMITS, self.gate, lambda flow: self.progress[flow.connection])

    def open(self, number: int, address: str = "192.0.2.1", *, at: float = 0.0) -> Flow:
        self.watch.begin(number, address, at)
        self.watch.opened(number, at)
        self.progress[number] = (0, 0)
        return Flow(Transport.TLS, ("192.0.2.99", 5061), (address, 40000), number)


def test_one_source_has_so_many_connections_and_another_its_own() -> None:
    bench = Bench()
    for number in (1, 2, 3):
        assert bench.watch.may_connect("192.0.2.1")
        bench.open(number)
    assert not bench.watch.may_connect("192.0.2.1")
    assert bench.watch.may_connect("192.0.2.2")

    bench.watch.end(2)
    bench.watch.end(2)
    assert bench.watch.may_connect("192.0.2.1")


def test_handshakes_count_until_they_are_over_or_gone() -> None:
    bench = Bench()
    bench.watch.begin(1, "192.0.2.1", 0.0)
    bench.watch.begin(2, "192.0.2.1", 0.0)
    assert not bench.watch.may_connect("192.0.2.1")
    bench.watch.opened(1, 1.0)
    assert bench.watch.may_connect("192.0.2.1")
    bench.watch.begin(3, "192.0.2.1", 0.0)
    assert not bench.watch.may_connect("192.0.2.1")
    for number in (1, 2, 3):
        bench.watch.end(number)
    assert (bench.watch._connections, bench.watch._handshakes) == ({}, {})


def test_addresses_of_one_ipv6_network_are_one_source() -> None:
    bench = Bench()
    for number in (1, 2, 3):
        bench.open(number, f"2001:db8::{number}")
    assert not bench.watch.may_connect("2001:db8::4")
    assert bench.watch.may_connect("2001:db8:0:1::4")


def test_exempt_sources_have_no_limit_and_banned_ones_no_connection() -> None:
    bench = Bench()
    bench.gate.trusted = {"192.0.2.1"}
    for number in range(10):
        assert bench.watch.may_connect("192.0.2.1")
        bench.open(number)
    bench.gate.banned = {"192.0.2.1"}
    assert not bench.watch.may_connect("192.0.2.1")


def test_slow_sender_is_overdue_and_a_quick_one_is_not() -> None:
    bench = Bench()
    slow, quick = bench.open(1), bench.open(2)
    bench.gate.known = {1, 2}
    flows = [slow, quick]
    for at in range(0, 30, 5):
        bench.progress = {1: (0, at + 1), 2: (at, 7)}  # always some octets, of new messages
        assert bench.watch.overdue(flows, float(at)) == []
    bench.progress = {1: (0, 99), 2: (99, 7)}
    assert bench.watch.overdue(flows, 30.0) == [(slow, "its message took too long")]


def test_idle_connection_is_overdue_unless_somebody_authenticated_on_it() -> None:
    bench = Bench()
    idle, phone, talking = bench.open(1), bench.open(2), bench.open(3)
    bench.gate.known = {2}
    flows = [idle, phone, talking]
    bench.progress[3] = (1, 0)
    assert bench.watch.overdue(flows, 59.0) == []
    assert [flow for flow, _ in bench.watch.overdue(flows, 61.0)] == [idle]


def test_connections_that_we_opened_are_left_alone() -> None:
    bench = Bench()
    ours = Flow(Transport.TLS, ("192.0.2.99", 40000), ("192.0.2.1", 5061), 7)
    assert bench.watch.overdue([ours], 1e6) == []
    bench.watch.opened(7, 0.0)
    bench.watch.end(7)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("no:address", "no:address"),
    ],
)
def test_source_of_an_address(text: str, source: str) -> None:
    assert one_source(text) == source


@pytest.mark.parametrize(
    ("text", "written"),
    [("192.0.2.1/32", "192.0.2.1"), ("192.0.2.0/24", "192.0.2.0/24"), ("::1", "::1")],
)
def test_network_is_written_in_one_form(text: str, written: str) -> None:
    assert network_text(parse_network(text)) == written
