"""Which of many machines is due next: one heap, so that a driver needs one timer."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_COMPACT_OVER = 64  # stale entries are swept when they outnumber the live ones beyond this


def earliest(*times: float | None) -> float | None:
    """The first of several deadlines, some of which there may not be."""
    first: float | None = None
    for each in times:
        if each is not None and (first is None or each < first):
            first = each
    return first


class Deadlines(Generic[Key]):
    """Remember at most one deadline a key.

    Moving or dropping a deadline leaves a stale heap entry behind, which is skipped
    when it surfaces: all calls cost O(log n) amortised, and memory stays O(live keys).
    """

    def __init__(self) -> None:
        self._due_at: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = 0  # ties fire in the order they were set; keys are never compared

    def __len__(self) -> int:
        return len(self._due_at)

    def set(self, key: Key, due_at: float | None) -> None:
        """Set, move or (with None) drop the deadline of ``key``."""
        if due_at is None:
            self._due_at.pop(key, None)
            return
        if self._due_at.get(key) == due_at:
            return
        self._due_at[key] = due_at
        self._order += 1
        heapq.heappush(self._heap, (due_at, self._order, key))
        if len(self._heap) > 2 * len(self._due_at) + _COMPACT_OVER:
            self._heap = [entry for entry in self._heap if self._due_at.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def next_deadline(self) -> float | None:
        """When the earliest key is due, or None."""
        while self._heap:
            due_at, _, key = self._heap[0]
            if self._due_at.get(key) == due_at:
                return due_at
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> Iterator[Key]:
        """Yield each key due at or before ``now``, earliest first, and forget its deadline."""
        while (due_at := self.next_deadline()) is not None and due_at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due_at[key]
            yield key
