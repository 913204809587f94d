"""Polars: hash a column, gather from a partition table."""

from __future__ import annotations

from peers.table_by_hand import PARTITION_BITS, PARTITIONS, TableByHand


class PolarsTable(TableByHand):
    """With the hash of Polars, which is not stable between its versions."""

    label = "Polars hash + gather"
    packages = ("polars", "numpy")
    algorithm = f"{PARTITIONS:,} partitions dealt by hand, the hash of Polars"

    def build(self, names):
        from polars import Series

        self._series = Series
        super().build(names)

    def changed(self):
        super().changed()
        self._owners = self._series(self.table)

    def route(self, key):
        return self._owner_names[self._partitions(self._series([key]))[0]]

    def route_many(self, keys):
        return self.route_column(self._series(keys))

    def names_many(self, keys):
        return self.names[self.route_many(keys).to_numpy()]

    def route_integers(self, keys):
        return self.route_column(self._series(keys))

    def column(self, keys):
        return self._series(keys)

    def route_column(self, column):
        return self._owners.gather(self._partitions(column))

    @staticmethod
    def _partitions(column):
        return column.hash() // 2 ** (64 - PARTITION_BITS)
