"""All of the rules together."""

from __future__ import annotations

from events.stepwise import in_order


def test_every_event_is_handled_once_and_in_order(world):
    process = world.process(members=3)
    world.publish(process.store, 300)
    process.tick()
    process.work()
    assert in_order(world) == 300
    assert process.group.quiet
    assert process.store.lowest_unresolved("g") == 301
    assert process.store.unresolved("g") == {}


def test_a_group_that_comes_late_gets_everything(world):
    store = world.make()
    world.publish(store, 50)
    world.process(store).work()
    assert in_order(world) == 50
