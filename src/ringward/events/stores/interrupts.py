"""`Uninterrupted`: what must be done whole is not cut short by Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Uninterrupted"]

ENOUGH_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Uninterrupted:
    """A block that a first SIGINT or SIGTERM does not leave half-way: it is handled when the block ends.

    Python runs handlers of signals, and raises `KeyboardInterrupt`, between any two instructions of the main thread.
    Another signal, `ENOUGH_S` or more after the first, is handled at once: who waits for a lock that never comes free can
    still get away.
    Signals without a handler in Python are not touched, and other threads have nothing to put off.
    """

    __slots__ = ("_handlers", "_noted", "_noted_at")

    def __enter__(self) -> None:
        self._noted: list[tuple[int, FrameType | None]] = []
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and not isinstance(getattr(handler, "__self__", None), Uninterrupted):
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._noted:
            self._noted = [(number, frame)]
            self._noted_at = time.monotonic()
        elif time.monotonic() - self._noted_at >= ENOUGH_S:
            self._handlers[number](number, frame)

    def __exit__(self, *_: object) -> None:
        for number in reversed(self._handlers):  # SIGINT last: from then on the next one is raised wherever this is
            signal.signal(number, self._handlers[number])
        if self._noted:
            number, frame = self._noted[0]
            self._handlers[number](number, frame)
