"""The driver, where a ticker and a worker meet."""

from __future__ import annotations

import random
import threading
from collections import deque

import pytest
from events.apart import Apart, Kept
from events.stepwise import World, append, key_in, pair

from ringward.errors import BackpressureError
from ringward.events import MemoryStore, Options
from ringward.events.core.group import Group
from ringward.events.engine.driver import GroupDriver
from ringward.events.model.settings import Retention


def test_a_worker_that_finishes_while_the_ticker_reports_waits_for_it():
    # Both took outcomes off without the lock: one popped what the other had taken.
    store = MemoryStore()
    store.open_group("g", 0)
    group = Group("g", store.process, store.stream.middles(), Options(), chance=random.random, durable=False)
    group.members.join_unnamed(1)
    driver = GroupDriver(store, group)
    driver.tick(0.0)
    driver.appended([r[:2] for r in store.append("p", [store.stream.entry("k", b"", None, None)] * 10)])
    batch = driver.next(0.0)
    worker = threading.Thread(target=driver.finish, args=(batch, 0.0))

    class Outcomes(deque):
        def popleft(self):
            if worker.ident is None:
                worker.start()
                worker.join(0.2)
            return super().popleft()

    batch.done = Outcomes(row for row, _ in batch.left_to_run())
    driver.report(batch, 0.0)
    worker.join()
    assert group.handled_count == 10
    assert driver.next(0.0) is None
    assert group.quiet


@pytest.mark.parametrize("refused", ["rows", "read"])
def test_a_read_that_is_refused_is_asked_for_again(make, refused):
    # What was to be read of one partition was forgotten when the rows of another were refused.
    world = World(make)
    process = world.process()
    first, second = key_in(process.store, 3, "a"), key_in(process.store, 4, "b")
    append(process.store, first)
    world.fails[1] = 1
    process.tick()
    process.work()
    append(process.store, second)
    world.advance(1.0, process)  # the first is to be recalled, and the second to be read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.driver, "store", Refuses(process.store, refused))
        with pytest.raises(BackpressureError):
            process.take()
    world.advance(1.0, process)
    process.work()
    assert sorted(set(world.seqs())) == [1, 2]
    assert process.group.quiet


def test_what_was_pruned_is_not_looked_for_again_and_again(make):
    # A worker read without end what it knew of, when the group had been deleted and the log pruned meanwhile.
    process = World(make).process(Reads(make()))
    store = process.store
    process.work()
    append(store, "a", "a", "b")
    process.tick()  # knows of them
    store.delete_group("g")
    store.configure(retention=Retention(age_s=None, count=0))
    store.prune(1000)
    assert store.totals().first == 4
    store.most = len(store.reads) + 10
    assert process.take() is None
    append(store, "b")
    store.open_group("g", 0)
    process.world.settle(process, seconds=5.0)
    assert process.world.seqs() == [4]


class Refuses:
    """A store that refuses one kind of read."""

    def __init__(self, store, name):
        self.store = store
        self.name = name

    def __getattr__(self, name):
        """Be the store, but for that."""
        if name == self.name:
            raise BackpressureError("store", "free of other programs' locks", name)
        return getattr(self.store, name)


class Reads:
    """A store that remembers what was read of partitions."""

    def __init__(self, store):
        self.store = store
        self.reads = []
        self.most = 1000

    def __getattr__(self, name):
        """Be the store."""
        return getattr(self.store, name)

    def read(self, wanted, *bounds):
        """Remember it."""
        self.reads.extend(wanted)
        assert len(self.reads) <= self.most
        return self.store.read(wanted, *bounds)


@pytest.fixture
def caught_up(make):
    """A process that has read all there is, and a function that publishes one event in it, or elsewhere."""
    world = World(make)
    process = world.process(Reads(make()))
    process.work()
    process.store.reads.clear()

    def publish(key, *, here=True, id=None):
        receipts = process.store.append("p", [process.store.stream.entry(key, b"x", id, {"a": "b"})])
        if here:
            process.driver.appended([receipt[:2] for receipt in receipts], getattr(receipts, "row", None))
        return receipts[0]

    return world, process, publish


def test_an_event_that_is_published_in_the_process_that_handles_it_need_not_be_read(caught_up):
    world, process, publish = caught_up
    for key in "abcabc":
        receipt = publish(key, id=f"{key}{len(world.effects)}")
        batch = process.take()
        assert [row for row, _ in batch.events] == process.store.store.rows([receipt.seq])
        process.runner.run(batch)
    for key in "ccaabb":
        publish(key)
    process.work()
    assert sorted(world.seqs()) == list(range(1, 13))
    assert process.store.reads == []
    assert process.group.quiet


@pytest.mark.parametrize("known", [False, True])
def test_an_event_behind_one_that_is_not_read_yet_is_read_with_it(caught_up, known):
    world, process, publish = caught_up
    receipt = publish("k", here=False)
    if known:
        process.driver.appended([receipt[:2]])
    publish("k")
    process.work()
    assert world.seqs() == [1, 2]
    assert len(process.store.reads) == 1


def test_a_repeat_and_news_that_come_late_are_not_handed_out_again(caught_up):
    world, process, publish = caught_up
    publish("k", id="first")
    process.work()
    assert publish("k", id="first").duplicate
    receipts = process.store.append("p", [process.store.stream.entry("k", b"x", None, None)])
    process.tick()  # sees it in the log
    process.work()
    process.driver.appended([receipt[:2] for receipt in receipts], receipts.row)
    process.work()
    assert world.seqs() == [1, 2]


def test_many_events_that_are_at_hand_are_not_read(make):
    """Only a single one was taken as it was published; all others were read from the file again."""
    world = World(make)
    process = world.process(Reads(make()))
    process.work()
    process.store.reads.clear()
    stream, seqs = process.store.stream, []
    for size in (3, 16, 16):
        receipts = process.store.append("p", [stream.entry(f"k{n % 5}", b"x", None, None) for n in range(size)])
        rows = getattr(receipts, "rows", ())
        assert len(rows) in {0, size}
        process.driver.appended([receipt[:2] for receipt in receipts], rows=rows)
        process.work()
        seqs += [receipt.seq for receipt in receipts]
        assert not (process.store.reads and len(rows) == size), "they were read"
        process.store.reads.clear()
    assert sorted(world.seqs()) == seqs


def test_what_has_no_room_in_memory_is_read_later(make):
    world = World(make)
    process = world.process(Reads(make()), options=Options(batch=5, window=5))
    process.work()
    process.store.reads.clear()
    for _ in range(20):
        receipts = process.store.append("p", [process.store.stream.entry("k", b"x", None, None)])
        process.driver.appended([receipt[:2] for receipt in receipts], receipts.row)
    process.tick()
    (owned,) = [each for each in process.group.owned.values() if each.offsets.order]
    assert len(owned.offsets.order) == 5
    assert process.store.reads == []
    process.work()
    assert world.seqs() == list(range(1, 21))
    assert process.store.reads


def test_a_look_for_work_costs_no_more_for_many_members_that_have_none(make):
    world = World(make)
    process = world.process(members=500)
    world.advance(0.1, process)
    process.work()

    class Counted(type(process.driver.lock)):
        taken = 0

        def __enter__(self):
            Counted.taken += 1
            return super().__enter__()

    process.driver.lock = Counted()
    assert process.take() is None
    assert Counted.taken < 10
    world.publish(process.store, 20)
    process.tick()
    process.work()
    assert len(world.effects) == 20


def test_the_store_is_never_asked_with_the_lock_that_all_groups_share(make):
    # Whether other processes live was asked within it: a file lock each, while every worker waited.
    world = World(make)
    here, other = pair(world)
    lock = Kept()
    here.store = Apart(here.store, lock)
    here.driver.lock, here.driver.store = lock, here.store
    for part in (here.driver.claims, here.driver.tail):
        part._lock, part._store = lock, here.store
    world.publish(other.store, 50)
    world.settle(other, here, seconds=1)
    here.driver.lose(list(here.group.owned))
    world.publish(other.store, 50)
    world.settle(other, here, seconds=2)
    here.driver.abandon(world.clock)
    assert {"hint", "heartbeat", "membership", "claim", "settle", "change_membership"} <= here.store.asked
    assert len(set(world.seqs())) == 100
