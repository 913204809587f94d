"""The same with a `SqliteStore`, on a disk that fails, tears and forgets what was not synced."""

from __future__ import annotations

import os

from events.worlds.disk import run_on_sqlite

SEEDS = int(os.environ.get("RINGWARD_SEEDS", "1500")) // 50

INTERESTING = {"an effect", "takeover", "a power cut", "copied after a failed commit", "disk: write tears"}


def test_the_invariants_hold_on_a_failing_disk(tmp_path):
    seen, failed = {}, []
    for seed in range(SEEDS):
        outcome = run_on_sqlite(seed, tmp_path)
        seen.update(outcome.seen)
        if outcome.error is not None:
            failed.append(f"seed {seed}: {outcome.error!r}"[:500])
    replay = "\nreplay, in the folder tests: python -m events.worlds --sqlite SEED"
    assert not failed, f"{len(failed)} of {SEEDS} seeds failed:\n" + "\n".join(failed[:5]) + replay
    assert sorted(INTERESTING - seen.keys()) == []
