"""States are replaced by compare-and-set: whatever threads and stores do at once, each success counts once and no other does."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringward.events import SqliteStore, Stream
from ringward.events.model.store import Settlement

PARTITIONS, THREADS, CHANGES = 6, 4, 60


def change(store, seed, barrier):
    """Claim, mark and settle by what was read before, which others have changed meanwhile; how often each was said to be done."""
    chance, lease, done = random.Random(seed), f"thread-{seed}#1", Counter()
    barrier.wait()
    for _ in range(CHANGES):
        states = store.states("g")
        some = chance.sample(range(PARTITIONS), chance.randrange(1, PARTITIONS + 1))
        following = {p: states[p]._replace(revision=states[p].revision + 1, owner=lease) for p in some}
        what = chance.choice(("claim", "mark", "settle", "append"))
        if what == "claim":
            claimed = store.claim("g", lease, {p: states[p].epoch for p in some})
            assert all(claimed[p].epoch == states[p].epoch + 1 for p in claimed)
            done.update(("epoch", p) for p in claimed)
            done.update(("revision", p) for p in claimed)
        elif what == "append":  # so that commits are of several kinds
            store.append(lease, [store.stream.entry("k", b"", None, None)])
        else:
            made = (
                [*following.items()]
                if what == "mark"
                else [Settlement(p, state, (), (), ()) for p, state in following.items()]
            )
            stale = getattr(store, what)("g", made)
            done.update(("revision", p) for p in some if p not in stale)
    return done


@pytest.mark.parametrize("switch_s", [1e-6, 5e-3])
def test_each_success_counts_once_and_no_other_does(tmp_path, switch_s):
    before = sys.getswitchinterval()
    with contextlib.closing(SqliteStore(tmp_path / "a.db", Stream(partitions=PARTITIONS))) as store:
        store.open_group("g", 0)
        with contextlib.closing(SqliteStore(tmp_path / "a.db")) as other, ThreadPoolExecutor(2 * THREADS) as threads:
            barrier = threading.Barrier(2 * THREADS)
            sys.setswitchinterval(switch_s)
            try:
                works = [
                    threads.submit(change, each, n, barrier)
                    for n, each in enumerate([*[store] * THREADS, *[other] * THREADS])
                ]
                done = sum((work.result() for work in works), Counter())
            finally:
                sys.setswitchinterval(before)
        for partition, state in store.states("g").items():
            assert (state.epoch, state.revision) == (done["epoch", partition], done["revision", partition])
