"""The real state machine and stores, under everything that a seed can think of."""

from __future__ import annotations

import os

import pytest
from events.worlds.run import run
from events.worlds.seeds import run_seeds

SEEDS = int(os.environ.get("RINGWARD_SEEDS", "600"))

# What has to have happened, or the simulation has lost its teeth.
INTERESTING = {
    *("takeover", "declared dead", "killed from outside", "frozen long", "leave", "left", "an orderly end", "reroute"),
    *("a fenced mark", "a fenced settle", "a stale delivery", "refused outside"),
    *(
        "an event beside a suspect",
        "a suspect alone",
        "a dead letter",
        "parked",
        "redrive",
        "a letter delivered",
        "a letter drained",
    ),
    *("a letter died again", "drop", "reset", "prune", "delete", "a duplicate", "a conflict", "a forgotten id"),
    *(f"an event {fate}" for fate in ("fails", "poison", "kills", "slow", "hangs", "publishes")),
    *(
        f"{write} {fate}"
        for write in ("append", "mark", "settle", "claim", "change_membership", "heartbeat")
        for fate in ("fails", "fails after", "dies", "dies after", "torn")
    ),
    *(f"inside dies at {point}" for point in ("append", "settle", "claimed")),
    *(f"inside fails at {point}" for point in ("append", "settle")),
}


@pytest.fixture(scope="module")
def many():
    return run_seeds(range(SEEDS))


def test_the_invariants_hold_in_every_seed(many):
    _, failed = many
    shown = "\n".join(f"  seed {seed}: {text[:500]}" for seed, text in failed[:5])
    replay = f"\nreplay, in the folder tests: python -m events.worlds {failed[0][0]}" if failed else ""
    assert not failed, f"{len(failed)} of {SEEDS} seeds failed:\n{shown}{replay}"


def test_what_the_simulation_is_about_really_happens(many):
    seen, _ = many
    assert sorted(INTERESTING - seen.keys()) == []


@pytest.mark.parametrize("seed", range(0, 50, 5))
def test_a_seed_always_gives_the_same_trace(seed):
    first, second = run(seed), run(seed)
    assert first.digest == second.digest
    assert len(first.trace) == len(second.trace) > 0
