"""How fast detectors find a crash, against how often they are wrong: the tables of docs/health.md.

    python bench/detection.py                                    # on synthetic pauses
    python bench/detection.py --latencies seattle_rtt.tsv.gz     # on measured round trips (docs/health.md says where from)
    python bench/detection.py --quick                            # a smoke test

One watcher asks about 99 nodes four times a second. Each node sends a heartbeat a second, and crashes near the end. A
suspicion of a node that is up is a mistake. Everything follows from one seed.
"""

from __future__ import annotations

import argparse
import copy
import csv
import gzip
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ringward.health import Deadline, Detector, LocalHealth, PhiAccrual

NODES = 99
ROUND_S = 0.25
AFTER_S = 100.0  # so long after the last crash goes on
CRASHING = NODES // 3
CRASHING_S = 2.0 * CRASHING
HOUR_S = 3_600.0


def doubting(inside: Detector, doubts_most: int = 8) -> LocalHealth:
    """A watcher that doubts itself, and is asked as often as here."""
    return LocalHealth(inside, every_s=ROUND_S, doubts_most=doubts_most)


DETECTORS: dict[str, Callable[[], Detector]] = {
    **{f"`Deadline(after_s={after_s})`": partial(Deadline, after_s=after_s) for after_s in (2, 3, 5, 10, 30)},
    **{
        f"`PhiAccrual(threshold={threshold}, pause_s=0)`": partial(PhiAccrual, threshold=threshold, pause_s=0)
        for threshold in (1, 3, 5, 8, 12)
    },
    **{f"`PhiAccrual(threshold={threshold})`": partial(PhiAccrual, threshold=threshold) for threshold in (3, 5, 12)},
    "`PhiAccrual()`, as Akka Cluster: threshold 8, pause 3 s": PhiAccrual,
    "Akka's watch of remote nodes: `threshold=10, pause_s=10`": partial(PhiAccrual, threshold=10, pause_s=10),
    **{
        f'`PhiAccrual(threshold={threshold}, form="exponential", pause_s=0)`': partial(
            PhiAccrual, threshold=threshold, form="exponential", pause_s=0
        )
        for threshold in (1, 2, 3, 5)
    },
    "Cassandra: the same, `threshold=8`": partial(PhiAccrual, threshold=8, form="exponential", pause_s=0),
    **{
        f"`LocalHealth(Deadline(after_s=5), doubts_most={most})`": partial(doubting, Deadline(after_s=5), most)
        for most in (0, 2, 8)
    },
    "Lifeguard, of one watcher: 5 log n = 10 s, `doubts_most=8`": partial(doubting, Deadline(after_s=10)),
    "`LocalHealth(PhiAccrual())`": partial(doubting, PhiAccrual()),
    '`LocalHealth(PhiAccrual(threshold=3, form="exponential", pause_s=0))`': partial(
        doubting, PhiAccrual(threshold=3, form="exponential", pause_s=0)
    ),
}


@dataclass
class World:
    """What a watcher meets: (time, node) of heartbeats in order, when nodes crash, and when it stands still itself."""

    beats: list[tuple[float, int]]
    crashes: list[float]
    until_s: float
    asleep: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Found:
    """What one detector made of it."""

    mistakes: int = 0
    up_s: float = 0.0
    detection_s: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        """Mistakes in a node-hour; seconds to the detection, median, 99 % and longest."""
        cuts = statistics.quantiles(self.detection_s, n=100, method="inclusive")
        return [f"{self.mistakes / (self.up_s / HOUR_S):,.2f}",
                *(f"{each:.1f}" for each in (cuts[49], cuts[98], max(self.detection_s)))]  # fmt: skip


def crashes_of(chance: random.Random, until_s: float) -> list[float]:
    """A third of the nodes crash before the end, one every two seconds, at any moment of their second."""
    begin_s = until_s - AFTER_S - CRASHING_S
    return [begin_s + 2 * node + chance.random() if node < CRASHING else float("inf") for node in range(NODES)]


def measured(path: Path, sources: int) -> Iterator[World]:
    """Each source of the file is a watcher; a heartbeat takes as long as the round trip that was measured in its slice."""
    chance = random.Random(1)
    trips: dict[str, list[list[float]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = csv.reader(file, delimiter="\t")
        next(rows)
        for _, source, *told in rows:
            trips.setdefault(source, []).append([float(each) for each in told])
    for slices in [*trips.values()][:sources]:
        until_s = float(len(slices))
        crashes = crashes_of(chance, until_s)
        phase = [chance.random() for _ in range(NODES)]
        beats = [
            (second + phase[node] + trip, node)
            for second, row in enumerate(slices)
            for node, trip in enumerate(row)
            if second + phase[node] < crashes[node]
        ]
        yield World(sorted(beats), crashes, until_s)


def synthetic(worlds: int, length_s: float) -> Iterator[World]:
    """Heartbeats of 50 ms, 1 % lost; nodes pause, the watcher stands still, and its network is away now and then."""
    for seed in range(worlds):
        chance = random.Random(seed)
        until_s = length_s + CRASHING_S + AFTER_S
        crashes = crashes_of(chance, until_s)
        asleep = [(at_s, at_s + chance.uniform(2, 20)) for at_s in (length_s * place / 4 + 40 for place in range(4))]
        away = [(at_s, at_s + chance.uniform(4, 9)) for at_s in (length_s * place / 4 + 130 for place in range(4))]
        beats = []
        for node in range(NODES):
            sent_s, pause_s = chance.random(), 200 * chance.expovariate(1)
            while sent_s < min(crashes[node], until_s):
                at_s = sent_s + chance.lognormvariate(-3, 0.5)
                if chance.random() > 0.01 and not any(begin <= at_s < end for begin, end in away):
                    beats.append((at_s, node))
                sent_s += 1
                if sent_s > pause_s:  # a collection of garbage, a full disk: about once in 200 s, for 0.5 to 4 s
                    sent_s += chance.uniform(0.5, 4)
                    pause_s = sent_s + 200 * chance.expovariate(1)
        yield World(sorted(beats), crashes, until_s, asleep)


def watched(detector: Detector, world: World, found: Found) -> None:
    """Rounds of questions; what came meanwhile is read after them, as late as can be."""
    beats, place = world.beats, 0
    names = [f"node{node}" for node in range(NODES)]
    suspected = [False] * NODES
    detected: dict[int, float] = {}
    for round_ in range(int(world.until_s / ROUND_S)):
        now_s = round_ * ROUND_S
        if any(begin_s <= now_s < end_s for begin_s, end_s in world.asleep):
            continue
        for node, name in enumerate(names):
            doubted = detector.status(name, now_s).suspected
            if now_s >= world.crashes[node]:
                if doubted:
                    detected.setdefault(node, now_s)
                else:
                    detected.pop(node, None)
            elif doubted and not suspected[node]:
                found.mistakes += 1
            suspected[node] = doubted
        while place < len(beats) and beats[place][0] <= now_s:
            detector.heard(names[beats[place][1]], now_s)
            place += 1
    found.up_s += sum(min(crash, world.until_s) for crash in world.crashes)
    found.detection_s += [
        detected.get(node, world.until_s) - crash for node, crash in enumerate(world.crashes) if crash < world.until_s
    ]


def table(worlds: list[World], only: str) -> None:
    """Print a row a detector."""
    print("| detector | mistakes a node-hour | detection, s: median | 99 % | longest |\n|---|---|---|---|---|")
    for name, make in DETECTORS.items():
        if only in name:
            found = Found()
            for world in worlds:
                watched(copy.deepcopy(make()), world, found)
            print(f"| {name} | {' | '.join(found.row())} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--latencies", type=Path, help="round trips instead: slice, source, then one column a node, in seconds"
    )
    parser.add_argument("--sources", type=int, default=10, help="how many of them (default %(default)s)")
    parser.add_argument("--only", default="", help="detectors with this in their name")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.latencies is None:
        worlds = synthetic(1 if options.quick else 3, 200.0 if options.quick else 1_000.0)
    else:
        worlds = measured(options.latencies, 1 if options.quick else options.sources)
    table([*worlds], options.only)


if __name__ == "__main__":
    main()
