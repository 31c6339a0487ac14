"""``sottovoce ban``, right and wrong."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sottovoce.store import STORE_FILE, Ban, SqliteStore

Run = Callable[..., Any]


@pytest.fixture
def store(data: Path) -> Any:
    """The store as a running server has it open."""
    data.mkdir()
    with SqliteStore(data / STORE_FILE) as opened:
        yield opened


def banned(network: str, left_s: float, strikes: int = 1) -> Ban:
    now = time.time()
    return Ban(network, "wrong passwords", now - 60, now + left_s, strikes)


def test_bans_in_force_are_listed_for_people_and_for_scripts(
    run: Run, data: Path, store: SqliteStore
) -> None:
    store.save_ban(banned("192.0.2.1", 600))
    store.save_ban(banned("192.0.2.2", -1))  # over, and only remembered

    ended = run("ban", "list", "--data", str(data))
    assert ended.status == 0
    address, until, reason = ended.out.rstrip("\n").split("\t")
    assert (address, reason) == ("192.0.2.1", "wrong passwords")
    assert until.endswith("+00:00")
    (document,) = run("ban", "list", "--data", str(data), "--json").json["bans"]
    assert (document["address"], document["strikes"]) == ("192.0.2.1", 1)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8::0/48", "2001:db8::/48"),
    ],
)
def test_ban_is_added_in_the_form_that_the_server_looks_for_and_lifted(
    run: Run, data: Path, store: SqliteStore, given: str, kept: str
) -> None:
    assert run("ban", "add", given, "--data", str(data), "--json").json == {
        "address": kept,
        "done": "banned",
    }
    (ban,) = store.load_bans()
    assert (ban.network, ban.until_utc, ban.strikes) == (kept, None, 0)

    ended = run("ban", "lift", given, "--data", str(data))
    assert (ended.status, ended.out, ended.err) == (0, "", f"lifted {kept}\n")
    assert store.load_bans() == []


def test_ban_may_end_by_itself(run: Run, data: Path, store: SqliteStore) -> None:
    run("ban", "add", "192.0.2.7", "--seconds", "60", "--reason", "scans", "--data", str(data))
    (ban,) = store.load_bans()
    assert ban.reason == "scans"
    assert ban.until_utc == ban.since_utc + 60


@pytest.mark.parametrize("address", ["alice", "192.0.2.7/8", "192.0.2.256", "1.2.3.4/24/24", ""])
def test_what_is_no_address_is_refused_and_told(
    run: Run, data: Path, store: SqliteStore, address: str
) -> None:
    for command in ("add", "lift"):
        ended = run("ban", command, address, "--data", str(data))
        assert ended.status == 2
        assert "expected one such as 192.0.2.7" in ended.err
    assert store.load_bans() == []


def test_lifting_what_is_not_banned_names_the_ban_around_it(
    run: Run, data: Path, store: SqliteStore
) -> None:
    assert "there is none" in run("ban", "lift", "192.0.2.7", "--data", str(data)).err

    store.save_ban(banned("192.0.2.0/24", 600))
    ended = run("ban", "lift", "192.0.2.7", "--data", str(data))
    assert ended.status == 2
    assert "'sottovoce ban lift 192.0.2.0/24' lifts that" in ended.err
