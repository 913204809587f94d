"""numba: a partition table."""

from __future__ import annotations

import numpy as np
import xxhash

from peers.table_by_hand import PARTITION_BITS, PARTITIONS, TableByHand

SHIFT = 64 - PARTITION_BITS


class NumbaTable(TableByHand):
    """One compiled loop for columns; texts need no numba."""

    label = "numba, partition table"
    packages = ("numba", "numpy", "xxhash")
    algorithm = f"{PARTITIONS:,} partitions dealt by hand, XXH3"

    def build(self, names):
        from peers import numba_kernels as kernels

        self._kernels = kernels
        super().build(names)

    def route(self, key):
        return self._owner_names[xxhash.xxh3_64_intdigest(key.encode()) >> SHIFT]

    def route_many(self, keys):
        digest, names = xxhash.xxh3_64_intdigest, self._owner_names
        return [names[digest(key.encode()) >> SHIFT] for key in keys]

    def route_integers(self, keys):
        return self._kernels.table_keys(keys, self.table, np.uint64(SHIFT))

    def route_hashes(self, hashes):
        return self._kernels.table_hashes(hashes, self.table, np.uint64(SHIFT))
