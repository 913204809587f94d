"""What a process that is killed with `kill -9` in the middle of slow handlers leaves to its successor.

A process with some members is at a backlog of slow events when it is killed; another takes over. Measured: how many events
are delivered alone, since they may have killed it; how long until the first of the others is handled, and of a group that
has nothing to do with it; and how much of what its members could handle in the first seconds they do handle.

    python bench/events/recovery.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from table import machine, written  # noqa: E402

from ringward.events import Processor  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "events-performance.md"
BEFORE_S = 1.0  # how long the first process works
AFTER_S = 4.0  # how long the second is watched
ROWS = {"4 members, 2,000 waiting, 50 ms": (4, 2_000, 0.05), "16 members, 400 waiting, 250 ms": (16, 400, 0.25)}


def work(path: Path, members: int, handler_s: float, started: Any) -> None:
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
            high - low + 1
            for document in self.processor.store.documents("slow").values()
            for low, high in document.marked
        )

        @self.processor.consumer("slow", members=members)
        def handle(_: Any) -> None:
            time.sleep(handler_s)
            self.handled.append(time.monotonic())

        @self.processor.consumer("other", start="end")
        def note(_: Any) -> None:
            self.other.append(time.monotonic())


def measure(members: int, waiting: int, handler_s: float) -> dict[str, float]:
    """Kill once; what became of it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "events.db"
        with Processor(path) as p:
            p.publish_many([f"key{i}" for i in range(waiting)], [b"x"] * waiting)
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        victim = context.Process(target=work, args=(path, members, handler_s, started), daemon=True)
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
        "suspects": heir.suspects,
        "first_ms": 1000 * (min(whole) - began),
        "other_ms": 1000 * (min(heir.other) - began),
        "rate": len(whole) / min(possible, waiting),
    }


def main() -> None:
    """Measure all rows, print a table, save it and write that of docs/events-performance.md."""
    parser = argparse.ArgumentParser(description="What kill -9 leaves to the next process.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("recovery.json"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    results: dict[str, Any] = {}
    about = machine()
    told = [
        f"{about['cpu']}; {about['date']}; {options.rounds} rounds.\n",
        "| | alone | first, ms | another group's first, ms | of full speed |",
        "| --- | --- | --- | --- | --- |",
    ]
    print(f"{'':34} {'alone':>6} {'first ms':>9} {'other group ms':>15} {'of full speed':>14}")
    for name, row in ROWS.items():
        rounds = [measure(*row) for _ in range(options.rounds)]
        got = results[name] = {
            "suspects": max(found["suspects"] for found in rounds),
            **{key: round(statistics.median(found[key] for found in rounds), 3) for key in ("first_ms", "rate")},
            "other_ms": round(max(found["other_ms"] for found in rounds), 1),
        }
        print(
            f"{name:34} {got['suspects']:6} {got['first_ms']:9.0f} {got['other_ms']:15.0f} {100 * got['rate']:13.0f}%"
        )
        told.append(
            f"| {name} | {got['suspects']} | {got['first_ms']:.0f} | {got['other_ms']:.0f} | {100 * got['rate']:.0f} % |"
        )
    options.out.write_text(json.dumps({"machine": about} | results, indent=1) + "\n")
    DOCUMENT.write_text(written(DOCUMENT.read_text(), {"events-recovery": "\n".join(told)}))


if __name__ == "__main__":
    main()
