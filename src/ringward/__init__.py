"""Failover routing: which node owns a key, who takes over when it fails, and exactly what moves.

>>> import ringward as rw
>>> ring = rw.HashRing(["node1", "node2", "node3"])
>>> ring.route("event1"), ring.assign(["event1", "event2"])
('node2', array([1, 2], dtype=uint32))
>>> print(ring.mark_down("node2"))
epoch 0 → 1: 35.02 % of the keys move: node2 → node3 20.92 %, node2 → node1 14.10 %

Routers: `HashRing`, `PartitionedRing`, `PartitionTable`, `PrimaryBackup`; `help(ringward.HashRing)` has the methods of all.
Of whole columns and frames: `assign_batch`. Of a router for other processes: `Snapshot`. An event processor: `ringward.events`.
"""

from ringward import errors
from ringward._core import NO_NODE, cpu
from ringward.cluster import Cluster, Node
from ringward.engines.assign_batch import assign_batch
from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    BackpressureError,
    CancelledTasksError,
    ChangeError,
    ConflictError,
    DeduplicationExpiredError,
    DuplicateNodeError,
    InsideHandlerError,
    KeyTypeError,
    KeyValueError,
    LoopError,
    NoNodeError,
    PromotionError,
    QueryTimeoutError,
    ResidencyError,
    RingwardError,
    SnapshotError,
    StaleEpochError,
    StopTimeoutError,
    StoreAccessError,
    StoreClosedError,
    StoreFailedError,
    StoreFormatError,
    StoreFullError,
    StoreNotFoundError,
    StoreUnavailableError,
    TransactionError,
    UnknownGroupError,
    UnknownNodeError,
    UnsupportedError,
)
from ringward.explanation import Explanation
from ringward.keys import XXH3, Multiplicative, SipHash, hash_keys
from ringward.placement import HashRing, PartitionedRing, PartitionTable, PrimaryBackup
from ringward.report import Report
from ringward.router import Router
from ringward.snapshot import Snapshot
from ringward.transfer import Transfer

__all__ = [
    "NO_NODE",
    "XXH3",
    "ArgumentError",
    "ArgumentTypeError",
    "BackpressureError",
    "CancelledTasksError",
    "ChangeError",
    "Cluster",
    "ConflictError",
    "DeduplicationExpiredError",
    "DuplicateNodeError",
    "Explanation",
    "HashRing",
    "InsideHandlerError",
    "KeyTypeError",
    "KeyValueError",
    "LoopError",
    "Multiplicative",
    "NoNodeError",
    "Node",
    "PartitionTable",
    "PartitionedRing",
    "PrimaryBackup",
    "PromotionError",
    "QueryTimeoutError",
    "Report",
    "ResidencyError",
    "RingwardError",
    "Router",
    "SipHash",
    "Snapshot",
    "SnapshotError",
    "StaleEpochError",
    "StopTimeoutError",
    "StoreAccessError",
    "StoreClosedError",
    "StoreFailedError",
    "StoreFormatError",
    "StoreFullError",
    "StoreNotFoundError",
    "StoreUnavailableError",
    "TransactionError",
    "Transfer",
    "UnknownGroupError",
    "UnknownNodeError",
    "UnsupportedError",
    "assign_batch",
    "cpu",
    "errors",
    "hash_keys",
]

__version__ = "0.1.0"
