"""Offers, answers and keys of one call, between two of ours and with the ways of others.

RFC 3264, RFC 4568, RFC 8643.
"""

import hashlib
from dataclasses import replace

import pytest

from sottovoce.errors import LocalError, RemoteError
from sottovoce.keying import SecureMediaNegotiation, SrtpPolicy
from sottovoce.sdp import Connection, Direction, LocalAudio, RtpCodec, SessionDescription
from sottovoce.srtp import CryptoSuite

PCMU, PCMA = RtpCodec("PCMU", 8000, 1, 0), RtpCodec("PCMA", 8000, 1, 8)
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
OTHER_KEY = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
CRYPTO = f"a=crypto:1 {SUITE} inline:{KEY}\r\n"
SAVP = f"m=audio 4000 RTP/SAVP 8 0\r\n{CRYPTO}"
SAVP_BARE = "m=audio 4000 RTP/SAVP 8 0\r\n"
AVP = f"m=audio 4000 RTP/AVP 8 0\r\n{CRYPTO}"
AVP_BARE = "m=audio 4000 RTP/AVP 8 0\r\n"
MANDATORY, OPTIONAL, OFF = SrtpPolicy


class Randomness:
    """Repeatable octets, never the same twice."""

    def __init__(self, seed: str) -> None:
        self._seed, self._calls = seed, 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return hashlib.shake_128(f"{self._seed} {self._calls}".encode()).digest(count)


def phone(
    name: str = "bob",
    policy: SrtpPolicy = MANDATORY,
    *,
    keys_allowed: bool = True,
    suites: tuple[CryptoSuite, ...] = tuple(CryptoSuite)[:2],
) -> SecureMediaNegotiation:
    local = LocalAudio("192.0.2.7", 40000 if name == "bob" else 30000, (PCMA, PCMU))
    return SecureMediaNegotiation(
        local,
        policy=policy,
        keys_allowed=keys_allowed,
        random_bytes=Randomness(name),
        suites=suites,
    )


def sdp(*blocks: str) -> SessionDescription:
    return SessionDescription.parse(HEAD + "".join(blocks))


def over_the_wire(description: SessionDescription) -> SessionDescription:
    return SessionDescription.parse(description.to_bytes())


def crypto_of(description: SessionDescription, media_index: int = 0) -> list[str]:
    return description.media[media_index].values("crypto")


def call(
    alice: SecureMediaNegotiation, bob: SecureMediaNegotiation, offer: SessionDescription
) -> SessionDescription:
    """Carry an offer of Alice and Bob's answer; returns the answer."""
    answer = over_the_wire(bob.receive_offer(over_the_wire(offer)))
    alice.receive_answer(answer)
    return answer


def connected(policy: SrtpPolicy = MANDATORY) -> tuple[SecureMediaNegotiation, ...]:
    alice, bob = phone("alice", policy), phone("bob", policy)
    call(alice, bob, alice.make_offer())
    return alice, bob


def rtp(sequence_number: int) -> bytes:
    return b"\x80\x00" + sequence_number.to_bytes(2, "big") + bytes(4) + b"ssrc" + b"speech"


def check_media(
    sender: SecureMediaNegotiation, receiver: SecureMediaNegotiation, sequence_number: int
) -> None:
    assert sender.outbound is not None
    assert receiver.inbound is not None
    packet = rtp(sequence_number)
    assert receiver.inbound.unprotect(sender.outbound.protect(packet)) == packet


def direction_of(negotiation: SecureMediaNegotiation) -> Direction:
    assert negotiation.negotiated is not None
    return negotiation.negotiated.direction


def in_force(negotiation: SecureMediaNegotiation) -> tuple[object, ...]:
    return (
        negotiation.negotiated,
        negotiation.outbound,
        negotiation.inbound,
        negotiation.suite,
        negotiation.local_description,
    )


# --- First offer and answer


@pytest.mark.rfc("rfc4568", 1, 2, 4)
def test_two_phones_agree_on_keys_and_hear_each_other() -> None:
    alice, bob = phone("alice"), phone("bob")
    offer = alice.make_offer()
    answer = call(alice, bob, offer)

    assert offer.media[0].protocol == answer.media[0].protocol == "RTP/SAVP"
    assert [line.split()[:2] for line in crypto_of(offer)] == [
        ["1", "AES_CM_128_HMAC_SHA1_80"],
        ["2", "AES_CM_128_HMAC_SHA1_32"],
    ]
    assert crypto_of(answer)[0].startswith("1 AES_CM_128_HMAC_SHA1_80 inline:")
    assert alice.suite is bob.suite is CryptoSuite.AES_CM_128_HMAC_SHA1_80
    check_media(alice, bob, 1)
    check_media(bob, alice, 1)
    assert alice.negotiated is not None
    assert alice.negotiated.encrypted
    assert alice.negotiated.remote_port == 40000
    assert not alice.awaiting_answer


@pytest.mark.rfc("rfc3264", 16)
def test_late_offer_is_made_in_the_200_and_answered_in_the_ack() -> None:
    """The one who receives the INVITE offers; nothing else differs."""
    alice, bob = phone("alice"), phone("bob")
    call(bob, alice, bob.make_offer())

    check_media(alice, bob, 1)
    check_media(bob, alice, 1)


#: Our policy, the offer, and the protocol answered with its protection, or the refusal.
OFFERS: list[tuple[SrtpPolicy, str, str]] = [
    (MANDATORY, SAVP, "RTP/SAVP encrypted"),
    (MANDATORY, AVP, "RTP/AVP encrypted"),
    (MANDATORY, AVP_BARE, "SRTP is mandatory here: no a=crypto line"),
    (MANDATORY, SAVP_BARE, "without a usable key: no a=crypto line"),
    (MANDATORY, AVP.replace(SUITE, "F8_128_HMAC_SHA1_80"), "mandatory here: no acceptable"),
    (MANDATORY, SAVP.replace(KEY, KEY[4:]), "no acceptable a=crypto line: key and salt of 27"),
    (OPTIONAL, SAVP, "RTP/SAVP encrypted"),
    (OPTIONAL, AVP, "RTP/AVP encrypted"),
    (OPTIONAL, AVP_BARE, "RTP/AVP clear"),
    (OPTIONAL, SAVP_BARE, "without a usable key"),
    (OPTIONAL, AVP.replace(SUITE, "F8_128_HMAC_SHA1_80"), "RTP/AVP clear"),
    (OPTIONAL, SAVP.replace(SUITE, "F8_128_HMAC_SHA1_80"), "without a usable key"),
    (OPTIONAL, AVP + CRYPTO, "same tag"),
    (OFF, SAVP, "SRTP is switched off here"),
    (OFF, SAVP_BARE, "SRTP is switched off here"),
    (OFF, AVP, "RTP/AVP clear"),
    (OFF, AVP_BARE, "RTP/AVP clear"),
]


@pytest.mark.rfc("rfc4568", 2, 16, 19, 24)
@pytest.mark.rfc("rfc8643", 1, 2, 4, 5, 6, 8)
@pytest.mark.rfc("rfc3264", 15, 19)
@pytest.mark.parametrize("lines", ["", "a=encryption:optional\r\n"])
@pytest.mark.parametrize(("policy", "block", "outcome"), OFFERS)
def test_each_way_to_offer_meets_each_policy(
    policy: SrtpPolicy, block: str, outcome: str, lines: str
) -> None:
    bob = phone(policy=policy)
    if not outcome.startswith("RTP/"):
        with pytest.raises(RemoteError, match=outcome) as caught:
            bob.receive_offer(sdp(block, lines))
        assert caught.value.status_hint == 488
        assert KEY not in str(caught.value)
        assert in_force(bob) == (None,) * 5
        return
    answer = bob.receive_offer(sdp(block, lines))
    protocol, protection = outcome.split()

    assert bob.negotiated is not None
    assert answer.media[0].protocol == bob.negotiated.protocol == protocol
    encrypted = protection == "encrypted"
    assert bob.negotiated.encrypted is encrypted
    assert len(crypto_of(answer)) == encrypted
    assert (bob.outbound is not None) is (bob.inbound is not None) is encrypted
    assert answer.media[0].values("encryption") == []


def test_offer_of_video_alone_is_refused() -> None:
    with pytest.raises(RemoteError, match="no audio"):
        phone().receive_offer(sdp("m=video 5000 RTP/AVP 31\r\n"))


@pytest.mark.rfc("rfc4568", 22)
def test_key_at_session_level_counts_for_nothing() -> None:
    with pytest.raises(RemoteError, match="no a=crypto line"):
        phone().receive_offer(SessionDescription.parse(HEAD + CRYPTO + SAVP_BARE))


@pytest.mark.rfc("rfc3264", 1, 2, 14)
@pytest.mark.rfc("rfc8643", 2)
@pytest.mark.parametrize(
    ("policy", "blocks", "ports", "encrypted"),
    [
        (MANDATORY, [SAVP, AVP_BARE], [40000, 0], True),
        (MANDATORY, [AVP_BARE, SAVP], [0, 40000], True),
        (OPTIONAL, [SAVP, AVP_BARE], [40000, 0], True),
        (OPTIONAL, [AVP_BARE, SAVP], [0, 40000], True),
        (OPTIONAL, [SAVP_BARE, AVP_BARE], [0, 40000], False),
        (OFF, [SAVP, AVP_BARE], [0, 40000], False),
    ],
)
def test_of_two_lines_exactly_one_is_answered_the_encrypted_one_first(
    policy: SrtpPolicy, blocks: list[str], ports: list[int], encrypted: bool
) -> None:
    bob = phone(policy=policy)
    offer = sdp(*blocks)
    answer = bob.receive_offer(offer)
    (media_index,) = [place for place, port in enumerate(ports) if port]

    assert [media.port for media in answer.media] == ports
    assert [m.protocol for m in answer.media] == [m.protocol for m in offer.media]
    assert [len(crypto_of(answer, place)) for place in (0, 1)] == [
        int(encrypted and port != 0) for port in ports
    ]
    assert bob.negotiated is not None
    assert bob.negotiated.media_index == media_index


#: Our policy, the answer, and "encrypted", "clear" or the refusal.
ANSWERS: list[tuple[SrtpPolicy, str, str]] = [
    (MANDATORY, SAVP, "encrypted"),
    (MANDATORY, SAVP_BARE, "without a usable key"),
    (MANDATORY, AVP_BARE, "RTP/SAVP was offered, 'RTP/AVP' answered"),
    (MANDATORY, AVP, "RTP/SAVP was offered, 'RTP/AVP' answered"),
    (MANDATORY, SAVP + CRYPTO, "2 a=crypto lines"),
    (MANDATORY, SAVP.replace("crypto:1", "crypto:3"), "tag 3, which was not offered"),
    (MANDATORY, SAVP.replace("SHA1_80", "SHA1_32"), "answered otherwise"),
    (MANDATORY, SAVP.replace(SUITE, "AEAD_AES_256_GCM"), "octets"),
    (MANDATORY, "m=audio 0 RTP/SAVP 8\r\n", "refused the audio"),
    (OPTIONAL, AVP, "encrypted"),
    (OPTIONAL, AVP_BARE, "clear"),
    (OPTIONAL, SAVP, "RTP/AVP was offered, 'RTP/SAVP' answered"),
    (OPTIONAL, AVP.replace("crypto:1", "crypto:3"), "was not offered"),
    (OFF, AVP_BARE, "clear"),
    (OFF, AVP, "none was offered"),
]


@pytest.mark.rfc("rfc4568", 3, 19)
@pytest.mark.rfc("rfc8643", 1, 2, 3, 4, 6)
@pytest.mark.parametrize(("policy", "block", "outcome"), ANSWERS)
def test_each_answer_is_judged_by_the_policy(policy: SrtpPolicy, block: str, outcome: str) -> None:
    alice = phone("alice", policy)
    offer = alice.make_offer()
    assert offer.media[0].protocol == ("RTP/SAVP" if policy is MANDATORY else "RTP/AVP")
    assert len(crypto_of(offer)) == (0 if policy is OFF else 2)

    if outcome in ("encrypted", "clear"):
        audio = alice.receive_answer(sdp(block))
        assert audio.encrypted is (outcome == "encrypted")
        assert (alice.inbound is None) is (alice.outbound is None) is (outcome == "clear")
    else:
        with pytest.raises(RemoteError, match=outcome):
            alice.receive_answer(sdp(block))
        assert in_force(alice) == (None,) * 5
        assert alice.awaiting_answer


@pytest.mark.rfc("rfc4568", 5)
@pytest.mark.rfc("rfc8643", 9)
def test_keys_neither_leave_nor_enter_where_signalling_is_in_clear() -> None:
    with pytest.raises(LocalError, match="use TLS"):
        phone(policy=MANDATORY, keys_allowed=False).make_offer()
    assert crypto_of(phone(policy=OPTIONAL, keys_allowed=False).make_offer()) == []
    for policy in (MANDATORY, OPTIONAL):
        for block in (SAVP, AVP):
            with pytest.raises(RemoteError, match="signalling that is not encrypted"):
                phone(policy=policy, keys_allowed=False).receive_offer(sdp(block))
    answer = phone(policy=OPTIONAL, keys_allowed=False).receive_offer(sdp(AVP_BARE))
    assert answer.media[0].port == 40000


def test_answer_without_an_offer_is_the_peers_fault() -> None:
    with pytest.raises(RemoteError, match="no offer was made"):
        phone().receive_answer(sdp(SAVP))


@pytest.mark.rfc("rfc3264", 10)
def test_offer_that_crosses_ours_is_refused_with_491() -> None:
    alice = phone("alice")
    alice.make_offer()

    with pytest.raises(RemoteError) as caught:
        alice.receive_offer(sdp(SAVP))
    assert caught.value.status_hint == 491
    with pytest.raises(LocalError, match="not answered yet"):
        alice.make_offer()


# --- Early media and forks


@pytest.mark.rfc("rfc3264", 6)
def test_answer_in_a_183_and_again_in_the_200_keeps_the_contexts() -> None:
    alice = phone("alice")
    alice.make_offer()
    alice.receive_answer(sdp(SAVP))
    early = in_force(alice)
    alice.receive_answer(sdp(SAVP))

    assert in_force(alice) == early


def test_200_with_another_key_than_the_183_starts_anew_inbound_only() -> None:
    alice = phone("alice")
    alice.make_offer()
    alice.receive_answer(sdp(SAVP))
    outbound, inbound = alice.outbound, alice.inbound
    alice.receive_answer(sdp(SAVP.replace(KEY, OTHER_KEY)))

    assert alice.outbound is outbound
    assert alice.inbound is not inbound


def test_200_in_clear_after_an_encrypted_183_is_refused() -> None:
    alice = phone("alice", OPTIONAL)
    alice.make_offer()
    alice.receive_answer(sdp(AVP))
    early = in_force(alice)

    with pytest.raises(RemoteError, match="encrypted and stays so"):
        alice.receive_answer(sdp(AVP_BARE))
    assert in_force(alice) == early


@pytest.mark.rfc("rfc4568", 17)
def test_forks_have_their_own_inbound_keys_and_share_the_outbound_context() -> None:
    """Two outbound contexts under one key could encrypt two packets with one key stream."""
    alice = phone("alice")
    offer = alice.make_offer()
    forks = [alice.fork(), alice.fork()]
    phones = [phone("bob"), phone("carol")]
    for fork, other in zip(forks, phones, strict=True):
        fork.receive_answer(over_the_wire(other.receive_offer(over_the_wire(offer))))
        check_media(other, fork, 1)

    assert forks[0].outbound is forks[1].outbound
    assert forks[0].inbound is not forks[1].inbound
    assert alice.awaiting_answer
    check_media(forks[0], phones[0], 1)


def test_fork_made_after_an_answer_knows_nothing_of_that_answer() -> None:
    alice = phone("alice")
    alice.make_offer()
    alice.receive_answer(sdp(SAVP))
    other = alice.fork()

    assert in_force(other) == (None,) * 5
    other.receive_answer(sdp(SAVP.replace(KEY, OTHER_KEY)))
    assert other.outbound is alice.outbound


@pytest.mark.rfc("rfc4568", 6, 17)
def test_new_keys_can_be_asked_for_after_forking() -> None:
    alice, bob = connected()
    before = {*crypto_of(alice.make_offer())}
    alice.withdraw_offer()
    old_outbound, old_inbound = bob.outbound, bob.inbound
    offer = alice.make_offer(new_keys=True)
    call(alice, bob, offer)

    assert not before & {*crypto_of(offer)}
    assert bob.outbound is not old_outbound
    assert bob.inbound is not old_inbound
    check_media(alice, bob, 1)
    check_media(bob, alice, 1)


# --- Changes within the call


@pytest.mark.rfc("rfc3264", 5, 7, 9)
@pytest.mark.rfc("rfc4568", 6, 18)
def test_hold_and_resume_keep_keys_rollover_counter_and_replay_window() -> None:
    alice, bob = connected()
    for sequence_number in (30_000, 60_000, 20_000, 50_000):  # past the wrap: ROC is 1
        check_media(alice, bob, sequence_number)
    contexts = alice.outbound, alice.inbound, bob.outbound, bob.inbound
    assert alice.outbound is not None
    assert bob.inbound is not None
    replayed = alice.outbound.protect(rtp(50_001))
    bob.inbound.unprotect(replayed)

    call(alice, bob, alice.hold())
    assert (direction_of(alice), direction_of(bob)) == (Direction.SENDONLY, Direction.RECVONLY)
    call(alice, bob, alice.resume())
    assert (direction_of(alice), direction_of(bob)) == (Direction.SENDRECV, Direction.SENDRECV)

    assert (alice.outbound, alice.inbound, bob.outbound, bob.inbound) == contexts
    with pytest.raises(RemoteError):
        bob.inbound.unprotect(replayed)
    check_media(alice, bob, 50_002)
    check_media(bob, alice, 1)


@pytest.mark.rfc("rfc3264", 9)
def test_hold_on_top_of_the_peers_hold_is_inactive_and_each_resumes_alone() -> None:
    alice, bob = connected()
    call(alice, bob, alice.hold())
    offer = bob.hold()
    call(bob, alice, offer)
    assert offer.media[0].direction is Direction.INACTIVE

    answer = call(alice, bob, alice.resume())
    assert answer.media[0].direction is Direction.SENDONLY
    assert direction_of(bob) is Direction.SENDONLY
    call(bob, alice, bob.resume())
    assert direction_of(bob) is Direction.SENDRECV


@pytest.mark.rfc("rfc3264", 9)
@pytest.mark.parametrize(
    ("lines", "direction"),
    [
        ("a=sendonly\r\n", Direction.RECVONLY),
        ("a=inactive\r\n", Direction.INACTIVE),
        ("c=IN IP4 0.0.0.0\r\n", Direction.RECVONLY),
        ("c=IN IP4 0.0.0.0\r\na=recvonly\r\n", Direction.INACTIVE),
    ],
)
def test_every_way_to_be_held_is_understood_and_ends(lines: str, direction: Direction) -> None:
    bob = phone()
    bob.receive_offer(sdp(SAVP))
    contexts = bob.outbound, bob.inbound

    assert bob.receive_offer(sdp(SAVP, lines)).media[0].direction is direction
    assert direction_of(bob) is direction
    assert bob.receive_offer(sdp(SAVP)).media[0].direction is Direction.SENDRECV
    assert (bob.outbound, bob.inbound) == contexts


@pytest.mark.rfc("rfc3264", 7)
def test_version_counts_up_only_when_something_changed() -> None:
    alice, bob = connected()
    first = bob.local_description
    assert first is not None

    refreshed = call(alice, bob, alice.make_offer())
    assert refreshed == first
    held = call(alice, bob, alice.hold())
    assert held.origin == replace(first.origin, session_version=first.origin.session_version + 1)
    bob.local = replace(bob.local, port=40010)
    moved = bob.make_offer()
    assert moved.origin.session_version == held.origin.session_version + 1


@pytest.mark.rfc("rfc3264", 7)
def test_version_counts_up_after_a_refused_offer_too() -> None:
    alice, _ = connected()
    first = alice.local_description
    assert first is not None
    held = alice.hold()
    alice.withdraw_offer()

    assert alice.make_offer().origin.session_version == held.origin.session_version + 1


@pytest.mark.rfc("rfc3264", 11)
def test_changed_address_and_codec_are_taken_and_the_keys_stay() -> None:
    bob = phone()
    bob.receive_offer(sdp(SAVP))
    contexts = bob.outbound, bob.inbound
    block = SAVP.replace("4000", "4100").replace("8 0", "0")
    bob.receive_offer(sdp(block, "c=IN IP4 192.0.2.55\r\n"))

    assert bob.negotiated is not None
    assert (bob.negotiated.remote_address, bob.negotiated.remote_port) == ("192.0.2.55", 4100)
    assert bob.negotiated.send_codec == PCMU
    assert (bob.outbound, bob.inbound) == contexts


@pytest.mark.rfc("rfc4568", 6)
@pytest.mark.parametrize(
    "block",
    [
        SAVP.replace(KEY, OTHER_KEY),
        SAVP.replace("SHA1_80", "SHA1_32"),
        SAVP.replace(KEY, f"{KEY}|1:4"),
    ],
    ids=["key", "suite", "mki"],
)
def test_changed_key_line_brings_new_contexts_both_ways(block: str) -> None:
    bob = phone()
    old_answer = bob.receive_offer(sdp(SAVP))
    outbound, inbound = bob.outbound, bob.inbound
    answer = bob.receive_offer(sdp(block))

    assert crypto_of(answer) != crypto_of(old_answer)
    assert bob.outbound is not outbound
    assert bob.inbound is not inbound


def test_same_key_under_another_tag_is_answered_with_that_tag_and_our_same_key() -> None:
    bob = phone()
    (old,) = crypto_of(bob.receive_offer(sdp(SAVP)))
    inbound = bob.inbound
    (new,) = crypto_of(bob.receive_offer(sdp(SAVP.replace("crypto:1", "crypto:9"))))

    assert new == f"9{old[1:]}"
    assert bob.inbound is inbound


@pytest.mark.rfc("rfc8643", 10)
@pytest.mark.parametrize("policy", [MANDATORY, OPTIONAL])
@pytest.mark.parametrize("block", [AVP_BARE, SAVP_BARE, AVP.replace(SUITE, "NULL_HMAC_SHA1_80")])
def test_encrypted_call_is_never_taken_back_into_the_clear(policy: SrtpPolicy, block: str) -> None:
    bob = phone(policy=policy)
    bob.receive_offer(sdp(SAVP))
    before = in_force(bob)

    with pytest.raises(RemoteError) as caught:
        bob.receive_offer(sdp(block))
    assert caught.value.status_hint == 488
    assert in_force(bob) == before


@pytest.mark.rfc("rfc8643", 10)
def test_new_answer_in_clear_to_an_encrypted_call_is_refused() -> None:
    alice, bob = connected(OPTIONAL)
    assert alice.suite is not None
    before = in_force(alice)
    offer = alice.hold()
    assert offer.media[0].protocol == "RTP/AVP"

    with pytest.raises(RemoteError, match="encrypted and stays so"):
        alice.receive_answer(sdp(AVP_BARE))
    alice.withdraw_offer()
    assert in_force(alice) == before
    check_media(alice, bob, 1)


@pytest.mark.rfc("rfc8643", 3, 10)
def test_clear_call_stays_clear_in_our_own_new_offers_but_may_be_encrypted_by_the_peer() -> None:
    alice = phone("alice", OPTIONAL)
    alice.make_offer()
    assert not alice.receive_answer(sdp(AVP_BARE)).encrypted

    assert crypto_of(alice.hold()) == []
    alice.withdraw_offer()
    alice.receive_offer(sdp(AVP))
    assert alice.suite is not None


@pytest.mark.parametrize(
    "block",
    [
        "m=audio 4000 RTP/SAVP 18\r\n" + CRYPTO,
        "m=audio 0 RTP/SAVP 8\r\n",
        SAVP.replace(KEY, KEY[4:]),
        SAVP + "c=IN IP4 host.example\r\n",
    ],
)
def test_failed_new_offer_leaves_everything_as_it_was(block: str) -> None:
    alice, bob = connected()
    before = in_force(bob)

    with pytest.raises(RemoteError):
        bob.receive_offer(sdp(block))
    assert in_force(bob) == before
    check_media(alice, bob, 1)
    check_media(bob, alice, 1)


def test_refused_new_offer_of_ours_leaves_everything_as_it_was() -> None:
    alice, bob = connected()
    before = in_force(alice)
    alice.hold()
    alice.withdraw_offer()

    assert in_force(alice) == before
    answer = alice.receive_offer(over_the_wire(bob.make_offer()))
    assert answer.media[0].direction is Direction.SENDRECV


def test_new_offer_refused_after_an_early_answer_leaves_everything_as_it_was() -> None:
    alice, _ = connected()
    before = in_force(alice)
    alice.hold()
    alice.receive_answer(sdp(SAVP.replace("4000", "4100"), "a=recvonly\r\n"))
    assert in_force(alice) != before
    alice.withdraw_offer()

    assert in_force(alice) == before


@pytest.mark.rfc("rfc3264", 8)
@pytest.mark.rfc("rfc4568", 6)
def test_our_new_offer_to_a_peer_that_offered_first_keeps_its_lines_and_our_key() -> None:
    bob = phone()
    answer = bob.receive_offer(sdp("m=video 5000 RTP/AVP 31\r\n", SAVP))
    outbound = bob.outbound
    offer = bob.hold()

    assert [(media.media, media.port) for media in offer.media] == [("video", 0), ("audio", 40000)]
    assert crypto_of(offer, 1) == crypto_of(answer, 1)
    bob.receive_answer(sdp("m=video 0 RTP/AVP 31\r\n", SAVP, "a=recvonly\r\n"))
    assert bob.outbound is outbound
    assert direction_of(bob) is Direction.SENDONLY


def test_ipv6_address_stands_in_origin_and_connection() -> None:
    local = LocalAudio("2001:db8::7", 40000, (PCMA,))
    negotiation = SecureMediaNegotiation(
        local, policy=MANDATORY, keys_allowed=True, random_bytes=Randomness("x")
    )
    offer = negotiation.make_offer()

    assert (offer.origin.address_type, offer.connection) == (
        "IP6", Connection("2001:db8::7", "IP6"),
    )  # fmt: skip


def test_nothing_shown_holds_a_key() -> None:
    alice, bob = connected()
    shown = repr([alice.negotiated, alice.local_description, bob.negotiated, alice])
    keys = [line.rsplit(":", 1)[1] for line in crypto_of(alice.make_offer())]

    assert not [key for key in keys if key in shown]
    assert "inline:…" in shown
