"""Readers of traces: who was down when, from the files in which others have kept it. One file a format."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import IO, NamedTuple, cast

from ringward.errors import ArgumentError
from ringward.simulation.traces import kafka, lanl, planetlab, table, upptime, zookeeper
from ringward.simulation.traces.trace import (
    OutageRecord,
    StateRecord,
    Trace,
    TraceError,
    numbered,
    trace_of_outages,
    trace_of_states,
)
from ringward.texts import shown

try:
    import lzma
except ImportError:  # Python can be built without
    lzma = None  # type: ignore[assignment]

__all__ = [
    "FORMATS",
    "OutageRecord",
    "StateRecord",
    "Trace",
    "TraceError",
    "parse_trace",
    "read_trace",
    "trace_of_outages",
    "trace_of_states",
]

_DAMAGED: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
if lzma is not None:
    _DAMAGED += (lzma.LZMAError,)


class _Format(NamedTuple):
    looks_like: Callable[[str], bool]
    read: Callable[[str, Iterable[str]], Trace]


FORMATS = {  # in the order in which they are tried
    "lanl": _Format(lanl.looks_like, lanl.read),
    "zookeeper": _Format(zookeeper.looks_like, zookeeper.read),
    "upptime": _Format(upptime.looks_like, upptime.read),
    "planetlab": _Format(planetlab.looks_like, planetlab.read),
    "kafka": _Format(kafka.looks_like, kafka.read),
    "csv": _Format(table.looks_like, table.read),
}


def parse_trace(lines: Iterable[str], *, name: str = "trace", format: str | None = None) -> Trace:
    """A trace from lines of text.

    Parameters
    ----------
    lines : iterable of str
    name : str
        What errors call it.
    format : {"lanl", "zookeeper", "upptime", "planetlab", "kafka", "csv"}, optional
        By its first line otherwise.

    Raises
    ------
    TraceError
        Where it does not hold what it should, with the line.

    Examples
    --------
    >>> from ringward.simulation import parse_trace
    >>> lines = ["time,node,state", "0,node1,up", "10,node2,down", "25,node2,up", "60,node1,up"]
    >>> trace = parse_trace(lines)
    >>> trace.nodes, trace.span_s, trace.start_s, trace.end_s
    (('node1', 'node2'), 60.0, array([10.]), array([25.]))
    """
    if format is not None and format not in FORMATS:
        raise ArgumentError("format", f"one of {', '.join(FORMATS)}", format)
    lines = iter(lines)
    start: list[str] = []
    for line in lines:
        start.append(line)
        if line.strip():
            break
    else:
        raise TraceError(name, "empty")
    first = next(numbered(start))[1].removeprefix("\ufeff")
    found = format or next((kind for kind, each in FORMATS.items() if each.looks_like(first)), None)
    if found is None:
        raise TraceError(
            name, f"of no known format ({', '.join(FORMATS)}): it starts with {shown(first, 60)}", len(start)
        )
    return FORMATS[found].read(name, chain(start, lines))


def read_trace(path: str | PathLike[str], format: str | None = None) -> Trace:
    """A trace from a file, which may be packed by gzip or xz; as `parse_trace`."""
    path = Path(fspath(path))
    name = str(path)
    with path.open("rb") as raw, _unpacked(name, raw) as stream, io.TextIOWrapper(stream, "utf-8-sig") as lines:
        try:
            return parse_trace(lines, name=name, format=format)
        except UnicodeDecodeError as error:
            raise TraceError(name, f"not UTF-8 text: {error.reason}") from error
        except _DAMAGED as error:
            raise TraceError(name, f"a damaged file: {error}") from error


def _unpacked(name: str, raw: io.BufferedReader) -> IO[bytes]:
    magic = raw.peek(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if not magic.startswith(b"\xfd7zXZ\0"):
        return raw
    if lzma is None:
        raise TraceError(name, "packed by xz, which this Python was built without")
    return lzma.LZMAFile(raw)
