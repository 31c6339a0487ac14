"""``sottovoce call``: one call from a script."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RequestFailed
from .call_screen import CallScreen, padlocks
from .options import JsonOption, PasswordStdinOption
from .output import FAILED, INTERRUPTED, error_document, print_error, print_json, stdout_console
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
        "call",
        epilog="Examples:\n\n"
        "  sottovoce call echo --account sips:alice@example.org --duration 5\n\n"
        "  sottovoce call sips:bob@example.org --account sips:alice@example.org \\\n\n"
        '      --outbound-proxy "10.0.0.7:5061;transport=tls" --ca ca.pem \\\n\n'
        "      --play question.wav --record answer.wav --dtmf 123 --json",
    )(call)


def call(
    address: Annotated[
        str,
        typer.Argument(
            metavar="URI",
            help="Whom to call: sips:bob@example.org, or just bob for your own domain.",
            show_default=False,
        ),
    ],
    *,
    account: AccountOption = None,
    outbound_proxy: ProxyOption = None,
    ca: CaOption = None,
    srtp: SrtpOption = None,
    settings: SettingsOption = None,
    password_stdin: PasswordStdinOption = False,
    play: Annotated[
        Path | None,
        typer.Option(help="Say this WAV file, of any rate.", show_default=False),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Write what the other side says to this WAV file.", show_default=False),
    ] = None,
    dtmf: Annotated[
        str, typer.Option(metavar="DIGITS", help="Press these keys after the answer.")
    ] = "",
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Hang up so long after the answer. Without it: when the file is said, or else "
            "when the other side hangs up.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long to let it ring.")
    ] = 60.0,
    allow_clear_text_sip: ClearSipOption = False,
    allow_keys_in_clear_text: ClearKeysOption = False,
    json: JsonOption = False,
) -> int:
    """Call somebody, say a file, record the answer, and tell what protected the call.

    The password is taken from SOTTOVOCE_PASSWORD, --password-stdin or the settings file, or
    asked for.
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
    script = _Script(made, address, play, record, dtmf, duration, timeout)
    try:
        finished = asyncio.run(script.run())
    except RequestFailed as error:
        if json:
            document = call_document(script.call) if script.call is not None else {}
            print_json(document | error_document(error))
        print_error(str(error))
        return FAILED
    except asyncio.CancelledError:
        return INTERRUPTED
    cut_short = finished.recording_error
    if json:
        document = call_document(finished)
        print_json(document | {"error": cut_short} if cut_short else document)
    else:
        _print_summary(finished)
    if cut_short:
        print_error(cut_short)
        return FAILED
    return 0 if finished.answered_at is not None else INTERRUPTED


class _Script:
    """What to do in the call."""

    def __init__(
        self,
        account: "Account",
        address: str,
        play: Path | None,
        record: Path | None,
        dtmf: str,
        duration_s: float | None,
        timeout_s: float,
    ) -> None:
        self._account = account
        self._address = address
        self._play = play
        self._record = record
        self._dtmf = dtmf
        self._duration_s = duration_s
        self._timeout_s = timeout_s
        self.call: Call | None = None

    async def run(self) -> "Call":
        from ..phone import Phone
        from ..phone.call import load_wav

        if self._record is not None:
            check_writable(self._record)
        if self._play is not None:
            load_wav(self._play, 8000)  # a bad file is told before anybody's phone rings
        stop = asyncio.Event()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            if self.call is not None:
                stop.set()
            elif task is not None:  # there is nothing to hang up yet
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        async with Phone(self._account, register=False) as phone:
            self.call = call = phone.start_call(self._address)
            async with CallScreen(call):
                answered = asyncio.create_task(self._answered(call))
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait({answered, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not answered.done():
                    answered.cancel()
                stopped.cancel()
                await call.hangup()
                with suppress(asyncio.CancelledError):
                    await answered
        return call

    async def _answered(self, call: "Call") -> None:
        await call.wait_settled(self._timeout_s)
        if self._record is not None:
            call.record(self._record)
        acting = asyncio.create_task(self._act(call))
        ended = asyncio.create_task(call.wait_ended())
        try:
            async with asyncio.timeout(self._duration_s):
                done, _ = await asyncio.wait({acting, ended}, return_when=asyncio.FIRST_COMPLETED)
                if acting in done:
                    acting.result()
                if self._duration_s is not None or self._play is None:
                    await ended
        except TimeoutError:
            pass
        finally:
            acting.cancel()
            ended.cancel()

    async def _act(self, call: "Call") -> None:
        if self._dtmf:
            await call.send_dtmf(self._dtmf)
        if self._play is not None:
            await call.play(self._play)


def _print_summary(call: "Call") -> None:
    out = stdout_console()
    statistics = call.statistics
    out.print(
        f"{call.duration_s:.1f} s with {call.remote_uri}: {call.end_reason}",
        markup=False,
        soft_wrap=True,
    )
    out.print(padlocks(call), markup=False, soft_wrap=True)
    if statistics is not None:
        out.print(
            f"{statistics.packets_sent} packets sent, {statistics.packets_received} received "
            f"({statistics.packets_authenticated} authenticated), {statistics.packets_lost} lost, "
            f"jitter {statistics.jitter_ms:.1f} ms, "
            f"{statistics.audio_seconds_received:.1f} s of sound",
            soft_wrap=True,
        )
