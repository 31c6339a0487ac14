"""Whatever the bytes: only RemoteError comes out; what was read is written and read the same."""

from hypothesis import example, given
from hypothesis import strategies as st

from sottovoce.errors import LocalError, RemoteError
from sottovoce.keying import (
    CryptoAttribute,
    SecureMediaNegotiation,
    SrtpPolicy,
    cannot_be_inspected,
    carries_keys,
    redact,
)
from sottovoce.keying.sdes import accept, match
from sottovoce.sdp import (
    Attribute,
    Connection,
    LocalAudio,
    MediaDescription,
    Origin,
    RtpCodec,
    SessionDescription,
)
from sottovoce.secret import Secret
from sottovoce.srtp import CryptoSuite

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
LOCAL = LocalAudio("192.0.2.7", 40000, (RtpCodec("PCMA", 8000, 1, 8),))

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30
).map(lambda text: text.strip(" \t"))
numbers = st.integers(0, 2**63)
connections = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: Connection(str(ip))),
    st.ip_addresses(v=6).map(lambda ip: Connection(str(ip), "IP6")),
    st.just(Connection("phone.example.org")),
    st.just(Connection("224.2.1.1", multicast_scope="/127")),
)
names = words.map(lambda word: word.replace(":", "-"))
attributes = st.lists(st.builds(Attribute, names, st.none() | texts), max_size=5).map(tuple)
media = st.builds(
    MediaDescription,
    media=words,
    port=st.integers(0, 65_535),
    protocol=words,
    formats=st.lists(words, min_size=1, max_size=5).map(tuple),
    connection=st.none() | connections,
    attributes=attributes,
    port_count=st.integers(1, 9),
    other_lines=st.sampled_from([(), ("i=x", "b=AS:64", "k=prompt", "y=1"), ("Z=",)]),
)
descriptions = st.builds(
    SessionDescription,
    st.builds(Origin, words, numbers, numbers, st.sampled_from(["IP4", "IP6"]), words),
    st.lists(media, max_size=3).map(tuple),
    st.none() | connections,
    attributes,
    texts,
    st.lists(texts, min_size=1, max_size=2).map(tuple),
    st.sampled_from([(), ("i=x", "u=y", "e=z", "p=0", "b=CT:9", "r=7d", "z=0", "k=prompt", "Y=")]),
)

#: Pieces that reach deep into the parsers, in any order.
pieces = st.sampled_from(
    [
        "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "c=IN IP4 192.0.2.1", "c=IN IP6 ::",
        "m=audio 4000 RTP/AVP 8 0 101", "m=audio 65535 RTP/SAVP 8", "m=audio 0 RTP/AVP 0",
        "m=video 5000/2 RTP/AVP 31", "m=audio 4000 RTP/AVP 999 x ² ٣", "a=sendonly",
        "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:²  /", "a=ptime:²",
        "a=maxptime:0", "a=rtcp:65535", "a=rtcp:1 IN IP4 x", "a=rtcp-mux", "b=AS:²",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "a=crypto:", "a=crypto:1 x y",
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^48|1:128", "a=crypto", "=", "x",
    ]
)  # fmt: skip
assembled = st.lists(pieces | texts, max_size=25).map("\n".join)
HEAD = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "c=IN IP4 192.0.2.1")
headed = assembled.map("\n".join([*HEAD, ""]).__add__)


@given(descriptions)
def test_what_is_written_reads_the_same(description: SessionDescription) -> None:
    assert SessionDescription.parse(description.to_bytes()) == description


@given(st.binary(max_size=300) | headed)
@example("v=0\no=- 1 1 IN IP4 x\ns=\ud800\nt=0 0")
def test_whatever_is_read_is_written_and_read_the_same(raw: bytes | str) -> None:
    try:
        description = SessionDescription.parse(raw)
    except RemoteError:
        return
    assert SessionDescription.parse(bytes(description)) == description
    assert KEY[4:] not in repr(description)


media_lines = st.sampled_from(
    ["m=audio 4000 RTP/AVP 8 0 101", "m=audio 4000 RTP/SAVP 8", "m=audio 65535 RTP/SAVPF 101 8",
     "m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/SAVP 8 999 ² ٣", "m=video 5000/2 RTP/AVP 31"]
)  # fmt: skip
attribute_lines = st.sampled_from(
    ["c=IN IP4 0.0.0.0", "c=IN IP6 ::", "c=IN IP4 x", "b=AS:²", "a=sendonly", "a=recvonly",
     "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:²  /", "a=ptime:²",
     "a=maxptime:15", "a=rtcp:65535", "a=rtcp:1 IN IP4 x", "a=rtcp-mux", "a=crypto", "a=crypto:",
     f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "a=crypto:3 x y", "k=prompt",
     f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^48|1:128", "a=crypto:² x y"]
)  # fmt: skip
blocks = st.tuples(media_lines, st.lists(attribute_lines, max_size=4, unique=True)).map(
    lambda block: [block[0], *block[1]]
)
talks = st.lists(blocks, min_size=1, max_size=3).map(
    lambda several: "\n".join([*HEAD, *(line for block in several for line in block)])
)


@given(talks | headed, st.sampled_from(SrtpPolicy), st.booleans())
def test_offers_and_answers_of_any_content_raise_nothing_but_remote_error(
    text: str, policy: SrtpPolicy, answers_first: bool
) -> None:
    negotiation = SecureMediaNegotiation(
        LOCAL, policy=policy, keys_allowed=True, random_bytes=lambda count: bytes(count)
    )
    try:
        description = SessionDescription.parse(text)
        if answers_first:
            negotiation.make_offer()
            negotiation.receive_answer(description)
        answer = negotiation.receive_offer(description)
    except RemoteError:
        return
    assert len(answer.media) == len(description.media)
    assert sum(line.port != 0 for line in answer.media) == 1
    assert negotiation.negotiated is not None
    assert negotiation.negotiated.encrypted is (negotiation.outbound is not None)
    assert negotiation.negotiated.encrypted or policy is not SrtpPolicy.MANDATORY
    if negotiation.negotiated.direction.sends:
        assert negotiation.negotiated.remote_address == "192.0.2.1"


@given(texts | words.map(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|".__add__))
def test_any_crypto_line_is_read_or_refused(value: str) -> None:
    own = CryptoAttribute(
        1, CryptoSuite.AES_CM_128_HMAC_SHA1_80, Secret(bytes(16)), Secret(bytes(14))
    )
    for judge in (
        lambda: CryptoAttribute.parse(value),
        lambda: accept([value, value[1:]], tuple(CryptoSuite)),
        lambda: match([own], [value]),
    ):
        refusal = ""
        try:
            judge()
        except RemoteError as error:
            refusal = str(error)
        assert KEY[4:] not in refusal


@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=20))
def test_any_body_can_be_asked_for_keys(body: bytes, content_type: str, encoding: str) -> None:
    carries_keys(body, content_type)
    cannot_be_inspected(content_type, encoding, body)


@given(talks | headed, st.booleans())
def test_description_with_a_usable_key_is_always_found_and_redacted(text: str, crlf: bool) -> None:
    body = text.replace("\n", "\r\n") if crlf else text
    try:
        description = SessionDescription.parse(body)
    except RemoteError:
        return
    if any(line.values("crypto") for line in description.media):
        assert carries_keys(body.encode(), "application/sdp")
    assert KEY[4:] not in redact(body)


fragments = st.sampled_from(
    ["inline", "inline:", "INLINE%3A", "k=", "k=uri:", "a=crypto:", "1 X ", "key-mgmt:", "mikey ",
     "\r", "\n", "\r\n ", " ", "\t", "|", ";", "=", "…", "A" * 20, "QUJD", KEY]
)  # fmt: skip


@given(st.lists(fragments, max_size=20).map("".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text(max_size=10), st.none() | st.text(max_size=10))
def test_no_value_can_add_a_line_to_a_description(name: str, value: str | None) -> None:
    description = SessionDescription(
        Origin("-", 1, 1, "IP4", "192.0.2.1"), attributes=(Attribute(name, value),)
    )
    try:
        raw = description.to_bytes()
    except LocalError:
        return
    assert raw.count(b"\n") == 5
