"""The table of the event processor's bounds: how many times as many events a second it does as its reference."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from harness.declare import NOT_RUN, OK, Row, Table

from events.timing import DOCUMENT, a_second

HEAD = ("work", "events a second", "beside", "its events a second", "ratio: least / median", "of CPU time", "at least", "ok")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Faster:
    """One bound: of several works and of several references, the fastest of either; `ok` is by the median on the wall."""

    label: str
    mine: list[str]
    references: list[str]
    name: object  # of the reference: a text, or a function of its work
    at_least: float

    def works(self):
        """What has to be measured for it."""
        return [*self.mine, *self.references]

    def fastest(self, results):
        """The works that are compared, if there are some."""
        found = [[work for work in works if work in results] for works in (self.mine, self.references)]
        return [min(works, key=results.least) for works in found] if all(found) else None

    def told(self, results, column):
        """One cell."""
        if (pair := self.fastest(results)) is None:
            return NOT_RUN
        ours, theirs = pair
        return {
            "rate": lambda: a_second(results.least(ours)),
            "beside": lambda: self.name(theirs) if callable(self.name) else self.name,
            "its rate": lambda: a_second(results.least(theirs)),
            "ratio": lambda: f"{results.least(theirs) / results.least(ours):.2f} / {self.median(results, pair):.2f}",
            "cpu": lambda: f"{results.least(theirs, 'cpu_s') / results.least(ours, 'cpu_s'):.2f}",
        }[column]()

    @staticmethod
    def median(results, pair):
        """The median of the runs' own ratios."""
        ours, theirs = map(results.each, pair)
        return statistics.median(other / own for own, other in zip(ours, theirs, strict=False))

    def ok(self, results):
        """Whether it holds; None where it was not measured."""
        pair = self.fastest(results)
        return None if pair is None else self.median(results, pair) >= self.at_least


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of a bound."""

    bound: Faster
    column: str

    def works(self):
        """What has to be measured for it."""
        return self.bound.works()

    def text(self, results):
        """What is told."""
        return self.bound.told(results, self.column)

    def ok(self, results):
        """Whether the bound holds, which one of the cells says."""
        return self.bound.ok(results) if self.column == "ratio" else None


def bounds(*rows):
    """Rows of the table."""
    columns = ("rate", "beside", "its rate", "ratio", "cpu")
    return Table(DOCUMENT, "events-bounds", HEAD, [
        Row(row.label, *(Cell(row, column) for column in columns), f"{row.at_least:g}", OK) for row in rows
    ])  # fmt: skip
