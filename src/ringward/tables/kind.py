"""What a kind of table says of itself beyond lookups, and the kinds there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ringward._core import State, Table
from ringward.cluster import Cluster, Node
from ringward.errors import SnapshotError

__all__ = ["Arrays", "TableKind", "Way", "kind_named", "kind_of", "register"]

Arrays = Mapping[str, npt.NDArray[Any]]
T = TypeVar("T", bound=Table)


class Way(NamedTuple):
    """How a table looks for the owner of a hash.

    Attributes
    ----------
    place : str
        Where the hash falls.
    nodes : list of (str, str)
        The distinct nodes in the order in which they are looked at: name, and why it is looked at there.
    """

    place: str
    nodes: list[tuple[str, str]]


class TableKind(ABC, Generic[T]):
    """One kind of table: what snapshots, explanations, reports and views ask of it.

    Attributes
    ----------
    name : str
        The word for it in the bytes of snapshots.
    table : type
        The class of its tables.
    one_owner : bool
        Whether one node is meant to own every key.
    """

    name: str
    table: type[T]
    one_owner: bool = False

    @abstractmethod
    def arrays(self, table: T) -> Arrays:
        """The arrays that a table can be compiled from again."""

    @abstractmethod
    def restored(self, arrays: Arrays, cluster: Cluster) -> T:
        """The table of such arrays. They may come from anywhere, and compiled code trusts what it gets.

        Raises
        ------
        SnapshotError, LookupError
            When they are none of a table of this cluster.
        """

    @abstractmethod
    def way(self, table: T, state: State, value: int) -> Way:
        """How the table of a state looks for the owner of a hash."""

    def members(self, cluster: Cluster) -> tuple[Node, ...]:
        """The members in the order in which they are shown."""
        return cluster.by_name

    def for_heirs(self, table: T) -> Table:
        """The table whose second candidates are the heirs of the first; zones, say, order replicas alone."""
        return table

    def entries(self, table: T) -> npt.NDArray[np.uint32] | None:
        """Node ids of all copies of data, one for each; None for a kind without replicas of its own."""
        return None


_KINDS: dict[str, TableKind[Any]] = {}


def register(kind: TableKind[Any]) -> None:
    """Make a kind of table known, by its name and its class."""
    _KINDS[kind.name] = kind


def kind_of(table: Table) -> TableKind[Any]:
    """The kind of a table: that of its class, or of the nearest one above."""
    kinds = {kind.table: kind for kind in _KINDS.values()}
    for cls in type(table).__mro__:
        if cls in kinds:
            return kinds[cls]
    known = _listed([f"a {cls.__name__}" for cls in kinds])
    raise SnapshotError(f"the table must be {known} (was {type(table).__name__})")


def kind_named(name: str) -> TableKind[Any]:
    """The kind of a name, from the bytes of a snapshot."""
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise SnapshotError(f"the table must be of kind {_listed([*_KINDS])} (was {name!r})")
    return kind


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
