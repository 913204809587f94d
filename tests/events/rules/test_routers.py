"""Which member owns which partition is what the router says."""

from __future__ import annotations

import pytest
from events.stepwise import Other, in_order, pair

import ringward as rw


class _Theirs(rw.HashRing):
    """A placement of the user's own: the package has none of its name."""

    __slots__ = ()


@pytest.mark.parametrize(
    "router",
    [
        rw.HashRing,
        rw.PrimaryBackup,
        lambda names: rw.PartitionTable(names, partitions=8, replicas=1),
        lambda names: rw.PartitionedRing(names, part_size=2),
        _Theirs,
    ],
    ids=["ring", "primary", "table", "partitioned", "theirs"],
)
def test_the_router_decides_who_owns_what(world, router):
    first, second = pair(world, router=router, members=2)
    owners = {p: d.owner.rpartition("#")[0] for p, d in first.store.states("g").items()}
    routed = first.group.members.owners
    assert owners == dict(enumerate(routed))
    assert second.group.members.owners == routed
    world.publish(first.store, 50)
    world.settle(first, second, seconds=1)
    assert in_order(world) == 50


def test_a_router_with_names_of_its_own_keeps_its_order(world):
    store = world.make()
    store.hint = lambda process: "unknown"
    router = rw.PrimaryBackup(["main", "backup"])
    backup = world.process(store, members=["backup"], router=router)
    assert set(backup.group.owned) == set(range(8))
    main = world.process(Other(store), members=["main"], router=router)
    for _ in range(4):
        world.advance(0.1, backup, main)
    assert set(main.group.owned) == set(range(8))
    assert not backup.group.owned


def test_the_router_can_be_changed_at_runtime(world):
    process = world.process(members=3)
    world.publish(process.store, 50)
    process.tick()
    process.step()
    process.group.members.reroute(rw.PrimaryBackup)
    world.settle(process, seconds=2)
    assert {d.owner for d in process.store.states("g").values()} == {"member-1#1"}
    assert in_order(world) == 50
