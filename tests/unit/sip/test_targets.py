"""RFC 3263 without a DNS: what is asked, and which servers come out in which order."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import SettingsError
from sottovoce.sip.header_values import Via
from sottovoce.sip.targets import (
    MAX_HOSTS,
    MAX_RECORDS,
    MAX_SERVICES,
    MAX_TARGETS,
    Answer,
    NaptrRecord,
    Question,
    RecordType,
    SrvRecord,
    TargetSearch,
    in_order,
    uri_of_sent_by,
)
from sottovoce.sip.transport import Target, Transport
from sottovoce.sip.uri import SipUri

TLS, TCP, UDP = Transport.TLS, Transport.TCP, Transport.UDP

#: Records by "name TYPE".
Zone = dict[str, Answer]


def naptr(*records: tuple[int, int, str, str, str]) -> Answer:
    return Answer(naptr=tuple(NaptrRecord(*record) for record in records))


def srv(*records: tuple[int, int, int, str]) -> Answer:
    return Answer(srv=tuple(SrvRecord(*record) for record in records))


def at(*addresses: str) -> Answer:
    return Answer(addresses=addresses)


def first(_: int) -> int:
    return 0


def search(
    uri: str,
    zone: Zone,
    *,
    random_below: Callable[[int], int] = first,
    transports: tuple[Transport, ...] = (TLS, TCP, UDP),
    domain: str | None = None,
) -> tuple[list[str], tuple[Target, ...], TargetSearch]:
    """Run a search to its end; what was asked, and what came out."""
    made = TargetSearch(
        SipUri.parse(uri), random_below=random_below, transports=transports, domain=domain
    )
    asked = []
    while questions := made.questions:
        assert made.targets == ()
        for question in questions:
            asked.append(str(question))
            made.receive_answer(question, zone.get(str(question), Answer(reason="no such name")))
    return asked, made.targets, made


def places(targets: tuple[Target, ...]) -> list[str]:
    return [str(each) for each in targets]


ADDRESS_ASKED = ["example.org AAAA", "example.org A"]
HOSTS: Zone = {f"{name}.example.org A": at(f"192.0.2.{n}") for n, name in enumerate("abcdef", 1)}


@pytest.mark.rfc("rfc3263", 1)
def test_a_sips_uri_takes_only_sips_services_of_naptr() -> None:
    zone = HOSTS | {
        "example.org NAPTR": naptr(
            (1, 1, "s", "SIP+D2U", "_sip._udp.example.org"),
            (2, 1, "s", "SIP+D2T", "_sip._tcp.example.org"),
            (3, 1, "s", "SIPS+D2T", "_tls.example.org"),
        ),
        "_tls.example.org SRV": srv((1, 1, 5443, "a.example.org")),
    }
    asked, targets, _ = search("sips:bob@example.org", zone)

    assert asked[:2] == ["example.org NAPTR", "_tls.example.org SRV"]
    assert targets == (Target(TLS, "192.0.2.1", 5443, "example.org"),)


@pytest.mark.rfc("rfc3263", 2)
@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sips:192.0.2.9", "TLS 192.0.2.9:5061"),
        ("sip:192.0.2.9", "UDP 192.0.2.9:5060"),
        ("sip:192.0.2.9:5070", "UDP 192.0.2.9:5070"),
        ("sips:[2001:db8::9]", "TLS [2001:db8::9]:5061"),
        ("sip:192.0.2.9;transport=tcp", "TCP 192.0.2.9:5060"),
    ],
)
def test_an_ip_address_needs_no_dns(uri: str, place: str) -> None:
    asked, targets, _ = search(uri, {})

    assert asked == []
    assert places(targets) == [place]


@pytest.mark.rfc("rfc3263", 3)
@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sips:example.org:5443", "TLS 192.0.2.9:5443"),
        ("sip:example.org:5070", "UDP 192.0.2.9:5070"),
        ("sip:example.org:5070;transport=tcp", "TCP 192.0.2.9:5070"),
        ("sip:example.org:5070;transport=tls", "TLS 192.0.2.9:5070"),
    ],
)
def test_a_port_written_out_asks_for_addresses_alone(uri: str, place: str) -> None:
    asked, targets, _ = search(uri, {"example.org A": at("192.0.2.9")})

    assert asked == ADDRESS_ASKED
    assert places(targets) == [place]


@pytest.mark.rfc("rfc3263", 4, 15)
@pytest.mark.parametrize(
    ("transport", "service"),
    [("tls", "_sips._tcp"), ("tcp", "_sip._tcp"), ("udp", "_sip._udp")],
)
def test_a_transport_written_out_asks_for_its_own_srv_name_at_once(
    transport: str, service: str
) -> None:
    zone = HOSTS | {f"{service}.example.org SRV": srv((1, 1, 5099, "a.example.org"))}
    asked, targets, _ = search(f"sip:example.org;transport={transport}", zone)

    assert asked[0] == f"{service}.example.org SRV"
    assert places(targets) == [f"{transport.upper()} 192.0.2.1:5099"]


@pytest.mark.rfc("rfc3263", 5)
def test_naptr_is_taken_in_order_then_preference_and_only_with_flag_s() -> None:
    zone = HOSTS | {
        "example.org NAPTR": naptr(
            (20, 1, "s", "SIP+D2U", "third.example.net"),
            (10, 2, "S", "sip+d2t", "second.example.net"),
            (10, 1, "s", "SIPS+D2T", "first.example.net."),
            (1, 1, "u", "SIPS+D2T", "regular-expression.example.net"),
            (1, 1, "a", "SIPS+D2T", "address.example.net"),
            (1, 2, "s", "SIPS+D2T", "."),
        ),
        "first.example.net SRV": srv((1, 1, 1001, "a.example.org")),
        "second.example.net SRV": srv((1, 1, 1002, "b.example.org")),
        "third.example.net SRV": srv((1, 1, 1003, "c.example.org")),
    }
    asked, targets, _ = search("sip:example.org", zone)

    assert asked[1:4] == [f"{each}.example.net SRV" for each in ("first", "second", "third")]
    assert places(targets) == ["TLS 192.0.2.1:1001", "TCP 192.0.2.2:1002", "UDP 192.0.2.3:1003"]


@pytest.mark.rfc("rfc3263", 6)
def test_without_usable_naptr_the_srv_names_of_our_transports_are_asked_for() -> None:
    unusable = naptr((1, 1, "s", "SIP+D2X", "x.example.org"))
    for zone in ({}, {"example.org NAPTR": unusable}):
        asked, _, _ = search("sips:example.org", zone)
        assert asked[1] == "_sips._tcp.example.org SRV"
        asked, _, _ = search("sip:example.org", zone)
        assert asked[1:3] == ["_sip._tcp.example.org SRV", "_sip._udp.example.org SRV"]
        asked, _, _ = search("sip:example.org", zone, transports=(UDP,))
        assert asked[1:2] == ["_sip._udp.example.org SRV"]


@pytest.mark.rfc("rfc3263", 7)
@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sips:example.org", "TLS 192.0.2.9:5061"),
        ("sip:example.org", "UDP 192.0.2.9:5060"),
        ("sip:example.org;transport=tcp", "TCP 192.0.2.9:5060"),
        ("sip:example.org;transport=tls", "TLS 192.0.2.9:5061"),
    ],
)
def test_without_srv_the_domain_itself_is_the_server_at_the_default_port(
    uri: str, place: str
) -> None:
    asked, targets, _ = search(uri, {"example.org A": at("192.0.2.9")})

    assert asked[-2:] == ADDRESS_ASKED
    assert places(targets) == [place]


@pytest.mark.rfc("rfc3263", 8)
def test_srv_records_are_tried_by_priority() -> None:
    zone = HOSTS | {
        "_sips._tcp.example.org SRV": srv(
            (30, 9, 5061, "c.example.org"),
            (10, 0, 5061, "a.example.org"),
            (20, 5, 5061, "b.example.org"),
        )
    }
    _, targets, _ = search("sips:example.org", zone)

    assert places(targets) == [f"TLS 192.0.2.{n}:5061" for n in (1, 2, 3)]


@pytest.mark.rfc("rfc3263", 8)
def test_zero_weights_stand_first_and_only_a_zero_draws_them() -> None:
    heavy, light = SrvRecord(1, 9, 5061, "heavy"), SrvRecord(1, 0, 5061, "light")

    assert in_order([heavy, light], lambda _: 0) == (light, heavy)
    for drawn in range(1, 10):
        assert in_order([heavy, light], lambda below, drawn=drawn: min(drawn, below - 1)) == (  # type: ignore[misc]
            heavy,
            light,
        )


@pytest.mark.rfc("rfc3263", 8)
def test_weights_share_the_load_as_they_say() -> None:
    seeded = random.Random(3263)
    records = [SrvRecord(1, weight, 5061, str(weight)) for weight in (10, 30, 60)]
    wins = Counter(in_order(records, seeded.randrange)[0].weight for _ in range(5000))

    assert wins[10] == pytest.approx(500, rel=0.25)
    assert wins[30] == pytest.approx(1500, rel=0.15)
    assert wins[60] == pytest.approx(3000, rel=0.1)


SRV_RECORDS = st.builds(
    SrvRecord,
    st.integers(0, 3),
    st.integers(0, 65535),
    st.integers(1, 65535),
    st.sampled_from("xyz"),
)


@given(st.lists(SRV_RECORDS, max_size=MAX_RECORDS), st.randoms(use_true_random=False))
def test_whatever_is_drawn_every_record_stands_once_and_by_priority(
    records: list[SrvRecord], chance: random.Random
) -> None:
    ordered = in_order(records, chance.randrange)

    assert Counter(ordered) == Counter(records)
    assert [each.priority for each in ordered] == sorted(each.priority for each in records)


@pytest.mark.rfc("rfc3263", 9)
def test_a_dot_for_a_target_says_not_offered_and_no_address_is_asked_for() -> None:
    asked, targets, made = search(
        "sips:example.org",
        {"_sips._tcp.example.org SRV": srv((0, 0, 0, ".")), "example.org A": at("192.0.2.9")},
    )

    assert asked == ["example.org NAPTR", "_sips._tcp.example.org SRV"]
    assert targets == ()
    assert "not offered" in made.reason


@pytest.mark.rfc("rfc3263", 9)
def test_a_transport_that_is_not_offered_leaves_the_others() -> None:
    zone = HOSTS | {
        "_sip._tcp.example.org SRV": srv((0, 0, 0, ".")),
        "_sip._udp.example.org SRV": srv((0, 0, 5060, "a.example.org")),
    }
    _, targets, _ = search("sip:example.org", zone)

    assert places(targets) == ["UDP 192.0.2.1:5060"]


@pytest.mark.rfc("rfc3263", 11)
def test_the_same_chance_gives_the_same_order() -> None:
    zone = HOSTS | {
        "_sips._tcp.example.org SRV": srv(*((1, 5, 5061, f"{n}.example.org") for n in "abcdef"))
    }

    def tried(branch: str) -> tuple[Target, ...]:
        return search("sips:example.org", zone, random_below=random.Random(branch).randrange)[1]

    assert tried("z9hG4bKone") == tried("z9hG4bKone")
    assert len({tried(f"z9hG4bK{n}") for n in range(20)}) > 1


@pytest.mark.rfc("rfc3263", 12)
def test_the_certificate_must_prove_what_was_typed_and_never_what_the_dns_says() -> None:
    zone = {
        "example.org NAPTR": naptr((1, 1, "s", "SIPS+D2T", "_sips._tcp.evil.test")),
        "_sips._tcp.evil.test SRV": srv((1, 1, 5061, "sip.evil.test")),
        "sip.evil.test A": at("203.0.113.6"),
    }
    _, targets, _ = search("sips:example.org", zone)
    assert [each.domain for each in targets] == ["example.org"]

    _, targets, _ = search(
        "sips:proxy.test:5061", {"proxy.test A": at("192.0.2.1")}, domain="d.org"
    )
    assert [each.domain for each in targets] == ["d.org"]


@pytest.mark.rfc("rfc3263", 13)
def test_maddr_is_looked_up_in_place_of_the_host_but_proves_nothing() -> None:
    asked, targets, _ = search(
        "sips:example.org:5061;maddr=edge.test", {"edge.test A": at("192.0.2.7")}
    )
    assert asked == ["edge.test AAAA", "edge.test A"]
    assert targets == (Target(TLS, "192.0.2.7", 5061, "example.org"),)

    assert places(search("sip:example.org;maddr=192.0.2.8", {})[1]) == ["UDP 192.0.2.8:5060"]


@pytest.mark.rfc("rfc3263", 14)
@pytest.mark.parametrize(
    ("via", "asked"),
    [
        ("SIP/2.0/UDP example.org:5099;branch=z9hG4bK1", ADDRESS_ASKED),
        ("SIP/2.0/UDP example.org;branch=z9hG4bK1", ["_sip._udp.example.org SRV", *ADDRESS_ASKED]),
        ("SIP/2.0/TCP example.org;branch=z9hG4bK1", ["_sip._tcp.example.org SRV", *ADDRESS_ASKED]),
    ],
)
def test_a_response_without_its_connection_goes_where_sent_by_says(
    via: str, asked: list[str]
) -> None:
    assert search(str(uri_of_sent_by(Via.parse(via))), {})[0] == asked


@pytest.mark.rfc("rfc3263", 14)
def test_a_response_to_a_request_over_tls_goes_over_tls_or_not_at_all() -> None:
    uri = uri_of_sent_by(Via.parse("SIP/2.0/TLS [2001:db8::1]:5081;branch=z9hG4bK1"))
    assert places(search(str(uri), {})[1]) == ["TLS [2001:db8::1]:5081"]

    asked, _, _ = search(str(uri_of_sent_by(Via.parse("SIP/2.0/TLS example.org;branch=x"))), {})
    assert "_sips._tcp.example.org SRV" in asked
    assert not any(each.startswith("_sip.") for each in asked)


@pytest.mark.rfc("rfc3263", 15)
def test_sips_never_falls_to_clear_text_whatever_the_dns_offers() -> None:
    zone = HOSTS | {
        "example.org NAPTR": naptr(
            (1, 1, "s", "SIP+D2T", "_sip._tcp.example.org"),
            (1, 1, "s", "SIP+D2U", "_sip._udp.example.org"),
        ),
        "_sip._tcp.example.org SRV": srv((1, 1, 5060, "a.example.org")),
        "_sip._udp.example.org SRV": srv((1, 1, 5060, "a.example.org")),
    }
    asked, targets, _ = search("sips:example.org", zone)

    assert not any("_sip._" in each for each in asked)
    assert targets == ()


@pytest.mark.rfc("rfc3263", 15)
def test_a_sip_uri_comes_to_tls_through_naptr_or_where_nothing_else_may_be() -> None:
    zone = HOSTS | {"_sips._tcp.example.org SRV": srv((1, 1, 5061, "a.example.org"))}
    asked, _, _ = search("sip:example.org", zone)
    assert not any("_sips" in each for each in asked)

    _, targets, _ = search("sip:example.org", zone, transports=(TLS,))
    assert places(targets) == ["TLS 192.0.2.1:5061"]


@pytest.mark.rfc("rfc3263", 16)
def test_websocket_services_are_passed_over() -> None:
    zone = {
        "example.org NAPTR": naptr(
            (1, 1, "s", "SIPS+D2W", "_sips._ws.example.org"),
            (1, 2, "s", "SIP+D2W", "_sip._ws.example.org"),
        )
    }
    asked, _, _ = search("sips:example.org", zone)

    assert asked[:2] == ["example.org NAPTR", "_sips._tcp.example.org SRV"]


def test_addresses_of_both_families_take_turns() -> None:
    zone = {
        "example.org A": at("192.0.2.1", "192.0.2.2", "192.0.2.3"),
        "example.org AAAA": at("2001:db8::1"),
    }
    _, targets, _ = search("sips:example.org:5061", zone)

    assert [each.host for each in targets] == ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_why_there_is_no_server_can_be_told() -> None:
    _, targets, made = search("sips:example.org", {})

    assert targets == ()
    assert made.reason == (
        "example.org NAPTR: no such name; _sips._tcp.example.org SRV: no such name; "
        "example.org AAAA: no such name; example.org A: no such name"
    )


@pytest.mark.parametrize(
    ("uri", "transports"),
    [
        ("sips:example.org;transport=udp", (TLS, UDP)),
        ("sips:example.org", (TCP, UDP)),
        ("sip:example.org;transport=udp", (TLS,)),
        ("sip:example.org;transport=sctp", (TLS, TCP, UDP)),
    ],
)
def test_a_transport_that_may_not_be_is_an_error_and_not_another_one(
    uri: str, transports: tuple[Transport, ...]
) -> None:
    with pytest.raises(SettingsError):
        search(uri, {}, transports=transports)


def test_a_dns_that_answers_without_end_is_read_up_to_the_limits() -> None:
    many = range(200)
    zone: Zone = {
        "example.org NAPTR": naptr(*((n, 1, "s", "SIPS+D2T", f"_{n}.example.org") for n in many))
    }
    for n in many:
        zone[f"_{n}.example.org SRV"] = srv(*((m, 1, 5061, f"h{n}-{m}.test") for m in many))
    for n in many:
        zone |= {f"h0-{n}.test A": at(*(f"192.0.2.{m}" for m in many))}
    asked, targets, _ = search("sips:example.org", zone)

    assert sum(each.endswith("SRV") for each in asked) == MAX_SERVICES
    assert sum(each.endswith(" A") for each in asked) == MAX_HOSTS
    assert len(targets) == MAX_TARGETS


def test_an_answer_to_what_was_not_asked_changes_nothing() -> None:
    made = TargetSearch(SipUri.parse("sips:example.org"), random_below=first)
    made.receive_answer(Question("example.org", RecordType.A), at("203.0.113.6"))

    assert made.questions == (Question("example.org", RecordType.NAPTR),)
