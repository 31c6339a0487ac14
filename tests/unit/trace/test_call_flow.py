"""SIP found by its first line, on any port, in datagrams and streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.sip import Request, Response
from sottovoce.sip.transport import Transport
from sottovoce.trace import call_flow
from sottovoce.trace.call_flow import CallFlow, printable
from sottovoce.trace.event import DatagramSeen, Endpoint, StreamBytesSeen

A, B = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.2", 9999)


def options(number: int, body: bytes = b"") -> bytes:
    return (
        f"OPTIONS sip:bob@example.test SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP a.test;branch=z9hG4bK{number}\r\n"
        f"From: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@example.test>\r\n"
        f"Call-ID: {number}\r\nCSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


OK = options(1).replace(b"OPTIONS sip:bob@example.test SIP/2.0", b"SIP/2.0 200 OK", 1)


def datagram(payload: bytes, frame: int = 1) -> DatagramSeen:
    return DatagramSeen(frame, float(frame), A, B, payload)


def stream(payload: bytes, frame: int = 1, *, after_gap: bool = False) -> StreamBytesSeen:
    return StreamBytesSeen(frame, float(frame), A, B, payload, after_gap=after_gap)


def call_ids(flow: CallFlow) -> list[str]:
    return [seen.message.call_id for seen in flow.messages if seen.message]


def test_requests_and_responses_are_found_in_datagrams() -> None:
    flow = CallFlow()
    assert flow.receive_event(datagram(options(1), 4))
    assert flow.receive_event(datagram(b"\r\n\r\n" + OK, 5))
    request, response = flow.messages
    assert isinstance(request.message, Request)
    assert isinstance(response.message, Response)
    assert (request.frame, request.at_s, request.transport) == (4, 4.0, Transport.UDP)
    assert (request.source, request.destination) == (A, B)
    assert response.first_line == "SIP/2.0 200 OK"


def test_what_is_not_sip_is_left_to_others() -> None:
    flow = CallFlow()
    others = [
        b"",
        b"\r\n\r\n",
        bytes(200),
        b"GET / HTTP/1.1\r\n\r\n",
        b"SIP/2.0\r\n",
        b"\x80" * 172,
    ]
    assert not any(flow.receive_event(datagram(payload)) for payload in others)
    assert flow.messages == []


def test_a_damaged_message_is_kept_as_readable() -> None:
    flow = CallFlow()
    flow.receive_event(datagram(b"INVITE sip:bob@example.test SIP/2.0\r\nno colon here\r\n\r\n"))
    (seen,) = flow.messages
    assert seen.message is None
    assert seen.error
    assert seen.first_line == "INVITE sip:bob@example.test SIP/2.0"


def test_messages_in_a_stream_are_found_however_it_is_cut() -> None:
    text = b"".join(options(number, bytes(number)) for number in range(1, 4))
    for size in (1, 3, 50, 500, len(text)):
        flow = CallFlow()
        for start in range(0, len(text), size):
            flow.receive_event(stream(text[start : start + size], start, after_gap=start == 0))
        assert call_ids(flow) == ["1", "2", "3"]
        assert flow.messages[0].transport is Transport.TCP


def test_reading_starts_again_at_a_message_after_a_gap() -> None:
    flow = CallFlow()
    flow.receive_event(stream(options(1) + options(2)[:60], 1, after_gap=True))
    flow.receive_event(stream(options(3)[90:], 2, after_gap=True))
    flow.receive_event(stream(options(4), 3))
    assert call_ids(flow) == ["1", "4"]
    assert flow.messages_seen == 2  # no message is made of what stood on both sides of the gap


def test_a_stream_of_something_else_costs_nothing() -> None:
    flow = CallFlow()
    flow.receive_event(stream(b"GET / HTTP/1.1\r\n", 1, after_gap=True))
    flow.receive_event(stream(b"x" * 100_000, 2))
    assert not flow.receive_event(stream(b"y" * 100_000, 3))
    assert flow.receive_event(stream(options(1), 4))


def test_messages_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_flow, "MAX_MESSAGES", 2)
    flow = CallFlow()
    for number in range(5):
        flow.receive_event(datagram(options(number)))
    assert (len(flow.messages), flow.messages_seen) == (2, 5)


def test_a_first_line_cannot_write_to_the_terminal() -> None:
    flow = CallFlow()
    flow.receive_event(datagram("INVITE sip:\x1b[2J\u202ebob SIP/2.0\r\n\r\n".encode()))
    assert flow.messages[0].first_line == "INVITE sip:\\x1b[2J\\u202ebob SIP/2.0"
    assert printable("Grüße") == "Grüße"


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 300))
def test_any_bytes_are_taken(pieces: list[bytes], cut: int) -> None:
    flow = CallFlow()
    for number, piece in enumerate([options(1)[:cut], *pieces]):
        flow.receive_event(datagram(options(1)[:cut] + piece))
        flow.receive_event(stream(piece, after_gap=number == 0))
