"""docs/security.md lists every named limit of the source, with its value, and no other.

A limit is a public constant, of a module or of a class, one of whose words is MAX or LIMIT.
The page names it in a table row of its own::

    | `MAX_FIELDS` | `sip/parser.py` | 256 | Header fields; ... |
"""

import ast
import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sottovoce"
PAGE = ROOT / "docs" / "security.md"

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_ROW = re.compile(r"\| `([\w.]+)` \| `([\w/]+\.py)` \| ([0-9.,^*+ -]+) \| \S.*\|")
_TABLE = "| constant | module | value | why |"

#: Module and constant, the latter as ``Class.NAME`` where it stands in a class.
Limit = tuple[str, str]


def is_limit(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not {"MAX", "LIMIT"}.isdisjoint(name.split("_"))


def assigned_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return []
    found = [each for target in targets for each in ast.walk(target)]
    return [each.id for each in found if isinstance(each, ast.Name)]


def limits_of(body: list[ast.stmt], prefix: str = "") -> list[str]:
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            found += limits_of(node.body, f"{prefix}{node.name}.")
        found += [prefix + name for name in assigned_names(node) if is_limit(name)]
    return found


def limits_in_source() -> set[Limit]:
    return {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in SOURCE.rglob("*.py")
        for name in limits_of(ast.parse(path.read_text(encoding="utf-8")).body)
    }


def limits_on_page() -> dict[Limit, str]:
    rows = [match for line in PAGE.read_text().splitlines() if (match := _ROW.fullmatch(line))]
    limits = {(match[2], match[1]): match[3] for match in rows}
    assert len(limits) == len(rows), "a limit stands twice on the page"
    return limits


def number(text: str) -> float:
    """Read a value as people write it: 65,535 or 2^48 or 2^32 - 1."""
    return float(eval(text.replace(",", "").replace("^", "**"), {"__builtins__": {}}))


def test_the_rule_finds_what_it_should_and_no_more() -> None:
    source = (
        "MAX_A = 1\nMAX_B: Final = 2\nC_LIMIT_BYTES, D = 3, 4\n_MAX_E = 5\nMAXIMUM_F = 6\n"
        "MAX_G: int\nmax_h = 7\nclass K:\n    I_MAX_S = 8\n    def f(self):\n        MAX_J = 9\n"
    )
    found = limits_of(ast.parse(source).body)
    assert found == ["MAX_A", "MAX_B", "C_LIMIT_BYTES", "K.I_MAX_S"]


def test_every_limit_is_documented() -> None:
    missing = sorted(limits_in_source() - set(limits_on_page()))
    assert not missing, f"add these to docs/security.md, with value and reason: {missing}"


def test_every_documented_limit_exists() -> None:
    gone = sorted(set(limits_on_page()) - limits_in_source())
    assert not gone, f"docs/security.md names limits that the source has not: {gone}"


def test_every_row_of_the_tables_is_understood() -> None:
    inside, rows, odd = False, 0, []
    for line in PAGE.read_text().splitlines():
        inside = line.startswith("|") and (inside or line == _TABLE)
        if inside and line != _TABLE and not line.startswith("|---"):
            rows += 1
            odd += [] if _ROW.fullmatch(line) else [line]
    assert rows
    assert not odd, f"docs/security.md: not | `NAME` | `module.py` | number | why |: {odd}"


def test_the_documented_values_are_those_in_force() -> None:
    wrong = []
    for (path, name), text in sorted(limits_on_page().items()):
        module = import_module("sottovoce." + path.removesuffix(".py").replace("/", "."))
        in_force = attrgetter(name)(module)
        if in_force != number(text):
            wrong.append(f"{path} {name}: {text} on the page, {in_force} in force")
    assert not wrong, wrong
