"""Other threads have their turn while a router works: no single call into C keeps them waiting for long."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import xxhash

import ringward as rw
from ringward._core import checksum, sealed
from ringward.cluster import SORTED_AT_ONCE, in_utf8_order
from ringward.snapshot import _AT_ONCE, _json

NODES = [f"n{i}" for i in range(10_000)]
LONGEST_S = 0.030  # of the processor, on a machine that is busy; what is meant is 0.005


@contextmanager
def often() -> Iterator[None]:
    """Python code gives way to other threads every half a millisecond: what is left are calls into C."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def longest_gap(call: Callable[[], Any]) -> float:
    """The least, of a few calls, of the longest time that another thread had no turn, in seconds of the processor."""
    gaps = []
    for _ in range(3):
        gap, done = 0.0, threading.Event()

        def watch(done: threading.Event = done) -> None:
            nonlocal gap
            last = time.process_time()
            while not done.is_set():
                time.sleep(0.0005)
                now = time.process_time()
                gap, last = max(gap, now - last), now

        watcher = threading.Thread(target=watch, daemon=True)
        with often():
            watcher.start()
            call()
            done.set()
            watcher.join()
        gaps.append(gap)
    return min(gaps)


RING = rw.HashRing(NODES)
IDS = np.resize(RING.assign_hashes(rw.hash_keys(np.arange(100_000))), 2_000_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rw.HashRing(random.Random(1).sample(NODES, len(NODES))),
        lambda: rw.PartitionedRing(NODES, part_size=8),
        lambda: RING.copy().add(*[f"x{i}" for i in range(9_000)]),
        lambda: rw.Snapshot.from_bytes(RING.snapshot().to_bytes()),
        RING.report,
        lambda: RING.names[IDS],
        lambda: RING.owner_names(IDS),
    ],
    ids=["build", "parts", "add", "snapshot", "report", "names", "owner_names"],
)
def test_no_call_keeps_other_threads_waiting(call: Callable[[], Any]) -> None:
    """Sorting names, bytes of snapshots and names of columns took 10 to 220 ms in one piece."""
    assert longest_gap(call) < LONGEST_S


def test_very_many_names_are_sorted_as_few_are() -> None:
    """In pieces: of names that are in order already, or have nearly all the same beginning, and of any script."""
    count = 2 * SORTED_AT_ONCE
    shuffled = random.Random(2)
    for names in (
        [f"node{i}" for i in range(count)],
        [f"{'x' * 50}{i:06d}" for i in range(count)],
        [chr(0x20 + i % 0xD000) + str(i) for i in range(count)],
        [chr(0x10000 + i) if i % 2 else chr(0xE000 + i % 0x1000) + str(i) for i in range(count)],
    ):
        shuffled.shuffle(names)
        assert in_utf8_order(names) == sorted(names, key=str.encode)
        assert in_utf8_order(iter(names[:100])) == sorted(names[:100], key=str.encode)


@pytest.mark.parametrize("count", [0, 1, _AT_ONCE, _AT_ONCE + 1, 3 * _AT_ONCE])
def test_long_lists_are_written_as_json_writes_them(count: int) -> None:
    """In pieces, and byte for byte the same: snapshots that are alike have the same bytes."""
    header = {
        "z": [["é", 1.5, None]] * count,
        "a": {"d": 1, "c": [0] * count},
        "names": [f"n{i}" for i in range(count)],
    }
    assert _json(header) == json.dumps(header, sort_keys=True)


@pytest.mark.parametrize("sizes", [(), (0,), (3, 0, 5), (1_000_000, 1, 240)])
def test_bytes_are_put_together_with_their_checksum(sizes: tuple[int, ...]) -> None:
    """The checksum is that of the xxhash package, big-endian."""
    parts = [np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8) for size in sizes]
    body = b"".join(part.tobytes() for part in parts)
    assert sealed([*parts]) == sealed([part.tobytes() for part in parts]) == body + xxhash.xxh3_64_digest(body)
    assert checksum(body) == checksum(memoryview(bytearray(body))) == xxhash.xxh3_64_intdigest(body)


def test_names_of_a_long_column_are_those_of_a_short_one() -> None:
    """Also with NO_NODE inside; an id that nobody has is an IndexError at any length."""
    ids = IDS[:40_000].copy()
    ids[7] = rw.NO_NODE
    names = RING.names
    assert names[ids].tolist() == [names[part].tolist()[0] for part in ids.reshape(-1, 1)]
    assert names[ids.reshape(2, -1)].shape == (2, 20_000)
    for wrong in (ids, ids[:5]):
        wrong[3] = len(names)
        with pytest.raises(IndexError):
            names[wrong]
