"""pymemcache's `RendezvousHash`, the default of its `HashClient`."""

from __future__ import annotations

from peers.peer import NOTHING_BUILT, Peer


class PymemcacheRendezvous(Peer):
    """Every lookup hashes the key once for each node, in Python."""

    label = "pymemcache"
    packages = ("pymemcache",)
    algorithm = "rendezvous, murmur3 in Python; a lookup costs O(nodes)"
    changes_uncounted = NOTHING_BUILT

    def build(self, names):
        from pymemcache.client.rendezvous import RendezvousHash

        cluster = RendezvousHash(nodes=list(names))
        self.route, self.add, self.remove = cluster.get_node, cluster.add_node, cluster.remove_node
