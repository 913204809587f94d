"""fastring: a ring in Rust, for Python 3.13 and newer."""

from __future__ import annotations

from routing.workload import POINTS_PER_NODE

from peers.peer import Peer


class FastringRing(Peer):
    """Lists go through `get_node_batch`, as its page advises."""

    label = "fastring"
    packages = ("fastring",)
    algorithm = f"ring, {POINTS_PER_NODE} points a node"

    def build(self, names):
        from fastring import HashRing

        ring = HashRing(POINTS_PER_NODE)
        for name in names:
            ring.add_node(name)
        self.route, self.route_many = ring.get_node, ring.get_node_batch
        self.add, self.remove = ring.add_node, ring.remove_node

    def route_integers(self, keys):
        return self.route_many(list(map(str, keys.tolist())))
