"""The program ``sottovoce``: registers the commands and turns errors into one line."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from .. import __version__
from ..errors import Error, LocalError
from .output import FAILED, INTERRUPTED, WRONG_USE, error_document, print_error, print_json

#: Modules of this package, in the order of ``--help``; each has ``register(app)``.
COMMANDS = ("serve", "call", "answer", "user", "ban", "cert", "demo")


def make_app() -> typer.Typer:
    """Build the command line."""
    app = typer.Typer(
        name="sottovoce",
        help="Secure telephony: SIP over TLS and SRTP, on by default, with no silent way back "
        "to clear text.",
        epilog="Exit status: 0 success; 1 the call or request failed; 2 wrong use.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        # Its tracebacks show local variables: passwords and keys among them.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in COMMANDS:
        module = f"{__package__}.{name}"
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module).register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: Without the program's name; those of the process if None.

    Returns:
        The exit status.

    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    wants_json = "--json" in given[: given.index("--") if "--" in given else None]
    try:
        status = _run(given, wants_json=wants_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has gone (`| head`).  Point stdout elsewhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(given: list[str], *, wants_json: bool) -> int:
    try:
        result = make_app()(args=given, prog_name="sottovoce", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except Error as error:
        if wants_json:
            print_json(error_document(error))
        print_error(str(error))
        return WRONG_USE if isinstance(error, LocalError) else FAILED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _report_usage(error, wants_json=wants_json)
    return result if isinstance(result, int) else 0


def _report_usage(error: Exception, *, wants_json: bool) -> int:
    """Report what the option parser found; it has moved between packages, so by its methods."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help itself is printed by now
        return WRONG_USE
    path = context.command_path if context is not None else "sottovoce"
    message = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    text = f"{message}; see '{path} --help'"
    if wants_json:
        print_json({"error": text, "kind": "UsageError"})
    print_error(text)
    return WRONG_USE


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sottovoce {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""
