"""Who guesses passwords, how long it is made to wait, and when it is no longer listened to.

A wrong answer to a challenge counts against its source: the address, and with a higher
threshold the network around it (/24, or /64 of IPv6).  Counts fade.  What reaches the limit
is banned, and for twice as long each time it comes back.

* **Forged addresses.**  A ban must never hit a bystander whose address somebody else writes
  into UDP datagrams.  On a stream the TCP handshake proves the address.  Over UDP a nonce
  does: it is authenticated together with the address that it was sent to, and
  :class:`~sottovoce.sip.authenticator.Authenticator` does not even look at a password in answer to
  another one (it is challenged again, as stale).  So every refused answer that is counted
  here comes from somebody who receives what we send to that address, and no guess can be
  made without one.  Malformed messages prove nothing over UDP and are not counted there.
* **Shared addresses.**  Behind one address there may be an office.  Where somebody has
  authenticated within the last hour the limit is higher, and a ban of the network around it
  leaves that address out.  A success takes back the failures of its own account alone, or a
  guesser with one account could wash away the guesses at all others.
* **No oracle.**  Counting and waiting depend on the source, never on whether the account
  exists.

Times are seconds since 1970, for bans survive a restart.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ..net.source import IpNetwork, parse_source, prefix_of
from ..sip.uri import frozen_by_type
from ..store.ban import Ban
from ..store.model import MAX_USER_CHARACTERS

MAX_SOURCES: Final = 20_000
"Sources whose failures are remembered, under 2 kB each; the one longest silent goes first."

MAX_HONEST_SOURCES: Final = 50_000
"Sources where somebody authenticated; the one longest silent goes first."

MAX_BANS: Final = 20_000
"""Bans held at once.  Those that are over go first; no ban in force is forgotten for a new
one, so beyond this a guesser is slowed only, and his network is banned."""

MAX_ACCOUNTS_A_SOURCE: Final = 8
"Accounts whose failures a source can get back by success; the first ones named."

#: Networks hold many hosts of one /24, and commonly a single site in one /64.
_PREFIX_FACTORS: Final = {4: 8, 6: 2}
#: How much more often an address may fail behind which somebody has authenticated.
_HONEST_FACTOR: Final = 5
_HONEST_S: Final = 3600.0
_HONEST_REFRESH_S: Final = 60.0
#: A broken phone may send broken messages; so may somebody who looks for a weakness.
_MALFORMED_WEIGHT: Final = 0.25

#: How long the refusal of the second, third, ... failure waits; the first may be a slip.
_DELAYS_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """When a source is banned, and for how long."""

    guess_limit: int = 10
    "Failures within the window that ban one address; 0 switches bans and waiting off."

    guess_window_s: float = 600.0
    "Counts halve in this time."

    ban_s: float = 600.0
    "The first ban of a source."

    ban_max_s: float = 86_400.0
    "The longest; for as long after its end a ban is remembered, and the next is doubled."

    exempt: tuple[IpNetwork, ...] = ()
    "Never banned nor slowed by the guard."


@frozen_by_type
class _Source:
    """What one address, as sockets tell it, is called here."""

    address: str
    prefix: str
    prefix_factor: int
    exempt: bool

    wide: tuple[str, ...]
    "Banned networks of other sizes that hold the address."


@dataclass(slots=True)
class _Failures:
    """The failures of one source, faded until ``at``."""

    at: float
    count: float = 0.0
    by_account: dict[str, float] = field(default_factory=dict)

    def fade(self, now: float, half_life_s: float) -> None:
        factor = 0.5 ** (max(0.0, now - self.at) / half_life_s)
        self.at = now
        self.count *= factor
        for account in self.by_account:
            self.by_account[account] *= factor


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a failure."""

    delay_s: float = 0.0
    "How long the refusal waits."

    bans: tuple[Ban, ...] = ()
    "Sources that are banned from now on."


NOTHING: Final = Judgement()


class Guard:
    """Counts failures by source, and knows who is banned.

    Args:
        settings: Limits.
        bans: As they were saved.

    """

    def __init__(self, settings: GuardSettings, bans: Iterable[Ban] = ()) -> None:
        self._settings = settings
        self._sources: dict[str, _Source] = {}
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._honest: dict[str, float] = {}
        self._bans: dict[str, Ban] = {}
        self._pushed_out: list[str] = []
        self._wide: tuple[tuple[IpNetwork, str], ...] = ()
        self.set_bans(bans)

    # Bans

    def admits(self, address: str, now: float) -> bool:
        """Whether anything that comes from there is looked at at all."""
        bans = self._bans
        if not bans:
            return True
        source = self._sources.get(address) or self._name(address)
        ban = bans.get(source.address)
        if ban is not None and ban.holds(now):
            return False
        ban = bans.get(source.prefix)
        # A network that guessed is shut; those in it who proved who they are stay.
        spared = ban is not None and ban.strikes > 0 and self._is_honest(source.address, now)
        if ban is not None and ban.holds(now) and not spared:
            return False
        return not any(bans[network].holds(now) for network in source.wide)

    def exempts(self, address: str) -> bool:
        """Whether the operator trusts that address not to attack."""
        return (self._sources.get(address) or self._name(address)).exempt

    def set_bans(self, bans: Iterable[Ban]) -> bool:
        """Take all bans anew, as somebody else has changed them; whether any was added."""
        before = self._bans
        self._bans = {ban.network: ban for ban in bans}
        self._wide = tuple((net, text) for text in self._bans if (net := _wide(text)) is not None)
        self._sources.clear()
        return any(before.get(network) != ban for network, ban in self._bans.items())

    def take_forgotten(self, now: float) -> list[str]:
        """Forget bans that have been over for long; which ones those are."""
        over, self._pushed_out = self._pushed_out, []
        over += [
            network
            for network, ban in self._bans.items()
            if ban.until_utc is not None and ban.until_utc + self._remembered_s(ban) <= now
        ]
        if over:
            for network in over:
                self._bans.pop(network, None)
            self.set_bans(self._bans.values())
        return over

    def _remembered_s(self, ban: Ban) -> float:
        return self._settings.ban_max_s if ban.strikes else 0.0

    def _ban(self, key: str, reason: str, now: float) -> tuple[Ban, ...]:
        known = self._bans.get(key)
        if known is not None and known.holds(now):
            return ()
        if known is None and len(self._bans) >= MAX_BANS and not self._make_room(now):
            return ()
        strikes = known.strikes + 1 if known is not None else 1
        settings = self._settings
        duration_s = settings.ban_max_s
        if strikes <= 32:  # a float's room, and more than any maximum needs
            duration_s = min(settings.ban_s * 2.0 ** (strikes - 1), duration_s)
        ban = Ban(key, reason, now, now + duration_s, strikes)
        self._bans[key] = ban
        return (ban,)

    def _make_room(self, now: float) -> bool:
        for network, ban in self._bans.items():
            if not ban.holds(now):
                del self._bans[network]
                self._pushed_out.append(network)
                return True
        return False

    # What was seen

    def note_refused(self, address: str, account: str, now: float) -> Judgement:
        """Count a wrong answer to a challenge of ours.

        Args:
            address: Where it came from, proven (see above).
            account: The name that it was for, which there need not be.
            now: Seconds since 1970.

        """
        return self._note(address, account, 1.0, "wrong passwords", now)

    def note_malformed(self, address: str, now: float) -> Judgement:
        """Count a message on a stream that could not be read."""
        return self._note(address, "", _MALFORMED_WEIGHT, "malformed messages", now)

    def note_accepted(self, address: str, account: str, now: float) -> None:
        """Somebody has proved who he is: his own failures are forgiven."""
        source = self._sources.get(address) or self._name(address)
        if self._honest.get(source.address, 0.0) < now + _HONEST_S - _HONEST_REFRESH_S:
            self._remember_honest(source.prefix, now)
            self._remember_honest(source.address, now)
        if not self._failures:
            return
        failures = self._failures.get(source.address)
        if failures is None or account not in failures.by_account:
            return
        failures.fade(now, self._settings.guess_window_s)
        forgiven = failures.by_account.pop(account)
        failures.count -= forgiven
        around = self._failures.get(source.prefix)
        if around is not None:
            around.fade(now, self._settings.guess_window_s)
            around.count = max(0.0, around.count - forgiven)

    def _note(self, address: str, account: str, weight: float, what: str, now: float) -> Judgement:
        limit = self._settings.guess_limit
        if not limit:
            return NOTHING
        source = self._sources.get(address) or self._name(address)
        failures = self._count(source.address, weight, now)
        shares = failures.by_account
        if 0 < len(account) <= MAX_USER_CHARACTERS and (  # a longer name is no account's
            account in shares or len(shares) < MAX_ACCOUNTS_A_SOURCE
        ):
            shares[account] = shares.get(account, 0.0) + weight
        around = self._count(source.prefix, weight, now)
        if source.exempt:
            return NOTHING
        bans: tuple[Ban, ...] = ()
        if failures.count >= self._limit(source.address, limit, now):
            bans += self._ban_for(source.address, failures, what, now)
        if around.count >= self._limit(source.prefix, limit * source.prefix_factor, now):
            bans += self._ban_for(source.prefix, around, what, now)
        place = min(max(0, round(failures.count) - 1), len(_DELAYS_S) - 1)
        return Judgement(_DELAYS_S[place] if account else 0.0, bans)

    def _ban_for(self, key: str, failures: _Failures, what: str, now: float) -> tuple[Ban, ...]:
        bans = self._ban(key, what, now)
        if bans:  # when the ban is over the count begins anew
            failures.count = 0.0
            failures.by_account.clear()
        return bans

    def _limit(self, key: str, limit: int, now: float) -> float:
        # A hair under it: counts have faded by microseconds when the last one comes.
        return (limit * _HONEST_FACTOR if self._is_honest(key, now) else limit) - 0.5

    def _count(self, key: str, weight: float, now: float) -> _Failures:
        failures = self._failures.get(key)
        if failures is None:
            if len(self._failures) >= MAX_SOURCES:
                self._failures.popitem(last=False)
            failures = self._failures[key] = _Failures(now)
        else:
            self._failures.move_to_end(key)
            failures.fade(now, self._settings.guess_window_s)
        failures.count += weight
        return failures

    def _is_honest(self, key: str, now: float) -> bool:
        return self._honest.get(key, 0.0) > now

    def _remember_honest(self, key: str, now: float) -> None:
        self._honest.pop(key, None)  # so that the order is that of the last success
        if len(self._honest) >= MAX_HONEST_SOURCES:
            del self._honest[next(iter(self._honest))]
        self._honest[key] = now + _HONEST_S

    def _name(self, address: str) -> _Source:
        """Work out what an address is called, and remember it for the next message."""
        if len(self._sources) >= MAX_SOURCES:
            self._sources.clear()
        try:
            parsed = parse_source(address)
        except ValueError:  # no socket of ours tells such a thing
            source = _Source(address, address, 1, False, ())
        else:
            source = _Source(
                str(parsed),
                str(prefix_of(parsed)),
                _PREFIX_FACTORS[parsed.version],
                any(parsed in network for network in self._settings.exempt),
                tuple(text for network, text in self._wide if parsed in network),
            )
        self._sources[address] = source
        return source


def _wide(text: str) -> IpNetwork | None:
    """A banned network that is neither one address nor the prefix that addresses are counted in."""
    if "/" not in text:
        return None
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    return None if network == prefix_of(network.network_address) else network
