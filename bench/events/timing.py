"""Times a piece of work on events, and tells what it took."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor

FEW = 3_000  # events of what is done one at a time
QUICK_FEW, QUICK_ALL = 200, 5_000
DOCUMENT = "events-performance.md"


def few(effort):
    """How many events are handled one at a time."""
    return effort.count or (QUICK_FEW if effort.quick else FEW)


def many(effort):
    """How many events go in batches; None: all there are."""
    return effort.count or (QUICK_ALL if effort.quick else None)


def timed(count, work):
    """Run it: events, seconds on the wall and of CPU."""
    gc.collect()
    gc.freeze()  # what is there before is nobody's cost
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"count": count, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def fastest(rounds):
    """The fastest of several rounds."""
    return min(rounds, key=lambda found: found["wall_s"] / found["count"])


def in_threads(work, count):
    """Run it so many times at once, each with its number; what one raises is raised."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def a_second(seconds):
    """Events a second, three significant digits."""
    return f"{float(f'{1 / seconds:.3g}'):,.0f}"


def microseconds(seconds):
    """A time an event."""
    return f"{seconds * 1e6:.1f}"
