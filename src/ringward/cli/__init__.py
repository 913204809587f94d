"""The command line. What it needs beyond the library (click, rich) is looked for when it runs."""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main"]

_NEEDED = ("click", "rich")
_ALLOCATIONS_BEFORE_COLLECTION = 1 << 20


def main() -> None:
    """Run the command line, and exit with its code."""
    try:
        from ringward.cli.group import group  # noqa: PLC0415 - click and rich are an optional extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(f"Error: the command line needs {error.name}: pip install 'ringward[cli]'\n")
        sys.exit(1)
    # Rows are lists of text, which hold no cycles: to look for some again and again takes as long as all the rest.
    gc.set_threshold(_ALLOCATIONS_BEFORE_COLLECTION)
    if sys.stdout is None:  # the caller closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
    group(prog_name="ringward")
