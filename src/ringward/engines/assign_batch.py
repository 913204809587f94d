"""`assign_batch`: the owners of a batch, for engines that spread batches over threads, processes and machines."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from ringward._core import COUNT_MOST, refuse_queries
from ringward.advice import advice_on
from ringward.checks import checked_int, checked_text, text_of
from ringward.engines.frames import Form, Ids, frames_of
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.keys import Family
from ringward.router import Router
from ringward.snapshot import Snapshot

__all__ = ["BatchAssigner", "assign_batch"]

Nulls: TypeAlias = Literal["raise", "skip"]

_SNAPSHOTS_KEPT = 4
_THREADS_MAX = 1024  # as `assign` takes them


@dataclass(frozen=True, slots=True, eq=False)
class BatchAssigner:
    """What `assign_batch` returns: call it with a batch. It can be pickled, and never changes.

    Attributes
    ----------
    snapshot : Snapshot
        What it routes by.
    key, owner, count, form, nulls, threads
        As given to `assign_batch`.
    """

    snapshot: Snapshot
    key: Hashable | None
    owner: str
    count: int | None
    form: Form
    nulls: Nulls
    threads: int | None

    __name__: ClassVar[str] = "assign_batch"  # engines label their tasks with it

    def __call__(self, batch: Any) -> Any:
        """The frame with the owners of its keys added, or the owners of a column."""
        refuse_queries(batch)
        frames = frames_of(batch)
        columns = frames.columns(batch)
        if columns is None:
            if self.key is not None:
                raise ArgumentError("key", f"None for a column on its own ({type(batch).__name__})", self.key)
            make = frames.owners if self.count is None else frames.candidates
            return make(self.ids(batch), self.snapshot._state.name_tuple, self.form, batch)
        if self.key is None or columns.count(self.key) != 1:
            if self.key is not None and self.key in getattr(getattr(batch, "index", None), "names", ()):
                raise ArgumentError("key", "the name of a column, not of the index: reset_index() makes one", self.key)
            raise ArgumentError("key", f"the name of one column of {', '.join(map(str, columns))}", self.key)
        return self.joined(batch, self.ids(batch[self.key]))

    def ids(self, column: Any) -> Ids:
        """The node ids of a column of keys: `assign` with this object's arguments."""
        return self.snapshot.assign(column, count=self.count, threads=self.threads, nulls=self.nulls)

    def joined(self, frame: Any, ids: Ids) -> Any:
        """The frame with the owners of these ids added."""
        frames = frames_of(frame)
        rows = [ids] if self.count is None else ids.T.copy()
        taken = frames.columns(frame) or ()
        added = {}
        for name, row in zip(self.added, rows, strict=True):
            if name in taken:
                raise ArgumentError("owner", f"such that the frame has no column {name!r} yet", self.owner)
            added[name] = frames.owners(row, self.snapshot._state.name_tuple, self.form, frame)
        return frames.joined(frame, added)

    @property
    def added(self) -> list[str]:
        """The names of the columns that a frame gets."""
        return [self.owner] if self.count is None else [f"{self.owner}_{i + 1}" for i in range(self.count)]

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self.key, self.owner, self.count, self.form, self.nulls, self.threads)
        return _restored, (self.snapshot.to_bytes(), self.snapshot.hash, *given)


def _restored(data: bytes, hash: Family, *given: Any) -> BatchAssigner:
    return BatchAssigner(_snapshot(data, hash), *given)


@lru_cache(maxsize=_SNAPSHOTS_KEPT)
def _snapshot(data: bytes, hash: Family) -> Snapshot:
    # Engines send the function with every task: a worker compiles its table once, not once a task.
    return Snapshot.from_bytes(data, hash)


def assign_batch(
    view: Router | Snapshot,
    key: Hashable | None = None,
    *,
    owner: str = "owner",
    count: int | None = None,
    form: Form = "category",
    nulls: Nulls = "raise",
    threads: int | None = 1,
) -> BatchAssigner:
    """Make a function from a batch to the owners of its keys, to pass to an engine.

    It holds a snapshot, so later changes of the router do not reach it. It can be pickled and
    sent to other processes and machines, which need ringward but no router. With a `SipHash`, its
    pickle holds the secret key.

    Parameters
    ----------
    view : Router or Snapshot
        The router whose present owners are used.
    key : hashable, optional
        The column of the keys, for batches that are frames: pyarrow `RecordBatch` and `Table`, pandas and
        Polars `DataFrame`, dict of arrays. None for batches that are columns: ndarray, pyarrow `Array` and
        `ChunkedArray`, pandas and Polars `Series`, and everything else that `assign` takes. Queries that have no rows
        yet (a Polars `LazyFrame`, a DuckDB relation, Dask and Spark frames) are not batches: pass the function to them.
    owner : str
        The name of the new column; the frame must not have it already.
    count : int, optional
        Candidates in failover order instead of owners alone: the columns `owner_1`, `owner_2` ... of a frame;
        for a column an ndarray of shape (n, count), fixed-size lists (pyarrow, Polars) or a frame with the
        columns 0, 1 ... (pandas). It may be above the number of nodes; places without a live node have no name.
    form : {"category", "string", "id"}
        Names as a dictionary column (pyarrow), a categorical (pandas, Polars) or an array of str objects (ndarray);
        names as plain strings; or node ids, uint32. Where there is no node, names are null or None,
        ids are `NO_NODE`.
    nulls : {"raise", "skip"}
        Whether nulls in a column are a `KeyTypeError`, or have no owner. None in a list or an
        array of objects is not a null but a key of a wrong type.
    threads : int, optional
        Threads per call; 1 fits engines that run several batches at once. None: as many as make it faster.

    Returns
    -------
    BatchAssigner
        Takes a batch and returns one of the same kind: a frame with columns added, in the order of its rows,
        or the owners of a column.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        From `assign_batch` for arguments out of bounds; from a call if a frame lacks the column `key` or
        already has the column `owner`.
    KeyTypeError, KeyValueError, NoNodeError
        From a call, as from `assign`.

    Examples
    --------
    >>> import numpy as np
    >>> import ringward as rw
    >>> ring = rw.HashRing(["node1", "node2", "node3"])
    >>> owners = rw.assign_batch(ring)
    >>> owners(np.array(["event1", "event2"]))
    array(['node2', 'node3'], dtype=object)
    >>> rw.assign_batch(ring, form="id")(np.arange(3))
    array([0, 1, 2], dtype=uint32)
    >>> rw.assign_batch(ring, "tail", count=2)({"tail": ["N14228"]})
    {'tail': ['N14228'], 'owner_1': array(['node3'], dtype=object), 'owner_2': array(['node2'], dtype=object)}
    """
    if not isinstance(view, Router | Snapshot):
        raise ArgumentTypeError("view", "a Router or a Snapshot", view)
    sized = hasattr(type(key), "__len__") and not isinstance(key, str | tuple)
    if sized or not isinstance(key, Hashable) or advice_on(key) is not None:  # a column, or an expression
        raise ArgumentTypeError(
            "key", "the name of a column: call what this returns with the frame", type(key).__name__
        )
    snapshot = view.snapshot() if isinstance(view, Router) else view
    return BatchAssigner(
        snapshot,
        key,
        checked_text("owner", owner),
        None if count is None else checked_int("count", count, 1, max(len(snapshot), COUNT_MOST)),
        _one_of("form", form, get_args(Form)),
        _one_of("nulls", nulls, get_args(Nulls)),
        None if threads is None else checked_int("threads", threads, 1, _THREADS_MAX),
    )


def _one_of(argument: str, value: object, allowed: tuple[str, ...]) -> Any:
    text = text_of(value)
    if text not in allowed:
        raise ArgumentError(argument, " or ".join(map(repr, allowed)), value)
    return text
