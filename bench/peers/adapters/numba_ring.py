"""numba: an exact ring, over the very points that ringward uses."""

from __future__ import annotations

import numpy as np

from peers.array_ring import ArrayRing


class NumbaRing(ArrayRing):
    """The top bits of the hash say where to begin, and a short walk finds the point."""

    label = "numba, exact ring"
    packages = ("numba", "numpy", "xxhash")

    def changed(self, owners):
        from peers import numba_kernels as kernels

        super().changed(owners)
        self._kernels = kernels
        bits = len(self.hashes).bit_length() + 1
        points = np.append(self.hashes, np.uint64(2**64 - 1))  # the walk needs no test for the end
        self._ring = (points, self.owners, kernels.first_points(self.hashes, bits), np.uint64(64 - bits))

    def route_integers(self, keys):
        return self._kernels.ring_keys(keys, *self._ring)

    def route_hashes(self, hashes):
        return self._kernels.ring_hashes(hashes, *self._ring)
