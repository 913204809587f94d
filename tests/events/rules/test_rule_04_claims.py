"""Rule 4: claims."""

from __future__ import annotations

from events.stepwise import append, key_in, pair

import ringward as rw


def test_rule_4_every_claim_raises_the_epoch(world):
    first, second = pair(world)
    before = {p: d.epoch for p, d in first.store.states("g").items()}
    lost = set(first.group.owned)
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.1, second)
    after = {p: d.epoch for p, d in first.store.states("g").items()}
    assert {p for p in after if after[p] > before[p]} == lost


def test_rule_4_who_was_taken_over_resolves_nothing(world):
    first, second = pair(world)
    world.publish(first.store, 100, keys=40)
    first.tick()
    batch = first.take()
    assert batch.events
    partitions = {row[1] for row, _ in batch.events}
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.1, second)
    before = {p: d for p, d in first.store.states("g").items() if p in partitions}
    first.runner.run(batch)
    assert {p: d for p, d in first.store.states("g").items() if p in partitions} == before
    second.work()
    handled = set(world.seqs())
    world.settle(second, seconds=2)
    assert set(world.seqs()) == set(range(1, 101)) >= handled


def test_rule_4_who_joined_since_the_last_look_is_not_taken_for_gone(world):
    """A process whose membership was older than the states took partitions from a member that it did not know yet."""
    first, second = pair(world)
    newest = first.group.members.membership
    alone = rw.HashRing(["member-1"]).snapshot().to_bytes()
    first.group.members._adopt(newest._replace(number=1, members=newest.members[:1], router=alone))
    before = first.store.states("g")
    first.driver.claims.ask()
    first.driver.claims.survey()
    assert first.store.states("g") == before
    first.group.members._adopt(newest)
    first.driver.claims.survey()
    assert first.store.states("g") == before
    assert second.group.owned


def test_rule_4_a_takeover_goes_in_steps_with_events_of_others_between(world):
    """All was claimed, read and handled at once: until then, events of the partitions that are held waited."""
    first, second = pair(world)
    mine, lost = list(second.group.owned), list(first.group.owned)
    second.group.claims = 1
    seqs = append(first.store, *(key_in(first.store, p) for p in lost))
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.1, second)
    assert len(second.group.owned) == len(mine) + 1
    (told,) = append(second.store, key_in(second.store, mine[0]))
    second.driver.appended([(told, mine[0])])
    assert second.step()
    assert told in world.seqs()
    assert len(world.seqs()) == 3
    second.work()
    assert set(world.seqs()) == {*seqs, told}
    assert set(second.group.owned) == {*mine, *lost}


def test_rule_4_what_was_claimed_for_a_lease_that_is_over_is_left_to_others(world):
    first, second = pair(world)
    lost = list(first.group.owned)
    second.group.claims = 1
    claim = second.store.claim

    def late(group, owner, epochs):
        claimed = claim(group, owner, epochs)
        second.group.members.leave("member-2")
        membership = second.group.members.membership
        members = tuple((name, member._replace(up=False)) for name, member in membership.members)
        second.group.members.shown(membership._replace(number=membership.number + 1, members=members))
        return claimed

    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    second.store.claim = late
    before = dict(second.group.owned)
    world.advance(0.1, second)
    assert second.group.owned == before
    assert [d.owner for p, d in second.store.states("g").items() if p in lost].count("member-2#1") == 1
