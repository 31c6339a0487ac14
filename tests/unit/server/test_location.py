"""Where users are registered, over a store that may fail."""

from collections.abc import Sequence

import pytest

from sottovoce.errors import SettingsError
from sottovoce.server.location import RETRY_S, WRITE_BEHIND_S, Location
from sottovoce.sip.registrar import Binding
from sottovoce.store import MemoryStore

AOR = "sip:alice@example.test"
BINDING = Binding("sips:alice@192.0.2.1", (), "call-id", 1, 1e9 + 600, "run/1")


class FullStore(MemoryStore):
    """Cannot be written while its disk is full."""

    full = True

    def save_bindings(self, aor: str, bindings: Sequence[Binding]) -> None:
        if self.full:
            raise SettingsError("the disk is full")
        super().save_bindings(aor, bindings)


def test_a_full_disk_stops_nothing_and_what_was_not_written_is_written_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FullStore()
    location = Location(store, 0.0)
    location.replace(AOR, (BINDING,), 0.0)
    location.handle_timer(WRITE_BEHIND_S, 1e9)

    assert "the disk is full" in caplog.text
    assert location.find(AOR, 1e9) == (BINDING,)
    assert location.next_deadline() == WRITE_BEHIND_S + RETRY_S
    store.full = False
    location.handle_timer(WRITE_BEHIND_S + RETRY_S, 1e9)
    assert store.load_bindings() == {AOR: (BINDING,)}


def test_bindings_that_expired_are_neither_found_nor_kept() -> None:
    store = MemoryStore()
    location = Location(store, 0.0)
    location.replace(AOR, (BINDING,), 0.0)
    location.save(0.0)

    assert location.find(AOR, BINDING.expires_utc) == ()
    location.handle_timer(60.0, BINDING.expires_utc)
    location.save(60.0)
    assert store.load_bindings() == {}
