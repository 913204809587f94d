"""Kafka: brokers that came and went, in a controller's log."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ringward.simulation.traces.tables import needed_time
from ringward.simulation.traces.trace import StateRecord, Trace, TraceError, numbered, trace_of_states

__all__ = ["looks_like", "read"]

_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d+)\]")
_CHANGE = re.compile(r"Newly added brokers: ([\d, ]*), deleted brokers: ([\d, ]*)")


def looks_like(first: str) -> bool:
    """Whether a first line is this format's."""
    return _STAMP.match(first) is not None


def read(name: str, lines: Iterable[str]) -> Trace:
    """A broker is down from its deletion until it is added again; lines that tell of neither only last."""
    records = []
    last = None
    for number, line in numbered(lines):
        stamp = _STAMP.match(line)
        if stamp is None:
            continue  # a further line of a message, such as a stack trace
        last = needed_time(name, stamp[1], number)
        change = _CHANGE.search(line)
        if change is None:
            continue
        for text, up in ((change[2], False), (change[1], True)):
            records += [
                StateRecord(last, f"broker-{broker.strip()}", up) for broker in text.split(",") if broker.strip()
            ]
    if not records:
        raise TraceError(name, "no broker is added or deleted in it: a log of kafka.controller tells that")
    if last is not None and last > records[-1].time_s:  # nothing more happened until then
        final = {record.node: record.up for record in records}
        records += [StateRecord(last, node, up) for node, up in final.items()]
    return trace_of_states(name, records)
