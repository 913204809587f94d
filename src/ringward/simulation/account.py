"""`Account`: what a run of changes did to the keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ringward.simulation.traces import Trace
from ringward.simulation.workload import Workload

__all__ = ["HEALED_S", "Account"]

HEALED_S = 3600.0
_BINS_A_DECADE = 400  # so a percentile of the load is exact to half a percent
_DECADES = 10
_LEAST = 1e-5
_FLUSHED_AT = 1 << 16


class Account:
    """Follows every key through one run.

    Parameters
    ----------
    trace : Trace
        What truly happens.
    workload : Workload
    owner : ndarray of uint32, shape (keys,)
        Who owns each key at the beginning, as places in `trace.nodes`; `NO_NODE` for nobody.
    weights : ndarray of float64, shape (nodes,)
        Of the nodes.
    healed_s : float
        A node whose keys come back is healed if it then stays up for so long.
    """

    def __init__(
        self,
        trace: Trace,
        workload: Workload,
        owner: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float64],
        healed_s: float = HEALED_S,
    ) -> None:
        nodes = len(trace.nodes)
        self._workload, self._healed_s, self._nobody = workload, healed_s, nodes
        self._total = workload.total
        self._rates = workload.weights * (
            workload.requests / trace.span_s / self._total
        )  # requests a second of each key
        self._owner = np.minimum(owner, nodes).astype(np.int64)
        self._since = np.zeros(len(owner))
        self._load = _summed(self._owner, workload.weights, nodes + 1)
        self._down = np.zeros(nodes + 1)
        self._down[nodes] = 1.0  # nobody serves nothing
        self._out = np.zeros(nodes, bool)
        self._credit, self._debt = np.zeros(nodes + 1), np.zeros(nodes + 1)
        self._starts = _starts_of(trace)
        self._down_since = np.zeros(nodes)
        self._now_s = self._unavailable_s = self._misses = 0.0
        self._moved = self._least = self._needless = 0.0
        self._transitions = self._hand_backs = 0
        self._delays: list[float] = []
        self._loads = _Loads(self._load[:nodes], weights / weights.sum() * self._total)

    def until(self, time_s: float) -> None:
        """Time passes."""
        self._unavailable_s += (time_s - self._now_s) * (float(self._load @ self._down) / self._total)
        self._now_s = time_s

    def fell(self, node: int) -> None:
        """A node truly went down."""
        self._down[node] = 1.0
        self._down_since[node] = self._now_s

    def rose(self, node: int) -> None:
        """A node truly came up."""
        self._down[node] = 0.0

    def judged(self, node: int, *, out: bool) -> None:
        """The router takes a node out, or in again."""
        if self._out[node] == out:
            return
        self._transitions += 1
        self._hand_backs += not out
        if out and self._down[node]:
            self._delays.append(self._now_s - float(self._down_since[node]))
        self._loads.passed(np.array([node]), self._now_s, counted=not self._out[node])
        self._out[node] = out

    def adjusted(self, nodes: int) -> None:
        """The router changed the weight of so many nodes."""
        self._transitions += nodes

    def moved(self, keys: npt.NDArray[np.int64], targets: npt.NDArray[np.uint32]) -> None:
        """Keys moved to other owners, now."""
        if not len(keys):
            return
        nobody, now = self._nobody, self._now_s
        source, target = self._owner[keys], np.minimum(targets, nobody).astype(np.int64)
        weight = self._workload.weights[keys]
        self._misses -= float(np.expm1(-self._rates[keys] * (now - self._since[keys])).sum())
        self._since[keys], self._owner[keys] = now, target
        came, left = _summed(target, weight, nobody + 1), _summed(source, weight, nobody + 1)
        self._moved += float(weight.sum())
        dead = self._down[source] > 0
        self._rescued(_summed(source[dead], weight[dead], nobody + 1))
        self._returned(_summed(target[~dead], weight[~dead], nobody + 1))
        touched = np.flatnonzero((came != left)[:nobody])
        counted = ~self._out[touched]
        self._loads.passed(touched[counted], now)
        self._load += came - left
        self._loads.became(touched, self._load[touched], now)

    def _rescued(self, weight: npt.NDArray[np.float64]) -> None:
        """Keys left nodes that are down: they had to, unless they had been brought back too early."""
        repeated = np.minimum(weight, self._debt)
        self._debt -= repeated
        self._credit += weight - repeated
        self._needless += float(repeated.sum())
        self._least += float((weight - repeated).sum())

    def _returned(self, weight: npt.NDArray[np.float64]) -> None:
        """Keys left nodes that are up: they had to as far as they came home to a node that is healed."""
        self._needless += float(weight.sum())
        for node in np.flatnonzero(np.minimum(weight, self._credit)).tolist():
            owed = min(weight[node], self._credit[node])
            if self._healed(node):
                self._credit[node] -= owed
                self._least += owed
                self._needless -= owed
            else:
                self._debt[node] += owed

    def _healed(self, node: int) -> bool:
        if self._down[node]:
            return False
        starts = self._starts[node]
        later = int(np.searchsorted(starts, self._now_s, side="right"))
        return later == len(starts) or bool(starts[later] - self._now_s >= self._healed_s)

    def figures(self) -> dict[str, Any]:
        """What it comes to at the end, as JSON types; the run lasts until the last `until`."""
        requests, span_s = self._workload.requests, self._now_s
        misses = self._misses - float(np.expm1(-self._rates * (span_s - self._since)).sum())
        self._loads.passed(np.flatnonzero(~self._out), span_s)
        found = round(requests * (1 - self._unavailable_s / span_s))
        return {
            "requests": requests,
            "found": found,
            "unavailable_key_s": self._unavailable_s,
            "moved": self._moved / self._total,
            "moved_least": float(self._least) / self._total,
            "moved_needlessly": float(self._needless) / self._total,
            "transitions": self._transitions,
            "hand_backs": self._hand_backs,
            "detection_s": _percentiles(self._delays),
            "load": self._loads.figures(),
            "cache_hits": max(0, found - round(misses)),
        }


class _Loads:
    """How loaded nodes were for how long, relative to the share that is due to their weights."""

    def __init__(self, load: npt.NDArray[np.float64], due: npt.NDArray[np.float64]) -> None:
        self._due = np.where(due > 0, due, np.inf)
        self._relative = load / self._due
        self._since = np.zeros(len(load))
        self._seconds = np.zeros(_BINS_A_DECADE * _DECADES + 1)
        self._most = 0.0
        self._waiting: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        self._held = 0

    def passed(self, nodes: npt.NDArray[np.int64], now_s: float, *, counted: bool = True) -> None:
        """Until now, the load of these nodes was what it was."""
        if counted:
            self._waiting.append((self._relative[nodes], now_s - self._since[nodes]))
            self._held += len(nodes)
            if self._held > _FLUSHED_AT:
                self._flush()
        self._since[nodes] = now_s

    def became(self, nodes: npt.NDArray[np.int64], load: npt.NDArray[np.float64], now_s: float) -> None:
        """From now on, it is this."""
        self._relative[nodes] = load / self._due[nodes]
        self._since[nodes] = now_s

    def _flush(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate([value for value, _ in self._waiting])
        seconds = np.concatenate([second for _, second in self._waiting])
        self._waiting, self._held = [], 0
        self._most = max(self._most, float(values[seconds > 0].max(initial=0.0)))
        bins = np.clip(np.log10(np.maximum(values, _LEAST) / _LEAST) * _BINS_A_DECADE, 0, len(self._seconds) - 1)
        self._seconds += _summed(np.round(bins).astype(np.int64), seconds, len(self._seconds))

    def figures(self) -> dict[str, float]:
        self._flush()
        summed = np.cumsum(self._seconds)

        def at(share: float) -> float:
            place = int(np.searchsorted(summed, share * summed[-1]))
            return 0.0 if place == 0 else min(self._most, _LEAST * 10 ** (place / _BINS_A_DECADE))

        return {"p50": at(0.5), "p99": at(0.99), "max": self._most}


def _summed(places: npt.NDArray[np.int64], values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """The sum of the values of each place."""
    return np.bincount(places, values, count).astype(np.float64, copy=False)


def _starts_of(trace: Trace) -> list[npt.NDArray[np.float64]]:
    order = np.argsort(trace.node, kind="stable")  # outages are sorted by start already
    ends = np.searchsorted(trace.node[order], np.arange(len(trace.nodes)), side="right")
    return np.split(trace.start_s[order], ends[:-1])


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": p50, "p99": p99}
