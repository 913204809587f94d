"""How far a command is with a file: a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ringward.cli.sources import ByteSource

__all__ = ["Advance", "progress"]

Advance = Callable[[int], None]


@contextmanager
def progress(source: ByteSource, rows_total: int | None, *, quiet: bool) -> Iterator[Advance]:
    """A bar on stderr where that is a terminal, and rows on the same terminal would not tear it."""
    if quiet or not sys.stderr.isatty():
        yield lambda _rows: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is shown
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    done = 0
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("rows", total=rows_total or source.size_bytes, rows=0)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            consumed = source.raw.tell() if source.size_bytes is not None else None
            shown.update(task, completed=done if rows_total else consumed, rows=done)

        yield advance
