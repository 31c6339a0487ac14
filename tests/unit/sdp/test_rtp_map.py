"""RFC 8866 section 6.6, RFC 3551 section 6."""

import pytest

from sottovoce.sdp.rtp_map import RtpCodec, codecs_of


@pytest.mark.rfc("rfc3264", 13)
def test_static_payload_types_need_no_rtpmap() -> None:
    assert [codec.name for codec in codecs_of(["0", "3", "8", "9", "18"], [], [])] == [
        "PCMU", "GSM", "PCMA", "G722", "G729",
    ]  # fmt: skip


@pytest.mark.rfc("rfc8866", 11)
def test_rtpmap_gives_name_rate_and_channels_and_fmtp_comes_verbatim() -> None:
    codecs = codecs_of(
        ["111", "101"],
        ["111 opus/48000/2", "101 telephone-event/8000"],
        ["111 minptime=10;useinbandfec=1", "101 0-16"],
    )

    assert codecs == (
        RtpCodec("opus", 48000, 2, 111, "minptime=10;useinbandfec=1"),
        RtpCodec("telephone-event", 8000, 1, 101, "0-16"),
    )
    assert codecs[0].rtpmap == "111 opus/48000/2"


@pytest.mark.rfc("rfc8866", 11)
def test_codecs_are_the_same_whatever_the_case_of_their_names() -> None:
    lower, upper = codecs_of(["8", "96"], ["8 pcma/8000", "96 PCMA/8000/1"], [])

    assert lower.identity == upper.identity


@pytest.mark.parametrize(
    ("formats", "rtpmaps"),
    [
        (["97"], []),  # dynamic, and nothing says what it is
        (["97"], ["97 iLBC"]),
        (["97"], ["97 iLBC/0"]),
        (["97"], ["97 iLBC/8000/0"]),
        (["200"], ["200 iLBC/8000"]),
        (["97"], ["97 iLBC/99999999999"]),
        (["t38"], []),
        (["٣"], []),
    ],
)
def test_formats_without_a_known_meaning_are_left_out(
    formats: list[str], rtpmaps: list[str]
) -> None:
    assert [codec.name for codec in codecs_of([*formats, "8"], rtpmaps, [])] == ["PCMA"]


def test_payload_type_that_stands_twice_counts_once() -> None:
    assert len(codecs_of(["0", "0", "8"], ["0 PCMU/8000", "0 PCMA/8000"], [])) == 2
