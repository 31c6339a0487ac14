"""RFC 9293 sections 3.4 and 3.10, as a listener meets them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.trace import tcp_reassembly
from sottovoce.trace.event import Endpoint, StreamBytesSeen
from sottovoce.trace.tcp_reassembly import RST, SYN, TcpReassembly, TcpSegment

A, B = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.2", 5060)
TEXT = b"The quick brown fox jumps over the lazy dog."


class Listener:
    def __init__(self, first: int = 1000) -> None:
        self.first = first
        self.tcp = TcpReassembly()
        self.frame = 0

    def hear(self, start: int, payload: bytes, flags: int = 0) -> list[StreamBytesSeen]:
        """Offsets are from ``first``."""
        self.frame += 1
        number = (self.first + start) % 2**32
        segment = TcpSegment(A, B, number, flags, payload)
        return list(self.tcp.receive_segment(segment, self.frame, float(self.frame)))


def text_of(events: list[StreamBytesSeen]) -> bytes:
    return b"".join(event.payload for event in events)


def test_segments_in_order_pass_at_once_and_only_the_first_starts_afresh() -> None:
    listener = Listener()
    assert listener.hear(0, b"ab") == [StreamBytesSeen(1, 1.0, A, B, b"ab", after_gap=True)]
    assert listener.hear(2, b"cd") == [StreamBytesSeen(2, 2.0, A, B, b"cd", after_gap=False)]


def test_a_retransmission_is_heard_once_and_its_new_part_counts() -> None:
    listener = Listener()
    listener.hear(0, b"abcd")
    assert listener.hear(0, b"abcd") == []
    assert listener.hear(2, b"cdef")[0].payload == b"ef"
    assert listener.hear(1, b"b") == []


def test_early_segments_wait_for_the_missing_one() -> None:
    listener = Listener()
    listener.hear(0, b"ab")
    assert listener.hear(4, b"ef") == []
    assert listener.hear(6, b"gh") == []
    assert [event.payload for event in listener.hear(2, b"cd")] == [b"cd", b"ef", b"gh"]


def test_sequence_numbers_wrap() -> None:
    listener = Listener(first=2**32 - 3)
    listener.hear(0, b"ab")
    assert listener.hear(4, b"ef") == []
    assert text_of(listener.hear(2, b"cd")) == b"cdef"


def test_a_repeated_syn_changes_nothing_and_a_new_one_starts_a_new_connection() -> None:
    listener = Listener()
    listener.hear(-1, b"", SYN)
    assert text_of(listener.hear(0, b"ab")) == b"ab"
    listener.hear(-1, b"", SYN)
    assert listener.hear(0, b"ab") == []
    listener.hear(4999, b"", SYN)
    assert listener.hear(5000, b"new")[0].after_gap


def test_after_a_reset_the_next_segment_starts_afresh() -> None:
    listener = Listener()
    listener.hear(0, b"ab")
    listener.hear(2, b"", RST)
    assert listener.hear(77, b"xy")[0].after_gap


def test_the_other_direction_is_independent() -> None:
    listener = Listener()
    listener.hear(0, b"ab")
    back = TcpSegment(B, A, 5, 0, b"answer")
    (event,) = listener.tcp.receive_segment(back, 9, 9.0)
    assert (event.source, event.destination, event.payload) == (B, A, b"answer")


def test_a_segment_that_never_comes_is_given_up_when_too_much_waits() -> None:
    listener = Listener()
    listener.hear(0, b"ab")
    piece = bytes(1400)
    heard: list[StreamBytesSeen] = []
    sent = 0
    while not heard:
        heard = listener.hear(10 + sent, piece)
        sent += len(piece)
    assert sent > tcp_reassembly.MAX_WAITING_BYTES or sent // 1400 > 256
    assert heard[0].after_gap
    assert not heard[1].after_gap
    assert len(text_of(heard)) == sent


def test_waiting_bytes_of_all_connections_together_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_reassembly, "MAX_WAITING_BYTES_IN_ALL", 1000)
    tcp = TcpReassembly()
    kept = released = 0
    for port in range(1, 21):
        source = Endpoint("10.0.0.1", port)
        list(tcp.receive_segment(TcpSegment(source, B, 0, 0, b"x"), 1, 1.0))
        early = TcpSegment(source, B, 100, 0, bytes(100))
        events = list(tcp.receive_segment(early, 1, 1.0))
        released += len(text_of(events))
        kept += 100 - len(text_of(events))
    assert kept <= 1000
    assert released >= 1000
    assert len(text_of(list(tcp.receive_end()))) == kept


def test_the_longest_silent_direction_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_reassembly, "MAX_DIRECTIONS", 2)
    tcp = TcpReassembly()

    def hear(port: int, number: int) -> bool:
        segment = TcpSegment(Endpoint("10.0.0.1", port), B, number, 0, b"x")
        (event,) = tcp.receive_segment(segment, 1, 1.0)
        return event.after_gap

    assert [hear(1, 0), hear(2, 0), hear(1, 1), hear(3, 0)] == [True, True, False, True]
    assert not hear(1, 2)
    assert hear(2, 1)  # it was forgotten


def test_the_end_of_the_capture_gives_what_still_waits() -> None:
    listener = Listener()
    listener.hear(0, b"ab")
    listener.hear(10, b"kl")
    listener.hear(6, b"gh")
    ends = list(listener.tcp.receive_end())
    assert [(event.payload, event.after_gap) for event in ends] == [(b"gh", True), (b"kl", True)]


@given(st.data(), st.sampled_from([0, 1000, 2**32 - 20]))
def test_any_cuts_repeats_and_order_give_the_text_once(data: st.DataObject, first: int) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(TEXT) - 1))))
    bounds = [0, *cuts, len(TEXT)]
    pieces = list(itertools.pairwise(bounds))
    repeats = data.draw(st.lists(st.sampled_from(pieces), max_size=4))
    overlaps = data.draw(
        st.lists(st.tuples(st.integers(0, 20), st.integers(21, len(TEXT))), max_size=3)
    )
    order = data.draw(st.permutations(pieces + repeats + overlaps))
    listener = Listener(first)
    listener.hear(-1, b"", SYN)
    heard = [event for start, end in order for event in listener.hear(start, TEXT[start:end])]
    assert text_of(heard) == TEXT
    assert list(listener.tcp.receive_end()) == []


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 63), st.binary(max_size=9))))
def test_any_segments_are_taken(segments: list[tuple[int, int, bytes]]) -> None:
    tcp = TcpReassembly()
    for number, flags, payload in segments:
        list(tcp.receive_segment(TcpSegment(A, B, number, flags, payload), 1, 1.0))
    list(tcp.receive_end())
