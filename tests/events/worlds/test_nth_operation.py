"""A fixed course of events, in which the nth call of the store fails, or is the last of its process: for every n."""

from __future__ import annotations

import os

import pytest
from events.worlds.disk import run_on_sqlite
from events.worlds.handle import FATES
from events.worlds.run import run

# Two processes; events that fail, one that is poison, one that kills; nothing else happens.
COURSE = {
    "partitions": 2,
    "keys": 3,
    "publishes": 3,
    "hosts": 2,
    "members": 1,
    "groups": ("g",),
    "router": "primary",
    "locks": True,
    "fates": {"fails": 25, "poison": 5, "kills": 5, "slow": 5, "hangs": 0, "publishes": 5},
    "eagerness": 0.1,
    "trouble": 0.0,
    "chaos": 0.0,
    "seconds": 2.0,
    "id_window_s": 1e6,
}
LONG = "RINGWARD_SEEDS" in os.environ
SEED = 7


@pytest.mark.parametrize("fate", FATES)
def test_whichever_operation_fails_in_memory(fate):
    whole = run(SEED, **COURSE)
    assert whole.error is None
    step = 1 if LONG else 3
    for n in range(1 + FATES.index(fate) % step, whole.operations + 1, step):
        outcome = run(SEED, fail_at=(n, fate), **COURSE)
        assert outcome.error is None, f"operation {n} {fate}: {outcome.error}"


@pytest.mark.parametrize("fate", FATES)
def test_whichever_operation_fails_in_sqlite(fate, tmp_path):
    whole = run_on_sqlite(SEED, tmp_path, disk=0.0, **COURSE)
    assert whole.error is None
    step = 1 if LONG else 61
    for n in range(1 + 8 * FATES.index(fate) % step, whole.operations + 1, step):
        outcome = run_on_sqlite(SEED, tmp_path, fail_at=(n, fate), disk=0.0, **COURSE)
        assert outcome.error is None, f"operation {n} {fate}: {outcome.error}"
