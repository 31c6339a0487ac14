"""``sottovoce answer``: wait for calls from a script."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .call_screen import CallScreen
from .options import JsonOption, PasswordStdinOption
from .output import INTERRUPTED, print_json, stderr_console
from .phone_options import (
    AccountOption,
    CaOption,
    ClearKeysOption,
    ClearSipOption,
    ProxyOption,
    SettingsOption,
    SrtpOption,
    call_document,
    check_writable,
    make_account,
)

if TYPE_CHECKING:
    from ..phone import Account, Call


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.command(
        "answer",
        epilog="Examples:\n\n"
        "  sottovoce answer --account sips:bob@example.org --echo\n\n"
        "  sottovoce answer --account sips:bob@example.org --play welcome.wav \\\n\n"
        "      --record message.wav --count 1 --json",
    )(answer)


def answer(
    *,
    account: AccountOption = None,
    outbound_proxy: ProxyOption = None,
    ca: CaOption = None,
    srtp: SrtpOption = None,
    settings: SettingsOption = None,
    password_stdin: PasswordStdinOption = False,
    play: Annotated[
        Path | None,
        typer.Option(help="Say this WAV file, of any rate, then hang up.", show_default=False),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Write what the caller says to this WAV file; from the second call on with its "
            "number before the suffix.",
            show_default=False,
        ),
    ] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Send back what the caller says.")] = False,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, help="End after so many calls; without it at Ctrl-C.", show_default=False
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Hang up so long after the answer; without it the caller does.",
            show_default=False,
        ),
    ] = None,
    allow_clear_text_sip: ClearSipOption = False,
    allow_keys_in_clear_text: ClearKeysOption = False,
    json: JsonOption = False,
) -> int:
    """Wait for calls and answer them: say a file, record, or echo.

    With --json each line on stdout is a document: first {"event": "ready", …}, then
    {"event": "call", …} for each call that is over.
    """
    made = make_account(
        account=account,
        outbound_proxy=outbound_proxy,
        ca=ca,
        srtp=srtp,
        settings=settings,
        password_stdin=password_stdin,
        allow_clear_text_sip=allow_clear_text_sip,
        allow_keys_in_clear_text=allow_keys_in_clear_text,
    )
    try:
        return asyncio.run(_Script(made, play, record, echo, count, duration, json).run())
    except asyncio.CancelledError:
        return INTERRUPTED


class _Script:
    """What to do with each caller."""

    def __init__(
        self,
        account: "Account",
        play: Path | None,
        record: Path | None,
        echo: bool,
        count: int | None,
        duration_s: float | None,
        json: bool,
    ) -> None:
        self._account = account
        self._play = play
        self._record = record
        self._echo = echo
        self._count = count
        self._duration_s = duration_s
        self._json = json
        self._taken = 0
        self._over = 0
        self._ready = False
        self._stop = asyncio.Event()

    async def run(self) -> int:
        from ..phone import Phone
        from ..phone.call import load_wav

        if self._record is not None:
            check_writable(self._record)
        if self._play is not None:
            load_wav(self._play, 8000)  # a bad file is told before anybody calls
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            self._stop.set()
            if not self._ready and task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        async with Phone(self._account, on_incoming_call=self._take):
            self._ready = True
            if self._json:
                print_json({"event": "ready", "account": self._account.uri})
            else:
                stderr_console().print(
                    f"Registered as {self._account.uri}; waiting for calls, Ctrl-C ends.",
                    markup=False,
                )
            await self._stop.wait()
        return 0

    async def _take(self, call: "Call") -> None:
        if self._count is not None and self._taken >= self._count:
            await call.reject(486)
            return
        self._taken += 1
        number = self._taken
        try:
            async with CallScreen(call):
                await call.answer()
                await self._serve(call, number)
        finally:
            self._over += 1
            if self._json:
                print_json({"event": "call"} | call_document(call))
            if self._over == self._count:
                self._stop.set()

    async def _serve(self, call: "Call", number: int) -> None:
        if self._record is not None:
            call.record(_numbered(self._record, number))
        if self._echo:
            call.echo()
        if self._play is not None:
            await call.play(self._play)
            if self._duration_s is None and not self._echo and self._record is None:
                await call.hangup()
        try:
            async with asyncio.timeout(self._duration_s):
                await call.wait_ended()
        except TimeoutError:
            await call.hangup()


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
