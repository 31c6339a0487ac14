"""A store that forgets everything at the end, for tests and demonstrations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import SettingsError
from ..secret import Secret
from ..sip.digest import Algorithm
from ..sip.registrar import Binding
from .ban import Ban
from .model import Account


class MemoryStore:
    """Accounts, bindings and bans in dictionaries."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], Account] = {}
        self._bindings: dict[str, tuple[Binding, ...]] = {}
        self._bans: dict[str, Ban] = {}

    def add_account(self, account: Account) -> None:
        """See :class:`~.interface.AccountStore`."""
        key = (account.domain, account.user)
        if key in self._accounts:
            raise already_there(account.user, account.domain)
        self._accounts[key] = account

    def find_account(self, user: str, domain: str) -> Account | None:
        """See :class:`~.interface.AccountStore`."""
        return self._accounts.get((domain.lower(), user))

    def find_ha1(self, user: str, domain: str, algorithm: Algorithm) -> Secret[str] | None:
        """See :class:`~.interface.AccountStore`."""
        account = self.find_account(user, domain)
        return None if account is None else account.ha1.get(algorithm)

    def list_accounts(self) -> list[Account]:
        """See :class:`~.interface.AccountStore`."""
        return [self._accounts[key] for key in sorted(self._accounts)]

    def replace_ha1(self, user: str, domain: str, ha1: Mapping[Algorithm, Secret[str]]) -> None:
        """See :class:`~.interface.AccountStore`."""
        account = self.find_account(user, domain)
        if account is None:
            raise not_there(user, domain)
        self._accounts[account.domain, user] = replace(account, ha1=dict(ha1))

    def remove_account(self, user: str, domain: str) -> None:
        """See :class:`~.interface.AccountStore`."""
        if self._accounts.pop((domain.lower(), user), None) is None:
            raise not_there(user, domain)

    def save_bindings(self, aor: str, bindings: Sequence[Binding]) -> None:
        """See :class:`~.interface.BindingStore`."""
        if bindings:
            self._bindings[aor] = tuple(bindings)
        else:
            self._bindings.pop(aor, None)

    def load_bindings(self) -> dict[str, tuple[Binding, ...]]:
        """See :class:`~.interface.BindingStore`."""
        return dict(self._bindings)

    def save_ban(self, ban: Ban) -> None:
        """See :class:`~.interface.BanStore`."""
        self._bans[ban.network] = ban

    def remove_ban(self, network: str) -> bool:
        """See :class:`~.interface.BanStore`."""
        return self._bans.pop(network, None) is not None

    def load_bans(self) -> list[Ban]:
        """See :class:`~.interface.BanStore`."""
        return sorted(self._bans.values(), key=lambda ban: (ban.since_utc, ban.network))

    def version(self) -> int:
        """See :class:`~.interface.BanStore`: no other process has it."""
        return 0


def already_there(user: str, domain: str) -> SettingsError:
    """Say that an account cannot be added twice."""
    return SettingsError(
        f"account {user}@{domain}: there is one already; change it with "
        f"'sottovoce user password {user}@{domain}'"
    )


def not_there(user: str, domain: str) -> SettingsError:
    """Say that there is no such account."""
    return SettingsError(
        f"account {user}@{domain}: there is none; 'sottovoce user list' shows those there are"
    )
