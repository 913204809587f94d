"""`Tail`: tells a group what was appended, by this process and by others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ringward.events.core.group import Group
from ringward.events.model.event import PAYLOAD, Row, size_of
from ringward.events.model.store import Store
from ringward.mutex import Mutex

__all__ = ["Tail"]

_HEADS = 100_000
_PAYLOAD_MOST = 4096  # bytes of one that is kept until the group is told; a larger one is read from the store
_MANY_MOST, _MANY_BYTES_MOST = 8, 1 << 20  # rows of many at once are kept while fewer calls wait, and of so many bytes
_SINGLY_MOST = 256  # calls that a group is told of one by one
_APPENDED_MOST = 4096  # what is appended here beyond these, until the group is told, is found in the store


class Tail:
    """How far a group knows the log.

    Parameters
    ----------
    store : Store
    group : Group
    lock : Mutex
        Held while the group is told, never while the store works.
    """

    def __init__(self, store: Store, group: Group, lock: Mutex) -> None:
        self._store = store
        self._group = group
        self._lock = lock
        self._known = store.totals().tail
        self._appended: deque[tuple[Sequence[tuple[int, int]], Sequence[Row] | None]] = deque(maxlen=_APPENDED_MOST)

    @property
    def news(self) -> bool:
        """Whether something was appended here that the group was not told of."""
        return bool(self._appended)

    def appended(self, heads: Sequence[tuple[int, int]], row: Row | None = None, *, rows: Sequence[Row] = ()) -> None:
        """(seq, partition) of events that were appended; and their rows, or that of a single one, if they are at hand.

        Whoever publishes may be interrupted anywhere, so it changes nothing of the group: it leaves word.
        """
        if row is not None:
            rows = (row,)
        if len(rows) > 1:
            kept = len(self._appended) < _MANY_MOST and size_of(rows) <= _MANY_BYTES_MOST
        else:
            kept = bool(rows) and len(rows[0][PAYLOAD]) <= _PAYLOAD_MOST
        self._appended.append((heads, rows if kept else None))

    def hear(self) -> None:
        """Tell the group what was appended here; with the lock. What is not heard the next tick finds."""
        if (calls := len(self._appended)) > _SINGLY_MOST:  # nobody has listened: what it is about is to be read anyway
            together = sorted({head for _ in range(calls) for head in self._appended.popleft()[0]})
            self._appended.appendleft((together, None))
        while self._appended:
            heads, rows = self._appended.popleft()
            (first, _), (last, _) = heads[0], heads[-1]
            following = first == self._known + 1 and last - first + 1 == len(heads) == len(set(heads))  # ids may repeat
            if rows and following:  # all before are known, or they might not be the next of their partitions
                self._group.fetcher.accepted(rows)
            else:
                self._group.fetcher.appended(heads)
            if following:
                self._known = last

    def catch_up(self) -> None:
        """Learn what was appended, here and by others."""
        with self._lock:
            self.hear()
        while heads := self._store.heads(self._known, _HEADS):
            with self._lock:
                self._group.fetcher.appended(heads)
                last, _ = heads[-1]
                self._known = max(self._known, last)
