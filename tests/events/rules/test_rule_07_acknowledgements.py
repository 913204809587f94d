"""Rule 7: acknowledgements."""

from __future__ import annotations

from events.stepwise import append, successor, two_keys


def test_rule_7_the_cursor_never_passes_what_is_unresolved(world):
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, two, two, one, two)
    world.fails[seqs[0]] = 1
    process.tick()
    process.work()
    state = process.store.states("g")[3]
    assert state.cursor == seqs[0] - 1
    assert [state.resolved(seq) for seq in seqs] == [False, True, True, False, True]
    fresh = successor(world, process)
    fresh.work()
    world.settle(fresh, seconds=5)
    assert world.seqs() == [seqs[0], seqs[1], seqs[2], seqs[4], seqs[0], seqs[3]]
    assert fresh.store.states("g")[3].cursor >= seqs[-1]


def test_rule_7_what_was_done_above_the_cursor_stays_done_through_many_claims(world):
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, *[two] * 60)
    world.fails[seqs[0]] = 4
    process.tick()
    process.work()
    for _ in range(3):
        process = successor(world, process)
        process.step()  # only part of the partition is read again
    world.settle(process, seconds=10)
    assert sorted(world.seqs()) == sorted(seqs + [seqs[0]] * 4)
