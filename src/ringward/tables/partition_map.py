"""Fixed partitions with rows of nodes: the tables of `PartitionTable`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ringward._core import PartitionMap, Reader, State
from ringward.cluster import Cluster
from ringward.tables.arrays import demand, expect, within
from ringward.tables.kind import Arrays, TableKind, Way

__all__ = ["PartitionsKind"]


class PartitionsKind(TableKind[PartitionMap]):
    """Equal partitions; a key goes to the first live node of its partition's row, then to stand-ins."""

    name = "partitions"
    table = PartitionMap

    def arrays(self, table: PartitionMap) -> Arrays:
        """The rows, and of each id what draws its stand-ins."""
        return {
            "rows": table.rows,
            "weights": table.weights,
            "name_hashes": table.name_hashes,
            "name_ranks": table.name_ranks,
        }

    def restored(self, arrays: Arrays, cluster: Cluster) -> PartitionMap:
        """The partitions of these rows."""
        ids, alive = len(cluster.ids), cluster.alive
        rows = within(expect(arrays, "rows", np.uint32, 2), ids)
        someone = bool((cluster.weights > 0).any())
        demand(len(rows) > 0 and (rows.shape[1] > 0) == someone, "partitions with rows of nodes")
        weights = expect(arrays, "weights", np.float64)
        name_hashes = expect(arrays, "name_hashes", np.uint64)
        name_ranks = expect(arrays, "name_ranks", np.uint32)
        demand(len(weights) == len(name_hashes) == len(name_ranks) == ids, "one weight, hash and rank an id")
        demand(bool((weights[alive > 0] > 0).all() and np.isfinite(weights).all()), "weights above 0")
        if rows.size:
            ordered = np.sort(rows, axis=1)
            demand(bool((ordered[:, 1:] != ordered[:, :-1]).all()), "rows of distinct nodes")
        return PartitionMap(rows, alive, weights, name_hashes, name_ranks, zones=cluster.zone_ids)

    def way(self, table: PartitionMap, state: State, value: int) -> Way:
        """The partition's row, then the stand-ins in their order."""
        partition = value * len(table.rows) >> 64
        row = [str(state.names[node]) for node in table.rows[partition]]
        nodes = [(name, f"rank {rank} of the partition's row") for rank, name in enumerate(row)]
        others = [name for name in _all_candidates(state, value) if name not in row]
        nodes += [(name, "a stand-in from outside the row") for name in others]
        return Way(f"in partition {partition} of {len(table.rows)}", nodes)

    def for_heirs(self, table: PartitionMap) -> PartitionMap:
        """The same rows without zones."""
        if table.zones is None:
            return table
        about = table.alive, table.weights, table.name_hashes, table.name_ranks
        return PartitionMap(table.rows, *about, before=table)

    def entries(self, table: PartitionMap) -> npt.NDArray[np.uint32] | None:
        """All rows' entries; None where a row is one node."""
        return table.rows.ravel() if table.rows.shape[1] > 1 else None


def _all_candidates(state: State, value: int) -> list[str]:
    row = Reader(state).assign_hashes(np.array([value], np.uint64), count=len(state.cluster))[0]
    return [str(state.names[node]) for node in row if node < len(state.names)]
