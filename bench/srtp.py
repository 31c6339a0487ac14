"""Protect and unprotect of one packet, beside libsrtp's Python binding.

Ours and the peer take turns within one run, so that a slow moment of the machine hits
both; the best of several rounds counts.
"""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import perf_counter_ns

from sottovoce.srtp import CryptoSuite, SrtpContext

from .report import Row

PAYLOAD_BYTES = 160  # 20 ms of G.711
ROUNDS = 30
ROUND_PACKETS = 2000
AIM_RATIO = 1.5

#: The suites that the peer has, by the name of its profile.
PEER_PROFILES = {
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: "SRTP_PROFILE_AES128_CM_SHA1_80",
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: "SRTP_PROFILE_AES128_CM_SHA1_32",
    CryptoSuite.AEAD_AES_128_GCM: "SRTP_PROFILE_AEAD_AES_128_GCM",
    CryptoSuite.AEAD_AES_256_GCM: "SRTP_PROFILE_AEAD_AES_256_GCM",
}

Operation = Callable[[bytes], bytes]


def rtp_packets() -> list[bytes]:
    payload = os.urandom(PAYLOAD_BYTES)
    return [
        b"\x80\x00"
        + (1000 + number).to_bytes(2, "big")
        + (160 * number).to_bytes(4, "big")
        + b"\xca\xfe\xba\xbe"
        + payload
        for number in range(ROUND_PACKETS)
    ]


def our_operations(suite: CryptoSuite, key: bytes) -> tuple[Operation, Operation]:
    """Return protect and unprotect of fresh contexts."""

    def context() -> SrtpContext:
        return SrtpContext(
            suite, master_key=key[: suite.key_bytes], master_salt=key[suite.key_bytes :]
        )

    return context().protect, context().unprotect


def peer_operations(suite: CryptoSuite, key: bytes) -> tuple[Operation, Operation]:
    import pylibsrtp  # of the "bench" extra: our own figures come without it

    def session(direction: int) -> pylibsrtp.Session:
        profile = getattr(pylibsrtp.Policy, PEER_PROFILES[suite])
        return pylibsrtp.Session(
            pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=profile)
        )

    outbound = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    inbound = session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    return outbound.protect, inbound.unprotect


def microseconds_a_packet(operation: Operation, packets: Sequence[bytes]) -> float:
    started = perf_counter_ns()
    for packet in packets:
        operation(packet)
    return (perf_counter_ns() - started) / 1000 / len(packets)


def measure(suite: CryptoSuite) -> list[Row]:
    """Measure one suite: a row for protect and one for unprotect."""
    sides = {"ours": our_operations}
    if find_spec("pylibsrtp") and suite in PEER_PROFILES:
        sides["pylibsrtp"] = peer_operations
    best: dict[tuple[str, str], float] = {}
    packets = rtp_packets()
    for turn in range(ROUNDS):
        key = os.urandom(suite.key_bytes + suite.salt_bytes)
        sealer = our_operations(suite, key)[0]
        protected = [sealer(packet) for packet in packets]
        # Who goes second finds the packets in the cache: take turns at that too.
        for side, operations in list(sides.items())[:: -1 if turn % 2 else 1]:
            protect, unprotect = operations(suite, key)
            for work, operation, given in (
                ("protect", protect, packets),
                ("unprotect", unprotect, protected),
            ):
                took = microseconds_a_packet(operation, given)
                best[side, work] = min(took, best.get((side, work), took))
    return [
        Row(
            name=f"SRTP {work} {suite.name}, {PAYLOAD_BYTES} bytes",
            ours=best["ours", work],
            peer=best.get(("pylibsrtp", work)),
            peer_name="pylibsrtp" if len(sides) > 1 else "",
            aim_ratio=AIM_RATIO if len(sides) > 1 else None,
        )
        for work in ("protect", "unprotect")
    ]


def run() -> list[Row]:
    return [row for suite in CryptoSuite for row in measure(suite)]
