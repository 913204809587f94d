"""What a command makes beside its output, and must not leave behind when a signal ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["cleaned_on_signals"]

_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")  # Ctrl-C is an exception already


@contextmanager
def cleaned_on_signals(clean: Callable[[], None]) -> Iterator[None]:
    """Call `clean` before a signal ends the process, as it would have without; an ignored signal stays so."""

    def end(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            clean()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    names = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [name for name in names if signal.getsignal(name) is signal.SIG_DFL]
    for name in taken:
        signal.signal(name, end)
    try:
        yield
    finally:
        for name in taken:
            signal.signal(name, signal.SIG_DFL)
