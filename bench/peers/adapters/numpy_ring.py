"""NumPy: `searchsorted` over the very points that ringward uses."""

from __future__ import annotations

import numpy as np

from peers.array_ring import ArrayRing
from peers.xxh3 import MIX, SECRET, SIZE


class NumpyRing(ArrayRing):
    """Hashes and searches whole arrays."""

    label = "NumPy searchsorted"
    packages = ("numpy", "xxhash")

    def route_integers(self, keys):
        return self.route_hashes(hashed(keys))

    def route_hashes(self, hashes):
        return self.owners[np.searchsorted(self.hashes, hashes)]


def hashed(keys):
    """XXH3 of uint64 keys."""
    u = np.uint64
    h = ((keys >> u(32)) | (keys << u(32))) ^ SECRET
    h ^= ((h << u(49)) | (h >> u(15))) ^ ((h << u(24)) | (h >> u(40)))
    h *= MIX
    h ^= (h >> u(35)) + SIZE
    h *= MIX
    h ^= h >> u(28)
    return h
