"""One file a kind of table: its bytes, its steps of an explanation, its figures. Lookups are compiled."""

from ringward.tables.kind import TableKind, Way, kind_named, kind_of, register
from ringward.tables.ordered_list import ListKind
from ringward.tables.partition_map import PartitionsKind
from ringward.tables.points import PointsKind

__all__ = ["TableKind", "Way", "kind_named", "kind_of", "register"]

for _kind in (PointsKind(), PartitionsKind(), ListKind()):
    register(_kind)
