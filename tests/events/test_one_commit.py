"""What became of a batch, and the marks of the one that follows, in one commit."""

from __future__ import annotations

import pytest
from events.stepwise import World, append, in_order, key_in, two_keys

import ringward as rw
from ringward.events import Options, SqliteStore, Stream

ONE = {"options": Options(batch=1)}


class Calls:
    """A store that remembers how it was written to, and fails when it is told."""

    def __init__(self, store):
        self.store = store
        self.writes = []
        self.fails = None

    def __getattr__(self, name):
        """Be the store."""
        return getattr(self.store, name)

    def _write(self, name, group, items):
        self.writes.append((name, [item[0] for item in items]))
        if self.fails == name:
            raise rw.StoreFullError("no space")
        return getattr(self.store, name)(group, items)

    def mark(self, group, marks):
        """Remember it."""
        return self._write("mark", group, marks)

    def settle(self, group, settlements):
        """Remember it."""
        return self._write("settle", group, settlements)

    def read(self, *args):
        """Fail if told so."""
        if self.fails == "read":
            raise rw.StoreFullError("no space")
        return self.store.read(*args)


@pytest.fixture
def world(make):
    return World(make)


def begun(world, *keys, **options):
    """A process that has taken its first batch, and how it has written to its store since."""
    store = Calls(world.make())
    process = world.process(store, **{**ONE, **options})
    append(store, *keys)
    process.tick()
    batch = process.take()
    store.writes.clear()
    return process, batch, store


def open_marks(store):
    """The unresolved seqs that the states say are with handlers."""
    return {
        row[0]
        for partition, state in store.states("g").items()
        for low, high in state.in_flight
        for row in store.read([(partition, 0, 1000)], 1000)[0]
        if low <= row[0] <= high and not state.resolved(row[0])
    }


def test_the_next_batch_is_marked_in_the_commit_of_the_one_before(world):
    process, batch, store = begun(world, *[key_in(world.make(), p) for p in (1, 2, 3)])
    following = process.runner.run(batch, more=True)
    first, second = batch.epochs.keys() | set(), following.epochs.keys() | set()
    assert store.writes == [("settle", [*first, *second])]
    assert world.seqs() == [1]
    assert store.lowest_unresolved("g") == 2
    assert open_marks(store) == {row[0] for row, _ in following.events} == {2}
    while following is not None:
        following = process.runner.run(following, more=True)
    assert [name for name, _ in store.writes] == ["settle"] * 3
    assert store.lowest_unresolved("g") == 4
    assert process.group.quiet


def test_for_one_partition_it_is_one_document(world):
    process, batch, store = begun(world, *[key_in(world.make(), 3)] * 4)
    before = store.states("g")[3]
    following = process.runner.run(batch, more=True)
    after = store.states("g")[3]
    assert store.writes == [("settle", [3])]
    assert (after.revision, after.cursor, after.in_flight) == (before.revision + 1, 1, ((2, 2),))
    assert [row[0] for row, _ in following.events] == [2]


@pytest.mark.parametrize("size", [1, 3, 20])
def test_batches_of_any_size_go_on_like_this(world, size):
    process = world.process(Calls(world.make()), options=Options(batch=size, batch_least=size))
    world.publish(process.store, 60)
    process.tick()
    process.store.writes.clear()
    assert process.step(lambda: True)
    assert not process.step()
    batches = 60 // size
    assert [name for name, _ in process.store.writes] == ["mark", *["settle"] * batches]
    assert in_order(world) == 60
    assert process.store.lowest_unresolved("g") == 61


def test_members_of_a_process_take_turns_at_it(world):
    process = world.process(Calls(world.make()), members=3, **ONE)
    world.publish(process.store, 60, keys=30)
    process.tick()
    process.step(lambda: True)
    assert in_order(world) == 60
    assert [name for name, _ in process.store.writes].count("mark") == 1


def test_a_result_waits_for_nothing_when_nothing_follows(world):
    process, batch, store = begun(world, "before")
    process.runner.run(batch)
    process.work()
    append(store, "alone")
    process.tick()
    batch = process.take()
    store.writes.clear()
    store.fails = "read"  # there is nothing to read
    assert process.runner.run(batch, more=True) is None
    assert [name for name, _ in store.writes] == ["settle"]
    assert store.lowest_unresolved("g") == 3


def test_who_asks_for_no_more_gets_none(world):
    process, batch, store = begun(world, "a", "b")
    assert process.runner.run(batch) is None
    assert list(process.group.batches) == []
    assert open_marks(store) == set()


def test_letters_are_stored_before_a_mark_says_that_they_are_resolved(world):
    process, batch, store = begun(
        world, *[two_keys(world.make())[0]] * 3, options=Options(batch=1, retry=rw.events.Retry(1))
    )
    world.fails[1] = 1
    following = process.runner.run(batch, more=True)
    assert following is None  # the partition owes a dead letter
    assert [dead_letter.seq for dead_letter in store.dead_letters("g")] == [1, 2, 3][: len(store.dead_letters("g"))]
    process.work()
    assert [(dead_letter.seq, dead_letter.state) for dead_letter in store.dead_letters("g")] == [
        (1, "dead"),
        (2, "parked"),
        (3, "parked"),
    ]


def test_a_stale_acknowledgement_leaves_the_next_batch_its_mark(world):
    process, batch, store = begun(world, *[key_in(world.make(), p) for p in (1, 2)])
    (partition,) = batch.epochs
    store.claim("g", "thief#1", {partition: batch.epochs[partition]})
    following = process.runner.run(batch, more=True)
    assert partition not in process.group.owned
    assert process.group.fenced == 1
    assert open_marks(store) >= {row[0] for row, _ in following.events} != set()
    process.runner.run(following)
    assert store.states("g")[partition].owner == "thief#1"
    assert store.states("g")[partition].cursor == 0
    assert [store.states("g")[p].cursor for p in following.epochs] == [2]


def test_a_stale_mark_leaves_the_acknowledgement_and_its_batch_is_not_run(world):
    process, batch, store = begun(world, *[key_in(world.make(), p) for p in (1, 2)])
    other = next(p for p in (1, 2) if p not in batch.epochs)
    store.claim("g", "thief#1", {other: store.states("g")[other].epoch})
    following = process.runner.run(batch, more=True)
    assert list(following.events) == []
    process.runner.run(following)
    assert world.seqs() == [1]
    assert store.states("g")[next(iter(batch.epochs))].cursor == 1
    assert store.states("g")[other].owner == "thief#1"
    assert other not in process.group.owned
    assert process.group.batches == {}


@pytest.mark.parametrize("same", [True, False])
def test_when_the_commit_fails_both_are_unknown_and_delivered_again(world, same):
    keys = [key_in(world.make(), 3)] * 2 if same else [key_in(world.make(), p) for p in (1, 2)]
    process, batch, store = begun(world, *keys)
    store.fails = "settle"
    with pytest.raises(rw.StoreFullError):
        process.runner.run(batch, more=True)
    assert process.group.batches == {}
    assert process.group.handled_count == 0  # nothing is counted that may not be stored
    store.fails = None
    world.settle(process, seconds=2)
    assert world.seqs() == [1, 1, 2] if same else sorted(world.seqs()) == [1, 1, 2]
    assert store.lowest_unresolved("g") == 3


def test_when_nothing_can_be_read_the_acknowledgement_is_stored_all_the_same(world):
    process, batch, store = begun(world, *[key_in(world.make(), p) for p in (1, 2)])
    append(store, *[key_in(store, 5)] * 2)
    process.tick()
    store.writes.clear()
    store.fails = "read"
    with pytest.raises(rw.StoreFullError):
        process.runner.run(batch, more=True)
    assert store.writes == [("settle", list(batch.epochs))]
    assert process.group.batches == {}
    store.fails = None
    world.settle(process, seconds=2)
    assert sorted(world.seqs()) == [1, 2, 3, 4]


def test_when_what_was_put_off_cannot_be_stored_the_next_batch_is_given_back(world):
    process, batch, store = begun(world, *[key_in(world.make(), p) for p in (1, 2, 3)])
    late = next(p for p in (1, 2, 3) if p not in batch.epochs)

    class Once(Calls):
        def _write(self, name, group, items):
            if len(self.writes) == 1:
                self.fails = name
            elif not self.writes:  # meanwhile something else came up
                with process.driver.lock:
                    owned = process.group.owned[7]
                    owned.unsettled = True
                    process.group.queues.unsettled[7] = owned
            return super()._write(name, group, items)

    process.driver.store = failing = Once(store.store)
    with pytest.raises(rw.StoreFullError):
        process.runner.run(batch, more=True)
    assert [name for name, _ in failing.writes] == ["settle", "settle"]
    assert process.group.batches == {}
    assert process.group.owned[late].offsets.flying == 0
    process.driver.store = store
    world.settle(process, seconds=2)
    assert sorted(world.seqs()) == [1, 2, 3]


def test_what_a_turn_has_committed_is_not_synced_once_more_for_marks(tmp_path):
    store = Calls(SqliteStore(tmp_path / "store.db", Stream(partitions=8)))
    world = World(lambda: store)
    process = world.process(store, handler=lambda event: event.transaction.execute("SELECT 1"), **ONE)
    world.publish(store, 5)
    process.tick()
    store.writes.clear()
    process.step(lambda: True)
    assert [name for name, _ in store.writes] == ["mark"] * 5
    assert store.lowest_unresolved("g") == 6
    store.close()


def test_a_suspect_follows_alone(world):
    process, batch, _ = begun(world, *two_keys(world.make()) * 2, options=Options(batch=5, batch_least=5))
    process.driver.lose(batch.epochs)
    process.driver.finish(batch, world.clock)
    process.tick()
    batch, seen = process.take(), []
    while batch is not None:
        seen.append([batch.alone, len(batch.events)])
        batch = process.runner.run(batch, more=True)
    process.work()
    assert seen == [[True, 1]] * 4
    assert in_order(world) == 4
