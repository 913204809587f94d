"""The points of a ring, kept from change to change: what `HashRing` and `PartitionedRing` share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ringward._core import (
    PointTable,
    State,
    changed,
    filter_points,
    merge_points,
    node_points,
    sort_points,
    start_of,
)
from ringward.checks import checked_float, checked_int
from ringward.cluster import Cluster, Node, utf8
from ringward.errors import ArgumentError

__all__ = ["POINTS_MAX", "POINTS_PER_NODE", "WEIGHT_UNIT", "Points", "point_options", "ring_table", "touched_points"]

POINTS_PER_NODE = 160
WEIGHT_UNIT = 1.0
POINT_BYTES = 32  # what a point takes at most while a ring is built: itself, its copy in order, its part of a line
RING_BYTES_MAX = 1 << 29
POINTS_MAX = RING_BYTES_MAX // POINT_BYTES


_FEW_POINTS = 2048  # are always looked at one by one
_COMPARED = 16  # points of two rings that are compared in the time of one that is looked at
_COUNT_MAX = 2.0**53  # a count beyond, or one that is infinite, would not be shown rightly anyway


def point_options(points_per_node: int, weight_unit: float) -> dict[str, Any]:
    """The two options that fix how many points a weight gets."""
    return {
        "points_per_node": checked_int("points_per_node", points_per_node, 1, POINTS_MAX),
        "weight_unit": checked_float("weight_unit", weight_unit, zero=False),
    }


def point_count(node: Node, options: dict[str, Any]) -> int:
    """How many points a node has: by its own weight alone, so other nodes never move its points."""
    if node.weight == 0:
        return 0
    exact: float = options["points_per_node"] * node.weight / options["weight_unit"]
    count = math.floor(min(exact, _COUNT_MAX) + 0.5)
    if count == 0:
        raise ArgumentError(
            f"weight of {node.name!r}",
            f"enough for one point: use a weight_unit of at most {2 * options['points_per_node'] * node.weight:g}",
            node.weight,
        )
    return count


def ring_table(
    cluster: Cluster, options: dict[str, Any], before: State | None, zones: npt.NDArray[np.uint32] | None = None
) -> PointTable:
    """The table of a ring without parts: the one of before with what changed beside it, or a new one."""
    table = _changed_table(cluster, options, before, zones) if before is not None else None
    return Points.of(cluster, options, before).compiled(cluster, zones=zones) if table is None else table


def _changed_table(
    cluster: Cluster, options: dict[str, Any], before: State, zones: npt.NDArray[np.uint32] | None
) -> PointTable | None:
    """None where much of the ring comes anew, or a node comes back with another number of points."""
    start = start_of(before.own.table, before.cluster.weights)
    weights, size = start[1], len(start[0].hashes)
    came: list[str] = []
    for name in cluster.fresh:
        node = cluster.ids[name]
        weight = weights[node] if node < len(weights) else 0.0
        if weight and weight != cluster.members[name].weight:
            return None
        if not weight:
            came.append(name)
    counts = [point_count(cluster.members[name], options) for name in came]
    if sum(counts) > size or size > POINTS_MAX // 2:
        return None
    return changed(
        start,
        cluster.alive,
        cluster.weights,
        cluster.name_ranks,
        *_hashed(cluster, came, counts),
        members=int(np.count_nonzero(cluster.weights)),
        zones=zones,
        gone=[cluster.ids[name] for name in cluster.gone],
    )


def touched_points(
    before: Cluster, after: Cluster, options: dict[str, Any], *, parts: bool = False
) -> npt.NDArray[np.uint64] | None:
    """The hashes of all points of nodes that came, went, or changed their weight or liveness, rising.

    With `parts` also those of nodes that are down, whose keys are handed on within a part. None where these are so
    many that comparing the rings from end to end is faster, or where the weights claim more than a ring can have, as
    those of made-up snapshots may.
    """
    down = before.down | after.down if parts else before.down ^ after.down
    names = list(down.union(after.gone, after.fresh))
    both = before.members, after.members
    heaviest = [max((m[name] for m in both if name in m), key=lambda node: node.weight) for name in names]
    counts = [point_count(node, options) for node in heaviest]
    total = sum(counts)
    ring = max(float(cluster.weights.sum()) for cluster in (before, after)) / options["weight_unit"]
    if total > POINTS_MAX or (total > _FEW_POINTS and total > options["points_per_node"] * ring / _COMPARED):
        return None
    hashes = _labels(names, counts)[0]
    hashes.sort()
    return hashes


class Points(NamedTuple):
    """A ring's points in order, and how they came from the ones before."""

    hashes: npt.NDArray[np.uint64]
    nodes: npt.NDArray[np.uint32]
    before: PointTable | None = None
    changed: npt.NDArray[np.uint64] | None = None
    added: bool = False

    @classmethod
    def of(cls, cluster: Cluster, options: dict[str, Any], before: State | None) -> Points:
        """The points of a cluster: those of `before` with what changed merged in and filtered out."""
        if before is None:
            return cls._of_names(cluster, list(cluster.members), options, 0)
        table: PointTable = before.own.table
        points = cls(table.hashes, table.nodes, table)
        if cluster.gone:
            mask = np.zeros(len(cluster.ids), np.uint8)
            mask[[cluster.ids[name] for name in cluster.gone]] = 1
            hashes, nodes, removed = filter_points(points.hashes, points.nodes, mask)
            points = cls(hashes, nodes, table, removed)
        if cluster.fresh:
            extra = cls._of_names(cluster, cluster.fresh, options, len(points.hashes))
            hashes, nodes = merge_points(points.hashes, points.nodes, extra.hashes, extra.nodes, cluster.name_ranks)
            points = cls(hashes, nodes, table, extra.hashes, added=True)
        # Both at once have no simple patch: the table is compiled from all points then.
        return points._replace(before=None, changed=None) if cluster.gone and cluster.fresh else points

    @classmethod
    def _of_names(cls, cluster: Cluster, names: Sequence[str], options: dict[str, Any], others: int) -> Points:
        counts = [point_count(cluster.members[name], options) for name in names]
        total = sum(counts) + others
        if total > POINTS_MAX:
            raise _too_many(cluster, options, total)
        return cls(*_hashed(cluster, names, counts))

    def compiled(
        self,
        cluster: Cluster,
        groups: npt.NDArray[np.uint32] | None = None,
        zones: npt.NDArray[np.uint32] | None = None,
    ) -> PointTable:
        """The table of these points and the cluster's liveness."""
        return PointTable(
            self.hashes,
            self.nodes,
            cluster.alive,
            members=int(np.count_nonzero(cluster.weights)),
            groups=groups,
            zones=zones,
            before=self.before,
            changed=self.changed,
            added=self.added,
        )


def _too_many(cluster: Cluster, options: dict[str, Any], total: int) -> ArgumentError:
    """What to say when a ring would not fit, with the unit that makes it fit."""
    unit = math.fsum(node.weight / POINTS_MAX for node in cluster) * options["points_per_node"]
    enough = float(f"{1.06 * unit:.2g}")  # two digits, and not below the least for it
    return ArgumentError(
        "points of all nodes",
        f"at most {POINTS_MAX}, {RING_BYTES_MAX >> 20} MiB of {POINT_BYTES} bytes each: "
        f"use a weight_unit of at least {enough:g}, or fewer points_per_node",
        total,
    )


_NO_POINTS = np.empty(0, np.uint64), np.empty(0, np.uint32)


def _hashed(
    cluster: Cluster, names: Sequence[str], counts: list[int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """The points of some members, in order."""
    if not names:
        return _NO_POINTS
    ids = np.array([cluster.ids[name] for name in names], np.uint32)
    return sort_points(*_labels(names, counts, ids), cluster.name_ranks)


def _labels(
    names: Sequence[str], counts: list[int], ids: npt.NDArray[np.uint32] | None = None
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """The points of some names, one name after the other; with the names' places for ids, unless those are given."""
    ids = np.arange(len(names), dtype=np.uint32) if ids is None else ids
    return node_points([utf8(name) for name in names], ids, np.array(counts, np.uint32))
