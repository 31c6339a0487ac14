"""RTP and RTCP: any bytes in, only RemoteError out; what is built is read back."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import RemoteError
from sottovoce.media import AudioStream, MediaSession
from sottovoce.media.jitter_buffer import DELAY_LIMIT_MS, PACKETS_LIMIT, JitterBuffer
from sottovoce.rtp import (
    ReceptionStatistics,
    RtpPacket,
    TelephoneEventReceiver,
    TelephoneEventSender,
    parse_compound,
    serialize_compound,
)
from sottovoce.rtp.rtcp import (
    App,
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    UnknownRtcp,
)
from sottovoce.rtp.sequence import extend_sequence, extend_timestamp
from sottovoce.rtp.telephone_event import EventReceived, EventToSend
from sottovoce.srtp import CryptoSuite, SrtpContext

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
U64 = st.integers(0, 2**64 - 1)
WORDS = st.binary(max_size=40).map(lambda data: data[: len(data) & ~3])

PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=U16,
    timestamp=U32,
    ssrc=U32,
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrc=st.lists(U32, max_size=15).map(tuple),
    extension=st.none() | st.tuples(U16, WORDS),
    padding_bytes=U8,
)
BLOCKS = st.lists(
    st.builds(ReportBlock, U32, U8, st.integers(-(2**23), 2**23 - 1), U32, U32, U32, U32),
    max_size=31,
).map(tuple)
ITEMS = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=4).map(tuple)
RTCP: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, U32, U64, U32, U32, U32, BLOCKS),
    st.builds(ReceiverReport, U32, BLOCKS),
    st.builds(SourceDescription, st.lists(st.tuples(U32, ITEMS), max_size=4).map(tuple)),
    st.builds(Bye, st.lists(U32, max_size=31).map(tuple), st.binary(max_size=255)),
    st.builds(App, st.integers(0, 31), U32, st.binary(min_size=4, max_size=4), WORDS),
    st.builds(UnknownRtcp, st.integers(205, 223), st.integers(0, 31), WORDS),
)


@given(PACKETS)
def test_rtp_that_is_built_is_read_back(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialize()) == packet


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: b"\xb3" + tail))
def test_any_bytes_are_an_rtp_packet_or_a_remote_error(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        packet = RtpPacket.parse(data)
        if packet.padding_bytes == 0:
            assert packet.serialize() == data


@given(PACKETS, st.integers(0, 300))
def test_rtp_cut_anywhere_is_a_packet_or_a_remote_error(packet: RtpPacket, size: int) -> None:
    with contextlib.suppress(RemoteError):
        RtpPacket.parse(packet.serialize()[:size])


@given(st.builds(ReceiverReport, U32, BLOCKS), st.lists(RTCP, max_size=4))
def test_compound_that_is_built_is_read_back(
    first: ReceiverReport, others: list[RtcpPacket]
) -> None:
    assert parse_compound(serialize_compound([first, *others])) == [first, *others]


@given(st.lists(RTCP, max_size=3), st.binary(max_size=40), st.integers(0, 400), st.data())
def test_compound_cut_and_changed_is_read_or_a_remote_error(
    packets: list[RtcpPacket], junk: bytes, size: int, data: st.DataObject
) -> None:
    raw = bytearray(serialize_compound([ReceiverReport(1), *packets]) + junk)
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] = data.draw(U8)
    with contextlib.suppress(RemoteError):
        parse_compound(bytes(raw[: size or None]))


@given(st.integers(0, 2**40), st.integers(-0x7FFF, 0x7FFF))
def test_extended_sequence_is_found_from_its_low_bits(reference: int, step: int) -> None:
    assert extend_sequence((reference + step) & 0xFFFF, reference) == reference + step


@given(st.integers(0, 2**40), st.integers(-0x7FFF_FFFF, 0x7FFF_FFFF))
def test_extended_timestamp_is_found_from_its_low_bits(reference: int, step: int) -> None:
    assert extend_timestamp((reference + step) & 0xFFFF_FFFF, reference) == reference + step


@given(st.lists(U16 | st.integers(100, 120), max_size=300), st.booleans())
def test_report_fits_its_fields_whatever_arrives(numbers: list[int], authenticated: bool) -> None:
    statistics = ReceptionStatistics(8000, authenticated=authenticated)
    for position, number in enumerate(numbers):
        statistics.receive(number)
        statistics.observe_transit(number * 160, position * 0.02)
        report = statistics.take_report()
        block = ReportBlock(
            1,
            report.fraction_lost,
            report.cumulative_lost,
            report.extended_highest_sequence,
            report.jitter_ticks,
            0,
            0,
        )
        serialize_compound([ReceiverReport(1, (block,))])


@given(
    st.integers(0, 15),
    U32,
    st.integers(160, 200_000),
    st.sets(st.integers(0, 1), max_size=2),
    st.data(),
)
def test_event_is_received_as_sent_when_one_of_its_end_packets_arrives(
    event: int, timestamp: int, duration_ticks: int, lost_ends: set[int], data: st.DataObject
) -> None:
    sender = TelephoneEventSender(
        event, timestamp=timestamp, duration_ticks=duration_ticks, update_ticks=160
    )
    packets: list[EventToSend] = []
    while not sender.done:
        packets += sender.next_update()
    ends = len(packets) - 3
    # Of updates inside a segment any may be lost; a whole segment must not vanish.
    segment_ends = {n for n, p in enumerate(packets) if p.payload[2:] == b"\xff\xff"}
    updates = [n for n in range(ends) if n not in segment_ends]
    lost = set(data.draw(st.lists(st.sampled_from(updates), max_size=50))) if updates else set()
    lost |= {ends + n for n in lost_ends}
    receiver = TelephoneEventReceiver()
    for n, packet in enumerate(packets):
        if n not in lost:
            receiver.receive_event(packet.payload, n, packet.timestamp, n * 0.02)

    assert receiver.next_event() == EventReceived(event, duration_ticks)
    assert receiver.next_event() is None


@given(
    st.lists(
        st.tuples(
            st.integers(-200, 2000),
            st.integers(-(2**33), 2**33) | st.integers(0, 50_000),
            st.integers(0, 60),
            st.sampled_from([0, 40, 80, 160, 240, 2000]),
        ),
        max_size=100,
    )
)
def test_jitter_buffer_gives_whole_frames_and_stays_bounded(
    pushes: list[tuple[int, int, int, int]],
) -> None:
    buffer = JitterBuffer(8000, 8000)
    ticks = 0
    for sequence, timestamp, pulls, samples in pushes:
        buffer.push(
            sequence, timestamp & 0xFFFF_FFFF, bytes(2 * samples), ticks * 0.02, lambda data: data
        )
        assert len(buffer._packets) <= PACKETS_LIMIT
        assert buffer.delay_ms <= DELAY_LIMIT_MS + 20
        for _ in range(pulls):
            ticks += 1
            frame = buffer.pull(ticks * 0.02)
            assert frame is None or len(frame) == 320


HOSTILE = st.binary(max_size=80) | PACKETS.map(RtpPacket.serialize)


@given(st.lists(st.tuples(HOSTILE, st.booleans(), U8), max_size=60), st.booleans())
def test_session_survives_any_datagrams(
    datagrams: list[tuple[bytes, bool, int]], secured: bool
) -> None:
    remote = ("192.0.2.2", 4000)

    def context() -> SrtpContext | None:
        suite = CryptoSuite.AES_CM_128_HMAC_SHA1_80
        return SrtpContext(suite, master_key=bytes(16), master_salt=bytes(14)) if secured else None

    session = MediaSession(
        AudioStream(remote, ("192.0.2.2", 4001), receive_event_payload_type=101),
        outbound=context(),
        inbound=context(),
        cname="x",
        random_bytes=bytes,
        now=0.0,
    )
    now = 0.0
    for data, is_rtp, pause in datagrams:
        now += pause / 1000
        receive = session.receive_rtp if is_rtp else session.receive_rtcp
        receive(data, remote, now)
        session.handle_timer(now)
        session.take_sends()
    session.statistics()
    if secured:
        assert session.statistics().packets_received == 0
