"""The write transaction of transactional handlers, and what else is to be stored of their partitions meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter

import pytest
from events.stepwise import World

import ringward as rw
from ringward.events import Processor, Retry, SqliteStore, Stream, aio


def runs_of(path, count, handle, **options):
    """Publish so many events of as many keys, and handle them; how often each was handled."""
    runs = Counter()
    with Processor(path, stream=Stream(partitions=2)) as p:
        p.publish_many([f"k{i}" for i in range(count)], [b"x"] * count)

        @p.consumer("g", **options)
        def handler(event):
            runs[event.seq] += 1
            handle(event)

        assert p.run(until="idle", timeout_s=20)
    return runs


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("first", [True, False])
def test_a_slow_transactional_handler_runs_once_an_event(tmp_path, members, first):
    def handle(event):
        if not first:
            time.sleep(0.05)
        event.transaction.execute("SELECT 1")
        if first:
            time.sleep(0.05)

    assert runs_of(tmp_path / "store.db", 8, handle, members=members) == dict.fromkeys(range(1, 9), 1)


def test_what_the_ticker_reports_does_not_get_into_the_way_of_a_turn(tmp_path):
    def handle(event):
        if event.seq % 2 == 0:
            event.transaction.execute("SELECT 1")
        time.sleep(0.01)

    assert runs_of(tmp_path / "store.db", 40, handle, batch_least=20) == dict.fromkeys(range(1, 41), 1)


def test_a_turn_lets_a_write_go_first_that_was_under_way_before(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Stream(partitions=1))
    world = World(lambda: store)
    handled = []

    def handle(event):
        event.transaction.execute("SELECT 1")
        handled.append(event.seq)

    process = world.process(store, handler=handle)
    world.publish(store, 1)
    process.tick()
    owned = process.group.owned[0]
    write_transaction, write_transactions = store.write_transaction, []

    def taken(group):
        write_transactions.append(owned.writing)
        if len(write_transactions) == 3:
            owned.writing = False
        return write_transaction(group)

    batch = process.take()
    store.write_transaction = taken
    owned.writing = True
    process.runner.run(batch)
    process.work()
    assert (handled, write_transactions) == ([1], [True, True, True])
    assert store.lowest_unresolved("g") == 2
    store.close()


def test_while_a_turn_lasts_nothing_of_its_partitions_is_taken_or_stored_and_then_all_is(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Stream(partitions=1), transaction_timeout_s=60)
    # When the first heartbeat is due hangs on the name of the process: of long heartbeats none falls into the write transaction.
    world = World(lambda: store, slow_s=0.02, batch=4, heartbeat_s=1000, lease_s=3000)
    process = world.process(store, members=2, handler=lambda event: during(event) if event.seq == 1 else None)
    ticks = []

    def during(event):
        event.transaction.execute("SELECT 1")
        for _ in range(3):
            world.clock += 0.05
            process.driver.tick(world.clock)  # it would wait for this very turn
            ticks.append((process.take(), process.group.owned[0].writing))

    world.publish(store, 8, keys=8)
    process.tick()
    process.step()
    assert ticks == [(None, False)] * 3
    process.work()
    assert store.lowest_unresolved("g") == 9
    store.close()


def test_a_handler_whose_turn_was_taken_away_keeps_nobody_waiting(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Stream(partitions=1), transaction_timeout_s=0.05)
    over, others = threading.Event(), threading.Event()
    attempts, handled = [], []
    with Processor(store) as p:

        @p.consumer("g", members=2)
        def handle(event):
            if event.key == "slow":
                attempts.append(event.attempt)
                event.transaction.execute("SELECT 1")
                if len(attempts) == 1:
                    over.wait(10)
            else:
                handled.append(event.key)
                if len(handled) == 3:
                    others.set()

        p.publish_many(["slow", "a", "b", "c"], [b"x"] * 4)
        p.start()
        assert others.wait(5)
        over.set()
        assert p.run(until="idle", timeout_s=10)
    assert sorted(handled) == ["a", "b", "c"]
    assert len(attempts) == 2


def test_a_transaction_in_a_coroutine_is_refused_with_what_to_do_and_not_tried_again(tmp_path):
    """It said that the store had no transactions, and each event was tried five times."""
    tries = []

    async def main():
        async with aio.Processor(tmp_path / "store.db") as p:

            @p.consumer("g")
            async def handle(event):
                tries.append(event.seq)
                event.transaction.execute("CREATE TABLE t (a)")

            await p.publish("k", b"")
            assert await p.run(until="idle", timeout_s=20)
            (dead,) = await p.dead("g")
            return dead

    dead = asyncio.run(main())
    assert (dead.state, dead.attempts, tries) == ("dead", 1, [1])
    assert "not available in coroutines" in dead.error
    assert "ringward.events.Processor" in dead.error


def test_a_transaction_in_memory_is_not_tried_again():
    with Processor() as p:
        p.consumer("g")(lambda event: event.transaction)
        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=20)
        (dead,) = p.dead("g")
    assert dead.attempts == 1
    assert "has no transactions" in dead.error


@pytest.mark.parametrize("when", ["after", "by another event", "kept handle"])
def test_a_transaction_after_its_handler_says_what_to_do(tmp_path, when):
    kept, told = [], []
    with Processor(tmp_path / "store.db") as p:

        @p.consumer("g", retry=Retry(attempts=1))
        def handle(event):
            if kept and when == "by another event":
                kept[0].transaction  # noqa: B018 - a property that does something
            kept.append(event.transaction if when == "kept handle" else event)

        p.publish_many(["k", "k"], [b"", b""])
        assert p.run(until="idle", timeout_s=20)
        told += [dead.error for dead in p.dead("g")]
        if when != "by another event":
            with pytest.raises(rw.TransactionError) as caught:
                (kept[0] if when == "kept handle" else kept[0].transaction).execute("SELECT 1")
            told.append(str(caught.value))
    assert "belongs to its event's handler and ends with it" in told[0]
    assert "use p.query to read" in told[0]
