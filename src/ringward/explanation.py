"""`Explanation`: why a key is where it is, walked slowly and told step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ringward import markup
from ringward._core import ListTable, PartitionMap, PointTable
from ringward.checks import checked_int, text_of
from ringward.markup import ROWS_MOST, escaped
from ringward.texts import bounded, brief, shown

if TYPE_CHECKING:
    from ringward.keys import Key
    from ringward.view import View

__all__ = ["Explanation", "Step"]

_COUNT_MAX = 2**63 - 1
_REASON_MOST = 300
_TOLD_MOST = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One node that was looked at, and what came of it."""

    node: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a key belongs to its owner.

    Attributes
    ----------
    key : object
        As it was routed: text, bytes, an integer or a UUID, whatever class held it.
    hash : int
        Its 64-bit hash.
    place : str
        The point or partition that the hash falls on.
    owner : str
    candidates : tuple of str
        The owner and who takes over after it.
    steps : tuple of Step
        Nodes in the order they were looked at.
    """

    key: object
    hash: int
    place: str
    owner: str
    candidates: tuple[str, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, view: View, key: Key, count: int) -> Explanation:
        """The explanation of a key by a router or snapshot."""
        view.route(key)  # raises where nobody can own the key
        candidates = view.candidates(key, min(checked_int("count", count, 1, _COUNT_MAX), len(view)))
        value = view.hash(key)
        place, looked_at = _way(view, value)
        steps: list[Step] = []
        for name, why in looked_at:
            if len([step for step in steps if step.taken]) == len(candidates):
                break
            if name in candidates:
                role = "owner" if name == candidates[0] else f"candidate {candidates.index(name) + 1}"
                steps.append(Step(name, taken=True, reason=f"{role}: {why}"))
            elif name in view.down:
                steps.append(Step(name, taken=False, reason=f"passed over, it is down: {why}"))
            else:
                steps.append(Step(name, taken=False, reason=f"passed over, its zone is taken: {why}"))
        return cls(_as_routed(key), value, place, candidates[0], tuple(candidates), tuple(steps))

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types; the key as text."""
        return asdict(replace(self, key=str(self.key)))

    def __repr__(self) -> str:
        owner, *others = [brief(name) for name in self.candidates[:_TOLD_MOST]]
        then = f", then {', '.join(others)}" if others else ""
        return f"<Explanation: key {shown(self.key)} → {owner}{then}>"  # the steps are for `print` and `to_dict`

    def __str__(self) -> str:
        lines = [f"key {shown(self.key)} has hash {self.hash:#018x}, {self.place}"]
        lines += [
            f"  {'→' if step.taken else '·'} {brief(step.node)}: {bounded(step.reason, _REASON_MOST)}"
            for step in self.steps
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The steps as an HTML table, for notebooks: at most 50 of them, and the last, which decides; all text escaped."""
        left_out = len(self.steps) - ROWS_MOST
        steps = self.steps if left_out <= 0 else (*self.steps[: ROWS_MOST - 1], self.steps[-1])
        rows = [["→" if step.taken else "·", escaped(step.node), escaped(step.reason, _REASON_MOST)] for step in steps]
        less = f"<div>{left_out:,} steps are left out before the last</div>" if left_out > 0 else ""
        heading = f"key {escaped(shown(self.key))} has hash {self.hash:#018x}, {escaped(self.place)}"
        return markup.document(heading, markup.table(["", "node", "why"], rows), less)


def _as_routed(key: Key) -> Key:
    """What counts of a key: the text or number in an object of a subclass, and of a buffer the bytes it has now."""
    text = text_of(key)
    if text is not None:
        return text
    if isinstance(key, bytearray | memoryview):
        return bytes(key)
    return int(key) if isinstance(key, int) else key


def _way(view: View, value: int) -> tuple[str, list[tuple[str, str]]]:
    """Where a hash falls, and the distinct nodes in the order in which the placement looks at them."""
    table = view._state.table
    if isinstance(table, PointTable):
        return _ring_way(view, table, value)
    if isinstance(table, PartitionMap):
        partition = value * len(table.rows) >> 64
        row = [str(view.names[node]) for node in table.rows[partition]]
        way = [(name, f"rank {rank} of the partition's row") for rank, name in enumerate(row)]
        others = [name for name in _all_candidates(view, value) if name not in row]
        way += [(name, "a stand-in from outside the row") for name in others]
        return f"in partition {partition} of {len(table.rows)}", way
    assert isinstance(table, ListTable)  # there is no other kind  # noqa: S101
    if not view._state.own.table.live:
        name = str(view._state.names[table.order[0]])
        return "nobody is live", [(name, "stands in while nobody is live (on_empty)")]
    names = [node.name for node in view.nodes if node.weight > 0]
    primary = str(view._state.names[table.order[0]])
    above = names[: names.index(primary)]
    # A primary that stayed when a better node recovered comes first; else the list is walked as it is.
    order = names if all(name in view.down for name in above) else [primary, *(n for n in names if n != primary)]
    return "which does not matter: one node owns every key", [
        (name, f"priority {names.index(name) + 1}") for name in order
    ]


def _ring_way(view: View, table: PointTable, value: int) -> tuple[str, list[tuple[str, str]]]:
    size = len(table.hashes)
    start = table.first_index(value)
    groups = table.groups
    seen: dict[int, str] = {}
    for step in range(size):
        i = (start + step) % size
        node = int(table.nodes[i])
        if node in seen:
            continue
        part = f", part {int(groups[node])}" if groups is not None else ""
        zone = f", zone {view._state.cluster.members[str(view.names[node])].zone}" if table.zones is not None else ""
        seen[node] = f"its point at {int(table.hashes[i]):#018x} comes {_nth(len(seen) + 1)}{part}{zone}"
        if len(seen) == table.members:  # those that are drained have no points
            break
    order = list(seen)
    if groups is not None:  # stable: the key's own part first, each in ring order
        home = groups[table.nodes[start]]
        order = [node for node in order if groups[node] == home] + [node for node in order if groups[node] != home]
    place = f"before point {start} of {size} at {int(table.hashes[start]):#018x}"
    return place, [(str(view.names[node]), seen[node]) for node in order]


def _all_candidates(view: View, value: int) -> list[str]:
    row = view.assign_hashes(np.array([value], np.uint64), count=len(view))[0]
    return [str(view.names[node]) for node in row if node < len(view.names)]


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
