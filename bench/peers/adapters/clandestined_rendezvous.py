"""clandestined: rendezvous hashing over a murmur3 in C."""

from __future__ import annotations

from peers.peer import NOTHING_BUILT, Peer


class ClandestinedRendezvous(Peer):
    """Every lookup hashes the key once for each node."""

    label = "clandestined"
    packages = ("clandestined",)
    algorithm = "rendezvous, murmur3 in C; a lookup costs O(nodes)"
    changes_uncounted = NOTHING_BUILT

    def build(self, names):
        from clandestined import RendezvousHash

        cluster = RendezvousHash(nodes=list(names))
        self.route, self.add, self.remove = cluster.find_node, cluster.add_node, cluster.remove_node
