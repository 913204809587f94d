"""Where `ringward assign` writes text: stdout, or a file that is whole or not there."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from ringward.cli.sources import InputError

__all__ = ["delimited", "written"]


@contextmanager
def written(path: str | None) -> Iterator[IO[bytes]]:
    """Stdout, or a file that takes its place once all is written: an error leaves no half of one."""
    if path is None:
        target = sys.stdout.buffer
        yield target
        target.flush()
        return
    final = Path(path).resolve()
    special = final.exists() and not final.is_file()  # a pipe or a device is written to as it is
    partial = final if special else final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with _opened(path, partial) as raw:
            if final.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield raw
        if not special:
            partial.replace(final)
    finally:
        if not special:
            partial.unlink(missing_ok=True)


def _opened(path: str, partial: Path) -> IO[bytes]:
    try:
        return partial.open("wb")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from error


def delimited(rows: list[list[str]], delimiter: str | None) -> bytes:
    """Rows as text: CSV or TSV, or lines as they came with what was added after tabs."""
    if delimiter is None:  # lines are written as they came, so there is no quoting to undo
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
