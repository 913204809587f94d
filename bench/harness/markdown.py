"""Tables in Markdown, and the places in documents between whose markers they stand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def short(number: float) -> str:
    """Three significant digits, without an exponent."""
    digits = 0 if number >= 100 else 1 if number >= 10 else 2 if number >= 0.1 else 3
    return f"{number:.{digits}f}"


def yes(ok: bool) -> str:
    """A bound that holds, and one that does not."""
    return "yes" if ok else "**no**"


def filled(document: Path, parts: Mapping[str, str]) -> str:
    """The document with each part between its markers."""
    text = document.read_text(encoding="utf-8")
    for name, part in parts.items():
        start, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
        if start not in text or end not in text:
            sys.exit(f"{document.name} must have the markers {start} and {end}")
        head, _, rest = text.partition(start)
        text = f"{head}{start}\n{part}\n{end}{rest.partition(end)[2]}"
    return text
