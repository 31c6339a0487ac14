"""RFC 3711 section 3.3.1: what one SSRC's state says of the next packet."""

import pytest

from sottovoce.errors import LocalError, UnauthenticPacket
from sottovoce.secret import Secret
from sottovoce.srtp.cipher import GcmCipher
from sottovoce.srtp.key_derivation import SessionKeys
from sottovoce.srtp.stream import RTP_INDEX_LIMIT, InboundStream, OutboundStream

CIPHER = GcmCipher(SessionKeys(Secret(bytes(16)), Secret(bytes(12)), Secret(b"")))


def roc_in_the_nonce(stream: InboundStream | OutboundStream) -> int:
    """With a salt and an SSRC of 0 the nonce is the index."""
    return stream.nonce_base >> 16


def inbound(first_index: int) -> InboundStream:
    return InboundStream(0, CIPHER, first_index)


def outbound(first_index: int) -> OutboundStream:
    return OutboundStream(0, CIPHER, first_index)


@pytest.mark.parametrize("first_index", [0, 1, 65535, 65536, (7 << 16) + 9, RTP_INDEX_LIMIT - 1])
def test_first_packet_is_the_next_in_order(first_index: int) -> None:
    for stream in (inbound(first_index), outbound(first_index)):
        assert stream.next_in_order == first_index & 0xFFFF
        assert stream.roc == (first_index >> 16).to_bytes(4, "big")
        assert roc_in_the_nonce(stream) == first_index >> 16
    assert inbound(first_index).newest == outbound(first_index).index == first_index - 1


def test_nothing_is_next_in_order_where_the_rollover_counter_changes() -> None:
    stream = inbound(65535)
    stream.commit(65535)

    assert stream.next_in_order == 65536
    assert stream.locate(0) == 65536


def test_commit_past_the_wrap_brings_all_that_is_ready_made_up_to_date() -> None:
    stream = inbound(65535)
    stream.commit(65538)

    assert (stream.newest, stream.next_in_order) == (65538, 3)
    assert (stream.roc, roc_in_the_nonce(stream)) == (b"\0\0\0\1", 1)


def test_commit_of_a_late_packet_keeps_the_newest() -> None:
    stream = inbound(65536)
    stream.commit(65536)
    stream.commit(65534)

    assert (stream.newest, stream.next_in_order) == (65536, 1)
    assert (stream.roc, roc_in_the_nonce(stream)) == (b"\0\0\0\1", 1)


@pytest.mark.parametrize(
    ("first_index", "sequence_number"), [(0, 40_000), (RTP_INDEX_LIMIT - 1, 3)]
)
def test_packet_outside_the_life_of_the_key_is_refused(
    first_index: int, sequence_number: int
) -> None:
    stream = inbound(first_index)
    stream.commit(first_index)

    with pytest.raises(UnauthenticPacket, match="life of the key"):
        stream.locate(sequence_number)


def test_sender_may_skip_forward_but_under_half_the_numbers() -> None:
    stream = outbound(100)
    stream.index = 100

    with pytest.raises(LocalError, match="does not follow"):
        stream.skip_to(100 + 0x8000)
    stream.skip_to(100 + 0x7FFF)

    assert stream.index == 100 + 0x7FFF


def test_sender_that_skips_over_the_wrap_counts_it() -> None:
    stream = outbound(65534)
    stream.index = 65534
    stream.skip_to(2)

    assert stream.index == 65538
    assert (stream.roc, roc_in_the_nonce(stream)) == (b"\0\0\0\1", 1)
