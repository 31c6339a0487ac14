"""One measured figure beside its peer and its aim, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What one benchmark measured.

    Ratios hold from machine to machine, bare figures do not: give a peer where one exists,
    measured in the same run, in turns with ours.
    """

    name: str
    "What was measured, unique in the whole run."

    ours: float
    "Our figure, in :attr:`unit`; smaller is better."

    unit: str = "µs"
    "Of both figures."

    peer: float | None = None
    "The peer's figure for the same work; None without a peer."

    peer_name: str = ""
    "Which peer."

    aim_ratio: float | None = None
    "The ratio to stay within; None where the aim is a figure or there is none."

    aim_ours: float | None = None
    "The figure to stay within, where the aim is no ratio."

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's; under 1 we are the faster."""
        return self.ours / self.peer if self.peer else None

    @property
    def aim(self) -> str:
        """The aim in words, empty without one."""
        if self.aim_ratio is not None:
            return f"≤ {self.aim_ratio:g}×"
        return f"≤ {self.aim_ours:g} {self.unit}" if self.aim_ours is not None else ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or empty where there is no aim or nothing to judge it by."""
        if self.aim_ratio is not None:
            return "" if self.ratio is None else _met(self.ratio <= self.aim_ratio)
        return "" if self.aim_ours is None else _met(self.ours <= self.aim_ours)

    def to_json(self) -> dict[str, str | float | None]:
        """Return what ``--json`` prints for this row."""
        return {
            "name": self.name,
            "ours": self.ours,
            "unit": self.unit,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "aim": self.aim,
            "verdict": self.verdict,
        }


def _met(reached: bool) -> str:
    return "met" if reached else "missed"


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out for a terminal."""
    lines = [("", "ours", "peer", "", "ratio", "aim", "")]
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:.2f} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
        ours = f"{row.ours:.2f} {row.unit}"
        lines.append((row.name, ours, peer, row.peer_name, ratio, row.aim, row.verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = (1, 2, 4, 5)  # the columns that hold figures
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
