"""RFC 3264, for one audio stream among whatever else an offer holds."""

from dataclasses import replace

import pytest

from sottovoce.sdp import (
    Connection,
    Direction,
    LocalAudio,
    NotAcceptable,
    Origin,
    RtpCodec,
    SessionDescription,
    judge_answer,
    make_answer,
    make_offer,
)
from sottovoce.sdp.offer_answer import negotiated_by_answer

PCMU = RtpCodec("PCMU", 8000, 1, 0)
PCMA = RtpCodec("PCMA", 8000, 1, 8)
OPUS = RtpCodec("opus", 48000, 2, 111)
LOCAL = LocalAudio("192.0.2.7", 40000, (PCMA, PCMU))
ORIGIN = Origin("-", 5, 1, "IP4", "192.0.2.7")
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"


def offer_of(*blocks: str) -> SessionDescription:
    return SessionDescription.parse(HEAD + "".join(blocks))


def answer_to(offer: SessionDescription, local: LocalAudio = LOCAL) -> SessionDescription:
    return make_answer(offer, local, origin=ORIGIN)


def codec_names(description: SessionDescription, media_index: int = 0) -> list[str]:
    return [codec.name for codec in description.media[media_index].codecs()]


@pytest.mark.rfc("rfc4733", 7)
@pytest.mark.rfc("rfc3264", 12)
def test_offer_lists_codecs_events_ptime_and_direction() -> None:
    offer = make_offer(LOCAL, origin=ORIGIN)

    assert offer.to_bytes().decode() == (
        "v=0\r\no=- 5 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
        "m=audio 40000 RTP/AVP 8 0 101\r\n"
        "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        "a=ptime:20\r\na=sendrecv\r\n"
    )


@pytest.mark.rfc("rfc4733", 7)
def test_each_clock_rate_gets_its_telephone_events() -> None:
    offer = make_offer(replace(LOCAL, codecs=(OPUS, PCMA)), origin=ORIGIN)

    assert [
        (codec.payload_type, codec.clock_rate_hz)
        for codec in offer.media[0].codecs()
        if codec.name == "telephone-event"
    ] == [(101, 48000), (102, 8000)]


def test_two_codecs_never_share_a_payload_type() -> None:
    clashing = replace(LOCAL, codecs=(replace(OPUS, payload_type=101), PCMA))
    formats = make_offer(clashing, origin=ORIGIN).media[0].formats

    assert len(set(formats)) == len(formats) == 4


@pytest.mark.rfc("rfc3264", 1, 2, 14)
@pytest.mark.rfc("rfc8866", 5)
def test_each_line_of_an_offer_is_answered_in_its_place() -> None:
    offer = offer_of(
        "m=video 5000 RTP/AVP 31 32\r\n",
        "m=audio 4002 UDP/TLS/RTP/SAVPF 0\r\n",
        AUDIO,
        "m=audio 4004 RTP/AVP 0\r\n",
        "m=image 0 udptl t38\r\n",
        "m=application 9 FOO/BAR *\r\n",
    )
    answer = answer_to(offer)

    assert [(m.media, m.protocol) for m in answer.media] == [
        (m.media, m.protocol) for m in offer.media
    ]
    assert [m.port for m in answer.media] == [0, 0, 40000, 0, 0, 0]
    assert answer.media[0].formats == ("31", "32")
    assert SessionDescription.parse(answer.to_bytes()) == answer


@pytest.mark.rfc("rfc3264", 3)
def test_answer_lists_common_codecs_in_our_order() -> None:
    assert codec_names(answer_to(offer_of(AUDIO))) == ["PCMA", "PCMU", "telephone-event"]


@pytest.mark.rfc("rfc3264", 4)
def test_answer_uses_the_payload_types_of_the_offer() -> None:
    offer = offer_of(
        "m=audio 4000 RTP/AVP 97 96\r\n"
        "a=rtpmap:96 telephone-event/8000\r\na=rtpmap:97 pcma/8000\r\n"
    )
    answer = answer_to(offer)
    audio = negotiated_by_answer(offer, answer, LOCAL, 0)

    assert answer.media[0].formats == ("97", "96")
    assert audio.send_codec == replace(PCMA, payload_type=97)
    assert audio.receive_payload_types == {97: replace(PCMA, payload_type=97)}
    assert audio.send_event_payload_type == audio.receive_event_payload_type == 96


@pytest.mark.rfc("rfc3264", 4)
def test_each_side_sends_with_the_payload_type_the_receiver_listed() -> None:
    offer = make_offer(replace(LOCAL, codecs=(OPUS,)), origin=ORIGIN)
    answer = offer_of(
        "m=audio 4000 RTP/AVP 98 99\r\na=rtpmap:98 opus/48000/2\r\n"
        "a=rtpmap:99 telephone-event/48000\r\na=fmtp:98 maxaveragebitrate=20000\r\n"
    )
    audio = judge_answer(offer, answer, replace(LOCAL, codecs=(OPUS,)))

    assert audio.send_codec == replace(OPUS, payload_type=98, fmtp="maxaveragebitrate=20000")
    assert list(audio.receive_payload_types) == [111]
    assert (audio.send_event_payload_type, audio.receive_event_payload_type) == (99, 101)


@pytest.mark.rfc("rfc4733", 8)
@pytest.mark.parametrize("ours", [101, None])
def test_telephone_events_are_off_unless_both_list_them(ours: int | None) -> None:
    local = replace(LOCAL, telephone_event_payload_type=ours)
    block = "m=audio 4000 RTP/AVP 0\r\n" if ours else AUDIO
    offer = offer_of(block)
    audio = negotiated_by_answer(offer, answer_to(offer, local), local, 0)

    assert audio.send_event_payload_type is None
    assert audio.receive_event_payload_type is None


def test_offer_without_telephone_events() -> None:
    local = replace(LOCAL, telephone_event_payload_type=None)

    assert make_offer(local, origin=ORIGIN).media[0].formats == ("8", "0")


def test_telephone_events_of_another_clock_are_not_taken() -> None:
    offer = offer_of("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/16000\r\n")

    assert codec_names(answer_to(offer)) == ["PCMU"]


@pytest.mark.rfc("rfc3264", 5, 9)
@pytest.mark.parametrize(
    ("offered", "wanted", "answered"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "recvonly", "inactive"),
    ],
)
def test_answered_direction_is_what_both_allow(offered: str, wanted: str, answered: str) -> None:
    local = replace(LOCAL, direction=Direction(wanted))
    offer = offer_of(AUDIO, f"a={offered}\r\n")
    answer = answer_to(offer, local)

    assert answer.media[0].direction is Direction(answered)
    assert negotiated_by_answer(offer, answer, local, 0).direction is Direction(answered)


@pytest.mark.rfc("rfc3264", 9)
def test_old_hold_by_address_is_answered_without_sending() -> None:
    offer = offer_of(AUDIO, "c=IN IP4 0.0.0.0\r\n")
    answer = answer_to(offer)

    assert answer.media[0].direction is Direction.RECVONLY
    assert not negotiated_by_answer(offer, answer, LOCAL, 0).direction.sends


def test_sendonly_offer_stays_silent_whatever_the_answer_claims() -> None:
    local = replace(LOCAL, direction=Direction.SENDONLY)
    offer = make_offer(local, origin=ORIGIN)

    assert judge_answer(offer, offer_of(AUDIO), local).direction is Direction.SENDONLY


@pytest.mark.rfc("rfc3264", 17)
@pytest.mark.parametrize(
    ("lines", "rtcp"),
    [
        ("", ("192.0.2.1", 4001)),
        ("a=rtcp:5001\r\n", ("192.0.2.1", 5001)),
        ("a=rtcp:5001 IN IP4 192.0.2.9\r\n", ("192.0.2.9", 5001)),
        ("a=rtcp:5001 IN IP4 224.0.0.1\r\n", ("192.0.2.1", 5001)),
        ("a=rtcp:5001 IN IP4 evil.example\r\n", ("192.0.2.1", 5001)),
        ("a=rtcp-mux\r\n", ("192.0.2.1", 4000)),
    ],
)
def test_rtcp_goes_to_the_next_port_unless_told_otherwise(
    lines: str, rtcp: tuple[str, int]
) -> None:
    local = replace(LOCAL, rtcp_mux=True)
    offer = offer_of(AUDIO, lines)
    audio = negotiated_by_answer(offer, answer_to(offer, local), local, 0)

    assert audio.remote_rtcp == rtcp
    assert audio.rtcp_mux is ("mux" in lines)


def test_rtcp_mux_is_not_answered_unless_wanted() -> None:
    answer = answer_to(offer_of(AUDIO, "a=rtcp-mux\r\n"))

    assert not answer.media[0].values("rtcp-mux")


@pytest.mark.rfc("rfc3264", 12)
@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:1\r\n", 20),
        ("a=ptime:25\r\n", 20),
        ("a=ptime:500\r\n", 20),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40),
        ("a=maxptime:15\r\n", 10),
        ("a=maxptime:1\r\n", 20),
    ],
)
def test_ptime_is_the_wish_of_the_receiver_within_reason(lines: str, ptime_ms: int) -> None:
    offer = offer_of(AUDIO, lines)

    assert negotiated_by_answer(offer, answer_to(offer), LOCAL, 0).ptime_ms == ptime_ms


@pytest.mark.rfc("rfc3264", 15, 18)
@pytest.mark.rfc("rfc8866", 6)
@pytest.mark.parametrize(
    ("raw", "warning_code", "text"),
    [
        (HEAD, 304, "no m= line"),
        (HEAD + "m=video 5000 RTP/AVP 31\r\n", 304, "'video' is not audio"),
        (HEAD + "m=audio 0 RTP/AVP 0\r\n", 304, "switched off"),
        (HEAD + "m=audio 4000 UDP/TLS/RTP/SAVP 0\r\n", 302, "RTP/SAVP or RTP/AVP"),
        (HEAD + "m=audio 4000 RTP/SAVP 0\r\n", 399, "without a key"),
        (HEAD + "m=audio 4000 RTP/AVP 3 18\r\n", 305, "here: PCMA, PCMU"),
        (HEAD.replace("c=IN IP4 192.0.2.1\r\n", "") + AUDIO, 301, "c= is missing"),
        (HEAD + AUDIO + "c=IN IP4 host.example\r\n", 301, "not an IP address"),
        (HEAD + AUDIO + "c=IN IP4 224.2.1.1/127\r\n", 301, "not one host"),
        (HEAD + AUDIO + "c=IN IP4 255.255.255.255\r\n", 301, "not one host"),
        (HEAD + AUDIO + "c=IN IP6 2001:db8::1\r\n", 301, "another family"),
    ],
)
def test_offer_without_an_acceptable_stream_is_refused_with_the_reason(
    raw: str, warning_code: int, text: str
) -> None:
    with pytest.raises(NotAcceptable, match=text) as caught:
        answer_to(SessionDescription.parse(raw))

    assert caught.value.status_hint == 488
    assert caught.value.warning_code == warning_code


def test_refusal_speaks_of_the_audio_rather_than_of_the_video() -> None:
    with pytest.raises(NotAcceptable, match="no codec in common"):
        answer_to(offer_of("m=video 5000 RTP/AVP 31\r\n", "m=audio 4000 RTP/AVP 18\r\n"))


@pytest.mark.rfc("rfc3264", 18)
def test_address_of_the_block_wins_over_that_of_the_session() -> None:
    offer = offer_of(AUDIO, "c=IN IP4 192.0.2.99\r\n")

    assert negotiated_by_answer(offer, answer_to(offer), LOCAL, 0).remote_address == "192.0.2.99"


@pytest.mark.rfc("rfc3264", 1, 3, 19)
@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([], "0 m= lines, the offer 1"),
        ([AUDIO, AUDIO], "2 m= lines, the offer 1"),
        (["m=audio 0 RTP/AVP 0\r\n"], "refused the audio"),
        (["m=audio 4000 RTP/SAVP 0\r\n"], "RTP/AVP was offered, 'RTP/SAVP' answered"),
        (["m=video 4000 RTP/AVP 0\r\n"], "is not audio"),
        (["m=audio 4000 RTP/AVP 18\r\n"], "no codec"),
        ([AUDIO, "c=IN IP4 host.example\r\n"], "not an IP address"),
    ],
)
def test_answers_that_break_the_rules_are_refused(blocks: list[str], text: str) -> None:
    with pytest.raises(NotAcceptable, match=text):
        judge_answer(make_offer(LOCAL, origin=ORIGIN), offer_of(*blocks), LOCAL)


def test_answered_codec_that_was_not_offered_is_not_used() -> None:
    offer = make_offer(replace(LOCAL, codecs=(PCMU,)), origin=ORIGIN)

    with pytest.raises(NotAcceptable, match="no codec of the offer"):
        judge_answer(offer, offer_of("m=audio 4000 RTP/AVP 8\r\n"), LOCAL)


def test_first_codec_of_the_answer_is_sent() -> None:
    audio = judge_answer(make_offer(LOCAL, origin=ORIGIN), offer_of(AUDIO), LOCAL)

    assert audio.send_codec == PCMU
    assert audio.receive_codecs == (PCMU, PCMA)
    assert not audio.encrypted


@pytest.mark.rfc("rfc3264", 8)
def test_new_offer_keeps_lines_payload_types_and_place_of_the_audio() -> None:
    previous = answer_to(
        offer_of(
            "m=video 5000 RTP/AVP 31\r\n",
            "m=audio 4000 RTP/AVP 0 111\r\na=rtpmap:111 telephone-event/8000\r\n",
        )
    )
    local = replace(LOCAL, codecs=(PCMU, OPUS))
    offer = make_offer(local, origin=ORIGIN, previous=previous, media_index=1)

    assert [(media.media, media.port) for media in offer.media] == [("video", 0), ("audio", 40000)]
    numbers = {
        (codec.name, codec.clock_rate_hz): codec.payload_type for codec in offer.media[1].codecs()
    }
    assert numbers["PCMU", 8000] == 0
    assert numbers["telephone-event", 8000] == 111
    assert numbers["opus", 48000] != 111


def test_offer_of_an_ipv6_address() -> None:
    offer = make_offer(replace(LOCAL, address="2001:db8::7"), origin=ORIGIN)

    assert offer.connection == Connection("2001:db8::7", "IP6")
