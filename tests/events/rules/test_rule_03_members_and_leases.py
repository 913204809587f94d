"""Rule 3: members and leases."""

from __future__ import annotations

import pytest
from events.stepwise import Other, deleted_and_opened, in_order, pair

import ringward as rw
from ringward.events import Options


def test_rule_3_members_share_the_partitions(world):
    first, second = pair(world)
    held = [set(process.group.owned) for process in (first, second)]
    assert held[0] | held[1] == set(range(8))
    assert not held[0] & held[1]
    assert all(held)


def test_rule_3_a_member_whose_lease_stands_still_is_taken_over(world):
    first, second = pair(world)
    first.store.hint = second.store.hint = lambda process: "unknown"
    lost = set(first.group.owned)
    for _ in range(45):
        world.advance(0.1, second)
    assert set(second.group.owned).isdisjoint(lost)
    for _ in range(10):
        world.advance(0.1, second)
    assert set(second.group.owned) == set(range(8))
    assert all(d.owner == "member-2#1" for d in second.store.states("g").values())


def test_rule_3_a_process_that_is_gone_is_taken_over_at_once(world):
    first, second = pair(world)
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.025, second)
    assert set(second.group.owned) == set(range(8))


def test_rule_3_a_member_that_was_declared_dead_rejoins_under_a_new_incarnation(world):
    first, second = pair(world)
    first.store.hint = second.store.hint = lambda process: "unknown"
    for _ in range(70):
        world.advance(0.1, second)
    assert set(second.group.owned) == set(range(8))
    for _ in range(5):
        world.advance(0.1, first, second)
    members = dict(first.store.membership("g").members)
    assert (members["member-1"].incarnation, members["member-1"].up, members["member-1"].deaths) == (2, True, 1)
    assert set(first.group.owned) | set(second.group.owned) == set(range(8))
    assert first.group.owned


def test_rule_3_a_lease_of_a_deleted_group_is_not_that_of_the_next(world):
    first, second = deleted_and_opened(world)
    world.advance(0.1, first)  # joins anew
    world.advance(0.1, first, second)  # the first heartbeat, as before; then it stands still
    for _ in range(55):
        world.advance(0.1, second)
    assert dict(first.store.membership("g").members)["member-1"].up
    for _ in range(10):
        world.advance(0.1, second)
    assert not dict(first.store.membership("g").members)["member-1"].up


def test_rule_3_a_process_raises_no_lease_of_another_that_has_the_name_of_its_own(world):
    first, second = deleted_and_opened(world)
    third = world.process(None if world.make.shared else Other(first.store))
    world.advance(0.1, second, third)
    assert dict(third.store.membership("g").members)["member-1"].process == third.store.process
    for _ in range(40):
        world.advance(0.1, second)
    world.advance(0.0, first, second)  # it stood still, and heartbeats before it looks
    for _ in range(25):
        world.advance(0.1, second)
    assert not dict(third.store.membership("g").members)["member-1"].up


def test_rule_3_the_lease_is_at_least_three_beats():
    with pytest.raises(rw.ArgumentError, match="lease_s must be at least 6"):
        Options(lease_s=5.0, heartbeat_s=2.0)


def test_rule_3_steps_of_the_wall_clock_and_long_pauses_do_no_harm(world, clock):
    first, second = pair(world)
    clock.now += 10_000_000
    before = {p: d.epoch for p, d in first.store.states("g").items()}
    world.clock += 3600  # both were suspended
    for _ in range(20):
        world.advance(0.1, first, second)
    assert {p: d.epoch for p, d in first.store.states("g").items()} == before


def test_rule_3_a_hang_does_not_hide_behind_a_heartbeat(world):
    process = world.process(members=2)
    world.publish(process.store, 20, keys=1)
    process.tick()
    batch = process.take()
    hung = process.begin(batch)
    lease = process.group.members.owner_of(batch.member)
    while process.group.members.is_up(lease):
        world.advance(1.0, process)
        assert world.clock < 70
    assert world.clock > 60
    world.advance(1.0, process)
    assert process.group.members.owner_of(batch.member) != lease
    world.settle(process, seconds=5.0)
    assert in_order(world) == 20
    epochs = {p: d.epoch for p, d in process.store.states("g").items()}
    batch.note(hung[0], None)
    process.driver.finish(batch, world.clock)  # the late acknowledgement counts for nothing
    assert {p: d.epoch for p, d in process.store.states("g").items()} == epochs
    assert process.store.lowest_unresolved("g") == 21
    assert not process.group.batches


def test_rule_3_a_member_that_keeps_dying_is_damped(world):
    first, second = pair(world)
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    joined = []
    for _ in range(200):
        world.advance(0.1, first)
        joined.append(first.group.members.is_in("member-1"))
        world.advance(0.0, second)
    membership = dict(second.store.membership("g").members)["member-1"]
    assert 3 < membership.deaths < 12
    assert joined.count(True) < 20
