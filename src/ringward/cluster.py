"""Who belongs and who is up: `Node` and the immutable `Cluster`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ringward.checks import checked_float, checked_text
from ringward.errors import ArgumentTypeError, DuplicateNodeError, UnknownNodeError

__all__ = ["Cluster", "Node", "Nodes"]

DEFAULT_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """A named member.

    Parameters
    ----------
    name : str
        Non-empty; what keys are routed to.
    weight : float
        Its share of the keys, relative to the other nodes' weights. 0 drains the node: it owns nothing.
    zone : str, optional
        Rack, data centre, region: nodes of one zone fail together. Without one, a node is a zone of its own.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        For an empty name, or a weight that is negative, infinite or no number.

    Examples
    --------
    >>> import ringward as rw
    >>> rw.Node("node1", weight=2, zone="a")
    Node(name='node1', weight=2.0, zone='a')
    """

    name: str
    weight: float = DEFAULT_WEIGHT
    zone: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_text("name", self.name))
        object.__setattr__(self, "weight", checked_float("weight", self.weight, zero=True))
        if self.zone is not None:
            object.__setattr__(self, "zone", checked_text("zone", self.zone))


Nodes: TypeAlias = Iterable[str | Node] | Mapping[str, float]


def as_nodes(nodes: Nodes) -> list[Node]:
    """What a router is given, as a list of distinct nodes in that order."""
    if isinstance(nodes, Mapping):
        return [Node(name, weight) for name, weight in nodes.items()]
    if isinstance(nodes, str | bytes | Node) or not isinstance(nodes, Iterable):
        raise ArgumentTypeError("nodes", "an iterable of names or Nodes, or a mapping of name to weight", nodes)
    result = [node if isinstance(node, Node) else Node(node) for node in nodes]
    seen: set[str] = set()
    for node in result:
        if node.name in seen:
            raise DuplicateNodeError(node.name)
        seen.add(node.name)
    return result


def utf8(name: str) -> bytes:
    """The order of names: that of their UTF-8 bytes."""
    return name.encode()


@dataclass(frozen=True)
class Cluster:
    """Members, who of them is down, and the ids of all names there ever were. Immutable.

    Every method that changes something returns another cluster.

    Attributes
    ----------
    members : dict of str to Node
        In the order they were given or added; do not write to it.
    down : frozenset of str
        Members marked down.
    ids : dict of str to int
        name → node id, of past members too; do not write to it.
    names : ndarray of object, shape (ids,)
        node id → name, read-only.
    """

    members: Mapping[str, Node] = field(default_factory=dict)
    down: frozenset[str] = frozenset()
    ids: Mapping[str, int] = field(default_factory=dict)
    names: npt.NDArray[np.object_] = field(default_factory=lambda: _read_only(np.empty(0, object)))

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.members.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cluster):
            return NotImplemented
        return self.same_members(other) and self.down == other.down

    __hash__ = None  # type: ignore[assignment]

    def same_members(self, other: Cluster) -> bool:
        """Whether names, weights, zones and their order are equal, whoever is down."""
        return self.members is other.members or list(self) == list(other)

    def require(self, name: object) -> str:
        """`name`, if it is a member's; else an error."""
        if not isinstance(name, str):
            raise ArgumentTypeError("name", "a str", name)
        if name not in self.members:
            raise UnknownNodeError(name)
        return name

    def add(self, nodes: Iterable[Node]) -> Cluster:
        """With further members, which are live; `with_ids` gives them ids."""
        members = dict(self.members)
        for node in nodes:
            if node.name in members:
                raise DuplicateNodeError(node.name)
            members[node.name] = node
        return replace(self, members=members)

    def remove(self, names: Iterable[str]) -> Cluster:
        """Without some members; their ids stay taken."""
        members = dict(self.members)
        for name in names:
            if name not in members:
                self.require(name)
                raise UnknownNodeError(name)
            del members[name]
        return replace(self, members=members, down=self.down & members.keys())

    def reweigh(self, name: str, weight: float) -> Cluster:
        """With another weight for a member."""
        node = replace(self.members[self.require(name)], weight=weight)
        return replace(self, members={**self.members, name: node})

    def mark(self, names: Iterable[str], *, down: bool) -> Cluster:
        """With some members marked down, or up."""
        changed = frozenset(self.require(name) for name in names)
        return replace(self, down=self.down | changed if down else self.down - changed)

    def with_ids(self) -> Cluster:
        """With an id for every member that has none: the next ones, in UTF-8 order of the names."""
        fresh = sorted((name for name in self.members if name not in self.ids), key=utf8)
        if not fresh:
            return self
        ids = dict(self.ids)
        ids.update((name, len(self.ids) + i) for i, name in enumerate(fresh))
        names = np.empty(len(ids), object)
        names[: len(self.names)] = self.names
        names[len(self.names) :] = fresh
        return replace(self, ids=ids, names=_read_only(names))

    @cached_property
    def by_name(self) -> tuple[Node, ...]:
        """The members in UTF-8 order of their names."""
        return tuple(sorted(self, key=lambda node: utf8(node.name)))

    def can_own(self, node: Node) -> bool:
        """Whether a member is live and not drained."""
        return node.weight > 0 and node.name not in self.down

    @property
    def alive(self) -> npt.NDArray[np.uint8]:
        """Shape (ids,): 1 for the ids of nodes that can own keys."""
        mask = np.zeros(len(self.ids), np.uint8)
        mask[[self.ids[node.name] for node in self if self.can_own(node)]] = 1
        return mask

    @property
    def name_ranks(self) -> npt.NDArray[np.uint32]:
        """Shape (ids,): the place of each id's name in UTF-8 order."""
        order = sorted(range(len(self.names)), key=lambda i: utf8(self.names[i]))
        ranks = np.empty(len(order), np.uint32)
        ranks[order] = np.arange(len(order), dtype=np.uint32)
        return ranks

    @property
    def zone_ids(self) -> npt.NDArray[np.uint32]:
        """Shape (ids,): a number for each id's zone; nodes without one have a number of their own."""
        numbers: dict[tuple[str, bool], int] = {}
        zones = np.zeros(len(self.ids), np.uint32)
        for node in self.by_name:
            own = node.zone is None
            zone = (node.name if node.zone is None else node.zone, own)
            zones[self.ids[node.name]] = numbers.setdefault(zone, len(numbers))
        return zones


def _read_only(array: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    array.flags.writeable = False
    return array
