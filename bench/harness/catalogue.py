"""Finds what the files `bench_*.py` declare: `CASES`, by name, and `TABLES`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from harness.declare import Case, Ratio, Table, Written
from harness.results import Results

BENCH = Path(__file__).resolve().parents[1]
BY_PYTEST = "::bench_"  # so begin the functions that pytest-benchmark runs


def works_of(file: str) -> Callable[..., str]:
    """A function that names the works of a file: `work("bench_dict", "hot")`, or a case and its part."""
    path = Path(file).resolve().relative_to(BENCH).as_posix()

    def work(name: str, part: str = "") -> str:
        return f"{path}::{name}[{part}]" if part else f"{path}::{name}"

    return work


def module_of(work: str) -> ModuleType:
    """The module that declares a work."""
    return importlib.import_module(work.partition(".py::")[0].replace("/", "."))


def case_of(work: str) -> str:
    """The case whose process measures a work."""
    return work.partition("[")[0]


def case(name: str) -> Case:
    """A case by its whole name."""
    return module_of(name).CASES[name.partition("::")[2]]


class Catalogue:
    """All that is declared, or what one of the patterns is in; if `whole`, with what is compared with the same references.

    Attributes
    ----------
    cases : dict of str to Case
        Whole name → case, in the order of the files.
    by_pytest : set of str
        Works that a session of pytest-benchmark measures.
    tables : list
        What is written into documents.
    plots : list of function
        What draws `(results, folder)`, in the files of these tables.
    """

    def __init__(self, patterns: list[str], *, whole: bool = False) -> None:
        paths = sorted(path.relative_to(BENCH).as_posix() for path in BENCH.glob("*/bench_*.py"))
        modules = {path: module_of(f"{path}::") for path in paths}
        cases = {f"{path}::{n}": c for path, module in modules.items() for n, c in getattr(module, "CASES", {}).items()}
        self.all_tables = merged([table for module in modules.values() for table in getattr(module, "TABLES", [])])
        works = set(cases).union(*(table.works() for table in self.all_tables))
        marked = {table.marker: table.works() for table in self.all_tables}
        chosen = {
            work for work in works if not patterns or any(p in work or work in marked.get(p, ()) for p in patterns)
        }
        chosen = with_references(chosen, self.all_tables, whole=whole)
        self.cases = {name: found for name, found in cases.items() if name in set(map(case_of, chosen))}
        self.by_pytest = {work for work in chosen if BY_PYTEST in work}
        self.tables = [
            table
            for table in self.all_tables
            if not patterns or any(case_of(w) in self.cases or w in self.by_pytest for w in table.works())
        ]
        feeding = {work.partition(".py::")[0] for table in self.tables for work in table.works()}
        self.plots = [
            m.draw for path, m in modules.items() if hasattr(m, "draw") and path.removesuffix(".py") in feeding
        ]

    def told(self, results: Results) -> list[Table | Written]:
        """The chosen tables for which something was measured; for those written by a function, all that it needs."""
        return [table for table in self.tables if table.can_be_told(results)]

    def texts(self, results: Results) -> dict[str, dict[str, str]]:
        """Document → marker → what stands there."""
        found: dict[str, dict[str, str]] = {}
        for table in self.told(results):
            found.setdefault(table.document, {})[table.marker] = table.render(results)
        return found

    def missed(self, results: Results) -> list[str]:
        """What does not hold."""
        return [line for table in self.told(results) for line in table.missed(results)]


def merged(tables: list[Table | Written]) -> list[Table | Written]:
    """Tables of one marker as one, in the order of the first."""
    found: dict[str, Table | Written] = {}
    for table in tables:
        before = found.get(table.marker)
        if isinstance(before, Table) and isinstance(table, Table):
            assert tuple(before.head) == tuple(table.head), f"{table.marker} has two heads"
            table = Table(table.document, table.marker, table.head, [*before.rows, *table.rows])  # noqa: PLW2901
        found[table.marker] = table
    return list(found.values())


def with_references(works: set[str], tables: list[Table | Written], *, whole: bool) -> set[str]:
    """The works with their references; if `whole`, with all that has these references, to be recorded of the same runs."""
    cells = [cell for t in tables if isinstance(t, Table) for row in t.rows for cell in row.measured]
    ratios = [cell for cell in cells if isinstance(cell, Ratio)]
    known: set[str] = set()
    while works != known:
        known = works
        works = known | {ratio.reference for ratio in ratios if ratio.work in known}
        if whole:
            works |= {ratio.work for ratio in ratios if ratio.reference in works}
    return works
