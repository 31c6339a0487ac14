"""Options and arguments that several commands share."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from ..secret import Secret

_LONGEST_LINE_CHARACTERS = 1024

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of accounts, certificates and settings. Without it: SOTTOVOCE_SERVE_DATA, "
        "else ./sottovoce-data in a source checkout, else the platform's data folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, for scripts.")
]
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


def existing_data_folder(given: Path | None) -> Path:
    """Return the data folder, which must be there.

    Raises:
        SettingsError: It is missing or no folder.

    """
    from ..server.data_folder import data_folder

    folder = data_folder(given)
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be looked at: {error.strerror}") from None
    if not is_folder:
        raise SettingsError(
            f"{folder}: no such folder; name the server's with --data, or start "
            "'sottovoce serve' once to have it made"
        )
    return folder


def split_address(text: str) -> tuple[str, str]:
    """Split ``USER@DOMAIN``, with or without ``sip:`` or ``sips:`` before it.

    Raises:
        SettingsError: It is of another form.

    """
    scheme, colon, rest = text.partition(":")
    bare = rest if colon and scheme.lower() in ("sip", "sips") else text
    user, at, domain = bare.rpartition("@")
    if not (user and at and domain):
        raise SettingsError(f"account {text!r}: expected USER@DOMAIN, such as alice@example.org")
    return user, domain


def read_password(purpose: str, *, from_stdin: bool, confirm: bool) -> Secret[str]:
    """Take a password from stdin's first line, or ask for it without echo.

    Args:
        purpose: Whose it is, for the question.
        from_stdin: ``--password-stdin`` was given.
        confirm: Ask twice.

    Raises:
        SettingsError: There is nobody to ask, the two differ, or stdin is no text.

    """
    if from_stdin:
        try:
            return Secret(sys.stdin.readline(_LONGEST_LINE_CHARACTERS).rstrip("\r\n"))
        except UnicodeDecodeError:
            raise SettingsError("--password-stdin: stdin is not UTF-8 text") from None
    if not sys.stdin.isatty():
        raise SettingsError(
            f"password of {purpose}: stdin is no terminal to ask at; add --password-stdin and "
            "write it there"
        )
    import getpass

    try:
        first = getpass.getpass(f"Password of {purpose}: ", sys.stderr)
        if confirm and getpass.getpass("The same again: ", sys.stderr) != first:
            raise SettingsError(f"password of {purpose}: the two are not the same; start again")
    except EOFError:
        raise SettingsError(f"password of {purpose}: none was typed") from None
    return Secret(first)
