"""What a third party makes of a call: in clear, with keys in clear, with neither.

The calls are put together from the product's own parts, as events; the pcap files that
others made are at the end.
"""

import base64
import contextlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError
from sottovoce.media.g711 import encode_a_law, encode_mu_law
from sottovoce.rtp.packet import RtpPacket
from sottovoce.srtp import CryptoSuite, SrtpContext
from sottovoce.trace import announcements, recovery
from sottovoce.trace.audio_evidence import correlation
from sottovoce.trace.call_flow import CallFlow
from sottovoce.trace.decode import PacketDecoder
from sottovoce.trace.event import DatagramSeen, Endpoint, Event
from sottovoce.trace.exposure import Exposure, Outsider
from sottovoce.trace.pcap import read_pcap
from sottovoce.trace.recovery import Protection

RATE_HZ = 8000
ALICE, BOB, SERVER = (Endpoint(f"10.0.0.{n}", 5060) for n in (1, 2, 9))
ALICE_MEDIA, BOB_MEDIA = Endpoint("10.0.0.1", 4000), Endpoint("10.0.0.2", 4002)
CM_80, CM_32 = CryptoSuite.AES_CM_128_HMAC_SHA1_80, CryptoSuite.AES_CM_128_HMAC_SHA1_32
ENCODE = {0: encode_mu_law, 8: encode_a_law, 96: encode_a_law}


@dataclass
class Call:
    """Collects the events of one made-up call."""

    events: list[Event] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def hear(self, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        frame = len(self.events) + 1
        self.events.append(DatagramSeen(frame, frame / 100, source, destination, payload))

    def message(
        self, source: Endpoint, destination: Endpoint, first_line: str, sdp: str, **changes: str
    ) -> None:
        body = changes.get("body", sdp.replace("\n", "\r\n"))
        kind = changes.get("content_type", "application/sdp")
        head = (
            f"{first_line}\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK1\r\n"
            "From: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@example.test>;tag=2\r\n"
            "Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.hear(source, destination, (head + body).encode())

    def key(self, suite: CryptoSuite = CM_80) -> bytes:
        return self.chance.randbytes(suite.key_bytes + suite.salt_bytes)

    def media(
        self,
        source: Endpoint,
        destination: Endpoint,
        pcm: bytes,
        *,
        payload_type: int = 0,
        key: bytes = b"",
        suite: CryptoSuite = CM_80,
        ssrc: int = 77,
    ) -> None:
        coded = ENCODE[payload_type](pcm)
        context = context_of(key, suite) if key else None
        first, clock = self.chance.randrange(0x8000), self.chance.getrandbits(32)
        for number in range(len(coded) // 160):
            packet = RtpPacket(
                payload_type,
                (first + number) % 65536,
                (clock + 160 * number) % 2**32,
                ssrc,
                coded[160 * number : 160 * number + 160],
            ).serialize()
            self.hear(source, destination, context.protect(packet) if context else packet)

    def findings(self) -> Exposure:
        return judge(self.events)


def context_of(key: bytes, suite: CryptoSuite) -> SrtpContext:
    return SrtpContext(suite, master_key=key[: suite.key_bytes], master_salt=key[suite.key_bytes :])


def judge(events: list[Event]) -> Exposure:
    third_party = Outsider()
    for event in events:
        third_party.receive_event(event)
    return third_party.findings()


def sdp(
    where: Endpoint,
    key: bytes = b"",
    suite: CryptoSuite = CM_80,
    formats: str = "0 8",
    more: str = "",
) -> str:
    profile = "RTP/SAVP" if key else "RTP/AVP"
    crypto = ""
    if key:
        crypto = f"a=crypto:1 {suite.name} inline:{base64.b64encode(key).decode()}\n"
    return (
        f"v=0\no=- 1 1 IN IP4 {where.address}\ns=-\nc=IN IP4 {where.address}\nt=0 0\n"
        f"m=audio {where.port} {profile} {formats}\n{crypto}{more}"
    )


def signalling(call: Call, offer: str, answer: str) -> None:
    """An INVITE through a server, which hands both bodies on."""
    call.message(ALICE, SERVER, "INVITE sip:bob@example.test SIP/2.0", offer)
    call.message(SERVER, BOB, "INVITE sip:bob@10.0.0.2 SIP/2.0", offer)
    call.message(BOB, SERVER, "SIP/2.0 200 OK", answer)
    call.message(SERVER, ALICE, "SIP/2.0 200 OK", answer)


@pytest.mark.parametrize("payload_type", [0, 8])
def test_a_call_in_clear_is_read_and_heard(
    payload_type: int, alice_pcm: bytes, bob_pcm: bytes
) -> None:
    call = Call()
    signalling(call, sdp(ALICE_MEDIA), sdp(BOB_MEDIA))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, payload_type=payload_type, ssrc=1)
    call.media(BOB_MEDIA, ALICE_MEDIA, bob_pcm, payload_type=payload_type, ssrc=2)
    found = call.findings()

    assert (found.sip_messages_captured, found.sip_messages_readable) == (4, 4)
    assert not found.srtp_key_recovered
    for stream, original in zip(found.streams, (alice_pcm, bob_pcm), strict=True):
        assert stream.protection is Protection.CLEAR
        assert stream.speech
        assert correlation(original, stream.pcm, RATE_HZ) > 0.99
    seconds = (len(alice_pcm) + len(bob_pcm)) / 2 / RATE_HZ
    assert found.audio_seconds_recovered == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize("suite", list(CryptoSuite))
def test_a_call_whose_keys_are_in_clear_is_decrypted(
    suite: CryptoSuite, alice_pcm: bytes, bob_pcm: bytes
) -> None:
    call = Call()
    alice_key, bob_key = call.key(suite), call.key(suite)
    signalling(call, sdp(ALICE_MEDIA, alice_key, suite), sdp(BOB_MEDIA, bob_key, suite))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, key=alice_key, suite=suite, ssrc=1)
    call.media(BOB_MEDIA, ALICE_MEDIA, bob_pcm, key=bob_key, suite=suite, ssrc=2)
    found = call.findings()

    assert found.srtp_key_recovered
    assert len(found.keys) == 2  # each is handed on by the server, and kept once
    for stream, original in zip(found.streams, (alice_pcm, bob_pcm), strict=True):
        assert stream.protection is Protection.DECRYPTED
        assert correlation(original, stream.pcm, RATE_HZ) > 0.99


@pytest.mark.parametrize("suite", [CM_80, CM_32, CryptoSuite.AEAD_AES_128_GCM])
@pytest.mark.parametrize("payload_type", [0, 8])
def test_without_the_key_every_way_to_read_the_packets_is_noise(
    suite: CryptoSuite, payload_type: int, alice_pcm: bytes
) -> None:
    call = Call()
    call.media(
        ALICE_MEDIA,
        BOB_MEDIA,
        alice_pcm,
        payload_type=payload_type,
        key=call.key(suite),
        suite=suite,
    )
    found = call.findings()

    (stream,) = found.streams
    assert (found.audio_seconds_recovered, stream.pcm, stream.speech) == (0.0, b"", False)
    assert stream.protection is Protection.ENCRYPTED
    assert stream.attempts == 8
    assert stream.noise_flatness > 0.5
    assert correlation(alice_pcm, stream.noise, RATE_HZ) < 0.1
    assert any(f"and {suite.tag_bytes} octets: an SRTP tag" in line for line in stream.evidence)


def test_a_wrong_key_recovers_nothing(alice_pcm: bytes) -> None:
    call = Call()
    right, wrong = call.key(), call.key()
    signalling(call, sdp(ALICE_MEDIA, wrong), sdp(BOB_MEDIA, wrong))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, key=right)
    found = call.findings()
    assert found.srtp_key_recovered
    assert found.audio_seconds_recovered == 0.0


def test_many_keys_that_do_not_fit_cost_little(
    alice_pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is given up after the first second of a stream."""
    tried: list[bytes] = []
    unprotect = SrtpContext.unprotect

    def counting(context: SrtpContext, packet: bytes) -> bytes:
        tried.append(packet)
        return unprotect(context, packet)

    monkeypatch.setattr(SrtpContext, "unprotect", counting)
    call = Call()
    for _ in range(announcements.MAX_KEYS + 10):
        call.message(ALICE, BOB, "INVITE sip:b@b SIP/2.0", sdp(ALICE_MEDIA, call.key()))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, key=call.key())
    found = call.findings()
    assert len(found.keys) == announcements.MAX_KEYS
    assert len(tried) == 50 * announcements.MAX_KEYS


def test_a_key_fits_its_own_direction_alone(alice_pcm: bytes) -> None:
    call = Call()
    alice_key = call.key()
    signalling(call, sdp(ALICE_MEDIA, alice_key), sdp(BOB_MEDIA))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, key=alice_key, ssrc=1)
    call.media(BOB_MEDIA, ALICE_MEDIA, alice_pcm, key=call.key(), ssrc=2)
    first, second = call.findings().streams
    assert first.protection is Protection.DECRYPTED
    assert second.protection is Protection.ENCRYPTED


def test_media_announced_as_protected_but_sent_in_clear_is_heard(alice_pcm: bytes) -> None:
    """The octets decide, not what anybody says about them."""
    call = Call()
    signalling(call, sdp(ALICE_MEDIA, call.key()), sdp(BOB_MEDIA, call.key()))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm)
    (stream,) = call.findings().streams
    assert stream.protection is Protection.CLEAR
    assert stream.speech
    assert stream.evidence[0] == "announced as RTP/SAVP in frame 3"


def test_ciphertext_announced_as_clear_is_not_counted(alice_pcm: bytes) -> None:
    call = Call()
    signalling(call, sdp(ALICE_MEDIA), sdp(BOB_MEDIA))
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, key=call.key())
    assert call.findings().audio_seconds_recovered == 0.0


def test_only_the_clear_part_of_a_stream_is_recovered(alice_pcm: bytes) -> None:
    call = Call()
    two_s = 2 * RATE_HZ * 2
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm[:two_s])
    clear = [event.payload for event in call.events]
    context = context_of(call.key(), CM_80)
    for number, payload in enumerate(clear):
        packet = RtpPacket.parse(payload)
        later = packet._replace(
            sequence_number=(packet.sequence_number + 100) % 65536,
            timestamp=(packet.timestamp + 16_000) % 2**32,
        )
        assert number < 100
        call.hear(ALICE_MEDIA, BOB_MEDIA, context.protect(later.serialize()))
    (stream,) = call.findings().streams
    assert stream.seconds_recovered == 2.0
    assert len(stream.pcm) == two_s


def test_a_dynamic_payload_type_is_read_as_sdp_says_or_by_ear(alice_pcm: bytes) -> None:
    told, untold = Call(), Call()
    more = "a=rtpmap:96 pcma/8000\n"
    signalling(told, sdp(ALICE_MEDIA), sdp(BOB_MEDIA, formats="96", more=more))
    for call in (told, untold):
        call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm, payload_type=96)
        (stream,) = call.findings().streams
        assert stream.codec == "PCMA"
        assert correlation(alice_pcm, stream.pcm, RATE_HZ) > 0.99


def test_a_codec_we_do_not_decode_is_said_to_be_in_clear() -> None:
    call = Call()
    signalling(call, sdp(ALICE_MEDIA), sdp(BOB_MEDIA, formats="96", more="a=rtpmap:96 AMR/8000\n"))
    call.media(ALICE_MEDIA, BOB_MEDIA, bytes(32_000), payload_type=96)
    (stream,) = call.findings().streams
    assert stream.protection is Protection.UNKNOWN_CODEC
    assert stream.seconds_recovered == 0.0


def test_a_relayed_stream_counts_once(alice_pcm: bytes) -> None:
    call = Call()
    call.media(ALICE_MEDIA, SERVER, alice_pcm)
    for event in list(call.events):
        call.hear(SERVER, BOB_MEDIA, event.payload)
    found = call.findings()
    assert len(found.streams) == 2
    assert found.audio_seconds_recovered == pytest.approx(len(alice_pcm) / 2 / RATE_HZ, abs=0.05)


def test_lost_and_swapped_packets_keep_their_place(alice_pcm: bytes) -> None:
    call = Call()
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm)
    events = [event for number, event in enumerate(call.events) if number % 10 != 3]
    events[50], events[51] = events[51], events[50]
    events.insert(70, events[69])
    (stream,) = judge(events).streams
    assert stream.seconds_recovered == pytest.approx(0.02 * (len(events) - 1))
    assert correlation(alice_pcm, stream.pcm, RATE_HZ) > 0.9


def test_timestamps_that_jump_do_not_make_an_endless_recording(
    alice_pcm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_MAX_RECORDED_TICKS", 10 * RATE_HZ)
    call = Call()
    call.media(ALICE_MEDIA, BOB_MEDIA, alice_pcm)
    jumping = [
        RtpPacket.parse(event.payload)._replace(timestamp=number // 50 * 0x2000_0000 % 2**32)
        for number, event in enumerate(call.events)
    ]
    call.events.clear()
    for packet in jumping:
        call.hear(ALICE_MEDIA, BOB_MEDIA, packet.serialize())
    (stream,) = call.findings().streams
    assert len(stream.pcm) < 2 * 10 * RATE_HZ


def test_a_key_in_a_multipart_body_or_in_damaged_sdp_is_found() -> None:
    for body, kind in (
        ("--x\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--x--\r\n", "multipart/mixed"),
        ("this is no SDP\r\n{}", "text/plain"),
    ):
        call = Call()
        text = body.format(sdp(ALICE_MEDIA, call.key()).replace("\n", "\r\n"))
        call.message(ALICE, BOB, "INVITE sip:b@b SIP/2.0", "", body=text, content_type=kind)
        assert call.findings().srtp_key_recovered


def test_no_key_shows_in_what_is_printed_of_the_findings() -> None:
    call = Call()
    key = call.key()
    signalling(call, sdp(ALICE_MEDIA, key), sdp(BOB_MEDIA))
    shown = repr(call.findings().keys)
    assert base64.b64encode(key).decode() not in shown
    assert repr(key[:16]) not in shown


@given(st.lists(st.binary(max_size=60), max_size=40), st.binary(min_size=12, max_size=40))
def test_any_datagrams_are_judged(payloads: list[bytes], rest: bytes) -> None:
    events: list[Event] = []
    for number, payload in enumerate(payloads):
        rtp = b"\x80\x00" + number.to_bytes(2) + rest[:10] + payload
        events += [DatagramSeen(number, 0.0, ALICE_MEDIA, BOB_MEDIA, o) for o in (payload, rtp)]
    judge(events)


# --- captures that others made

PCAPS = Path(__file__).parents[3] / ".." / "shared" / "pcaps"


INDEX = PCAPS / "index.json"
CAPTURES = json.loads(INDEX.read_text())["files"] if INDEX.exists() else []


def captured_events(octets: bytes) -> list[Event]:
    decoder = PacketDecoder()
    events = [event for packet in read_pcap(octets) for event in decoder.receive_packet(packet)]
    return events + decoder.receive_end()


@pytest.mark.skipif(not PCAPS.exists(), reason="the folder of captures is not there")
@pytest.mark.parametrize("entry", CAPTURES, ids=lambda entry: str(entry["file"]))
def test_sip_is_found_where_the_index_says_so(entry: dict[str, object]) -> None:
    flow = CallFlow()
    for event in captured_events((PCAPS / str(entry["file"])).read_bytes()):
        flow.receive_event(event)
    found: dict[str, int] = {}
    for seen in flow.messages:
        words = seen.first_line.split()
        kind = words[1] if words[0].upper() == "SIP/2.0" else words[0]
        label = f"{seen.transport.value.lower()}:SIP-{kind}"
        found[label] = found.get(label, 0) + 1
    assert found == entry["counts"]


@pytest.mark.skipif(not PCAPS.exists(), reason="the folder of captures is not there")
@pytest.mark.parametrize("entry", CAPTURES, ids=lambda entry: str(entry["file"]))
def test_no_capture_of_others_breaks_the_third_party(entry: dict[str, object]) -> None:
    octets = (PCAPS / str(entry["file"])).read_bytes()
    source = random.Random(3)
    for round_number in range(10):
        damaged = bytearray(octets)
        for _ in range(round_number * 5):
            damaged[source.randrange(24, len(damaged))] = source.randrange(256)
        decoder = PacketDecoder()
        events: list[Event] = []
        with contextlib.suppress(ParseError):
            for packet in read_pcap(bytes(damaged)):
                events += decoder.receive_packet(packet)
        judge(events + decoder.receive_end())
