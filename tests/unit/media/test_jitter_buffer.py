"""Playout: order, loss, lateness, bounds."""

from collections.abc import Iterable

import pytest

from sottovoce.errors import ParseError
from sottovoce.media.jitter_buffer import (
    DELAY_LIMIT_MS,
    IDLE_FRAMES,
    PACKETS_LIMIT,
    START_MS,
    JitterBuffer,
)

SILENCE = bytes(320)


def sound(n: int) -> bytes:
    """A frame that tells its number: each sample is 1000 + n."""
    return (1000 + n).to_bytes(2, "little") * 160


def number(frame: bytes | None) -> int | str:
    """The number of an untouched frame; what else it is."""
    if frame is None:
        return "nothing"
    if frame == SILENCE:
        return "silence"
    value = int.from_bytes(frame[:2], "little")
    return value - 1000 if value >= 1000 and frame == frame[:2] * 160 else "faded"


class Rig:
    """A buffer whose pulls are due at 0.02, 0.04, ... and packets that carry ``sound(n)``."""

    def __init__(self) -> None:
        self.buffer = JitterBuffer(8000, 8000)
        self.ticks = 0

    def push(
        self, n: int, *, at_ms: float, timestamp_offset: int = 0, payload: bytes = b""
    ) -> None:
        timestamp = (n * 160 + timestamp_offset) & 0xFFFF_FFFF
        self.buffer.push(1000 + n, timestamp, payload or sound(n), at_ms / 1000, lambda data: data)

    def pull(self, count: int = 1) -> list[int | str]:
        pulled = []
        for _ in range(count):
            self.ticks += 1
            pulled.append(number(self.buffer.pull(self.ticks * 0.02)))
        return pulled

    def play(self, numbers: Iterable[int], *, count: int) -> list[int | str]:
        """Packet n arrives just after tick n; pull each tick."""
        arriving = set(numbers)
        played = []
        for _ in range(count):
            if self.ticks in arriving:
                self.push(self.ticks, at_ms=self.ticks * 20 + 1)
            played += self.pull()
        return played


def test_nothing_comes_out_before_anything_went_in() -> None:
    assert Rig().pull(3) == ["nothing"] * 3


def test_packets_are_played_in_order_behind_a_start_of_three_frames() -> None:
    rig = Rig()

    assert START_MS == 60
    assert rig.play(range(100), count=10) == ["silence"] * 3 + [0, 1, 2, 3, 4, 5, 6]
    assert rig.buffer.concealed_frames == rig.buffer.lost_packets == 0


def test_packets_out_of_order_are_put_right() -> None:
    rig = Rig()
    rig.pull()
    for n, at_ms in ((0, 21), (2, 22), (1, 23)):
        rig.push(n, at_ms=at_ms)

    assert rig.pull(6) == ["silence"] * 3 + [0, 1, 2]


def test_sequence_and_timestamp_wrap_unheard() -> None:
    rig = Rig()
    rig.pull()
    for n in range(6):
        rig.push(n, at_ms=21 + n * 20, timestamp_offset=0xFFFF_FFFF - 320)
        rig.pull()

    assert rig.pull(3) == [3, 4, 5]
    assert rig.buffer.late_packets == 0


def test_lost_packet_is_faded_over_and_counted_once() -> None:
    rig = Rig()
    played = rig.play(set(range(20)) - {5}, count=15)

    assert played[3:] == [0, 1, 2, 3, 4, "faded", 6, 7, 8, 9, 10, 11]
    assert (rig.buffer.lost_packets, rig.buffer.concealed_frames) == (1, 1)
    assert rig.buffer.late_packets == 0


def test_long_loss_fades_into_silence() -> None:
    rig = Rig()
    played = rig.play(set(range(5)) | set(range(12, 20)), count=18)

    assert played[8:16] == ["faded"] * 3 + ["silence"] * 4 + [12]
    assert rig.buffer.lost_packets == 7


def test_duplicates_are_played_once() -> None:
    rig = Rig()
    rig.pull()
    for at_ms in (21, 22, 23):
        rig.push(0, at_ms=at_ms)
    rig.push(1, at_ms=41)
    played = rig.pull(5)
    rig.push(0, at_ms=125)  # long played

    assert played == ["silence"] * 3 + [0, 1]
    assert rig.buffer.duplicate_packets == 3
    assert rig.buffer.late_packets == 0


def test_packet_behind_its_turn_is_counted_late_and_not_played() -> None:
    rig = Rig()
    played = rig.play(set(range(40)) - {5}, count=12)
    rig.push(5, at_ms=242)
    played += rig.play(range(40), count=6)

    assert played[8] == "faded"
    assert 5 not in played
    assert (rig.buffer.late_packets, rig.buffer.lost_packets) == (1, 1)


def test_pause_of_the_sender_is_no_loss() -> None:
    """RFC 3550: with silence suppression timestamps go on and sequence numbers do not."""
    rig = Rig()
    rig.play(range(5), count=8)
    rig.buffer.push(1005, 12 * 160, sound(12), 0.24, lambda data: data)
    rig.pull(8)

    assert rig.buffer.lost_packets == 0


def test_packets_without_audio_are_no_loss() -> None:
    rig = Rig()
    rig.play(range(5), count=8)
    for n in range(5, 12):
        rig.buffer.skip(1000 + n)
    rig.push(12, at_ms=241)
    rig.pull(8)

    assert rig.buffer.lost_packets == 0


def test_packets_of_10_30_and_60_ms_are_cut_to_frames() -> None:
    for packet_ms in (10, 30, 60):
        buffer = JitterBuffer(8000, 8000)
        samples = packet_ms * 8
        stream = b"".join(n.to_bytes(2, "little") for n in range(1, 8000))
        played = b""
        for n in range(480 // packet_ms):
            payload = stream[n * samples * 2 : (n + 1) * samples * 2]
            buffer.push(n, n * samples, payload, n * packet_ms / 1000, lambda data: data)
            while len(played) // 16 < (n + 1) * packet_ms - 20:
                played += buffer.pull(len(played) / 16000 + 0.02) or b""
        assert played.lstrip(b"\0") == stream[: len(played.lstrip(b"\0"))]
        assert len(played.lstrip(b"\0")) > 5000


def test_burst_after_a_network_stall_builds_up_no_delay() -> None:
    rig = Rig()
    rig.play(range(20), count=20)
    rig.pull(40)  # 800 ms without a packet
    for n in range(20, 60):
        rig.push(n, at_ms=1201)
    rig.play(range(60, 200), count=140)

    assert rig.buffer.delay_ms <= DELAY_LIMIT_MS
    # What is played was sent no longer ago than the limit allows.
    assert rig.ticks - int(rig.play(range(200, 210), count=1)[0]) <= 7


def test_first_packets_all_at_once_build_up_no_delay() -> None:
    """What waited in the socket while the call was answered."""
    rig = Rig()
    rig.ticks = 100
    for n in range(100):
        rig.push(n, at_ms=2001)
    played = rig.play(range(100, 200), count=20)

    assert isinstance(played[0], int)
    assert played[0] >= 100 - DELAY_LIMIT_MS // 20
    assert rig.buffer.dropped_packets > 0


def test_late_packets_make_the_delay_grow_and_it_is_bounded() -> None:
    rig = Rig()
    rig.play(range(10), count=10)
    for n in range(10, 400):  # the way has become 70 ms longer
        rig.pull()
        rig.push(n - 4, at_ms=rig.ticks * 20 + 11)
    late = rig.buffer.late_packets
    for n in range(400, 500):
        rig.pull()
        rig.push(n - 4, at_ms=rig.ticks * 20 + 11)

    assert 0 < late < 10
    assert rig.buffer.late_packets == late
    assert rig.buffer.delay_ms <= DELAY_LIMIT_MS


def test_delay_shrinks_when_all_packets_come_early() -> None:
    rig = Rig()
    rig.play(range(2000), count=600)

    assert rig.buffer.delay_ms < 50
    assert rig.buffer.lost_packets == 0


def test_timestamps_that_leap_begin_a_new_timeline() -> None:
    for leap in (1_000_000, -1_000_000):
        rig = Rig()
        rig.play(range(10), count=10)
        for n in range(10, 30):
            rig.push(n, at_ms=n * 20 + 1, timestamp_offset=leap)
            played = rig.pull()
        assert isinstance(played[0], int)
        assert rig.buffer.late_packets == 0


def test_old_packet_far_behind_begins_no_new_timeline() -> None:
    rig = Rig()
    rig.play(range(100), count=100)
    rig.push(3, at_ms=2001)

    assert rig.play(range(100, 120), count=2) == [97, 98]


def test_long_silence_ends_the_timeline_and_the_next_packet_begins_one() -> None:
    rig = Rig()
    rig.play(range(10), count=20)
    rig.pull(IDLE_FRAMES + 10)
    rig.push(500, at_ms=rig.ticks * 20 + 1, timestamp_offset=77_777)

    assert rig.pull(4) == ["silence"] * 3 + [500]


def test_frames_whose_time_has_passed_are_left_out() -> None:
    rig = Rig()
    rig.play(range(100), count=10)
    rig.buffer.advance(50)
    rig.ticks += 50

    assert rig.play(range(60, 100), count=8)[4:] == [61, 62, 63, 64]


def test_packets_of_a_sample_each_cannot_fill_the_memory() -> None:
    rig = Rig()
    for n in range(1000):
        rig.buffer.push(n, n, b"\1\0", 0.001, lambda data: data)

    assert len(rig.buffer._packets) <= PACKETS_LIMIT


@pytest.mark.parametrize("size", [0, 320 * 13])
def test_packet_with_no_sound_or_far_too_much_is_passed_over(size: int) -> None:
    rig = Rig()
    rig.pull()
    rig.buffer.push(0, 0, b"x", 0.021, lambda _: bytes(size))
    rig.push(1, at_ms=41)

    assert rig.pull(5)[-1] == 1
    assert rig.buffer.unplayable_packets == 1


def test_packet_that_the_codec_refuses_is_passed_over() -> None:
    def refuse(_: bytes) -> bytes:
        raise ParseError("not a payload of this codec")

    rig = Rig()
    rig.pull()
    rig.buffer.push(1000, 0, b"x", 0.021, refuse)
    rig.push(1, at_ms=41)

    assert rig.pull(5)[-1] == 1
    assert rig.buffer.unplayable_packets == 1
    assert rig.buffer.played_bytes == 320
