"""Keeps a process and its children on one core, where the system can."""

from __future__ import annotations

import os
from contextlib import contextmanager


def pin(core=None):
    """Stay on `core`, or on the last one there is. Does nothing outside Linux."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if core is None else core})


@contextmanager
def all_cores():
    """Leave the pin meanwhile."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
