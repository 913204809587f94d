"""What a process that is killed with `kill -9` in the middle of slow handlers leaves to its successor.

A process with some members is at a backlog of slow events when it is killed; another takes over. Measured: how many events
are delivered alone, since they may have killed it; how long until the first of the others is handled, and of a group that
has nothing to do with it; and how much of what its members could handle in the first seconds they do handle.
Each run kills once.
"""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness.catalogue import works_of
from harness.declare import Case, Effort, Figure, Row, Table

from events.timing import DOCUMENT
from ringward.events import Processor

BEFORE_S = 1.0  # how long the first process works
AFTER_S = 4.0  # how long the second is watched
# Case → how it is told; members, events that wait, seconds of a handler.
ROWS = {
    "handlers-50-ms": ("4 members, 2,000 waiting, 50 ms", 4, 2_000, 0.05),
    "handlers-250-ms": ("16 members, 400 waiting, 250 ms", 16, 400, 0.25),
}


def slow_member(path: Path, members: int, handler_s: float, started: Any) -> None:
    """Be at slow handlers until killed."""
    with Processor(path) as p:

        @p.consumer("slow", members=members)
        def handle(_: Any) -> None:
            started.set()
            time.sleep(handler_s)

        p.run()


class Heir:
    """The process that takes over: what it handles, and when."""

    def __init__(self, path: Path, members: int, handler_s: float) -> None:
        self.handled: list[float] = []
        self.other: list[float] = []
        self.processor = Processor(path)
        self.suspects = sum(
            high - low + 1 for state in self.processor.store.states("slow").values() for low, high in state.in_flight
        )

        @self.processor.consumer("slow", members=members)
        def handle(_: Any) -> None:
            time.sleep(handler_s)
            self.handled.append(time.monotonic())

        @self.processor.consumer("other", start="end")
        def note(_: Any) -> None:
            self.other.append(time.monotonic())


def measure(members: int, waiting: int, handler_s: float, effort: Effort) -> dict[str, dict[str, float]]:
    """Kill once; what became of it."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=effort.folder) as folder:
        path = Path(folder) / "events.db"
        with Processor(path) as p:
            p.publish_many([f"key{i}" for i in range(waiting)], [b"x"] * waiting)
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        victim = context.Process(target=slow_member, args=(path, members, handler_s, started), daemon=True)
        victim.start()
        started.wait(60)
        time.sleep(BEFORE_S)
        victim.kill()
        victim.join()
        heir = Heir(path, members, handler_s)
        try:
            began = time.monotonic()
            heir.processor.start()
            heir.processor.publish("other", b"x")
            time.sleep(AFTER_S)
        finally:
            heir.processor.close()
            heir.processor.store.close()
    whole = [when for when in heir.handled if when <= began + AFTER_S]
    possible = members * AFTER_S / handler_s
    return {
        "": {
            "suspects": heir.suspects,
            "first_ms": 1000 * (min(whole) - began),
            "other_ms": 1000 * (min(heir.other) - began),
            "rate": len(whole) / min(possible, waiting),
        }
    }


CASES = {name: Case(partial(measure, *row), all_cores=True) for name, (_, *row) in ROWS.items()}
work = works_of(__file__)
TABLES = [
    Table(DOCUMENT, "events-recovery", ("", "alone", "first, ms", "another group's first, ms", "of full speed"), [
        Row(
            label,
            Figure(work(name), "{:.0f}".format, "suspects", of_runs=max),
            Figure(work(name), "{:.0f}".format, "first_ms", of_runs=statistics.median),
            Figure(work(name), "{:.0f}".format, "other_ms", of_runs=max),
            Figure(work(name), lambda rate: f"{100 * rate:.0f} %", "rate", of_runs=statistics.median),
        )
        for name, (label, *_) in ROWS.items()
    ]),
]  # fmt: skip
