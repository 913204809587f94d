"""PlanetLab: lists of the machines that were there on a day, one row each."""

from __future__ import annotations

from collections.abc import Iterable

from ringward.simulation.traces.tables import cells_of, header_of, needed_time
from ringward.simulation.traces.trace import StateRecord, Trace, trace_of_states

__all__ = ["looks_like", "read"]

_COLUMNS = ("day", "vm_file")
_DAY_S = 86_400.0


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    return {*_COLUMNS} <= {*header_of(first, "\t")}


def read(name: str, lines: Iterable[str]) -> Trace:
    """A node is down from a day whose list lacks it until the next list that has it; the trace ends a day after the last."""
    days: dict[float, set[str]] = {}
    skipped = 0
    for line, (day, node) in cells_of(name, lines, "\t", _COLUMNS):
        if not node:
            skipped += 1
            continue
        days.setdefault(needed_time(name, day, line), set()).add(node)
    everybody = sorted(set().union(*days.values()))
    records = [StateRecord(day, node, node in days[day]) for day in sorted(days) for node in everybody]
    if days:
        last = max(days)
        records += [StateRecord(last + _DAY_S, node, node in days[last]) for node in everybody]
    return trace_of_states(name, records, skipped=skipped)
