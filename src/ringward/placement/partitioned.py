"""`PartitionedRing`: partitioned consistent hashing, with a bounded blast radius."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ringward._core import Hasher, PointTable, State
from ringward.checks import checked_int
from ringward.cluster import Cluster, Nodes, in_utf8_order, utf8
from ringward.keys import XXH3
from ringward.placement.points import POINTS_MAX, POINTS_PER_NODE, WEIGHT_UNIT, Points, point_options, touched_points
from ringward.router import Placed, Router

__all__ = ["PartitionedRing"]


class PartitionedRing(Router):
    """One ring whose nodes are cut into P = ceil(n / k) parts of at most k nodes.

    A key belongs to the part of the first point at or after it. When a node fails, its
    keys go to the live nodes of its own part only. If a whole part is down, its keys go to
    the nodes that follow on the ring. While all nodes are live, keys are where `HashRing` has them.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
    part_size : int
        k, the most nodes of a part.
    points_per_node, weight_unit, hash, on_empty
        As for `HashRing`.

    Notes
    -----
    Parts differ in size by at most one node. A change of membership moves the fewest nodes
    between parts that keep it so. Moving a node to another part moves no key of a live node: parts
    only decide which node would take over. The price: removing a node that is already down moves
    its keys again.

    Examples
    --------
    >>> import ringward as rw
    >>> ring = rw.PartitionedRing([f"node{i}" for i in range(6)], part_size=3)
    >>> ring.parts
    (('node0', 'node1', 'node2'), ('node3', 'node4', 'node5'))
    >>> sorted(ring.mark_down("node2").arrivals)
    ['node0', 'node1']
    """

    __slots__ = ()

    def __init__(
        self,
        nodes: Nodes = (),
        *,
        part_size: int,
        points_per_node: int = POINTS_PER_NODE,
        weight_unit: float = WEIGHT_UNIT,
        hash: Hasher = XXH3(),
        on_empty: str | None = None,
    ) -> None:
        options = {"part_size": part_size, "points_per_node": points_per_node, "weight_unit": weight_unit}
        super().__init__(nodes, options, hash, on_empty)

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        size = checked_int("part_size", options["part_size"], 1, POINTS_MAX)
        return {"part_size": size, **point_options(options["points_per_node"], options["weight_unit"])}

    def _fits(self, state: State) -> bool:
        table, memory = state.own
        if not isinstance(table, PointTable) or table.groups is None or table.zones is not None or memory is not None:
            return False
        sizes = Counter(table.groups[state.cluster.ids[name]] for name in state.cluster.members).values()
        count = -(-len(state.cluster) // self._options["part_size"])
        return len(sizes) == count and max(sizes, default=0) - min(sizes, default=0) <= 1

    def _touched(self, before: Cluster, after: Cluster) -> npt.NDArray[np.uint64] | None:
        return touched_points(before, after, self._options, parts=True)

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        if before is not None and before.cluster.members.keys() == cluster.members.keys():
            groups = before.own.table.groups
        else:
            groups = cut(cluster, self._options["part_size"], before)
        return Placed(Points.of(cluster, self._options, before).compiled(cluster, groups=groups))

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """The names of each part's nodes, in UTF-8 order."""
        state = self._state
        cluster: Cluster = state.cluster
        parts: dict[int, list[str]] = {}
        for node in cluster.by_name:
            parts.setdefault(int(state.own.table.groups[cluster.ids[node.name]]), []).append(node.name)
        return tuple(tuple(parts[part]) for part in sorted(parts))

    def part_of(self, name: str) -> int:
        """The number of a member's part, from 0.

        Raises
        ------
        UnknownNodeError
            When no member has the name.
        ArgumentTypeError
            When it is not a str.
        """
        state = self._state
        return int(state.own.table.groups[state.cluster.ids[state.cluster.require(name)]])


def _by_hash(names: list[str]) -> list[str]:
    """Names in the order of their hashes."""
    names = in_utf8_order(names)
    hashes = np.array([xxhash.xxh3_64_intdigest(utf8(name)) for name in names], np.uint64)
    return [names[place] for place in np.argsort(hashes, kind="stable").tolist()]


def cut(cluster: Cluster, part_size: int, before: State | None) -> npt.NDArray[np.uint32]:
    """The part of each id, shape (ids,): sizes that differ by at most one, the fewest nodes moved.

    The first cut takes the names in the order of their hashes, in P consecutive pieces.
    """
    groups = np.zeros(len(cluster.ids), np.uint32)
    count = -(-len(cluster) // part_size)
    if count == 0:
        return groups
    kept: list[list[str]] = []
    if before is not None and len(before.cluster):
        old: dict[int, list[str]] = {}
        for name in before.cluster.members:
            part = int(before.own.table.groups[before.cluster.ids[name]])
            old.setdefault(part, [])
            if name in cluster.members:
                old[part].append(name)
        # Fewer parts: the smallest are given up, so that the fewest nodes must move.
        kept = [old[part] for part in sorted(old)]
        for smallest in sorted(kept, key=len)[: max(0, len(kept) - count)]:
            kept.remove(smallest)
    kept += [[] for _ in range(count - len(kept))]
    for part, names in enumerate(_filled(kept, list(cluster.members))):
        for name in names:
            groups[cluster.ids[name]] = part
    return groups


def _filled(kept: list[list[str]], members: list[str]) -> list[list[str]]:
    """Parts of floor or ceil of the average size: nodes that are left over fill what lacks some."""
    least, larger = divmod(len(members), len(kept))
    # The parts that hold most now get the larger size: fewer nodes leave.
    order = sorted(range(len(kept)), key=lambda part: (-len(kept[part]), part))
    sizes = {part: least + (place < larger) for place, part in enumerate(order)}
    result = [
        [*names] if len(names) <= sizes[part] else _by_hash(names)[: sizes[part]] for part, names in enumerate(kept)
    ]
    placed = {name for names in result for name in names}
    waiting = iter(_by_hash([name for name in members if name not in placed]))
    for part, names in enumerate(result):
        names += [next(waiting) for _ in range(sizes[part] - len(names))]
    return result
