"""`PartitionTable`: fixed partitions, exactly balanced rows of replicas, the fewest moves."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from ringward._core import NO_NODE, Hasher, PartitionMap, State, rebalance
from ringward.checks import checked_int
from ringward.cluster import Cluster, Nodes, as_nodes, utf8
from ringward.errors import ArgumentError
from ringward.keys import XXH3, Key
from ringward.router import Placed, Router

__all__ = ["PartitionTable"]

PARTITIONS = 4096
PARTITIONS_PER_NODE = 32  # by default at least: then a node has at most 1/32 more than its share
PARTITIONS_MAX = 1 << 24
REPLICAS_MAX = 1 << 8
ENTRY_BYTES = 32  # what an entry of a row takes at most while rows are balanced: old and new, by id and by name
TABLE_BYTES_MAX = 1 << 30
ENTRIES_MAX = TABLE_BYTES_MAX // ENTRY_BYTES


class PartitionTable(Router):
    """The hash space in equal partitions, each with a row of nodes: the owner and its replicas.

    Rows are balanced exactly: every node owns floor or ceil of its weight's share of the
    partitions, and likewise of the entries of all rows. A membership change moves few entries
    beyond what the new counts need; `Transfer.excess` says how many. Liveness only filters
    the rows.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
    partitions : int or "auto"
        1 to 2^24, best at least 100 a node. It never changes. The default is 4,096, or the least
        power of two that gives each of these nodes 32. Set it if you compare tables for different
        lists of nodes. Fewer partitions than nodes of a weight above 0 leave nodes
        without keys, which is a `UserWarning`.
    replicas : int
        Nodes in a row: distinct, and spread over the zones as evenly as their nodes allow.
    hash : XXH3, SipHash or Multiplicative
    on_empty : str, optional
        The member that owns every key while nobody is live.

    Notes
    -----
    Candidates are the live nodes of the row in rank order, then the other nodes as stand-ins, by
    weighted rendezvous of (partition, name). Once there were more than 128 names, weighted draws
    of the partition come first; they cost the same for any number of nodes. While a
    row has nodes that are down, the stand-ins that complete it come from the zones with the
    fewest of its candidates. Rows depend on the history of membership changes, never on
    liveness or on the order in which nodes are given.

    A whole row keeps zones apart. With more replicas than zones, the first two nodes of a row may
    share a zone: use whole rows, or as many replicas as there are zones.

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
        partitions: int | Literal["auto"] = "auto",
        replicas: int = 1,
        hash: Hasher = XXH3(),
        on_empty: str | None = None,
    ) -> None:
        nodes = as_nodes(nodes)
        if isinstance(partitions, str) and partitions == "auto":
            partitions = _partitions_for(len(nodes), checked_int("replicas", replicas, 1, REPLICAS_MAX))
        super().__init__(nodes, {"partitions": partitions, "replicas": replicas}, hash, on_empty)

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        partitions = checked_int("partitions", options["partitions"], 1, PARTITIONS_MAX)
        replicas = checked_int("replicas", options["replicas"], 1, REPLICAS_MAX)
        if partitions * replicas > ENTRIES_MAX:
            bound = f"at most {ENTRIES_MAX}, {TABLE_BYTES_MAX >> 20} MiB of {ENTRY_BYTES} bytes an entry"
            raise ArgumentError("partitions * replicas", bound, partitions * replicas)
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
        hashes = np.zeros(len(cluster.ids), np.uint64)
        known = 0 if old is None else len(old.name_hashes)
        if old is not None:
            hashes[:known] = old.name_hashes
        fresh = cluster.fresh if old is not None else cluster.ids
        for name in fresh:
            hashes[cluster.ids[name]] = xxhash.xxh3_64_intdigest(utf8(name))
        self._warn_of_too_few(cluster, before)
        zones = cluster.zone_ids
        rows = self._rebalanced(cluster, rows, zones)
        about = cluster.alive, cluster.weights, hashes, cluster.name_ranks
        return Placed(PartitionMap(rows, *about, zones=zones, whole=not cluster.down))

    def _warn_of_too_few(self, cluster: Cluster, before: State | None) -> None:
        """Say so when nodes are to own keys and cannot: once, not at each change that follows."""
        partitions = self._options["partitions"]
        owning = np.count_nonzero(cluster.weights)
        if owning > partitions and (before is None or np.count_nonzero(before.cluster.weights) <= partitions):
            text = f"partitions should be at least {owning}, the number of nodes (was {partitions}): some own no key"
            warnings.warn(text, UserWarning, stacklevel=6)  # whose code makes the table, or the change

    def _rebalanced(
        self, cluster: Cluster, rows: npt.NDArray[np.uint32], zones: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]:
        """Rows for the cluster's members. The balancer counts nodes by name, so that ids do not matter."""
        ids = cluster.member_ids
        return rebalance(rows, cluster.weights[ids], zones[ids], self._options["replicas"], ids=ids)

    @property
    def rows(self) -> npt.NDArray[np.uint32]:
        """Node ids of each partition in rank order, shape (partitions, width), read-only.

        width is `replicas`, or the number of members of a weight above 0 if that is lower.
        """
        rows: npt.NDArray[np.uint32] = self._state.own.table.rows.view()
        rows.flags.writeable = False
        return rows

    def partition_of(self, key: Key) -> int:
        """The partition of a key: (hash * partitions) >> 64."""
        state = self._state
        return int(state.hasher(key) * len(state.own.table.rows) >> 64)


def _partitions_for(nodes: int, replicas: int) -> int:
    """The default number of partitions."""
    wanted = max(PARTITIONS, 1 << (PARTITIONS_PER_NODE * nodes - 1).bit_length()) if nodes else PARTITIONS
    while wanted > PARTITIONS_MAX or wanted * replicas > ENTRIES_MAX:
        wanted //= 2
    return wanted
