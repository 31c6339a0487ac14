"""What every store does, asked of each with the same words."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from sottovoce.errors import SettingsError
from sottovoce.secret import Secret
from sottovoce.sip.digest import Algorithm, ha1
from sottovoce.sip.registrar import Binding
from sottovoce.store import (
    Account,
    AccountStore,
    Ban,
    BanStore,
    BindingStore,
    MemoryStore,
    SqliteStore,
)
from sottovoce.store.model import hashed

CREATED_UTC = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
PASSWORD = Secret("correct horse")


class Store(AccountStore, BindingStore, BanStore, Protocol):
    """What a server needs of one store."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        with SqliteStore(tmp_path / "store.db") as sqlite:
            yield sqlite


def account(user: str = "alice", domain: str = "example.org", name: str = "") -> Account:
    return Account.make(user, domain, PASSWORD, created_utc=CREATED_UTC, display_name=name)


def test_account_comes_back_as_it_was_added(store: Store) -> None:
    added = account(name="Alice Ångström")
    store.add_account(added)
    assert store.find_account("alice", "example.org") == added


def test_domain_is_found_in_any_case_and_user_only_in_its_own(store: Store) -> None:
    store.add_account(account(domain="Example.ORG"))

    assert store.find_account("alice", "EXAMPLE.org") is not None
    assert store.find_ha1("alice", "EXAMPLE.org", Algorithm.MD5) is not None
    assert store.find_account("Alice", "example.org") is None


@pytest.mark.rfc("rfc8760", 11)
@pytest.mark.parametrize("algorithm", [Algorithm.SHA_256, Algorithm.MD5])
def test_password_is_kept_as_ha1_for_each_algorithm(store: Store, algorithm: Algorithm) -> None:
    store.add_account(account())
    assert store.find_ha1("alice", "example.org", algorithm) == ha1(
        algorithm, "alice", "example.org", PASSWORD
    )


@pytest.mark.parametrize("user", ["bob", "", "a\0b", "' OR 1=1 --", "\udc80", "é", "%", "ALICE"])
def test_unknown_user_is_found_nowhere(store: Store, user: str) -> None:
    store.add_account(account())

    assert store.find_account(user, "example.org") is None
    assert store.find_ha1(user, "example.org", Algorithm.MD5) is None
    assert store.find_account("alice", "example.org\udc80") is None


def test_account_added_twice_is_refused_and_the_first_stays(store: Store) -> None:
    store.add_account(account(name="first"))
    with pytest.raises(
        SettingsError, match=r"alice@example\.org: there is one already; .*password"
    ):
        store.add_account(account(name="second"))

    kept = store.find_account("alice", "example.org")
    assert kept is not None
    assert kept.display_name == "first"


def test_accounts_are_listed_by_domain_and_user(store: Store) -> None:
    assert store.list_accounts() == []
    for user, domain in [("bob", "b.test"), ("carol", "a.test"), ("alice", "b.test")]:
        store.add_account(account(user, domain))

    assert [found.address for found in store.list_accounts()] == [
        "carol@a.test", "alice@b.test", "bob@b.test",
    ]  # fmt: skip


def test_new_password_replaces_every_hash_of_the_old(store: Store) -> None:
    store.add_account(account(name="Alice"))
    new = hashed("alice", "example.org", Secret("battery staple"))
    store.replace_ha1("alice", "Example.org", new)

    found = store.find_account("alice", "example.org")
    assert found is not None
    assert (found.ha1, found.display_name, found.created_utc) == (new, "Alice", CREATED_UTC)


def test_hash_of_an_algorithm_given_up_is_gone(store: Store) -> None:
    store.add_account(account())
    new = hashed("alice", "example.org", PASSWORD)
    store.replace_ha1("alice", "example.org", {Algorithm.SHA_256: new[Algorithm.SHA_256]})

    assert store.find_ha1("alice", "example.org", Algorithm.MD5) is None


def test_removed_account_is_gone_and_can_be_added_again(store: Store) -> None:
    store.add_account(account())
    store.add_account(account("bob"))
    store.remove_account("alice", "Example.org")

    assert store.find_account("alice", "example.org") is None
    assert store.find_ha1("alice", "example.org", Algorithm.SHA_256) is None
    assert store.find_ha1("bob", "example.org", Algorithm.SHA_256) is not None
    store.add_account(account())


def test_change_of_an_unknown_account_is_refused_with_the_mend(store: Store) -> None:
    new = hashed("bob", "example.org", PASSWORD)
    with pytest.raises(
        SettingsError, match=r"bob@example\.org: there is none; 'sottovoce user list"
    ):
        store.replace_ha1("bob", "example.org", new)
    with pytest.raises(SettingsError, match=r"bob@example\.org: there is none"):
        store.remove_account("bob", "example.org")


def binding(host: str) -> Binding:
    params = (("+sip.instance", '"<urn:uuid:0>"'), ("ob", None))
    return Binding(f"sip:alice@{host}", params, "call", 1, 1772366415.25, "7f3a/12", "", "x\udc80")


HOME, WORK = binding("192.0.2.1"), binding("192.0.2.2")


def test_bindings_come_back_in_order_by_address_of_record(store: Store) -> None:
    store.save_bindings("sip:alice@example.org", [WORK, HOME])
    store.save_bindings("sip:bob@example.org", [HOME])

    assert store.load_bindings() == {
        "sip:alice@example.org": (WORK, HOME),
        "sip:bob@example.org": (HOME,),
    }


def test_bindings_are_replaced_and_none_removes_them(store: Store) -> None:
    store.save_bindings("sip:alice@example.org", [HOME])
    store.save_bindings("sip:alice@example.org", [WORK])
    assert store.load_bindings() == {"sip:alice@example.org": (WORK,)}

    store.save_bindings("sip:alice@example.org", [])
    store.save_bindings("sip:nobody@example.org", [])
    assert store.load_bindings() == {}


def test_bans_come_back_by_their_beginning_and_replace_each_other(store: Store) -> None:
    late = Ban("192.0.2.1", "guessing", 2000.0, 2300.0, strikes=1)
    early = Ban("198.51.100.0/24", "by command", 1000.0, None)
    store.save_ban(late)
    store.save_ban(early)
    assert store.load_bans() == [early, late]

    longer = Ban("192.0.2.1", "guessing", 3000.0, 3600.5, strikes=2)
    store.save_ban(longer)
    assert store.load_bans() == [early, longer]


def test_a_ban_can_be_forgotten_once(store: Store) -> None:
    store.save_ban(Ban("192.0.2.1", "guessing", 2000.0, 2300.0, strikes=1))

    assert store.remove_ban("192.0.2.1")
    assert not store.remove_ban("192.0.2.1")
    assert store.load_bans() == []
