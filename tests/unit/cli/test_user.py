"""``sottovoce user``, right and wrong."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sottovoce.pki import CertificateStore
from sottovoce.secret import Secret
from sottovoce.sip.digest import Algorithm, ha1
from sottovoce.store import STORE_FILE, SqliteStore

Run = Callable[..., Any]
PASSWORD = "correct horse"


@pytest.fixture
def store(data: Path) -> Iterator[SqliteStore]:
    """The store as a running server has it open."""
    data.mkdir()
    with SqliteStore(data / STORE_FILE) as opened:
        yield opened


def takes(store: SqliteStore, user: str, password: str) -> bool:
    return all(
        store.find_ha1(user, "example.org", algorithm)
        == ha1(algorithm, user, "example.org", Secret(password))
        for algorithm in (Algorithm.SHA_256, Algorithm.MD5)
    )


def add(run: Run, data: Path, address: str = "alice@example.org", *more: str) -> Any:
    return run(
        "user", "add", address, "--data", str(data), "--password-stdin", *more, stdin=PASSWORD
    )


def test_added_user_is_seen_by_a_server_that_runs(run: Run, data: Path, store: SqliteStore) -> None:
    ended = add(run, data)
    assert (ended.status, ended.out, ended.err) == (0, "", "added alice@example.org\n")
    assert takes(store, "alice", PASSWORD)


def test_first_user_can_be_added_before_the_first_start(run: Run, data: Path) -> None:
    assert add(run, data).status == 0
    assert data.stat().st_mode & 0o777 == 0o700
    assert run("user", "list", "--data", str(data)).out.startswith("alice@example.org\t")


@pytest.mark.parametrize("stdin", [f"{PASSWORD}\n", f"{PASSWORD}\r\n", f"{PASSWORD}\nmore\n"])
def test_password_is_the_first_line_of_stdin(
    run: Run, data: Path, store: SqliteStore, stdin: str
) -> None:
    run("user", "add", "a@example.org", "--data", str(data), "--password-stdin", stdin=stdin)
    assert takes(store, "a", PASSWORD)


def test_password_is_asked_for_twice_on_a_terminal(
    run: Run, data: Path, store: SqliteStore
) -> None:
    run("user", "add", "a@example.org", "--data", str(data), typed=(PASSWORD, PASSWORD))
    assert takes(store, "a", PASSWORD)


def test_two_different_passwords_add_nothing(run: Run, data: Path, store: SqliteStore) -> None:
    ended = run("user", "add", "a@example.org", "--data", str(data), typed=(PASSWORD, "other"))
    assert ended.status == 2
    assert "the two are not the same" in ended.err
    assert store.list_accounts() == []


def test_generated_password_is_printed_once_and_works(
    run: Run, data: Path, store: SqliteStore
) -> None:
    text = run("user", "add", "a@example.org", "--data", str(data), "--generate").out.strip()
    assert takes(store, "a", text)
    document = run("user", "add", "b@example.org", "--data", str(data), "--generate", "--json").json
    assert takes(store, "b", document["password"])
    assert document["user"] == "b@example.org"


@pytest.mark.parametrize("address", ["sip:alice@example.org", "SIPS:alice@EXAMPLE.org"])
def test_address_may_be_given_as_a_uri(
    run: Run, data: Path, store: SqliteStore, address: str
) -> None:
    assert add(run, data, address).status == 0
    assert takes(store, "alice", PASSWORD)


def test_weak_password_is_taken_with_a_warning(run: Run, data: Path) -> None:
    ended = run(
        "user", "add", "a@example.org", "--data", str(data), "--password-stdin", stdin="abc"
    )
    assert ended.status == 0
    assert "warning: password of a@example.org: 3 characters are guessed in no time" in ended.err


def test_users_are_listed_in_every_form(run: Run, data: Path) -> None:
    add(run, data, "bob@example.org", "--display-name", "Bob [red] Stone")
    add(run, data)
    (first, second) = run("user", "list", "--data", str(data)).out.splitlines()
    assert first.split("\t")[0] == "alice@example.org"
    assert second.split("\t")[2] == "Bob [red] Stone"

    users = run("user", "list", "--data", str(data), "--json").json["users"]
    assert [user["address"] for user in users] == ["alice@example.org", "bob@example.org"]
    assert users[1]["display_name"] == "Bob [red] Stone"


def test_terminal_shows_a_table(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(run, data, "bob@example.org", "--display-name", "Bob [red] Stone")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("user", "list", "--data", str(data)).out
    assert "account" in out
    assert "Bob [red] Stone" in out


def test_removed_user_is_gone_at_once(run: Run, data: Path, store: SqliteStore) -> None:
    add(run, data)
    assert run("user", "remove", "alice@Example.org", "--data", str(data)).status == 0
    assert store.list_accounts() == []


def test_new_password_works_and_the_old_one_does_not(
    run: Run, data: Path, store: SqliteStore
) -> None:
    add(run, data)
    arguments = ("user", "password", "alice@example.org", "--data", str(data))
    assert run(*arguments, "--password-stdin", stdin="battery staple").status == 0
    assert takes(store, "alice", "battery staple")
    generated = run(*arguments, "--generate").out.strip()
    assert takes(store, "alice", generated)


# Wrong use


def test_user_added_twice_is_refused_before_a_password_is_asked_for(run: Run, data: Path) -> None:
    add(run, data)
    ended = run("user", "add", "alice@example.org", "--data", str(data))
    assert ended.status == 2
    assert ended.err == (
        "sottovoce: account alice@example.org: there is one already; change it with "
        "'sottovoce user password alice@example.org'\n"
    )


@pytest.mark.parametrize("command", ["remove", "password"])
def test_unknown_user_is_refused_before_a_password_is_asked_for(
    run: Run, data: Path, store: SqliteStore, command: str
) -> None:
    ended = run("user", command, "bob@example.org", "--data", str(data), "--json")
    assert ended.status == 2
    assert ended.json["error"] == (
        "account bob@example.org: there is none; 'sottovoce user list' shows those there are"
    )


@pytest.mark.parametrize("command", [("list",), ("remove", "a@b.test"), ("password", "a@b.test")])
def test_missing_data_folder_is_named_and_not_made(
    run: Run, data: Path, command: tuple[str, ...]
) -> None:
    ended = run("user", *command, "--data", str(data))
    assert ended.status == 2
    assert f"{data}: no such folder; name the server's with --data, or start" in ended.err
    assert not data.exists()


def test_file_in_place_of_the_data_folder_is_named(run: Run, data: Path) -> None:
    data.write_text("")
    for command in (("add", "a@b.test", "--generate"), ("list",)):
        ended = run("user", *command, "--data", str(data))
        assert ended.status == 2
        assert str(data) in ended.err


def test_store_that_cannot_be_opened_is_named(run: Run, data: Path) -> None:
    (data / STORE_FILE).mkdir(parents=True)
    ended = run("user", "list", "--data", str(data))
    assert ended.status == 2
    assert f"{data / STORE_FILE}: cannot be opened: Is a directory" in ended.err


def test_empty_password_adds_nothing(run: Run, data: Path, store: SqliteStore) -> None:
    for stdin in ("", "\n"):
        ended = run("user", "add", "a@b.test", "--data", str(data), "--password-stdin", stdin=stdin)
        assert ended.status == 2
        assert "password of a@b.test: is empty, expected 1 to 256; give another" in ended.err
    assert store.list_accounts() == []


def test_no_way_to_ask_for_a_password_says_what_to_add(run: Run, data: Path) -> None:
    ended = run("user", "add", "a@b.test", "--data", str(data))
    assert ended.status == 2
    assert "stdin is no terminal to ask at; add --password-stdin" in ended.err


def test_password_options_exclude_each_other(run: Run, data: Path) -> None:
    assert "exclude each other" in add(run, data, "a@b.test", "--generate").err


@pytest.mark.parametrize("address", ["alice", "@example.org", "alice@", "", "sip:alice"])
def test_address_of_another_form_is_refused(run: Run, data: Path, address: str) -> None:
    ended = add(run, data, address)
    assert ended.status == 2
    assert "expected USER@DOMAIN, such as alice@example.org" in ended.err


@pytest.mark.parametrize("address", ["a b@example.org", "a@b@example.org", "é@example.org"])
def test_user_name_that_fits_no_uri_is_refused(run: Run, data: Path, address: str) -> None:
    assert "expected 1 to 64 letters" in add(run, data, address).err
    assert not data.exists()


@pytest.mark.parametrize("command", ["add", "remove", "password"])
def test_domain_that_is_no_name_is_refused(run: Run, data: Path, command: str) -> None:
    data.mkdir()
    ended = run("user", command, "a@*.test", "--data", str(data))
    assert ended.status == 2
    assert "wildcards name no SIP domain" in ended.err


def test_account_of_another_domain_is_refused_with_the_right_one(run: Run, data: Path) -> None:
    CertificateStore(data).open_or_make("example.org", now_utc=datetime.now(UTC))
    ended = add(run, data, "alice@example.com")
    assert ended.status == 2
    assert f"the server of {data} is for example.org; add alice@example.org, or" in ended.err
    assert add(run, data).status == 0
