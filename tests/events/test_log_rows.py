"""The rows of the log as compiled code makes them, beside the slow way."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ringward._core import event_digest, log_rows, read_rows, rows_by_partition, rows_up_to, size_of, untracked
from ringward.events import MemoryStore, Receipt, Retention
from ringward.events.model.stream import body_of

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([1_000, 1_024, 5_000, 70_000]))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.one_of(st.none(), TEXTS, st.binary(max_size=40), st.integers(0, 2**63 - 1))
ENTRIES = st.lists(
    st.tuples(
        st.integers(0, 65_535),
        st.integers(0, 3),
        st.binary(max_size=300),
        IDS,
        SIZES.map(lambda size: bytes(i * 7 % 256 for i in range(size))),
        st.one_of(st.none(), TEXTS),
    ),
    max_size=6,
)


@given(ENTRIES, st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**64 - 1))
def test_rows_and_receipts_are_those_of_the_slow_way(entries, seq, volume, chain):
    rows, receipts = log_rows(entries, Receipt, 3, seq, 17, volume, chain)
    assert [type(receipt) for receipt in receipts] == [Receipt] * len(entries)
    for number, (entry, row, receipt) in enumerate(zip(entries, rows, receipts, strict=True), seq + 1):
        partition, kind, key, name, payload, headers = entry
        chain = xxh3_64_intdigest(body_of(kind, key, name, payload, headers), chain)
        volume += len(payload)
        signed = chain if chain < 2**63 else chain - 2**64
        assert row == (number, partition, kind, 3, 17, volume, signed, key, name, headers, payload)
        assert receipt == Receipt(number, partition, duplicate=False)
        assert event_digest(*entry[1:]) == xxh3_64_digest(body_of(*entry[1:]))


@pytest.mark.parametrize("place", [2, 4, 5])
def test_an_entry_of_other_types_is_refused(place):
    entry = [0, 0, b"k", "id", b"payload", "{}"]
    entry[place] = bytearray(b"x")
    with pytest.raises(TypeError):
        log_rows([tuple(entry)], Receipt, 1, 0, 0, 0, 0)


def test_the_garbage_collector_does_not_look_at_the_log_in_memory():
    """It did so at every full collection: an event cost the more the more events waited."""
    store = MemoryStore()
    store.configure(retention=Retention(count=10))
    entries = [store.stream.entry(f"key{i}", b"", None, None) for i in range(100)]
    assert all(map(gc.is_tracked, [[], [*untracked([]), 0]]))  # what is made of one is seen
    for _ in range(2):
        store.append("p", entries)
        lists = [store._log._log, *(part for queue in store._log._partition_logs for part in (queue.seqs, queue.rows))]
        assert not any(map(gc.is_tracked, lists))
        store.open_group("g", 0)
        gc.collect()
        assert not any(gc.is_tracked(row) for row in store._log._log)
        assert store.prune(50) == 0
        store.delete_group("g")
        assert store.prune(50) == 50


@given(ENTRIES, st.integers(0, 2**62))
def test_rows_at_hand_are_those_that_are_read(entries, seq):
    assert read_rows(entries, seq, 17) == [(at, *entry, 17) for at, entry in enumerate(entries, seq + 1)]


@given(ENTRIES, st.sets(st.integers(1, 6)), st.integers(1, 2_000))
def test_rows_are_taken_apart_as_in_the_slow_way(entries, open_seqs, size):
    rows = read_rows([(entry[0] % 3, *entry[1:]) for entry in entries], 0, 17)
    sizes = [len(row[5]) for row in rows]
    assert size_of(rows) == sum(sizes)
    before = [sum(sizes[:at]) for at in range(len(rows))]
    assert rows_up_to(iter(rows), size) == [row for row, taken in zip(rows, before, strict=True) if taken < size]
    assert rows_by_partition(rows) == {p: [row for row in rows if row[1] == p] for p in {row[1] for row in rows}}
    among = dict.fromkeys(open_seqs, "open")
    found = rows_by_partition(rows, among)
    assert sorted(row for part in found.values() for row in part) == [row for row in rows if row[0] in open_seqs]
    assert all(row[1] == p for p, part in found.items() for row in part)
    assert among.keys() == open_seqs - {row[0] for row in rows}
