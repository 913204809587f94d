"""What text plainly is that was given as lines of keys, and is none."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence

from ringward.cli.sources import listed

__all__ = ["LINES_LOOKED_AT", "document_of"]

LINES_LOOKED_AT = 20
_MARKUP = ("<?xml", "<!doctype", "<html")
_DELIMITERS = (",", ";", "\t", "|")
_OF_KEYS = "|"  # joins the parts of keys as often as it parts columns
_HEADING_MOST = 64
_JSON = "JSON, which is not read"


def document_of(lines: Sequence[str]) -> str | None:
    """What the first lines of a file say that it is: JSON, text in quotes, XML, or a table with a header; None for lines of keys."""
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        return None
    first = texts[0].removeprefix("\ufeff")
    if first.lower().startswith(_MARKUP):
        return "XML or HTML, which is not read"
    if first[0] in '{["':
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            if first in {"{", "[", "[{"}:
                return _JSON
        else:
            return "a table of one column in quotes: --key must name it" if first[0] == '"' else _JSON
    for delimiter in _DELIMITERS:
        header = _header(lines, delimiter)
        if header:
            return f"a table: --key must name one of its columns, {listed(header)}"
    return None


def _header(lines: Sequence[str], delimiter: str) -> list[str] | None:
    """The first row, if all have its width and it can't be data."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return None
    header, others = rows[0], rows[1:]
    if len(header) < 2 or not others or any(len(row) != len(header) for row in others[: LINES_LOOKED_AT // 2]):
        return None
    if len(set(header)) < len(header) or not all(map(_is_heading, header)):
        return None
    if delimiter == _OF_KEYS and not any(all(map(_is_number, column)) for column in zip(*others, strict=False)):
        return None
    return header


def _is_heading(cell: str) -> bool:
    return bool(cell) and cell == cell.strip() and len(cell) <= _HEADING_MOST and not _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
