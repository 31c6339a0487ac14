"""One 20 ms clock for all media of a process."""

import asyncio
from typing import Protocol

from ..media.frame import FRAME_S


class Ticked(Protocol):
    """What the clock drives: a :class:`~.media_port.MediaPort`."""

    def handle_timer(self, now: float) -> None:
        """Do what is due at or before ``now``."""


class MediaClock:
    """Call ``handle_timer`` of everything added, each 20 ms, with one timer of the loop.

    Ticks lie on a grid counted from the start, and each is told its place on that grid and
    not the moment the loop got round to it: so sessions neither drift nor see two ticks at
    once because a callback ran a little late.  After a stall the missed ticks are not
    repeated; a session counts for itself how many frames are due.

    The timer runs only while something is there to drive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._started_at = loop.time()
        self._tick = 0
        self._driven: dict[Ticked, None] = {}  # in the order they were added
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[float] | None = None

    def add(self, driven: Ticked) -> None:
        """Drive this from the next tick on."""
        self._driven[driven] = None
        self._arm()

    def remove(self, driven: Ticked) -> None:
        """Drive it no more; unknown ones are ignored."""
        self._driven.pop(driven, None)

    async def wait_tick(self) -> float:
        """Return the time of the next tick, after everything was driven."""
        if self._waiter is None:
            self._waiter = self._loop.create_future()
            self._arm()
        return await asyncio.shield(self._waiter)

    def close(self) -> None:
        """Stop; who waits goes on, and finds what it waited for closed."""
        self._driven.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(self._loop.time())
            self._waiter = None

    def _arm(self) -> None:
        if self._timer is not None:
            return
        elapsed_ticks = int((self._loop.time() - self._started_at) / FRAME_S)
        self._tick = max(self._tick, elapsed_ticks) + 1
        self._timer = self._loop.call_at(self._started_at + self._tick * FRAME_S, self._fire)

    def _fire(self) -> None:
        self._timer = None
        # Stalled for more than a tick: go on at the newest place of the grid.
        self._tick = max(self._tick, int((self._loop.time() - self._started_at) / FRAME_S))
        now = self._started_at + self._tick * FRAME_S
        try:
            for driven in tuple(self._driven):
                try:
                    driven.handle_timer(now)
                except Exception as error:  # one call's fault must not stop all
                    self._driven.pop(driven, None)
                    context = {"message": "a media session failed", "exception": error}
                    self._loop.call_exception_handler(context)
        finally:
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(now)
            if self._driven:
                self._arm()
