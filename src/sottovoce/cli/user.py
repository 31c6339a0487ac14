"""``sottovoce user``: who may register and call."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError
from ..secret import Secret
from .options import (
    DataOption,
    JsonOption,
    PasswordStdinOption,
    existing_data_folder,
    read_password,
    split_address,
)
from .output import print_json, stderr_console, stdout_console, warn

if TYPE_CHECKING:
    from ..store import SqliteStore

app = typer.Typer(
    help="Add, list and remove accounts, and set their passwords. A running server sees the "
    "change at its next request.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

AddressArgument = Annotated[
    str,
    typer.Argument(
        metavar="USER@DOMAIN",
        help="The account, such as alice@example.org.",
        show_default=False,
    ),
]
GenerateOption = Annotated[
    bool, typer.Option("--generate", help="Make a random password and print it, once.")
]


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.add_typer(app, name="user")


@app.command(
    epilog="Examples:\n\n"
    "  sottovoce user add alice@example.org\n\n"
    "  sottovoce user add bob@example.org --generate --display-name 'Bob Stone'\n\n"
    "  pass show sip/carol | sottovoce user add carol@example.org --password-stdin"
)
def add(
    address: AddressArgument,
    *,
    display_name: Annotated[
        str, typer.Option(metavar="NAME", help="Shown to people who are called.")
    ] = "",
    password_stdin: PasswordStdinOption = False,
    generate: GenerateOption = False,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Add an account.

    Asks for the password, twice and without echo, unless [bold]--password-stdin[/] or
    [bold]--generate[/] is given. The server keeps only hashes of it, made for its domain.
    """
    from ..pki.certstore import make_private_folder
    from ..server.data_folder import data_folder, known_domain
    from ..store import Account
    from ..store.memory import already_there
    from ..store.model import check_user

    # All that can be wrong is found before anybody types a password for nothing.
    user, given_domain = split_address(address)
    check_user(user)
    domain = _canonical(address, given_domain)
    folder = data_folder(data)
    expected = known_domain(folder)
    if expected is not None and domain != expected:
        raise SettingsError(
            f"account {address}: the server of {folder} is for {expected}; add "
            f"{user}@{expected}, or name another folder with --data"
        )
    make_private_folder(folder)
    with _open(folder) as store:
        if store.find_account(user, domain) is not None:
            raise already_there(user, domain)
        password = _new_password(address, password_stdin=password_stdin, generate=generate)
        account = Account.make(
            user,
            domain,
            password,
            created_utc=datetime.now(UTC).replace(microsecond=0),
            display_name=display_name,
        )
        store.add_account(account)
    _report("added", account.address, password if generate else None, json=json)


@app.command("list", epilog="Example:\n\n  sottovoce user list --json")
def list_accounts(*, data: DataOption = None, json: JsonOption = False) -> None:
    """List all accounts, by domain and user.

    On a terminal as a table; into a pipe one account a line: address, time of creation and
    display name, separated by tabs.
    """
    folder = existing_data_folder(data)
    with _open(folder) as store:
        accounts = store.list_accounts()
    if json:
        print_json(
            {
                "users": [
                    {
                        "address": account.address,
                        "user": account.user,
                        "domain": account.domain,
                        "display_name": account.display_name,
                        "created_utc": account.created_utc.isoformat(),
                    }
                    for account in accounts
                ]
            }
        )
        return
    console = stdout_console()
    if not console.is_terminal:
        for account in accounts:
            typer.echo(
                f"{account.address}\t{account.created_utc.isoformat()}\t{account.display_name}"
            )
        return
    if not accounts:
        console.print(f"No account in {folder}; add one with 'sottovoce user add'.", markup=False)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("account", "name", "created", box=None, pad_edge=False)
    for account in accounts:
        created = account.created_utc.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(account.address), Text(account.display_name), created)
    console.print(table)


@app.command(epilog="Example:\n\n  sottovoce user remove alice@example.org")
def remove(address: AddressArgument, *, data: DataOption = None, json: JsonOption = False) -> None:
    """Remove an account.

    It can no longer call or renew its registration; a registration that stands ends by itself.
    """
    user, domain = split_address(address)
    with _open(existing_data_folder(data)) as store:
        store.remove_account(user, _canonical(address, domain))
    _report("removed", address, None, json=json)


@app.command(
    epilog="Examples:\n\n"
    "  sottovoce user password alice@example.org\n\n"
    "  sottovoce user password alice@example.org --generate"
)
def password(
    address: AddressArgument,
    *,
    password_stdin: PasswordStdinOption = False,
    generate: GenerateOption = False,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Give an account another password.

    The old one stops working at the account's next request.
    """
    from ..store.memory import not_there
    from ..store.model import hashed

    user, given_domain = split_address(address)
    domain = _canonical(address, given_domain)
    with _open(existing_data_folder(data)) as store:
        if store.find_account(user, domain) is None:
            raise not_there(user, domain)  # before anybody types a password for nothing
        new = _new_password(address, password_stdin=password_stdin, generate=generate)
        store.replace_ha1(user, domain, hashed(user, domain, new))
    _report("changed", address, new if generate else None, json=json)


def _open(folder: Path) -> "SqliteStore":
    from ..store import STORE_FILE, SqliteStore

    return SqliteStore(folder / STORE_FILE)


def _canonical(address: str, domain: str) -> str:
    from ..pki.identity import canonical_domain

    try:
        return canonical_domain(domain)
    except ValueError as error:
        raise SettingsError(f"account {address!r}: its domain {error}") from None


def _new_password(address: str, *, password_stdin: bool, generate: bool) -> Secret[str]:
    from ..store.model import WEAK_PASSWORD_CHARACTERS, random_password

    if generate and password_stdin:
        raise SettingsError("--generate and --password-stdin exclude each other; give one")
    if generate:
        return random_password()
    new = read_password(address, from_stdin=password_stdin, confirm=True)
    length = len(new.reveal())
    if 0 < length < WEAK_PASSWORD_CHARACTERS:
        warn(
            f"password of {address}: {length} characters are guessed in no time; "
            "--generate makes a strong one"
        )
    return new


def _report(done: str, address: str, shown: Secret[str] | None, *, json: bool) -> None:
    if json:
        document: dict[str, object] = {"user": address, "done": done}
        if shown is not None:
            document["password"] = shown.reveal()
        print_json(document)
        return
    stderr_console().print(f"{done} {address}", markup=False)
    if shown is not None:
        typer.echo(shown.reveal())
