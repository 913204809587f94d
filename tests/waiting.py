"""Waiting for other threads and processes: for what is to become so, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until something holds, and fail when it never does."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to hold in {timeout_s} s"
        time.sleep(0.0005)
