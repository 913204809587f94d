"""How far `work` is: a line on the terminal that stays at its foot."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ringward.cli.output import plain_name
from ringward.events import Processor

__all__ = ["watched"]

_EVERY_S = 0.5
_SHARE = 20  # what waits is counted row by row: that takes at most one part of so many of the time


@contextmanager
def watched(processor: Processor, group: str, *, quiet: bool) -> Iterator[None]:
    """Show on stderr, where that is a terminal, how much is handled, waits and is dead."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is shown
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    over = threading.Event()
    console = Console(stderr=True)
    with Live(console=console, transient=True, auto_refresh=False, redirect_stdout=sys.stdout.isatty()) as shown:

        def watch() -> None:
            wait_s = _EVERY_S
            while not over.wait(wait_s):
                began = time.monotonic()
                try:
                    line = _line(processor, group)
                except Exception:  # noqa: BLE001 - what is wrong with the store, the processor tells
                    return
                shown.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
                wait_s = max(_EVERY_S, _SHARE * (time.monotonic() - began))

        thread = threading.Thread(target=watch, name="ringward-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_EVERY_S)


def _line(processor: Processor, group: str) -> str:
    told = processor.stats().groups[group]
    waiting = sum(told.lag.values())
    rate = f"{told.handled:,} handled, {told.handled_per_s:,.0f} a second"
    return f"{plain_name(group)}: {rate}; {waiting:,} waiting, {told.dead:,} dead, {len(told.members)} members"
