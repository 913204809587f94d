"""How long a takeover takes after `kill -9`, and what the keys of other members notice of it.

A process that is a member of a group is killed again and again. Measured: the time from its death to the first event of
its partitions that another member handles; and how long events of that other member's own partitions wait to be handled,
before the death and while the takeover lasts. Once with the lock that shows a process's death, and once without, when
only the lease tells.

    python bench/events/takeover.py --kills 100
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ringward.events import Processor, Retention, SqliteStore, Stream
from ringward.events.ticker import TICK_S

KEYS = [f"key{i}" for i in range(512)]
KILLS_A_FILE = 10
PARTITIONS = 256
PAUSE_S = 0.002  # between two publishes
BEFORE_S = 0.5  # how long all is quiet before each kill
SHARE_LEAST = 0.2  # of the partitions that the victim must hold before it is killed


class LeasesOnly(SqliteStore):
    """A store that cannot tell whether a process lives."""

    def alive(self, process: str) -> bool | None:
        """Nobody knows."""
        return True if process == self.process else None


def member(path: Path, name: str, lease_s: float, *, leases_only: bool) -> None:
    """Be a member of the group until killed."""
    store = (LeasesOnly if leases_only else SqliteStore)(path)
    with Processor(store) as p:
        p.consumer("g", members=[name], lease_s=lease_s, beat_s=lease_s / 5)(lambda _: None)
        p.run()


class Survivor:
    """A processor with one member, that publishes all the time and knows when each event was handled."""

    def __init__(self, path: Path, lease_s: float, *, leases_only: bool) -> None:
        store = (LeasesOnly if leases_only else SqliteStore)(path, Stream(PARTITIONS))
        self.processor = Processor(store, retention=Retention(age_s=None, count=10_000))
        self.handled: list[tuple[float, int, float]] = []  # when, partition, how long it waited
        self.processor.consumer("g", members=["survivor"], lease_s=lease_s, beat_s=lease_s / 5)(self._handle)
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
        documents = self.processor.store.documents("g")
        return {p for p, d in documents.items() if d.owner is not None and d.owner.startswith(f"{name}#")}

    def since(self, when: float) -> list[tuple[float, int, float]]:
        """What was handled since then."""
        return [entry for entry in self.handled if entry[0] >= when]

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        self.processor.close()
        self.processor.store.close()


def measure(kills: int, lease_s: float, *, leases_only: bool) -> dict[str, Any]:
    """Kill so often; every few kills on a new file, where no names of the dead are left."""
    takeovers: list[float] = []
    before: list[float] = []
    during: list[float] = []
    while len(takeovers) < kills:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
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
        "kills": kills,
        "lease_s": lease_s,
        "takeover_ms": quantiles(takeovers),
        "others_before_ms": quantiles(before),
        "others_during_ms": quantiles(during),
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
    return {name: round(float(value), 3) for name, value in zip(("p50", "p99", "max"), values, strict=True)}


def ways(lease_s: float) -> dict[str, tuple[float, bool, float]]:
    """How a death is found → the lease, whether it alone tells, and how many milliseconds it may take."""
    return {"lock": (5.0, False, 100.0), "lease only": (lease_s, True, 1000 * (lease_s + 2 * TICK_S))}


def main() -> None:
    """Measure both ways, or one of them, print a table and save it."""
    parser = argparse.ArgumentParser(description="Takeovers after kill -9.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--lease", type=float, default=0.5, help="seconds, where only the lease tells")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("takeover.json"))
    parser.add_argument("--only", choices=ways(0.5), help="measure this, and keep what was saved of the other")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    results = json.loads(options.out.read_text()) if options.only and options.out.exists() else {}
    print(f"{'':14} {'takeover p50':>12} {'p99':>8} {'bound':>8} {'others p99':>11} {'during':>8}  (ms)")
    for name, (lease_s, leases_only, most) in ways(options.lease).items():
        if options.only not in (None, name):
            continue
        got = results[name] = measure(options.kills, lease_s, leases_only=leases_only)
        took, calm, stirred = got["takeover_ms"], got["others_before_ms"], got["others_during_ms"]
        got["within_ms"], got["others_factor"] = most, round(stirred["p99"] / calm["p99"], 2)
        print(f"{name:14} {took['p50']:12.1f} {took['p99']:8.1f} {most:8.1f} {calm['p99']:11.2f} {stirred['p99']:8.2f}")
    results["machine"] = {"system": platform.platform(), "python": platform.python_version()}
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
