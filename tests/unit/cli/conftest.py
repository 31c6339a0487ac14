"""The program, run in this process, with what it printed."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sottovoce.cli.main import main


class Keyboard(io.StringIO):
    """A stdin that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the program with arguments; ``stdin`` is what is piped in, ``typed`` what is typed."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SOTTOVOCE_SERVE_DATA", "SOTTOVOCE_SERVE_DOMAIN", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, stdin: str = "", typed: tuple[str, ...] = ()) -> Ended:
        answers = iter(typed)
        monkeypatch.setattr(sys, "stdin", Keyboard() if typed else io.StringIO(stdin))
        monkeypatch.setattr("getpass.getpass", lambda *_: next(answers))
        capsys.readouterr()
        status = main(arguments)
        return Ended(status, *capsys.readouterr())

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
