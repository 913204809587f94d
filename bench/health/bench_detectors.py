"""A heartbeat, an answer and a status of each detector, beside a dict lookup of the same names; and what a node takes."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from harness.catalogue import works_of
from harness.declare import Case, Effort, Figure, Ratio, Row, Table

from ringward.health import Agreed, Deadline, Detector, LocalHealth, Outlier, PhiAccrual

NODES = 1_000
ROUNDS = 30
MANY = 30_000
DETECTORS: dict[str, tuple[str, Callable[[], Detector]]] = {
    "deadline": ("`Deadline()`", Deadline),
    "phi": ("`PhiAccrual()`", PhiAccrual),
    "exponential": ('`PhiAccrual(form="exponential")`', lambda: PhiAccrual(form="exponential")),
    "outlier": ("`Outlier()`", Outlier),
    "local": ("`LocalHealth(PhiAccrual())`", lambda: LocalHealth(PhiAccrual())),
    "agreed": ("`Agreed(1, PhiAccrual(), Outlier())`", lambda: Agreed(1, PhiAccrual(), Outlier())),
}
HEARD_MOST = 25  # lookups: a heartbeat of the detectors of silence


def every(call: Callable[..., object], names: list[str], now_s: float) -> None:
    """A heartbeat or a status of each node."""
    for name in names:
        call(name, now_s)


def answers(detector: Detector, names: list[str], now_s: float) -> None:
    """An answer of each node."""
    call = detector.answered
    for name in names:
        call(name, now_s, 0.01)


@contextmanager
def quiet() -> Iterator[None]:
    """Without collections of garbage."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def least(rounds: int, work: Callable[[int], object]) -> dict[str, float]:
    """The fastest round."""
    best = float("inf")
    with quiet():
        for turn in range(rounds):
            start = time.perf_counter()
            work(turn)
            best = min(best, time.perf_counter() - start)
    return {"count": NODES, "wall_s": best}


def measure(make: Callable[[], Detector], effort: Effort) -> dict[str, dict[str, float]]:
    """One detector: in each second all nodes are heard, and half a second later all are asked about."""
    rounds = 3 if effort.quick else ROUNDS
    names = [f"cache{i}.internal:6379" for i in range(NODES)]
    known = dict.fromkeys(names, 0.0)

    def looked_up(_turn: int) -> None:
        for name in names:
            known[name]

    detector, answering = make(), make()
    every(detector.heard, names, 0.0)
    answers(answering, names, 0.0)
    found = {
        "lookup": least(rounds, looked_up),
        "heard": least(rounds, lambda turn: every(detector.heard, names, turn + 1.0)),
        "status": least(rounds, lambda turn: every(detector.status, names, rounds + turn * 1e-3)),
        "answered": least(rounds, lambda turn: answers(answering, names, turn + 1.0)),
    }
    return {**found, "memory": {"bytes": memory(make(), MANY // 10 if effort.quick else MANY)}}


def memory(detector: Detector, nodes: int) -> float:
    """Bytes a node, beside its name."""
    names = [f"node{i}" for i in range(nodes)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for turn in range(3):
        for place, name in enumerate(names):
            detector.answered(name, turn + place / 1e6, 0.01)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / nodes


CASES = {name: Case(partial(measure, make)) for name, (_, make) in DETECTORS.items()}
work = works_of(__file__)
HEAD = ("detector", "`heard`, × a dict lookup", "`answered`, ×", "`status`, ×", "bytes a node")


def ratio(name: str, part: str, **bound: float) -> Ratio:
    return Ratio(work(name, part), work(name, "lookup"), **bound)


TABLES = [
    Table("health.md", "detectors", HEAD, [
        Row(
            told,
            ratio(name, "heard", **({"at_most": HEARD_MOST} if name in {"deadline", "phi", "exponential"} else {})),
            ratio(name, "answered"),
            ratio(name, "status"),
            Figure(work(name, "memory"), lambda size: f"{size:,.0f}", "bytes"),
        )
        for name, (told, _) in DETECTORS.items()
    ])
]  # fmt: skip
