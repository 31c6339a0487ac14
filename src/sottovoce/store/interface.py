"""What every store can do; ``tests/contract/test_stores.py`` holds each to it.

Stores are synchronous: the embedded ones answer in microseconds, less than a hop to
another thread costs.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..secret import Secret
from ..sip.digest import Algorithm
from ..sip.registrar import Binding
from .ban import Ban
from .model import Account


class AccountStore(Protocol):
    """Who may register and call.  Domains are compared in lower case, user names as they are."""

    def add_account(self, account: Account) -> None:
        """Keep a new account.

        Raises:
            SettingsError: There is one of that name.

        """

    def find_account(self, user: str, domain: str) -> Account | None:
        """Return an account, None when there is none."""

    def find_ha1(self, user: str, domain: str, algorithm: Algorithm) -> Secret[str] | None:
        """Return what a digest answer is checked against, None for an unknown user."""

    def list_accounts(self) -> list[Account]:
        """Return all accounts, by domain and user."""

    def replace_ha1(self, user: str, domain: str, ha1: Mapping[Algorithm, Secret[str]]) -> None:
        """Give an account another password; the hashes of the old one are gone.

        Raises:
            SettingsError: There is no such account.

        """

    def remove_account(self, user: str, domain: str) -> None:
        """Forget an account and its hashes.

        Raises:
            SettingsError: There is no such account.

        """


class BindingStore(Protocol):
    """Where users are registered, kept over a restart (RFC 3261 section 10.3).

    A binding's fields are texts, numbers and tuples of them; its times are wall-clock ones,
    which a restart does not change.
    """

    def save_bindings(self, aor: str, bindings: Sequence[Binding]) -> None:
        """Replace the bindings of one address-of-record; none removes it."""

    def load_bindings(self) -> dict[str, tuple[Binding, ...]]:
        """Return all bindings by address-of-record, expired ones included."""


class BanStore(Protocol):
    """Which sources are not listened to, kept over a restart."""

    def save_ban(self, ban: Ban) -> None:
        """Keep a ban, in place of an earlier one of the same network."""

    def remove_ban(self, network: str) -> bool:
        """Forget a ban; False if there was none."""

    def load_bans(self) -> list[Ban]:
        """Return all bans by their beginning, also those that are over."""

    def version(self) -> int:
        """Return a number that changes when another process has written to the store."""
