"""Packet for packet against libsrtp, both ways, in every suite its binding has."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.errors import RemoteError
from sottovoce.srtp import CryptoSuite, SrtpContext

pylibsrtp: Any = pytest.importorskip("pylibsrtp", reason="pip install pylibsrtp")

PROFILES = {
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    CryptoSuite.AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    CryptoSuite.AEAD_AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
EVERY_SUITE = pytest.mark.parametrize("suite", PROFILES)

Unprotect = Callable[[bytes], bytes]


def keys(suite: CryptoSuite, seed: int) -> bytes:
    return random.Random(seed).randbytes(suite.key_bytes + suite.salt_bytes)


def ours(suite: CryptoSuite, key: bytes) -> SrtpContext:
    return SrtpContext(suite, master_key=key[: suite.key_bytes], master_salt=key[suite.key_bytes :])


def libsrtp(suite: CryptoSuite, key: bytes, *, outbound: bool) -> Any:
    direction = (
        pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND
    )
    return pylibsrtp.Session(
        pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=PROFILES[suite])
    )


def rtp(sequence_number: int, ssrc: int, rest: random.Random) -> bytes:
    """Make a packet with a random marker, timestamp, CSRC list, extension and payload."""
    csrcs, extended, padded = rest.randrange(16), rest.random() < 0.5, rest.random() < 0.2
    if rest.random() < 0.3:  # as nearly every packet of a call is
        csrcs, extended, padded = 0, False, False
    extension = b""
    if extended:
        words = rest.randrange(5)
        extension = rest.randbytes(2) + words.to_bytes(2, "big") + rest.randbytes(4 * words)
    payload = rest.randbytes(rest.choice([0, 1, 15, 16, 17, 160, rest.randrange(1000)]))
    return b"".join(
        (
            bytes([0x80 | padded << 5 | extended << 4 | csrcs, rest.randrange(256)]),
            (sequence_number & 0xFFFF).to_bytes(2, "big"),
            rest.randbytes(4),
            ssrc.to_bytes(4, "big"),
            rest.randbytes(4 * csrcs),
            extension,
            payload,
            bytes([1]) if padded else b"",
        )
    )


def rtcp(ssrc: int, rest: random.Random) -> bytes:
    words = rest.randrange(1, 60)
    header = bytes([0x80 | rest.randrange(32), rest.choice([200, 201])]) + words.to_bytes(2, "big")
    return header + ssrc.to_bytes(4, "big") + rest.randbytes(4 * words - 4)


def outcome(unprotect: Unprotect, packet: bytes) -> bytes | None:
    """Return what comes out, None for a refusal."""
    try:
        return unprotect(packet)
    except (RemoteError, pylibsrtp.Error):
        return None


@EVERY_SUITE
def test_same_packets_come_out_of_both_and_each_reads_the_other(suite: CryptoSuite) -> None:
    """Two SSRCs, gaps, and three wraps of the sequence number."""
    rest = random.Random(3711)
    key = keys(suite, 1)
    our_sender, their_sender = ours(suite, key), libsrtp(suite, key, outbound=True)
    our_receiver, their_receiver = ours(suite, key), libsrtp(suite, key, outbound=False)
    number = 60_000
    for _ in range(1500):
        for ssrc in (0xCAFEBABE, 1):
            packet = rtp(number, ssrc, rest)
            protected = our_sender.protect(packet)
            assert protected == their_sender.protect(packet)
            assert our_receiver.unprotect(protected) == packet
            assert their_receiver.unprotect(protected) == packet
        number += rest.choice([1, 1, 1, 1, 2, 30, 1000])

    assert our_sender.outbound_roc(1) == our_receiver.inbound_roc(1) == number >> 16
    assert number >> 16 >= 2


@EVERY_SUITE
def test_same_rtcp_packets_come_out_of_both_and_each_reads_the_other(suite: CryptoSuite) -> None:
    rest = random.Random(3550)
    key = keys(suite, 2)
    our_sender, their_sender = ours(suite, key), libsrtp(suite, key, outbound=True)
    our_receiver, their_receiver = ours(suite, key), libsrtp(suite, key, outbound=False)
    for ssrc in (1, 2):
        first = our_sender.protect_rtcp(rtcp(ssrc, rest))  # index 0, which libsrtp leaves out
        their_receiver.unprotect_rtcp(first)
    for _ in range(300):
        for ssrc in (1, 2):
            packet = rtcp(ssrc, rest)
            protected = our_sender.protect_rtcp(packet)
            assert protected == their_sender.protect_rtcp(packet)
            assert our_receiver.unprotect_rtcp(protected) == packet
            assert their_receiver.unprotect_rtcp(protected) == packet


@settings(max_examples=40, deadline=None)
@given(
    suite=st.sampled_from(list(PROFILES)),
    first=st.sampled_from([0, 1, 100, 32_767, 32_768, 50_000, 65_400, 65_500, 65_535]),
    seed=st.integers(0, 2**32),
)
def test_lost_late_and_repeated_packets_get_the_same_verdict_from_both(
    suite: CryptoSuite, first: int, seed: int
) -> None:
    """Lateness passes both windows of 128; the wrap is crossed in either order."""
    rest = random.Random(seed)
    key = keys(suite, seed)
    sender = libsrtp(suite, key, outbound=True)
    originals = [rtp(first + step, 7, rest) for step in range(300)]
    stream = [(step, sender.protect(packet)) for step, packet in enumerate(originals)]
    our_receiver, their_receiver = ours(suite, key), libsrtp(suite, key, outbound=False)
    late_by = rest.choice([0, 3, 40, 200])
    arrivals = [(0.0, 0, stream[0][1])]  # the first comes first: it says where 0 is
    for step, packet in stream[1:]:
        if rest.random() < 0.1:
            continue
        arrivals.append((step + rest.random() * late_by, step, packet))
        if rest.random() < 0.1:
            arrivals.append((step + rest.random() * 2 * late_by, step, packet))
    accepted = 0
    for _, step, packet in sorted(arrivals):
        verdict = outcome(our_receiver.unprotect, packet)
        assert verdict == outcome(their_receiver.unprotect, packet)
        assert verdict in (None, originals[step])
        accepted += verdict is not None

    assert our_receiver.packets_authenticated == accepted
    assert our_receiver.packets_refused == len(arrivals) - accepted


@settings(max_examples=60, deadline=None)
@given(
    suite=st.sampled_from(list(PROFILES)),
    protocol=st.sampled_from(["rtp", "rtcp"]),
    at=st.integers(0, 2000),
    change=st.integers(1, 255),
    cut=st.integers(0, 30),
)
def test_spoilt_packets_are_refused_by_both(
    suite: CryptoSuite, protocol: str, at: int, change: int, cut: int
) -> None:
    rest = random.Random(at)
    key = keys(suite, at)
    sender, receiver = ours(suite, key), libsrtp(suite, key, outbound=False)
    if protocol == "rtp":
        packet, check = sender.protect(rtp(5, 9, rest)), receiver.unprotect
        our_check = ours(suite, key).unprotect
    else:
        packet, check = sender.protect_rtcp(rtcp(9, rest)), receiver.unprotect_rtcp
        our_check = ours(suite, key).unprotect_rtcp
    spoilt = bytearray(packet[: len(packet) - cut])
    spoilt[at % len(spoilt)] ^= change

    with pytest.raises(pylibsrtp.Error):
        check(bytes(spoilt))
    with pytest.raises(RemoteError):
        our_check(bytes(spoilt))
