"""RFC 3550 sections 6.2, 6.3 and A.7."""

import math

import pytest

from sottovoce.rtp.rtcp_schedule import (
    MEMBERS_LIMIT,
    MemberTimedOut,
    ReportDue,
    RtcpSchedule,
    rtcp_interval_s,
)

COMPENSATION = math.e - 1.5


def schedule(random: float = 0.5) -> RtcpSchedule:
    return RtcpSchedule(bandwidth_bps=160_000, random=lambda: random, now=0.0)


def run(machine: RtcpSchedule, until: float) -> list[tuple[float, object]]:
    """Jump from deadline to deadline, sending a report of 100 octets whenever one is due."""
    happened: list[tuple[float, object]] = []
    for _ in range(1000):
        due_at = machine.next_deadline()
        if due_at is None or due_at > until:
            return happened
        machine.handle_timer(due_at)
        while (event := machine.next_event()) is not None:
            happened.append((round(due_at, 6), event))
            if event == ReportDue():
                machine.sent_rtcp(100, due_at)
    raise AssertionError("never reaches the end")


def interval_s(**changed: object) -> float:
    values: dict[str, object] = {
        "members": 2, "senders": 2, "bandwidth_bytes_per_s": 1000.0, "average_bytes": 128.0,
        "we_sent": True, "initial": False, "random": None,
    }  # fmt: skip
    return rtcp_interval_s(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.rfc("rfc3550", 8)
def test_interval_is_five_seconds_and_half_of_it_before_the_first_report() -> None:
    assert interval_s() == 5.0
    assert interval_s(initial=True) == 2.5


@pytest.mark.rfc("rfc3550", 8)
def test_interval_is_randomised_from_half_to_one_and_a_half_and_compensated() -> None:
    assert interval_s(random=lambda: 0.0) == pytest.approx(2.5 / COMPENSATION)
    assert interval_s(random=lambda: 1.0) == pytest.approx(7.5 / COMPENSATION)


def test_many_members_share_five_percent_of_the_bandwidth() -> None:
    assert interval_s(members=1000, senders=400) == pytest.approx(128.0)
    # A quarter of it is the senders' while they are few, the rest the listeners'.
    assert interval_s(members=1000, senders=100) == pytest.approx(100 * 128 / 250)
    few = interval_s(members=1000, senders=100, we_sent=False)
    assert few == pytest.approx(900 * 128 / 750)


def test_first_report_comes_early_and_the_next_at_the_full_interval() -> None:
    times = [at for at, _ in run(schedule(), 12.0)]

    first, step = 2.5 / COMPENSATION, 5.0 / COMPENSATION
    assert times == pytest.approx([first, first + step, first + 2 * step])


def test_report_is_put_off_when_the_group_grew_since_it_was_planned() -> None:
    """6.3.6: the interval is computed anew before sending."""
    machine = RtcpSchedule(bandwidth_bps=1_000, random=lambda: 0.5, now=0.0)
    planned_at = machine.next_deadline()
    for ssrc in range(20):
        machine.receive_rtp(ssrc, 0.1)
    assert planned_at is not None
    machine.handle_timer(planned_at)

    assert machine.next_event() is None
    later = machine.next_deadline()
    assert later is not None
    assert later > planned_at


def test_bye_draws_the_next_report_nearer() -> None:
    """6.3.4: reverse reconsideration."""
    machine = schedule()
    for ssrc in range(9):
        machine.receive_rtcp(ssrc, 100, 0.1)
    machine.sent_rtcp(100, 0.1)
    before = machine.next_deadline()
    machine.receive_bye(3, 0.1)

    after = machine.next_deadline()
    assert before is not None
    assert after is not None
    assert after - 0.1 == pytest.approx((before - 0.1) * 9 / 10)
    assert machine.members == 9


@pytest.mark.rfc("rfc3550", 10)
def test_member_silent_for_five_intervals_is_reported_once() -> None:
    machine = schedule()
    machine.receive_rtp(7, 1.0)
    timed_out = [at for at, event in run(machine, 60.0) if event == MemberTimedOut(7)]

    assert len(timed_out) == 1
    assert 26.0 <= timed_out[0] <= 36.0
    assert machine.members == 1


def test_flood_of_made_up_sources_is_bounded() -> None:
    machine = schedule()
    for ssrc in range(10_000):
        machine.receive_rtp(ssrc, 1.0)
        machine.receive_rtcp(ssrc + 20_000, 100, 1.0)

    assert machine.members == MEMBERS_LIMIT + 1


def test_owner_that_cannot_send_is_asked_again_after_an_interval_not_at_once() -> None:
    machine = schedule()
    due_at = machine.next_deadline()
    assert due_at is not None
    machine.handle_timer(due_at)
    assert machine.next_event() == ReportDue()

    again_at = machine.next_deadline()
    assert again_at is not None
    assert again_at - due_at >= 2.0


def test_stopped_schedule_has_no_deadline() -> None:
    machine = schedule()
    machine.stop()
    machine.receive_bye(1, 1.0)

    assert machine.next_deadline() is None
    assert machine.take_sends() == []
