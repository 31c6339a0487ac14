"""Where the users of the domain are registered: in memory, written behind to the store."""

import logging
from collections.abc import Iterable

from ..errors import LocalError
from ..sip.registrar import Binding
from ..store.interface import BindingStore

#: A crash loses the registrations of at most this time; phones renew them anyway.
WRITE_BEHIND_S = 1.0
SWEEP_S = 60.0
#: Between two attempts to write while the disk is full or the file is held.
RETRY_S = 30.0

log = logging.getLogger("sottovoce.server")


class Location:
    """The location service of RFC 3261 section 10.

    Args:
        store: Where bindings survive a restart.
        now: Monotonic seconds.

    """

    def __init__(self, store: BindingStore, now: float) -> None:
        self._store = store
        self._bindings: dict[str, tuple[Binding, ...]] = store.load_bindings()
        self._unsaved: set[str] = set()
        self._save_at: float | None = None
        self._sweep_at = now + SWEEP_S

    def find(self, aor: str, now_utc: float) -> tuple[Binding, ...]:
        """Bindings of an address-of-record that have not expired."""
        return tuple(each for each in self._bindings.get(aor, ()) if each.expires_utc > now_utc)

    def replace(self, aor: str, bindings: tuple[Binding, ...], now: float) -> None:
        """Set all bindings of an address-of-record."""
        if bindings:
            self._bindings[aor] = bindings
        else:
            self._bindings.pop(aor, None)
        self._unsaved.add(aor)
        if self._save_at is None:
            self._save_at = now + WRITE_BEHIND_S

    def aors(self) -> Iterable[str]:
        """Every address-of-record with a binding."""
        return tuple(self._bindings)

    def save(self, now: float) -> None:
        """Write what has changed; what cannot be written stays for the next attempt."""
        try:
            for aor in tuple(self._unsaved):
                self._store.save_bindings(aor, self._bindings.get(aor, ()))
                self._unsaved.discard(aor)
        except LocalError as error:  # calls do not need the disk: they go on
            log.error("registrations are not saved, and a restart would forget them: %s", error)
            self._save_at = now + RETRY_S
        else:
            self._save_at = None

    def handle_timer(self, now: float, now_utc: float) -> None:
        """Write behind, and drop what has expired."""
        if self._save_at is not None and self._save_at <= now:
            self.save(now)
        if self._sweep_at <= now:
            self._sweep_at = now + SWEEP_S
            for aor in self.aors():
                live = self.find(aor, now_utc)
                if len(live) < len(self._bindings[aor]):
                    self.replace(aor, live, now)

    def next_deadline(self) -> float:
        """When to call :meth:`handle_timer`."""
        return self._sweep_at if self._save_at is None else min(self._save_at, self._sweep_at)
