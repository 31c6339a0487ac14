"""RFC 4733."""

import pytest

from sottovoce.errors import ParseError
from sottovoce.rtp.telephone_event import (
    DIGITS,
    LOST_END_S,
    EventReceived,
    EventToSend,
    TelephoneEvent,
    TelephoneEventReceiver,
    TelephoneEventSender,
    event_of,
)


def sent(event: int = 1, *, timestamp: int = 1000, duration_ticks: int = 800) -> list[EventToSend]:
    sender = TelephoneEventSender(
        event, timestamp=timestamp, duration_ticks=duration_ticks, update_ticks=160
    )
    packets: list[EventToSend] = []
    while not sender.done:
        packets += sender.next_update()
    return packets


def received(packets: list[EventToSend], first_sequence: int = 50) -> list[EventReceived]:
    receiver = TelephoneEventReceiver()
    for n, packet in enumerate(packets):
        receiver.receive_event(packet.payload, first_sequence + n, packet.timestamp, n * 0.02)
    receiver.handle_timer(1000.0)
    events = []
    while (event := receiver.next_event()) is not None:
        events.append(event)
    return events


@pytest.mark.rfc("rfc4733", 1)
def test_payload_is_laid_out_as_the_rfc_draws_it() -> None:
    end_of_one = TelephoneEvent(event=1, end=True, volume=10, duration_ticks=0x08C0)

    assert end_of_one.serialize() == bytes.fromhex("018a08c0")
    assert TelephoneEvent.parse(bytes.fromhex("018a08c0")) == end_of_one


@pytest.mark.rfc("rfc4733", 9)
def test_reserved_bit_is_ignored() -> None:
    assert TelephoneEvent.parse(bytes.fromhex("01ca08c0")).volume == 10


def test_short_payload_is_refused() -> None:
    with pytest.raises(ParseError, match="3 octets"):
        TelephoneEvent.parse(b"\x01\x8a\x08")


@pytest.mark.rfc("rfc4733", 2)
def test_digits_have_the_codes_of_the_rfc() -> None:
    assert [event_of(digit) for digit in "0189*#aDB"] == [0, 1, 8, 9, 10, 11, 12, 15, 13]
    for wrong in ("", "12", "E", "٣"):
        with pytest.raises(ValueError, match="no keypad digit"):
            event_of(wrong)
    assert len(DIGITS) == 16


@pytest.mark.rfc("rfc4733", 3, 4)
def test_event_grows_and_its_last_packet_is_sent_three_times() -> None:
    packets = sent(duration_ticks=480)
    payloads = [TelephoneEvent.parse(packet.payload) for packet in packets]

    assert [payload.duration_ticks for payload in payloads] == [160, 320, 480, 480, 480]
    assert [payload.end for payload in payloads] == [False, False, True, True, True]
    assert {packet.timestamp for packet in packets} == {1000}
    assert [packet.marker for packet in packets] == [True, False, False, False, False]


def test_event_that_is_no_multiple_of_the_update_ends_with_its_exact_duration() -> None:
    last = TelephoneEvent.parse(sent(duration_ticks=500)[-1].payload)

    assert (last.end, last.duration_ticks) == (True, 500)


@pytest.mark.rfc("rfc4733", 6)
def test_long_event_goes_on_in_a_segment_with_its_own_timestamp() -> None:
    packets = sent(timestamp=0xFFFF_0000, duration_ticks=80_000)
    second = (0xFFFF_0000 + 0xFFFF) & 0xFFFF_FFFF
    by_timestamp = {
        timestamp: [TelephoneEvent.parse(p.payload) for p in packets if p.timestamp == timestamp]
        for timestamp in (0xFFFF_0000, second)
    }

    assert {packet.timestamp for packet in packets} == {0xFFFF_0000, second}
    assert not any(payload.end for payload in by_timestamp[0xFFFF_0000])
    full = [p for p in by_timestamp[0xFFFF_0000] if p.duration_ticks == 0xFFFF]
    assert len(full) == 3
    assert by_timestamp[second][-1].duration_ticks == 80_000 - 0xFFFF
    assert sum(payload.end for payload in by_timestamp[second]) == 3
    assert sum(packet.marker for packet in packets) == 1
    # Updates come at the pace of time: 500 of them, and the repeats of both segments' ends.
    assert len(packets) == 500 + 4
    assert received(packets) == [EventReceived(1, 80_000)]


@pytest.mark.parametrize("duration_ticks", [0xFFFF - 1, 0xFFFF, 0xFFFF + 1, 2 * 0xFFFF])
def test_segment_boundaries_add_up(duration_ticks: int) -> None:
    assert received(sent(duration_ticks=duration_ticks)) == [EventReceived(1, duration_ticks)]


@pytest.mark.rfc("rfc4733", 5)
def test_event_is_reported_once_however_often_its_end_is_repeated() -> None:
    assert received(sent(5)) == [EventReceived(5, 800)]


@pytest.mark.rfc("rfc4733", 11)
def test_ends_repeated_with_the_same_sequence_number_count_once() -> None:
    """TRAPS 12: some senders do not raise it."""
    receiver = TelephoneEventReceiver()
    packets = sent(5)
    for n, packet in enumerate(packets):
        sequence = 50 + min(n, len(packets) - 3)
        receiver.receive_event(packet.payload, sequence, packet.timestamp, n * 0.02)

    assert receiver.next_event() == EventReceived(5, 800)
    assert receiver.next_event() is None


@pytest.mark.rfc("rfc4733", 5)
def test_lost_beginning_is_recovered_from_the_end() -> None:
    assert received(sent(5)[-1:]) == [EventReceived(5, 800)]


def test_same_digit_twice_is_two_events() -> None:
    assert received(sent(5) + sent(5, timestamp=5000)) == [EventReceived(5, 800)] * 2


def test_event_without_any_end_is_reported_when_the_next_begins() -> None:
    assert received(sent(5)[:3] + sent(6, timestamp=5000)) == [
        EventReceived(5, 480),
        EventReceived(6, 800),
    ]


def test_event_without_any_end_is_reported_when_nothing_more_comes() -> None:
    receiver = TelephoneEventReceiver()
    first = sent(5)[0]
    receiver.receive_event(first.payload, 50, first.timestamp, 1.0)
    receiver.handle_timer(1.0 + LOST_END_S / 2)
    assert receiver.next_event() is None
    assert receiver.next_deadline() == 1.0 + LOST_END_S
    receiver.handle_timer(1.0 + LOST_END_S)

    assert receiver.next_event() == EventReceived(5, 160)
    assert receiver.next_deadline() is None


def test_late_packet_of_an_event_before_opens_no_new_one() -> None:
    first, second = sent(5), sent(6, timestamp=5000)
    receiver = TelephoneEventReceiver()
    for sequence, packet in [
        (50, first[0]), (60, second[0]), (51, first[1]), (61, second[-1]), (52, first[-1]),
    ]:  # fmt: skip
        receiver.receive_event(packet.payload, sequence, packet.timestamp, 1.0)

    assert receiver.next_event() == EventReceived(5, 160)
    assert receiver.next_event() == EventReceived(6, 800)
    assert receiver.next_event() is None


def test_updates_out_of_order_keep_the_longest_duration() -> None:
    packets = sent(5)[:4]
    receiver = TelephoneEventReceiver()
    for n in (0, 3, 1, 2):
        receiver.receive_event(packets[n].payload, 50 + n, packets[n].timestamp, 1.0)
    receiver.handle_timer(9.0)

    assert receiver.next_event() == EventReceived(5, 640)
