"""What only a file has: modes, versions, other processes, restarts."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sottovoce.errors import SettingsError
from sottovoce.secret import Secret
from sottovoce.sip.digest import Algorithm
from sottovoce.sip.registrar import Binding
from sottovoce.store import Account, Ban, SqliteStore

AOR = "sip:alice@example.org"


def account(user: str = "alice") -> Account:
    created_utc = datetime(2026, 3, 1, tzinfo=UTC)
    return Account.make(user, "example.org", Secret("correct horse"), created_utc=created_utc)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_every_file_of_the_store_is_private(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add_account(account())
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["store.db", "store.db-shm", "store.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_password_stands_nowhere_in_the_file(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add_account(account())
    assert b"correct horse" not in path.read_bytes()


def test_server_sees_an_account_that_another_process_adds(path: Path) -> None:
    with SqliteStore(path) as serving, SqliteStore(path) as adding:
        assert serving.find_account("alice", "example.org") is None
        adding.add_account(account())
        assert serving.find_account("alice", "example.org") is not None
        adding.remove_account("alice", "example.org")
        assert serving.find_ha1("alice", "example.org", Algorithm.SHA_256) is None


def test_reader_does_not_wait_for_a_writer(path: Path) -> None:
    with SqliteStore(path) as serving:
        serving.add_account(account())
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert serving.find_account("alice", "example.org") is not None
        writer.execute("ROLLBACK")
        writer.close()


def test_writer_that_waits_too_long_is_told_who_holds_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sottovoce.store.sqlite._BUSY_TIMEOUT_MS", 1)
    with SqliteStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SettingsError, match=r"store\.db: database is locked; another program"):
            store.add_account(account())
        other.execute("ROLLBACK")
        other.close()
        store.add_account(account())  # and goes on working


def test_refused_change_leaves_nothing_half_done(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add_account(account())
        with pytest.raises(SettingsError):
            store.add_account(account())
        store.add_account(account("bob"))
        assert len(store.list_accounts()) == 2


def test_change_that_fails_half_way_is_undone(path: Path) -> None:
    made = account()
    broken = replace(made, ha1={**made.ha1, Algorithm.MD5: Secret("\udc80")})
    with SqliteStore(path) as store:
        with pytest.raises(UnicodeEncodeError):
            store.add_account(broken)
        assert store.list_accounts() == []
        store.add_account(made)


def test_accounts_survive_a_restart(path: Path) -> None:
    with SqliteStore(path) as store:
        store.add_account(account())
    with SqliteStore(path) as store:
        assert store.find_account("alice", "example.org") == account()


def test_bindings_survive_a_restart(path: Path, binding: Binding) -> None:
    with SqliteStore(path) as store:
        store.save_bindings(AOR, [binding, binding])
    with SqliteStore(path) as store:
        assert store.load_bindings() == {AOR: (binding, binding)}


@pytest.mark.parametrize(
    "text", ["[{}]", '[{"of": "another version"}]', "[1]", "null", "{", '{"a": 1}', "[null]"]
)
def test_bindings_that_cannot_be_read_are_left_out_and_the_rest_stays(
    path: Path, binding: Binding, text: str
) -> None:
    with SqliteStore(path) as store:
        store.save_bindings(AOR, [binding])
    database = sqlite3.connect(path)
    database.execute("INSERT INTO bindings VALUES ('sip:bob@example.org', ?)", (text,))
    database.commit()
    database.close()
    with SqliteStore(path) as store:
        assert list(store.load_bindings()) == [AOR]


def test_store_of_a_later_version_is_refused_and_untouched(path: Path) -> None:
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.execute("UPDATE schema_version SET version = 99")
    database.commit()
    database.close()
    before = path.read_bytes()

    with pytest.raises(SettingsError, match="has schema 99, this Sottovoce knows 2; install"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_migration_runs_once_and_keeps_what_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sottovoce.store import sqlite as module

    with SqliteStore(path) as store:
        store.add_account(account())
    further = "ALTER TABLE account ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0"
    known = len(module._MIGRATIONS)
    monkeypatch.setattr(module, "_MIGRATIONS", (*module._MIGRATIONS, further))
    for _ in range(2):
        with SqliteStore(path) as store:
            assert store.find_account("alice", "example.org") == account()
            assert store._version() == known + 1


@pytest.mark.parametrize("content", [b"no database, but long enough to be told from one" * 40])
def test_file_that_is_no_store_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"store\.db: file is not a database; .* no store of"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be opened: No such file .* --data"):
        SqliteStore(tmp_path / "missing" / "store.db")


def test_another_process_is_noticed_by_the_version_and_we_ourselves_are_not(path: Path) -> None:
    ban = Ban("192.0.2.1", "guessing", 1000.0, 1300.0, strikes=1)
    with SqliteStore(path) as serving, SqliteStore(path) as command:
        before = serving.version()
        serving.save_ban(ban)
        assert serving.version() == before

        assert command.remove_ban("192.0.2.1")
        assert serving.version() != before
        assert serving.load_bans() == []


def test_bans_survive_a_restart(path: Path) -> None:
    ban = Ban("2001:db8::/64", "guessing", 1000.0, None)
    with SqliteStore(path) as store:
        store.save_ban(ban)
    with SqliteStore(path) as store:
        assert store.load_bans() == [ban]
