"""``sottovoce ban``: whom the server does not listen to."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError
from .options import DataOption, JsonOption, existing_data_folder
from .output import one_line, print_json, stderr_console, stdout_console

if TYPE_CHECKING:
    from ..net.source import IpNetwork
    from ..store import Ban, SqliteStore

app = typer.Typer(
    help="Show, add and lift bans of addresses. The server bans who guesses passwords; "
    "a running one follows a change within a second.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_BY_COMMAND = "by command"
#: Longer than any ban that the settings allow; a hundred years are not meant.
_MAX_SECONDS = 31_536_000

AddressArgument = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="An IP address or network, such as 192.0.2.7 or 2001:db8::/64.",
        show_default=False,
    ),
]


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.add_typer(app, name="ban")


@app.command("list", epilog="Example:\n\n  sottovoce ban list --json")
def list_bans(*, data: DataOption = None, json: JsonOption = False) -> None:
    """List the bans in force, the oldest first.

    On a terminal as a table; into a pipe one ban a line: address, end (or -) and reason, separated
    by tabs.
    """
    folder = existing_data_folder(data)
    now_utc = time.time()
    with _open(folder) as store:
        bans = [ban for ban in store.load_bans() if ban.holds(now_utc)]
    if json:
        print_json({"bans": [_document(ban) for ban in bans]})
        return
    console = stdout_console()
    if not console.is_terminal:
        for ban in bans:
            typer.echo(f"{ban.network}\t{_iso(ban.until_utc) or '-'}\t{one_line(ban.reason)}")
        return
    if not bans:
        console.print("Nobody is banned.")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("address", "until", "reason", "time", box=None, pad_edge=False)
    for ban in bans:
        until = "it is lifted"
        if ban.until_utc is not None:
            until = datetime.fromtimestamp(ban.until_utc).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(ban.network, until, Text(one_line(ban.reason)), str(ban.strikes or ""))
    console.print(table)


@app.command(
    epilog="Examples:\n\n"
    "  sottovoce ban add 192.0.2.7\n\n"
    "  sottovoce ban add 2001:db8:7::/48 --seconds 3600 --reason 'scans us'"
)
def add(
    address: AddressArgument,
    *,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MAX_SECONDS,
            help="How long; without it, until it is lifted.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Shown in the list.")] = _BY_COMMAND,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Ban an address or a network.

    Its connections are closed, also those of registered phones, and also if the settings
    exempt it from the server's own bans.
    """
    from ..net.source import network_text
    from ..store import Ban

    network = network_text(_network(address))
    if not reason.isprintable():
        raise SettingsError("--reason: has a control character; write it without")
    now_utc = time.time()
    ban = Ban(network, reason, now_utc, None if seconds is None else now_utc + seconds)
    with _open(existing_data_folder(data)) as store:
        store.save_ban(ban)
    _report("banned", ban.network, json=json)


@app.command(epilog="Example:\n\n  sottovoce ban lift 192.0.2.7")
def lift(address: AddressArgument, *, data: DataOption = None, json: JsonOption = False) -> None:
    """Lift a ban, and forget that there was one."""
    from ..net.source import network_text

    network = _network(address)
    name = network_text(network)
    with _open(existing_data_folder(data)) as store:
        if not store.remove_ban(name):
            raise _not_banned(name, network, store.load_bans())
    _report("lifted", name, json=json)


def _open(folder: Path) -> "SqliteStore":
    from ..store import STORE_FILE, SqliteStore

    return SqliteStore(folder / STORE_FILE)


def _network(text: str) -> "IpNetwork":
    from ..net.source import parse_network

    try:
        return parse_network(text)
    except ValueError as error:
        raise SettingsError(
            f"address {text!r}: {error}; expected one such as 192.0.2.7 or 192.0.2.0/24"
        ) from None


def _not_banned(name: str, network: "IpNetwork", bans: "list[Ban]") -> SettingsError:
    from ..net.source import parse_network

    now_utc = time.time()
    for ban in bans:
        wider = parse_network(ban.network)
        if ban.holds(now_utc) and network.network_address in wider:
            return SettingsError(
                f"ban of {name}: there is one of {ban.network} around it; "
                f"'sottovoce ban lift {ban.network}' lifts that"
            )
    return SettingsError(
        f"ban of {name}: there is none; 'sottovoce ban list' shows those there are"
    )


def _document(ban: "Ban") -> dict[str, object]:
    return {
        "address": ban.network,
        "reason": ban.reason,
        "since_utc": _iso(ban.since_utc),
        "until_utc": _iso(ban.until_utc),
        "strikes": ban.strikes,
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _report(done: str, address: str, *, json: bool) -> None:
    if json:
        print_json({"address": address, "done": done})
    else:
        stderr_console().print(f"{done} {address}", markup=False)
