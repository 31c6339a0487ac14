"""RFC 3261 section 10.3; RFC 5626 section 6."""

from dataclasses import asdict

import pytest

from sottovoce.sip.message import Request
from sottovoce.sip.registrar import (
    MAX_CONTACT_CHARACTERS,
    MAX_REQUEST_CONTACTS,
    Binding,
    RegistrarSettings,
    Registration,
    apply,
)

NOW_UTC = 1_700_000_000.25
SETTINGS = RegistrarSettings(
    min_expires_s=60, default_expires_s=1800, max_expires_s=7200, max_contacts=3
)
INSTANCE = '+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'


def register(
    *fields: tuple[str, str], call_id: str = "1@a", cseq: int = 1, vias: int = 1
) -> Request:
    via = ("Via", "SIP/2.0/TLS 192.0.2.9:49170;branch=z9hG4bK1;received=198.51.100.1;rport=4242")
    return Request.make(
        "REGISTER",
        "sip:example.org",
        [
            *[via] * vias,
            ("From", "<sip:bob@example.org>;tag=1"),
            ("To", "<sip:bob@example.org>"),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} REGISTER"),
            *fields,
        ],
    )


def applied(
    request: Request,
    bindings: tuple[Binding, ...] = (),
    *,
    now_utc: float = NOW_UTC,
    flow: str = "f1",
) -> Registration:
    return apply(request, bindings, now_utc=now_utc, flow=flow, settings=SETTINGS)


def bound(*contacts: str, call_id: str = "0@old", cseq: int = 1) -> tuple[Binding, ...]:
    """Bindings made by a phone before."""
    fields = [("Contact", contact) for contact in contacts]
    result = applied(register(*fields, call_id=call_id, cseq=cseq), flow="f0")
    assert result.status == 200
    return result.bindings


def contacts(result: Registration) -> list[str]:
    return [value for name, value in result.fields if name == "Contact"]


def remaining(result: Registration) -> list[int]:
    return [binding.remaining_s(NOW_UTC) for binding in result.bindings]


def test_binding_keeps_what_is_needed_to_reach_the_phone() -> None:
    result = applied(
        register(
            ("Contact", "<sip:bob@192.0.2.9:5061;transport=tls>;q=0.5;x"), ("User-Agent", "T46")
        )
    )
    assert (result.status, result.reason) == (200, "OK")
    assert result.bindings == (
        Binding(
            contact="sip:bob@192.0.2.9:5061;transport=tls",
            params=(("q", "0.5"), ("x", None)),
            call_id="1@a",
            cseq=1,
            expires_utc=NOW_UTC + 1800,
            flow="f1",
            received="198.51.100.1:4242",
            user_agent="T46",
        ),
    )
    assert contacts(result) == ["<sip:bob@192.0.2.9:5061;transport=tls>;q=0.5;x;expires=1800"]
    assert ("Date", "Tue, 14 Nov 2023 22:13:20 GMT") in result.fields


def test_binding_is_texts_and_numbers_so_that_it_can_be_stored() -> None:
    (binding,) = bound(f"<sip:bob@a>;{INSTANCE};reg-id=1")
    assert Binding(**asdict(binding)) == binding
    assert all(isinstance(value, str | int | float | tuple) for value in asdict(binding).values())


@pytest.mark.rfc("rfc3261-registrar-proxy", 4)
def test_query_lists_all_and_changes_nothing() -> None:
    old = bound("<sip:bob@a>", "<sip:bob@b>")
    result = applied(register(), old, now_utc=NOW_UTC + 100.5)
    assert result.bindings == old
    assert contacts(result) == ["<sip:bob@a>;expires=1700", "<sip:bob@b>;expires=1700"]


@pytest.mark.rfc("rfc3261-registrar-proxy", 5)
def test_time_is_taken_from_the_contact_then_the_header_then_the_default() -> None:
    both = register(
        ("Contact", "<sip:a@a>;expires=120"), ("Contact", "<sip:a@b>"), ("Expires", "240")
    )
    assert remaining(applied(both)) == [120, 240]
    assert remaining(applied(register(("Contact", "<sip:a@a>")))) == [1800]
    assert remaining(applied(register(("Contact", "<sip:a@a>;expires=99999")))) == [7200]


@pytest.mark.parametrize("wish", ["junk", '"120"', "-1", "1.5"])
def test_malformed_time_counts_as_none(wish: str) -> None:
    result = applied(register(("Contact", f"<sip:a@a>;expires={wish}"), ("Expires", "240")))
    assert remaining(result) == [240]
    assert remaining(applied(register(("Contact", "<sip:a@a>"), ("Expires", wish)))) == [1800]


@pytest.mark.rfc("rfc3261-registrar-proxy", 6)
def test_too_brief_is_answered_with_the_least() -> None:
    old = bound("<sip:bob@a>")
    result = applied(register(("Contact", "<sip:bob@b>;expires=59")), old)
    assert (result.status, result.reason) == (423, "Interval Too Brief")
    assert result.fields == (("Min-Expires", "60"),)
    assert result.bindings == old


@pytest.mark.rfc("rfc3261-registrar-proxy", 6)
def test_an_hour_is_never_too_brief() -> None:
    settings = RegistrarSettings(min_expires_s=4000, default_expires_s=4000)
    request = register(("Contact", "<sip:bob@b>;expires=3600"))
    assert apply(request, (), now_utc=NOW_UTC, flow="f", settings=settings).status == 200


@pytest.mark.rfc("rfc3261-registrar-proxy", 9)
def test_zero_removes_that_contact_alone() -> None:
    old = bound("<sip:bob@a>", "<sip:bob@b>")
    result = applied(register(("Contact", "<sip:bob@a>;expires=0")), old)
    assert result.bindings == old[1:]
    assert applied(register(("Contact", "<sip:bob@c>;expires=0")), old).bindings == old


@pytest.mark.rfc("rfc3261-registrar-proxy", 3)
def test_star_removes_all() -> None:
    old = bound("<sip:bob@a>", "<sip:bob@b>")
    result = applied(register(("Contact", "*"), ("Expires", "0")), old)
    assert (result.status, result.bindings, contacts(result)) == (200, (), [])


@pytest.mark.rfc("rfc3261-registrar-proxy", 3)
@pytest.mark.parametrize(
    "fields",
    [
        [("Contact", "*")],
        [("Contact", "*"), ("Expires", "1")],
        [("Contact", "*"), ("Expires", "x")],
        [("Contact", "*, <sip:bob@c>"), ("Expires", "0")],
        [("Contact", "*"), ("Contact", "*"), ("Expires", "0")],
        [("Contact", "*;expires=0")],
    ],
)
def test_star_with_anything_else_is_refused(fields: list[tuple[str, str]]) -> None:
    old = bound("<sip:bob@a>")
    result = applied(register(*fields), old)
    assert (result.status, result.bindings) == (400, old)


@pytest.mark.rfc("rfc3261-registrar-proxy", 7)
@pytest.mark.parametrize(
    "fields", [[("Contact", "<sip:bob@a>")], [("Contact", "*"), ("Expires", "0")]]
)
def test_late_request_of_the_same_call_id_changes_nothing(fields: list[tuple[str, str]]) -> None:
    old = bound("<sip:bob@a>", call_id="1@a", cseq=5)
    for cseq in (4, 5):
        result = applied(register(*fields, call_id="1@a", cseq=cseq), old)
        assert (result.status, result.bindings) == (500, old)
    assert applied(register(*fields, call_id="1@a", cseq=6), old).status == 200


@pytest.mark.rfc("rfc3261-registrar-proxy", 7)
def test_other_call_id_overwrites() -> None:
    old = bound("<sip:bob@a>;q=1", call_id="0@old", cseq=99)
    result = applied(register(("Contact", "<sip:bob@a>;q=0.1"), cseq=1), old)
    assert len(result.bindings) == 1
    assert (result.bindings[0].call_id, result.bindings[0].flow) == ("1@a", "f1")
    assert result.bindings[0].params == (("q", "0.1"),)


@pytest.mark.rfc("rfc3261-registrar-proxy", 8)
@pytest.mark.parametrize(
    "bad", ["<sip:bob@c>;expires=1", "<sip:bob@late>", "<tel:+1>", "sip:x@y?h=v"]
)
def test_one_failing_contact_fails_all(bad: str) -> None:
    old = bound("<sip:bob@late>", call_id="1@a", cseq=9)
    fields = [("Contact", "<sip:bob@good>"), ("Contact", bad)]
    result = applied(register(*fields, call_id="1@a", cseq=8), old)
    assert result.status in (400, 416, 423, 500)
    assert result.bindings == old
    assert contacts(result) == []


@pytest.mark.rfc("rfc3261-registrar-proxy", 10)
def test_unknown_requirement_is_refused() -> None:
    result = applied(register(("Contact", "<sip:bob@a>"), ("Require", "outbound, a, b")))
    assert (result.status, result.fields) == (420, (("Unsupported", "a, b"),))


@pytest.mark.rfc("rfc3261-registrar-proxy", 10)
def test_record_route_is_ignored() -> None:
    result = applied(register(("Contact", "<sip:bob@a>"), ("Record-Route", "<sip:p;lr>")))
    assert result.status == 200
    assert "Record-Route" not in [name for name, _ in result.fields]


@pytest.mark.rfc("rfc3261-registrar-proxy", 11)
@pytest.mark.rfc("rfc5630", 12)
def test_contacts_are_compared_as_uris_not_as_texts() -> None:
    old = bound("<sip:%62ob@Host.example;newparam=5>", "<sips:bob@host.example>")
    result = applied(register(("Contact", "<sip:bob@host.EXAMPLE>")), old)
    assert [binding.contact for binding in result.bindings] == [
        "sip:bob@host.EXAMPLE",
        "sips:bob@host.example",
    ]


@pytest.mark.rfc("rfc3261-registrar-proxy", 11)
@pytest.mark.rfc("rfc4475-5118", 4)
@pytest.mark.parametrize(
    ("contact", "listed"),
    [
        ("sip:+1@gw1.example.net;unknownparam", "<sip:+1@gw1.example.net>;unknownparam"),
        ("<sip:+1@gw1.example.net;unknownparam>", "<sip:+1@gw1.example.net;unknownparam>"),
        ("<sip:u@x?Route=%3Csip:s%3E>", "<sip:u@x?Route=%3Csip:s%3E>"),
        ("<sip:%00@h>", "<sip:%00@h>"),
    ],
)
def test_contact_is_listed_as_it_came(contact: str, listed: str) -> None:
    """RFC 4475 cparam01, cparam02, regescrt and escnull."""
    assert contacts(applied(register(("Contact", contact)))) == [f"{listed};expires=1800"]


def test_contact_twice_in_one_request_is_one_binding() -> None:
    result = applied(register(("Contact", "<sip:bob@a>;q=1, <sip:bob@A>;q=0.2")))
    assert [binding.params for binding in result.bindings] == [(("q", "0.2"),)]


def test_expired_bindings_are_gone() -> None:
    old = bound("<sip:bob@a>;expires=60", "<sip:bob@b>")
    result = applied(register(call_id="1@a"), old, now_utc=NOW_UTC + 60)
    assert result.bindings == old[1:]


def test_contacts_over_the_limit_are_refused_with_the_reason() -> None:
    old = bound("<sip:bob@a>", "<sip:bob@b>", "<sip:bob@c>")
    result = applied(register(("Contact", "<sip:bob@d>")), old)
    assert (result.status, result.bindings) == (403, old)
    assert "3 contacts" in dict(result.fields)["Warning"]
    swap = register(("Contact", "<sip:bob@a>;expires=0"), ("Contact", "<sip:bob@d>"))
    assert len(applied(swap, old).bindings) == 3
    assert applied(register(("Contact", "<sip:bob@b>")), old).status == 200


def test_what_one_request_can_make_the_registrar_do_is_bounded() -> None:
    many = ", ".join(f"<sip:bob@{number}>" for number in range(MAX_REQUEST_CONTACTS + 1))
    assert applied(register(("Contact", many))).status == 413
    long = "x" * MAX_CONTACT_CHARACTERS
    assert applied(register(("Contact", f"<sip:bob@{long}>"))).status == 513
    (binding,) = applied(register(("Contact", "<sip:a@b>"), ("User-Agent", long))).bindings
    assert len(binding.user_agent) == 256


# RFC 5626


def outbound(host: str, reg_id: int = 1) -> list[tuple[str, str]]:
    contact = f"<sip:bob@{host}>;{INSTANCE};reg-id={reg_id}"
    return [("Contact", contact), ("Supported", "path, outbound")]


@pytest.mark.rfc("rfc5626-3581", 5, 6)
def test_same_instance_and_reg_id_replaces_whatever_the_address() -> None:
    first = applied(register(*outbound("a")))
    assert ("Require", "outbound") in first.fields
    second = applied(register(*outbound("b"), call_id="2@a"), first.bindings, flow="f2")
    assert [(each.contact, each.flow) for each in second.bindings] == [("sip:bob@b", "f2")]
    third = applied(register(*outbound("b", 2), call_id="3@a"), second.bindings, flow="f3")
    assert [(each.reg_id, each.flow) for each in third.bindings] == [(1, "f2"), (2, "f3")]


@pytest.mark.rfc("rfc5626-3581", 14)
def test_removing_one_flow_leaves_the_others() -> None:
    one = applied(register(*outbound("a", 1))).bindings
    two = applied(register(*outbound("a", 2), call_id="2@a"), one).bindings
    (contact, value), supported = outbound("a", 1)
    gone = register((contact, f"{value};expires=0"), supported, cseq=2)
    assert [each.reg_id for each in applied(gone, two).bindings] == [2]


@pytest.mark.rfc("rfc5626-3581", 7)
def test_first_hop_without_outbound_is_told() -> None:
    assert applied(register(*outbound("a"), vias=2)).status == 439
    path = ("Path", "<sip:token@edge.example.org;lr;ob>")
    assert applied(register(*outbound("a"), path, vias=2)).status == 200


@pytest.mark.parametrize("reg_id", ["", ";reg-id=0", ";reg-id=x", ";reg-id=2147483648"])
def test_without_a_usable_reg_id_it_is_an_ordinary_contact(reg_id: str) -> None:
    contact = ("Contact", f"<sip:bob@a>;{INSTANCE}{reg_id}")
    result = applied(register(contact, ("Supported", "outbound")))
    assert result.status == 200
    assert "Require" not in dict(result.fields)
    assert result.bindings[0].reg_id is None
    assert result.bindings[0].instance == "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
