"""Rule 13: hand-over."""

from __future__ import annotations

from events.stepwise import append, key_in, pair


def test_rule_13_who_leaves_hands_over_without_waiting_for_a_lease(world):
    first, second = pair(world)
    world.publish(first.store, 60, keys=30)
    for process in (first, second):
        process.tick()
    batch = first.take()
    event = first.begin(batch)
    first.group.leave("member-1")
    world.advance(0.1, first, second)
    assert set(first.group.owned) == {event.partition}  # what is in flight is finished
    first.tick()
    batch.note(event[0], None)
    first.driver.finish(batch, world.clock)
    for _ in range(3):
        world.advance(0.1, first, second)
    assert not first.group.owned
    assert set(second.group.owned) == set(range(8))
    second.work()
    assert sorted([*world.seqs(), event.seq]) == list(range(1, 61))
    assert {d.in_flight for d in second.store.states("g").values()} == {()}
    assert not dict(second.store.membership("g").members)["member-1"].up


def test_rule_13_a_key_that_dies_during_the_hand_over_is_parked_without_gaps(world):
    """What waited in memory was forgotten in part, so later events were parked before earlier ones."""
    first, second = pair(world)
    partition = next(iter(first.group.owned))
    key = key_in(first.store, partition)
    seqs = append(first.store, *[key] * 60)
    world.fails[seqs[0]] = 1
    first.tick()
    first.work()  # now all wait in the queue of the key
    world.advance(1.0, first, second)
    batch = first.take()
    event = first.begin(batch)
    first.driver._fill("member-1")  # some of those that wait are ready, the last ones not
    assert len(first.group.owned[partition].ready) == 20
    first.group.leave("member-1")
    first.group.owned[partition].offsets.attempts[event.seq] = 4
    batch.note(event[0], "ValueError")
    first.driver.finish(batch, world.clock)
    parked = {dead_letter.seq for dead_letter in first.store.dead_letters("g")}
    assert parked == set(seqs[:20])
    for _ in range(4):
        world.advance(0.1, first, second)
    second.store.redrive("g", [event.seq])
    world.settle(second, seconds=2)
    assert world.seqs() == [seqs[0], *seqs]


def test_rule_13_what_is_given_back_is_no_suspect(world):
    first, second = pair(world)
    world.publish(first.store, 100, keys=50)
    first.tick()
    first.driver._fill("member-1")
    first.group.leave("member-1")
    for _ in range(3):
        world.advance(0.1, first, second)
    assert not any(owned.offsets.suspects for owned in second.group.owned.values())
    batch = second.take()
    assert not batch.alone
