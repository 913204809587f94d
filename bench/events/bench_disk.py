"""What it takes to make 4 KiB durable on the disk: what all that is written one at a time waits for."""

from __future__ import annotations

import os
import statistics
import time

from harness.declare import Case

WRITES = 300


def sync(_effort):
    """The median of writes over what is there, and of writes that make the file longer."""

    def once(handle, at):
        os.pwrite(handle, b"x" * 4096, at)
        begin = time.perf_counter()
        getattr(os, "fdatasync", os.fsync)(handle)
        return time.perf_counter() - begin

    def median(step):
        handle = os.open("sync", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        times = [once(handle, n * step) for n in range(WRITES)]
        os.close(handle)
        return {"wall_s": statistics.median(times)}

    return {"overwritten": median(0), "longer": median(4096)}


CASES = {"sync": Case(sync)}
