"""Upptime: what a monitor of web sites saw whenever it looked."""

from __future__ import annotations

from collections.abc import Iterable

from ringward.simulation.traces.tables import cells_of, header_of, needed_time, state_of
from ringward.simulation.traces.trace import StateRecord, Trace, trace_of_states

__all__ = ["looks_like", "read"]

_COLUMNS = ("time", "node", "state")


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    return {*_COLUMNS} <= {*header_of(first, "\t")}


def read(name: str, lines: Iterable[str]) -> Trace:
    """Upptime also knows degraded sites: they answer, so they are up."""
    records, skipped = [], 0
    for line, (time, node, state) in cells_of(name, lines, "\t", _COLUMNS):
        if not (time and node):
            skipped += 1
            continue
        up = True if state.lower() == "degraded" else state_of(name, state, line)
        records.append(StateRecord(needed_time(name, time, line), node, up))
    return trace_of_states(name, records, skipped=skipped)
