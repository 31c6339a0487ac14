"""RFC 5626 section 4.4.1, on a made-up clock."""

import pytest

from sottovoce.sip.keep_alive import PING, FlowFailed, KeepAlive


def ping(machine: KeepAlive) -> float:
    """Run to the next ping; when it went out."""
    due_at = machine.next_deadline()
    assert due_at is not None
    machine.handle_timer(due_at)
    assert machine.take_sends() == [PING]
    return due_at


@pytest.mark.rfc("rfc5626-3581", 4)
@pytest.mark.parametrize(("drawn", "due_at"), [(0.0, 95.0), (1.0, 120.0)])
def test_pings_are_drawn_from_95_to_120_seconds(drawn: float, due_at: float) -> None:
    machine = KeepAlive(lambda: drawn, 0.0)
    machine.handle_timer(due_at - 0.1)

    assert machine.take_sends() == []
    assert ping(machine) == due_at


@pytest.mark.rfc("rfc5626-3581", 1)
def test_a_pong_that_does_not_come_ends_the_flow_after_ten_seconds() -> None:
    machine = KeepAlive(lambda: 0.0, 0.0)
    machine.receive_pong(ping(machine) + 0.1)
    pinged_at = ping(machine)
    machine.handle_timer(pinged_at + 9.9)
    assert machine.next_event() is None

    machine.handle_timer(pinged_at + 10.0)
    assert machine.next_event() == FlowFailed()
    assert machine.next_deadline() is None


def test_a_server_that_knows_no_pings_loses_no_flow() -> None:
    machine = KeepAlive(lambda: 0.0, 0.0)
    for _ in range(10):
        ping(machine)

    assert machine.next_event() is None


def test_an_unasked_pong_changes_nothing_but_what_is_known() -> None:
    machine = KeepAlive(lambda: 0.0, 0.0)
    machine.receive_pong(5.0)

    assert machine.next_deadline() == 95.0
