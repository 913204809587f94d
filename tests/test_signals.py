"""Ctrl-C in long calls, and other threads beside them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from waiting import until

import ringward as rw

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")

LATEST_S = 0.4  # of the processor, however busy the machine is; without a signal these calls take many times as much
ENDLESS = np.lib.stride_tricks.as_strided(np.arange(1, dtype=np.uint64), (1 << 30,), (0,))


class InterruptError(Exception):
    """What the handler raises."""


@contextmanager
def interrupted(after_s: float = 0.05) -> Iterator[None]:
    """A signal comes while the block runs: it must end soon, by what the handler raised."""

    def handler(*_: object) -> None:
        raise InterruptError

    before = signal.signal(signal.SIGPROF, handler)
    signal.setitimer(signal.ITIMER_PROF, after_s)
    began = time.process_time()
    try:
        with pytest.raises(InterruptError):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert time.process_time() - began < after_s + LATEST_S


RING = rw.HashRing([f"n{i}" for i in range(50)])
LONG = ["x" * 100_000] * 400_000
TABLE = rw.PartitionTable([f"n{i}" for i in range(3_000)], partitions=64)


@pytest.mark.parametrize(
    "call",
    [
        lambda: RING.assign(ENDLESS, threads=1),
        lambda: RING.assign(ENDLESS, threads=2),
        lambda: RING.assign(ENDLESS[: 1 << 26], count=3, threads=2),
        lambda: rw.hash_keys(ENDLESS, threads=1),
        lambda: rw.hash_keys(ENDLESS, rw.SipHash(bytes(16)), threads=2),
        lambda: RING.assign(LONG),
        lambda: rw.hash_keys(tuple(LONG)),
        lambda: RING.assign(np.array(LONG, object), count=2),
        lambda: TABLE.assign(ENDLESS[: 1 << 26], count=3, threads=1),
        lambda: rw.HashRing({"a": 1.0, "b": 1.0}, points_per_node=1 << 22),
    ],
    ids=["assign", "threads", "count", "hash", "siphash", "list", "tuple", "objects", "table", "build"],
)
def test_a_signal_ends_a_long_call(call: Callable[[], Any]) -> None:
    """Handlers of signals ran when the call was done, seconds later. The least of three counts."""
    for attempt in range(3):
        try:
            with interrupted():
                call()
        except AssertionError:
            if attempt == 2:
                raise
        else:
            break
    assert RING.route("event1") == rw.HashRing([f"n{i}" for i in range(50)]).route("event1")


def test_an_output_array_is_as_it_was_after_a_signal() -> None:
    """It is written at once or not at all."""
    size = 1 << 27
    keys, out = ENDLESS[:size], np.zeros(size, np.uint16)
    out[:3] = 7, 8, 9
    with interrupted():
        RING.assign(keys, out=out, threads=1)
    assert out[:3].tolist() == [7, 8, 9]
    assert not out[3 :: 1 << 10].any()


def test_a_column_of_owners_is_as_it_was_after_a_signal() -> None:
    """`apply` looks for all that moves before it writes anything."""
    ring = rw.HashRing([f"n{i}" for i in range(50)])
    hashes = np.zeros(1 << 27, np.uint64)
    ids = np.zeros(len(hashes), np.uint16)
    ids[:] = ring.assign_hashes(hashes[:1])[0]
    transfer = ring.mark_down(*[str(ring.names[i]) for i in {int(ids[0]), 1, 2, 3, 4, 5}])
    with interrupted(0.02):
        for _ in range(100):
            kept = int(ids[-1])
            transfer.moved(hashes, threads=1)
    assert ids[-1] == kept


def test_a_change_that_a_signal_ends_changes_nothing() -> None:
    """Neither members nor epoch, and the next change works."""
    ring = rw.HashRing(["a", "b"], points_per_node=1 << 12)
    with interrupted():
        ring.reweigh("a", 1 << 10)
    assert (ring.epoch, [node.weight for node in ring.nodes]) == (0, [1.0, 1.0])
    assert ring.remove("b").epoch == 1


def test_a_signal_ends_a_mark_that_leaves_few_to_stand_in() -> None:
    names = [f"n{i}" for i in range(2_000)]
    table = rw.PartitionTable(names, partitions=1 << 22)
    with interrupted():
        table.mark_down(*names[1:])
    assert (table.epoch, len(table.down)) == (0, 0)


def test_what_a_handler_raises_while_a_lookup_compiles_is_raised_after_it() -> None:
    """A single lookup that compiles a change has nowhere to raise: the main thread does so at once."""
    ring = rw.HashRing([f"n{i}" for i in range(20_000)])
    ring.route("event1")
    ring.add("new")
    with interrupted(0.02):
        for i in range(10_000_000):
            ring.route(i)
    assert ring.route("event1") == rw.HashRing([*[f"n{i}" for i in range(20_000)], "new"]).route("event1")


@pytest.mark.parametrize(
    "call",
    [
        lambda: RING.assign(["event"] * 3_000_000),
        lambda: RING.assign(LONG[:60_000], count=2),
        lambda: rw.HashRing({"a": 1.0, "b": 1.0}, points_per_node=1 << 20),
    ],
    ids=["list", "long", "build"],
)
def test_other_threads_go_on_beside_a_long_call(call: Callable[[], Any]) -> None:
    """No call keeps the interpreter to itself: a list was read in one go."""
    # What else the machine does may hold a thread up, but hardly twenty times.
    assert any(_has_turns_beside(call) for _ in range(20))


def _has_turns_beside(call: Callable[[], Any]) -> bool:
    """Whether another thread had its turns all the time."""
    turns: list[float] = []
    stop = threading.Event()

    def turning() -> None:
        while not stop.is_set():
            turns.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=turning)
    thread.start()
    until(lambda: turns)
    began = time.perf_counter()
    call()
    ended = time.perf_counter()
    stop.set()
    thread.join()
    inside = [began, *[turn for turn in turns if began < turn < ended], ended]
    longest = max(later - earlier for earlier, later in pairwise(inside))
    return longest < max(0.06, (ended - began) / 4)
