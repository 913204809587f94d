"""`Explanation`: why a key is where it is, step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ringward import markup
from ringward._core import Reader, State
from ringward.checks import checked_int, text_of
from ringward.keys import Key
from ringward.markup import ROWS_MOST, escaped
from ringward.tables import Way, kind_of
from ringward.texts import bounded, brief, shown

__all__ = ["Explanation", "Step"]

_COUNT_MAX = 2**63 - 1
_REASON_MOST = 300
_TOLD_MOST = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One node that the lookup considered, and the result."""

    node: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a key belongs to its owner.

    Attributes
    ----------
    key : object
        As it was routed: text, bytes, an integer or a UUID.
    hash : int
        Its 64-bit hash.
    place : str
        The point or partition that the hash falls on.
    owner : str
    candidates : tuple of str
        The owner, then the nodes that take over after it.
    steps : tuple of Step
        Nodes in the order in which the lookup considered them.
    """

    key: object
    hash: int
    place: str
    owner: str
    candidates: tuple[str, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, state: State, key: Key, count: int) -> Explanation:
        """The explanation of a key by one state of a router."""
        reader, cluster = Reader(state), state.cluster
        reader.route(key)  # raises where nobody can own the key
        candidates = reader.candidates(key, min(checked_int("count", count, 1, _COUNT_MAX), len(cluster)))
        value = state.hasher(key)
        if state.table is state.own.table:
            way = kind_of(state.table).way(state.table, state, value)
        else:
            way = Way("nobody is live", [(candidates[0], "stands in while nobody is live (on_empty)")])
        steps: list[Step] = []
        for name, why in way.nodes:
            if len([step for step in steps if step.taken]) == len(candidates):
                break
            if name in candidates:
                role = "owner" if name == candidates[0] else f"candidate {candidates.index(name) + 1}"
                steps.append(Step(name, taken=True, reason=f"{role}: {why}"))
            elif name in cluster.down:
                steps.append(Step(name, taken=False, reason=f"passed over, it is down: {why}"))
            else:
                steps.append(Step(name, taken=False, reason=f"passed over, its zone is taken: {why}"))
        return cls(_as_routed(key), value, way.place, candidates[0], tuple(candidates), tuple(steps))

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
