"""What a policy lays over a membership: nodes that are out, and shares that are lowered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ringward.cluster import Cluster, Node

__all__ = ["overlaid"]


def overlaid(own: Cluster, base: Cluster, out: frozenset[str], factors: Mapping[str, float]) -> Cluster:
    """The successor of `own` that has the members of `base`, with those out marked down and the factors on the weights."""
    if not factors and own.members is base.members:  # as it is nearly always: nothing but who is down can differ
        return own._with(down=base.down | (out & own.members.keys()))
    members: dict[str, Node] = {}
    for node in base:
        factor = factors.get(node.name, 1.0)
        members[node.name] = node if factor == 1 else replace(node, weight=node.weight * factor)
    touched = [name for name, node in own.members.items() if _differ(node, members.get(name))]
    touched += [name for name in members if name not in own.members]
    moved = [*own.members] != [*members]
    if not touched and not moved:
        members = own.members
    down = base.down | (out & members.keys())
    return own._with(members=members, down=down, touched=(*own.touched, *touched, *([*members][:1] if moved else ())))


def _differ(one: Node, other: Node | None) -> bool:
    return one is not other and one != other
