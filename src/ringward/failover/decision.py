"""`Decision`: what was decided, and why; `Wish`: a decision before it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringward.texts import bounded, brief, percent
from ringward.transfer import Transfer

__all__ = ["Decision", "Wish"]

_TOLD = 5  # nodes whose reasons are told one by one


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of `Adaptive` or `Clusters`.

    Attributes
    ----------
    time_s : float
        The time that `tick` was given.
    kind : str
        What changes: "down", "zone" (a whole zone is down), "up", "lower" and "raise" (of a share).
        What does not happen: "hold" (flapping: it comes back later), "panic" (too many are suspected at once),
        "wait" (for the limits of movement). "error": a detector or a hook raised. Of `Clusters` also "promote",
        "return" and "refused".
    nodes : tuple of str
    reason : str
    transfer : Transfer or None
        What moved; None where nothing changed, and in the older entries of a log. With `observe=True`, what would have moved.
    moved : float
        The share of the key space that moved.
    """

    time_s: float
    kind: str
    nodes: tuple[str, ...]
    reason: str
    transfer: Transfer | None = None
    moved: float = 0.0

    def __str__(self) -> str:
        nodes = ", ".join(brief(name) for name in self.nodes[:_TOLD])
        more = f" and {len(self.nodes) - _TOLD} more" if len(self.nodes) > _TOLD else ""
        moved = f"; {percent(self.moved)} of the keys move" if self.moved else ""
        return f"{self.time_s:.3f} s: {self.kind} {nodes}{more}: {self.reason}{moved}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a judge wants.

    Attributes
    ----------
    kind : str
        As in `Decision`.
    reasons : mapping of str to str
        Of each node.
    factors : mapping of str to float
        For "lower" and "raise": the new share of the node's own weight.
    """

    kind: str
    reasons: Mapping[str, str]
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """All reasons as one text."""
        texts = [*self.reasons.values()]
        if len(set(texts)) == 1:
            return texts[0]
        told = [f"{brief(name)}: {text}" for name, text in [*self.reasons.items()][:_TOLD]]
        if len(texts) > _TOLD:
            told.append(f"{len(texts) - _TOLD} more")
        return bounded("; ".join(told))
