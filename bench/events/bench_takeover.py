"""How long a takeover takes after `kill -9`, and what the keys of other members notice of it.

A process that is a member of a group is killed again and again. Measured: the time from its death to the first event of
its partitions that another member handles; and how long events of that other member's own partitions wait to be handled,
before the death and while the takeover lasts. Once with the lock that shows a process's death, and once without, when
only the lease tells.
It kills 100 times.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness.catalogue import works_of
from harness.declare import OK, Case, Effort, Figure, Ratio, Row, Table
from harness.markdown import short

from events.timing import DOCUMENT
from ringward.events import Processor, Retention, SqliteStore, Stream
from ringward.events.engine.ticker import TICK_S
from ringward.events.model.store import Hint

KILLS, KILLS_QUICK = 100, 2
LEASE_S, LEASE_ALONE_S = 5.0, 0.5
TAKEOVER_MS = {"lock": 100.0, "lease": 1000 * (LEASE_ALONE_S + 2 * TICK_S)}  # at most
OTHERS_FACTOR = 2.0  # so many times as long may the others' slowest events take meanwhile
KEYS = [f"key{i}" for i in range(512)]
KILLS_A_FILE = 10
PARTITIONS = 256
PAUSE_S = 0.002  # between two publishes
BEFORE_S = 0.5  # how long all is quiet before each kill
SHARE_LEAST = 0.2  # of the partitions that the victim must hold before it is killed


class LeasesOnly(SqliteStore):
    """A store that cannot tell whether a process lives."""

    def hint(self, process: str) -> Hint:
        """Nobody knows."""
        return "here" if process == self.process else "unknown"


def member(path: Path, name: str, lease_s: float, *, leases_only: bool) -> None:
    """Be a member of the group until killed."""
    store = (LeasesOnly if leases_only else SqliteStore)(path)
    with Processor(store) as p:
        p.consumer("g", members=[name], lease_s=lease_s, heartbeat_s=lease_s / 5)(lambda _: None)
        p.run()


class Survivor:
    """A processor with one member, that publishes all the time and knows when each event was handled."""

    def __init__(self, path: Path, lease_s: float, *, leases_only: bool) -> None:
        store = (LeasesOnly if leases_only else SqliteStore)(path, Stream(PARTITIONS))
        self.processor = Processor(store, retention=Retention(age_s=None, count=10_000))
        self.handled: list[tuple[float, int, float]] = []  # when, partition, how long it waited
        self.processor.consumer("g", members=["survivor"], lease_s=lease_s, heartbeat_s=lease_s / 5)(self._handle)
        self.processor.start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _handle(self, event: Any) -> None:
        now = time.monotonic()
        self.handled.append((now, event.partition, now - float(event.payload)))

    def _publish(self) -> None:
        at = 0
        while not self._stop.is_set():
            at += 1
            self.processor.publish(KEYS[at % len(KEYS)], repr(time.monotonic()).encode())
            time.sleep(PAUSE_S)

    def held_by(self, name: str) -> set[int]:
        """The partitions that a member holds."""
        states = self.processor.store.states("g")
        return {p for p, d in states.items() if d.owner is not None and d.owner.startswith(f"{name}#")}

    def since(self, when: float) -> list[tuple[float, int, float]]:
        """What was handled since then."""
        return [entry for entry in self.handled if entry[0] >= when]

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        self.processor.close()
        self.processor.store.close()


def measure(lease_s: float, effort: Effort, *, leases_only: bool) -> dict[str, dict[str, float]]:
    """Kill so often; every few kills on a new file, where no names of the dead are left."""
    logging.disable(logging.WARNING)
    kills = effort.count or (KILLS_QUICK if effort.quick else KILLS)
    takeovers: list[float] = []
    before: list[float] = []
    during: list[float] = []
    while len(takeovers) < kills:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=effort.folder) as folder:
            path = Path(folder) / "events.db"
            survivor = Survivor(path, lease_s, leases_only=leases_only)
            try:
                for number in range(min(KILLS_A_FILE, kills - len(takeovers))):
                    found = kill(survivor, path, f"victim-{number}", lease_s, leases_only=leases_only)
                    takeovers.append(found[0])
                    before += found[1]
                    during += found[2]
            finally:
                survivor.close()
    return {
        "takeover": quantiles(takeovers),
        "others-before": quantiles(before),
        "others-during": quantiles(during),
    }


def kill(
    survivor: Survivor, path: Path, name: str, lease_s: float, *, leases_only: bool
) -> tuple[float, list[float], list[float]]:
    """Start a member and kill it; how long it took, and what others waited before and meanwhile."""
    victim = multiprocessing.get_context("spawn").Process(
        target=member, args=(path, name, lease_s), kwargs={"leases_only": leases_only}, daemon=True
    )
    victim.start()
    wait(lambda: len(survivor.held_by(name)) >= SHARE_LEAST * PARTITIONS, "the victim has its share")
    time.sleep(BEFORE_S)
    theirs, mine = survivor.held_by(name), survivor.held_by("survivor")
    survivor.handled.clear()
    time.sleep(BEFORE_S)
    died = time.monotonic()
    victim.kill()
    wait(lambda: any(p in theirs for _, p, _ in survivor.since(died)), "the survivor took over")
    time.sleep(BEFORE_S)
    victim.join()
    entries = list(survivor.handled)
    first = min(when for when, p, _ in entries if p in theirs and when >= died)
    ended = max(first, died + BEFORE_S)
    before = [waited for when, p, waited in entries if p in mine and when < died]
    during = [waited for when, p, waited in entries if p in mine and died <= when <= ended]
    return first - died, before, during


def wait(until: Callable[[], bool], what: str) -> None:
    """Look again and again, without taking much of the time that is measured."""
    deadline = time.monotonic() + 60
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took more than 60 s until {what}")
        time.sleep(TICK_S / 2)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Some quantiles, in milliseconds."""
    values = 1000 * np.quantile(seconds, [0.5, 0.99, 1.0])
    found = {name: round(float(value), 3) for name, value in zip(("p50_ms", "p99_ms", "most_ms"), values, strict=True)}
    return {"of": len(seconds), **found}


CASES = {
    "lock": Case(partial(measure, LEASE_S, leases_only=False), all_cores=True, runs_most=1, timeout_s=900),
    "lease": Case(partial(measure, LEASE_ALONE_S, leases_only=True), all_cores=True, runs_most=1, timeout_s=900),
}
work = works_of(__file__)


def taken_over(label: str, case: str) -> Row:
    """One row of the table."""
    took, before, during = (work(case, part) for part in ("takeover", "others-before", "others-during"))
    most = TAKEOVER_MS[case]
    return Row(
        label,
        Figure(took, short, "p50_ms"), Figure(took, short, "p99_ms", at_most=most), f"{most:g}",
        Figure(before, "{:.2f}".format, "p99_ms"), Figure(during, "{:.2f}".format, "p99_ms"),
        Ratio(during, before, at_most=OTHERS_FACTOR, figure="p99_ms"), f"{OTHERS_FACTOR:g}", OK,
    )  # fmt: skip


HEAD = ("the death shows by", "p50", "p99", "at most", "others' p99 before", "during", "ratio", "at most", "ok")
TABLES = [
    Table(DOCUMENT, "events-takeover", HEAD, [
        taken_over("the process's lock", "lock"), taken_over("the lease alone", "lease")
    ]),
]  # fmt: skip
