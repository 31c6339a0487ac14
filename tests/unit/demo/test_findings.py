"""From captured events to what is shown, printed and saved."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from sottovoce.demo.clips import clip_pcm
from sottovoce.demo.findings import TITLES, ActFindings, judge_act
from sottovoce.demo.ladder import MAX_ROWS, Cast, ladder
from sottovoce.demo.report import show_act, show_comparison
from sottovoce.media.g711 import encode_mu_law
from sottovoce.rtp.packet import RtpPacket
from sottovoce.trace.event import DatagramSeen, Endpoint
from sottovoce.trace.exposure import Exposure, Outsider

ALICE, BOB, CAROL, SERVER = (Endpoint(f"10.0.0.{n}", 5060) for n in (1, 2, 3, 9))
MEDIA = Endpoint("10.0.0.1", 4000), Endpoint("10.0.0.2", 4002)


def message(first_line: str, user: str = "alice", body: str = "", to_user: str = "bob") -> bytes:
    method = "INVITE" if first_line.startswith("SIP/2.0") else first_line.split()[0]
    return (
        f"{first_line}\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\n"
        f"From: <sip:{user}@example.test>;tag=1\r\nTo: <sip:{to_user}@example.test>;tag=2\r\n"
        f"Call-ID: 1\r\nCSeq: 1 {method}\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def sdp(where: Endpoint) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {where.address}\r\ns=-\r\nc=IN IP4 {where.address}\r\nt=0 0\r\n"
        f"m=audio {where.port} RTP/AVP 0\r\n"
    )


def heard(told: Sequence[tuple[Endpoint, Endpoint, bytes]]) -> Exposure:
    third_party = Outsider()
    for frame, (source, destination, payload) in enumerate(told, 1):
        third_party.receive_event(DatagramSeen(frame, frame / 50, source, destination, payload))
    return third_party.findings()


def call(user: str = "alice") -> list[tuple[Endpoint, Endpoint, bytes]]:
    invite = "INVITE sip:bob@example.test SIP/2.0"
    return [
        (ALICE, SERVER, message(invite, user, sdp(MEDIA[0]))),
        (SERVER, ALICE, message("SIP/2.0 100 Trying", user)),
        (SERVER, BOB, message(invite, user, sdp(MEDIA[0]))),
        (BOB, SERVER, message("SIP/2.0 200 OK", user, sdp(MEDIA[1]))),
        (SERVER, ALICE, message("SIP/2.0 200 OK", user, sdp(MEDIA[1]))),
    ]


def speech() -> list[tuple[Endpoint, Endpoint, bytes]]:
    coded = encode_mu_law(clip_pcm("alice"))
    return [
        (*MEDIA, RtpPacket(0, n, 160 * n, 7, coded[160 * n : 160 * n + 160]).serialize())
        for n in range(len(coded) // 160)
    ]


def judged(exposure: Exposure, folder: Path, name: str = "clear") -> ActFindings:
    return judge_act(
        exposure,
        name=name,
        capture_method="a test",
        originals={"alice": clip_pcm("alice")},
        folder=folder,
    )


def shown(*acts: ActFindings, width: int = 100) -> str:
    page = io.StringIO()
    console = Console(file=page, width=width)
    for number, act in enumerate(acts, 1):
        show_act(console, number, act)
    show_comparison(console, acts)
    return page.getvalue()


def test_names_are_read_from_the_messages() -> None:
    cast = Cast(heard(call()))
    assert [cast.name(end) for end in (ALICE, SERVER, BOB)] == ["alice", "server", "bob"]
    assert [cast.name(end) for end in MEDIA] == ["alice", "bob"]
    assert cast.name(CAROL) == "10.0.0.3:5060"


def test_ladder_leaves_out_what_nobody_misses() -> None:
    exposure = heard(call())
    rows, left_out = ladder(exposure, Cast(exposure))
    assert [(row.source, row.destination, row.text, row.note) for row in rows] == [
        ("alice", "server", "INVITE sip:bob@example.test", "SDP"),
        ("server", "bob", "INVITE sip:bob@example.test", "SDP"),
        ("bob", "server", "200 OK", "SDP"),
        ("server", "alice", "200 OK", "SDP"),
    ]
    assert left_out == 1


def test_a_long_ladder_keeps_its_two_ends() -> None:
    told = [(ALICE, BOB, message(f"OPTIONS sip:{n}@b SIP/2.0")) for n in range(40)]
    rows, left_out = ladder(heard(told), Cast(heard(told)))
    assert (len(rows), left_out) == (MAX_ROWS, 40 - MAX_ROWS)
    assert (rows[0].text, rows[-1].text) == ("OPTIONS sip:0@b", "OPTIONS sip:39@b")


def test_recovered_sound_is_saved_compared_and_told(tmp_path: Path) -> None:
    act = judged(heard(call() + speech()), tmp_path / "new folder")
    (stream,) = act.streams
    assert stream.saved_as == tmp_path / "new folder" / "clear-1-alice-to-bob.wav"
    assert stream.saved_as.stat().st_size > 100_000
    assert act.audio_matches_original
    assert act.verdict == "conversation exposed"
    assert json.loads(json.dumps(act.to_json()))["audio_seconds_recovered"] == 6.66
    page = shown(act, width=120)
    assert "INVITE sip:bob@example.test" in page
    assert "6.7 s of speech recovered" in page


def test_an_original_that_was_not_recovered_does_not_match(tmp_path: Path) -> None:
    act = judge_act(
        heard(call() + speech()),
        name="clear",
        capture_method="a test",
        originals={"alice": clip_pcm("alice"), "bob": clip_pcm("bob")},
        folder=tmp_path,
    )
    assert act.audio_seconds_recovered > 6
    assert not act.audio_matches_original


def test_silence_on_the_wire_is_told_as_such(tmp_path: Path) -> None:
    act = judged(heard([]), tmp_path, "secure")
    assert act.to_json()["audio_matches_original"] is False
    assert act.verdict == "private"
    assert "nothing" in shown(act)


@pytest.mark.parametrize(
    "user", ["..%2f..%2fetc", "../../x", "a b", "\x1b[31m", "[bold]x", "x" * 99]
)
def test_a_name_from_the_wire_leads_nowhere(user: str, tmp_path: Path) -> None:
    act = judged(heard(call(user) + speech()), tmp_path)
    (stream,) = act.streams
    assert stream.saved_as is not None
    assert stream.saved_as.resolve().parent == tmp_path.resolve()
    assert len(stream.saved_as.name) < 80
    assert "\x1b[31m" not in shown(act)


def test_more_than_three_parties_make_a_list(tmp_path: Path) -> None:
    more = [(SERVER, CAROL, message("BYE sip:carol@example.test SIP/2.0"))]
    page = shown(judged(heard(call() + more), tmp_path))
    assert "server -> 10.0.0.3:5060  BYE sip:carol@example.test" in page


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_the_report_fits_every_terminal(width: int, tmp_path: Path) -> None:
    acts = [judged(heard(call() + speech()), tmp_path, name) for name in TITLES]
    assert max(map(len, shown(*acts, width=width).splitlines())) <= width
