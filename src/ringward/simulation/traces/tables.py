"""Tables of text with a header, as most traces are."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from ringward.simulation.traces.times import time_of
from ringward.simulation.traces.trace import TraceError
from ringward.texts import shown

__all__ = ["UP_WORDS", "cells_of", "header_of", "needed_time", "state_of"]

UP_WORDS = frozenset({"up", "1", "true", "alive", "live", "healthy", "ok", "available", "online", "yes"})
_DOWN_WORDS = frozenset(
    {"down", "0", "false", "dead", "unhealthy", "failed", "unavailable", "offline", "no", "unavail"}
)  # fmt: skip


def header_of(line: str, delimiter: str) -> list[str]:
    """The names in the first line of a table, in lower case."""
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def cells_of(
    name: str, lines: Iterable[str], delimiter: str, columns: tuple[str, ...], *, header: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """The cells of some columns of each row, and its line.

    Raises
    ------
    TraceError
        Where a column is missing, or a row is of another width than the first.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    places = list(range(len(columns)))
    width = len(columns)
    first = True
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise TraceError(name, str(error), max(reader.line_num, 1)) from error
        if row is None:
            return
        if not row or not any(cell.strip() for cell in row):
            continue
        if first:
            first = False
            width = len(row)
            if header:
                found = [cell.strip().removeprefix("\ufeff").lower() for cell in row]
                missing = [column for column in columns if column not in found]
                if missing:
                    raise TraceError(name, f"no column {shown(missing[0])}; there are: {', '.join(found)}", 1)
                places = [found.index(column) for column in columns]
                continue
            if width < len(columns):
                raise TraceError(name, f"{width} columns where {', '.join(columns)} are needed", reader.line_num)
        if len(row) != width:
            raise TraceError(name, f"{len(row)} columns where the first row has {width}", reader.line_num)
        yield reader.line_num, [row[place].strip() for place in places]


def needed_time(name: str, text: str, line: int) -> float:
    """The seconds since 1970 of a cell, or an error."""
    found = time_of(text)
    if found is None:
        raise TraceError(name, f"no time: {shown(text, 40)}", line)
    return found


def state_of(name: str, text: str, line: int) -> bool:
    """Whether a cell says up, or an error."""
    word = text.lower()
    if word in UP_WORDS:
        return True
    if word in _DOWN_WORDS:
        return False
    raise TraceError(name, f"a state must be up or down (was {shown(text, 40)})", line)
