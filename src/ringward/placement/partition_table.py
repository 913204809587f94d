"""`PartitionTable`: fixed partitions, exactly balanced rows of replicas, the fewest moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

from ringward._core import NO_NODE, Hasher, PartitionMap, State, rebalance
from ringward.checks import checked_int
from ringward.cluster import Cluster, Nodes, utf8
from ringward.errors import ArgumentError
from ringward.keys import XXH3
from ringward.router import Placed, Router

if TYPE_CHECKING:
    from ringward.keys import Key

__all__ = ["PartitionTable"]

PARTITIONS = 4096
PARTITIONS_MAX = 1 << 24
REPLICAS_MAX = 1 << 8
ENTRIES_MAX = 1 << 28


class PartitionTable(Router):
    """The hash space in equal partitions, each with a row of nodes: the owner and its replicas.

    Rows are balanced exactly: every node owns floor or ceil of its weight's share of the
    partitions, and of all rows' entries likewise. A membership change moves the fewest
    entries that keep it so. Liveness only filters the rows.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
    partitions : int
        1 to 2^24; best at least 100 a node.
    replicas : int
        Nodes in a row: distinct, and of distinct zones while there are enough of them.
    hash : XXH3, SipHash or Multiplicative
    on_empty : str, optional
        The member that owns every key while nobody is live.

    Notes
    -----
    Candidates are the live nodes of the row in rank order, then the others as stand-ins: by
    weighted rendezvous of (partition, name), and where there ever were more than 128 names by
    weighted draws of the partition first, which cost the same for any number of nodes. While a
    row has nodes that are down, the stand-ins that complete it come from the zones with the
    fewest of its candidates. Rows depend on the history of membership changes, never on
    liveness or on the order in which nodes are given.

    Examples
    --------
    >>> import numpy as np, ringward as rw
    >>> table = rw.PartitionTable(["node1", "node2", "node3", "node4"], partitions=8, replicas=2)
    >>> table.rows.shape, [int(n) for n in np.bincount(table.rows.ravel())]
    ((8, 2), [4, 4, 4, 4])
    >>> len(table.remove("node4").rows)
    4
    """

    __slots__ = ()

    def __init__(
        self,
        nodes: Nodes = (),
        *,
        partitions: int = PARTITIONS,
        replicas: int = 1,
        hash: Hasher = XXH3(),
        on_empty: str | None = None,
    ) -> None:
        super().__init__(nodes, {"partitions": partitions, "replicas": replicas}, hash, on_empty)

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        partitions = checked_int("partitions", options["partitions"], 1, PARTITIONS_MAX)
        replicas = checked_int("replicas", options["replicas"], 1, REPLICAS_MAX)
        if partitions * replicas > ENTRIES_MAX:
            raise ArgumentError("partitions * replicas", f"at most {ENTRIES_MAX}", partitions * replicas)
        return {"partitions": partitions, "replicas": replicas}

    def _fits(self, state: State) -> bool:
        table, memory = state.own
        width = min(self._options["replicas"], np.count_nonzero(state.cluster.weights))
        shape = self._options["partitions"], width
        return isinstance(table, PartitionMap) and table.rows.shape == shape and memory is None

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        old: PartitionMap | None = before.own.table if before is not None else None
        if old is not None and not cluster.gone and not cluster.fresh:
            kept = old.weights, old.name_hashes, old.name_ranks
            return Placed(PartitionMap(old.rows, cluster.alive, *kept, before=old, zones=old.zones))
        rows = np.full((self._options["partitions"], 0), NO_NODE, np.uint32) if old is None else old.rows
        hashes = np.array([xxhash.xxh3_64_intdigest(utf8(name)) for name in cluster.names], np.uint64)
        zones = cluster.zone_ids
        rows = self._rebalanced(cluster, rows, zones)
        return Placed(PartitionMap(rows, cluster.alive, cluster.weights, hashes, cluster.name_ranks, zones=zones))

    def _rebalanced(
        self, cluster: Cluster, rows: npt.NDArray[np.uint32], zones: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]:
        """Rows for the cluster's members. The balancer counts nodes by name, so that ids do not matter."""
        ids = np.array([cluster.ids[node.name] for node in cluster.by_name], np.uint32)
        places = np.full(len(cluster.ids) + 1, NO_NODE, np.uint32)
        places[ids] = np.arange(len(ids), dtype=np.uint32)
        old = np.ascontiguousarray(places[np.minimum(rows, len(cluster.ids))])
        new = rebalance(old, cluster.weights[ids], zones[ids], self._options["replicas"])
        return np.ascontiguousarray(ids[new]) if len(ids) else new

    @property
    def rows(self) -> npt.NDArray[np.uint32]:
        """Node ids of each partition in rank order, shape (partitions, width), read-only.

        width is `replicas`, or the number of members of a weight above 0 when those are fewer.
        """
        rows: npt.NDArray[np.uint32] = self._state.own.table.rows.view()
        rows.flags.writeable = False
        return rows

    def partition_of(self, key: Key) -> int:
        """The partition of a key: (hash * partitions) >> 64."""
        state = self._state
        return int(state.hasher(key) * len(state.own.table.rows) >> 64)
