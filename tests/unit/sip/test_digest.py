"""RFC 8760, RFC 7616 and RFC 3261 section 22."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ParseError, RemoteError
from sottovoce.secret import Secret
from sottovoce.sip import authenticator as authenticator_module
from sottovoce.sip import digest, nonces
from sottovoce.sip.authenticator import MAX_CREDENTIALS, Authenticator, Outcome, Verdict
from sottovoce.sip.digest import Algorithm, Challenge, Credentials, answer, compute_response, ha1

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "digest.json").read_text())["vectors"]
ALGORITHMS = {each.value.lower(): each for each in Algorithm}

REALM = "example.org"
URI = "sip:example.org"
PASSWORD = Secret("zanzibar")


def ids(vector: dict[str, str]) -> str:
    return vector["id"]


# Arithmetic


@pytest.mark.rfc("rfc8760-7616", 3, 6, 16)
@pytest.mark.parametrize("vector", VECTORS, ids=ids)
def test_published_and_recomputed_values(vector: dict[str, dict[str, str]]) -> None:
    given_values, expected = vector["input"], vector["expected"]
    name = given_values.get("algorithm") or str(vector["id"]).split("-", 2)[2]
    algorithm = ALGORITHMS[name.lower()]
    secret = ha1(
        algorithm, given_values["username"], given_values["realm"], Secret(given_values["password"])
    )
    assert secret.reveal() == expected["ha1"]

    def response(qop: str) -> str:
        return compute_response(
            algorithm,
            secret,
            method=given_values["method"],
            uri=given_values["uri"],
            nonce=given_values["nonce"],
            nonce_count=int(given_values["nc"], 16),
            cnonce=given_values["cnonce"],
            qop=qop,
        )

    assert response("auth") == expected.get("response", expected.get("response_qop_auth"))
    if "response_no_qop" in expected:
        assert response("") == expected["response_no_qop"]
    assert len(response("auth")) == algorithm.digest_characters


@pytest.mark.rfc("rfc8760-7616", 6)
def test_auth_int_covers_the_body() -> None:
    challenge = ['Digest realm="example.org", nonce="n", qop="auth-int"']
    one = _answered(challenge, body=b"one")
    assert one.qop == "auth-int"
    assert one.response != _answered(challenge, body=b"two").response


# Reading and writing


def test_challenge_in_parts() -> None:
    text = (
        'Digest realm="a \\"b\\", c", nonce="n,1" ,opaque="o", stale=TRUE, algorithm=sha-256,'
        ' qop="auth,auth-int", domain="sip:x"'
    )
    challenge = Challenge.parse(text)
    assert challenge == Challenge(
        'a "b", c', "n,1", "sha-256", ("auth", "auth-int"), opaque="o", stale=True
    )
    assert challenge.algorithm is Algorithm.SHA_256
    assert Challenge.parse(str(challenge)) == challenge


@pytest.mark.rfc("rfc8760-7616", 3)
def test_absent_algorithm_is_md5() -> None:
    assert Challenge.parse('Digest realm="r", nonce="n"').algorithm is Algorithm.MD5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Digest",
        "Basic realm=x",
        'NoOneKnowsThisScheme opaque-data="x"',
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n", realm="s"',
        'Digest realm="r, nonce="n"',
        'Digest realm="r", nonce="n", , x=y',
        'Digest realm="r", nonce="n", ' + ", ".join(f"p{n}=1" for n in range(30)),
    ],
)
def test_malformed_challenge_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Challenge.parse(text)


CREDENTIALS = (
    'Digest username="bob", realm="example.org", nonce="n", uri="sip:b", response="{}",'
    ' algorithm=MD5, qop=auth, nc={}, cnonce="c"'
)


@pytest.mark.parametrize("count", ["1", "0000001g", "000000001", '"00000001"', "-0000001"])
def test_nonce_count_is_eight_hexadecimal_digits(count: str) -> None:
    with pytest.raises(ParseError):
        Credentials.parse(CREDENTIALS.format("0" * 32, count))


def test_response_is_never_shown() -> None:
    given_credentials = Credentials.parse(CREDENTIALS.format("c0ffee" * 5, "00000001"))
    assert "c0ffee" not in repr(given_credentials)
    assert "c0ffee" in str(given_credentials)


TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Credentials,
        TEXT, TEXT, TEXT, TEXT, st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
        st.sampled_from(["", "MD5", "SHA-256"]), TEXT, st.just("auth"),
        st.integers(0, 2**32 - 1), st.none() | TEXT,
    )
)  # fmt: skip
def test_credentials_survive_writing_and_reading(credentials: Credentials) -> None:
    assert Credentials.parse(str(credentials)) == credentials


@given(st.text(max_size=60) | st.text('digest nonce="\\,= ', max_size=60).map("Digest ".__add__))
def test_any_text_is_a_value_or_a_remote_error(text: str) -> None:
    for form in (Challenge, Credentials):
        try:
            form.parse(text)
        except RemoteError:
            continue


# The client's answer


def _answered(challenges: list[str], body: bytes = b"") -> Credentials:
    found = answer(
        challenges,
        username="bob",
        password=PASSWORD,
        method="REGISTER",
        uri=URI,
        cnonce="0a4f113b",
        nonce_count=1,
        body=body,
    )
    assert found is not None
    return found


@pytest.mark.rfc("rfc8760-7616", 2, 4, 5, 10)
def test_first_known_algorithm_is_answered_and_unknown_ones_are_skipped() -> None:
    found = _answered(
        [
            'Basic realm="example.org"',
            'Digest realm="example.org", nonce="n0", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="example.org", nonce="n1", algorithm=SHA-256-sess, qop="auth"',
            'Digest realm="example.org", nonce="n2", algorithm=sha-256, qop="auth", opaque="o"',
            'Digest realm="example.org", nonce="n3", algorithm=MD5, qop="auth"',
        ]
    )
    assert (found.nonce, found.algorithm_name, found.opaque) == ("n2", "sha-256", "o")
    assert len(found.response) == 64
    assert found.response == found.response.lower()
    assert ", qop=auth, nc=00000001, cnonce=" in str(found)


@pytest.mark.rfc("rfc8760-7616", 5)
def test_sha_256_without_qop_is_not_answered() -> None:
    md5 = 'Digest realm="example.org", nonce="n3"'
    assert _answered(['Digest realm="r", nonce="n", algorithm=SHA-256', md5]).nonce == "n3"
    assert (_answered([md5]).qop, _answered([md5]).cnonce) == ("", "")


def test_nothing_known_gives_no_answer() -> None:
    found = answer(
        ["Basic x", 'Digest realm="r", nonce="n", algorithm=X'],
        username="bob", password=PASSWORD, method="X", uri="sip:x", cnonce="c",
    )  # fmt: skip
    assert found is None


# The server


class Users:
    """One user, as the store knows it, and who was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Algorithm]] = []

    def find_ha1(self, username: str, algorithm: Algorithm) -> Secret[str] | None:
        self.asked.append((username, algorithm))
        return ha1(algorithm, "bob", REALM, PASSWORD) if username == "bob" else None


def server(**options: float) -> Authenticator:
    return Authenticator(REALM, b"k" * 32, os.urandom, **options)  # type: ignore[arg-type]


def credentials(
    challenge: str,
    *,
    password: str = "zanzibar",
    username: str = "bob",
    count: int = 1,
    uri: str = URI,
    method: str = "REGISTER",
) -> str:
    found = answer(
        [challenge],
        username=username,
        password=Secret(password),
        method=method,
        uri=uri,
        cnonce="c",
        nonce_count=count,
    )
    return str(found)


def outcome(authenticator: Authenticator, *texts: str, uri: str = URI, now: float = 1.0) -> Outcome:
    return authenticator.check(texts, "REGISTER", uri, Users().find_ha1, now).outcome


@pytest.mark.rfc("rfc8760-7616", 1, 5)
def test_both_algorithms_are_offered_strongest_first_with_nonces_of_their_own() -> None:
    challenges = [Challenge.parse(text) for text in server().challenges(0.0)]
    assert [each.algorithm_name for each in challenges] == ["SHA-256", "MD5"]
    assert {each.realm for each in challenges} == {REALM}
    assert [each.qop for each in challenges] == [("auth",), ("auth",)]
    assert len({each.nonce for each in challenges}) == 2
    assert not any(each.stale for each in challenges)


@pytest.mark.parametrize("at", [0, 1])
def test_right_password_is_accepted(at: int) -> None:
    authenticator, users = server(), Users()
    text = credentials(authenticator.challenges(0.0)[at])
    verdict = authenticator.check([text], "REGISTER", URI, users.find_ha1, 1.0)
    assert (verdict.outcome, verdict.username) == (Outcome.ACCEPTED, "bob")
    assert users.asked == [("bob", (Algorithm.SHA_256, Algorithm.MD5)[at])]


def test_wrong_password_and_unknown_user_are_refused_alike() -> None:
    authenticator, users = server(), Users()
    challenge = authenticator.challenges(0.0)[0]
    wrong = credentials(challenge, password="guess")
    unknown = credentials(challenge, username="eve")
    for text, tried in ((wrong, "bob"), (unknown, "eve")):
        verdict = authenticator.check([text], "REGISTER", URI, users.find_ha1, 1.0)
        assert verdict == Verdict(Outcome.REFUSED, unverified_username=tried)
    assert [name for name, _ in users.asked] == ["bob", "eve"]


def test_unknown_user_costs_the_same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the time of an answer tells which accounts exist."""
    calls: list[str] = []
    real = digest.compute_response

    def counted(*arguments: object, **options: object) -> str:
        calls.append("hash")
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(authenticator_module, "compute_response", counted)
    authenticator = server()
    challenge = authenticator.challenges(0.0)[0]
    for text in (credentials(challenge, username="eve"), credentials(challenge, password="x")):
        calls.clear()
        assert outcome(authenticator, text) is Outcome.REFUSED
        assert len(calls) == 1


def test_credentials_are_for_one_method() -> None:
    authenticator = server()
    text = credentials(authenticator.challenges(0.0)[0], method="INVITE")
    assert outcome(authenticator, text) is Outcome.REFUSED


@pytest.mark.rfc("rfc8760-7616", 7)
@pytest.mark.parametrize(
    ("signed", "sent", "expected"),
    [
        (URI, "sip:EXAMPLE.org", Outcome.ACCEPTED),
        (URI, "sip:bob@example.org", Outcome.REFUSED),
        (URI, "sips:example.org", Outcome.REFUSED),
        ("tel:+1", "tel:+1", Outcome.ACCEPTED),
        ("tel:+1", "tel:+2", Outcome.REFUSED),
    ],
)
def test_digest_uri_is_the_request_uri(signed: str, sent: str, expected: Outcome) -> None:
    authenticator = server()
    text = credentials(authenticator.challenges(0.0)[0], uri=signed)
    assert outcome(authenticator, text, uri=sent) is expected


@pytest.mark.rfc("rfc8760-7616", 10)
@pytest.mark.rfc("rfc4475-5118", 4)
def test_other_realms_and_schemes_are_passed_over() -> None:
    authenticator = server()
    own = credentials(authenticator.challenges(0.0)[0])
    other = own.replace(REALM, "elsewhere.org")
    unknown = 'NoOneKnowsThisScheme opaque-data="here"'
    assert outcome(authenticator) is Outcome.ABSENT
    assert outcome(authenticator, other, unknown) is Outcome.ABSENT
    assert outcome(authenticator, unknown, other, own) is Outcome.ACCEPTED
    assert outcome(authenticator, *[other] * MAX_CREDENTIALS, own) is Outcome.ABSENT


@pytest.mark.rfc("rfc8760-7616", 8)
def test_each_nonce_count_is_taken_once() -> None:
    authenticator = server()
    challenge = authenticator.challenges(0.0)[0]

    def take(count: int) -> Outcome:
        return outcome(authenticator, credentials(challenge, count=count))

    assert [take(count) for count in (1, 1, 3, 2, 2, 3, 4)] == [
        Outcome.ACCEPTED, Outcome.STALE, Outcome.ACCEPTED, Outcome.ACCEPTED,
        Outcome.STALE, Outcome.STALE, Outcome.ACCEPTED,
    ]  # fmt: skip
    assert take(1000) is Outcome.ACCEPTED
    assert take(5) is Outcome.STALE
    assert take(2**32 - 1) is Outcome.ACCEPTED


def test_wrong_answer_uses_up_no_count() -> None:
    authenticator = server()
    challenge = authenticator.challenges(0.0)[0]
    assert outcome(authenticator, credentials(challenge, password="x")) is Outcome.REFUSED
    assert outcome(authenticator, credentials(challenge)) is Outcome.ACCEPTED


@pytest.mark.rfc("rfc8760-7616", 9)
def test_old_nonce_is_stale_and_says_nothing_of_the_password() -> None:
    authenticator = server(nonce_life_s=60)
    challenge = authenticator.challenges(100.0)[0]
    assert outcome(authenticator, credentials(challenge), now=160.0) is Outcome.ACCEPTED
    assert outcome(authenticator, credentials(challenge, count=2), now=160.1) is Outcome.STALE
    wrong = credentials(challenge, password="x")
    assert outcome(authenticator, wrong, now=160.1) is Outcome.STALE
    again = authenticator.challenges(160.1, stale=True)
    assert [Challenge.parse(text).stale for text in again] == [True, True]


@pytest.mark.rfc("rfc8760-7616", 14)
def test_nonce_is_bound_to_server_realm_time_and_algorithm() -> None:
    authenticator = server()
    sha_256, md5 = (Challenge.parse(text) for text in authenticator.challenges(0.0))
    other_realm = Authenticator("example.net", b"k" * 32, os.urandom)
    other_key = Authenticator(REALM, b"x" * 32, os.urandom)
    foreign = [
        md5.nonce,
        Challenge.parse(other_realm.challenges(0.0)[0]).nonce,
        Challenge.parse(other_key.challenges(0.0)[0]).nonce,
        "f" * 12 + sha_256.nonce[12:],
        sha_256.nonce[:-1],
        sha_256.nonce + "0",
        "",
        "ä",
    ]
    for nonce in foreign:
        text = credentials(str(replace(sha_256, nonce=nonce)))
        assert outcome(authenticator, text) is Outcome.STALE
    assert outcome(authenticator, credentials(str(sha_256))) is Outcome.ACCEPTED


@pytest.mark.parametrize("password", ["zanzibar", "guess"])
def test_nonce_of_another_recipient_is_stale_before_the_password_is_looked_at(
    password: str,
) -> None:
    """Who writes another's address into a datagram learns nothing and has tried nothing."""
    authenticator, users = server(), Users()
    challenge = authenticator.challenges(0.0, recipient="192.0.2.1")[0]
    text = credentials(challenge, password=password)

    for recipient in ("192.0.2.2", "", "192.0.2.1 "):
        verdict = authenticator.check([text], "REGISTER", URI, users.find_ha1, 1.0, recipient)
        assert verdict.outcome is Outcome.STALE
    assert users.asked == []
    verdict = authenticator.check([text], "REGISTER", URI, users.find_ha1, 1.0, "192.0.2.1")
    expected = Outcome.ACCEPTED if password == "zanzibar" else Outcome.REFUSED
    assert verdict.outcome is expected


@pytest.mark.parametrize("drop", [", qop=auth", ', cnonce="c"'])
def test_answer_without_replay_protection_is_refused(drop: str) -> None:
    authenticator = server()
    text = credentials(authenticator.challenges(0.0)[0])
    assert drop in text
    assert outcome(authenticator, text.replace(drop, "")) is Outcome.REFUSED


def test_forgotten_nonces_are_stale_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded, and what falls out of it cannot be replayed."""
    monkeypatch.setattr(nonces, "MAX_NONCES", 3)
    authenticator = server()
    early = [authenticator.challenges(0.001 * number)[0] for number in range(5)]
    for challenge in early:
        assert outcome(authenticator, credentials(challenge)) is Outcome.ACCEPTED
    for challenge in early:
        assert outcome(authenticator, credentials(challenge)) is Outcome.STALE
    assert outcome(authenticator, credentials(early[4], count=2)) is Outcome.ACCEPTED
    late = authenticator.challenges(1.0)[0]
    assert outcome(authenticator, credentials(late)) is Outcome.ACCEPTED


@pytest.mark.rfc("rfc8760-7616", 13)
def test_algorithm_that_is_not_offered_is_not_taken() -> None:
    both = server()
    strict = Authenticator(REALM, b"k" * 32, os.urandom, algorithms=(Algorithm.SHA_256,))
    text = credentials(both.challenges(0.0)[1])
    assert outcome(both, text) is Outcome.ACCEPTED
    assert outcome(strict, text) is Outcome.ABSENT
    assert len(strict.challenges(0.0)) == 1
