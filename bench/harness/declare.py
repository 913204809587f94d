"""What a benchmark file declares: the cases that it measures, and the tables of the documentation that it feeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.markdown import short, table
from harness.results import Results

NOT_RUN = "not run"
OK = object()  # the cell that tells whether the bounds of its row hold


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a case may do. A case that can do with fewer events, keys or rounds asks here."""

    folder: Path  # where its files go; it is also the current one
    quick: bool = False  # as little as shows that it works
    count: int | None = None  # of events, where a case is nothing but these


@dataclass(frozen=True, slots=True)
class Case:
    """What one process measures: part → figure → number. A case of one part calls it "".

    A figure's name ends with its unit. `wall_s` and `cpu_s` are of all its `count` keys, events or calls, or of one
    where it gives no count.
    """

    measure: Callable[[Effort], Mapping[str, Mapping[str, Any]]]
    all_cores: bool = False  # the others stay on one
    runs_most: int | None = None  # what comes out the same in every run needs no more than one
    once_beyond_s: float = float("inf")  # a case that takes longer is measured once
    timeout_s: float = 300
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long as its reference a work takes: of the minima, and the median of the runs' own ratios.

    A bound is held against the median: one run with a faster clock, in which only the reference was at its best, decides
    about the first figure.
    """

    work: str
    reference: str
    at_most: float | None = None
    at_least: float | None = None
    figure: str = "wall_s"
    told_with_bound: bool = False

    def works(self) -> tuple[str, ...]:
        """What has to be measured for it."""
        return self.work, self.reference

    def of_minima(self, results: Results) -> float:
        """The ratio of the minima over all runs."""
        return results.least(self.work, self.figure) / results.least(self.reference, self.figure)

    def median(self, results: Results) -> float:
        """The median of the runs' own ratios."""
        pairs = zip(results.each(self.work, self.figure), results.each(self.reference, self.figure), strict=False)
        return statistics.median(work / reference for work, reference in pairs)

    def text(self, results: Results) -> str:
        """`of the minima / median`."""
        if self.work not in results or self.reference not in results:
            return NOT_RUN
        told = f"{short(self.of_minima(results))} / {short(self.median(results))}"
        return f"{told} of {self.at_most:g}" if self.told_with_bound else told

    def ok(self, results: Results) -> bool | None:
        """Whether its bound holds; None where there is none, or nothing was measured."""
        if (self.at_most is None and self.at_least is None) or self.text(results) == NOT_RUN:
            return None
        median = self.median(results)
        return (self.at_most is None or median <= self.at_most) and (self.at_least is None or median >= self.at_least)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of one work, told by `tell`; by default the least of its runs counts."""

    work: str
    tell: Callable[[float], str]
    figure: str = "wall_s"
    at_most: float | None = None
    of_runs: Callable[[Iterable[float]], float] = min

    def works(self) -> tuple[str, ...]:
        """What has to be measured for it."""
        return (self.work,)

    def value(self, results: Results) -> float:
        """What counts of the runs."""
        return self.of_runs(results.each(self.work, self.figure))

    def text(self, results: Results) -> str:
        """The figure with its unit."""
        return self.tell(self.value(results)) if self.work in results else NOT_RUN

    def ok(self, results: Results) -> bool | None:
        """Whether its bound holds; None where there is none, or nothing was measured."""
        if self.at_most is None or self.work not in results:
            return None
        return self.value(results) <= self.at_most


class Row:
    """One row of a table: its first cell, then a text, a `Ratio`, a `Figure` or `OK` each."""

    def __init__(self, label: str, *cells: Any) -> None:
        self.label, self.cells = label, cells
        self.measured = [cell for cell in cells if not isinstance(cell, str) and cell is not OK]

    def works(self) -> set[str]:
        """What has to be measured for it."""
        return {work for cell in self.measured for work in cell.works()}

    def told(self, results: Results) -> bool:
        """Whether something of it was measured."""
        return any(cell.text(results) != NOT_RUN for cell in self.measured)

    def verdict(self, results: Results) -> bool | None:
        """Whether its bounds hold; None where nothing that has one was measured."""
        found = [ok for cell in self.measured if (ok := cell.ok(results)) is not None]
        return all(found) if found else None

    def line(self, results: Results) -> tuple[str, ...]:
        """Its cells as texts."""
        verdict = {True: "yes", False: "**no**", None: ""}[self.verdict(results)]
        told = (cell if isinstance(cell, str) else verdict if cell is OK else cell.text(results) for cell in self.cells)
        return self.label, *told


@dataclass(frozen=True, slots=True)
class Table:
    """A table between the markers of a document. Those of the same marker, in whatever files, are one table."""

    document: str  # in docs/
    marker: str
    head: Sequence[str]
    rows: Sequence[Row]

    def works(self) -> set[str]:
        """What has to be measured for it."""
        return {work for row in self.rows for work in row.works()}

    def can_be_told(self, results: Results) -> bool:
        """Whether something of it was measured."""
        return any(row.told(results) for row in self.rows)

    def render(self, results: Results) -> str:
        """All rows of which something was measured."""
        shown = [row for row in self.rows if row.told(results)]
        return table(self.head, [row.line(results) for row in shown]) + elsewhere(shown, results)

    def missed(self, results: Results) -> list[str]:
        """The rows whose bound does not hold."""
        return [f"{self.marker}: {' | '.join(row.line(results))}" for row in self.rows if row.verdict(results) is False]


def elsewhere(rows: Sequence[Row], results: Results) -> str:
    """What is said of rows that were not measured where, or when, most of a table was."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for name in sorted({results.machine(work)["machine"] for work in row.works() if work in results}):
            labels.setdefault(name, []).append(row.label)
    most = max(labels, key=lambda name: len(labels[name]), default="")
    told = [f"{'; '.join(found)}: {name}." for name, found in labels.items() if name != most]
    return "\n\n" + "\n".join(["Measured at another time or place:", *told]) if told else ""


@dataclass(frozen=True, slots=True)
class Written:
    """A place in a document that a function of the file writes from the results: text, and what was missed."""

    document: str
    marker: str
    write: Callable[[Results], str]
    needs: set[str]
    misses: Callable[[Results], list[str]] = lambda _: []

    def works(self) -> set[str]:
        """What has to be measured for it."""
        return self.needs

    def can_be_told(self, results: Results) -> bool:
        """Whether all that it needs was measured."""
        return all(work in results for work in self.needs)

    def render(self, results: Results) -> str:
        """The text."""
        return self.write(results)

    def missed(self, results: Results) -> list[str]:
        """What does not hold, as sentences."""
        return self.misses(results)
