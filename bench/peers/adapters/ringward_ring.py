"""ringward's `HashRing`."""

from __future__ import annotations

from functools import partial

import numpy as np
from routing.workload import POINTS_PER_NODE

import ringward as rw
from peers.peer import Peer


class RingwardRing(Peer):
    """A ring with the default hash."""

    label = "ringward HashRing"
    packages = ("ringward",)
    algorithm = f"ring, {POINTS_PER_NODE} points a node, XXH3"

    def build(self, names):
        self._keep(rw.HashRing(names, points_per_node=POINTS_PER_NODE))

    def _keep(self, router):
        self._router = router
        self.route, self.add, self.remove = router.route, router.add, router.remove
        self.route_many = self.route_integers = self.route_column = partial(router.assign, threads=1)

    def route_hashes(self, hashes):
        return self._router.assign_hashes(hashes, threads=1)

    def names_many(self, keys):
        return self._router.names[self._router.assign(keys, threads=1)]

    def column(self, keys):
        return np.array(keys, "S")
