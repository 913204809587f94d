"""A list in failover order: the tables of `PrimaryBackup`."""

from __future__ import annotations

import numpy as np

from ringward._core import ListTable, State
from ringward.cluster import Cluster, Node
from ringward.tables.arrays import demand, expect, within
from ringward.tables.kind import Arrays, TableKind, Way

__all__ = ["ListKind"]


class ListKind(TableKind[ListTable]):
    """Every key goes to the first node of a list."""

    name = "list"
    table = ListTable
    one_owner = True

    def arrays(self, table: ListTable) -> Arrays:
        """The list."""
        return {"order": table.order}

    def restored(self, arrays: Arrays, cluster: Cluster) -> ListTable:
        """The table of this list."""
        order = within(expect(arrays, "order", np.uint32), len(cluster.ids))
        able = sorted(cluster.ids[node.name] for node in cluster if cluster.can_own(node))
        demand(sorted(order.tolist()) == able, "an order of exactly the live members")
        return ListTable(order)

    def way(self, table: ListTable, state: State, value: int) -> Way:
        """Down the list of all members, whoever is down."""
        names = [node.name for node in state.cluster if node.weight > 0]
        primary = str(state.names[table.order[0]])
        above = names[: names.index(primary)]
        # A primary that stayed when a better node recovered comes first; else the list is walked as it is.
        stayed = not all(name in state.cluster.down for name in above)
        order = [primary, *(name for name in names if name != primary)] if stayed else names
        place = "which does not matter: one node owns every key"
        return Way(place, [(name, f"priority {names.index(name) + 1}") for name in order])

    def members(self, cluster: Cluster) -> tuple[Node, ...]:
        """In the order of their priority."""
        return tuple(cluster)
