"""`MemoryStore`: events in this process's memory; gone when it ends."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringward.checks import checked_callable, checked_type
from ringward.errors import (
    UnsupportedError,
)
from ringward.events.model.store import (
    Abilities,
    Compacted,
    Faults,
    Hint,
    WriteTransaction,
)
from ringward.events.model.stream import Stream
from ringward.events.stores.composed import ComposedStore
from ringward.events.stores.memory.groups import MemoryGroups
from ringward.events.stores.memory.log import MemoryLog
from ringward.events.stores.memory.shared import Shared
from ringward.events.stores.stamps import WallClock, boot_time

__all__ = ["MemoryStore"]


class MemoryStore(ComposedStore):
    """Events in memory: for tests, for streams that may be lost, and to measure everything but the disk.

    Parameters
    ----------
    stream : Stream, optional
    id_window_s : float, optional
        How long ids are remembered, at least; by default 7 days.
    clock, now : callable
        Seconds since 1970; monotonic seconds, by which a clock that jumps ahead is doubted.
    faults : callable
        Called with the name of each point of a write that a test may want to fail at.

    Examples
    --------
    >>> from ringward.events import MemoryStore, Stream
    >>> store = MemoryStore(Stream(partitions=16))
    >>> store.append("shop", [store.stream.entry("user:42", b"19.90", "order-1", None)])
    [Receipt(seq=1, partition=9, duplicate=False)]
    """

    abilities = Abilities(durable=False, presence="proof")
    session = 0
    hears_others = True
    failure: Exception | None = None
    committed_ms: int | None = None

    def __init__(
        self,
        stream: Stream | None = None,
        *,
        id_window_s: float | None = None,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = boot_time,
        faults: Faults = lambda _: None,
    ) -> None:
        self.stream = Stream() if stream is None else checked_type("stream", stream, Stream)
        self.process = uuid.uuid4().hex
        wall = WallClock(checked_callable("clock", clock), checked_callable("now", now))
        self._shared = shared = Shared(faults)
        self.news = shared.news
        self._log = MemoryLog(shared, self.stream.partitions, id_window_s, wall)
        self._groups = MemoryGroups(shared, self._log, self.stream.partitions)
        self._compose(self._log, self._groups)

    def write_transaction(self, group: str) -> WriteTransaction:
        """As `Store.write_transaction`: there is none."""
        raise UnsupportedError("a MemoryStore has no transactions: give the Processor a file's path")

    def hint(self, process: str) -> Hint:
        """As `Store.hint`: there is no other process."""
        return "here" if process == self.process else "gone"

    def prune(self, limit: int) -> int:
        """As `Store.prune`."""
        with self._shared.lock:
            return self._log.prune(limit, self._groups.resolved)

    def compact(self) -> Compacted:
        """As `Store.compact`: there is nothing to give back."""
        return Compacted(0, 0)

    def verify(self) -> list[str]:
        """As `Store.verify`: seqs without gaps, and cursors below the tail."""
        with self._shared.lock:
            return self._log.verify() + self._groups.verify()

    def query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None, timeout_s: float = 0.0
    ) -> list[tuple[Any, ...]]:
        """Not in memory."""
        raise UnsupportedError("a MemoryStore has no tables to query: give the Processor a file's path")

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Not in memory."""
        raise UnsupportedError("a MemoryStore has no file to back up: give the Processor a file's path")

    def close(self) -> None:
        """As `Store.close`."""
        self._shared.closed = True
