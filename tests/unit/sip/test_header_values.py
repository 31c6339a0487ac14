"""RFC 3261 sections 20.10, 20.16 and 20.42; RFC 3581; RFC 5118."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError, RemoteError
from sottovoce.sip.header_values import CSeq, NameAddress, Via


def test_via_in_parts() -> None:
    via = Via.parse(
        "SIP/2.0/tls proxy.example.com:5061;branch=z9hG4bK1;Rport=49170;received=192.0.2.1"
    )
    assert (via.transport, via.host, via.port) == ("TLS", "proxy.example.com", 5061)
    assert (via.branch, via.rport, via.received) == ("z9hG4bK1", 49170, "192.0.2.1")
    assert list(via.params) == ["branch", "rport", "received"]


def test_via_with_white_space_everywhere() -> None:
    """RFC 4475 section 3.1.1.1."""
    via = Via.parse("SIP  /    2.0   / UDP  192.168.255.111 : 5070  ; branch= z9hG4bK30239")
    assert str(via) == "SIP/2.0/UDP 192.168.255.111:5070;branch=z9hG4bK30239"


@pytest.mark.rfc("rfc4475-5118", 9)
@pytest.mark.parametrize(
    ("received", "address"),
    [
        ("[2001:db8::9:255]", "2001:db8::9:255"),
        ("2001:db8::9:255", "2001:db8::9:255"),
        ("[2001:db8:::192.0.2.1]", "2001:db8:::192.0.2.1"),
    ],
)
def test_received_is_read_with_and_without_brackets(received: str, address: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP [2001:db8::1]:5060;received={received};branch=z9hG4bKas3")
    assert via.received == address
    assert via.host == "2001:db8::1"
    assert str(via) == f"SIP/2.0/UDP [2001:db8::1]:5060;received={received};branch=z9hG4bKas3"


@pytest.mark.rfc("rfc5626-3581", 15)
@pytest.mark.parametrize(
    ("text", "asked", "rport"),
    [
        ("", False, None),
        (";rport", True, None),
        (";rport=5070", True, 5070),
        (";rport=0", True, None),
        (";rport=99999", True, None),
        (";rport=x", True, None),
        (";rport=123456789", True, None),
    ],
)
def test_rport_asked_for_and_told(text: str, asked: bool, rport: int | None) -> None:
    via = Via.parse(f"SIP/2.0/UDP host{text};branch=z9hG4bK1")
    assert ("rport" in via.params, via.rport) == (asked, rport)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP host",
        "HTTP/2.0/UDP host",
        "SIP/2.0/UDP host:99999",
        "SIP/2.0/UDP host:0",
        "SIP/2.0/UDP host;;branch=1",
        "SIP/2.0/UDP host;branch=1;branch=2",
        "SIP/2.0/UDP host;branch=1 2",
        "SIP/2.0/UDP host branch=1",
        "SIP/2.0/UDP 2001:db8::1;branch=1",
        "SIP/2.0/UDP <host>",
    ],
)
def test_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Via.parse(text)


@pytest.mark.parametrize(
    ("text", "name", "uri", "params"),
    [
        ("<sip:a@b>", "", "sip:a@b", {}),
        ("sip:a@b", "", "sip:a@b", {}),
        ("sip:a@b;tag=1", "", "sip:a@b", {"tag": "1"}),
        ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", {"tag": "1"}),
        ('"A. \\"B\\", C" <sip:a@b> ; tag = 1', 'A. "B", C', "sip:a@b", {"tag": "1"}),
        ("A. G. Bell <sip:a@b>;tag=a48s", "A. G. Bell", "sip:a@b", {"tag": "a48s"}),
        ("caller<sip:a@b>;TAG=323", "caller", "sip:a@b", {"tag": "323"}),
        ("Zoë <sip:a@b>;x;tag=1;y", "Zoë", "sip:a@b", {"x": None, "tag": "1", "y": None}),
        ("<sip:a@b?Route=%3Csip:c%3E>", "", "sip:a@b?Route=%3Csip:c%3E", {}),
        ("<tel:+1>;tag=a@b", "", "tel:+1", {"tag": "a@b"}),
        ('"" <sip:a@b>', "", "sip:a@b", {}),
    ],
)
def test_name_address_in_parts(
    text: str, name: str, uri: str, params: dict[str, str | None]
) -> None:
    address = NameAddress.parse(text)
    assert (address.display_name, address.uri, address.params) == (name, uri, params)
    assert address.tag == params.get("tag")


@pytest.mark.rfc("rfc4475-5118", 4)
def test_parameter_outside_brackets_belongs_to_the_header_not_the_uri() -> None:
    outside = NameAddress.parse("sip:+19725552222@gw1.example.net;unknownparam")
    inside = NameAddress.parse("<sip:+19725552222@gw1.example.net;unknownparam>")
    assert outside.sip_uri.params == {}
    assert inside.sip_uri.params == {"unknownparam": None}
    assert inside.params == {}


@pytest.mark.rfc("rfc4475-5118", 2)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "sip",
        "Bell, Alexander <sip:a@b>",
        '"Mr. J. User <sip:a@b>',
        "< sip:a@b >",
        "<sip:a@b",
        "sip:a@b>",
        "sip:a@b?Route=%3Csip:c%3E",
        "<sip:a@b>;;;;",
        "<sip:a@b>;tag=1;tag=2",
        "<sip:a@b>;tag=",
        "<sip:a@b> tag=1",
        "<sip:a@b>x;tag=1",
        "<<sip:a@b>>",
        "<a@b>",
        "<sip:a\0@b>",
    ],
)
def test_malformed_name_address_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddress.parse(text)


def test_cseq_in_parts() -> None:
    assert CSeq.parse("0009 INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(9, "INVITE")) == "9 INVITE"
    assert CSeq.parse("4294967295 ACK").number == 2**32 - 1


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "4294967296 INVITE", "1 INV ITE", "1INVITE", "1 <a>"]
)
def test_malformed_cseq_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        CSeq.parse(text)


HOSTS = st.sampled_from(["example.com", "192.0.2.1", "2001:db8::1", "a_b.c"])
PARAMS = st.dictionaries(
    st.sampled_from(["branch", "tag", "rport", "received", "x"]),
    st.none() | st.from_regex(r"[a-z0-9.:-]{1,8}", fullmatch=True) | st.just('"q; \\" ,"'),
)


@given(st.builds(Via, st.just("TLS"), HOSTS, st.none() | st.integers(1, 65535), PARAMS))
def test_via_survives_writing_and_reading(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(
    st.builds(
        NameAddress,
        st.text(st.characters(exclude_characters="\r\n")),
        st.sampled_from(["sip:a@b", "sips:a:b@[::1]:5;lr?x=y", "tel:+1"]),
        PARAMS,
    )
)
def test_name_address_survives_writing_and_reading(address: NameAddress) -> None:
    assert NameAddress.parse(str(address)) == address


@given(st.text(max_size=80))
def test_any_text_is_a_value_or_a_remote_error(text: str) -> None:
    for form in (Via, NameAddress, CSeq):
        try:
            form.parse(text)
        except RemoteError:
            continue
