"""`HashRing`: distributed consistent hashing."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ringward._core import Hasher, PointTable, State
from ringward.checks import text_of
from ringward.cluster import Cluster, Nodes
from ringward.errors import ArgumentError
from ringward.keys import XXH3
from ringward.placement.points import POINTS_PER_NODE, WEIGHT_UNIT, point_options, ring_table, touched_points
from ringward.router import Placed, Router

__all__ = ["HashRing"]


class HashRing(Router):
    """Nodes and keys on one ring of 2^64; a key belongs to the first live node at or after it.

    When a node fails, only its own keys move, each to the node that follows it on the ring.
    With many points a node, that spreads them over all other nodes.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
    points_per_node : int
        How many points a node of weight `weight_unit` has. The share of a node has a relative
        standard deviation of about 1/sqrt(points).
    weight_unit : float
        A node has floor(points_per_node * weight / weight_unit + 1/2) points.
    spread : "zone", optional
        Candidates are then ordered by distinct zones first, for placing replicas. Owners are not
        affected: when one fails, the next live node on the ring takes over.
    hash : XXH3, SipHash or Multiplicative
    on_empty : str, optional
        The member that owns every key while nobody is live.

    Raises
    ------
    ArgumentError, ArgumentTypeError, DuplicateNodeError
        When an argument is not valid.

    References
    ----------
    Karger et al., "Consistent Hashing and Random Trees" (1997).

    Examples
    --------
    >>> import ringward as rw
    >>> ring = rw.HashRing({"node1": 1.0, "node2": 2.0, "node3": 1.0})
    >>> ring["event1"], ring.candidates("event1")
    ('node2', ['node2', 'node3', 'node1'])
    """

    __slots__ = ()

    def __init__(
        self,
        nodes: Nodes = (),
        *,
        points_per_node: int = POINTS_PER_NODE,
        weight_unit: float = WEIGHT_UNIT,
        spread: Literal["zone"] | None = None,
        hash: Hasher = XXH3(),
        on_empty: str | None = None,
    ) -> None:
        options = {"points_per_node": points_per_node, "weight_unit": weight_unit, "spread": spread}
        super().__init__(nodes, options, hash, on_empty)

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        spread = text_of(options["spread"])
        if spread != "zone" and options["spread"] is not None:
            raise ArgumentError("spread", "'zone' or None", options["spread"])
        return {**point_options(options["points_per_node"], options["weight_unit"]), "spread": spread}

    def _fits(self, state: State) -> bool:
        table, memory = state.own
        if not isinstance(table, PointTable) or table.groups is not None or memory is not None:
            return False
        if self._options["spread"] is None:
            return table.zones is None
        return np.array_equal(table.zones, state.cluster.zone_ids)  # type: ignore[arg-type]

    def _touched(self, before: Cluster, after: Cluster) -> npt.NDArray[np.uint64] | None:
        return touched_points(before, after, self._options)

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        zones = cluster.zone_ids if self._options["spread"] == "zone" else None
        return Placed(ring_table(cluster, self._options, before, zones))
