"""Failover strategies by name: real routers over the nodes of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ringward.cluster import Node
from ringward.errors import ArgumentError
from ringward.failover import Adaptive, Policy
from ringward.health import Detector
from ringward.placement import HashRing, PartitionedRing, PartitionTable, PrimaryBackup
from ringward.router import Router
from ringward.simulation.naming import Spec, known, spec_of

__all__ = ["STRATEGIES", "Strategy", "strategy"]

ADAPTIVE = "adaptive"
_PLACEMENTS: dict[str, type[Router]] = {
    "ring": HashRing,
    "partitioned": PartitionedRing,
    "table": PartitionTable,
    "primary": PrimaryBackup,
}
_DEFAULTS: dict[str, dict[str, Any]] = {"partitioned": {"part_size": 8}}
_INSIDE = "ring"
_POLICY = tuple(field.name for field in fields(Policy))
STRATEGIES = (*_PLACEMENTS, ADAPTIVE)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy as it was asked for.

    Attributes
    ----------
    text : str
        As given.
    placement : str
        Of the router, or of the one inside.
    options : dict
        Of its constructor.
    policy : Policy or None
        None for a router that does what the detector says at once.
    """

    text: str
    placement: str
    options: dict[str, Any]
    policy: Policy | None

    def router(self, nodes: Sequence[Node]) -> Router:
        """The router, or the one inside."""
        return _PLACEMENTS[self.placement](nodes, **self.options)

    def adaptive(self, nodes: Sequence[Node], detector: Detector) -> Adaptive:
        """The router that decides by the policy."""
        return Adaptive(self.router(nodes), detector=detector, policy=self.policy or Policy())


def strategy(text: str) -> Strategy:
    """A strategy by its name and options, or an ArgumentError that says which there are."""
    spec = spec_of("strategy", text)
    known("strategy", [spec.name], STRATEGIES)
    if spec.name != ADAPTIVE:
        if spec.words:
            raise ArgumentError("strategy", "NAME or NAME:option=value,option=value", text)
        return _checked(Strategy(spec.text, spec.name, {**_DEFAULTS.get(spec.name, {}), **spec.options}, None), spec)
    inside = spec.words[0] if spec.words else _INSIDE
    known("strategy inside adaptive", spec.words, _PLACEMENTS)
    if len(spec.words) > 1:
        raise ArgumentError("strategy", "adaptive[:INSIDE][,option=value...]: one strategy inside", text)
    options = {name: value for name, value in spec.options.items() if name not in _POLICY}
    policy = Policy(**{name: value for name, value in spec.options.items() if name in _POLICY})
    return _checked(Strategy(spec.text, inside, {**_DEFAULTS.get(inside, {}), **options}, policy), spec)


def _checked(chosen: Strategy, spec: Spec) -> Strategy:
    """Try it once: what is wrong with an option is told before anything runs."""
    allowed = [
        name for name in _PLACEMENTS[chosen.placement].__init__.__kwdefaults__ or {} if name not in {"hash", "on_empty"}
    ]
    if chosen.placement == "partitioned":
        allowed.append("part_size")
    known(f"an option of {spec.name}", chosen.options, [*allowed, *(_POLICY if chosen.policy else ())])
    chosen.router([Node("node")])
    return chosen
