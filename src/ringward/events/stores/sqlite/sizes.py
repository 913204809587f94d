"""How large a file may be beyond what it holds."""

from __future__ import annotations

from ringward.events.stores.sqlite.wal_preallocation import STEP

__all__ = ["INCREMENTAL", "SHRINK_PAGES", "SPARE_PAGES", "SPARE_SHARE", "WAL_KEPT_BYTES"]

INCREMENTAL = 2  # SQLite's `auto_vacuum`: pages at the end are given back when it is asked to
WAL_KEPT_BYTES = 128 * STEP  # twice of what it holds between two checkpoints
SHRINK_PAGES = 1000  # given back in one transaction: some milliseconds
SPARE_PAGES = 1000  # that are never given back, since they will be used
SPARE_SHARE = 8  # nor is this part of the file
