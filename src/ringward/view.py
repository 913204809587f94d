"""What routers and snapshots share: reading one state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ringward._core import ListTable, Reader, State, Table, adopt_methods
from ringward.checks import text_of
from ringward.cluster import Cluster, Node
from ringward.engines.frames import Library, NameArray, names_of
from ringward.errors import ArgumentTypeError, UnknownNodeError
from ringward.explanation import Explanation
from ringward.keys import Family, Key
from ringward.report import Report
from ringward.tables import kind_of

__all__ = ["Placed", "View", "effective_table"]


class Placed(NamedTuple):
    """What a placement makes of a cluster.

    Attributes
    ----------
    table : Table
        Hash → node id, for the members that can own keys.
    memory : dict or None
        What the placement has to remember beside it; JSON types only, since snapshots hold it.
    """

    table: Table
    memory: dict[str, Any] | None = None


def effective_table(placed: Placed, cluster: Cluster, on_empty: str | None) -> Table:
    """The placement's table, or the node that stands in while nobody can own a key."""
    if placed.table.live or on_empty is None:
        return placed.table
    return ListTable(np.array([cluster.ids[on_empty]], np.uint32))


class View(Reader):
    """What routers and snapshots share: everything that reads one state."""

    __slots__ = ()

    def _moment(self) -> tuple[State, str]:
        """The present state, and the strategy that made it."""
        raise NotImplementedError

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adopt_methods(cls)

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """node id → name, also for past members that are remembered; read-only. NO_NODE selects None.

        For a column of ids: `owner_names`.
        """
        return self._state.names.view(NameArray)

    def owner_names(self, ids: npt.ArrayLike, library: Library = "numpy") -> Any:
        """The names for node ids, with None for NO_NODE.

        Parameters
        ----------
        ids : array of integers, shape (n,) or (n, count)
            As `assign` returned them, now or at an earlier epoch, and as `Transfer.apply` changed them.
        library : {"numpy", "pandas", "polars", "pyarrow"}
            The library of the result. The last three have categories, which cost a fraction of an array of
            objects: `pandas.Categorical`, `polars.Series` of `Categorical`, `pyarrow.DictionaryArray`.
            For two dimensions: a `DataFrame` with the columns 0, 1 ..., a `Series` of arrays, a
            `FixedSizeListArray` of strings.

        Returns
        -------
        ndarray of object, shape of `ids`, or an object of the library
            None or null for NO_NODE.

        Raises
        ------
        ArgumentError
            When the router does not have an id, or `library` is not one of these.
        ArgumentTypeError
            When `ids` are not integers.

        See Also
        --------
        assign_batch : From keys to names in one call, for columns and frames of all these libraries.

        Examples
        --------
        >>> import pyarrow as pa, ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> ids = ring.assign(pa.array(["event1", None, "event2"]), nulls="skip")
        >>> ring.owner_names(ids)
        array(['node2', None, 'node3'], dtype=object)
        >>> ring.owner_names(ids, "pyarrow").type
        DictionaryType(dictionary<values=string, indices=int32, ordered=0>)
        >>> _ = ring.remove("node1")
        >>> ring.owner_names(ring.assign(["event1"], count=3))
        array([['node2', 'node3', None]], dtype=object)
        """
        return names_of(ids, self._state.name_tuple, library)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The members, by name; in a `PrimaryBackup` by priority."""
        state = self._state
        return kind_of(state.own.table).members(state.cluster)

    @property
    def down(self) -> frozenset[str]:
        """The members that are marked down."""
        down: frozenset[str] = self._state.cluster.down
        return down

    @property
    def epoch(self) -> int:
        """The number of this state: how many changes came before it."""
        return self._state.epoch

    @property
    def hash(self) -> Family:
        """How keys are hashed."""
        return self._state.hasher  # type: ignore[return-value]

    def id_of(self, name: str) -> int:
        """The node id of a present member, or of a past one that is still remembered.

        Raises
        ------
        UnknownNodeError
            When there is no such name.
        ArgumentTypeError
            When it is not a str.
        """
        text = text_of(name)
        if text is None:
            raise ArgumentTypeError("name", "a str", name)
        try:
            return int(self._state.cluster.ids[text])
        except KeyError:
            raise UnknownNodeError(text) from None

    def __len__(self) -> int:
        return len(self._state.cluster)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter([node.name for node in self.nodes])

    __reversed__ = None  # else Python would ask for `self[n - 1]`, ..., `self[0]`, the owners of integers

    def __contains__(self, name: object) -> bool:
        return text_of(name) in self._state.cluster.members

    def report(self) -> Report:
        """How well the keys are spread now, and where they would go after a failure; exact, not sampled."""
        return Report.of(*self._moment())

    def explain(self, key: Key, count: int = 3) -> Explanation:
        """Why a key is where it is, and which node is next.

        Parameters
        ----------
        key : str, bytes, bytearray, memoryview, int, NumPy integer or UUID
        count : int
            The largest number of candidates to explain, at least 1.
        """
        return Explanation.of(self._state, key, count)

    def _repr_html_(self) -> str:
        return self.report().to_html()
