"""`ArrayRing`: ringward's points in NumPy arrays, for the peers that look keys up in arrays."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property

import numpy as np
import xxhash
from routing.workload import POINTS_PER_NODE

from peers.peer import Peer


def points_of(name):
    """The points of one node, as docs/architecture.md has them."""
    encoded = name.encode()
    label, digest = len(encoded).to_bytes(8, "little") + encoded, xxhash.xxh3_64_intdigest
    return [digest(label + i.to_bytes(8, "little")) for i in range(POINTS_PER_NODE)]


class ArrayRing(Peer):
    """The first point at or after a hash owns it; behind the last point comes the first.

    `hashes` are the points in order; `owners` index `names` and end with the first once more.
    A single key is found by `bisect` in a list, which beats calls with arrays of one.
    """

    algorithm = f"ring, {POINTS_PER_NODE} points a node, XXH3: the very points of ringward"

    def build(self, names):
        hashes = np.array([point for name in names for point in points_of(name)], np.uint64)
        order = np.argsort(hashes)
        self.names = np.array(names, object)
        self.hashes = hashes[order]
        self.changed((order // POINTS_PER_NODE).astype(np.uint32))

    def add(self, name):
        points = np.sort(np.array(points_of(name), np.uint64))
        places = np.searchsorted(self.hashes, points)
        self.hashes = np.insert(self.hashes, places, points)
        self.names = np.append(self.names, name)
        self.changed(np.insert(self.owners[:-1], places, np.uint32(len(self.names) - 1)))

    def remove(self, name):
        node = np.flatnonzero(self.names == name)[-1]  # its id is not used again
        stays = self.owners[:-1] != node
        self.hashes = self.hashes[stays]
        self.changed(self.owners[:-1][stays])

    def changed(self, owners):
        """Take the owners of new `hashes`. The lists for single keys are made when one asks."""
        self.owners = np.append(owners, owners[:1])
        for made in ("_sorted_hashes", "_owner_names"):
            self.__dict__.pop(made, None)

    @cached_property
    def _sorted_hashes(self):
        return self.hashes.tolist()

    @cached_property
    def _owner_names(self):
        return self.names[self.owners].tolist()

    def route(self, key):
        return self._owner_names[bisect_left(self._sorted_hashes, xxhash.xxh3_64_intdigest(key.encode()))]

    def route_many(self, keys):
        digest = xxhash.xxh3_64_intdigest
        return self.route_hashes(np.array([digest(key.encode()) for key in keys], np.uint64))

    def names_many(self, keys):
        return self.names[self.route_many(keys)]
