"""Many seeds, spread over the cores."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

from events.worlds.run import run

CHUNK = 50


def run_seeds(seeds, **fixed):
    """Run seeds; what was seen in all of them, and those that failed with what they said."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    seen, failed = Counter(), []
    if len(chunks) <= 2:
        found = [_run_chunk(chunk, fixed) for chunk in chunks]
    else:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_run_chunk, chunks, repeat(fixed)))
    for more, bad in found:
        seen.update(more)
        failed.extend(bad)
    return seen, failed


def _run_chunk(seeds, fixed):
    seen, failed = Counter(), []
    for seed in seeds:
        outcome = run(seed, **fixed)
        seen.update(outcome.seen)
        if outcome.error is not None:
            failed.append((seed, f"{type(outcome.error).__name__}: {outcome.error}"))
    return seen, failed
