"""Los Alamos: outages of nodes with start and end, to the minute (LA-UR-05-7318)."""

from __future__ import annotations

from collections.abc import Iterable

from ringward.simulation.traces.tables import cells_of, header_of, needed_time
from ringward.simulation.traces.trace import OutageRecord, Trace, trace_of_outages

__all__ = ["looks_like", "read"]

_COLUMNS = ("system", "nodenumz", "prob started", "prob fixed")


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    return {*_COLUMNS} <= {*header_of(first, ",")}


def read(name: str, lines: Iterable[str]) -> Trace:
    """Nodes are named SYSTEM-NODE, the latter numbered from 0. Rows that lack a node or a time are skipped."""
    records, skipped = [], 0
    for line, (system, node, started, fixed) in cells_of(name, lines, ",", _COLUMNS):
        if not (system and node and started and fixed):
            skipped += 1
            continue
        start, end = needed_time(name, started, line), needed_time(name, fixed, line)
        records.append(OutageRecord(f"{system}-{node}", start, end))
    return trace_of_outages(name, records, skipped=skipped)
