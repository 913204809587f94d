"""What is particular to the store in memory."""

from __future__ import annotations

import gc

from ringward.events import MemoryStore, Stream


def test_a_finalizer_that_publishes_while_something_is_appended_leaves_seqs_dense() -> None:
    # In CPython 3.11 the garbage collector runs where objects are made: both took the same seqs.
    store = MemoryStore(Stream(partitions=4))

    class Ring:
        def __init__(self) -> None:
            self.ring = self

        def __del__(self) -> None:
            store.append("p", [store.stream.entry("of a finalizer", b"", None, None)])

    gc.collect()
    for n in range(40):
        Ring()
        found = store.append("p", [store.stream.entry(f"key{i}", b"", f"{n}-{i}", None) for i in range(300)])
        assert [receipt.seq for receipt in found] == list(range(found[0].seq, found[0].seq + 300))
    gc.collect()
    assert store.verify() == []
    assert store.totals().tail == 40 * 301
    rows = sorted(row[0] for partition in range(4) for row in store.read([(partition, 0, 100_000)], 100_000)[0])
    assert rows == list(range(1, 40 * 301 + 1))
