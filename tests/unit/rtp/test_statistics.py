"""RFC 3550 sections A.1, A.3 and A.8."""

import pytest

from sottovoce.rtp import ReceptionStatistics


def statistics_of(*sequence_numbers: int) -> ReceptionStatistics:
    statistics = ReceptionStatistics(8000, authenticated=True)
    for number in sequence_numbers:
        statistics.receive(number)
    return statistics


@pytest.mark.rfc("rfc3550", 4)
def test_unauthenticated_source_is_believed_after_two_packets_in_order() -> None:
    statistics = ReceptionStatistics(8000, authenticated=False)

    assert statistics.receive(10) is None
    assert statistics.receive(500) is None  # not in order: it begins anew
    assert not statistics.valid
    assert statistics.receive(501) == 501
    assert statistics.valid


def test_authenticated_source_is_believed_at_once() -> None:
    assert ReceptionStatistics(8000, authenticated=True).receive(10) == 10


def test_wrap_begins_another_cycle_and_a_late_packet_belongs_to_the_old_one() -> None:
    statistics = statistics_of(65534)

    assert [statistics.receive(n) for n in (0, 65535, 1)] == [0x10000, 65535, 0x10001]
    assert statistics.lost_packets == 0


def test_probation_across_the_wrap_passes() -> None:
    statistics = ReceptionStatistics(8000, authenticated=False)
    statistics.receive(65535)

    assert statistics.receive(0) == 0


def test_loss_is_expected_less_received_and_duplicates_count_against_it() -> None:
    assert statistics_of(1, 2, 5, 6).lost_packets == 2
    assert statistics_of(1, 2, 3, 3, 3).lost_packets == -2


def test_wide_jump_is_dropped_until_the_next_packet_proves_a_restart() -> None:
    statistics = statistics_of(100, 101)

    assert statistics.receive(30_000) is None
    assert statistics.receive(102) == 102  # it was a stray
    assert statistics.receive(30_000) is None
    assert statistics.receive(30_001) == 30_001
    assert statistics.restarts == 1
    assert statistics.lost_packets == 0


@pytest.mark.rfc("rfc3550", 6)
def test_report_gives_the_loss_of_its_own_interval() -> None:
    statistics = statistics_of(*range(100, 200))
    assert statistics.take_report().fraction_lost == 0

    for number in range(200, 300, 2):  # every other one
        statistics.receive(number)
    report = statistics.take_report()

    assert report.fraction_lost == 49 * 256 // 99
    assert report.cumulative_lost == 49
    assert report.extended_highest_sequence == 298
    assert statistics.take_report().fraction_lost == 0


def test_duplicates_make_the_cumulative_loss_negative_and_the_fraction_zero() -> None:
    report = statistics_of(1, 2, 2, 2).take_report()

    assert (report.fraction_lost, report.cumulative_lost) == (0, -2)


@pytest.mark.rfc("rfc3550", 5)
def test_jitter_follows_the_formula_of_the_rfc() -> None:
    statistics = statistics_of(1)
    jitter, transit_before = 0.0, None
    for n, delay_ticks in enumerate([0, 80, 80, 0, 240, 40]):
        arrival_ticks = n * 160 + delay_ticks
        statistics.observe_transit(n * 160, arrival_ticks / 8000)
        if transit_before is not None:
            jitter += (abs(delay_ticks - transit_before) - jitter) / 16
        transit_before = delay_ticks

    assert statistics.jitter_s == pytest.approx(jitter / 8000)
    assert statistics.take_report().jitter_ticks == int(jitter)


def test_timestamp_wrap_is_no_jitter() -> None:
    statistics = statistics_of(1)
    for n in range(10):
        statistics.observe_transit((0xFFFF_FF00 + n * 160) & 0xFFFF_FFFF, n * 0.02)

    assert statistics.jitter_s == 0


def test_new_timeline_is_no_jitter() -> None:
    statistics = statistics_of(1)
    statistics.observe_transit(0, 0.0)
    statistics.observe_transit(1_000_000, 0.02)
    statistics.observe_transit(1_000_160, 0.04)

    assert statistics.jitter_s == 0
