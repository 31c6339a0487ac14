"""Which accounts can be made."""

from datetime import UTC, datetime

import pytest

from sottovoce.errors import SettingsError
from sottovoce.secret import Secret
from sottovoce.store import Account
from sottovoce.store.model import WEAK_PASSWORD_CHARACTERS, random_password

PASSWORD = Secret("correct horse")


def make(user: str = "alice", domain: str = "example.org", **other: str) -> Account:
    created_utc = datetime(2026, 3, 1, tzinfo=UTC)
    password = Secret(other.pop("password", PASSWORD.reveal()))
    return Account.make(user, domain, password, created_utc=created_utc, **other)


@pytest.mark.parametrize("user", ["alice", "+4930123456", "a.b-c_d", "A", "x" * 64])
def test_user_name_that_needs_no_escaping_is_taken(user: str) -> None:
    assert make(user).user == user


@pytest.mark.parametrize(
    "user", ["", "a b", "a@b", "a:b", 'a"b', "a\r\nVia: x", "é", "a/b", "a%41", "x" * 65, "a\n"]
)
def test_user_name_that_would_need_escaping_is_refused(user: str) -> None:
    with pytest.raises(SettingsError, match="expected 1 to 64 letters, digits or") as refused:
        make(user)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "is empty"),
        ("x" * 257, "has 257 characters, expected 1 to 256; give another, or --generate"),
        ("12345678\n", "has a control character"),
    ],
)
def test_password_that_cannot_be_used_is_refused_and_not_shown(password: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        make(password=password)
    assert not password.strip() or password not in str(refused.value)


@pytest.mark.parametrize("name", ["line\r\nVia: x", "x" * 129, "nul\0"])
def test_display_name_that_could_break_a_header_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="display name"):
        make(display_name=name)


def test_domain_is_kept_in_the_form_certificates_are_compared_in() -> None:
    assert make(domain="Bücher.Example.").domain == "xn--bcher-kva.example"
    with pytest.raises(SettingsError, match="wildcards"):
        make(domain="*.example.org")


def test_neither_password_nor_hashes_are_in_the_repr() -> None:
    account = make()
    shown = repr(account)
    assert "ha1" not in shown
    assert PASSWORD.reveal() not in shown
    assert all(value.reveal() not in shown for value in account.ha1.values())


def test_random_passwords_differ_and_are_not_weak() -> None:
    made = {random_password().reveal() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) > 2 * WEAK_PASSWORD_CHARACTERS
    assert all(make(password=text).ha1 for text in made)
