"""What commands print: results on stdout, everything else on stderr, colour only on terminals."""

import json
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import Error, RequestFailed

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1  # the thing the command did ended without success
WRONG_USE = 2  # an option, argument, file or setting is wrong
INTERRUPTED = 130  # by Ctrl-C: 128 and the signal's number, as shells have it


def stdout_console() -> "Console":
    """Return a console for results."""
    from rich.console import Console  # costs a fifth of a second's start where it is not needed

    return Console(highlight=False)


def stderr_console() -> "Console":
    """Return a console for progress, warnings and questions."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document as one line on stdout, at once."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line of warning on stderr."""
    stderr_console().print(
        f"warning: {one_line(text)}", style="yellow", markup=False, soft_wrap=True
    )


class _WarningLines(logging.Handler):
    """Shows what the library logs in the same form as what commands warn of."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        warn(record.getMessage())


def show_library_warnings() -> None:
    """Show warnings of the library on stderr, a line each."""
    logging.basicConfig(level=logging.WARNING, handlers=[_WarningLines()])


def print_error(text: str) -> None:
    """Print the one line that says what was found, where, what was expected, and the mend."""
    stderr_console().print(
        f"sottovoce: {one_line(text)}", style="red", markup=False, soft_wrap=True
    )


def error_document(error: Error) -> dict[str, object]:
    """Return what ``--json`` says of an error."""
    document: dict[str, object] = {"error": str(error), "kind": type(error).__name__}
    if isinstance(error, RequestFailed):
        document |= {"status": error.status, "reason": error.reason, "warning": error.warning}
    return document


def one_line(text: str) -> str:
    """Keep a text on one line and harmless to a terminal, whoever wrote it."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
