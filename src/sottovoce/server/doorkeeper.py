"""What follows from the guard's judgements: refusals that wait, bans kept, connections closed."""

import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from ..deadlines import earliest
from ..errors import LocalError
from ..sip.element import Element
from ..sip.server_transaction import ServerTransaction
from ..sip.transport import Flow
from ..store.ban import Ban
from ..store.interface import BanStore
from .guard import Guard, GuardSettings, Judgement

log = logging.getLogger("sottovoce.server")

MAX_WAITING_REFUSALS: Final = 1_000
"Refusals that wait at once; further ones are sent at once, and bans take care of the rest."

#: How soon a ban that ``sottovoce ban`` adds or lifts takes effect: one look at a number.
_LOOK_S: Final = 0.5
_SWEEP_S: Final = 60.0

Fields = Sequence[tuple[str, str]]


class Doorkeeper:
    """Stands between the node, the driver and the store of bans.

    It is the driver's :class:`~sottovoce.net.peer_watch.Gate`.

    Args:
        settings: Limits.
        element: Sends the refusals.
        store: Where bans survive a restart, and where ``sottovoce ban`` changes them.
        wall_clock: Seconds since 1970.
        now: Monotonic seconds.

    """

    def __init__(
        self,
        settings: GuardSettings,
        element: Element,
        store: BanStore,
        wall_clock: Callable[[], float],
        now: float,
    ) -> None:
        self._element = element
        self._store = store
        self._wall_clock = wall_clock
        self._version = store.version()
        self._guard = Guard(settings, store.load_bans())
        self._known: set[int] = set()
        self._unsaved: dict[str, Ban] = {}
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, ServerTransaction, int, Fields]] = []
        self._look_at = now + _LOOK_S
        self._sweep_at = now + _SWEEP_S
        self.on_ban: Callable[[], None] = lambda: None
        "Called when somebody who may have connections is no longer admitted."

    # The driver's gate

    def admits(self, address: str) -> bool:
        """Whether anything from there is looked at."""
        return self._guard.admits(address, self._wall_clock())

    def exempts(self, address: str) -> bool:
        """Whether the limits for one source do not hold there."""
        return self._guard.exempts(address)

    def knows(self, flow: Flow) -> bool:
        """Whether somebody has authenticated over this connection."""
        return flow.connection in self._known

    def connection_lost(self, flow: Flow) -> None:
        """A connection is gone."""
        self._known.discard(flow.connection)

    # What the node saw

    def accept(self, flow: Flow, user: str) -> None:
        """Somebody has proved who he is."""
        if flow.connection:
            self._known.add(flow.connection)
        self._guard.note_accepted(flow.remote[0], user, self._wall_clock())

    def refuse(
        self, transaction: ServerTransaction, user: str, status: int, fields: Fields, now: float
    ) -> None:
        """Answer a wrong password, as late as its source deserves."""
        flow = transaction.flow
        log.info("= %s %s: wrong user name or password", flow, transaction.request.method)
        judgement = self._guard.note_refused(flow.remote[0], user, self._wall_clock())
        if judgement.delay_s and len(self._waiting) < MAX_WAITING_REFUSALS:
            due_at = now + judgement.delay_s
            entry = (due_at, next(self._order), transaction, status, fields)
            heapq.heappush(self._waiting, entry)
        else:
            self._element.turn_away(transaction, status, now, fields=fields)
        self._enforce(judgement)

    def note_malformed(self, flow: Flow) -> None:
        """A message could not be read.  Over UDP nobody knows who sent it."""
        if flow.transport.reliable:
            self._enforce(self._guard.note_malformed(flow.remote[0], self._wall_clock()))

    def _enforce(self, judgement: Judgement) -> None:
        for ban in judgement.bans:
            seconds = (ban.until_utc or ban.since_utc) - ban.since_utc
            log.warning(
                "= %s is banned for %.0f s: %s; 'sottovoce ban lift %s' lifts it",
                ban.network, seconds, ban.reason, ban.network,
            )  # fmt: skip
            self._unsaved[ban.network] = ban
        if judgement.bans:
            self._save()
            self.on_ban()

    # The store

    def _save(self) -> None:
        try:
            for network, ban in list(self._unsaved.items()):
                self._store.save_ban(ban)
                del self._unsaved[network]
        except LocalError as error:  # in force all the same; tried again at the next look
            log.error("a ban could not be saved: %s", error)

    def _look(self) -> None:
        """Take over what ``sottovoce ban`` has changed."""
        self._save()
        try:
            version = self._store.version()
            if version == self._version:
                return
            bans = self._store.load_bans()
        except LocalError as error:
            log.error("bans could not be read: %s", error)
            return
        self._version = version
        if self._guard.set_bans([*bans, *self._unsaved.values()]):
            self.on_ban()

    def _sweep(self) -> None:
        try:
            for network in self._guard.take_forgotten(self._wall_clock()):
                self._store.remove_ban(network)
        except LocalError as error:
            log.error("bans that are over could not be removed: %s", error)

    # The rest of the five calls

    def handle_timer(self, now: float) -> None:
        """Send the refusals that have waited, and look after the store."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, transaction, status, fields = heapq.heappop(self._waiting)
            self._element.turn_away(transaction, status, now, fields=fields)
        if self._look_at <= now:
            self._look_at = now + _LOOK_S
            self._look()
        if self._sweep_at <= now:
            self._sweep_at = now + _SWEEP_S
            self._sweep()

    def next_deadline(self) -> float:
        """When to call :meth:`handle_timer`."""
        due_at = self._waiting[0][0] if self._waiting else None
        return earliest(due_at, self._look_at, self._sweep_at) or self._look_at
