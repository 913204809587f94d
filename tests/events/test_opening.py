"""Addresses of stores, and what a store takes in one call."""

from __future__ import annotations

import asyncio
import sys
import types

import pytest
from events.toy_store.lines import Lines
from events.toy_store.store import WINDOW_MOST_S, ToyStore

import ringward as rw
from ringward.events import MemoryStore, Processor, Retry, SqliteStore, Stream, aio, open_store, register_scheme
from ringward.events.engine.limits import cut, cut_dict
from ringward.events.model.store import Store, lacking
from ringward.events.stores import opening


@pytest.fixture(autouse=True)
def openers(monkeypatch):
    monkeypatch.setattr(opening, "_openers", {})


@pytest.fixture
def lines():
    return Lines()


# --- addresses


def test_an_address_is_opened_by_whom_its_scheme_is_registered_for(lines):
    asked = []

    def open_toy(url, stream, *, create):
        asked.append((url, stream, create))
        return ToyStore(lines, stream)

    register_scheme("toy", open_toy)
    with Processor("toy://orders?x=1", stream=Stream(4), create=False) as p:
        assert type(p.store) is ToyStore
        assert p.publish("k", b"x").seq == 1
    assert asked == [("toy://orders?x=1", Stream(4), False)]
    assert open_store("TOY://Orders", Stream(4)).totals().tail == 1


def test_what_opens_an_address_is_imported_when_it_is_asked_for(monkeypatch, lines):
    register_scheme("toy", "a_toy_of_theirs:opened")
    module = types.ModuleType("a_toy_of_theirs")
    module.opened = lambda url, stream, create: ToyStore(lines, stream)
    with pytest.raises(ModuleNotFoundError):
        Processor("toy://orders")
    monkeypatch.setitem(sys.modules, "a_toy_of_theirs", module)
    with Processor("toy://orders") as p:
        assert type(p.store) is ToyStore


def test_an_address_that_nobody_opens_says_which_there_are(lines):
    register_scheme("toy", lambda url, stream, create: ToyStore(lines, stream))
    with pytest.raises(rw.UnsupportedError, match=r"no store for postgresql:// yet: .* or begin with toy://"):
        Processor("postgresql://host/db")


@pytest.mark.parametrize(
    ("scheme", "opener", "argument"),
    [
        ("sqlite", print, "scheme"),
        ("file", print, "scheme"),
        ("C", print, "scheme"),
        ("a b", print, "scheme"),
        ("Toy", print, "scheme"),
        (3, print, "scheme"),
        ("toy", 3, "opener"),
        ("toy", "module", "opener"),
        ("toy", ":function", "opener"),
    ],
)
def test_what_is_no_scheme_or_no_opener_is_refused(scheme, opener, argument):
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)) as raised:
        register_scheme(scheme, opener)
    assert raised.value.argument == argument


def test_a_path_is_a_file_and_nothing_is_memory(tmp_path):
    assert type(open_store(None)) is MemoryStore
    store = open_store(tmp_path / "orders.db", Stream(4))
    assert type(store) is SqliteStore
    assert open_store(store) is store
    with pytest.raises(rw.ArgumentError, match="stream"):
        open_store(store, Stream(8))
    store.close()


# --- what a store must have


def test_the_stores_have_all_of_the_protocol(tmp_path):
    stores = [MemoryStore(), SqliteStore(tmp_path / "a.db"), ToyStore()]
    assert [lacking(store) for store in stores] == [[], [], []]
    for store in stores:
        store.close()
    assert {"append", "read", "settle", "heartbeat", "hint", "news", "write_transaction", "failure"} <= set(
        lacking(None)
    )


@pytest.mark.parametrize("given", [3, object(), MemoryStore, ["a.db"]])
def test_what_is_no_store_at_all_is_refused(given):
    with pytest.raises(rw.ArgumentTypeError, match="store must be a path, a Store or None"):
        Processor(given)


def test_a_store_that_lacks_something_is_told_what():
    class Half(ToyStore):
        read = property()  # raises AttributeError

    with pytest.raises(rw.ArgumentTypeError, match="a Store, which also has read"):
        Processor(Half())


def test_the_protocol_is_the_sum_of_its_parts():
    parts = [part.__name__ for part in Store.__mro__[1:8]]
    assert parts == ["Log", "Groups", "Memberships", "Presence", "Feed", "Transactions", "Operations"]
    for part in Store.__mro__[1:8]:
        assert part.__doc__


# --- what a store takes in one call


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31])
@pytest.mark.parametrize("most", [None, 1, 8])
def test_what_is_cut_is_whole_and_no_part_is_too_long(count, most):
    items = list(range(count))
    parts = list(cut(items, most))
    assert [item for part in parts for item in part] == items
    dicts = list(cut_dict(dict.fromkeys(items, "x"), most))
    assert [item for part in dicts for item in part] == items
    for part in (*parts, *dicts):
        assert 0 < len(part) <= (most or count)


def test_more_than_a_store_takes_is_refused_before_anything_is_sent(lines):
    with Processor(ToyStore(lines)) as p:
        before = len(lines.lines)
        with pytest.raises(rw.ArgumentError, match="keys must be at most 16 in one call"):
            p.publish_many(["k"] * 17, [b""] * 17)
        with pytest.raises(rw.ArgumentError, match="payload must be at most 100000 bytes"):
            p.publish("k", b"x" * 100_001)
        with pytest.raises(rw.ArgumentError, match="payload must be at most 100000 bytes"):
            p.publish_many(["k"] * 2, [b"", b"x" * 100_001])
        assert len(lines.lines) == before
        assert [receipt.seq for receipt in p.publish_many(["k"] * 16, [b"x" * 100_000] * 16)] == list(range(1, 17))


def test_a_window_that_a_store_cannot_keep_is_refused(lines):
    with Processor(ToyStore(lines)) as p:
        with pytest.raises(rw.ArgumentError, match="id_window_s must be at most"):
            p.configure(id_window_s=WINDOW_MOST_S + 1)
        assert p.configure(id_window_s=WINDOW_MOST_S).id_window_s == WINDOW_MOST_S


def test_a_change_that_was_broken_off_says_that_it_can_go_on_and_does(lines):
    left = []

    def faults(point):
        if point == "partition" and left and left.pop():
            raise rw.StoreFullError("no space")

    with Processor(ToyStore(lines, Stream(4), faults=faults)) as p:
        p.consumer("g", retry=Retry(attempts=1), on_dead="skip")(lambda event: 1 / 0)
        p.publish_many([f"k{i}" for i in range(16)], [b""] * 16)
        assert p.run(until="idle", timeout_s=30)
        left = [True, False]
        with pytest.raises(rw.StoreFullError) as raised:
            p.redrive("g")
        assert raised.value.__notes__ == ["a part of it may be done: call it again for the rest"]
        states = [letter.state for letter in p.store.dead_letters("g")]
        assert {"dead", "redrive"} == set(states)
        p.redrive("g")
        assert {letter.state for letter in p.store.dead_letters("g")} == {"redrive"}
        left = [True]
        with pytest.raises(rw.StoreFullError):
            p.reset("g", "beginning")
        p.reset("g", "beginning")
        assert {state.cursor for state in p.store.states("g").values()} == {0}


# --- all of it, on a store with small bounds and no more than hints


def test_many_members_and_partitions_work_on_a_store_that_takes_little_at_a_time(lines):
    seen = []
    with Processor(ToyStore(lines, Stream(64))) as p:
        p.consumer("g", members=20)(lambda event: seen.append(event.seq))
        for i in range(20):
            p.publish_many([f"key{i}-{j}" for j in range(16)], [b"x"] * 16)
        assert p.run(until="idle", timeout_s=60)
    assert sorted(seen) == list(range(1, 321))


def test_asyncio_works_on_it_too(lines):
    seen = []

    async def main():
        async with aio.Processor(ToyStore(lines, Stream(8))) as p:

            @p.consumer("g", members=2)
            async def handle(event):
                seen.append(event.seq)

            await p.publish_many([f"k{i}" for i in range(16)], [b"x"] * 16)
            assert await p.run(until="idle", timeout_s=30)

    asyncio.run(main())
    assert sorted(seen) == list(range(1, 17))


def test_a_handler_that_wants_a_transaction_is_told_that_there_is_none(lines):
    with Processor(ToyStore(lines, Stream(8))) as p:
        p.consumer("g")(lambda event: event.transaction)
        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=30)
        (dead,) = p.dead("g")
    assert "this store has no transactions" in dead.error
