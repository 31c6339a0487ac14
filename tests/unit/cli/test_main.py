"""Exit status, the one line, and the one document."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from sottovoce import __version__
from sottovoce.cli import main as module
from sottovoce.cli.output import one_line
from sottovoce.errors import CallFailed, Error, LocalError, ParseError, SettingsError

Run = Callable[..., Any]


def plant(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Make a program whose only command does this."""

    def make() -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)

        @app.command()
        def act(json: bool = typer.Option(False, "--json")) -> object:
            return action()

        return app

    monkeypatch.setattr(module, "make_app", make)


def raiser(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingsError("x.toml: wrong"), 2),
        (LocalError("not now"), 2),
        (CallFailed(486, "Busy Here"), 1),
        (ParseError("Via: garbage"), 1),
        (Error("something"), 1),
    ],
)
def test_error_is_one_line_on_stderr_and_its_kind_is_the_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Error, status: int
) -> None:
    plant(monkeypatch, raiser(error))
    ended = run("act")

    assert (ended.status, ended.out, ended.err) == (status, "", f"sottovoce: {error}\n")


def test_error_is_one_document_with_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, raiser(CallFailed(488, "Not Acceptable Here", "keys in clear")))
    ended = run("act", "--json")

    assert ended.status == 1
    assert ended.json == {
        "error": "488 Not Acceptable Here (keys in clear)",
        "kind": "CallFailed",
        "status": 488,
        "reason": "Not Acceptable Here",
        "warning": "keys in clear",
    }
    assert ended.err == "sottovoce: 488 Not Acceptable Here (keys in clear)\n"


def test_status_a_command_returns_is_the_programs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda: 1)
    assert run("act").status == 1
    plant(monkeypatch, lambda: None)
    assert run("act").status == 0


def test_interruption_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for interruption in (KeyboardInterrupt(), typer.Abort()):
        plant(monkeypatch, raiser(interruption))
        ended = run("act")
        assert (ended.status, ended.out, ended.err) == (130, "", "")


def test_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run("act")


def test_text_of_a_peer_cannot_drive_the_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, raiser(CallFailed(486, "Busy\r\n\x1b[2J\x07 [bold]here[/bold]")))
    assert run("act").err == "sottovoce: 486 Busy \\x1b[2J\\x07 [bold]here[/bold]\n"
    assert one_line("a\tb\u202ec\x9b") == "a b\\u202ec\\x9b"


WRONG = {
    ("frob",): "No such command 'frob'; see 'sottovoce --help'",
    ("user", "frob"): "No such command 'frob'; see 'sottovoce user --help'",
    ("user", "add"): "Missing argument 'USER@DOMAIN'; see 'sottovoce user add --help'",
    ("user", "list", "--frob"): "No such option: --frob; see 'sottovoce user list --help'",
    ("user", "list", "more"): "Got unexpected extra argument",
    ("user", "list", "--data"): "Option '--data' requires an argument",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_use_is_one_line_with_the_help_to_read(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    ended = run(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"sottovoce: {message}")
    assert ended.err.count("\n") == 1

    assert run(*arguments, "--json").status == 2


def test_wrong_use_is_a_document_too(run: Run) -> None:
    document = run("user", "add", "--json").json
    assert document["kind"] == "UsageError"
    assert document["error"].startswith("Missing argument")


def test_json_after_two_dashes_is_an_argument(run: Run) -> None:
    assert run("user", "add", "--", "--json").out == ""


def test_no_command_shows_the_help_once(run: Run) -> None:
    ended = run()
    assert ended.status == 2
    assert ended.out.count("Usage: sottovoce") == 1
    assert ended.err == ""


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        nested = commands(command, (*path, name)) if hasattr(command, "commands") else []
        found += nested or [(*path, name)]
    return found


COMMANDS = commands(typer.main.get_command(module.make_app()))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_an_example_and_json(run: Run, path: tuple[str, ...]) -> None:
    ended = run(*path, "--help")
    assert ended.status == 0
    assert "Example" in ended.out
    assert f"sottovoce {' '.join(path)}" in ended.out.split("Example")[1]
    assert "--json" in ended.out


def test_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"sottovoce {__version__}\n"


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sottovoce", *arguments],
        capture_output=True, text=True, check=False, timeout=30, **options,
    )  # fmt: skip


def test_program_runs_as_a_module_under_its_own_name() -> None:
    ended = program("user", "frob")
    assert ended.returncode == 2
    assert ended.stderr == "sottovoce: No such command 'frob'; see 'sottovoce user --help'\n"


def test_shell_completion_offers_the_commands() -> None:
    asked = {"_SOTTOVOCE_COMPLETE": "complete_bash", "COMP_WORDS": "sottovoce u", "COMP_CWORD": "1"}
    assert program(env=asked).stdout.split() == ["user"]


def test_reader_that_goes_away_is_no_error() -> None:
    quoted = f"{sys.executable} -m sottovoce --help | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", f"{quoted}"], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.stderr == ""


def test_start_loads_nothing_heavy() -> None:
    heavy = {"cryptography", "pydantic", "numpy", "soxr", "sqlite3"}
    code = (
        "import sys; from sottovoce.cli.main import make_app; make_app(); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout == "[]\n"
