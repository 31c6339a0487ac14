"""``python -m bench [NAME ...] [--json]``: run the benchmarks and print one table.

Each name is a module of this package with a function ``run() -> list[Row]``.
"""

import argparse
import json
import sys
from importlib import import_module
from importlib.util import find_spec

from .report import Row, table

MODULES = ("srtp", "parse", "proxy")


def main() -> int:
    available = [name for name in MODULES if find_spec(f"bench.{name}") is not None]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure our speed beside peers, in one run."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(available)} (all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(available))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(available)}")
    rows: list[Row] = []
    for name in arguments.names or available:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += import_module(f"bench.{name}").run()
    if arguments.json:
        print(json.dumps([row.to_json() for row in rows], ensure_ascii=False, indent=2))
    else:
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
