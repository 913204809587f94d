"""uhashring: a ring in pure Python."""

from __future__ import annotations

from routing.workload import POINTS_PER_NODE

from peers.peer import Peer


class UhashringRing(Peer):
    """Its default, MD5, with as many points as ringward's."""

    label = "uhashring"
    packages = ("uhashring",)
    algorithm = f"ring, {POINTS_PER_NODE} points a node, MD5"
    hash_fn = None

    def build(self, names):
        from uhashring import HashRing

        ring = HashRing(names, vnodes=POINTS_PER_NODE, hash_fn=self.hash_fn)
        self.route, self.add, self.remove = ring.get_node, ring.add_node, ring.remove_node
