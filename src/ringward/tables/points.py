"""Points on a ring: the tables of `HashRing` and `PartitionedRing`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ringward._core import PointTable, State, summed_by
from ringward.cluster import Cluster
from ringward.tables.arrays import demand, expect, per_id, within
from ringward.tables.kind import Arrays, TableKind, Way

__all__ = ["PointsKind"]


class PointsKind(TableKind[PointTable]):
    """Nodes at points of the hash space; a key goes to the first live one at or after it."""

    name = "points"
    table = PointTable

    def arrays(self, table: PointTable) -> Arrays:
        """The points, and where they apply the part and the zone of each id."""
        points: dict[str, npt.NDArray[Any] | None] = {
            "hashes": table.hashes,
            "nodes": table.nodes,
            "groups": table.groups,
            "zones": table.zones,
        }
        return {name: array for name, array in points.items() if array is not None}

    def restored(self, arrays: Arrays, cluster: Cluster) -> PointTable:
        """The ring of these points."""
        ids = len(cluster.ids)
        hashes, nodes = expect(arrays, "hashes", np.uint64), expect(arrays, "nodes", np.uint32)
        demand(len(hashes) == len(nodes), "as many nodes as hashes")
        demand(bool((hashes[1:] >= hashes[:-1]).all()), "points in rising order")
        counts = summed_by(within(nodes, ids), None, ids)
        owning = [cluster.ids[node.name] for node in cluster if node.weight > 0]
        demand(np.array_equal(np.flatnonzero(counts), np.sort(owning)), "points of exactly the members")
        groups = per_id(arrays, "groups", ids) if "groups" in arrays else None
        zones = per_id(arrays, "zones", ids) if "zones" in arrays else None
        return PointTable(hashes, nodes, cluster.alive, members=len(owning), groups=groups, zones=zones)

    def way(self, table: PointTable, state: State, value: int) -> Way:
        """Along the ring from the hash on; with parts, those of the key's own part first."""
        size = len(table.hashes)
        start = table.first_index(value)
        groups = table.groups
        seen: dict[int, str] = {}
        for step in range(size):
            i = (start + step) % size
            node = int(table.nodes[i])
            if node in seen:
                continue
            part = f", part {int(groups[node])}" if groups is not None else ""
            zone = f", zone {state.cluster.members[str(state.names[node])].zone}" if table.zones is not None else ""
            seen[node] = f"its point at {int(table.hashes[i]):#018x} comes {_nth(len(seen) + 1)}{part}{zone}"
            if len(seen) == table.members:  # those that are drained have no points
                break
        order = list(seen)
        if groups is not None:  # stable: the key's own part first, each in ring order
            home = groups[table.nodes[start]]
            order = [node for node in order if groups[node] == home] + [node for node in order if groups[node] != home]
        place = f"before point {start} of {size} at {int(table.hashes[start]):#018x}"
        return Way(place, [(str(state.names[node]), seen[node]) for node in order])

    def for_heirs(self, table: PointTable) -> PointTable:
        """The same points without zones and parts where there are zones."""
        if table.zones is None:
            return table
        return PointTable(table.hashes, table.nodes, table.alive, members=table.members)


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
