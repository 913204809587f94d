"""Rule 20: damping."""

from __future__ import annotations

from events.stepwise import often_dead


def test_rule_20_a_damped_member_joins_when_nobody_else_is_left(world):
    # It waited out its damping, up to 30 s, while nobody did its work.
    first = world.process(members=["a"])
    often_dead(world, first.store, "b")
    world.advance(0.1, first)
    second = world.process(members=["b"])
    if "a" not in dict(second.store.membership("g").members) or second.store.process == first.store.process:
        return  # in memory all are one process, whose death shows in no lock
    second.store.hint = lambda process: "here"
    world.advance(0.1, first, second)
    assert second.group.members.damped(world.clock) == ("b",)
    assert not second.group.members.is_in("b")
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.1, second)
    world.advance(0.1, second)
    assert second.group.members.is_in("b")
    assert second.group.members.damped(world.clock) == ()
    second.work()
    assert len(second.group.owned) == 8


def test_rule_20_an_unnamed_member_does_not_inherit_what_another_process_did(world):
    first = world.process(members=["a"])
    often_dead(world, first.store, "member-1")
    world.advance(0.1, first)
    second = world.process()
    world.advance(0.1, second)
    assert second.group.members.is_in("member-1")
    assert dict(second.store.membership("g").members)["member-1"].deaths == 0
