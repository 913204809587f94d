"""The handler of the demo's workers: each event becomes a row of a table, in the transaction of its acknowledgement."""

from __future__ import annotations

import os
import time

from ringward.events import Event

__all__ = ["COUNTS", "ROWS", "TABLE", "record"]

TABLE = "CREATE TABLE logbook (seq INTEGER, key TEXT, partition INTEGER, epoch INTEGER, pid INTEGER, at_ns INTEGER)"
ROWS = "SELECT seq, key, partition, epoch, pid, at_ns FROM logbook ORDER BY rowid"  # that is the order of the commits
COUNTS = "SELECT pid, count(*) FROM logbook GROUP BY pid"
_INSERT = "INSERT INTO logbook VALUES (?, ?, ?, ?, ?, ?)"


def record(event: Event) -> None:
    """Write down an event."""
    about = (event.seq, event.key, event.partition, event.epoch)
    event.transaction.execute(_INSERT, (*about, os.getpid(), time.time_ns()))
