"""ringward's `PartitionTable`."""

from __future__ import annotations

import numpy as np

import ringward as rw
from peers.adapters.ringward_ring import RingwardRing
from peers.peer import TABLE
from peers.table_by_hand import PARTITIONS


class RingwardTable(RingwardRing):
    """A partition table without replicas."""

    label = "ringward PartitionTable"
    algorithm = f"{PARTITIONS:,} partitions, XXH3"
    beside = TABLE

    def build(self, names):
        self._keep(rw.PartitionTable(names, partitions=PARTITIONS))

    def route_hashes(self, hashes):
        """Ids of 16 bits, as those of the tables made by hand."""
        return self._router.assign_hashes(hashes, out=np.empty(len(hashes), np.uint16), threads=1)
