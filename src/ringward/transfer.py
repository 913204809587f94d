"""`Transfer`: what one change moved, as arcs of the hash space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward import markup
from ringward._core import (
    ARC,
    NO_NODE,
    ArcIndex,
    MoveIndex,
    PartitionMap,
    PointTable,
    Reader,
    State,
    checked_hashes,
    difference,
    owner_moves,
    partition_moves,
    plain_array,
    point_moves,
    table_index,
)
from ringward.cluster import Cluster
from ringward.engines.frames import Library, NameArray, names_of
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.markup import ROWS_MOST, escaped
from ringward.texts import brief, percent
from ringward.view import View

__all__ = ["ROW_MOVE", "Transfer"]

ROW_MOVE = np.dtype([("partition", np.uint32), ("rank", np.uint32), ("source", np.uint32), ("target", np.uint32)])
_LARGEST = {np.dtype(width): int(np.iinfo(width).max) for width in (np.uint16, np.uint32, np.int64)}
NOBODY = "nobody"
_SHOWN_ROUTES = 3


class Transfer:
    """What moved between two states of a router.

    The arcs are computed on first use, so a change itself stays cheap.

    Attributes
    ----------
    epoch_before, epoch : int
        The epochs of the two states; equal when nothing changed.
    names : ndarray of object, shape (ids,)
        What the ids in `arcs`, `rows` and `apply` stand for.

    Examples
    --------
    >>> import ringward as rw
    >>> ring = rw.HashRing(["node1", "node2", "node3"])
    >>> transfer = ring.mark_down("node2")
    >>> print(transfer)
    epoch 0 → 1: 35.02 % of the keys move: node2 → node3 20.92 %, node2 → node1 14.10 %
    >>> hashes = rw.hash_keys(["event1", "event2", "event3", "event4"], ring.hash)
    >>> transfer.moved(hashes)
    array([0])
    """

    def __init__(
        self,
        before: State,
        after: State,
        touched: Callable[[Cluster, Cluster], npt.NDArray[np.uint64] | None] | None = None,
    ) -> None:
        self.epoch_before: int = before.epoch
        self.epoch: int = after.epoch
        self._before: State = before
        self._after: State = after
        # Of one router: whoever owned keys before has its id still.
        self.names: npt.NDArray[np.object_] = after.names.view(NameArray)
        self._touched = touched
        self._new_ids: npt.NDArray[np.uint32] | None = None

    @classmethod
    def between(cls, before: View, after: View) -> Transfer:
        """Compare any two routers or snapshots, nodes by name.

        Parameters
        ----------
        before, after : Router or Snapshot
            With equal hashes, since arcs are ranges of hashes.

        Returns
        -------
        Transfer
            Its `names` are those of `before`, followed by those that only `after` has.

        Raises
        ------
        ArgumentError
            When the two hash keys differently.
        """
        for argument, view in (("before", before), ("after", after)):
            if not isinstance(view, Reader):
                raise ArgumentTypeError(argument, "a router or a snapshot", view)
        if before.hash != after.hash:
            key = ", with the same key" if repr(before.hash) == repr(after.hash) else ""  # which they do not show
            raise ArgumentError("after", f"hashed by {before.hash!r}{key}, as before is", after.hash)
        states = before._state, after._state  # each read once: a router may change meanwhile
        transfer = cls(*states)
        names, transfer._new_ids = _joined_names(*states)
        transfer.names = names.view(NameArray)
        return transfer

    @cached_property
    def arcs(self) -> npt.NDArray[np.void]:
        """What moved: structured uint64 (start, end, source, target), shape (k,).

        Both ends are inclusive; sorted by start, never wrapping. `source` and `target` are
        node ids; NO_NODE means no node. Read-only, because `apply` and all figures use them.
        """
        return _frozen(self._arcs())

    def _arcs(self) -> npt.NDArray[np.void]:
        if self._before.table is self._after.table:
            return np.empty(0, ARC)
        moves = self._moves() if self._new_ids is None else None
        if moves is not None:
            return moves
        ends_before, owners_before = self._before.table.arcs()
        ends_after, owners_after = self._after.table.arcs()
        return difference(ends_before, owners_before, ends_after, self._translated(owners_after))

    def _moves(self) -> npt.NDArray[np.void] | None:
        """The arcs, found where something changed; None where both divisions have to be compared."""
        before, after = self._before.table, self._after.table
        if isinstance(before, PointTable) and isinstance(after, PointTable):
            points = None
            if self._touched is not None:
                points = self._touched(self._before.cluster, self._after.cluster)
            moves = None if points is None else point_moves(before, after, points)
            return owner_moves(before, after) if moves is None else moves
        if not (isinstance(before, PartitionMap) and isinstance(after, PartitionMap)):
            return None
        return partition_moves(before, after)

    def _translated(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        if self._new_ids is None:
            return ids
        table = np.append(self._new_ids, np.uint32(NO_NODE))
        result: npt.NDArray[np.uint32] = table[np.minimum(ids, len(self._new_ids))]
        return result

    @cached_property
    def rows(self) -> npt.NDArray[np.void] | None:
        """All entries of all replicas that changed, between two partition tables of one shape.

        Structured uint32 (partition, rank, source, target), sorted by (partition, rank);
        NO_NODE if a row was or became shorter. None for other placements.
        """
        entries = self._entries()
        if entries is None:
            return None
        before, after = entries
        partition, rank = np.nonzero(before != after)
        moves = np.empty(len(partition), ROW_MOVE)
        moves["partition"], moves["rank"] = partition, rank
        moves["source"], moves["target"] = before[partition, rank], after[partition, rank]
        return _frozen(moves)

    def _entries(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]] | None:
        """Both tables' rows, of one width and in one set of ids; None where they cannot be compared."""
        tables = [state.own.table for state in (self._before, self._after)]
        if not all(isinstance(table, PartitionMap) for table in tables) or len({len(t.rows) for t in tables}) > 1:
            return None
        width = max(table.rows.shape[1] for table in tables)
        before, after = (_padded(table.rows, width) for table in tables)
        return before, self._translated(after)

    @cached_property
    def copies(self) -> int | None:
        """The number of entries in `rows` whose node was not in the row before, so that data must be copied there."""
        entries = self._entries()
        if entries is None:
            return None
        before, after = entries
        stayed = [(before == after[:, rank : rank + 1]).any(axis=1) for rank in range(after.shape[1])]
        return int(sum(np.count_nonzero(~there & (after[:, i] != NO_NODE)) for i, there in enumerate(stayed)))

    @cached_property
    def excess(self) -> int | None:
        """How many more copies `rows` needs than the balance requires, which is the sum of max(0, new - old) over nodes.

        0 for tables without replicas. Otherwise distinct nodes and zones in a row may need more.
        """
        entries = self._entries()
        if entries is None or self.copies is None:
            return None
        ids = len(self.names)
        held = [np.bincount(np.minimum(rows.ravel(), ids), minlength=ids + 1)[:ids] for rows in entries]
        return self.copies - int(np.maximum(0, held[1] - held[0]).sum())

    def __bool__(self) -> bool:
        """Whether anything moved."""
        rows = self.rows
        return len(self.arcs) > 0 or (rows is not None and len(rows) > 0)

    @property
    def share(self) -> float:
        """The share of the hash space that moved, 0 to 1."""
        return _share(self.arcs)

    @property
    def departures(self) -> dict[str, float]:
        """The share of the hash space that left each node. Space that nobody owned is not counted."""
        return self._by("source")

    @property
    def arrivals(self) -> dict[str, float]:
        """The share of the hash space that came to each node."""
        return self._by("target")

    def _by(self, end: str) -> dict[str, float]:
        ids, inverse = np.unique(self.arcs[end], return_inverse=True)
        shares = np.bincount(inverse, _lengths(self.arcs), minlength=len(ids))
        return {str(self.names[node]): float(share) for node, share in zip(ids, shares, strict=True) if node != NO_NODE}

    def owner_names(self, ids: npt.ArrayLike, library: Library = "numpy") -> Any:
        """The names for ids of this transfer, with None for NO_NODE; as `Router.owner_names`."""
        return names_of(ids, tuple(self.names.tolist()), library)

    def _name(self, node: int) -> str:
        return NOBODY if node == NO_NODE else str(self.names[node])

    @cached_property
    def _index(self) -> MoveIndex:
        index = None
        if "_before" in vars(self) and self._new_ids is None:  # not from a pickle, which holds arcs alone
            index = table_index(self._before.table, self._after.table)
        return ArcIndex(self.arcs) if index is None else index

    def moved(self, hashes: npt.NDArray[np.uint64], *, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Which keys moved.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
            As `hash_keys(keys, router.hash)` returns them.
        threads : int, optional
            How many threads to use at most, as for `Router.assign`; by default one below
            262,144 keys.

        Returns
        -------
        ndarray of int64, shape (k,)
            Their indices, ascending.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            When `hashes` is not a one-dimensional uint64 array, or `threads` does not fit.
        """
        return self._index.moved(checked_hashes(hashes), threads)

    def apply(
        self, ids: npt.NDArray[Any], hashes: npt.NDArray[np.uint64], *, threads: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Bring a column of owners up to date, in place.

        Parameters
        ----------
        ids : ndarray of uint16, uint32 or int64, shape (n,)
            What `assign` returned at `epoch_before`; writeable.
        hashes : ndarray of uint64, shape (n,)
            The hashes of the same keys.
        threads : int, optional
            How many threads to use at most, as for `Router.assign`; by default one below
            262,144 keys, and below 4,194,304 if at most four nodes lost keys: then only
            their ids are searched.

        Returns
        -------
        ndarray of int64, shape (k,)
            The indices that were written, ascending.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            When the arrays or `threads` do not fit; nothing is written then.
        """
        hashes = checked_hashes(hashes)
        given, ids = ids, plain_array(ids)  # type: ignore[assignment]
        if ids is None or ids.dtype not in _LARGEST:
            shown = type(given) if ids is None else ids.dtype
            raise ArgumentTypeError("ids", "a NumPy array of uint16, uint32 or int64", shown)
        if ids.shape != hashes.shape:
            raise ArgumentError("ids", f"of shape {hashes.shape}, as hashes is", ids.shape)
        if not ids.flags.writeable:
            raise ArgumentError("ids", "writeable", "read-only")
        if np.may_share_memory(ids, hashes):
            raise ArgumentError("ids", "apart from hashes in memory", "overlapping")
        largest = self._index.largest  # of those that keys leave or go to; they all have to fit
        if largest >= _LARGEST[ids.dtype]:
            raise ArgumentError("ids", f"wide enough for node id {largest}", ids.dtype)
        plain = ids if ids.flags.carray else np.require(ids, None, ["C", "A"])
        moved = self._index.apply(plain, hashes, threads)
        if plain is not ids:  # strided or unaligned: the moved entries alone are written back
            ids[moved] = plain[moved]
        return moved

    def __repr__(self) -> str:
        return f"<Transfer {self}>"

    def _routes(self, most: int) -> tuple[int, list[tuple[str, str, float]]]:
        """How many routes there are, and of the largest the source, the target and the share of the hash space."""
        routes = self.arcs["source"] * np.uint64(1 << 32) + self.arcs["target"]
        pairs, inverse = np.unique(routes, return_inverse=True)
        shares = np.bincount(inverse, _lengths(self.arcs), minlength=len(pairs))
        largest = np.argsort(-shares, kind="stable")[:most]
        ends = [(int(pairs[i]) >> 32, int(pairs[i]) & NO_NODE, float(shares[i])) for i in largest]
        return len(pairs), [(self._name(source), self._name(target), share) for source, target, share in ends]

    def _copies_told(self) -> str:
        rows = self.rows
        if rows is None or not len(rows):
            return ""
        return f"; {len(rows)} entries of rows change, {self.copies} copies, {self.excess} above the least"

    def __str__(self) -> str:
        change = f"epoch {self.epoch_before} → {self.epoch}"
        count, routes = self._routes(_SHOWN_ROUTES)
        if not count:
            return f"{change}: no key moves{self._copies_told()}"
        told = [f"{brief(source)} → {brief(target)} {percent(share)}" for source, target, share in routes]
        if count > len(routes):
            told.append(f"{count - len(routes)} more routes")
        return f"{change}: {percent(self.share)} of the keys move: {', '.join(told)}{self._copies_told()}"

    def _repr_html_(self) -> str:
        """The routes as an HTML table with bars, for notebooks: the 50 largest; all names escaped."""
        count, routes = self._routes(ROWS_MOST)
        moves = f"{percent(self.share)} of the keys move" if count else "no key moves"
        heading = f"epoch {self.epoch_before} → {self.epoch}: {moves}{self._copies_told()}"
        if not count:
            return markup.document(heading)
        full = routes[0][2]
        rows = [
            [escaped(source), "→", escaped(target), percent(share), markup.bar(share, full)]
            for source, target, share in routes
        ]
        less = f"<div>the {len(routes)} largest of {count:,} routes</div>" if count > len(routes) else ""
        return markup.document(heading, markup.table(["from", "", "to", "share", ""], rows, ("share",)), less)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle holds what moved, not the two routers it moved between.
        kept = {"epoch_before": self.epoch_before, "epoch": self.epoch, "names": self.names}
        return {**kept, "arcs": self.arcs, "rows": self.rows, "copies": self.copies, "excess": self.excess}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for array in (self.names, self.arcs, self.rows):  # a pickle does not keep that they were read-only
            if array is not None:
                _frozen(array)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array


def _lengths(arcs: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """The share of the hash space in each arc."""
    result: npt.NDArray[np.float64] = (arcs["end"] - arcs["start"]).astype(np.float64) + 1.0
    return result / 2.0**64


def _share(arcs: npt.NDArray[np.void]) -> float:
    # Summed in integers: the parts above and below 2^32 cannot overflow, and no rounding adds up.
    lengths = arcs["end"] - arcs["start"]
    high = int((lengths >> np.uint64(32)).sum())
    low = int((lengths & np.uint64(0xFFFFFFFF)).sum())
    return ((high << 32) + low + len(arcs)) / 2**64


def _padded(rows: npt.NDArray[np.uint32], width: int) -> npt.NDArray[np.uint32]:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=NO_NODE)


def _joined_names(before: State, after: State) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.uint32] | None]:
    """One list of names for both states, and where in it the ids of `after` are (None: where they were)."""
    old = len(before.names)
    if len(after.names) >= old and bool((after.names[:old] == before.names).all()):
        return after.names, None
    ids = {name: i for i, name in enumerate(before.names)}
    for name in after.names:
        ids.setdefault(name, len(ids))
    names = np.array(list(ids), dtype=object)
    names.flags.writeable = False
    return names, np.array([ids[name] for name in after.names], np.uint32)
