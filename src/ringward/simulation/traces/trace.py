"""`Trace`: who was down when, of whatever source; and how records become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ringward.errors import ArgumentError, RingwardError

__all__ = ["OutageRecord", "StateRecord", "Trace", "TraceError", "trace_of_outages", "trace_of_states"]


class TraceError(RingwardError, ValueError):
    """A trace of failures does not hold what it should.

    Attributes
    ----------
    name : str
        The file.
    line : int or None
        Where in it, from 1.
    """

    def __init__(self, name: str, message: str, line: int | None = None) -> None:
        super().__init__(f"{name}{'' if line is None else f', line {line}'}: {message}")
        self.name = name
        self.line = line


class OutageRecord(NamedTuple):
    """One outage as a file tells it: a node, and two moments in seconds since 1970."""

    node: str
    start_s: float
    end_s: float


class StateRecord(NamedTuple):
    """One sighting as a file tells it: at a moment, a node was up, or down."""

    time_s: float
    node: str
    up: bool


@dataclass(frozen=True, eq=False)
class Trace:
    """Who was down when.

    Outages of one node neither overlap nor touch, and each lasts. They are sorted by start. A node is up
    wherever no outage says otherwise, also before its first record.

    Attributes
    ----------
    nodes : tuple of str
        All nodes of the trace, in UTF-8 order.
    node, start_s, end_s : ndarray, shape (n,)
        The outages: the node's place in `nodes`, and seconds since the start of the trace.
    span_s : float
        How long the trace is.
    began_s : float
        When it starts, in seconds since 1970.
    outages : int
        How many outages the file tells of; the counts that follow are of these.
    overlapping : int
        That begin before the end of another one of the same node: they are joined to it.
    zero_length : int
        That end at the moment in which they begin: they are left out.
    same_time : int
        That begin at the moment in which another one of the same node ends: they are joined to it.
    unfinished : int
        That have no end in the file: they last until the end of the trace.
    skipped : int
        Records without a usable node or time, or that end before they begin: they are left out, and not in `outages`.
    """

    nodes: tuple[str, ...]
    node: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    span_s: float
    began_s: float = 0.0
    outages: int = 0
    overlapping: int = 0
    zero_length: int = 0
    same_time: int = 0
    unfinished: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.node)

    def part(self, begin: float, end: float) -> Trace:
        """The stretch between two shares of the span, as a trace of its own: `part(0, 0.5)` is the first half.

        Outages are cut off at its ends; of the counts, `outages` is of this part alone.

        Raises
        ------
        ArgumentError
            Unless 0 <= begin < end <= 1.
        """
        if not 0 <= begin < end <= 1:
            raise ArgumentError("begin, end", "shares of the span, 0 <= begin < end <= 1", (begin, end))
        low, high = begin * self.span_s, end * self.span_s
        kept = (self.end_s > low) & (self.start_s < high)
        starts, ends = np.maximum(self.start_s[kept], low) - low, np.minimum(self.end_s[kept], high) - low
        return Trace(
            self.nodes, self.node[kept], starts, ends, high - low, self.began_s + low, outages=int(kept.sum())
        )  # fmt: skip

    def of(self, nodes: Sequence[str]) -> Trace:
        """What happened to these nodes, which need not all be in the trace; `skipped` counts the outages of others."""
        place = {name: i for i, name in enumerate(sorted(nodes))}
        places = np.array([place.get(name, -1) for name in self.nodes], np.int64)
        node = places[self.node] if len(self.node) else self.node
        kept = node >= 0
        counts = {**self.counts(), "outages": int(kept.sum()), "skipped": self.skipped + int((~kept).sum())}
        named = {name: counts[name] for name in ("outages", "overlapping", "zero_length", "same_time", "skipped")}
        return Trace(
            tuple(place), node[kept], self.start_s[kept], self.end_s[kept], self.span_s, self.began_s, **named
        )  # fmt: skip

    def counts(self) -> dict[str, Any]:
        """What was found in the file, as JSON types."""
        names = ("outages", "overlapping", "zero_length", "same_time", "unfinished", "skipped", "span_s")
        return {"nodes": len(self.nodes), **{name: getattr(self, name) for name in names}}


def trace_of_outages(
    name: str, records: Iterable[OutageRecord], *, nodes: Iterable[str] = (), skipped: int = 0
) -> Trace:
    """A trace of outages in any order.

    Parameters
    ----------
    name : str
        The file, for errors.
    records : iterable of OutageRecord
    nodes : iterable of str
        Nodes that had no outage.
    skipped : int
        Records that the reader left out.
    """
    records = list(records)
    backwards = sum(record.end_s < record.start_s for record in records)
    records = [record for record in records if record.end_s >= record.start_s]
    names = sorted({*nodes, *(record.node for record in records)})
    if not names:
        raise TraceError(name, "no outage of a node is in it")
    began = min((record.start_s for record in records), default=0.0)
    until = max((record.end_s for record in records), default=0.0)
    kept, counts = _joined(records)
    counts["skipped"] = skipped + backwards
    return _built(names, kept, began, until, counts)


def trace_of_states(
    name: str, records: Iterable[StateRecord], *, begins_s: float | None = None, skipped: int = 0
) -> Trace:
    """A trace of sightings in any order; of those of one moment, the later record counts as the later sighting.

    An outage lasts from the first sighting of a node as down until the next one as up.
    """
    rows = sorted(records, key=lambda record: record.time_s)  # stable: records of one moment stay as they are
    if not rows:
        raise TraceError(name, "no state of a node is in it")
    began, until = rows[0].time_s if begins_s is None else min(begins_s, rows[0].time_s), rows[-1].time_s
    down_since: dict[str, float] = {}
    outages = []
    for row in rows:
        if not row.up:
            down_since.setdefault(row.node, row.time_s)
        elif row.node in down_since:
            outages.append(OutageRecord(row.node, down_since.pop(row.node), row.time_s))
    outages += [OutageRecord(node, start, until) for node, start in down_since.items() if start < until]
    kept, counts = _joined(outages)
    counts.update(skipped=skipped, unfinished=len(down_since))
    return _built(sorted({row.node for row in rows}), kept, began, until, counts)


def _joined(records: Sequence[OutageRecord]) -> tuple[list[OutageRecord], dict[str, int]]:
    """Outages that neither overlap nor touch, sorted by start, and what was done to make them so."""
    counts = {"outages": len(records), "overlapping": 0, "zero_length": 0, "same_time": 0}
    kept: list[OutageRecord] = []
    last: dict[str, int] = {}  # node → the place in `kept` of its latest outage
    for record in sorted(records, key=lambda record: (record.start_s, record.node, record.end_s)):
        if record.end_s == record.start_s:
            counts["zero_length"] += 1
            continue
        place = last.get(record.node)
        if place is not None and record.start_s <= kept[place].end_s:
            counts["overlapping" if record.start_s < kept[place].end_s else "same_time"] += 1
            kept[place] = kept[place]._replace(end_s=max(record.end_s, kept[place].end_s))
            continue
        last[record.node] = len(kept)
        kept.append(record)
    return kept, counts


def _built(names: list[str], kept: Sequence[OutageRecord], began: float, until: float, counts: dict[str, int]) -> Trace:
    place = {name: i for i, name in enumerate(names)}
    node = np.fromiter((place[record.node] for record in kept), np.int64, len(kept))
    starts = np.fromiter((record.start_s for record in kept), np.float64, len(kept)) - began
    ends = np.fromiter((record.end_s for record in kept), np.float64, len(kept)) - began
    return Trace(tuple(names), node, starts, ends, until - began, began, **counts)


def numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines that hold something, without their ends, and their numbers from 1."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text
