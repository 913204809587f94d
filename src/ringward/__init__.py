"""Failover routing: which node owns a key, who takes over when it fails, and exactly what moves."""

from ringward import errors
from ringward._core import NO_NODE, cpu
from ringward.batch import assign_batch
from ringward.cluster import Cluster, Node
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
    QueryTimeoutError,
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
    "QueryTimeoutError",
    "Report",
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
