"""Rule 6: attempts, marks and suspects."""

from __future__ import annotations

from events.stepwise import World, append, bury, in_order, key_in, successor, two_keys

from ringward.events.core.suspect_gate import SuspectGate


def test_rule_6_marks_are_stored_before_handlers_run(world):
    process = world.process()
    seqs = append(process.store, *[key_in(process.store, 3)] * 5)
    process.tick()
    process.take()
    assert process.store.states("g")[3].in_flight == ((seqs[0], seqs[-1]),)


def test_rule_6_a_mark_that_a_crash_left_charges_nobody_but_makes_suspects(world):
    process = world.process()
    append(process.store, *two_keys(process.store) * 5)
    process.tick()
    process.take()
    fresh = successor(world, process)
    sizes = []
    while (batch := fresh.take()) is not None:
        sizes.append((len(batch.events), batch.alone))
        fresh.runner.run(batch)
    assert sizes == [(1, True)] * 10
    assert [attempt for *_, attempt in world.effects] == [1] * 10
    assert in_order(world) == 10


def test_rule_6_a_poison_event_dies_alone(world):
    first = world.process()
    one, two = two_keys(first.store)
    seqs = append(first.store, one, two, one, two, two)
    poison = seqs[1]
    process, kills = first, 0
    process.tick()
    while True:
        batch = process.take()
        if batch is None:
            break
        if any(row[0] == poison for row, _ in batch.events):  # the process dies inside
            for _, _ in batch.left_to_run():
                pass
            kills += 1
            assert kills < 20
            process = successor(world, process)
        else:
            process.runner.run(batch)
    process.driver.settle_pending()
    dead_letters = process.store.dead_letters("g")
    assert [(dead_letter.seq, dead_letter.state, dead_letter.attempts) for dead_letter in dead_letters] == [
        (poison, "dead", 5),
        (seqs[3], "parked", 0),
        (seqs[4], "parked", 0),
    ]
    assert kills == 6  # the batch, and five times alone
    assert world.effects == [(one, seqs[0], 1), (one, seqs[2], 1)]


def test_rule_6_a_suspect_that_fails_still_comes_before_the_next_of_its_key(world):
    """After a caught exception it was no suspect any more, and was overtaken by the next one, which was."""
    process = world.process()
    seqs = append(process.store, *[key_in(process.store, 3)] * 4)
    process.tick()
    process.take()
    fresh = successor(world, process)
    world.fails[seqs[0]] = 1
    fresh.work()
    world.advance(1.0, fresh)
    for _ in range(2):  # as two threads would
        fresh.driver._fill("member-1")
    world.settle(fresh, seconds=3)
    assert world.seqs() == [seqs[0], *seqs]


def test_rule_6_a_suspect_runs_alone_in_its_process(world):
    process = world.process()
    append(process.store, *(key_in(process.store, partition) for partition in range(8)))
    process.tick()
    process.take()
    gate = SuspectGate()
    fresh = successor(world, process, members=2, gate=gate)
    other = world.process(fresh.store, name="other", gate=gate)
    batch = fresh.take()
    assert batch.alone
    assert fresh.take() is None
    assert other.take() is None
    fresh.runner.run(batch)
    assert fresh.take().alone


def test_rule_6_a_suspect_waits_for_a_handler_whose_partition_is_handed_over(world):
    """The batch was let off the gate when its partition was drained, while its handler was at work."""
    process = world.process()
    append(process.store, *(key_in(process.store, partition) for partition in range(8)))
    process.tick()
    process.take()
    gate = SuspectGate()
    fresh = successor(world, process, gate=gate)
    other = world.process(fresh.store, name="other", gate=gate)
    begun = other.take()
    other.begin(begun)
    other.group.leave("member-1")
    assert fresh.take() is None
    other.driver.finish(begun, world.clock)
    assert fresh.take().alone


def test_rule_6_caught_exceptions_count_and_concern_their_event_only(world):
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, two, one)
    world.fails[seqs[0]] = 2
    process.tick()
    process.work()
    assert world.seqs() == [seqs[0], seqs[1]]
    assert process.store.states("g")[3].attempts == ((seqs[0], 1),)
    world.settle(process, seconds=5)
    assert world.effects == [
        (one, seqs[0], 1),
        (two, seqs[1], 1),
        (one, seqs[0], 2),
        (one, seqs[0], 3),
        (one, seqs[2], 1),
    ]
    assert process.store.states("g")[3].attempts == ()


def test_rule_6_attempts_survive_a_takeover(world):
    process = world.process()
    (seq,) = append(process.store, "a")
    world.fails[seq] = 3
    process.tick()
    process.work()
    fresh = successor(world, process)
    world.settle(fresh, seconds=5)
    assert [attempt for *_, attempt in world.effects] == [1, 2, 3, 4]


def test_rule_6_marks_cover_all_that_is_handed_out_in_whatever_order(world):
    """The mark went up to the last row, which was not the highest: a suspect was then taken for a fresh event."""
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, two)
    world.fails[seqs[0]] = world.fails[seqs[1]] = 1
    process.tick()
    process.work()
    seqs += append(process.store, two, one)
    process.tick()
    process.work()
    world.clock += 1.0
    process.tick()
    batch = process.take()
    assert sorted(row[0] for row, _ in batch.events) == seqs
    assert process.store.states("g")[3].in_flight == ((seqs[0], seqs[-1]),)


def test_rule_6_a_redriven_event_that_kills_its_process_dies_too(world):
    """What was redriven was never counted, so a poison event killed one process after the other for ever."""
    process, _, _, seqs = bury(world)
    process.store.redrive("g", [seqs[0]])
    process.tick()
    sizes = []
    for _ in range(20):
        process.driver.settle_pending()
        batch = process.take()
        if batch is None:
            break
        sizes.append((len(batch.events), batch.alone))
        list(batch.left_to_run())  # the process dies inside
        process = successor(world, process)
    assert sizes == [(1, False)] + [(1, True)] * 5
    states = [
        (dead_letter.seq, dead_letter.state, dead_letter.attempts) for dead_letter in process.store.dead_letters("g")
    ]
    assert states == [(seqs[0], "dead", 5), (seqs[1], "parked", 0), (seqs[2], "parked", 0)]


def test_rule_6_what_was_redriven_behind_an_event_that_kills_its_process_is_delivered(make):
    """Where a dead event does not park its key, the next of the key waited until somebody else took the partition."""
    world = World(make, on_dead="skip")
    process = world.process()
    one, _ = two_keys(process.store)
    seqs = append(process.store, one, one)
    world.fails.update(dict.fromkeys(seqs, 5))
    world.settle(process)
    assert [dead_letter.state for dead_letter in process.store.dead_letters("g")] == ["dead", "dead"]
    process.store.redrive("g", seqs)
    process.tick()
    for _ in range(6):
        process.driver.settle_pending()
        batch = process.take()
        assert next(batch.left_to_run())[0][0] == seqs[0]  # the process dies inside
        process = successor(world, process)
    world.settle(process, seconds=5)
    assert [(dead_letter.seq, dead_letter.state) for dead_letter in process.store.dead_letters("g")] == [
        (seqs[0], "dead")
    ]
