"""Media sessions: one planted fault a test."""

import itertools
from dataclasses import replace

import pytest

from sottovoce.errors import LocalError
from sottovoce.media import (
    PCMA,
    PCMU,
    Address,
    AudioStream,
    ByeReceived,
    DtmfReceived,
    MediaSession,
    RtpStart,
    frame_bytes,
    tone,
    tone_level_dbov,
)
from sottovoce.media.receiver import INCOMING_LIMIT_FRAMES
from sottovoce.media.sender import OUTGOING_LIMIT_MS
from sottovoce.rtp import RtpPacket, is_rtcp, parse_compound, serialize_compound
from sottovoce.rtp.rtcp import Bye, ReceiverReport, ReportBlock, SenderReport, SourceDescription
from sottovoce.sdp import Direction
from sottovoce.srtp import CryptoSuite, SrtpContext

ALICE: Address = ("192.0.2.1", 4000)
BOB: Address = ("192.0.2.2", 5000)
NAT: Address = ("203.0.113.7", 61234)
BOB_RTCP: Address = ("192.0.2.2", 5001)
STREAM = AudioStream(
    remote_address=BOB,
    rtcp_address=BOB_RTCP,
    event_payload_type=101,
    receive_event_payload_type=101,
)
START = RtpStart(ssrc=0xA11CE, sequence_number=100, timestamp=5000)


def keys(seed: int) -> SrtpContext:
    return SrtpContext(
        CryptoSuite.AES_CM_128_HMAC_SHA1_80,
        master_key=bytes([seed]) * 16,
        master_salt=bytes([seed]) * 14,
    )


class Rig:
    """A session under test and a peer that is nothing but packets."""

    def __init__(
        self, stream: AudioStream = STREAM, *, secured: bool = False, start: RtpStart = START
    ) -> None:
        self.draws = itertools.count(1)
        self.outbound = keys(1) if secured else None
        self.inbound = keys(2) if secured else None
        self.peer_outbound = keys(2) if secured else None
        self.peer_inbound = keys(1) if secured else None
        self.now = 0.0
        self.session = MediaSession(
            stream,
            outbound=self.outbound,
            inbound=self.inbound,
            cname="a@random",
            random_bytes=lambda size: (next(self.draws) * 0x01010101).to_bytes(8, "big")[-size:],
            now=0.0,
            start=start,
        )
        self.ticks = 0

    def tick(self, count: int = 1) -> list[tuple[Address, bytes]]:
        """Let so many ticks pass, each on time; return what was sent."""
        sent: list[tuple[Address, bytes]] = []
        for _ in range(count):
            self.ticks += 1
            self.now = self.ticks * 0.02
            self.session.handle_timer(self.now)
            sent += self.session.take_sends()
        return sent

    def rtp(self, count: int = 1) -> list[RtpPacket]:
        """The RTP of so many ticks, unprotected by the peer's keys."""
        packets = [data for _, data in self.tick(count) if not is_rtcp(data)]
        if self.peer_inbound is not None:
            packets = [self.peer_inbound.unprotect(data) for data in packets]
        return [RtpPacket.parse(data) for data in packets]

    def peer_packet(self, n: int, **changed: object) -> bytes:
        packet = RtpPacket(0, 1000 + n & 0xFFFF, 160 * n, 0xB0B, bytes([n & 0x7F]) * 160)
        data = packet._replace(**changed).serialize()  # type: ignore[arg-type]
        return self.peer_outbound.protect(data) if self.peer_outbound else data

    def receive(self, n: int, *, source: Address = BOB, **changed: object) -> None:
        self.session.receive_rtp(self.peer_packet(n, **changed), source, self.now)

    def converse(self, numbers: range, *, source: Address = BOB) -> None:
        for n in numbers:
            self.receive(n, source=source)
            self.tick()

    def events(self) -> list[object]:
        found: list[object] = []
        while (event := self.session.next_event()) is not None:
            found.append(event)
        return found


# -- sending ---------------------------------------------------------------------------


def test_silence_is_sent_from_the_first_tick_so_that_nats_and_peers_see_a_stream() -> None:
    packets = Rig().rtp(5)

    assert [packet.sequence_number for packet in packets] == [100, 101, 102, 103, 104]
    assert [packet.timestamp for packet in packets] == [5000 + 160 * n for n in range(5)]
    assert {packet.payload for packet in packets} == {b"\xff" * 160}
    assert {packet.ssrc for packet in packets} == {0xA11CE}


@pytest.mark.rfc("rfc3550", 14)
def test_marker_is_on_the_first_packet_only() -> None:
    assert [packet.marker for packet in Rig().rtp(3)] == [True, False, False]


def test_sequence_and_timestamp_wrap() -> None:
    rig = Rig(start=RtpStart(1, 0xFFFF, 0xFFFF_FFFF))
    packets = rig.rtp(2)

    assert [(p.sequence_number, p.timestamp) for p in packets] == [(0xFFFF, 0xFFFF_FFFF), (0, 159)]


@pytest.mark.rfc("rfc3711", 8)
def test_secured_stream_goes_on_past_the_wrap_of_its_sequence_number() -> None:
    rig = Rig(secured=True, start=RtpStart(1, 0x7FFF, 0))
    packets = rig.rtp(0x8000 + 5)

    assert packets[-1].sequence_number == 3


@pytest.mark.rfc("rfc3550", 2)
def test_start_is_drawn_from_the_random_source_and_stays_under_half_of_the_numbers() -> None:
    """TRAPS 14: a receiver that misses the start must not guess a wrong rollover counter."""
    start = RtpStart.fresh(lambda size: b"\xff" * size)

    assert start == RtpStart(0xFFFF_FFFF, 0x7FFF, 0xFFFF_FFFF)
    assert RtpStart.fresh(bytes, taken={0, 1, None}).ssrc == 2


def test_audio_of_any_length_is_cut_to_frames_and_encoded() -> None:
    rig = Rig(replace(STREAM, codec=PCMA, payload_type=8))
    sound = tone(440, 100)
    for at in range(0, len(sound), 700):
        assert rig.session.write_audio(sound[at : at + 700]) == len(sound[at : at + 700])
    packets = rig.rtp(5)

    assert {packet.payload_type for packet in packets} == {8}
    decoded = PCMA.new_decoder()(b"".join(packet.payload for packet in packets))
    assert tone_level_dbov(decoded, 440) == pytest.approx(-10, abs=0.5)
    assert rig.session.outgoing_audio_ms == 0
    assert rig.session.statistics().audio_seconds_sent == pytest.approx(0.1)


def test_part_of_a_frame_waits_a_tick_for_the_rest_and_then_goes_out_padded() -> None:
    rig = Rig()
    half = b"\x10\x27" * 80
    rig.session.write_audio(half)
    assert rig.rtp()[0].payload == b"\xff" * 160
    rig.session.write_audio(half)
    assert b"\xff" not in rig.rtp()[0].payload
    rig.session.write_audio(half)
    rig.tick()
    last = rig.rtp()[0].payload
    assert last[80:] == b"\xff" * 80
    assert last[0] != 0xFF


def test_more_audio_than_the_limit_is_not_taken() -> None:
    session = Rig().session
    size = OUTGOING_LIMIT_MS // 20 * frame_bytes(8000)

    assert session.write_audio(bytes(size + 1000)) == size
    assert session.write_audio(b"\0\0") == 0
    assert session.outgoing_audio_ms == OUTGOING_LIMIT_MS
    session.clear_audio()
    assert session.outgoing_audio_ms == 0


@pytest.mark.rfc("rfc4733", 3, 10)
def test_digits_replace_audio_with_one_timestamp_each_and_share_its_sequence_numbers() -> None:
    rig = Rig(secured=True)
    rig.session.send_dtmf("1#", duration_ms=100)
    assert rig.session.outgoing_digits == 2
    packets = rig.rtp(30)
    events = [packet for packet in packets if packet.payload_type == 101]

    assert [p.sequence_number for p in packets] == list(range(100, 130))
    assert len({p.timestamp for p in events}) == 2
    assert [p.payload[0] for p in events] == [1] * 7 + [11] * 7
    assert [p.marker for p in events].count(True) == 2
    assert rig.session.outgoing_digits == 0


def test_timestamps_of_audio_go_on_during_an_event() -> None:
    rig = Rig()
    rig.session.send_dtmf("5", duration_ms=60)
    packets = rig.rtp(8)

    assert packets[0].timestamp == 5000
    assert packets[-1].payload_type == 0
    assert packets[-1].timestamp == 5000 + 7 * 160


@pytest.mark.rfc("rfc4733", 8)
def test_digits_that_cannot_be_sent_are_refused_with_the_reason() -> None:
    with pytest.raises(LocalError, match="does not take"):
        Rig(replace(STREAM, event_payload_type=None)).session.send_dtmf("1")
    with pytest.raises(LocalError, match="on hold"):
        Rig(replace(STREAM, direction=Direction.RECVONLY)).session.send_dtmf("1")
    session = Rig().session
    with pytest.raises(LocalError, match="'x' is no keypad digit"):
        session.send_dtmf("1x")
    assert session.outgoing_digits == 0
    with pytest.raises(LocalError, match="not within"):
        session.send_dtmf("1", duration_ms=20)
    with pytest.raises(LocalError, match="over 64"):
        session.send_dtmf("1" * 65)


# -- the clock -------------------------------------------------------------------------


def test_media_time_never_drifts_however_late_each_timer_fires() -> None:
    rig = Rig()
    for n in range(1, 3001):
        rig.session.handle_timer(n * 0.02 + (n * 7 % 15) / 1000)

    sent = [RtpPacket.parse(d) for _, d in rig.session.take_sends() if not is_rtcp(d)]
    assert len(sent) == 3000
    assert rig.session.next_deadline() == pytest.approx(60.02)


def test_timer_that_fires_a_hair_early_is_on_time_and_an_early_one_does_nothing() -> None:
    rig = Rig()
    rig.session.handle_timer(0.0199999)
    assert len(rig.session.take_sends()) == 1
    rig.session.handle_timer(0.039)
    assert rig.session.take_sends() == []


def test_short_stall_is_caught_up() -> None:
    rig = Rig()
    rig.session.handle_timer(0.1)

    assert len(rig.session.take_sends()) == 5


def test_long_stall_is_caught_up_in_part_and_timestamps_tell_the_gap() -> None:
    rig = Rig()
    rig.tick()
    rig.session.handle_timer(2.0)
    sent = [RtpPacket.parse(d) for _, d in rig.session.take_sends() if not is_rtcp(d)]

    assert [packet.sequence_number for packet in sent] == [101, 102, 103, 104, 105]
    assert sent[0].timestamp == 5000 + 95 * 160
    assert sent[0].marker
    assert rig.session.next_deadline() == pytest.approx(2.02)


# -- receiving -------------------------------------------------------------------------


def test_sound_is_decoded_and_a_frame_comes_each_tick() -> None:
    rig = Rig(secured=True)
    sound = PCMU.new_encoder()(tone(440, 1000))
    for n in range(50):
        rig.receive(n, payload=sound[n * 160 : n * 160 + 160])
        rig.tick()
    frames = [rig.session.read_audio() for _ in range(50)]

    assert None not in frames
    heard = b"".join(frame for frame in frames[4:] if frame)
    assert tone_level_dbov(heard, 440) == pytest.approx(-10, abs=0.3)
    statistics = rig.session.statistics()
    assert statistics.level_in_dbov == pytest.approx(-10, abs=0.5)
    assert statistics.audio_seconds_received == pytest.approx(0.94, abs=0.03)
    assert statistics.packets_received == statistics.packets_authenticated == 50
    assert statistics.secured


def test_frames_that_nobody_reads_are_dropped_oldest_first_and_counted() -> None:
    rig = Rig(secured=True)
    rig.converse(range(100))
    frames = 0
    while rig.session.read_audio() is not None:
        frames += 1

    assert frames == INCOMING_LIMIT_FRAMES
    assert rig.session.statistics().frames_overflowed == 100 - INCOMING_LIMIT_FRAMES


def test_lost_packets_are_counted() -> None:
    rig = Rig(secured=True)
    rig.converse(range(20))
    rig.converse(range(25, 40))

    assert rig.session.statistics().packets_lost == 5


def test_duplicate_is_refused_on_a_secured_session_and_played_once_on_a_clear_one() -> None:
    for secured in (True, False):
        rig = Rig(secured=secured)
        rig.converse(range(10))
        packet = rig.peer_packet(10)
        for _ in range(3):
            rig.session.receive_rtp(packet, BOB, rig.now)
        rig.tick(10)
        statistics = rig.session.statistics()

        assert statistics.packets_refused == (2 if secured else 0)
        # In clear the first packet of all is spent on proving the source.
        assert statistics.audio_seconds_received == pytest.approx((11 - (not secured)) * 0.02)


def test_sequence_wrap_of_the_peer_is_no_loss() -> None:
    rig = Rig(secured=True)
    for n in range(40):
        rig.receive(n, sequence_number=(0xFFF0 + n) & 0xFFFF)
        rig.tick()

    assert rig.session.statistics().packets_lost == 0
    assert rig.session.statistics().packets_refused == 0


def test_peer_that_restarts_with_a_new_ssrc_is_followed() -> None:
    for secured in (True, False):
        rig = Rig(secured=secured)
        rig.converse(range(20))
        for n in range(20):
            rig.receive(n, ssrc=0xC0DE, sequence_number=30_000 + n, timestamp=9_999_999 + 160 * n)
            rig.tick()

        statistics = rig.session.statistics()
        assert statistics.packets_lost == 0
        assert statistics.packets_refused == 0
        assert statistics.audio_seconds_received == pytest.approx(0.7, abs=0.1)


def test_two_sources_do_not_alternate() -> None:
    rig = Rig(secured=True)
    rig.converse(range(20))
    for n in range(20, 60):
        rig.receive(n)
        rig.receive(n, ssrc=0xC0DE, payload=b"\x80" * 160)
        rig.tick()
    frames = [rig.session.read_audio() for _ in range(40)]

    newer = PCMU.new_decoder()(b"\x80" * 160)
    assert frames[-10:] == [newer] * 10


def test_replaced_source_comes_back_when_the_newer_one_is_silent() -> None:
    rig = Rig(secured=True)
    rig.converse(range(20))
    rig.receive(0, ssrc=0xC0DE)
    rig.tick(60)
    rig.converse(range(80, 100))

    assert rig.session.statistics().audio_seconds_received > 0.6


def test_unknown_payload_types_comfort_noise_and_keep_alives_are_passed_over() -> None:
    rig = Rig(secured=True)
    rig.converse(range(10))
    for n, payload_type in enumerate((13, 96, 9), start=10):
        rig.receive(n, payload_type=payload_type)
    rig.receive(13, payload=b"", padding_bytes=4)
    rig.converse(range(14, 30))

    statistics = rig.session.statistics()
    assert statistics.packets_lost == 0
    assert statistics.packets_refused == 0
    assert statistics.packets_received == 30


def test_digits_are_reported_once_with_their_duration() -> None:
    for secured in (True, False):
        rig = Rig(secured=secured)
        rig.converse(range(10))
        for n, payload in enumerate(("050a00a0", "050a0140", "058a0320", "058a0320", "058a0320")):
            rig.receive(
                10 + n,
                payload_type=101,
                timestamp=1600,
                payload=bytes.fromhex(payload),
                marker=not n,
            )
        rig.receive(15, payload_type=101, timestamp=4000, payload=b"\x10\x8a\x01\x00")  # flash
        rig.receive(16, payload_type=101, timestamp=4800, payload=b"\x01")  # too short

        assert rig.events() == [DtmfReceived("5", 100)]
        assert rig.session.statistics().dtmf_received == "5"
        assert rig.session.statistics().packets_lost == 0


def test_digit_whose_end_is_lost_is_reported_after_a_while() -> None:
    rig = Rig(secured=True)
    rig.converse(range(10))
    rig.receive(10, payload_type=101, timestamp=1600, payload=bytes.fromhex("0b0a00a0"))
    rig.tick(10)
    assert rig.events() == []
    rig.tick(5)

    assert rig.events() == [DtmfReceived("#", 20)]


# -- forged, replayed, in clear --------------------------------------------------------


@pytest.mark.rfc("rfc3711", 10)
def test_forged_packets_change_nothing_but_a_counter() -> None:
    rig = Rig(secured=True)
    rig.converse(range(10))
    before = rig.session.statistics()
    good = rig.peer_packet(10)
    for forged in (
        good[:-1] + bytes([good[-1] ^ 1]),  # the tag
        good[:20] + bytes([good[20] ^ 1]) + good[21:],  # the payload
        good[:3] + bytes([good[3] ^ 0x40]) + good[4:],  # the sequence number
        good[:11] + bytes([good[11] ^ 1]) + good[12:],  # the SSRC
        good[:15],
        b"",
        b"\x80",
        b"garbage" * 10,
    ):
        rig.session.receive_rtp(forged, NAT, rig.now)
    after = rig.session.statistics()

    assert after.packets_refused == 8
    assert replace(after, packets_refused=0) == before
    assert rig.session.destination == BOB
    assert rig.events() == []
    rig.session.receive_rtp(good, BOB, rig.now)
    assert rig.session.statistics().packets_authenticated == 11


def test_clear_packet_on_a_secured_session_is_refused() -> None:
    rig = Rig(secured=True)
    for n in range(10):
        clear = RtpPacket(0, n, n * 160, 0xB0B, bytes(160)).serialize()
        rig.session.receive_rtp(clear, BOB, rig.now)
        rig.tick()

    assert rig.session.statistics().packets_refused == 10
    assert rig.session.statistics().packets_received == 0
    assert rig.session.read_audio() is None


def test_no_clear_packet_leaves_a_secured_session_whatever_happens() -> None:
    rig = Rig(secured=True)
    sent = rig.tick(300)
    rig.session.send_dtmf("12")
    sent += rig.tick(100)
    rig.session.send_dtmf("3", duration_ms=10_000)  # two segments: several packets in a tick
    sent += rig.tick(600)
    held = replace(STREAM, direction=Direction.INACTIVE)
    rig.session.update(held, rig.outbound, rig.inbound, rig.now)
    sent += rig.tick(1000)
    rig.session.update(STREAM, rig.outbound, rig.inbound, rig.now)
    sent += rig.tick(100)
    rig.session.stop(rig.now)
    sent += rig.session.take_sends()
    judge = keys(1)

    assert sum(is_rtcp(data) for _, data in sent) > 4
    for _, data in sent:
        if is_rtcp(data):
            judge.unprotect_rtcp(data)
        else:
            judge.unprotect(data)


def test_clear_rtcp_on_a_secured_session_is_dropped_quietly() -> None:
    """TRAPS 18: it may arrive at the start of a call."""
    rig = Rig(secured=True)
    bye = serialize_compound([ReceiverReport(0xB0B), Bye((0xB0B,))])
    rig.session.receive_rtcp(bye, BOB_RTCP, rig.now)
    rig.session.receive_rtp(bye, BOB, rig.now)

    assert rig.events() == []
    assert rig.session.statistics().rtcp_packets_refused == 2
    assert rig.session.statistics().packets_refused == 0


def test_keys_for_one_direction_only_are_refused() -> None:
    for outbound, inbound in ((keys(1), None), (None, keys(2))):
        with pytest.raises(LocalError, match="both directions"):
            MediaSession(
                STREAM, outbound=outbound, inbound=inbound, cname="", random_bytes=bytes, now=0
            )


def test_secured_session_never_goes_back_to_clear() -> None:
    rig = Rig(secured=True)
    with pytest.raises(LocalError, match="does not go back"):
        rig.session.update(STREAM, None, None, rig.now)

    assert rig.session.secured
    assert rig.rtp(3)


# -- addresses -------------------------------------------------------------------------


@pytest.mark.rfc("rfc3550", 13)
def test_destination_moves_only_with_an_authenticated_packet() -> None:
    rig = Rig(secured=True)
    rig.converse(range(5))
    rig.session.receive_rtp(rig.peer_packet(5)[:-1] + b"x", NAT, rig.now)
    assert rig.session.destination == BOB
    rig.receive(6, source=NAT)

    assert rig.session.destination == NAT
    assert rig.tick()[0][0] == NAT


def test_packet_that_was_held_up_on_the_way_moves_no_destination() -> None:
    rig = Rig(secured=True)
    rig.converse(range(5))
    held_up = rig.peer_packet(5)
    rig.converse(range(6, 10))
    rig.session.receive_rtp(held_up, NAT, rig.now)

    assert rig.session.destination == BOB


def test_stranger_on_a_clear_session_is_refused_once_somebody_is_heard() -> None:
    rig = Rig()
    rig.converse(range(5), source=NAT)
    assert rig.session.destination == NAT
    for n in range(5):
        rig.receive(n, source=("198.51.100.66", 7), ssrc=0xBAD)

    assert rig.session.destination == NAT
    assert rig.session.statistics().packets_refused == 5
    rig.converse(range(5, 8), source=BOB)  # the announced host always wins
    assert rig.session.destination == BOB


def test_single_packet_of_a_stranger_moves_no_clear_session() -> None:
    rig = Rig()
    rig.receive(0, source=NAT)

    assert rig.session.destination == BOB


def test_hold_by_an_unspecified_address_sends_nothing_and_spends_no_numbers() -> None:
    rig = Rig()
    rig.tick()
    held = replace(STREAM, remote_address=("0.0.0.0", 5000))
    rig.session.update(held, None, None, rig.now)
    assert rig.rtp(10) == []
    rig.session.update(STREAM, None, None, rig.now)
    packet = rig.rtp()[0]

    assert (packet.sequence_number, packet.marker) == (101, True)
    assert packet.timestamp == 5000 + 11 * 160


# -- hold and re-negotiation -----------------------------------------------------------


@pytest.mark.parametrize("direction", list(Direction))
def test_direction_is_obeyed_and_rtcp_flows_in_every_one(direction: Direction) -> None:
    rig = Rig(replace(STREAM, direction=direction), secured=True)
    sent = []
    for n in range(600):
        rig.receive(n)
        sent += rig.tick()

    assert any(not is_rtcp(data) for _, data in sent) is direction.sends
    assert any(is_rtcp(data) for _, data in sent)
    assert (rig.session.read_audio() is not None) is direction.receives
    assert rig.session.statistics().packets_authenticated == 600


def test_audio_written_on_hold_is_not_saved_up() -> None:
    rig = Rig(replace(STREAM, direction=Direction.RECVONLY))
    rig.session.write_audio(bytes(3200))
    rig.tick(10)

    assert rig.session.outgoing_audio_ms == 0
    assert rig.session.statistics().audio_seconds_sent == 0


def test_resumed_stream_goes_on_with_its_numbers_and_a_marker() -> None:
    rig = Rig(secured=True)
    rig.rtp(5)
    held = replace(STREAM, direction=Direction.RECVONLY)
    rig.session.update(held, rig.outbound, rig.inbound, rig.now)
    assert rig.rtp(50) == []
    rig.session.update(STREAM, rig.outbound, rig.inbound, rig.now)
    packet = rig.rtp()[0]

    assert (packet.ssrc, packet.sequence_number, packet.marker) == (START.ssrc, 105, True)
    assert packet.timestamp == 5000 + 55 * 160


@pytest.mark.rfc("rfc3711", 14)
def test_new_outbound_keys_begin_a_new_source_so_that_no_index_is_used_twice() -> None:
    """Even when the new context was made from the old key."""
    rig = Rig(secured=True)
    first = rig.rtp(5)
    rig.session.update(STREAM, keys(1), rig.inbound, rig.now)
    second = rig.rtp(5)

    assert {p.ssrc for p in first}.isdisjoint({p.ssrc for p in second})
    assert second[0].sequence_number < 0x8000
    assert second[0].marker


def test_new_inbound_keys_are_used_at_once_and_the_old_ones_no_more() -> None:
    rig = Rig(secured=True)
    rig.converse(range(5))
    old = rig.peer_packet(5)
    rig.session.update(STREAM, rig.outbound, keys(9), rig.now)
    rig.peer_outbound = keys(9)
    rig.session.receive_rtp(old, BOB, rig.now)
    rig.converse(range(6, 10))

    assert rig.session.statistics().packets_refused == 1
    assert rig.session.statistics().packets_authenticated == 9


def test_session_that_becomes_secured_forgets_what_it_learned_and_queued_in_clear() -> None:
    rig = Rig()
    rig.converse(range(5), source=NAT)
    rig.session.handle_timer(rig.now + 0.02)  # leaves a clear packet not yet taken
    rig.session.update(STREAM, keys(1), keys(2), rig.now)

    assert rig.session.take_sends() == []
    assert rig.session.destination == BOB
    rig.receive(6)
    assert rig.session.statistics().packets_refused == 1


def test_impostor_in_clear_does_not_keep_the_peer_out_once_it_is_secured() -> None:
    rig = Rig()
    rig.converse(range(5))
    for n in range(3):  # takes the source over, so that the peer's is the one replaced
        rig.receive(n, ssrc=0xBAD)
    rig.session.update(STREAM, keys(1), keys(2), rig.now)
    rig.peer_outbound = keys(2)
    before = rig.session.statistics().audio_seconds_received
    rig.converse(range(5, 20))

    assert rig.session.statistics().audio_seconds_received - before > 0.2


def test_codec_may_change_on_the_way() -> None:
    rig = Rig(secured=True)
    rig.converse(range(10))
    stream = replace(STREAM, codec=PCMA, payload_type=8, receive_payload_types={0: PCMU, 8: PCMA})
    rig.session.update(stream, rig.outbound, rig.inbound, rig.now)
    rig.receive(10, payload_type=8)

    assert rig.rtp()[0].payload_type == 8
    rig.tick(8)
    assert rig.session.statistics().audio_seconds_received == pytest.approx(0.22)


def test_payload_type_that_could_be_taken_for_rtcp_is_refused() -> None:
    for number in (64, 72, 95, 128):
        with pytest.raises(ValueError, match="payload type"):
            replace(STREAM, event_payload_type=number)


# -- RTCP ------------------------------------------------------------------------------


@pytest.mark.rfc("rfc3550", 6, 7)
def test_reports_go_to_the_rtcp_address_with_sr_cname_and_what_was_received() -> None:
    rig = Rig()
    compounds = []
    for n in range(400):
        if n != 5:
            rig.receive(n)
        compounds += [(to, data) for to, data in rig.tick() if is_rtcp(data)]
    to, data = compounds[-1]
    report, description = parse_compound(data)

    assert to == BOB_RTCP
    assert isinstance(report, SenderReport)
    assert isinstance(description, SourceDescription)
    assert description.chunks == ((START.ssrc, ((1, b"a@random"),)),)
    assert report.packet_count * 160 == report.octet_count
    assert report.reports[0].ssrc == 0xB0B
    assert report.reports[0].cumulative_lost == 1
    assert 1 <= len(compounds) <= 4


def test_session_that_only_listens_sends_receiver_reports() -> None:
    rig = Rig(replace(STREAM, direction=Direction.RECVONLY))
    compounds = [parse_compound(data) for _, data in rig.tick(400)]

    assert compounds
    assert all(isinstance(compound[0], ReceiverReport) for compound in compounds)


def test_session_put_on_hold_turns_to_receiver_reports() -> None:
    """Section 6.4: a sender is who sent since the report before the last."""
    rig = Rig()
    rig.tick(200)
    rig.session.update(replace(STREAM, direction=Direction.RECVONLY), None, None, rig.now)
    compounds = [parse_compound(data) for _, data in rig.tick(1500)]

    assert isinstance(compounds[0][0], SenderReport)
    assert all(isinstance(compound[0], ReceiverReport) for compound in compounds[2:])
    assert len(compounds) > 3


def test_rtcp_on_one_port_with_rtp_follows_where_that_goes() -> None:
    rig = Rig(replace(STREAM, rtcp_address=BOB), secured=True)
    rig.converse(range(5), source=NAT)

    assert {to for to, data in rig.tick(400) if is_rtcp(data)} == {NAT}


def test_rtcp_follows_the_source_of_an_authentic_report() -> None:
    rig = Rig(secured=True)
    assert rig.peer_outbound is not None
    report = rig.peer_outbound.protect_rtcp(serialize_compound([ReceiverReport(0xB0B)]))
    rig.session.receive_rtcp(report, NAT, rig.now)

    assert {to for to, data in rig.tick(400) if is_rtcp(data)} == {NAT}
    assert rig.session.destination == BOB


def test_round_trip_is_measured_from_the_report_on_us() -> None:
    rig = Rig(secured=True)
    assert rig.peer_inbound is not None
    assert rig.peer_outbound is not None
    sent: list[bytes] = []
    while not sent:
        sent = [data for _, data in rig.tick() if is_rtcp(data)]
    report = parse_compound(rig.peer_inbound.unprotect_rtcp(sent[0]))[0]
    assert isinstance(report, SenderReport)
    block = block_on(START.ssrc, report.ntp_timestamp >> 16 & 0xFFFF_FFFF, delay_s=1.0)
    answer = serialize_compound([ReceiverReport(0xB0B, (block,))])
    protected = rig.peer_outbound.protect_rtcp(answer)
    assert rig.session.statistics().round_trip_ms is None
    rig.session.receive_rtcp(protected, BOB_RTCP, rig.now + 1.08)

    assert rig.session.statistics().round_trip_ms == pytest.approx(80, abs=1)


def block_on(ssrc: int, last_sr: int, *, delay_s: float) -> ReportBlock:
    return ReportBlock(ssrc, 0, 0, 0, 0, last_sr, int(delay_s * 65536))


def test_absurd_report_gives_no_round_trip() -> None:
    rig = Rig()
    rig.tick(10)
    for last_sr in (1, 0xFFFF_0000):
        block = block_on(START.ssrc, last_sr, delay_s=60_000)
        compound = serialize_compound([ReceiverReport(0xB0B, (block,))])
        rig.session.receive_rtcp(compound, BOB_RTCP, rig.now)

    assert rig.session.statistics().round_trip_ms is None


def test_bye_of_the_peer_is_an_event_and_ends_nothing() -> None:
    rig = Rig()
    rig.converse(range(5))
    compound = serialize_compound([ReceiverReport(0xB0B), Bye((0xB0B,))])
    rig.session.receive_rtcp(compound, BOB_RTCP, rig.now)

    assert rig.events() == [ByeReceived(0xB0B)]
    assert rig.rtp(2)


def test_clear_rtcp_of_a_stranger_is_refused() -> None:
    rig = Rig()
    compound = serialize_compound([ReceiverReport(0xB0B), Bye((0xB0B,))])
    rig.session.receive_rtcp(compound, ("198.51.100.66", 7), rig.now)
    rig.session.receive_rtcp(b"\x80\xc9", BOB_RTCP, rig.now)

    assert rig.events() == []
    assert rig.session.statistics().rtcp_packets_refused == 2


def test_rtcp_on_the_rtp_port_is_taken_for_what_it_is() -> None:
    rig = Rig(secured=True)
    assert rig.peer_outbound is not None
    compound = serialize_compound([ReceiverReport(0xB0B), Bye((0xB0B,))])
    rig.session.receive_rtp(rig.peer_outbound.protect_rtcp(compound), BOB, rig.now)

    assert rig.events() == [ByeReceived(0xB0B)]
    assert rig.session.statistics().packets_refused == 0


@pytest.mark.rfc("rfc3550", 10)
def test_stop_says_bye_and_ends_everything() -> None:
    rig = Rig(secured=True)
    assert rig.peer_inbound is not None
    rig.tick(5)
    rig.session.stop(rig.now)
    rig.session.stop(rig.now)
    sent = rig.session.take_sends()
    packets = parse_compound(rig.peer_inbound.unprotect_rtcp(sent[0][1]))

    assert len(sent) == 1
    assert packets[-1] == Bye((START.ssrc,))
    assert rig.session.next_deadline() is None
    rig.receive(1)
    rig.session.receive_rtcp(b"", BOB, rig.now)
    assert rig.tick(100) == []
    assert rig.session.statistics().packets_received == 0


def test_session_that_sent_nothing_says_no_bye() -> None:
    rig = Rig(replace(STREAM, direction=Direction.INACTIVE))
    rig.session.stop(0.0)

    assert rig.session.take_sends() == []


@pytest.mark.rfc("rfc3550", 9)
def test_somebody_with_our_ssrc_makes_us_take_another_once() -> None:
    rig = Rig()
    rig.tick(3)
    rig.receive(0, ssrc=START.ssrc)
    sent = rig.session.take_sends()
    assert parse_compound(sent[0][1])[-1] == Bye((START.ssrc,))
    mine = rig.rtp()[0].ssrc
    assert mine != START.ssrc
    rig.receive(1, ssrc=mine)  # our own packets, looped back

    assert rig.session.ssrc == mine
    assert rig.session.statistics().packets_refused == 1
