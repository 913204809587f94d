"""What was measured, one cell a line: `{"row": ..., "machine": ..., "runs": [{figure: number, ...}, ...]}`.

A line that has no row describes a machine. Figures of `wall_s` and `cpu_s` are of `count` keys, events or calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

FAILED = "failed"  # the part of a case that has its error
OF_ALL = ("wall_s", "cpu_s")  # figures that are told for one


class Results:
    """Rows, each measured in one or several runs.

    Attributes
    ----------
    machines : dict of str to dict
        Where rows were measured.
    """

    def __init__(self, machines: Mapping[str, Mapping[str, Any]] = {}) -> None:
        self.machines = dict(machines)
        self._cells: dict[str, dict[str, Any]] = {}

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Results:
        """What files of results hold."""
        found = cls()
        for path in paths:
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if "row" in entry:
                    found._cells[entry["row"]] = entry
                else:
                    found.machines[entry["machine"]] = entry
        return found

    def save(self, folder: Path) -> None:
        """A file for each first part of the rows' names, with the machines that it names."""
        folder.mkdir(parents=True, exist_ok=True)
        groups: dict[str, list[dict[str, Any]]] = {}
        for row, cell in self._cells.items():
            groups.setdefault(row.partition("/")[0], []).append(cell)
        for group, cells in groups.items():
            named = dict.fromkeys(cell["machine"] for cell in cells)
            lines = [self.machines[name] for name in named] + cells
            text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
            (folder / f"{group}.jsonl").write_text(f"{text}\n", encoding="utf-8")

    def add(self, row: str, machine: str, figures: Mapping[str, Any]) -> None:
        """One run more of a row."""
        cell = self._cells.setdefault(row, {"row": row, "machine": machine, "runs": []})
        cell["runs"].append({name: rounded(value) for name, value in figures.items()})

    def replace(self, others: Results) -> None:
        """Take the rows of another, whatever is known of the same ones."""
        self.machines |= others.machines
        for row in others:
            self._cells.pop(f"{row.partition('[')[0]}[{FAILED}]", None)  # as it may have before
        self._cells |= others._cells

    def __contains__(self, row: str) -> bool:
        return row in self._cells

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def machine(self, row: str) -> dict[str, Any]:
        """Where a row was measured."""
        return self.machines[self._cells[row]["machine"]]

    def runs(self, row: str) -> list[dict[str, Any]]:
        """The figures of each run; none of a row that was not measured."""
        return self._cells[row]["runs"] if row in self._cells else []

    def each(self, row: str, figure: str = "wall_s") -> list[float]:
        """One figure of each run; times of one key, event or call."""
        return [run[figure] / run.get("count", 1) if figure in OF_ALL else run[figure] for run in self.runs(row)]

    def least(self, row: str, figure: str = "wall_s") -> float:
        """The least of the runs."""
        return min(self.each(row, figure))


def rounded(value: Any) -> Any:
    """Nine significant digits: more are noise."""
    return float(f"{value:.9g}") if isinstance(value, float) else value
