"""The 20 ms clock, on a loop whose time is made up."""

import asyncio
from collections.abc import Callable

import pytest

from sottovoce.net.media_clock import MediaClock


class MadeUpLoop:
    """Just enough of an event loop: time moves only in :meth:`run_until`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lateness_s = 0.0
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []
        self.failures: list[dict[str, object]] = []
        self._real = asyncio.new_event_loop()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self._real)
        self.timers.append((when, handle))
        return handle

    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.failures.append(context)

    def create_future(self) -> "asyncio.Future[float]":
        return self._real.create_future()

    def close(self) -> None:
        self._real.close()

    def run_until(self, end: float) -> None:
        while self.timers and min(self.timers, key=lambda t: t[0])[0] <= end:
            entry = min(self.timers, key=lambda t: t[0])
            self.timers.remove(entry)
            self.now = max(self.now, entry[0] + self.lateness_s)
            if not entry[1].cancelled():
                entry[1]._run()
        self.now = max(self.now, end)


class Driven:
    def __init__(self) -> None:
        self.ticks: list[float] = []

    def handle_timer(self, now: float) -> None:
        self.ticks.append(now)


@pytest.fixture
def loop():  # type: ignore[no-untyped-def]
    made_up = MadeUpLoop()
    yield made_up
    made_up.close()


@pytest.fixture
def clock(loop: MadeUpLoop) -> MediaClock:
    return MediaClock(loop)  # type: ignore[arg-type]


def test_ticks_lie_on_a_grid_however_late_the_loop_is(loop: MadeUpLoop, clock: MediaClock) -> None:
    driven = Driven()
    clock.add(driven)
    loop.lateness_s = 0.007
    loop.run_until(1000 + 60.01)

    assert len(driven.ticks) == 3000
    assert driven.ticks == pytest.approx([1000 + n * 0.02 for n in range(1, 3001)])


def test_stall_is_one_late_tick_and_the_grid_goes_on(loop: MadeUpLoop, clock: MediaClock) -> None:
    driven = Driven()
    clock.add(driven)
    loop.run_until(1000.05)
    loop.now = 1000.511
    loop.run_until(1000.55)

    assert driven.ticks == pytest.approx([1000.02, 1000.04, 1000.50, 1000.52, 1000.54])


def test_one_timer_drives_all_and_none_runs_when_there_is_nothing(
    loop: MadeUpLoop, clock: MediaClock
) -> None:
    many = [Driven() for _ in range(100)]
    for driven in many:
        clock.add(driven)
    loop.run_until(1000.1)
    assert len(loop.timers) == 1
    assert {len(driven.ticks) for driven in many} == {5}
    for driven in many:
        clock.remove(driven)
    clock.remove(Driven())
    loop.run_until(1000.2)

    assert loop.timers == []
    clock.add(many[0])
    loop.run_until(1000.3)
    assert len(many[0].ticks) == 5 + 5


def test_session_that_fails_is_reported_and_the_others_go_on(
    loop: MadeUpLoop, clock: MediaClock
) -> None:
    class Broken:
        def handle_timer(self, now: float) -> None:
            raise RuntimeError("broken")

    driven = Driven()
    clock.add(Broken())
    clock.add(driven)
    loop.run_until(1000.1)

    assert len(driven.ticks) == 5
    assert len(loop.failures) == 1


def test_session_may_be_removed_by_another_in_the_middle_of_a_tick(
    loop: MadeUpLoop, clock: MediaClock
) -> None:
    class Remover:
        def handle_timer(self, now: float) -> None:
            clock.remove(self)

    driven = Driven()
    clock.add(Remover())
    clock.add(driven)
    loop.run_until(1000.1)

    assert len(driven.ticks) == 5


async def test_wait_tick_wakes_everybody_who_waits() -> None:
    loop = asyncio.get_running_loop()
    clock = MediaClock(loop)
    first, second = await asyncio.gather(clock.wait_tick(), clock.wait_tick())

    assert first == second
    assert first >= 0.02
    assert await clock.wait_tick() > first
    clock.close()


async def test_waiter_that_gives_up_does_not_cancel_the_others() -> None:
    clock = MediaClock(asyncio.get_running_loop())
    patient = asyncio.create_task(clock.wait_tick())
    hasty = asyncio.create_task(clock.wait_tick())
    await asyncio.sleep(0)
    hasty.cancel()

    assert await patient > 0
    clock.close()


async def test_closing_lets_go_who_waits_and_cancels_nobody() -> None:
    clock = MediaClock(asyncio.get_running_loop())
    waiting = asyncio.create_task(clock.wait_tick())
    await asyncio.sleep(0)
    clock.close()

    assert await waiting > 0
