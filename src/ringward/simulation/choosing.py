"""`choose`: which strategy and detector suit these nodes, by simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ringward.checks import checked_float
from ringward.cluster import Nodes, as_nodes
from ringward.errors import ArgumentError
from ringward.simulation.comparison import Progress, simulate
from ringward.simulation.naming import known
from ringward.simulation.traces import Trace
from ringward.simulation.typical import typical_trace
from ringward.simulation.workload import Workload

__all__ = ["CANDIDATES", "CHOOSE_DETECTORS", "CHOOSE_SEEDS", "PREFER", "choose"]

CANDIDATES = {  # strategy → how it is made in Python
    "ring": "HashRing(nodes)",
    "partitioned:part_size=8": "PartitionedRing(nodes, part_size=8)",
    "table": "PartitionTable(nodes)",
    "primary": "PrimaryBackup(nodes)",
}
CANDIDATES |= {f"adaptive:{name.replace(':', ',')}": code for name, code in CANDIDATES.items()}
CHOOSE_DETECTORS = {"deadline": "Deadline()", "phi": "PhiAccrual()"}
CHOOSE_SEEDS = 3
PREFER = {"availability": 3.0, "movement": 2.0, "balance": 1.0}
_FIGURES = {"availability": "unavailable_key_s", "movement": "moved", "balance": "load.p99"}
_UNITS = {"availability": 1.0, "movement": 0.1, "balance": 0.0}  # differences well below these do not count
_TOLD = {
    "availability": "{:.3g} key-seconds unavailable",
    "movement": "{:.3g} × all keys moved",
    "balance": "load p99 {:.3g} × the due share",
}
_AS_GOOD = 1.02


def choose(
    nodes: Nodes,
    *,
    trace: Trace | None = None,
    workload: Workload | None = None,
    prefer: Mapping[str, float] = PREFER,
    seeds: int = CHOOSE_SEEDS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Rank strategies and detectors for these nodes, by what they do in a simulation.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
    trace : Trace, optional
        What fails; otherwise 90 days of typical failures.
    workload : Workload, optional
    prefer : mapping of str to float
        How much "availability", "movement" and "balance" count. A candidate's score is the sum over them of
        preference × log2(how many times worse it is than the best); the preferences sum to 1. So 0 is the best in all.
    seeds, seed : int
    progress : callable, optional
        As for `simulate`.

    Returns
    -------
    dict
        `prefer`, `trace`, and `ranking`: a list of {rank, strategy, detector, score, availability, movement, balance, reason,
        settings}, the best first.

    Examples
    --------
    >>> from ringward.simulation import choose
    >>> best = choose(["a", "b", "c", "d"], prefer={"balance": 1}, seeds=1)["ranking"][0]
    >>> best["strategy"], best["score"]
    ('ring', 0.0)
    """
    members = as_nodes(nodes)
    if not members:
        raise ArgumentError("nodes", "at least one", 0)
    weights = _checked(prefer)
    trace = typical_trace(members, seed) if trace is None else trace
    result = simulate(
        trace, nodes=members, workload=workload, strategies=[*CANDIDATES], detectors=[*CHOOSE_DETECTORS], seeds=seeds, seed=seed,
        baselines=False, progress=progress,
    )  # fmt: skip
    rows = []
    for strategy, summary in result["summary"].items():
        for detector, figures in summary["detectors"].items():
            values = {name: figures[figure]["mean"] for name, figure in _FIGURES.items()}
            rows.append({"strategy": strategy, "detector": detector, **values})
    _score(rows, weights)
    return {"prefer": weights, "trace": result["trace"], "ranking": rows}


def _checked(prefer: Mapping[str, float]) -> dict[str, float]:
    known("prefer", prefer, PREFER)
    weights = {name: checked_float(f"prefer of {name}", prefer.get(name, 0.0), zero=True) for name in PREFER}
    total = sum(weights.values())
    if not total:
        raise ArgumentError("prefer", "above 0 for something", dict(prefer))
    return {name: weight / total for name, weight in weights.items()}


def _score(rows: list[dict[str, Any]], weights: Mapping[str, float]) -> None:
    """Give each row its score, rank, reason and settings; the best comes first."""
    best = {name: min(row[name] for row in rows) for name in _FIGURES}
    for row in rows:
        worse = {name: _ratio(name, row[name], best[name]) for name in _FIGURES}
        row["score"] = sum(weight * math.log2(worse[name]) for name, weight in weights.items())
        row["reason"] = _reason(row, worse)
        row["settings"] = settings_of(row["strategy"], row["detector"])
    rows.sort(key=lambda row: row["score"])
    for rank, row in enumerate(rows, 1):
        row["rank"] = rank


def _ratio(name: str, value: float, best: float) -> float:
    unit = _UNITS[name]
    return (value + unit) / (best + unit) if best + unit > 0 else 1.0


def _reason(row: Mapping[str, Any], worse: Mapping[str, float]) -> str:
    parts = []
    for name, ratio in worse.items():
        against = "the best" if ratio < _AS_GOOD else f"{ratio:.3g} × the best"
        parts.append(f"{_TOLD[name].format(row[name])} ({against})")
    return ", ".join(parts)


def settings_of(strategy: str, detector: str) -> str:
    """The Python expression of a candidate."""
    code, watching = CANDIDATES[strategy], CHOOSE_DETECTORS[detector]
    return (
        f"Adaptive({code}, detector={watching})" if strategy.startswith("adaptive") else f"{code}, marked by {watching}"
    )
