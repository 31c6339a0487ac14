"""RFC 3261 section 22.2: when to answer, when to ask the user, and never twice the same."""

import itertools

import pytest

from sottovoce.secret import Secret
from sottovoce.sip.digest import Credentials
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.message import Request, Response

OURS, NOT_OURS = "example.org", "elsewhere.net"


def client() -> DigestClient:
    counter = itertools.count()
    return DigestClient(
        username="bob",
        password=Secret("zanzibar"),
        realms=frozenset({OURS}),
        random_bytes=lambda size: next(counter).to_bytes(size, "big"),
    )


def register(*fields: tuple[str, str]) -> Request:
    return Request.make("REGISTER", "sip:example.org", fields)


def challenge(
    nonce: str = "n1", *, realm: str = OURS, stale: bool = False, name: str = "WWW-Authenticate"
) -> Response:
    end = ", stale=true" if stale else ""
    text = f'Digest realm="{realm}", nonce="{nonce}", algorithm=SHA-256, qop="auth"{end}'
    return Response.make(407 if name.startswith("Proxy") else 401, "", [(name, text)])


def sent(request: Request, name: str = "Authorization") -> list[Credentials]:
    return [Credentials.parse(text) for text in request.values(name)]


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_challenge_is_answered_and_later_requests_carry_credentials_at_once() -> None:
    ours = client()
    first = ours.authorize(register())
    assert sent(first) == []
    assert ours.receive_challenge(first, challenge())
    second = sent(ours.authorize(first))
    third = sent(ours.authorize(register()))
    assert [(each.nonce, each.nonce_count) for each in second + third] == [("n1", 1), ("n1", 2)]
    assert second[0].cnonce != third[0].cnonce


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_407_is_answered_in_its_own_header() -> None:
    ours = client()
    assert ours.receive_challenge(register(), challenge(name="Proxy-Authenticate"))
    request = ours.authorize(register())
    assert len(sent(request, "Proxy-Authorization")) == 1
    assert sent(request) == []


@pytest.mark.rfc("rfc3261-ua-transactions", 22)
def test_rejected_credentials_are_not_sent_again() -> None:
    ours = client()
    ours.receive_challenge(register(), challenge("n1"))
    answered = ours.authorize(register())
    assert not ours.receive_challenge(answered, challenge("n2"))
    assert sent(ours.authorize(register())) == []


@pytest.mark.rfc("rfc8760-7616", 9)
def test_stale_nonce_is_replaced_once_without_asking() -> None:
    ours = client()
    ours.receive_challenge(register(), challenge("n1"))
    answered = ours.authorize(register())
    assert ours.receive_challenge(answered, challenge("n2", stale=True))
    again = ours.authorize(answered)
    assert [(each.nonce, each.nonce_count) for each in sent(again)] == [("n2", 1)]
    assert not ours.receive_challenge(again, challenge("n3", stale=True))


def test_same_nonce_is_never_answered_twice_even_if_called_stale() -> None:
    ours = client()
    ours.receive_challenge(register(), challenge("n1"))
    assert not ours.receive_challenge(ours.authorize(register()), challenge("n1", stale=True))


def test_nonce_that_grew_old_in_use_is_replaced_even_if_the_server_does_not_say_stale() -> None:
    ours = client()
    ours.receive_challenge(register(), challenge("n1"))
    ours.authorize(register())
    renewed = ours.authorize(register())
    assert ours.receive_challenge(renewed, challenge("n2"))
    last = ours.authorize(renewed)
    assert [(each.nonce, each.nonce_count) for each in sent(last)] == [("n2", 1)]
    assert not ours.receive_challenge(last, challenge("n3"))


@pytest.mark.rfc("rfc8760-7616", 12)
def test_other_realms_learn_nothing() -> None:
    ours = client()
    assert not ours.receive_challenge(register(), challenge(realm=NOT_OURS))
    assert sent(ours.authorize(register())) == []


@pytest.mark.rfc("rfc8760-7616", 12)
def test_credentials_of_others_are_left_alone() -> None:
    theirs = (
        f'Digest username="x", realm="{NOT_OURS}", nonce="n", uri="sip:x", response="{"0" * 64}"'
    )
    ours = client()
    ours.receive_challenge(register(), challenge())
    request = ours.authorize(register(("Authorization", theirs)))
    assert sorted(each.realm for each in sent(request)) == [NOT_OURS, OURS]
    assert theirs in request.values("Authorization")


def test_unknown_algorithm_is_no_reason_to_try_again() -> None:
    text = f'Digest realm="{OURS}", nonce="n", algorithm=SHA-3, qop="auth"'
    response = Response.make(401, "", [("WWW-Authenticate", text), ("WWW-Authenticate", "junk")])
    assert not client().receive_challenge(register(), response)


def test_password_is_not_shown() -> None:
    assert "zanzibar" not in repr(vars(client()))
