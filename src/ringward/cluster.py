"""Who belongs and who is up: `Node` and the immutable `Cluster`."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ringward._core import numbered_zones
from ringward.checks import checked_float, checked_text, text_of
from ringward.errors import ArgumentError, ArgumentTypeError, DuplicateNodeError, UnknownNodeError
from ringward.texts import shown

__all__ = ["Cluster", "Node", "Nodes"]

DEFAULT_WEIGHT = 1.0
ZONELESS = 0xFFFFFFFF  # where zones have numbers
SORTED_AT_ONCE = 1 << 14  # names: a few milliseconds
PAST_MIN = 256  # names of past members that keep their ids at least; more where there are more members


@dataclass(frozen=True, slots=True)
class Node:
    """A named member.

    Parameters
    ----------
    name : str
        Non-empty. An object of a subclass of str, such as a member of a `(str, Enum)` or a
        `numpy.str_`, stands for its text. Bytes are refused.
    weight : float
        Its share of the keys, relative to the other nodes' weights. 0 drains the node: it owns nothing.
    zone : str, optional
        A rack, data centre or region whose nodes fail together. A node without one is its own zone.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        For an empty name, or a weight that is negative, infinite or not a number.

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
        name, weight = checked_text("name", self.name), checked_float("weight", self.weight, zero=True)
        if name is not self.name or weight is not self.weight:
            object.__setattr__(self, "name", name)
            object.__setattr__(self, "weight", weight)
        if self.zone is not None:
            object.__setattr__(self, "zone", checked_text("zone", self.zone))


Nodes: TypeAlias = Iterable[str | Node] | Mapping[str, float]


def as_nodes(nodes: Nodes) -> list[Node]:
    """What a router is given, as a list of distinct nodes in that order."""
    if isinstance(nodes, Mapping):
        for name, weight in nodes.items():
            if isinstance(weight, Mapping | Sequence | Node):
                raise ArgumentTypeError(f"weight of {shown(name)}", "a number: give a list of Nodes for more", weight)
        return [Node(name, weight) for name, weight in nodes.items()]
    if isinstance(nodes, str | bytes | Node) or not isinstance(nodes, Iterable) or hasattr(type(nodes), "columns"):
        raise ArgumentTypeError("nodes", "an iterable of names or Nodes, or a mapping of name to weight", nodes)
    result = [node if isinstance(node, Node) else _named(node) for node in nodes]
    seen: set[str] = set()
    for node in result:
        if node.name in seen:
            raise DuplicateNodeError(node.name)
        seen.add(node.name)
    return result


def _named(given: Any) -> Node:
    if text_of(given) is None:
        if isinstance(given, tuple | Mapping | int | float):
            raise ArgumentTypeError("name", "a str: Node(name, weight, zone) has more", given)
        if isinstance(given, list | set | frozenset):
            raise ArgumentTypeError("name", "a str: several are given as *nodes", given)
    return Node(given)


def utf8(name: str) -> bytes:
    """The order of names: that of their UTF-8 bytes."""
    return name.encode()


def in_utf8_order(names: Iterable[str]) -> list[str]:
    """Distinct names in order, which is that of str, too.

    Very many are sorted in pieces, so that no call keeps other threads waiting.
    """
    names = list(names)
    if len(names) <= SORTED_AT_ONCE:
        return sorted(names)
    ends = sorted(names[:: SORTED_AT_ONCE >> 6])[15::16]  # of pieces of about a quarter of that
    pieces: list[list[str]] = [[] for _ in range(len(ends) + 1)]
    for name in names:
        pieces[bisect_right(ends, name)].append(name)
    result = []
    for piece in pieces:
        piece.sort()
        result += piece
    return result


@dataclass(frozen=True, eq=False)
class Cluster:
    """Members, who of them is down, and the ids of their names and of past ones. Immutable.

    Every method that changes something returns another cluster, which `sealed` completes:
    only then do new members have ids, and the arrays fit the members.

    Attributes
    ----------
    members : dict of str to Node
        In the order they were given or added; do not write to it.
    down : frozenset of str
        Members marked down.
    ids : dict of str to int
        name → node id, of past members too; do not write to it.
    past : dict of str to None
        The names of past members, in the order in which they left. As many are kept as there are
        members, and at least PAST_MIN; beyond that a new name takes the id of the one that left
        first, which is forgotten. So what a state holds follows its members, not its history.
    names : ndarray of object, shape (ids,)
        node id → name, read-only.
    name_ranks : ndarray of uint32, shape (ids,)
        node id → the place of its name in UTF-8 order.
    weights : ndarray of float64, shape (ids,)
        node id → weight; 0 for past members.
    gone, fresh : tuple of str
        The names that left since the cluster before, and those that came. A node whose weight
        changed is in both.
    touched : tuple of str
        Until it is sealed, the names that were added, removed or reweighed.
    forgot : bool
        Whether names were forgotten since the cluster before, and their ids taken.
    """

    members: dict[str, Node] = field(default_factory=dict)
    down: frozenset[str] = frozenset()
    ids: dict[str, int] = field(default_factory=dict)
    past: dict[str, None] = field(default_factory=dict)
    names: npt.NDArray[np.object_] = field(default_factory=lambda: _frozen(np.empty(0, object)))
    name_ranks: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    weights: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    gone: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    forgot: bool = False

    def _with(self, **changes: Any) -> Cluster:
        """A copy with other values; `dataclasses.replace` takes five times as long."""
        other = object.__new__(Cluster)
        other.__dict__.update(self.__dict__)
        other.__dict__.update(changes)
        if "members" in changes:
            other.__dict__.pop("by_name", None)
        if "past" in changes:
            other.__dict__.pop("member_ids", None)
        return other

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.members.values())

    def require(self, name: object) -> str:
        """`name` as a plain str, if it is a member's; else an error."""
        text = text_of(name)
        if text is None:
            hint = ": several are given as *names" if isinstance(name, list | tuple | set | frozenset) else ""
            hint = ": pass the Node's name" if isinstance(name, Node) else hint
            raise ArgumentTypeError("name", f"a str{hint}", name)
        if text not in self.members:
            raise UnknownNodeError(text)
        return text

    def add(self, nodes: Iterable[Node]) -> Cluster:
        """With further members, which are live."""
        members = self.members.copy()  # keeps its room: `dict` would look up each key again after a removal
        touched = [*self.touched]
        for node in nodes:
            if node.name in members:
                raise DuplicateNodeError(node.name)
            members[node.name] = node
            touched.append(node.name)
        return self._with(members=members, touched=tuple(touched))

    def remove(self, names: Sequence[str]) -> Cluster:
        """Without some members; they keep their ids for long, see `past`."""
        members = self.members.copy()  # keeps its room: `dict` would look up each key again after a removal
        names = [self.require(name) for name in names]
        for name in names:
            if name not in members:
                raise UnknownNodeError(name)  # named twice
            del members[name]
        return self._with(members=members, down=self.down.difference(names), touched=(*self.touched, *names))

    def reweigh(self, name: str, weight: float) -> Cluster:
        """With another weight for a member."""
        name = self.require(name)
        node = replace(self.members[name], weight=weight)
        return self._with(members={**self.members, name: node}, touched=(*self.touched, name))

    def mark(self, names: Iterable[str], *, down: bool) -> Cluster:
        """With some members marked down, or up."""
        changed = frozenset(self.require(name) for name in names)
        return self._with(down=self.down | changed if down else self.down - changed)

    def sealed(self, before: Cluster, *, ordered: bool) -> Cluster:
        """Complete, as the successor of `before`; `before` itself when nothing differs.

        New names get the next ids, in UTF-8 order. `ordered`: the members' order counts.
        """
        old, new = before.members, self.members
        touched = {name: None for name in self.touched}  # noqa: C420 - `fromkeys` of very many keeps other threads waiting
        gone = tuple([name for name in touched if name in old and new.get(name) != old[name]])
        fresh = tuple([name for name in touched if name in new and old.get(name) != new[name]])
        same = not gone and not fresh and not (touched and ordered and [*old] != [*new])
        if same and self.down == before.down:
            return before
        if same:
            return before._with(down=self.down, gone=(), fresh=(), forgot=False)
        past = self.past.copy()
        for name in fresh:
            past.pop(name, None)
        changes = self._with_ids_for(fresh, past)
        past.update(dict.fromkeys(sorted(name for name in gone if name not in new)))
        ids = changes.get("ids", self.ids)
        weights = np.zeros(len(ids))
        weights[: len(before.weights)] = before.weights
        for name in gone:
            weights[ids[name]] = 0.0
        for name in fresh:
            weights[ids[name]] = new[name].weight
        if fresh and not math.isfinite(float(weights.max()) * len(weights)):
            total = sum(weights.tolist())
            if not math.isfinite(total):
                raise ArgumentError("sum of all weights", "finite", total)
        changes.update(self._zone_marks_after(fresh, ids))
        return self._with(gone=gone, fresh=fresh, touched=(), weights=weights, past=past, **changes)

    def _with_ids_for(self, names: Iterable[str], past: dict[str, None]) -> dict[str, Any]:
        """What changes when those of the names that have no id yet get one; who is forgotten for it leaves `past`."""
        fresh = in_utf8_order(name for name in names if name not in self.ids)
        if not fresh:
            return {"forgot": False}
        # Who leaves in this change is not in `past` yet: a Transfer names its nodes by the ids that both states have.
        spare = max(0, len(past) - max(PAST_MIN, len(self.members)))
        forgotten = list(islice(past, min(spare, len(fresh))))
        ids, first = self.ids.copy(), len(self.ids)
        free = [ids.pop(name) for name in forgotten]
        for name in forgotten:
            del past[name]
        mine = [*free, *range(first, first + len(fresh) - len(free))]
        for name, node in zip(fresh, mine, strict=True):  # `update` would keep other threads waiting
            ids[name] = node
        known = np.empty(len(ids), object)
        known[:first] = self.names
        known[mine] = fresh
        order, ranks = fresh, np.arange(len(ids), dtype=np.uint32)
        if first:  # two sorted lists are merged by rank: only the new names are compared as text
            order, old = self.in_order.copy(), self.name_ranks
            if free:
                left = np.sort(old[free])
                old = old - np.searchsorted(left, old).astype(np.uint32)
                for place in reversed(left.tolist()):
                    del order[place]
            places = np.array([bisect_left(order, name) for name in fresh], np.uint32)
            ranks[:first] = old + np.searchsorted(places, old, side="right")
            ranks[mine] = places + np.arange(len(fresh), dtype=np.uint32)
            for place, name in zip(reversed(places.tolist()), reversed(fresh), strict=True):
                order.insert(place, name)
        return {"ids": ids, "names": _frozen(known), "name_ranks": ranks, "in_order": order, "forgot": bool(free)}

    @cached_property
    def in_order(self) -> list[str]:
        """All names that have ids, in UTF-8 order, which is that of str; do not write to it."""
        return in_utf8_order(self.ids)

    @cached_property
    def by_name(self) -> tuple[Node, ...]:
        """The members in UTF-8 order of their names."""
        members = self.members
        return tuple([members[name] for name in self.in_order if name in members])

    def can_own(self, node: Node) -> bool:
        """Whether a member is live and not drained."""
        return node.weight > 0 and node.name not in self.down

    @property
    def alive(self) -> npt.NDArray[np.uint8]:
        """Shape (ids,): 1 for the ids of nodes that can own keys."""
        mask = (self.weights > 0).view(np.uint8)
        for name in self.down:
            mask[self.ids[name]] = 0
        return mask

    @cached_property
    def member_ids(self) -> npt.NDArray[np.uint32]:
        """Shape (len(self),): the ids of the members in UTF-8 order of their names; do not write to it."""
        in_order = np.empty(len(self.ids), np.uint32)
        in_order[self.name_ranks] = np.arange(len(self.ids), dtype=np.uint32)
        if not self.past:
            return in_order
        member = np.ones(len(self.ids), bool)
        member[[self.ids[name] for name in self.past]] = False
        return in_order[member[in_order]]

    @cached_property
    def zone_marks(self) -> tuple[dict[str, int], npt.NDArray[np.uint32]]:
        """Zone → number, and shape (ids,): that number for ids of members that have a zone, else `ZONELESS`.

        A number of a zone stays while the cluster changes; do not write to either.
        """
        marks = np.full(len(self.ids), ZONELESS, np.uint32)
        numbers: dict[str, int] = {}
        zoned = [node for node in self.members.values() if node.zone is not None]
        marks[[self.ids[node.name] for node in zoned]] = [
            numbers.setdefault(node.zone, len(numbers)) for node in zoned if node.zone is not None
        ]
        return numbers, marks

    def _zone_marks_after(self, names: tuple[str, ...], ids: dict[str, int]) -> dict[str, Any]:
        """`zone_marks` once these names came, where it is known: what a change costs follows the change."""
        known = self.__dict__.get("zone_marks")
        if known is None:
            return {}
        numbers, old = known
        marks = np.full(len(ids), ZONELESS, np.uint32)
        marks[: len(old)] = old
        for name in names:
            zone = self.members[name].zone
            if zone is not None and zone not in numbers:
                numbers = {**numbers, zone: len(numbers)}  # readers of other states may be at the old one
            marks[ids[name]] = ZONELESS if zone is None else numbers[zone]
        if len(numbers) > 2 * len(self.members) + PAST_MIN:  # mostly zones that are gone: to be found anew
            self.__dict__.pop("zone_marks")
            return {}
        return {"zone_marks": (numbers, marks)}

    @property
    def zone_ids(self) -> npt.NDArray[np.uint32]:
        """Shape (ids,): a number for each id's zone, from 0 in the order of names; one without a zone has its own."""
        members = self.member_ids
        numbers, marks = self.zone_marks
        zones = np.zeros(len(self.ids), np.uint32)
        zones[members] = numbered_zones(marks[members], len(numbers))
        return zones


def _frozen(array: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    array.flags.writeable = False
    return array
