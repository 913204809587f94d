"""What `work` and `consume` log to stderr: a line for each thing that happened."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ringward.cli.output import plain_name

__all__ = ["logged"]

_LIBRARY = "ringward.events"
_VERBOSE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Lines(logging.Formatter):
    """One line for each record; what payloads, keys and errors bring along can do nothing to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name != _LIBRARY:
            return f"{record.levelname} {super().format(record)}"
        return f"{record.levelname} {plain_name(_said(record))}"


def _said(record: logging.LogRecord) -> str:
    about = record.__dict__
    if about.get("event") == "handler_failed":
        error = about.get("error") or _error(record)
        return f"group {about['group']}, seq {about['seq']}, attempt {about['attempt']}: {error}"
    error = _error(record)
    return record.getMessage() + (f": {error}" if error else "")


def _error(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return ""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an error whose text raises
        return type(error).__name__


class _ToStderr(logging.Handler):
    """Writes where stderr is now, which a display of progress may have put itself before."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except Exception:  # noqa: BLE001 - nobody may read it; handlers go on
            return


@contextmanager
def logged(*, verbose: bool) -> Iterator[None]:
    """Let records reach stderr, unless the program of the handler has set up logging itself."""
    root, library = logging.getLogger(), logging.getLogger(_LIBRARY)
    if root.handlers or library.handlers:
        yield
        return
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter(_VERBOSE) if verbose else _Lines())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
