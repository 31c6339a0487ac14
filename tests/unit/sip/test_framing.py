"""RFC 3261 section 18.3; RFC 5626 section 4.4.1."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.parser import MAX_BODY_BYTES, MAX_HEAD_BYTES


def message(body: bytes = b"", length: bytes | None = None) -> bytes:
    given_length = str(len(body)).encode() if length is None else length
    return b"OPTIONS sip:b SIP/2.0\r\nX: y\r\nContent-Length: " + given_length + b"\r\n\r\n" + body


def take_all(framer: StreamFramer) -> list[bytes]:
    taken = []
    while (one := framer.next_message()) is not None:
        taken.append(one)
    return taken


MESSAGES = [message(), message(b"\r\n\r\nbody\r\n"), message(b"x" * 300)]
STREAM = MESSAGES[0] + b"\r\n\r\n" + MESSAGES[1] + MESSAGES[2] + b"\r\n"


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_messages_come_out_however_the_stream_is_cut(cuts: list[int]) -> None:
    framer = StreamFramer()
    taken = []
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        framer.receive_bytes(STREAM[start:end])
        taken += take_all(framer)
    assert taken == MESSAGES
    assert framer.waiting_bytes == 0
    assert (framer.take_pings(), framer.take_pongs()) == (1, 1)


@pytest.mark.rfc("rfc5626-3581", 1, 2)
@pytest.mark.parametrize(
    ("stream", "pings", "pongs"),
    [
        ([b"\r\n\r\n"], 1, 0),
        ([b"\r\n"], 0, 1),
        ([b"\r\n\r\n\r\n"], 1, 1),
        ([b"\r", b"\n\r", b"\n"], 1, 0),
        ([b"\r\n", message(), b"\r\n"], 0, 2),
        ([b"\r\n\r\n" * 3 + message() + b"\r\n\r\n"], 4, 0),
    ],
)
def test_keep_alives_are_counted_and_are_no_messages(
    stream: list[bytes], pings: int, pongs: int
) -> None:
    framer = StreamFramer()
    for data in stream:
        framer.receive_bytes(data)
        assert take_all(framer) == [
            each for each in stream if each in data and each == message()
        ] or (message() in data)
    assert (framer.take_pings(), framer.take_pongs()) == (pings, pongs)
    assert (framer.take_pings(), framer.take_pongs()) == (0, 0)


@pytest.mark.rfc("rfc3261-ua-transactions", 10)
@pytest.mark.parametrize(
    "head",
    [
        b"OPTIONS sip:b SIP/2.0\r\nX: y",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length: -999",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 1x",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length:",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 99999999999999999999",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 13\r\nContent-Length: 5",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 5\r\nl : 5",
        b"OPTIONS sip:b SIP/2.0\r\nX: y\r\n Content-Length: 5",
        b"OPTIONS sip:b SIP/2.0\r\nContent-Length-X: 5",
    ],
)
def test_without_one_sure_length_the_stream_is_lost(head: bytes) -> None:
    framer = StreamFramer()
    framer.receive_bytes(head + b"\r\n\r\n")
    with pytest.raises(ParseError):
        framer.next_message()


@pytest.mark.parametrize(
    "header", [b"l:5", b"L :  5", b"content-LENGTH\t:\r\n 5", b"Content-Length: 005 "]
)
def test_length_is_found_in_every_spelling(header: bytes) -> None:
    framer = StreamFramer()
    whole = b"OPTIONS sip:b SIP/2.0\r\n" + header + b"\r\nX: y\r\n\r\nabcde"
    framer.receive_bytes(whole + b"OPTIONS")
    assert take_all(framer) == [whole]


def test_limits_hold_however_the_octets_come() -> None:
    for step in (100, 1_000_000):
        framer = StreamFramer()
        endless = b"OPTIONS sip:b SIP/2.0\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES
        with pytest.raises(ParseError) as refused:  # noqa: PT012 - somewhere on the way
            for at in range(0, len(endless), step):
                framer.receive_bytes(endless[at : at + step])
                framer.next_message()
        assert refused.value.status_hint == 513
        assert framer.waiting_bytes <= MAX_HEAD_BYTES + step + 4


def test_body_over_the_limit_is_refused_before_it_comes() -> None:
    framer = StreamFramer()
    framer.receive_bytes(message(length=str(MAX_BODY_BYTES).encode()))
    assert framer.next_message() is None
    framer = StreamFramer()
    framer.receive_bytes(message(length=str(MAX_BODY_BYTES + 1).encode()))
    with pytest.raises(ParseError):
        framer.next_message()


def test_slow_sender_costs_no_more_than_its_octets() -> None:
    """A rescan from the start at each octet would take minutes here."""
    framer = StreamFramer()
    head = b"OPTIONS sip:b SIP/2.0\r\n" + b"X: y\r\n" * 5000 + b"Content-Length: 100000\r\n\r\n"
    whole = head + b"z" * 100_000
    started = time.perf_counter()
    for octet in range(len(whole)):
        framer.receive_bytes(whole[octet : octet + 1])
        taken = framer.next_message()
    assert taken == whole
    assert time.perf_counter() - started < 5
