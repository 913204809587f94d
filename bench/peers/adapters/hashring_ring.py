"""hashring: the ring of 2008, in pure Python."""

from __future__ import annotations

from peers.peer import Peer


class HashringRing(Peer):
    """Its number of points is fixed, and a change is a new ring."""

    label = "hashring"
    packages = ("hashring",)
    algorithm = "ring, 120 points a node (fixed), MD5; a change builds a new ring"

    def build(self, names):
        from hashring import HashRing

        ring = HashRing(list(names))
        self._names = list(names)
        self.route = ring.get_node

    def add(self, name):
        self.build([*self._names, name])

    def remove(self, name):
        self.build([other for other in self._names if other != name])
