"""The line that shows a call while it lasts: time, sound, padlocks."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from .output import one_line, stderr_console

if TYPE_CHECKING:
    from rich.text import Text

    from ..phone import Call

_BLOCKS = " ▁▂▃▄▅▆▇█"
_FLOOR_DBOV = -60.0


class CallScreen:
    """Follows one call on stderr: a moving line on a terminal, a line a state elsewhere."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._console = stderr_console()
        self._task: asyncio.Task[None] | None = None
        self._padlocks = ""

    async def __aenter__(self) -> "CallScreen":
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        if not self._console.is_terminal:
            await self._tell_changes()
            return
        from rich.live import Live

        with Live(console=self._console, refresh_per_second=8, transient=True) as live:
            while True:
                live.update(self._line())
                await asyncio.sleep(0.125)

    async def _tell_changes(self) -> None:
        told = ""
        while True:
            now = f"{self._call.state.value}: {self._who()}, {padlocks(self._call)}"
            if now != told:
                self._console.print(now, markup=False, soft_wrap=True)
                told = now
            await asyncio.sleep(0.05)

    def _who(self) -> str:
        return one_line(self._call.remote_uri)

    def _line(self) -> "Text":
        from rich.text import Text

        call, statistics = self._call, self._call.statistics
        minutes, seconds = divmod(int(call.duration_s), 60)
        levels = ""
        if statistics is not None:
            levels = f"in {meter(statistics.level_in_dbov)} out {meter(statistics.level_out_dbov)}"
        line = (
            f"{call.state.value:<11} {minutes}:{seconds:02}  {levels}  {padlocks(call, short=True)}"
        )
        return Text(f"{line}  {self._who()}", no_wrap=True, overflow="ellipsis")


def padlocks(call: "Call", *, short: bool = False) -> str:
    """Signalling and media, each with its padlock; an open one is said in words, too."""
    security = call.security
    tls, suite = security.signalling, security.media_suite
    signalling = "🔓 signalling IN CLEAR"
    if tls is not None:
        signalling = f"🔒 {tls.tls_version}" if short else f"🔒 signalling {tls.tls_version}"
    if call.statistics is None:
        return f"{signalling}  no sound yet"
    if suite is None:
        media = "🔓 sound IN CLEAR"
    elif security.media_protected:
        media = "🔒 SRTP" if short else f"🔒 sound {suite}"
    else:
        media = f"🔓 sound {suite}, KEYS IN CLEAR"
    return f"{signalling}  {media}"


def meter(level_dbov: float) -> str:
    """A level as one block."""
    share = 1 - max(_FLOOR_DBOV, min(0.0, level_dbov)) / _FLOOR_DBOV
    return _BLOCKS[round(share * (len(_BLOCKS) - 1))]
