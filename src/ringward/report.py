"""`Report`: how well a placement spreads keys, exact from its table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from heapq import nlargest
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ringward import markup
from ringward._core import Heirs, State, second_candidates, summed_by
from ringward.markup import ROWS_MOST, escaped
from ringward.tables import TableKind, kind_of
from ringward.texts import brief, percent, shown

__all__ = ["NodeReport", "Report"]

_ROWS_SHOWN = 20
_LINE_MOST = 200


class _Inheriting:
    """Where the heirs of a node are found once somebody asks: all of 10,000 nodes are 1.6 million entries."""

    __slots__ = ("_inherited",)

    def _look_up(self, *inherited: Any) -> None:
        object.__setattr__(self, "_inherited", inherited)
        object.__delattr__(self, "heirs")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> dict[str, float]:
            """Called for `heirs` before they are there."""
            if name != "heirs":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            inherited, node, names = self._inherited
            heirs = inherited.of(node, names)
            object.__setattr__(self, "heirs", heirs)
            return heirs


@dataclass(frozen=True, slots=True)
class NodeReport(_Inheriting):
    """One member's part of a report.

    Attributes
    ----------
    name : str
    weight : float
    zone : str or None
    live : bool
        Not marked down.
    share, expected : float
        The share of the hash space that it owns, and the share that its weight among the live nodes entitles it to.
    heirs : dict of str to float
        Where its keys would go if it failed now: name → share of the hash space, largest first.
    heir_max : float
        The largest part of its keys that one heir would get, 0 to 1.
    heir_max_optimal : float
        The same if its keys spread over the other live nodes by weight.
    held, held_expected : float or None
        The share of a partition table's entries that it holds, replicas and nodes that are down
        included, and the share that its weight among the members entitles it to. None without replicas.
    """

    name: str
    weight: float
    zone: str | None
    live: bool
    share: float
    expected: float
    heirs: dict[str, float]
    heir_max: float
    heir_max_optimal: float
    held: float | None = None
    held_expected: float | None = None

    @property
    def balance(self) -> float:
        """share / expected; 1.0 is exact, 0.0 if nothing is expected."""
        return self.share / self.expected if self.expected else 0.0

    @property
    def held_balance(self) -> float:
        """held / held_expected, as `balance`."""
        return self.held / self.held_expected if self.held and self.held_expected else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """How the hash space is divided at one epoch.

    Attributes
    ----------
    strategy : str
    epoch : int
    nodes : tuple of NodeReport
        All members.
    balance_max, balance_std : float
        Over the live nodes, the maximum and the standard deviation of share / expected.
    moved_on_failure_max, moved_on_failure_mean : float
        The share of the hash space that moves when one live node fails: the largest and the mean.
    moved_on_failure_optimal : float
        The lowest possible mean: 1 / number of live nodes.
    held_max : float or None
        The maximum of held / held_expected over the members: how full the fullest node of a partition
        table is, replicas included. Far above 1 if a zone has too few nodes for its part of
        each row. None without replicas.
    """

    strategy: str
    epoch: int
    nodes: tuple[NodeReport, ...]
    balance_max: float
    balance_std: float
    moved_on_failure_max: float
    moved_on_failure_mean: float
    moved_on_failure_optimal: float
    held_max: float | None = None

    @classmethod
    def of(cls, state: State, strategy: str) -> Report:
        """The report of one state of a router."""
        cluster, ids = state.cluster, state.cluster.ids
        kind = kind_of(state.own.table)
        members = kind.members(cluster)
        ends, owners = state.table.arcs()
        shares = summed_by(owners, _lengths(ends), len(state.names)).tolist()
        able = {node.name: node.weight for node in members if cluster.can_own(node)}
        total = sum(able.values())
        inherited = _heirs(state, kind) if state.table.live > 1 else None
        largest = [0.0] * len(shares) if inherited is None else inherited.largest.tolist()
        optimal = _optimal_heirs(able)
        held = _held(state, kind)
        single = kind_of(state.table).one_owner
        nodes = []
        for node in members:
            mine = ids[node.name]
            share = shares[mine]
            holds = held[mine] if held else (None, None)
            told = NodeReport(
                name=node.name,
                weight=node.weight,
                zone=node.zone,
                live=node.name not in cluster.down,
                share=share,
                expected=share if single else able.get(node.name, 0.0) / total if able else 0.0,
                heirs={},
                heir_max=largest[mine] / share if share else 0.0,
                heir_max_optimal=optimal.get(node.name, 0.0) if share else 0.0,
                held=holds[0],
                held_expected=holds[1],
            )
            if inherited is not None:
                told._look_up(inherited, mine, state.name_tuple)
            nodes.append(told)
        balances = [node.balance for node in nodes if node.expected]
        moved = [node.share for node in nodes if node.name in able]
        return cls(
            strategy=strategy,
            epoch=state.epoch,
            nodes=tuple(nodes),
            balance_max=max(balances, default=0.0),
            balance_std=_deviation(balances),
            moved_on_failure_max=max(moved, default=0.0),
            moved_on_failure_mean=sum(moved) / len(moved) if moved else 0.0,
            moved_on_failure_optimal=1 / len(able) if able else 0.0,
            held_max=max((node.held_balance for node in nodes), default=0.0) if held else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON types."""
        return {**_shallow(self), "nodes": tuple({**_shallow(node), "heirs": {**node.heirs}} for node in self.nodes)}

    def _summary(self) -> list[str]:
        down = sum(not node.live for node in self.nodes)
        mean, most = percent(self.moved_on_failure_mean), percent(self.moved_on_failure_max)
        optimal = percent(self.moved_on_failure_optimal)
        lines = [
            f"{self.strategy} at epoch {self.epoch}: {len(self.nodes)} nodes, {down} down",
            f"balance: max/expected {self.balance_max:.3f}, standard deviation {self.balance_std:.3f}",
            f"one failure moves {mean} on average, {most} at most (optimum on average {optimal})",
        ]
        if self.held_max is not None:
            fullest = max(self.nodes, key=lambda node: node.held_balance)
            lines.insert(2, f"replicas: max/expected {self.held_max:.3f}, of {shown(fullest.name)}")
        idle = sum(not node.share for node in self.nodes if node.expected)
        if idle:
            lines.append(f"{idle:,} live nodes own no key")
        return lines

    def __str__(self) -> str:
        lines = self._summary()
        width = max((len(brief(node.name)) for node in self.nodes[:_ROWS_SHOWN]), default=0)
        for node in self.nodes[:_ROWS_SHOWN]:
            state = "" if node.live else " down"
            heirs = f", {len(node.heirs)} heirs, the largest takes {percent(node.heir_max)}" if node.heirs else ""
            share, expected = percent(node.share), percent(node.expected)
            lines.append(f"  {brief(node.name):<{width}} {share:>8} of {expected:>8}{heirs}{state}")
        if len(self.nodes) > _ROWS_SHOWN:
            lines.append(f"  ... and {len(self.nodes) - _ROWS_SHOWN} more")
        return "\n".join(lines)

    def to_html(self) -> str:
        """The report as an HTML table with bars, for notebooks. It shows the 50 fullest nodes; names are escaped."""
        fullest = self.nodes
        if len(fullest) > ROWS_MOST:
            fullest = tuple(sorted(self.nodes, key=lambda node: (-node.balance, -node.share))[:ROWS_MOST])
        full = max((max(node.share, node.expected) for node in fullest), default=0.0)
        rows = [
            [
                escaped(node.name),
                f"{node.weight:g}",
                escaped(node.zone or ""),
                "live" if node.live else "down",
                percent(node.share),
                markup.bar(node.share, full, node.expected or None),
                percent(node.expected),
                f"{len(node.heirs)}, the largest takes {percent(node.heir_max)}" if node.heirs else "",
            ]
            for node in fullest
        ]
        columns = ["node", "weight", "zone", "state", "share", "", "expected", "heirs"]
        less = (
            f"<div>the {len(fullest)} fullest of {len(self.nodes):,} nodes</div>"
            if len(fullest) < len(self.nodes)
            else ""
        )
        first, *others = (escaped(line, _LINE_MOST) for line in self._summary())
        strategy = escaped(self.strategy, _LINE_MOST)
        heading = "<br>".join([f"<b>{strategy}</b>{first.removeprefix(strategy)}", *others])
        return markup.document(heading, markup.table(columns, rows, ("weight", "share", "expected")), less)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return f"<Report: {self._summary()[0]}>"  # the figures of many nodes are for `print` and `to_dict`


def _deviation(balances: list[float]) -> float:
    if not balances:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # of shares of 1 and of 10^-300 there is none
        deviation = float(np.std(balances))
    return deviation if deviation < np.inf else float("inf")


def _shallow(record: Report | NodeReport) -> dict[str, Any]:
    """As `dataclasses.asdict`, which would copy every single number."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _optimal_heirs(weights: dict[str, float]) -> dict[str, float]:
    """For each of some nodes, the largest part of the others' weight that one of them has."""
    if len(weights) < 2:
        return {}
    before = accumulate(weights.values(), initial=0.0)
    after = [*accumulate(reversed(weights.values()), initial=0.0)][-2::-1]
    heaviest, second = nlargest(2, weights, key=weights.__getitem__)
    return {
        name: weights[second if name == heaviest else heaviest] / (lighter + rest)
        for name, lighter, rest in zip(weights, before, after, strict=False)
    }


def _lengths(ends: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """The shares of the hash space up to each of some inclusive ends, from the one before."""
    result: npt.NDArray[np.float64] = np.diff(ends.astype(np.float64), prepend=-1.0)
    result /= 2.0**64
    return result


def _heirs(state: State, kind: TableKind[Any]) -> Heirs:
    """Who inherits how much: every arc is cut where its second candidate changes."""
    table = kind.for_heirs(state.own.table)
    ends = table.bounds()
    return Heirs(second_candidates(table, ends), _lengths(ends), len(state.names))


def _held(state: State, kind: TableKind[Any]) -> list[tuple[float, float]]:
    """Of each id, its part of all copies and what its weight entitles it to; empty without replicas."""
    entries, weights = kind.entries(state.own.table), state.cluster.weights
    if entries is None:
        return []
    held = summed_by(entries, None, len(weights)) / entries.size
    return list(zip(held.tolist(), (weights / weights.sum()).tolist(), strict=True))
