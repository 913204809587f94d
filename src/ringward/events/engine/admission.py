"""`Admission`: how much may wait to be handled before nothing more is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable

from ringward.checks import checked_float, checked_int
from ringward.errors import BackpressureError
from ringward.events.model.store import Store
from ringward.mutex import Mutex

__all__ = ["UNRESOLVED_BYTES", "UNRESOLVED_COUNT", "Admission", "check_bounds"]

UNRESOLVED_BYTES = 1 << 30
UNRESOLVED_COUNT = 100_000_000
MEASURE_S = 1.0
POLL_S = 0.005


def check_bounds(count_most: int, bytes_most: int) -> None:
    """Refuse bounds that are none."""
    checked_int("unresolved_count", count_most, 1, 2**62)
    checked_int("unresolved_bytes", bytes_most, 1, 2**62)


class Admission:
    """Lets events in while what waits to be handled, by the slowest group, is below the bounds.

    It counts down from what it measured, and measures again when that is used up, or is old: other
    processes publish too.
    """

    def __init__(self, store: Store, count_most: int, bytes_most: int, now: Callable[[], float]) -> None:
        self._store = store
        check_bounds(count_most, bytes_most)
        self._count_most = int(count_most)
        self._bytes_most = int(bytes_most)
        self._now = now
        self._lock = Mutex()
        self._count = self._bytes = 0  # room that is left
        self._due = 0.0

    def admit(self, count: int, size: int, wait_s: float | None, *, inside: bool) -> None:
        """Return when there is room; `BackpressureError` when there is none, or not in time."""
        if wait_s is not None:
            wait_s = checked_float("wait_s", wait_s, zero=True)
            if inside:
                raise BackpressureError("wait_s", "left out inside a handler, which would wait for itself", wait_s)
        began = now = self._now()
        while True:
            with self._lock:
                if self._count < count or self._bytes < size or now >= self._due:
                    self._measure()
                if self._count >= count and self._bytes >= size:
                    self._count -= count
                    self._bytes -= size
                    return
                if wait_s is None or now - began >= wait_s:
                    raise self._full(count, size)
            time.sleep(POLL_S)
            now = self._now()

    def _measure(self) -> None:
        store = self._store
        tail = store.totals().tail
        lowest = min((store.lowest_unresolved(group.name) for group in store.groups()), default=tail + 1)
        self._count = self._count_most - (tail + 1 - lowest)
        self._bytes = self._bytes_most - store.volume_between(lowest - 1, tail)
        self._due = self._now() + MEASURE_S

    def _full(self, count: int, size: int) -> BackpressureError:
        if self._count < count:
            most = self._count_most
            return BackpressureError("unresolved events", f"at most {most}", most - self._count + count)
        most = self._bytes_most
        return BackpressureError("unresolved payload bytes", f"at most {most}", most - self._bytes + size)
