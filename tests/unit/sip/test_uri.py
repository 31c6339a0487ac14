"""RFC 3261 section 19.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError, RemoteError
from sottovoce.sip.uri import SipUri, canonical_aor

# RFC 3261 section 19.1.3, and URIs of RFC 4475
GOOD = [
    "sip:alice@atlanta.com",
    "sip:alice:secretword@atlanta.com;transport=tcp",
    "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
    "sip:+1-212-555-1212:1234@gateway.com;user=phone",
    "sips:1212@gateway.com",
    "sip:alice@192.0.2.4",
    "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
    "sip:alice;day=tuesday@atlanta.com",
    "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    "sip:user;par=u%40example.net@example.com",
    "sip:vivekg@chair-dnrc.example.com;unknownparam",
    "sip:[2001:db8::10]:5070;lr",
    "sip:%00@example.com",
    "sip:*21#@pbx.example.com",
]


@pytest.mark.parametrize("text", GOOD)
def test_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(SipUri.parse(text)) == text


def test_parts_of_a_full_uri() -> None:
    uri = SipUri.parse("SIPS:alice;x:pw@[2001:DB8::1]:5070;Transport=TCP;lr?subject=a&b=c")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (
        "sips", "alice;x", "pw", "2001:DB8::1", 5070,
    )  # fmt: skip
    assert uri.params == {"transport": "TCP", "lr": None}
    assert (uri.headers, uri.secure, uri.transport, uri.loose_route) == (
        "subject=a&b=c", True, "tcp", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:@host",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@.",
        "sip:a@-b",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:999999",
        "sip:a@b:",
        "sip:2001:db8::10",
        "sip:[2001:db8:::10]",
        "sip:[1.2.3.4]",
        "sip:a%4@b",
        "sip:a@b;;lr",
        "sip:a@b;lr;LR",
        "sip:a@b;=x",
        "sip:a@b>",
        "<sip:a@b>",
        "sip:a@b\r\nX: y",
        "sip:ä@b",
        "sip:a@b;p=\x00",
        "alice@example.com",
    ],
)
def test_malformed_uri_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        SipUri.parse(text)
    assert refused.value.status_hint == 400


@pytest.mark.rfc("rfc3261-ua-transactions", 15)
@pytest.mark.rfc("rfc3261-registrar-proxy", 13)
@pytest.mark.parametrize(
    "text", ["tel:+1", "soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:totallyopaque"]
)
def test_other_schemes_are_answered_416(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        SipUri.parse(text)
    assert refused.value.status_hint == 416


# RFC 3261 section 19.1.4, all of its examples
EQUIVALENT = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
]
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:bob:@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:biloxi.com"),
    ("sip:a%3Bb@c", "sip:a;b@c"),
]


@pytest.mark.rfc("rfc3261-ua-transactions", 24)
@pytest.mark.parametrize(("one", "other"), EQUIVALENT)
def test_equivalent_uris(one: str, other: str) -> None:
    assert SipUri.parse(one).equivalent(SipUri.parse(other))
    assert SipUri.parse(other).equivalent(SipUri.parse(one))


@pytest.mark.rfc("rfc3261-ua-transactions", 24)
@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_uris(one: str, other: str) -> None:
    assert not SipUri.parse(one).equivalent(SipUri.parse(other))
    assert not SipUri.parse(other).equivalent(SipUri.parse(one))


@pytest.mark.rfc("rfc3261-registrar-proxy", 2)
@pytest.mark.rfc("rfc5630", 9)
@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("sip:%61lice@d;user=phone", "sip:alice@d"),
        ("sips:alice@D.example:5061?x=y", "sip:alice@d.example"),
        ("sip:alice@d:5060", "sip:alice@d"),
        ("sip:alice@d:5070", "sip:alice@d:5070"),
        ("sip:Alice:pw@d.", "sip:Alice@d"),
        ("sip:%2b1@d", "sip:+1@d"),
        ("sip:%00@d", "sip:%00@d"),
        ("sip:%00%00@d", "sip:%00%00@d"),
        ("sip:sips%3auser%40example.com@d", "sip:sips%3Auser%40example.com@d"),
        ("sip:%c3%a9@d", "sip:%C3%A9@d"),
    ],
)
def test_address_of_record_has_one_spelling(uri: str, aor: str) -> None:
    assert canonical_aor(uri) == aor
    assert canonical_aor(aor) == aor


@pytest.mark.rfc("rfc4475-5118", 1)
def test_escapes_are_decoded_once() -> None:
    assert SipUri.parse("sip:value%2541@d").unescaped_user == "value%41"


def test_password_is_not_shown() -> None:
    uri = SipUri.parse("sip:alice:secretword@atlanta.com")
    assert "secretword" not in repr(uri)
    assert "alice" in repr(uri)


def test_equal_uris_have_equal_hashes() -> None:
    assert hash(SipUri.parse("sip:a@b;x=1")) == hash(SipUri.parse("sip:a@b;x=1"))


@given(st.text(max_size=60) | st.text("sip:a@b.[]%0;?&=", max_size=40).map("sip:".__add__))
def test_any_text_is_a_uri_or_a_remote_error(text: str) -> None:
    try:
        uri = SipUri.parse(text)
    except RemoteError:
        return
    assert SipUri.parse(str(uri)) == uri
    assert uri.equivalent(uri)
    assert canonical_aor(uri.canonical_aor()) == uri.canonical_aor()
