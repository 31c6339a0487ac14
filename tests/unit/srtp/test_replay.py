"""RFC 3711 sections 3.3.1 and 3.3.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UnauthenticPacket
from sottovoce.srtp.replay import MIN_WINDOW_PACKETS, ReplayWindow, estimate_index


def accepted(window: ReplayWindow, index: int) -> bool:
    try:
        window.check(index)
    except UnauthenticPacket:
        return False
    window.commit(index)
    return True


def rollover_counter_of_appendix_a(roc: int, s_l: int, seq: int) -> int:
    """The pseudocode as it is printed, but that ``roc`` does not wrap."""
    if s_l < 32768:
        return roc - 1 if seq - s_l > 32768 else roc
    return roc + 1 if s_l - 32768 > seq else roc


@pytest.mark.rfc("rfc3711", 7)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535) | st.sampled_from([0, 32767, 32768, 32769, 65535]),
    st.integers(0, 65535) | st.sampled_from([0, 32767, 32768, 32769, 65535]),
)
def test_estimate_is_the_pseudocode_of_appendix_a(roc: int, s_l: int, seq: int) -> None:
    expected = rollover_counter_of_appendix_a(roc, s_l, seq) * 65536 + seq

    assert estimate_index(roc << 16 | s_l, seq) == expected


@pytest.mark.rfc("rfc3711", 9)
def test_forged_packet_leaves_the_window_alone() -> None:
    """A tag that fails means commit() is never called: honest packets still pass."""
    window = ReplayWindow()
    window.commit(10)
    window.check(1_000_000)  # forged far ahead; its tag then fails

    assert accepted(window, 11)
    assert accepted(window, 9)


@pytest.mark.rfc("rfc3711", 9)
def test_oldest_index_in_the_window_is_accepted_and_the_next_is_not() -> None:
    window = ReplayWindow(size_packets=MIN_WINDOW_PACKETS)
    window.commit(1000)

    assert accepted(window, 1000 - MIN_WINDOW_PACKETS + 1)
    assert not accepted(window, 1000 - MIN_WINDOW_PACKETS)


def test_window_holds_64_packets_or_more_unless_told_otherwise() -> None:
    window = ReplayWindow()
    window.commit(1000)

    assert accepted(window, 1000 - 63)


def test_far_jump_forgets_what_lies_behind_the_window() -> None:
    window = ReplayWindow()
    window.commit(5)
    window.commit(2**31 - 1)

    assert not accepted(window, 5)
    assert accepted(window, 2**31 - 2)


def test_window_under_the_rfc_minimum_is_refused() -> None:
    with pytest.raises(ValueError, match="63 packets"):
        ReplayWindow(size_packets=63)


@given(st.lists(st.integers(0, 400), max_size=200))
def test_window_agrees_with_a_plain_set(indices: list[int]) -> None:
    window, seen = ReplayWindow(size_packets=MIN_WINDOW_PACKETS), set[int]()
    for index in indices:
        expected = index not in seen and index > max(seen, default=-1) - MIN_WINDOW_PACKETS
        assert accepted(window, index) is expected
        if expected:
            seen.add(index)
