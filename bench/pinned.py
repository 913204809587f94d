"""Keeps a process and its children on one core, where the system can."""

from __future__ import annotations

import os


def pin(core=None):
    """Stay on `core`, or on the last one there is. Does nothing outside Linux."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if core is None else core})
