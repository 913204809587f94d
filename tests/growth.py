"""How much a call leaves behind, in a process where other things come and go."""

from __future__ import annotations

import gc
from collections.abc import Callable
from operator import sub

ROUNDS = 5


def least_growth(call: Callable[[], object], measure: Callable[[], int], calls: int) -> float:
    """Return by how much something grew per call, in the round of calls in which it grew least.

    Caches fill up for a while, and what earlier tests left may be freed meanwhile, but a leak grows in every round.
    """
    sizes = []
    for _ in range(ROUNDS):
        for _ in range(calls // ROUNDS):
            call()
        gc.collect()
        sizes.append(measure())
    return min(map(sub, sizes[1:], sizes)) * ROUNDS / calls
