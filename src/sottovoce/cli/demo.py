"""``sottovoce demo``: what a third party gets of a call, in three acts."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption
from .output import print_json, stderr_console, stdout_console

if TYPE_CHECKING:
    from ..demo.findings import ActFindings

_FOLDER = Path("sottovoce-demo")


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.command(
        "demo",
        epilog="Examples:\n\n  sottovoce demo\n\n  sottovoce demo --act secure --json\n\n"
        "  sottovoce demo --tap --out /tmp/overheard",
    )(demo)


def demo(
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to save what the third party recovered.")
    ] = _FOLDER,
    act: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Play only this act: clear, keys-in-clear or secure; may be given several times.",
            show_default=False,
        ),
    ] = None,
    tap: Annotated[
        bool,
        typer.Option(
            "--tap", help="Overhear by a tap in the path even where a packet socket is allowed."
        ),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Play three calls on this machine while a third party listens, and show what it got.

    First SIP and sound in clear; then the sound encrypted, but its key in clear SIP; then
    SIP over TLS. The third party uses only what it captured: nothing is scripted.
    """
    from ..demo.acts import ACTS
    from ..errors import SettingsError

    unknown = sorted(set(act or ()) - {each.name for each in ACTS})
    if unknown:
        names = ", ".join(each.name for each in ACTS)
        raise SettingsError(f"--act {unknown[0]!r}: there are {names}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out {out}: cannot be made: {error.strerror}") from None
    return asyncio.run(_play(out, act, tap=tap, json=json))


async def _play(out: Path, wanted: list[str] | None, *, tap: bool, json: bool) -> int:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..demo.acts import ACTS, play_act
    from ..demo.findings import demo_document
    from ..demo.report import show_act, show_comparison

    acts = [each for each in ACTS if not wanted or each.name in wanted]
    console = stdout_console()
    found: list[ActFindings] = []
    columns = (
        TextColumn("act {task.fields[number]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    for number, each in enumerate(acts, 1):
        errors = stderr_console()
        with Progress(*columns, console=errors, transient=True, disable=json) as bar:
            task = bar.add_task("", total=1.0, number=number)
            findings = await play_act(
                each,
                out,
                lambda text, share: bar.update(task, description=text, completed=share),  # noqa: B023
                allow_packet_socket=not tap,
            )
        found.append(findings)
        if not json:
            show_act(console, ACTS.index(each) + 1, findings)
    if json:
        print_json(demo_document(found))
    elif len(found) > 1:
        show_comparison(console, found)
    return 0
