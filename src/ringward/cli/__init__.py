"""The command line. What it needs beyond the library (click, rich) is looked for when it runs."""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main"]

_CUT_OFF = 4  # as in `output`, which needs click
_INTERRUPTED = 130
_STDERR = 2
_NEEDED = ("click", "rich")
_ALLOCATIONS_BEFORE_COLLECTION = 1 << 20


def main() -> None:
    """Run the command line, and exit with its code."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except SystemExit as ended:
        if ended.code == _CUT_OFF:  # a thread that was left behind may hold what the interpreter waits for at its end
            os._exit(_CUT_OFF)
        raise


def _run() -> None:
    _open_standard_files()
    try:
        from ringward.cli.group import group  # noqa: PLC0415 - click and rich are an optional extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(f"Error: the command line needs {error.name}: pip install 'ringward[cli]'\n")
        sys.exit(1)
    # Rows are lists of text, which hold no cycles: to look for some again and again takes as long as all the rest.
    gc.set_threshold(_ALLOCATIONS_BEFORE_COLLECTION)
    group(prog_name="ringward")


def _open_standard_files() -> None:
    """Where the caller closed them: no other file may get their numbers, and what is written has to go somewhere."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as above
