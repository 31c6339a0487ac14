"""RFC 4568, and the dialects of it that phones speak."""

import base64
import hashlib

import pytest

from sottovoce.errors import ParseError, RemoteError
from sottovoce.keying import sdes
from sottovoce.keying.sdes import CryptoAttribute, accept, choose, fresh, match
from sottovoce.srtp import CryptoSuite

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
OTHER_KEY = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
CM_80, CM_32 = sdes.DEFAULT_SUITES
EVERY_SUITE = tuple(CryptoSuite)
RTP = bytes.fromhex("80 00 0001 00000001 deadbeef") + b"speech" * 20


class Randomness:
    """Repeatable octets, never the same twice."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return hashlib.shake_128(bytes([self._calls])).digest(count)


def parse(extra: str = "", *, params: str = "") -> CryptoAttribute:
    return CryptoAttribute.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{extra}{params}")


def key_for(suite: CryptoSuite) -> str:
    return base64.b64encode(bytes(range(suite.key_bytes + suite.salt_bytes))).decode()


@pytest.mark.rfc("rfc4568", 8, 9, 10, 14, 15, 23)
@pytest.mark.parametrize(
    ("extra", "params", "lifetime_packets", "mki"),
    [
        ("", "", None, b""),
        ("|2^20", "", 2**20, b""),
        ("|2^31", "", 2**31, b""),
        ("|2^48", "", 2**48, b""),
        ("|1048576", "", 2**20, b""),
        ("|2^20|1:4", "", 2**20, b"\0\0\0\1"),
        ("|1:1", "", None, b"\1"),
        ("|1066:4", "", None, b"\0\0\4\x2a"),
        ("|2^31|1", "", 2**31, b""),  # MKI without its length: no field in the packets
        ("|0:2", "", None, b"\0\0"),
        ("", " WSH=64", None, b""),
        ("", " KDR=0", None, b""),
        ("", " FEC_ORDER=FEC_SRTP", None, b""),
        ("", " -x-whatever=1 -y", None, b""),
        ("", "  WSH=128  ", None, b""),
    ],
)
def test_dialects_are_understood(
    extra: str, params: str, lifetime_packets: int | None, mki: bytes
) -> None:
    line = parse(extra, params=params)

    assert (line.lifetime_packets, line.mki) == (lifetime_packets, mki)
    assert line.session_params == tuple(params.split())
    assert line.master_key.reveal() + line.master_salt.reveal() == base64.b64decode(KEY)


@pytest.mark.rfc("rfc4568", 7, 8, 9, 10, 11, 12, 14, 15, 20)
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "without tag"),
        ("1 AES_CM_128_HMAC_SHA1_80", "without tag"),
        (f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "tag 'x'"),
        (f"-1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "tag"),
        (f"1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "tag"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "not supported"),
        (f"1 NULL_HMAC_SHA1_80 inline:{KEY}", "not supported"),
        (f"1 SEED_CTR_128_HMAC_SHA1_80 inline:{KEY}", "not supported"),
        (f"1 AES-CM inline:{KEY}", "not the name"),
        (f"1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}", "not inline"),
        (f"1 AES_CM_128_HMAC_SHA1_80 {KEY}", "not inline"),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:", "not base64"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}", "27 octets"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA", "33 octets"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}A", "not base64"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}_", "not base64"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}é", "not base64"),
        (f"1 AEAD_AES_128_GCM inline:{KEY}", "30 octets; AEAD_AES_128_GCM has 28"),
        (f"1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}", "has 46"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|281474976710657", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|{'9' * 5000}", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}||1:4", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4|2^20", "lifetime"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|x", "MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:0", "MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:129", "MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|256:1", "does not fit"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|{'9' * 5000}:4", "MKI"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4|2:4", "more than"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{OTHER_KEY}|2:4", "several keys"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1", "key derivation rate"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=24", "key derivation rate"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=63", "WSH 63"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=x", "session parameter"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP", "UNENCRYPTED_SRTCP"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP", "UNAUTHENTICATED"),
        (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} NEW=1", "session parameter"),
    ],
)
def test_lines_that_are_wrong_or_weaker_are_not_accepted(value: str, complaint: str) -> None:
    with pytest.raises(ParseError, match=complaint) as caught:
        CryptoAttribute.parse(value)

    assert caught.value.status_hint == 488
    assert KEY[:8] not in str(caught.value)
    with pytest.raises(ParseError):
        accept([value], EVERY_SUITE)


@pytest.mark.rfc("rfc4568", 7)
@pytest.mark.parametrize("suite", CryptoSuite)
def test_every_suite_goes_there_and_back_with_and_without_padding(suite: CryptoSuite) -> None:
    encoded = key_for(suite)
    line = CryptoAttribute.parse(f"7 {suite.name} inline:{encoded.rstrip('=')}")

    assert line.to_text() == f"7 {suite.name} inline:{encoded}"
    assert len(encoded) % 4 == 0
    assert (len(line.master_key.reveal()), len(line.master_salt.reveal())) == (
        suite.key_bytes, suite.salt_bytes,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["AES_CM_256_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_32"])
def test_wrong_spelling_of_long_keys_is_read_and_ianas_is_written(name: str) -> None:
    line = CryptoAttribute.parse(f"1 {name} inline:{key_for(CryptoSuite.AES_256_CM_HMAC_SHA1_80)}")

    assert line.suite.name == name.replace("AES_CM_256", "AES_256_CM")
    assert line.to_text().startswith("1 AES_256_CM_")


@pytest.mark.parametrize("extra", ["", "|2^31", "|1:4", "|2^20|1066:4"])
def test_written_lines_read_the_same(extra: str) -> None:
    line = parse(extra, params=" WSH=64 -x")

    assert CryptoAttribute.parse(line.to_text()) == line


@pytest.mark.rfc("rfc4568", 21)
def test_repr_shows_no_key() -> None:
    line = parse()

    assert "Secret(…)" in repr(line)
    assert str(line.master_key.reveal())[2:10] not in repr(line)


@pytest.mark.rfc("rfc4568", 1, 6)
def test_offer_has_a_fresh_key_and_a_tag_for_each_suite() -> None:
    random_bytes = Randomness()
    lines = fresh([CM_80, CM_32], random_bytes) + fresh([CM_80, CM_32], random_bytes)

    assert [line.tag for line in lines] == [1, 2, 1, 2]
    assert [line.suite for line in lines] == [CM_80, CM_32, CM_80, CM_32]
    assert len({line.master_key for line in lines}) == 4
    assert all("|" not in line.to_text() and len(line.to_text().split()) == 3 for line in lines)


@pytest.mark.rfc("rfc4568", 1, 2, 10)
def test_first_acceptable_line_is_chosen_and_answered_with_its_tag_and_a_new_key() -> None:
    offered = [
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"2 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        "3 rubbish",
        f"4 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4",
        f"5 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}",
    ]
    chosen = choose(offered, [CM_80, CM_32], Randomness())

    assert chosen is not None
    theirs, own = chosen
    assert theirs == CryptoAttribute.parse(offered[3])
    assert (own.tag, own.suite, own.mki, own.lifetime_packets) == (4, CM_32, b"", None)
    assert own.master_key != theirs.master_key


def test_suite_that_is_switched_off_is_passed_over() -> None:
    offered = [f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"]

    assert choose(offered, [CM_80], Randomness()) is None
    with pytest.raises(ParseError, match="switched off"):
        accept(offered, [CM_80])


@pytest.mark.rfc("rfc4568", 20)
@pytest.mark.rfc("rfc8866", 16)
@pytest.mark.parametrize("tag", ["1", "01", "000000001"])
def test_two_lines_of_one_tag_make_the_offer_invalid(tag: str) -> None:
    offered = [f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", f"{tag} UNKNOWN inline:x"]

    assert choose(offered, [CM_80], Randomness()) is None
    with pytest.raises(ParseError, match="same tag"):
        accept(offered, [CM_80])


@pytest.mark.parametrize("offered", [[], ["", " "], ["x"] * 33])
def test_no_line_or_far_too_many_are_not_accepted(offered: list[str]) -> None:
    assert choose(offered, [CM_80], Randomness()) is None


@pytest.mark.rfc("rfc4568", 3)
@pytest.mark.parametrize(
    ("answered", "complaint"),
    [
        ([], "0 a=crypto lines"),
        ([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"] * 2, "2 a=crypto lines"),
        ([f"3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"], "not offered"),
        ([f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"], "answered otherwise"),
        (["1 AES_CM_128_HMAC_SHA1_80"], "without tag"),
        ([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}"], "octets"),
        ([f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"], "UNENCRYPTED"),
    ],
)
def test_answer_must_be_one_line_of_an_offered_tag_and_suite(
    answered: list[str], complaint: str
) -> None:
    with pytest.raises(ParseError, match=complaint):
        match(fresh([CM_80, CM_32], Randomness()), answered)


def test_answer_that_gives_our_own_key_back_is_refused() -> None:
    offered = fresh([CM_80], Randomness())

    with pytest.raises(ParseError, match="our own key"):
        match(offered, [offered[0].to_text()])


@pytest.mark.rfc("rfc4568", 4)
@pytest.mark.parametrize("suite", CryptoSuite)
def test_each_side_encrypts_with_the_key_of_its_own_line(suite: CryptoSuite) -> None:
    random_bytes = Randomness()
    offered = fresh([suite], random_bytes)
    chosen = choose([line.to_text() for line in offered], [suite], random_bytes)
    assert chosen is not None
    theirs, own = chosen
    alice_out, alice_in = sdes.contexts(*match(offered, [own.to_text()]))
    bob_out, bob_in = sdes.contexts(own, theirs)

    assert bob_in.unprotect(alice_out.protect(RTP)) == RTP
    assert alice_in.unprotect(bob_out.protect(RTP)) == RTP
    with pytest.raises(RemoteError):
        alice_in.unprotect(alice_out.protect(RTP[:2] + b"\0\2" + RTP[4:]))


@pytest.mark.rfc("rfc4568", 9)
def test_mki_of_the_peers_line_is_expected_in_the_peers_packets_only() -> None:
    theirs = parse("|2^20|1:4")
    (own,) = fresh([CM_80], Randomness())
    outbound, inbound = sdes.contexts(own, theirs)
    sealed = sdes.context_for(theirs).protect(RTP)

    assert len(sealed) == len(RTP) + 4 + 10
    assert inbound.unprotect(sealed) == RTP
    assert len(outbound.protect(RTP)) == len(RTP) + 10
    with pytest.raises(RemoteError):
        inbound.unprotect(sdes.context_for(parse()).protect(RTP))
