"""Where something was measured; nothing that names a host or a path."""

from __future__ import annotations

import datetime as dt
import os
import platform
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import ringward as rw


def machine() -> dict[str, str]:
    """Processor, versions and date, and a name for all that."""
    cpu = platform.processor() or platform.machine()
    fields = {}
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "model name" in fields:
        cpu = f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    date = dt.datetime.now(dt.UTC).date().isoformat()
    return {
        "machine": name_of(date, cpu, python),
        "cpu": cpu,
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": python,
        "numpy": np.__version__,
        "ringward": rw.__version__,
        "levels": ", ".join(rw.cpu().levels),
        "level": rw.cpu().level,
        "date": date,
    }


def name_of(date: str, cpu: str, python: str) -> str:
    """What cells call it."""
    return f"{date}, {cpu.partition(',')[0]}, {python}"


def pin(core=None):
    """Stay on `core`, or on the last one there is, children included. Does nothing outside Linux."""
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
