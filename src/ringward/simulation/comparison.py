"""`simulate`: strategies × detectors × seeds on one trace, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ringward.checks import checked_float, checked_int
from ringward.cluster import Nodes, as_nodes
from ringward.errors import ArgumentError
from ringward.simulation.detectors import BASELINES, watcher
from ringward.simulation.driving import Course
from ringward.simulation.strategies import strategy
from ringward.simulation.traces import Trace
from ringward.simulation.workload import Workload
from ringward.texts import shown

__all__ = ["FIGURES", "SEEDS", "simulate"]

SEEDS = 20
SEEDS_MOST = 10_000
STRATEGIES = ("ring", "partitioned:part_size=8", "table", "primary", "adaptive")
INTERVAL_S = 1.0
TIMEOUT_S = 5.0
_RESAMPLED = 2_000
FIGURES = (
    "unavailable_key_s",
    "found",
    "moved",
    "moved_least",
    "moved_needlessly",
    "transitions",
    "hand_backs",
    "detection_s.p50",
    "detection_s.p99",
    "mistakes",
    "mistake_rate",
    "load.p50",
    "load.p99",
    "load.max",
    "cache_hits",
    "cost_s",
)

Progress = Callable[[str, str, int], None]


def simulate(
    trace: Trace,
    *,
    nodes: Nodes | None = None,
    workload: Workload | None = None,
    strategies: Sequence[str] = STRATEGIES,
    detectors: Sequence[str] = (),
    seeds: int = SEEDS,
    seed: int = 0,
    interval_s: float = INTERVAL_S,
    timeout_s: float = TIMEOUT_S,
    baselines: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Replay a trace with each strategy and each detector, once for each seed.

    Parameters
    ----------
    trace : Trace
    nodes : iterable of str or Node, or mapping of name to weight, optional
        Otherwise all nodes of the trace, each of weight 1. The order is that of a `PrimaryBackup`.
    workload : Workload, optional
        Otherwise keys by a law of Zipf, drawn from `seed`.
    strategies, detectors : sequence of str
        As `ringward simulate` takes them: "partitioned:part_size=4", "phi:threshold=12".
    seeds : int
        How many runs there are of each pair: `seed`, `seed + 1` ...
    seed : int
        Decides everything: the same seed gives the same figures, but for `cost_s`.
    interval_s, timeout_s : float
        Of heartbeats.
    baselines : bool
        Also run the detectors that are always to be compared with.
    progress : callable, optional
        Is told strategy, detector and seed before each run.

    Returns
    -------
    dict
        `trace`, `runs` and `summary`; docs/simulation.md says what each figure is.

    Examples
    --------
    >>> from ringward.simulation import parse_trace, simulate
    >>> lines = ["time,node,state", "0,a,up", "0,b,up", "0,c,up", "7200,b,down", "9000,b,up", "90000,a,up"]
    >>> result = simulate(parse_trace(lines), strategies=["ring"], seeds=3)
    >>> found = result["summary"]["ring"]["detectors"]
    >>> found["perfect"]["unavailable_key_s"]["mean"], found["perfect"]["moved_needlessly"]["mean"]
    (0.0, 0.0)
    >>> found["deadline"]["unavailable_key_s"]["mean"] > 0
    True
    """
    count = checked_int("seeds", seeds, 1, SEEDS_MOST)
    first = checked_int("seed", seed, 0, (1 << 63) - 1)
    interval_s, timeout_s = (
        checked_float("interval_s", interval_s, zero=False),
        checked_float("timeout_s", timeout_s, zero=False),
    )
    chosen = [strategy(text) for text in _distinct("strategies", strategies)]
    watchers = [watcher(text) for text in dict.fromkeys([*detectors, *(BASELINES if baselines else ())])]
    if not chosen or not watchers:
        raise ArgumentError("strategies" if not chosen else "detectors", "at least one", ())
    members = as_nodes(trace.nodes if nodes is None else nodes)
    if not {node.name for node in members} & {*trace.nodes}:
        raise ArgumentError(
            "nodes", f"those of the trace, such as {shown(trace.nodes[0])}", [node.name for node in members]
        )
    trace = trace if nodes is None else trace.of([node.name for node in members])
    if not trace.span_s > 0:
        raise ArgumentError("trace", "longer than a moment", trace.span_s)
    workload = Workload.zipf(first) if workload is None else workload
    courses = [Course(trace, members, each, workload, interval_s=interval_s) for each in chosen]
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in watchers:
        seen = None
        for number in range(first, first + count):
            if seen is None or not each.certain:
                seen = each.sightings(trace, number, interval_s, timeout_s)
            for way, course in zip(chosen, courses, strict=True):
                if progress is not None:
                    progress(way.text, each.spec.text, number)
                run = {"strategy": way.text, "detector": each.spec.text, "seed": number, **course.run(seen)}
                runs.setdefault((way.text, each.spec.text), []).append(run)
    names = [each.spec.text for each in watchers]
    ordered = [run for way in chosen for name in names for run in runs[way.text, name]]
    summary = {way.text: _summary({name: runs[way.text, name] for name in names}, first) for way in chosen}
    return {"trace": trace.counts(), "runs": ordered, "summary": summary}


def _distinct(argument: str, given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise ArgumentError(argument, "a list of texts", given)
    return [*dict.fromkeys(given)]


def _summary(runs: dict[str, list[dict[str, Any]]], seed: int) -> dict[str, Any]:
    """The figures of one strategy: of its first detector, and of each."""
    detectors = {name: _figures(rows, seed) for name, rows in runs.items()}
    main = next(name for name in detectors if name != "perfect" or len(detectors) == 1)
    return {"detector": main, **detectors[main], "detectors": detectors}


def _figures(rows: list[dict[str, Any]], seed: int) -> dict[str, dict[str, float | None]]:
    result = {}
    for name in FIGURES:
        group, _, part = name.partition(".")
        values = [row[group][part] if part else row[group] for row in rows]
        result[name] = _interval([value for value in values if value is not None], seed)
    return result


def _interval(values: list[float], seed: int) -> dict[str, float | None]:
    """The mean, and the 95 % interval of it by the bootstrap: means of 2,000 samples with replacement, from 2.5 to 97.5 %."""
    if not values:
        return {"mean": None, "low": None, "high": None}
    array = np.array(values, np.float64)
    mean = float(array.mean())
    if (array == array[0]).all():
        return {"mean": mean, "low": mean, "high": mean}
    drawn = np.random.default_rng([seed, 3]).integers(0, len(array), (_RESAMPLED, len(array)))
    low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5]).tolist()
    return {"mean": mean, "low": low, "high": high}
