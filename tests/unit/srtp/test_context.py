"""RFC 3711 sections 3.2, 3.3 and 3.4, and what a forger can do to a receiver."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import LocalError, ParseError, RemoteError, UnauthenticPacket
from sottovoce.secret import Secret
from sottovoce.srtp import CryptoSuite, SrtpContext
from sottovoce.srtp import context as context_module
from sottovoce.srtp.context import MAX_MKI_BYTES, MAX_PACKET_BYTES, MAX_SSRCS

CM_80 = CryptoSuite.AES_CM_128_HMAC_SHA1_80
CM_32 = CryptoSuite.AES_CM_128_HMAC_SHA1_32
GCM = CryptoSuite.AEAD_AES_128_GCM
EVERY_SUITE = pytest.mark.parametrize("suite", CryptoSuite)

SSRC = 0xCAFEBABE
PAYLOAD = b"a secret of twenty."
CLEAR_RTCP = bytes.fromhex("80c90001cafebabe81ca0002cafebabe01016100")
CLEAR_RTCP_PING = bytes.fromhex("80cc0003cafebabe50494e47") + bytes(40)  # as baresip sends


def make(suite: CryptoSuite = CM_80, mki: bytes = b"") -> SrtpContext:
    return SrtpContext(
        suite,
        master_key=bytes(range(suite.key_bytes)),
        master_salt=bytes(range(100, 100 + suite.salt_bytes)),
        mki=mki,
    )


def rtp(sequence_number: int, *, ssrc: int = SSRC, payload: bytes = PAYLOAD) -> bytes:
    number = sequence_number & 0xFFFF
    return b"\x80\x00" + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


def rtcp(ssrc: int = SSRC) -> bytes:
    return b"\x80\xc9\x00\x01" + ssrc.to_bytes(4, "big") + CLEAR_RTCP[8:]


def state(context: SrtpContext) -> Any:
    """All that packets may change, but the count of refusals."""
    streams = {
        ssrc: (stream.newest, list(stream.slots), stream.next_in_order, stream.roc)
        for ssrc, stream in context._inbound.items()
    }
    windows = {
        ssrc: (window.newest, list(window.slots)) for ssrc, window in context._rtcp_windows.items()
    }
    return (
        streams,
        windows,
        context._last_inbound.ssrc,
        context.packets_authenticated,
        context.rtcp_packets_authenticated,
    )


def refuses(unprotect: Callable[[bytes], bytes], packet: bytes) -> bool:
    try:
        unprotect(packet)
    except RemoteError:
        return True
    return False


# --- both directions


@EVERY_SUITE
@pytest.mark.parametrize("mki", [b"", b"\x01", b"MKI!"])
def test_what_is_protected_comes_back(suite: CryptoSuite, mki: bytes) -> None:
    sender, receiver = make(suite, mki), make(suite, mki)
    for number in (1, 2, 4):
        protected = sender.protect(rtp(number))
        assert PAYLOAD not in protected
        assert len(protected) == len(rtp(number)) + suite.tag_bytes + len(mki)
        assert receiver.unprotect(protected) == rtp(number)
        protected = sender.protect_rtcp(rtcp())
        assert len(protected) == len(rtcp()) + 4 + suite.rtcp_tag_bytes + len(mki)
        assert receiver.unprotect_rtcp(protected) == rtcp()

    assert (receiver.packets_authenticated, receiver.packets_refused) == (3, 0)
    assert (receiver.rtcp_packets_authenticated, receiver.rtcp_packets_refused) == (3, 0)


@pytest.mark.rfc("rfc3711", 15)
@EVERY_SUITE
def test_csrcs_and_extension_stay_readable_and_are_authenticated(suite: CryptoSuite) -> None:
    header = bytes.fromhex("b2000001000000000000000a" + "0000000b0000000c" + "bede000110ff0000")
    packet = header + PAYLOAD
    protected = make(suite).protect(packet)

    assert protected.startswith(header)
    assert PAYLOAD not in protected
    assert make(suite).unprotect(protected) == packet
    with pytest.raises(UnauthenticPacket):
        make(suite).unprotect(protected.replace(b"\x10\xff", b"\x10\xfe"))


@EVERY_SUITE
def test_packet_without_payload_is_protected(suite: CryptoSuite) -> None:
    protected = make(suite).protect(rtp(1, payload=b""))

    assert make(suite).unprotect(protected) == rtp(1, payload=b"")


@pytest.mark.rfc("rfc3711", 6)
@pytest.mark.rfc("rfc6188", 4)
def test_short_tag_is_for_rtp_only() -> None:
    """TRAPS 4: RFC 3711 section 5.2 keeps 10 octets in SRTCP."""
    assert len(make(CM_32).protect(rtp(1))) == len(rtp(1)) + 4
    assert len(make(CM_32).protect_rtcp(rtcp())) == len(rtcp()) + 4 + 10


def test_keys_may_come_as_secrets_and_are_shown_nowhere() -> None:
    key, salt = bytes(range(16)), bytes(range(100, 114))
    context = SrtpContext(CM_80, master_key=Secret(key), master_salt=Secret(salt))

    assert context.protect(rtp(1)) == make().protect(rtp(1))
    assert key.hex() not in repr(context)
    assert key not in vars(context).values()


def test_key_of_another_length_is_refused() -> None:
    with pytest.raises(LocalError, match="expected 16 and 14"):
        SrtpContext(CM_80, master_key=bytes(16), master_salt=bytes(12))


def test_mki_over_the_limit_is_refused() -> None:
    make(mki=bytes(MAX_MKI_BYTES))
    with pytest.raises(LocalError, match="MKI of 129 bytes"):
        make(mki=bytes(MAX_MKI_BYTES + 1))


@EVERY_SUITE
def test_another_mki_or_none_is_refused(suite: CryptoSuite) -> None:
    sender = make(suite, b"MKI!")
    for other in (make(suite), make(suite, b"MKI?"), make(suite, b"longer MKI")):
        assert refuses(other.unprotect, sender.protect(rtp(other.packets_refused + 1, ssrc=1)))
        assert refuses(other.unprotect_rtcp, sender.protect_rtcp(rtcp()))
        sender = make(suite, b"MKI!")


# --- sending: one keystream, one packet


@pytest.mark.rfc("rfc7714", 9)
@EVERY_SUITE
@pytest.mark.parametrize("number", [10, 9, 10 - 0x7FFF, 10 + 0x8000])
def test_sequence_number_that_repeats_or_goes_back_is_not_sealed(
    suite: CryptoSuite, number: int
) -> None:
    sender = make(suite)
    sender.protect(rtp(10))

    with pytest.raises(LocalError, match="does not follow 10"):
        sender.protect(rtp(number, payload=b"another payload"))
    assert make(suite).unprotect(sender.protect(rtp(11))) == rtp(11)


def test_no_two_packets_of_one_sender_share_a_keystream() -> None:
    """Zeros sealed show the keystream: over SSRCs, wraps and RTCP it never repeats."""
    sender = make()
    keystreams = [
        sender.protect(rtp(number, ssrc=ssrc, payload=bytes(32)))[12:44]
        for ssrc in (1, 2)
        for number in range(65530, 65546)
    ] + [sender.protect_rtcp(rtcp()[:8] + bytes(32))[8:40] for _ in range(16)]

    assert len(set(keystreams)) == len(keystreams)


@pytest.mark.rfc("rfc3711", 8)
def test_sender_counts_the_wrap() -> None:
    sender = make()
    assert sender.outbound_roc(SSRC) is None
    sender.protect(rtp(65535))
    assert sender.outbound_roc(SSRC) == 0
    sender.protect(rtp(0))

    assert sender.outbound_roc(SSRC) == 1


def test_packet_that_is_refused_spends_no_index() -> None:
    sender = make()
    with pytest.raises(ParseError):
        sender.protect(rtp(1)[:11])
    with pytest.raises(ParseError):
        sender.protect(b"\x9f" + rtp(1)[1:])

    assert sender.protect(rtp(1)) == make().protect(rtp(1))


@pytest.mark.rfc("rfc3711", 12)
@EVERY_SUITE
def test_key_is_used_up_after_2_to_the_48_packets(suite: CryptoSuite) -> None:
    sender, receiver = make(suite), make(suite)
    for context in (sender, receiver):
        context.start_at_roc(SSRC, 0xFFFFFFFF)
    last = sender.protect(rtp(65535))

    assert receiver.unprotect(last) == rtp(65535)
    for _ in range(2):
        with pytest.raises(LocalError, match="used up"):
            sender.protect(rtp(0))
    assert refuses(receiver.unprotect, make(suite).protect(rtp(0)))


@pytest.mark.rfc("rfc3711", 12)
def test_key_is_used_up_after_2_to_the_31_rtcp_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert context_module.RTCP_INDEX_LIMIT == 2**31
    monkeypatch.setattr(context_module, "RTCP_INDEX_LIMIT", 3)
    sender = make()
    for _ in range(3):
        sender.protect_rtcp(rtcp())

    for _ in range(2):
        with pytest.raises(LocalError, match="used up"):
            sender.protect_rtcp(rtcp())


def test_one_key_is_not_spread_over_more_ssrcs_than_the_limit() -> None:
    sender = make()
    for ssrc in range(MAX_SSRCS):
        sender.protect(rtp(1, ssrc=ssrc))
        sender.protect_rtcp(rtcp(ssrc))

    with pytest.raises(LocalError, match="128 SSRCs"):
        sender.protect(rtp(1, ssrc=MAX_SSRCS))
    with pytest.raises(LocalError, match="128 SSRCs"):
        sender.protect_rtcp(rtcp(MAX_SSRCS))
    sender.protect(rtp(2, ssrc=0))


# --- receiving: order, loss, wrap


def sealed(numbers: list[int], suite: CryptoSuite = CM_80) -> dict[int, bytes]:
    """Seal packets whose numbers run on past 65535; the key is the whole index."""
    sender = make(suite)
    return {number: sender.protect(rtp(number)) for number in numbers}


@pytest.mark.rfc("rfc3711", 7, 8)
@EVERY_SUITE
@pytest.mark.parametrize(
    "order",
    [
        [65534, 65535, 65536, 65537],
        [65534, 65536, 65535, 65537],  # late over the wrap: still the old rollover counter
        [65535, 65538, 65534, 65537, 65536, 65533],
        [65533, 65600, 65534, 65601],
    ],
)
def test_wrap_is_followed_in_any_order(suite: CryptoSuite, order: list[int]) -> None:
    packets, receiver = sealed(sorted(order), suite), make(suite)
    for number in order:
        assert receiver.unprotect(packets[number]) == rtp(number)
    for number in order:
        assert refuses(receiver.unprotect, packets[number])

    assert receiver.inbound_roc(SSRC) == max(order) >> 16
    assert receiver.packets_refused == len(order)


@pytest.mark.rfc("rfc3711", 11)
def test_first_packet_sets_where_the_stream_begins() -> None:
    packets, receiver = sealed([40_000, 40_001]), make()
    assert receiver.inbound_roc(SSRC) is None

    assert receiver.unprotect(packets[40_001]) == rtp(40_001)
    assert receiver.unprotect(packets[40_000]) == rtp(40_000)
    assert receiver.inbound_roc(SSRC) == 0


@pytest.mark.rfc("rfc3711", 9)
def test_replay_and_late_packets_are_refused_over_several_wraps() -> None:
    packets, receiver = sealed(list(range(0, 3 * 65536, 16_000))), make()
    for number, packet in packets.items():
        assert receiver.unprotect(packet) == rtp(number)
        assert refuses(receiver.unprotect, packet)
    for packet in packets.values():
        assert refuses(receiver.unprotect, packet)


@pytest.mark.rfc("rfc3711", 9)
def test_oldest_packet_in_the_window_is_taken_and_the_next_is_not() -> None:
    packets, receiver = sealed([100, 101, 102, 102 + 127]), make()
    receiver.unprotect(packets[100])
    receiver.unprotect(packets[102 + 127])

    assert receiver.unprotect(packets[102]) == rtp(102)
    assert refuses(receiver.unprotect, packets[101])


@pytest.mark.rfc("rfc3711", 9, 14)
def test_each_ssrc_has_its_own_counter_and_window() -> None:
    sender, receiver = make(), make()
    for number in range(65530, 65540):
        for ssrc in (1, 2):
            packet = sender.protect(rtp(number + ssrc, ssrc=ssrc))
            assert receiver.unprotect(packet) == rtp(number + ssrc, ssrc=ssrc)
            assert refuses(receiver.unprotect, packet)

    assert (receiver.inbound_roc(1), receiver.inbound_roc(2), receiver.inbound_roc(3)) == (
        1,
        1,
        None,
    )


def test_late_joiner_is_told_the_rollover_counter() -> None:
    sender, receiver, lost = make(), make(), make()
    sender.start_at_roc(SSRC, 5)
    receiver.start_at_roc(SSRC, 5)
    packet = sender.protect(rtp(1000))

    assert receiver.unprotect(packet) == rtp(1000)
    assert receiver.inbound_roc(SSRC) == sender.outbound_roc(SSRC) == 5
    assert refuses(lost.unprotect, packet)


def test_rollover_counter_of_an_ssrc_in_use_cannot_be_set() -> None:
    """Set back, it would use every keystream again."""
    sender, receiver = make(), make()
    receiver.unprotect(sender.protect(rtp(1)))

    for context in (sender, receiver):
        with pytest.raises(LocalError, match="in use"):
            context.start_at_roc(SSRC, 1)


@pytest.mark.parametrize(("ssrc", "roc"), [(-1, 0), (2**32, 0), (0, -1), (0, 2**32)])
def test_rollover_counter_out_of_range_is_refused(ssrc: int, roc: int) -> None:
    with pytest.raises(LocalError, match="32-bit"):
        make().start_at_roc(ssrc, roc)


def test_rollover_counters_can_be_set_for_as_many_ssrcs_as_can_be_used() -> None:
    context = make()
    for ssrc in [*range(MAX_SSRCS), 0]:
        context.start_at_roc(ssrc, 1)

    with pytest.raises(LocalError, match="128 SSRCs"):
        context.start_at_roc(MAX_SSRCS, 1)


# --- SRTCP


@pytest.mark.rfc("rfc3711", 6)
@EVERY_SUITE
def test_first_rtcp_index_is_0(suite: CryptoSuite) -> None:
    """TRAPS 5; libsrtp begins with 1, which must do as well: any index may come first."""
    sender = make(suite)
    at = -14 if not suite.is_aead else -4
    first, second, third = (sender.protect_rtcp(rtcp()) for _ in range(3))

    assert [packet[at:][:4].hex() for packet in (first, second)] == ["80000000", "80000001"]
    assert make(suite).unprotect_rtcp(first) == rtcp()
    late = make(suite)
    assert [late.unprotect_rtcp(packet) for packet in (second, third, first)] == [rtcp()] * 3


@pytest.mark.rfc("rfc3711", 9)
@EVERY_SUITE
def test_rtcp_replay_is_refused_and_windows_are_apart(suite: CryptoSuite) -> None:
    sender, receiver = make(suite), make(suite)
    receiver.unprotect(sender.protect(rtp(0)))
    packets = [sender.protect_rtcp(rtcp(ssrc)) for ssrc in (SSRC, SSRC, 7)]
    for packet in packets:
        receiver.unprotect_rtcp(packet)
    for packet in packets:
        with pytest.raises(UnauthenticPacket, match="before"):
            receiver.unprotect_rtcp(packet)

    assert receiver.rtcp_packets_refused == 3
    assert receiver.packets_refused == 0


@pytest.mark.rfc("rfc3711", 16)
@EVERY_SUITE
@pytest.mark.parametrize("packet", [CLEAR_RTCP, CLEAR_RTCP[:8], CLEAR_RTCP_PING])
def test_clear_rtcp_is_refused_as_unauthentic(suite: CryptoSuite, packet: bytes) -> None:
    """TRAPS 18: it comes at the start of a call, and is no reason for more than a count."""
    receiver = make(suite)
    with pytest.raises(UnauthenticPacket):
        receiver.unprotect_rtcp(packet)

    assert receiver.rtcp_packets_refused == 1


def test_rtcp_turned_to_unencrypted_on_the_way_is_refused() -> None:
    for suite in (CM_80, GCM):
        packet = bytearray(make(suite).protect_rtcp(rtcp()))
        packet[-14 if suite is CM_80 else -4] ^= 0x80
        with pytest.raises(UnauthenticPacket):
            make(suite).unprotect_rtcp(bytes(packet))


# --- forgers


@pytest.mark.rfc("rfc3711", 10, 18)
@EVERY_SUITE
def test_forged_packet_far_ahead_does_not_move_the_window(suite: CryptoSuite) -> None:
    packets, receiver = sealed([10, 11, 12], suite), make(suite)
    receiver.unprotect(packets[11])
    before = state(receiver)
    for number in (12, 5000, 32_000, 60_000):
        forged = rtp(number) + bytes(20)
        with pytest.raises(UnauthenticPacket):
            receiver.unprotect(forged)

    assert state(receiver) == before
    assert receiver.packets_refused == 4
    assert receiver.unprotect(packets[10]) == rtp(10)
    assert receiver.unprotect(packets[12]) == rtp(12)


@pytest.mark.rfc("rfc3711", 10)
def test_forged_packets_of_many_ssrcs_leave_no_state() -> None:
    receiver = make()
    for ssrc in range(3 * MAX_SSRCS):
        assert refuses(receiver.unprotect, rtp(1, ssrc=ssrc) + bytes(10))
        assert refuses(receiver.unprotect_rtcp, rtcp(ssrc) + b"\x80" + bytes(13))

    assert state(receiver) == state(make())
    assert receiver.unprotect(make().protect(rtp(1))) == rtp(1)


def test_peer_that_keeps_changing_its_ssrc_is_held_to_the_limit() -> None:
    receiver = make()
    for ssrc in range(MAX_SSRCS):
        receiver.unprotect(make().protect(rtp(1, ssrc=ssrc)))
        receiver.unprotect_rtcp(make().protect_rtcp(rtcp(ssrc)))

    with pytest.raises(UnauthenticPacket, match="SSRC 129"):
        receiver.unprotect(make().protect(rtp(1, ssrc=MAX_SSRCS)))
    with pytest.raises(UnauthenticPacket, match="SSRC 129"):
        receiver.unprotect_rtcp(make().protect_rtcp(rtcp(MAX_SSRCS)))
    sender = make()
    sender.protect(rtp(1, ssrc=0))
    assert receiver.unprotect(sender.protect(rtp(2, ssrc=0))) == rtp(2, ssrc=0)


@EVERY_SUITE
def test_truncated_packets_are_refused_at_every_length(suite: CryptoSuite) -> None:
    packet = make(suite).protect(rtp(1))
    report = make(suite).protect_rtcp(rtcp())
    receiver = make(suite)
    for length in range(len(packet)):
        assert refuses(receiver.unprotect, packet[:length])
    for length in range(len(report)):
        assert refuses(receiver.unprotect_rtcp, report[:length])

    assert state(receiver) == state(make(suite))


@pytest.mark.rfc("rfc3711", 16)
@EVERY_SUITE
@pytest.mark.parametrize(
    "header",
    [
        "8f000001000000000000000a",  # 15 CSRCs that are not there
        "90000001000000000000000a",  # an extension that is not there
        "90000001000000000000000abede",
        "90000001000000000000000abedeffff",  # an extension longer than any packet
        "9f000001000000000000000a" + "00" * 61,
        "00000001000000000000000a",  # versions 0, 1, 3
        "40000001000000000000000a",
        "c0000001000000000000000a",
    ],
)
def test_header_that_lies_is_no_rtp(suite: CryptoSuite, header: str) -> None:
    packet = bytes.fromhex(header)
    with pytest.raises(ParseError):
        make(suite).unprotect(packet)
    with pytest.raises(ParseError):
        make(suite).protect(packet)


@EVERY_SUITE
def test_header_that_reaches_into_the_tag_is_refused(suite: CryptoSuite) -> None:
    packet = bytes.fromhex("81000001000000000000000a") + bytes(4 + suite.tag_bytes - 1)
    with pytest.raises(UnauthenticPacket, match="no room"):
        make(suite).unprotect(packet)


def test_packet_longer_than_a_datagram_is_refused_both_ways() -> None:
    """Over 2^20 octets the keystream would run into that of the next packet."""
    packet = rtp(1, payload=bytes(MAX_PACKET_BYTES))
    report = rtcp() + bytes(MAX_PACKET_BYTES)
    context = make()
    for call, given_packet in (
        (context.protect, packet),
        (context.unprotect, packet),
        (context.protect_rtcp, report),
        (context.unprotect_rtcp, report),
    ):
        with pytest.raises(ParseError, match="65535"):
            call(given_packet)


@given(
    suite=st.sampled_from(CryptoSuite),
    mki=st.sampled_from([b"", b"MKI!"]),
    packet=st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(lambda tail: rtp(3) + tail),
        st.binary(max_size=80).map(lambda tail: b"\x9f" + rtp(3)[1:] + tail),
        st.binary(max_size=80).map(lambda tail: rtcp() + tail),
    ),
)
def test_any_bytes_raise_only_remote_errors_and_change_nothing(
    suite: CryptoSuite, mki: bytes, packet: bytes
) -> None:
    sender, receiver = make(suite, mki), make(suite, mki)
    receiver.unprotect(sender.protect(rtp(2)))
    receiver.unprotect_rtcp(sender.protect_rtcp(rtcp()))
    before = deepcopy(state(receiver))

    assert refuses(receiver.unprotect, packet)
    assert refuses(receiver.unprotect_rtcp, packet)
    assert state(receiver) == before
    assert (receiver.packets_refused, receiver.rtcp_packets_refused) == (1, 1)


@given(packet=st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x9f" + tail))
def test_any_bytes_to_protect_are_sealed_or_refused_as_no_packet(packet: bytes) -> None:
    for suite in (CM_80, GCM):
        for protect, unprotect in (
            (make(suite).protect, make(suite).unprotect),
            (make(suite).protect_rtcp, make(suite).unprotect_rtcp),
        ):
            try:
                protected = protect(packet)
            except ParseError:
                continue
            assert unprotect(protected) == packet


@given(suite=st.sampled_from(CryptoSuite), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_bit_turned_over_is_enough_to_be_refused(suite: CryptoSuite, at: int, bit: int) -> None:
    for protected, name in (
        (make(suite).protect(rtp(1)), "unprotect"),
        (make(suite).protect_rtcp(rtcp()), "unprotect_rtcp"),
    ):
        forged = bytearray(protected)
        forged[at % len(forged)] ^= 1 << bit
        assert refuses(getattr(make(suite), name), bytes(forged))
