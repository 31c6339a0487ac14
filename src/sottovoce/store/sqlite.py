"""Accounts, bindings and bans in one SQLite file.

Several processes may have it open: ``sottovoce user add`` writes while ``serve`` reads, and
``serve`` sees the new account at its next look.  In write-ahead mode a reader never waits.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..secret import Secret
from ..sip.digest import Algorithm
from ..sip.registrar import Binding
from .ban import Ban
from .memory import already_there, not_there
from .model import Account

STORE_FILE = "sottovoce.sqlite"

_FILE_MODE = 0o600
#: How long a write waits for another process's.  The server waits with all its calls, so
#: this is short; a write of ours takes well under a millisecond.
_BUSY_TIMEOUT_MS = 1000

#: Accounts, and names asked for that are none, remembered between two writes.  Both are, or
#: the time of an answer would tell which names are accounts.
MAX_KNOWN_ACCOUNTS = 10_000

#: Each entry brings the schema from the version of its place to the next; entries are only
#: ever added.
_MIGRATIONS = (
    """
    CREATE TABLE account (
        domain TEXT NOT NULL, user TEXT NOT NULL,
        display_name TEXT NOT NULL, created_utc TEXT NOT NULL,
        PRIMARY KEY (domain, user)
    ) WITHOUT ROWID;
    CREATE TABLE ha1 (
        domain TEXT NOT NULL, user TEXT NOT NULL, algorithm TEXT NOT NULL, ha1 TEXT NOT NULL,
        PRIMARY KEY (domain, user, algorithm),
        FOREIGN KEY (domain, user) REFERENCES account ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE bindings (
        aor TEXT NOT NULL PRIMARY KEY, json TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE ban (
        network TEXT NOT NULL PRIMARY KEY, reason TEXT NOT NULL,
        since_utc REAL NOT NULL, until_utc REAL, strikes INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)

_ACCOUNTS = "SELECT user, domain, created_utc, display_name FROM account"
_SAVE_BINDINGS = "INSERT OR REPLACE INTO bindings VALUES (?, ?)"


class SqliteStore:
    """An :class:`~.interface.AccountStore`, ``BindingStore`` and ``BanStore``.

    Args:
        path: The file; made with mode 0600 when it is missing.

    Raises:
        SettingsError: Not a store, of a later version, or not readable and writable.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, str], Account | None] = {}
        self._known_version = -1
        try:
            # Made here, for sqlite would make it as the umask says; -wal and -shm follow it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE))
        except OSError as error:
            raise SettingsError(
                f"{path}: cannot be opened: {error.strerror}; give another folder with --data"
            ) from None
        with self._named():
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=_BUSY_TIMEOUT_MS / 1000
            )
        try:
            with self._named():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        self._database.close()

    def __enter__(self) -> "SqliteStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_account(self, account: Account) -> None:
        """See :class:`~.interface.AccountStore`."""
        row = (
            account.domain,
            account.user,
            account.display_name,
            account.created_utc.isoformat(),
        )
        with self._writing() as database:
            if self._exists(account.user, account.domain):
                raise already_there(account.user, account.domain)
            database.execute("INSERT INTO account VALUES (?, ?, ?, ?)", row)
            self._insert_ha1(account.user, account.domain, account.ha1)

    def find_account(self, user: str, domain: str) -> Account | None:
        """See :class:`~.interface.AccountStore`."""
        if not user.isascii() or not domain.isascii():
            return None  # no account is named so; half a surrogate pair is no text to sqlite
        key = user, domain.lower()
        with self._named():
            # Changes when another process has written, such as `user add` while we serve.
            version = self._data_version()
            if version != self._known_version or len(self._known) >= MAX_KNOWN_ACCOUNTS:
                self._known.clear()
                self._known_version = version
            if key not in self._known:
                row = self._database.execute(
                    f"{_ACCOUNTS} WHERE domain = ? AND user = ?", (key[1], user)
                ).fetchone()
                self._known[key] = None if row is None else self._account(row)
            return self._known[key]

    def find_ha1(self, user: str, domain: str, algorithm: Algorithm) -> Secret[str] | None:
        """See :class:`~.interface.AccountStore`."""
        account = self.find_account(user, domain)
        return None if account is None else account.ha1.get(algorithm)

    def list_accounts(self) -> list[Account]:
        """See :class:`~.interface.AccountStore`."""
        with self._named():
            rows = self._database.execute(f"{_ACCOUNTS} ORDER BY domain, user").fetchall()
            return [self._account(row) for row in rows]

    def replace_ha1(self, user: str, domain: str, ha1: Mapping[Algorithm, Secret[str]]) -> None:
        """See :class:`~.interface.AccountStore`."""
        domain = domain.lower()
        with self._writing() as database:
            if not self._exists(user, domain):
                raise not_there(user, domain)
            database.execute("DELETE FROM ha1 WHERE domain = ? AND user = ?", (domain, user))
            self._insert_ha1(user, domain, ha1)

    def remove_account(self, user: str, domain: str) -> None:
        """See :class:`~.interface.AccountStore`."""
        domain = domain.lower()
        with self._writing() as database:
            if not self._exists(user, domain):
                raise not_there(user, domain)
            database.execute("DELETE FROM account WHERE domain = ? AND user = ?", (domain, user))

    def save_bindings(self, aor: str, bindings: Sequence[Binding]) -> None:
        """See :class:`~.interface.BindingStore`."""
        with self._named():
            if not bindings:
                self._database.execute("DELETE FROM bindings WHERE aor = ?", (aor,))
                return
            text = json.dumps([asdict(binding) for binding in bindings])
            self._database.execute(_SAVE_BINDINGS, (aor, text))

    def load_bindings(self) -> dict[str, tuple[Binding, ...]]:
        """See :class:`~.interface.BindingStore`.

        What another version of this program saved in other fields is left out: the phones
        register again.
        """
        with self._named():
            rows = self._database.execute("SELECT aor, json FROM bindings").fetchall()
        loaded = {}
        for aor, text in rows:
            try:
                loaded[aor] = tuple(
                    Binding(**{name: _hashable(item) for name, item in value.items()})
                    for value in json.loads(text)
                )
            except (TypeError, ValueError, AttributeError):
                continue
        return loaded

    def save_ban(self, ban: Ban) -> None:
        """See :class:`~.interface.BanStore`."""
        row = (ban.network, ban.reason, ban.since_utc, ban.until_utc, ban.strikes)
        with self._named():
            self._database.execute("INSERT OR REPLACE INTO ban VALUES (?, ?, ?, ?, ?)", row)

    def remove_ban(self, network: str) -> bool:
        """See :class:`~.interface.BanStore`."""
        with self._named():
            statement = "DELETE FROM ban WHERE network = ?"
            return self._database.execute(statement, (network,)).rowcount > 0

    def load_bans(self) -> list[Ban]:
        """See :class:`~.interface.BanStore`."""
        query = "SELECT network, reason, since_utc, until_utc, strikes FROM ban"
        with self._named():
            rows = self._database.execute(f"{query} ORDER BY since_utc, network").fetchall()
        return [Ban(*row) for row in rows]

    def version(self) -> int:
        """See :class:`~.interface.BanStore`."""
        with self._named():
            return self._data_version()

    def _data_version(self) -> int:
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def _prepare(self) -> None:
        """Set the connection up and bring the schema to this version."""
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA foreign_keys = ON")
        # Bindings: a power cut may lose the last ones, and the phones register again.
        self._database.execute("PRAGMA synchronous = NORMAL")
        if self._version() == len(_MIGRATIONS):
            return
        with self._writing() as database:
            version = self._version()  # another process may have been faster
            if version > len(_MIGRATIONS):
                raise SettingsError(
                    f"{self._path}: has schema {version}, this Sottovoce knows {len(_MIGRATIONS)}; "
                    "install the version that wrote it, or a later one"
                )
            for migration in _MIGRATIONS[version:]:
                for statement in migration.split(";"):
                    database.execute(statement)
            database.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
            database.execute("DELETE FROM schema_version")
            database.execute("INSERT INTO schema_version VALUES (?)", (len(_MIGRATIONS),))

    def _version(self) -> int:
        table = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"
        if self._database.execute(table).fetchone() is None:
            return 0
        row = self._database.execute("SELECT version FROM schema_version").fetchone()
        return int(row[0])

    def _exists(self, user: str, domain: str) -> bool:
        query = "SELECT 1 FROM account WHERE domain = ? AND user = ?"
        return self._database.execute(query, (domain, user)).fetchone() is not None

    def _insert_ha1(self, user: str, domain: str, ha1: Mapping[Algorithm, Secret[str]]) -> None:
        self._database.executemany(
            "INSERT INTO ha1 VALUES (?, ?, ?, ?)",
            [(domain, user, algorithm.name, value.reveal()) for algorithm, value in ha1.items()],
        )

    def _account(self, row: tuple[str, str, str, str]) -> Account:
        user, domain, created_utc, display_name = row
        query = "SELECT algorithm, ha1 FROM ha1 WHERE domain = ? AND user = ?"
        hashes = self._database.execute(query, (domain, user)).fetchall()
        return Account(
            user,
            domain,
            {Algorithm[name]: Secret(value) for name, value in hashes},
            datetime.fromisoformat(created_utc),
            display_name,
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction that is on the disk when it is over."""
        self._known.clear()
        with self._named():
            try:
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            finally:
                self._database.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the library's errors into ours, with the file's name."""
        try:
            yield
        except sqlite3.Error as error:
            raise SettingsError(
                f"{self._path}: {error}; another program holds it, the disk is full, or it is "
                "no store of Sottovoce's"
            ) from error


def _hashable(value: Any) -> Any:
    """Undo what JSON does to tuples."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
