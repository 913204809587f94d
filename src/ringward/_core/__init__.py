"""The one door to compiled code: the rest of the package imports from here and nowhere below."""

from ringward._core.arcs import ARC, ArcIndex, MoveIndex, table_index
from ringward._core.build import filter_points, merge_points, node_points, sort_points
from ringward._core.changed_points import changed, start_of
from ringward._core.columns import refuse_queries
from ringward._core.commit_queue import CommitQueue, Job
from ringward._core.cpu import cpu
from ringward._core.fair_write_lock import FairWriteLock
from ringward._core.file_watch import FileWatch, disown, own, system_calls
from ringward._core.group_commit import NESTED, GroupCommit
from ringward._core.hashing import Hasher
from ringward._core.heirs import Heirs, summed_by
from ringward._core.joined import checksum, sealed
from ringward._core.log_rows import (
    append_rows,
    event_digest,
    first_faulty,
    log_entries,
    log_entry,
    log_rows,
    read_rows,
    rows_by_partition,
    rows_up_to,
    size_of,
    untracked,
)
from ringward._core.loops import checked_hashes, hash_column, second_candidates
from ringward._core.moves import difference, owner_moves, partition_moves, point_moves
from ringward._core.news import News
from ringward._core.partition_map import PartitionMap
from ringward._core.point_table import PointTable
from ringward._core.quotas import numbered_zones
from ringward._core.reader import COUNT_MOST, Reader, State, adopt_methods
from ringward._core.rows import rebalance
from ringward._core.sources import plain_array
from ringward._core.table import ListTable, Table

__all__ = [
    "ARC",
    "COUNT_MOST",
    "NESTED",
    "NO_NODE",
    "ArcIndex",
    "CommitQueue",
    "FairWriteLock",
    "FileWatch",
    "GroupCommit",
    "Hasher",
    "Heirs",
    "Job",
    "ListTable",
    "MoveIndex",
    "News",
    "PartitionMap",
    "PointTable",
    "Reader",
    "State",
    "Table",
    "adopt_methods",
    "append_rows",
    "changed",
    "checked_hashes",
    "checksum",
    "cpu",
    "difference",
    "disown",
    "event_digest",
    "filter_points",
    "first_faulty",
    "hash_column",
    "log_entries",
    "log_entry",
    "log_rows",
    "merge_points",
    "node_points",
    "numbered_zones",
    "own",
    "owner_moves",
    "partition_moves",
    "plain_array",
    "point_moves",
    "read_rows",
    "rebalance",
    "refuse_queries",
    "rows_by_partition",
    "rows_up_to",
    "sealed",
    "second_candidates",
    "size_of",
    "sort_points",
    "start_of",
    "summed_by",
    "system_calls",
    "table_index",
    "untracked",
]

NO_NODE = 0xFFFFFFFF
"""The id of nobody: the maximum of uint32 (in ids of another type, the maximum of that type)."""
