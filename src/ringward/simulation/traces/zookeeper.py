"""ZooKeeper: servers that could not be reached, and that called again, in a structured log (LogHub)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ringward.simulation.traces.tables import cells_of, header_of, needed_time
from ringward.simulation.traces.trace import StateRecord, Trace, TraceError, trace_of_states

__all__ = ["looks_like", "read"]

_COLUMNS = ("date", "time", "content")
_LOST = re.compile(r"Cannot open channel to \d+ at election address [^/]*/([\d.]+|\[[\da-fA-F:]+\]):\d+")
_CALLED = re.compile(r"Received connection request [^/]*/([\d.]+|\[[\da-fA-F:]+\]):\d+")


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    return {*_COLUMNS} <= {*header_of(first, ",")}


def read(name: str, lines: Iterable[str]) -> Trace:
    """A server is down from when no channel to it opens until it asks for a connection. Other lines only last."""
    records = []
    last = None
    for line, (date, time, content) in cells_of(name, lines, ",", _COLUMNS):
        last = max(needed_time(name, f"{date} {time}", line), last or 0.0)
        for pattern, up in ((_LOST, False), (_CALLED, True)):
            found = pattern.search(content)
            if found is not None:
                records.append(StateRecord(needed_time(name, f"{date} {time}", line), found[1], up))
    if not records:
        raise TraceError(name, "no server is lost or calls again in it")
    newest = max(records, key=lambda record: record.time_s)
    if last is not None and last > newest.time_s:
        records.append(newest._replace(time_s=last))
    return trace_of_states(name, records)
