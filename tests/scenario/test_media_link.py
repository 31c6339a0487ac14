"""Two media sessions over a lossy, jittery link, with clocks that disagree."""

import heapq
import itertools
import random
from dataclasses import dataclass

import pytest

from sottovoce.media import (
    Address,
    AudioStream,
    DtmfReceived,
    MediaSession,
    MediaStatistics,
    RtpStart,
    level_dbov,
    tone,
    tone_level_dbov,
)
from sottovoce.media.frame import samples_of
from sottovoce.rtp import is_rtcp
from sottovoce.srtp import CryptoSuite, SrtpContext

ALICE: Address = ("192.0.2.1", 4000)
BOB: Address = ("192.0.2.2", 5000)
LEAST_DELAY_S = 0.010


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What happens to packets on the way, each with its probability."""

    loss: float = 0.0
    duplication: float = 0.0
    jitter_s: float = 0.0
    drift_ppm: float = 0.0
    "By how much Alice's clock runs fast."


class Call:
    """Alice and Bob, each with a clock of its own, on one link and in one simulated time."""

    def __init__(self, faults: LinkFaults, *, secured: bool = True, seed: int = 1) -> None:
        self.faults = faults
        self.now = 0.0
        self.random = random.Random(seed)
        self.order = itertools.count()
        self.in_flight: list[tuple[float, int, str, bool, bytes]] = []
        self.held_until = 0.0  # the link delivers nothing before, and then everything at once
        self.alice = self._session(BOB, (1, 2) if secured else None, sequence_number=0x7F00)
        self.bob = self._session(ALICE, (2, 1) if secured else None, sequence_number=1)
        self.speed = {"alice": 1 + faults.drift_ppm * 1e-6, "bob": 1.0}
        self.heard_by_bob: list[tuple[float, bytes]] = []

    def _session(
        self, remote: Address, seeds: tuple[int, int] | None, *, sequence_number: int
    ) -> MediaSession:
        stream = AudioStream(
            remote_address=remote,
            rtcp_address=(remote[0], remote[1] + 1),
            event_payload_type=101,
            receive_event_payload_type=101,
        )
        contexts = [
            SrtpContext(
                CryptoSuite.AES_CM_128_HMAC_SHA1_80,
                master_key=bytes([seed]) * 16,
                master_salt=bytes([seed]) * 14,
            )
            for seed in seeds or ()
        ]
        return MediaSession(
            stream,
            outbound=contexts[0] if contexts else None,
            inbound=contexts[1] if contexts else None,
            cname="x",
            random_bytes=self.random.randbytes,
            now=0.0,
            start=RtpStart(self.random.getrandbits(32), sequence_number, 0xFFFF_0000),
        )

    def run(self, seconds: float) -> None:
        """Go from tick to tick and from arrival to arrival."""
        end = self.now + seconds
        while True:
            session, name = min(
                ((self.alice, "alice"), (self.bob, "bob")),
                key=lambda entry: self._due_at(entry[0], entry[1]),
            )
            due_at = self._due_at(session, name)
            arrival_at = self.in_flight[0][0] if self.in_flight else float("inf")
            if min(due_at, arrival_at) > end:
                self.now = end
                return
            if arrival_at <= due_at:
                self._deliver(*heapq.heappop(self.in_flight))
                continue
            self.now = due_at
            session.handle_timer(due_at * self.speed[name] + 1e-6)
            self._carry(session, "bob" if name == "alice" else "alice")
            if name == "bob":
                while (frame := session.read_audio()) is not None:
                    self.heard_by_bob.append((due_at, frame))

    def _due_at(self, session: MediaSession, name: str) -> float:
        deadline = session.next_deadline()
        return float("inf") if deadline is None else deadline / self.speed[name]

    def _carry(self, session: MediaSession, to: str) -> None:
        for _, data in session.take_sends():
            copies = 0 if self.random.random() < self.faults.loss else 1
            copies += self.random.random() < self.faults.duplication
            for _ in range(copies):
                delay_s = LEAST_DELAY_S + self.random.uniform(0, self.faults.jitter_s)
                arrival_at = max(self.now + delay_s, self.held_until)
                entry = (arrival_at, next(self.order), to, is_rtcp(data), data)
                heapq.heappush(self.in_flight, entry)

    def _deliver(self, at: float, _: int, to: str, rtcp: bool, data: bytes) -> None:
        self.now = at
        session, source = (self.bob, ALICE) if to == "bob" else (self.alice, BOB)
        local = at * self.speed[to]
        if rtcp:
            session.receive_rtcp(data, (source[0], source[1] + 1), local)
        else:
            session.receive_rtp(data, source, local)


def speak_clicks(call: Call, seconds: float) -> list[float]:
    """Let Alice send a click each half second; return when, in simulated time."""
    clicked = []
    click = tone(1000, 20, level_dbov=-10)
    for _ in range(int(seconds * 2)):
        call.run(0.4)
        call.alice.write_audio(click)
        deadline = call.alice.next_deadline()
        assert deadline is not None
        clicked.append(deadline / call.speed["alice"])
        call.run(0.1)
    return clicked


def delays_of(call: Call, clicked: list[float]) -> list[float]:
    """How long after each click Bob's application could read it; lost ones left out."""
    loud = [at for at, frame in call.heard_by_bob if level_dbov(frame) > -25]
    delays = []
    for at in clicked:
        after = [heard for heard in loud if at < heard < at + 0.45]
        if after:
            delays.append(after[0] - at)
    return delays


@pytest.mark.parametrize("drift_ppm", [100.0, -100.0])
def test_delay_stays_bounded_through_loss_jitter_and_drift(drift_ppm: float) -> None:
    """Four minutes; a hundred ppm in ten minutes are 60 ms, here 24."""
    call = Call(LinkFaults(loss=0.03, jitter_s=0.04, drift_ppm=drift_ppm))
    delays = delays_of(call, speak_clicks(call, 240))
    statistics = call.bob.statistics()

    assert len(delays) > 440
    assert max(delays) <= 0.120 + LEAST_DELAY_S
    assert statistics.buffer_ms <= 120
    assert 0.02 < statistics.packets_lost / 12_000 < 0.04
    assert statistics.packets_late < 30
    assert 5 < statistics.jitter_ms < 25
    assert statistics.packets_refused == 0
    assert statistics.packets_received == statistics.packets_authenticated > 11_000
    assert statistics.round_trip_ms == pytest.approx(60, abs=45)


def test_strong_drift_of_a_bad_sound_card_builds_up_no_delay() -> None:
    """2000 ppm, twenty times what crystals do: 120 ms in a minute."""
    call = Call(LinkFaults(jitter_s=0.02, drift_ppm=2000))
    delays = delays_of(call, speak_clicks(call, 60))

    assert max(delays[10:]) <= 0.120 + LEAST_DELAY_S
    assert len(delays) >= 115


def test_clean_link_carries_every_sample() -> None:
    call = Call(LinkFaults())
    speech = tone(700, 3000, level_dbov=-15)
    assert call.alice.write_audio(speech) == len(speech)
    call.run(3.5)
    heard = b"".join(frame for _, frame in call.heard_by_bob)
    first = next(n for n, sample in enumerate(samples_of(heard)) if sample) - 1
    heard = heard[2 * first :]

    assert tone_level_dbov(heard[: len(speech)], 700) == pytest.approx(-15, abs=0.1)
    assert call.bob.statistics().frames_concealed == 0
    assert call.bob.statistics().packets_lost == 0


def test_loss_jitter_and_duplicates_leave_the_tone_recognisable() -> None:
    call = Call(LinkFaults(loss=0.05, jitter_s=0.05, duplication=0.05))
    for _ in range(10):
        call.alice.write_audio(tone(700, 1000, level_dbov=-15))
        call.run(1.0)
    heard = b"".join(frame for at, frame in call.heard_by_bob if 1 < at < 9)

    assert tone_level_dbov(heard[:16_000], 700) > -18
    assert call.bob.statistics().packets_refused > 10  # the duplicates: replays


def test_digits_cross_a_bad_link_once_each_and_in_order() -> None:
    call = Call(LinkFaults(loss=0.05, jitter_s=0.04, duplication=0.03), seed=7)
    call.run(1.0)
    call.alice.send_dtmf("0123456789*#ABCD")
    call.run(8.0)
    digits = []
    while (event := call.bob.next_event()) is not None:
        assert isinstance(event, DtmfReceived)
        digits.append(event.digit)

    assert "".join(digits) == "0123456789*#ABCD"
    assert call.alice.outgoing_digits == 0


def test_sequence_number_wraps_in_the_middle_of_a_lossy_secured_call() -> None:
    """RFC 3711 3.3.1: the rollover counter of both sides moves together."""
    call = Call(LinkFaults(loss=0.05, jitter_s=0.05))
    call.run((0x10000 - 0x7F00) * 0.02 - 5)
    before = call.bob.statistics()
    call.run(10)
    after = call.bob.statistics()

    assert after.packets_refused == 0
    assert after.packets_authenticated - before.packets_authenticated > 450


def test_clear_call_works_the_same_way() -> None:
    call = Call(LinkFaults(loss=0.02, jitter_s=0.03), secured=False)
    call.alice.write_audio(tone(700, 2000))
    call.run(5.0)
    statistics: MediaStatistics = call.bob.statistics()

    assert statistics.packets_authenticated == 0
    assert not statistics.secured
    assert statistics.audio_seconds_received > 4.5


def test_network_that_stands_still_for_a_second_leaves_no_delay_behind() -> None:
    call = Call(LinkFaults(jitter_s=0.01))
    speak_clicks(call, 5)
    call.held_until = call.now + 1.0
    call.run(1.1)
    assert call.bob.statistics().packets_late > 20
    delays = delays_of(call, speak_clicks(call, 20))

    assert max(delays) <= 0.120 + LEAST_DELAY_S
