"""The import rules of docs/architecture.md, read from the source itself.

1. A package imports only packages above it in LAYERS (the list runs upward:
   the first depends on nothing).
2. A module outside IO_MODULES never touches the outside world: no sockets,
   clock, files, threads or randomness of its own.
3. A module stays under 500 lines.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "sottovoce"

LAYERS = (
    "errors", "secret", "wire", "deadlines", "sdp", "rtp", "srtp", "keying", "sip", "pki",
    "media", "trace", "store", "net", "phone", "server", "demo", "cli",
)  # fmt: skip

IO_MODULES = (
    "net", "store", "phone", "server", "demo", "cli",
    "pki.certstore", "pki.acme", "media.device", "trace.capture",
)  # fmt: skip
OUTSIDE_WORLD = {
    "aiosqlite", "asyncio", "io", "os", "pathlib", "random", "secrets", "select", "selectors",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
PURE_PATHS = {"pathlib", "io"}  # PurePath and BytesIO touch nothing; the names tell
LINES_LIMIT = 500

MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Absolute dotted names, relative imports resolved, of every import."""
    here = ["sottovoce", *dotted(path).split(".")]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: -node.level], *([node.module] if node.module else [])])
            base = base if node.level else str(node.module)
            named = {f"{base}.{alias.name}" for alias in node.names}
            found |= named if base == "sottovoce" else {base}
    return found


def is_pure(path: Path) -> bool:
    name = f"{dotted(path)}."
    return name != "__main__." and not any(name.startswith(f"{io}.") for io in IO_MODULES)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_only_point_down(path: Path) -> None:
    own_package = dotted(path).split(".")[0]
    if own_package == "__main__":
        return
    own = LAYERS.index(own_package)
    for name in imports(path):
        if name.startswith("sottovoce.") and not name.split(".")[1].startswith("__"):
            other = LAYERS.index(name.split(".")[1])
            assert other <= own, f"{dotted(path)} imports {name}, which lies above it"


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=dotted)
def test_protocol_modules_do_not_touch_the_outside_world(path: Path) -> None:
    touched = {name.split(".")[0] for name in imports(path)} & OUTSIDE_WORLD - PURE_PATHS
    assert not touched, f"{dotted(path)} imports {sorted(touched)}: take it as an argument"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_stay_under_the_size_at_which_one_subject_becomes_two(path: Path) -> None:
    assert len(path.read_text().splitlines()) < LINES_LIMIT


def test_package_inits_re_export_and_hold_nothing_else() -> None:
    for path in ROOT.rglob("__init__.py"):
        for node in ast.parse(path.read_text()).body:
            constant = isinstance(node, ast.Assign) and all(
                isinstance(target, ast.Name) and target.id.startswith("__")
                for target in node.targets
            )
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            # The root re-exports the phone late, so that the command line starts at once.
            late = path.parent == ROOT and (
                (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
                or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            )
            imports = isinstance(node, ast.Import | ast.ImportFrom)
            assert constant or docstring or imports or late, path


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_group_of_a_pattern_is_possessive(path: Path) -> None:
    """Python 3.11.2 matches them wrongly (see sip/grammar.py); single characters are fine."""
    tree = ast.parse(path.read_text())
    docstrings = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            assert id(node) in docstrings or not re.search(r"\)[*+?]\+", text), text
