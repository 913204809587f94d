"""CSV of `time, node, state`, with a header in any order, or without one in this order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ringward.simulation.traces.tables import cells_of, header_of, needed_time, state_of
from ringward.simulation.traces.times import time_of
from ringward.simulation.traces.trace import StateRecord, Trace, TraceError, trace_of_states

__all__ = ["looks_like", "read"]

_COLUMNS = ("time", "node", "state")


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    cells = header_of(first, ",")
    return {*_COLUMNS} <= {*cells} or (len(cells) >= len(_COLUMNS) and time_of(cells[0]) is not None)


def read(name: str, lines: Iterable[str]) -> Trace:
    """States are up or down; also 1 and 0, true and false, and their like."""
    lines = iter(lines)
    first = next(lines, "")
    header = {*_COLUMNS} <= {cell.removeprefix("\ufeff") for cell in header_of(first, ",")}
    records = []
    rows = cells_of(name, chain([first], lines), ",", _COLUMNS, header=header or not looks_like(first))
    for line, (time, node, state) in rows:
        if not node:
            raise TraceError(name, "no node", line)
        records.append(StateRecord(needed_time(name, time, line), node, state_of(name, state, line)))
    return trace_of_states(name, records)
