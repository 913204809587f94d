"""What a call of the store that fails leaves behind."""

from __future__ import annotations

import pytest
from events.stepwise import World, append, bury, key_in, pair

import ringward as rw
from ringward.events import Retry
from ringward.events.model.store import Settlement


def test_a_settlement_that_fails_is_unknown_and_its_events_are_delivered_again(make):
    failing = []

    def faults(point):
        if point in failing:
            failing.remove(point)
            raise rw.StoreFullError("no space")

    world = World(lambda: make(faults=faults))
    world.make.__dict__["shared"] = make.shared
    process = world.process()
    world.publish(process.store, 20)
    process.tick()
    batch = process.take()
    failing.extend(("settle", "settled"))
    with pytest.raises(rw.StoreFullError):
        process.runner.run(batch)
    failing.clear()
    world.settle(process, seconds=2)
    assert set(world.seqs()) == set(range(1, 21))
    assert process.store.lowest_unresolved("g") == 21


def test_a_release_that_fails_is_tried_again(make):
    """The owned partition was taken for being written to, and the lease kept all others out, for ever."""
    failing = []

    def faults(point):
        if point in failing:
            failing.remove(point)
            raise rw.StoreFullError("no space")

    world = World(lambda: make(faults=faults))
    world.make.__dict__["shared"] = make.shared
    first, second = pair(world)
    first.group.leave("member-1")
    failing.extend(("settle", "settled"))
    with pytest.raises(rw.StoreFullError):
        first.tick()
    failing.clear()
    for _ in range(4):
        world.advance(0.1, first, second)
    assert set(second.group.owned) == set(range(8))
    assert not first.group.members.present


def test_rows_that_could_not_be_read_are_asked_for_again(world):
    """The queue waited for ever for what had been asked for."""
    process = world.process()
    (seq,) = append(process.store, "a")
    world.fails[seq] = 1
    process.tick()
    process.work()
    world.clock += 1.0
    process.tick()
    rows = process.store.rows
    process.store.rows = lambda seqs: (_ for _ in ()).throw(rw.BackpressureError("store", "free", "busy"))
    with pytest.raises(rw.BackpressureError):
        process.take()
    process.store.rows = rows
    world.settle(process, seconds=1)
    assert world.seqs() == [seq, seq]


def test_rows_of_other_partitions_that_the_same_look_would_have_read_are_asked_for_again(world):
    """Only the partition at which the store failed was told, the queues of those after it waited for ever."""
    process = world.process()
    seqs = append(process.store, *(key_in(process.store, partition) for partition in range(3)))
    world.fails = dict.fromkeys(seqs, 1)
    process.tick()
    process.work()
    world.advance(1.0, process)
    rows, reads = process.store.rows, []

    def second_fails(asked):
        reads.append(asked)
        if len(reads) == 2:
            raise rw.BackpressureError("store", "free", "busy")
        return rows(asked)

    process.store.rows = second_fails
    with pytest.raises(rw.BackpressureError):
        process.take()
    process.store.rows = rows
    world.settle(process, seconds=2)
    assert len(reads) == 2
    assert sorted(world.seqs()) == sorted([*seqs, *seqs])


def test_a_look_at_the_documents_that_failed_is_made_up_for(world):
    """A redriven event was not noticed then, until something else happened in its partition."""
    process, _, _, seqs = bury(world)
    process.store.redrive("g", [seqs[0]])
    states = process.store.states
    process.store.states = lambda group: (_ for _ in ()).throw(rw.BackpressureError("store", "free", "busy"))
    with pytest.raises(rw.BackpressureError):
        process.tick()
    process.store.states = states
    world.settle(process, seconds=2)
    assert process.store.dead_letters("g") == []


def test_a_document_of_another_epoch_is_refused_whatever_it_says(world):
    process = world.process()
    state = process.store.states("g")[0]
    forged = state._replace(epoch=state.epoch + 1, revision=state.revision + 1, cursor=99)
    assert process.store.settle("g", [Settlement(0, forged)]) == {0}


def test_retry_says_what_is_wrong_with_it():
    with pytest.raises(rw.ArgumentError, match="attempts must be at least 1"):
        Retry(attempts=0)
    with pytest.raises(rw.ArgumentError, match="factor must be at least 1"):
        Retry(factor=0.5)
    assert [Retry().delay_s(n, 0.0) for n in (1, 2, 20)] == [0.05, 0.1, 15.0]
    assert Retry().delay_s(1, 0.999) < 0.1
