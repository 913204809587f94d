"""`TableByHand`: the partition table that one would write by hand in a few lines of NumPy."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from peers.peer import TABLE, Peer

PARTITION_BITS = 16
PARTITIONS = 2**PARTITION_BITS


class TableByHand(Peer):
    """Partitions dealt in turn. A change moves about as few as possible; the balance drifts with changes.

    `table` indexes `names`; `changed` is called after each change.
    """

    beside = TABLE
    changes_uncounted = "ten lines of this suite, not of a package: no weights, no lasting balance"

    def build(self, names):
        self.names = np.array(names, object)
        self.table = (np.arange(PARTITIONS) % len(names)).astype(np.uint16)
        self._members = np.arange(len(names), dtype=np.uint16)
        self.changed()

    def add(self, name):
        node = np.uint16(len(self.names))
        self.names = np.append(self.names, name)
        self._members = np.append(self._members, node)
        self.table[:: len(self._members)] = node
        self.changed()

    def remove(self, name):
        node = np.flatnonzero(self.names == name)[-1]
        self._members = self._members[self._members != node]
        orphans = np.flatnonzero(self.table == node)
        self.table[orphans] = np.resize(self._members, len(orphans))
        self.changed()

    def changed(self):
        """Forget what was made from the table before; it is made again when one asks."""
        self.__dict__.pop("_owner_names", None)

    @cached_property
    def _owner_names(self):
        return self.names[self.table].tolist()
