"""Rule 11: replay."""

from __future__ import annotations


def test_rule_11_replay_is_a_new_group(world):
    process = world.process()
    world.publish(process.store, 30)
    process.tick()
    process.work()
    again = world.process(process.store, name="again")
    again.work()
    assert sorted(world.seqs()) == sorted([*range(1, 31)] * 2)
