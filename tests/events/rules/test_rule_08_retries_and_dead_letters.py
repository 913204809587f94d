"""Rule 8: retries and dead letters."""

from __future__ import annotations

from itertools import pairwise

import pytest
from events.stepwise import World, append, bury, successor


def test_rule_8_retries_wait_longer_and_longer_then_the_event_is_dead(world):
    process = world.process()
    (seq,) = append(process.store, "a")
    world.fails[seq] = 99
    times = []
    world.fails[seq] = lambda event: (times.append(world.clock), 1 / 0)
    for _ in range(400):
        world.advance(0.01, process)
        process.work()
    waits = [round(b - a, 2) for a, b in pairwise(times)]
    assert len(times) == 5
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4], abs=0.021)
    (dead_letter,) = process.store.dead_letters("g")
    assert (dead_letter.seq, dead_letter.state, dead_letter.attempts) == (seq, "dead", 5)
    assert dead_letter.error == "ZeroDivisionError: division by zero"
    assert process.store.lowest_unresolved("g") == 2


def test_rule_8_a_dead_event_parks_its_key_and_others_go_on(world):
    process, one, two, seqs = bury(world)
    later = append(process.store, one, two)
    world.settle(process, seconds=1)
    assert world.seqs() == [seqs[0], seqs[3], *[seqs[0]] * 4, later[1]]
    states = [(dead_letter.seq, dead_letter.state) for dead_letter in process.store.dead_letters("g")]
    assert states == [(seqs[0], "dead"), (seqs[1], "parked"), (seqs[2], "parked"), (later[0], "parked")]
    assert process.group.quiet
    assert process.store.lowest_unresolved("g") == later[1] + 1


def test_rule_8_redriven_events_come_in_order_and_unpark_the_key(world):
    process, one, _, seqs = bury(world)
    later = append(process.store, one)
    world.settle(process, seconds=1)
    del world.effects[:]
    epoch = process.store.states("g")[3].epoch
    assert process.store.redrive("g", [seqs[0]]) == 1
    world.settle(process, seconds=2)
    assert world.seqs() == [*seqs[:3], *later]
    assert [attempt for *_, attempt in world.effects] == [1] * 4
    assert process.store.dead_letters("g") == []
    assert process.store.states("g")[3].epoch > epoch
    more = append(process.store, one)
    world.settle(process, seconds=1)
    assert world.seqs()[4:] == more


def test_rule_8_a_redriven_event_can_die_again(world):
    process, _, _, seqs = bury(world)
    world.fails[seqs[0]] = 99
    process.store.redrive("g", [seqs[0]])
    world.settle(process, seconds=10)
    states = [
        (dead_letter.seq, dead_letter.state, dead_letter.attempts) for dead_letter in process.store.dead_letters("g")
    ]
    assert states == [(seqs[0], "dead", 5), (seqs[1], "parked", 0), (seqs[2], "parked", 0)]
    assert process.group.quiet


def test_rule_8_events_published_during_a_redrive_wait_for_it(world):
    process, one, _, seqs = bury(world)
    world.fails[seqs[1]] = 1
    process.store.redrive("g", [seqs[0]])
    process.tick()
    process.tick()
    process.work()
    later = append(process.store, one, one)
    world.settle(process, seconds=5)
    assert world.seqs()[-5:] == [seqs[1], seqs[1], seqs[2], *later]
    assert process.store.dead_letters("g") == []


def test_rule_8_a_dropped_event_lets_those_behind_it_go_on(world):
    process, _, _, seqs = bury(world)
    process.store.drop("g", [seqs[0]])
    world.settle(process, seconds=2)
    assert world.seqs()[-2:] == seqs[1:3]
    assert process.store.dead_letters("g") == []


def test_rule_8_skip_breaks_the_order_and_parks_nobody(make):
    world = World(make, on_dead="skip")
    process, one, _, seqs = bury(world)
    assert [s for s in world.seqs() if s != seqs[0]] == [seqs[3], seqs[1], seqs[2]]
    assert [(dead_letter.seq, dead_letter.state) for dead_letter in process.store.dead_letters("g")] == [
        (seqs[0], "dead")
    ]
    later = append(process.store, one)
    process.store.redrive("g", [seqs[0]])
    world.settle(process, seconds=2)
    assert sorted(world.seqs()[-2:]) == [seqs[0], *later]
    assert process.store.dead_letters("g") == []


def test_rule_8_a_parked_event_is_resolved_only_once_its_letter_is_stored(world):
    """A mark of the next batch said so before: a crash in between lost the event."""
    process, one, two, seqs = bury(world)
    later = append(process.store, one, two)
    process.tick()
    process.driver._fill("member-1")
    assert process.group.owned[3].owes_dead_letters
    process.take()
    stored = process.store.states("g")[3]
    assert stored.resolved(later[0]) <= (
        later[0] in [dead_letter.seq for dead_letter in process.store.dead_letters("g")]
    )
    fresh = successor(world, process)
    world.settle(fresh, seconds=1)
    assert [dead_letter.seq for dead_letter in fresh.store.dead_letters("g")] == [*seqs[:3], later[0]]
    assert world.seqs()[-1] == later[1]


def test_rule_8_parked_keys_stay_parked_through_a_takeover(world):
    process, one, two, seqs = bury(world)
    fresh = successor(world, process)
    later = append(fresh.store, one, two)
    world.settle(fresh, seconds=1)
    assert world.seqs()[-1] == later[1]
    assert later[0] in [dead_letter.seq for dead_letter in fresh.store.dead_letters("g")]
    assert seqs[1] not in world.seqs()


def test_rule_8_a_reset_is_a_new_generation(world):
    process = world.process()
    seqs = [r.seq for r in world.publish(process.store, 40)]
    process.tick()
    process.work()
    process.store.reset("g", 10)
    world.settle(process, seconds=2)
    assert sorted(world.seqs()) == sorted(seqs + seqs[10:])
    assert {d.generation for d in process.store.states("g").values()} == {1}
    assert process.store.lowest_unresolved("g") == 41


def test_rule_8_at_the_bound_of_letters_the_partition_stops(make):
    world = World(make, dead_letters_max=3)
    process, _, two, seqs = bury(world, count=6)
    append(process.store, two)
    world.settle(process, seconds=5)
    dead_letters = process.store.dead_letters("g")
    assert len(dead_letters) == 6  # what was read already; nothing more is
    assert world.seqs().count(seqs[-1] + 1) == 0
    process.store.drop("g", [dead_letter.seq for dead_letter in dead_letters])
    world.settle(process, seconds=5)
    assert world.seqs()[-1] == seqs[-1] + 1
