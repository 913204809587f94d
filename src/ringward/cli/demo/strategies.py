"""The first part: each strategy routes all events, a node fails and returns, and every claim is checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

import ringward as rw

__all__ = ["FAILING", "ZONES", "Outcome", "played", "routers"]

FAILING = "node2"
ZONES = {"node1": "a", "node2": "a", "node3": "b", "node4": "b"}


@dataclass
class Outcome:
    """What one strategy did.

    Attributes
    ----------
    strategy, options : str
    owners : dict of str to int
        Events of each node.
    failed : str
        The node that failed.
    moved, moved_share
        Events that moved then, and the share of the hash space.
    takers : dict of str to int
        Who took how many of them over.
    returned : int
        Events that came back with the node.
    checks : dict of str to bool
    """

    strategy: str
    options: str
    owners: dict[str, int]
    failed: str = FAILING
    moved: int = 0
    moved_share: float = 0.0
    takers: dict[str, int] = field(default_factory=dict)
    returned: int = 0
    checks: dict[str, bool] = field(default_factory=dict)


def routers() -> list[tuple[str, rw.Router]]:
    """One of each strategy, and what it was told."""
    nodes = [rw.Node(name, zone=zone) for name, zone in ZONES.items()]
    priority = sorted(nodes, key=lambda node: node.name != FAILING)
    return [
        ("160 points a node", rw.HashRing(nodes)),
        ("2 parts of 2 nodes", rw.PartitionedRing(nodes, part_size=2)),
        ("4096 partitions, 2 replicas", rw.PartitionTable(nodes, replicas=2)),
        (f"{FAILING} is primary", rw.PrimaryBackup(priority)),
    ]


def _counts(router: rw.Router, ids: npt.NDArray[np.uint32]) -> dict[str, int]:
    counts = Counter(ids.tolist())
    return {name: counts[router.id_of(name)] for name in sorted(router) if counts[router.id_of(name)]}


def played(options: str, router: rw.Router, keys: list[str]) -> Outcome:
    """Route the keys, let a node fail and return, and check each claim against routing all keys again."""
    hashes = rw.hash_keys(keys, router.hash)
    failing = router.id_of(FAILING)
    first = router.assign(keys)
    outcome = Outcome(type(router).__name__, options, dict.fromkeys(router, 0) | _counts(router, first))
    checks = outcome.checks
    checks["one lookup agrees with the bulk call"] = all(
        router.route(key) == router.names[node] for key, node in dict(zip(keys, first.tolist(), strict=True)).items()
    )

    failure = router.mark_down(FAILING)
    ids = first.copy()
    moved = failure.apply(ids, hashes)
    outcome.moved, outcome.moved_share = len(moved), failure.share
    outcome.takers = _counts(router, ids[moved])
    checks["apply equals assign after the failure"] = np.array_equal(ids, router.assign(keys))
    checks[f"exactly the keys of {FAILING} moved"] = np.array_equal(moved, np.flatnonzero(first == failing))
    checks["no other key changed its owner"] = np.array_equal(moved, np.flatnonzero(first != ids))
    checks[f"nothing is left on {FAILING}"] = not bool((ids == failing).any())

    recovery = router.mark_up(FAILING)
    outcome.returned = len(recovery.apply(ids, hashes))
    checks["apply equals assign after the return"] = np.array_equal(ids, router.assign(keys))
    checks["everything is back where it was"] = np.array_equal(ids, first) and recovery.share == failure.share
    return outcome
