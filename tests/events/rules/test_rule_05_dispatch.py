"""Rule 5: dispatch."""

from __future__ import annotations

from events.stepwise import World, append, key_in, two_keys


def test_rule_5_a_slow_event_holds_up_its_key_alone(world):
    process = world.process()
    slow, other = two_keys(process.store)
    seqs = append(process.store, slow, other, slow, other, slow)
    process.tick()
    batch = process.take()
    event = process.begin(batch)
    assert event.key == slow
    assert process.take() is None
    process.tick()
    world.advance(0.05, process)
    process.work()
    assert world.seqs() == [seqs[1], seqs[3]]
    later = append(process.store, slow, other)
    process.tick()
    process.work()
    assert world.seqs() == [seqs[1], seqs[3], later[1]]
    batch.note(event[0], None)
    process.driver.finish(batch, world.clock)
    process.work()
    assert world.seqs() == [seqs[1], seqs[3], later[1], seqs[2], seqs[4], later[0]]
    assert process.group.quiet
    assert process.store.lowest_unresolved("g") == 8


def test_rule_5_what_was_handled_before_a_slow_event_is_acknowledged(world):
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, two, one)
    process.tick()
    batch = process.take()
    batch.note(process.begin(batch)[0], None)
    process.begin(batch)
    process.tick()
    world.advance(0.05, process)
    assert process.store.states("g")[3].resolved(seqs[0])
    process.work()
    assert world.seqs() == [seqs[2]]


def test_rule_5_waiting_events_hold_only_their_seq(world):
    process = world.process()
    slow = key_in(process.store, 3)
    append(process.store, *[slow] * 200)
    process.tick()
    process.begin(process.take())
    process.tick()
    for _ in range(20):
        world.advance(0.05, process)
        process.work()
    owned = process.group.owned[3]
    assert len(owned.queues[slow.encode()].seqs) == 199
    assert not owned.ready


def test_rule_5_the_window_bounds_what_is_held(make):
    world = World(make, window=50)
    process = world.process()
    slow = key_in(process.store, 3)
    seqs = append(process.store, *[slow] * 200)
    process.tick()
    batch = process.take()
    event = process.begin(batch)
    for _ in range(20):
        world.advance(0.05, process)
        process.work()
    assert len(process.group.owned[3].offsets.order) <= 70
    batch.note(event[0], None)
    process.driver.finish(batch, world.clock)
    world.settle(process, seconds=1)
    assert world.seqs() == seqs[1:]
