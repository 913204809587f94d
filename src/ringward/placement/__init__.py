"""One file a placement. Each compiles a cluster into a table; all else is `Router`'s."""

from ringward.placement.partition_table import PartitionTable
from ringward.placement.partitioned import PartitionedRing
from ringward.placement.primary_backup import PrimaryBackup
from ringward.placement.ring import HashRing

__all__ = ["HashRing", "PartitionTable", "PartitionedRing", "PrimaryBackup"]
