"""RFC 8866, and what phones make of it."""

from dataclasses import replace

import pytest

from sottovoce.errors import LocalError, ParseError
from sottovoce.sdp import Attribute, Connection, Direction, Origin, SessionDescription
from sottovoce.sdp.description import (
    MAX_DESCRIPTION_BYTES,
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_MEDIA,
)

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
HEAD = "v=0\r\no=alice 2890844526 2890844527 IN IP4 192.0.2.1\r\ns=-\r\n"
OFFER = (
    HEAD + "c=IN IP4 192.0.2.1\r\n"
    "b=AS:64\r\n"
    "t=0 0\r\n"
    "a=recvonly\r\n"
    "m=audio 49170 RTP/SAVP 8 0 101\r\n"
    "i=voice\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\n"
    "a=ptime:30\r\n"
    "a=maxptime:60\r\n"
    f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4\r\n"
    "a=x-unknown:kept:as it is\r\n"
    "m=video 51372/2 RTP/AVP 99\r\n"
    "c=IN IP6 2001:db8::7\r\n"
    "a=sendonly\r\n"
    "a=rtcp:53020 IN IP6 2001:db8::8\r\n"
)
MINIMAL = HEAD + "t=0 0\r\n"


def parse_with(line: str) -> SessionDescription:
    return SessionDescription.parse(MINIMAL + line + "\r\n")


def media_with(*lines: str) -> SessionDescription:
    return parse_with("\r\n".join(["m=audio 4000 RTP/AVP 0", *lines]))


@pytest.mark.rfc("rfc8866", 1, 2, 5, 7, 11, 12, 15)
def test_description_is_read_field_by_field() -> None:
    description = SessionDescription.parse(OFFER)
    audio, video = description.media

    assert description.origin == Origin("alice", 2890844526, 2890844527, "IP4", "192.0.2.1")
    assert description.times == ("0 0",)
    assert description.bandwidth == {"AS": 64}
    assert description.connection_of(audio) == Connection("192.0.2.1")
    assert description.connection_of(video) == Connection("2001:db8::7", "IP6")
    assert description.direction_of(audio) is Direction.RECVONLY
    assert description.direction_of(video) is Direction.SENDONLY
    assert (audio.media, audio.port, audio.protocol) == ("audio", 49170, "RTP/SAVP")
    assert [codec.name for codec in audio.codecs()] == ["PCMA", "PCMU", "telephone-event"]
    assert audio.codecs()[2].fmtp == "0-16"
    assert (audio.ptime_ms, audio.maxptime_ms) == (30, 60)
    assert audio.values("x-unknown") == ["kept:as it is"]
    assert (video.port, video.port_count) == (51372, 2)
    assert video.rtcp == (53020, "2001:db8::8")


def test_order_and_unknown_lines_survive() -> None:
    assert SessionDescription.parse(OFFER).to_bytes().decode() == OFFER


@pytest.mark.rfc("rfc8866", 8)
def test_lines_of_unknown_type_are_kept_and_disturb_nothing() -> None:
    description = SessionDescription.parse(
        MINIMAL + "Y=session\r\nm=audio 4000 RTP/AVP 0\r\ny=0100000001\r\nf=v/2/4\r\na=sendrecv\r\n"
    )

    assert description.other_lines == ("Y=session",)
    assert description.media[0].other_lines == ("y=0100000001", "f=v/2/4")
    assert SessionDescription.parse(description.to_bytes()) == description


@pytest.mark.rfc("rfc8866", 4)
def test_bare_line_feeds_and_blank_lines_are_taken() -> None:
    assert SessionDescription.parse(OFFER.replace("\r\n", "\n") + "\n\n") == (
        SessionDescription.parse(OFFER)
    )


@pytest.mark.rfc("rfc8866", 3)
@pytest.mark.parametrize("name", ["", " ", "-", "a call with spaces "])
def test_session_name_may_be_empty_or_blank(name: str) -> None:
    raw = OFFER.replace("s=-", f"s={name}")

    assert SessionDescription.parse(raw).session_name == name


@pytest.mark.rfc("rfc8866", 13)
def test_text_in_another_character_set_costs_nobody_a_call() -> None:
    description = SessionDescription.parse(OFFER.replace("s=-", "s=Büro").encode("latin-1"))

    assert description.session_name == "B\ufffdro"


@pytest.mark.rfc("rfc8866", 2)
def test_origin_takes_numbers_of_64_bits() -> None:
    origin = Origin.parse("- 18446744073709551615 18446744073709551615 IN IP6 ::1")

    assert origin.session_id == 2**64 - 1
    assert Origin.parse(str(origin)) == origin


@pytest.mark.rfc("rfc8866", 7)
@pytest.mark.parametrize(
    ("text", "address", "scope"),
    [
        ("IN IP4 192.0.2.1", "192.0.2.1", ""),
        ("IN IP4 224.2.1.1/127/3", "224.2.1.1", "/127/3"),
        ("IN IP6 2001:db8::1", "2001:db8::1", ""),
        ("IN IP6 ::ffff:192.0.2.1", "::ffff:192.0.2.1", ""),
        ("IN IP4 phone.example.org", "phone.example.org", ""),
    ],
)
def test_connection_line(text: str, address: str, scope: str) -> None:
    connection = Connection.parse(text)

    assert (connection.address, connection.multicast_scope) == (address, scope)
    assert str(connection) == text


@pytest.mark.rfc("rfc3264", 9)
@pytest.mark.parametrize("line", ["c=IN IP4 0.0.0.0", "c=IN IP6 ::"])
def test_unspecified_address_means_that_the_peer_takes_nothing(line: str) -> None:
    description = media_with(line, "a=sendrecv")

    assert description.direction_of(description.media[0]) is Direction.SENDONLY


@pytest.mark.rfc("rfc8866", 15)
def test_direction_is_sendrecv_unless_something_says_otherwise() -> None:
    description = media_with()

    assert description.media[0].direction is None
    assert description.direction_of(description.media[0]) is Direction.SENDRECV


@pytest.mark.parametrize("direction", Direction)
def test_reversing_twice_changes_nothing(direction: Direction) -> None:
    assert direction.reversed.reversed is direction
    assert direction.meet(Direction.SENDRECV) is direction
    assert direction.meet(Direction.INACTIVE) is Direction.INACTIVE


@pytest.mark.rfc("rfc8866", 10)
def test_bandwidth_keeps_unknown_modifiers_and_skips_what_is_no_number() -> None:
    media = media_with("b=TIAS:64000", "b=X-YZ:1", "b=AS:much").media[0]

    assert media.bandwidth == {"TIAS": 64000, "X-YZ": 1}


@pytest.mark.rfc("rfc8866", 5)
def test_unknown_protocol_leaves_the_other_lines_alone() -> None:
    description = parse_with("m=image 4000 udptl t38\r\nm=audio 4002 RTP/AVP 0")

    assert description.media[0].codecs() == ()
    assert len(description.media[1].codecs()) == 1


@pytest.mark.rfc("rfc8866", 6)
def test_refused_stream_may_come_without_formats() -> None:
    assert parse_with("m=video 0 RTP/AVP").media[0].port == 0


@pytest.mark.rfc("rfc8866", 1, 2, 5, 6, 7, 9, 13)
@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ("", "v= stands 0 times"),
        ("v=1\r\n", "v=0 was expected"),
        ("o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", "v=0 was expected"),
        (MINIMAL + "v=0\r\n", "v= stands 2 times"),
        (MINIMAL + "s=again\r\n", "s= stands 2 times"),
        (MINIMAL.replace("t=0 0\r\n", ""), "t= is missing"),
        (MINIMAL.replace("s=-\r\n", ""), "s= stands 0 times"),
        (HEAD.replace(" IP4", "") + "t=0 0\r\n", "o= has 5 fields"),
        (HEAD.replace("2890844527", "-1") + "t=0 0\r\n", "'-1' where up to 20 digits"),
        (HEAD.replace("2890844527", "9" * 5000) + "t=0 0\r\n", "up to 20 digits"),
        (MINIMAL + "c=IN IP4 192.0.2.999\r\n", "no IP4 address"),
        (MINIMAL + "c=IN IP6 [2001:db8::1]\r\n", "no IP6 address"),
        (MINIMAL + "c=IN IP6 192.0.2.1\r\n", "no IP6 address"),
        (MINIMAL + "c=192.0.2.1\r\n", "c= has 1 fields"),
        (MINIMAL + "c=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n", "c= stands 2 times"),
        (MINIMAL + "m=audio 65536 RTP/AVP 0\r\n", "not in 0 to 65535"),
        (MINIMAL + "m=audio -1 RTP/AVP 0\r\n", "not in 0 to 65535"),
        (MINIMAL + "m=audio 4000/0 RTP/AVP 0\r\n", "0 ports"),
        (MINIMAL + "m=audio 4000\r\n", "formats expected"),
        (MINIMAL + "m=audio 4000 RTP/AVP\r\n", "no format"),
        (MINIMAL + "m=audio 4000 RTP/AVP 0\r\ns=-\r\n", "s= after m="),
        (MINIMAL + "a = x\r\n", "not of the form"),
        (MINIMAL + "a= x\r\n", "blank after a="),
        (MINIMAL + "a=\r\n", "without the name"),
        (MINIMAL + "hello\r\n", "not of the form"),
        (MINIMAL + "a=x\ry\r\n", "CR or NUL"),
        (MINIMAL + "a=x\0y\r\n", "CR or NUL"),
    ],
)
def test_wrong_descriptions_are_refused_with_the_place(raw: str, complaint: str) -> None:
    with pytest.raises(ParseError, match=complaint):
        SessionDescription.parse(raw)


@pytest.mark.rfc("rfc8866", 18)
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a=" + "x" * MAX_LINE_BYTES, "octets is over"),
        ("a=x\r\n" * MAX_LINES, "lines"),
        ("m=audio 4000 RTP/AVP 0\r\n" * (MAX_MEDIA + 1), "m= lines"),
        ("a=xxxxxxxxxxxxxxxxx\r\n" * (MAX_DESCRIPTION_BYTES // 20), "octets is over"),
    ],
)
def test_each_limit_holds(line: str, complaint: str) -> None:
    with pytest.raises(ParseError, match=complaint):
        parse_with(line)


def test_largest_number_of_media_is_taken() -> None:
    assert len(parse_with("m=audio 4000 RTP/AVP 0\r\n" * MAX_MEDIA).media) == MAX_MEDIA


def test_value_with_a_line_end_is_never_sent() -> None:
    description = replace(
        SessionDescription.parse(OFFER), attributes=(Attribute("x", "y\r\na=crypto:1 z"),)
    )

    with pytest.raises(LocalError, match="line end"):
        description.to_bytes()


@pytest.mark.rfc("rfc4568", 21)
@pytest.mark.rfc("rfc8866", 14)
def test_repr_never_shows_a_key() -> None:
    description = SessionDescription.parse(
        OFFER + f"k=base64:{KEY}\r\na=key-mgmt:mikey {KEY}\r\nA=crypto:2 X inline:{KEY}\r\n"
    )
    shown = [repr(description), repr(description.media), repr(description.media[0].attributes)]

    assert not [text for text in shown if KEY in text]
    assert "AES_CM_128_HMAC_SHA1_80" in shown[0]


def test_error_texts_never_show_a_key() -> None:
    with pytest.raises(ParseError) as caught:
        parse_with(f"a =crypto:1 X inline:{KEY}")

    assert KEY[:5] not in str(caught.value)


@pytest.mark.rfc("rfc3264", 17)
@pytest.mark.parametrize("value", ["0", "70000", "x", "5000 IN IP4", ""])
def test_unreadable_rtcp_attribute_is_as_good_as_none(value: str) -> None:
    assert media_with(f"a=rtcp:{value}").media[0].rtcp is None


@pytest.mark.parametrize(("value", "ms"), [("20", 20), ("20.0", 20), ("0", None), ("-20", None)])
def test_ptime(value: str, ms: int | None) -> None:
    assert media_with(f"a=ptime:{value}").media[0].ptime_ms == ms


def test_layered_multicast_keeps_all_its_addresses() -> None:
    lines = ("c=IN IP4 224.2.1.1/127", "c=IN IP4 224.2.1.2/127")
    description = media_with(*lines)

    assert description.media[0].lines()[1:3] == list(lines)
    assert SessionDescription.parse(description.to_bytes()) == description


def test_addresses_of_other_networks_are_read_but_are_no_ip_addresses() -> None:
    assert Connection.parse("ATM NSAP 47.0091.8100").ip is None
    assert Connection.parse("IN IP9 phone.example.org").ip is None


def test_attributes_of_the_session_are_its_own() -> None:
    description = SessionDescription.parse(MINIMAL + "a=tool:x\r\nm=audio 0 RTP/AVP 0\r\na=tool:y")

    assert description.values("tool") == ["x"]
    assert description.media[0].values("tool") == ["y"]
