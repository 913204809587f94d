"""One run: a real router is told what a detector said, and an `Account` follows the keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward.cluster import Node
from ringward.failover import Adaptive
from ringward.health import Status
from ringward.health.status import fine
from ringward.router import Router
from ringward.simulation.account import Account
from ringward.simulation.strategies import Strategy
from ringward.simulation.traces import Trace
from ringward.simulation.watching import Sighting, Sightings
from ringward.simulation.workload import Workload
from ringward.transfer import Transfer

__all__ = ["Course"]

_WELL = fine(0.0)
_REMEMBERED_KEYS = 1 << 24  # moved keys that are remembered of changes, so that the same change is made once
_FOLLOW_UP_BEATS = 5  # after a sighting an adaptive router is asked again so much later, and then
_FOLLOW_UP = 1.5  # ever later, by this factor: what it holds back is due in minutes or hours

Moved = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], float]  # keys, their new owners, how long the router took


class Replay:
    """A detector that says what another one said."""

    def __init__(self) -> None:
        self.now: dict[str, Status] = {}

    def heard(self, node: str, now_s: float) -> None:
        """What it says is known already."""

    failed = heard

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """What it says is known already."""

    def status(self, node: str, now_s: float) -> Status:
        """What was said last."""
        return self.now.get(node, _WELL)

    def suspects(self, now_s: float) -> list[str]:
        """Whom an `Adaptive` has to ask about: thousands are well, and nothing is new of them."""
        return [*self.now]

    def saw(self, node: str, status: Status) -> None:
        """From now on, this is said."""
        if status.suspected:
            self.now[node] = status
        else:
            self.now.pop(node, None)

    def forget(self, node: str) -> None:
        """The node left."""
        self.now.pop(node, None)


class Course:
    """Drives one strategy through a trace, as often as it is asked to.

    A router does the same for the same nodes down, so of a change that comes again, in this run or in another one, what it
    moved is remembered, and how long the router took.

    Parameters
    ----------
    trace : Trace
    nodes : sequence of Node
        Those of the trace, in the order of a `PrimaryBackup`.
    strategy : Strategy
    workload : Workload
    interval_s : float
        Of heartbeats. An adaptive router is asked for its decisions when anything is sighted, and between sightings ever
        more seldom, as long as it holds something back.
    """

    def __init__(
        self, trace: Trace, nodes: Sequence[Node], strategy: Strategy, workload: Workload, *, interval_s: float
    ) -> None:
        self._trace, self._nodes, self._strategy, self._workload = trace, nodes, strategy, workload
        self._interval_s = interval_s
        self._weights = _weights_by_name(nodes)
        self._router = strategy.router(nodes)
        self._owners = self._router.assign_hashes(workload.hashes)
        self._at: tuple[frozenset[str], npt.NDArray[np.uint32]] = (frozenset(), self._owners.copy())
        self._known: dict[tuple[frozenset[str], frozenset[str]], Moved] = {}
        self._held = 0

    def run(self, sightings: Sightings) -> dict[str, Any]:
        """The figures of one run, by what a detector said."""
        account = Account(self._trace, self._workload, self._owners, self._weights)
        moments = _moments(self._trace, sightings)
        cost_s = (
            self._run_static(account, moments)
            if self._strategy.policy is None
            else self._run_adaptive(account, moments)
        )
        account.until(self._trace.span_s)
        return {
            **account.figures(),
            "mistakes": sightings.mistakes,
            "mistake_rate": sightings.mistake_rate,
            "cost_s": cost_s,
        }

    def _run_static(self, account: Account, moments: Iterator[_Moment]) -> float:
        down: frozenset[str] = frozenset()
        cost_s = 0.0
        for time_s, truths, seen in moments:
            account.until(time_s)
            _truth(account, truths)
            if not seen:
                continue
            said = {each.node: each.status.suspected for each in seen}  # what was said last
            names = self._trace.nodes
            after = down.difference(names[node] for node, suspected in said.items() if not suspected)
            after = after.union(names[node] for node, suspected in said.items() if suspected)
            if after == down:
                continue
            keys, owners, took_s = self._changed(down, after)
            for node, suspected in said.items():
                account.judged(node, out=suspected)
            account.moved(keys, owners)
            down = after
            cost_s += took_s
        return cost_s

    def _changed(self, before: frozenset[str], after: frozenset[str]) -> Moved:
        """What the router does when the nodes that are down change."""
        known = self._known.get((before, after))
        if known is not None:
            return known
        at, owners = self._at
        if at != before:
            _marked(self._router, at, before).apply(owners, self._workload.hashes)
        began = perf_counter()
        transfer = _marked(self._router, before, after)
        took_s = perf_counter() - began
        moved = transfer.apply(owners, self._workload.hashes)
        self._at = after, owners
        result = moved, owners[moved], took_s
        self._held += len(moved)
        if self._held > _REMEMBERED_KEYS:
            self._known.clear()
            self._held = len(moved)
        self._known[before, after] = result
        return result

    def _run_adaptive(self, account: Account, moments: Iterator[_Moment]) -> float:
        replay = Replay()
        router = self._strategy.adaptive(self._nodes, replay)
        owners = self._owners.copy()
        cost_s = 0.0
        for moment, following in itertools.pairwise(itertools.chain(moments, [(self._trace.span_s, [], [])])):
            time_s, truths, seen = moment
            account.until(time_s)
            _truth(account, truths)
            for each in seen:
                replay.saw(self._trace.nodes[each.node], each.status)
            step_s, due = self._interval_s * _FOLLOW_UP_BEATS, bool(seen)
            while time_s < following[0] and (due or router.waiting or not replay.now.keys() >= router.held.keys()):
                cost_s += self._tick(router, account, owners, time_s)
                time_s, step_s, due = time_s + step_s, step_s * _FOLLOW_UP, False
        return cost_s

    def _tick(self, router: Adaptive, account: Account, owners: npt.NDArray[np.uint32], time_s: float) -> float:
        account.until(time_s)
        began = perf_counter()
        decisions = router.tick(time_s)
        took_s = perf_counter() - began
        for decision in decisions:
            transfer = decision.transfer
            if transfer is None:
                continue
            if decision.kind in {"lower", "raise"}:
                account.adjusted(len(decision.nodes))
            else:
                for name in decision.nodes:
                    account.judged(router.id_of(name), out=decision.kind != "up")
            keys = transfer.apply(owners, self._workload.hashes)
            account.moved(keys, owners[keys])
        return took_s


_Moment = tuple[float, list[tuple[int, bool]], list[Sighting]]


def _moments(trace: Trace, sightings: Sightings) -> Iterator[_Moment]:
    """All that happens, moment by moment: who truly falls and rises, then what is seen of it."""
    truth = [(time, node, True) for time, node in zip(trace.start_s.tolist(), trace.node.tolist(), strict=True)]
    truth += [
        (time, node, False)
        for time, node in zip(trace.end_s.tolist(), trace.node.tolist(), strict=True)
        if time < trace.span_s
    ]
    truth.sort(key=lambda each: (each[0], each[2]))
    places = {each[0] for each in truth} | {each.time_s for each in sightings.changes}
    true, seen = iter(truth), iter(sightings.changes)
    next_true, next_seen = next(true, None), next(seen, None)
    for time_s in sorted(places):
        truths, sights = [], []
        while next_true is not None and next_true[0] <= time_s:
            truths.append((next_true[1], next_true[2]))
            next_true = next(true, None)
        while next_seen is not None and next_seen.time_s <= time_s:
            sights.append(next_seen)
            next_seen = next(seen, None)
        yield time_s, truths, sights


def _truth(account: Account, truths: list[tuple[int, bool]]) -> None:
    for node, down in truths:
        if down:
            account.fell(node)
        else:
            account.rose(node)


def _marked(router: Router, before: frozenset[str], after: frozenset[str]) -> Transfer:
    """Mark nodes, in one change, so that others are down."""
    fallen, risen = sorted(after - before), sorted(before - after)
    with router.change() as change:
        if fallen:
            change.mark_down(*fallen)
        if risen:
            change.mark_up(*risen)
    return change.transfer


def _weights_by_name(nodes: Sequence[Node]) -> npt.NDArray[np.float64]:
    return np.array([node.weight for node in sorted(nodes, key=lambda node: node.name)])
