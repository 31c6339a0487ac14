"""RTP found by its header alone: RFC 3550 sections 5.1 and A.1, RFC 5761 section 4."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.rtp.packet import RtpPacket
from sottovoce.trace import rtp_streams
from sottovoce.trace.event import DatagramSeen, Endpoint
from sottovoce.trace.rtp_streams import MIN_STREAM_PACKETS, RtpStreamFinder

A, B = Endpoint("10.0.0.1", 4000), Endpoint("10.0.0.2", 4002)


def packet(number: int, ssrc: int = 7, payload_type: int = 0, octets: int = 160) -> bytes:
    return RtpPacket(
        payload_type, (65530 + number) % 65536, 160 * number, ssrc, bytes(octets)
    ).serialize()


def find(payloads: list[bytes]) -> RtpStreamFinder:
    finder = RtpStreamFinder()
    for frame, payload in enumerate(payloads, 1):
        finder.receive_datagram(DatagramSeen(frame, frame / 50, A, B, payload))
    return finder


def test_a_stream_is_found_over_the_wrap_of_its_sequence_numbers() -> None:
    (stream,) = find([packet(number) for number in range(20)]).streams
    assert (stream.source, stream.destination, stream.ssrc) == (A, B, 7)
    assert (stream.packets, stream.payload_type) == (20, 0)
    assert (stream.first_frame, stream.last_frame) == (1, 20)
    assert stream.kept[3] == packet(3)


def test_two_streams_between_the_same_ports_are_told_apart() -> None:
    mixed = [packet(number, ssrc) for number in range(20) for ssrc in (1, 2)]
    assert [stream.ssrc for stream in find(mixed).streams] == [1, 2]


def test_some_loss_and_reordering_do_not_hide_a_stream() -> None:
    order = [0, 1, 3, 2, 4, 5, 7, 8, 9, 10, 11, 12, 15, 14, 16, 17, 18, 19, 20, 21, 22, 23]
    assert len(find([packet(number) for number in order]).streams) == 1


def test_key_presses_do_not_become_the_payload_type() -> None:
    mixed = [packet(number, payload_type=101 if number % 4 == 0 else 8) for number in range(30)]
    (stream,) = find(mixed).streams
    assert stream.payload_type == 8


def test_too_few_packets_are_chance() -> None:
    assert find([packet(number) for number in range(MIN_STREAM_PACKETS - 1)]).streams == []


def test_other_traffic_is_no_stream() -> None:
    source = random.Random(5)
    random_datagrams = [source.randbytes(172) for _ in range(2000)]
    jumping = [packet(source.randrange(65536)) for _ in range(200)]
    rtcp = [b"\x80\xc8" + bytes(26)] * 50
    short = [packet(number)[:11] for number in range(50)]
    for datagrams in (random_datagrams, jumping, rtcp, short):
        assert find(datagrams).streams == []


def test_an_encrypted_padding_count_does_not_hide_a_packet() -> None:
    """RFC 3711 section 3.1: the padding is encrypted, its bit in the header is not."""
    padded = [b"\xa0" + packet(number)[1:-1] + b"\xff" for number in range(20)]
    assert len(find(padded).streams) == 1


def test_would_be_streams_and_kept_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtp_streams, "MAX_STREAMS", 5)
    monkeypatch.setattr(rtp_streams, "MAX_KEPT_BYTES", 172 * 8)
    noise = [packet(1, ssrc=1000 + number) for number in range(100)]
    finder = find([packet(0), *noise[:50]])
    assert len(finder._streams) == 5
    stream = find([packet(number) for number in range(20)]).streams[0]
    assert (stream.packets, len(stream.kept)) == (20, 8)
    # What was forgotten makes room again.
    assert sum(len(s.kept) for s in find(noise)._streams.values()) == 5


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_any_datagrams_are_taken(payloads: list[bytes]) -> None:
    assert all(stream.plausible for stream in find(payloads).streams)
