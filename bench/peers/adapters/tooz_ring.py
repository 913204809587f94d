"""tooz: the ring of OpenStack, in pure Python."""

from __future__ import annotations

from routing.workload import POINTS_PER_NODE

from peers.peer import Peer


class ToozRing(Peer):
    """Its keys are bytes, and a lookup answers with a set; its default would be 32 points."""

    label = "tooz"
    packages = ("tooz",)
    algorithm = f"ring, {POINTS_PER_NODE} points a node, MD5; a lookup costs O(nodes)"

    def build(self, names):
        from tooz.hashring import HashRing

        ring = HashRing(names, partitions=POINTS_PER_NODE)
        get_nodes = ring.get_nodes

        def route(key):
            return get_nodes(key.encode()).pop()

        self.route, self.add, self.remove = route, ring.add_node, ring.remove_node
