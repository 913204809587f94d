"""The rules of the event processor, one by one, on the real state machine and stores, without threads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from events.world import World

import ringward as rw
from ringward.events import Member, Membership, Options, Retry
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.model.store import Settlement


@pytest.fixture
def world(make):
    return World(make)


def in_order(world):
    """Check that each key's events were handled in order, and return how many handlings there were."""
    for seqs in world.by_key().values():
        assert seqs == sorted(seqs)
    return len(world.effects)


def key_in(store, partition, prefix="k"):
    """Find a key of a partition."""
    return next(key for key in (f"{prefix}{i}" for i in range(10_000)) if store.stream.partition_of(key) == partition)


def two_keys(store):
    """Two keys of one partition."""
    return key_in(store, 3, "a"), key_in(store, 3, "b")


def append(store, *keys):
    return [r.seq for r in store.append("p", [store.stream.entry(key, b"x", None, None) for key in keys])]


# --- all of it


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


# --- rule 3: members and leases


def pair(world, **options):
    """Two processes that share the partitions of one group."""
    if world.make.kind == "memory":
        store = world.make()
        store.alive = lambda process: None
        stores = [store, _Other(store)]
    else:
        stores = [world.make(), world.make()]
    first = world.process(stores[0], **options)
    second = world.process(stores[1], **options)
    for _ in range(3):
        world.advance(0.1, first, second)
    return first, second


class _Other:
    """The same store in memory, as another process would see it."""

    count = 0

    def __init__(self, store):
        self._store = store
        _Other.count += 1
        self.process = f"other{self.count}"

    def __getattr__(self, name):
        return getattr(self._store, name)

    def alive(self, process):
        return None


def test_rule_3_members_share_the_partitions(world):
    first, second = pair(world)
    held = [set(process.group.owned) for process in (first, second)]
    assert held[0] | held[1] == set(range(8))
    assert not held[0] & held[1]
    assert all(held)


def test_rule_3_a_member_whose_lease_stands_still_is_taken_over(world):
    first, second = pair(world)
    first.store.alive = second.store.alive = lambda process: None
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
    second.store.alive = lambda process: process != first.store.process
    world.advance(0.025, second)
    assert set(second.group.owned) == set(range(8))


def test_rule_3_a_member_that_was_declared_dead_rejoins_under_a_new_incarnation(world):
    first, second = pair(world)
    first.store.alive = second.store.alive = lambda process: None
    for _ in range(70):
        world.advance(0.1, second)
    assert set(second.group.owned) == set(range(8))
    for _ in range(5):
        world.advance(0.1, first, second)
    members = dict(first.store.membership("g").members)
    assert (members["member-1"].incarnation, members["member-1"].up, members["member-1"].deaths) == (2, True, 1)
    assert set(first.group.owned) | set(second.group.owned) == set(range(8))
    assert first.group.owned


def deleted_and_opened(world):
    """Two processes whose group was deleted and is there again; nobody knows yet."""
    world.options = Options(batch=20, lease_s=6.0, heartbeat_s=2.0)
    first, second = pair(world)
    first.store.alive = second.store.alive = lambda process: None
    for _ in range(15):
        world.advance(0.1, first, second)
    first.store.delete_group("g")
    first.store.open_group("g", 0)
    return first, second


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
    third = world.process(_Other(first.store) if world.make.kind == "memory" else None)
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
    second.store.alive = lambda process: process != first.store.process
    joined = []
    for _ in range(200):
        world.advance(0.1, first)
        joined.append(first.group.members.is_in("member-1"))
        world.advance(0.0, second)
    membership = dict(second.store.membership("g").members)["member-1"]
    assert 3 < membership.deaths < 12
    assert joined.count(True) < 20


# --- rule 20: damping


def often_dead(world, store, name):
    """Let the membership say that a member of a process that is gone died often."""
    membership = store.membership("g")
    members = {**dict(membership.members), name: Member(9, "gone", up=False, deaths=9)}
    assert store.change_membership(
        "g", Membership(membership.number + 1, tuple(sorted(members.items())), membership.router)
    )


def test_rule_20_a_damped_member_joins_when_nobody_else_is_left(world):
    # It waited out its damping, up to 30 s, while nobody did its work.
    first = world.process(members=["a"])
    often_dead(world, first.store, "b")
    world.advance(0.1, first)
    second = world.process(members=["b"])
    if "a" not in dict(second.store.membership("g").members) or second.store.process == first.store.process:
        return  # in memory all are one process, whose death shows in no lock
    second.store.alive = lambda process: True
    world.advance(0.1, first, second)
    assert second.group.members.damped(world.clock) == ("b",)
    assert not second.group.members.is_in("b")
    second.store.alive = lambda process: process != first.store.process
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


# --- rule 4: claims


def test_rule_4_every_claim_raises_the_epoch(world):
    first, second = pair(world)
    before = {p: d.epoch for p, d in first.store.states("g").items()}
    lost = set(first.group.owned)
    second.store.alive = lambda process: process != first.store.process
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
    second.store.alive = lambda process: process != first.store.process
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
    first.driver._survey_due = True
    first.driver._survey()
    assert first.store.states("g") == before
    first.group.members._adopt(newest)
    first.driver._survey()
    assert first.store.states("g") == before
    assert second.group.owned


def test_rule_4_a_takeover_goes_in_steps_with_events_of_others_between(world):
    """All was claimed, read and handled at once: until then, events of the partitions that are held waited."""
    first, second = pair(world)
    mine, lost = list(second.group.owned), list(first.group.owned)
    second.group.claims = 1
    seqs = append(first.store, *(key_in(first.store, p) for p in lost))
    second.store.alive = lambda process: process != first.store.process
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

    second.store.alive = lambda process: process != first.store.process
    second.store.claim = late
    before = dict(second.group.owned)
    world.advance(0.1, second)
    assert second.group.owned == before
    assert [d.owner for p, d in second.store.states("g").items() if p in lost].count("member-2#1") == 1


# --- rule 5: dispatch


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
    assert len(process.group.owned[3].order) <= 70
    batch.note(event[0], None)
    process.driver.finish(batch, world.clock)
    world.settle(process, seconds=1)
    assert world.seqs() == seqs[1:]


# --- rule 6: attempts


def crash(process):
    """Let a process be gone, as the others see it."""
    if process.world.make.kind == "sqlite":
        process.store.close()


def successor(world, process, **options):
    """Start a process after another one died."""
    crash(process)
    store = world.make() if world.make.kind == "sqlite" else _Other(process.store)
    dead = process.store.process
    alive = store.alive
    store.alive = lambda name: False if name == dead else alive(name)
    fresh = world.process(store, **options)
    fresh.tick()
    assert set(fresh.group.owned) == set(range(8))
    return fresh


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


# --- rule 7: acknowledgements


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


# --- rule 8: retries and dead letters


def bury(world, count=3, **options):
    """Make a dead event with `count - 1` parked behind it, and another key that goes on."""
    process = world.process(**options)
    one, two = two_keys(process.store)
    seqs = append(process.store, *[one] * count, two)
    world.fails[seqs[0]] = 5
    world.settle(process, seconds=5)
    return process, one, two, seqs


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
    assert process.group.owned[3].parked
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


# --- rule 11: prune


def test_rule_11_replay_is_a_new_group(world):
    process = world.process()
    world.publish(process.store, 30)
    process.tick()
    process.work()
    again = world.process(process.store, name="again")
    again.work()
    assert sorted(world.seqs()) == sorted([*range(1, 31)] * 2)


# --- rule 13: hand-over


def test_rule_13_who_leaves_hands_over_without_waiting_for_a_lease(world):
    first, second = pair(world)
    world.publish(first.store, 60, keys=30)
    for process in (first, second):
        process.tick()
    batch = first.take()
    event = first.begin(batch)
    first.group.leave("member-1")
    world.advance(0.1, first, second)
    assert set(first.group.owned) == {event.partition}  # what is in flight is finished
    first.tick()
    batch.note(event[0], None)
    first.driver.finish(batch, world.clock)
    for _ in range(3):
        world.advance(0.1, first, second)
    assert not first.group.owned
    assert set(second.group.owned) == set(range(8))
    second.work()
    assert sorted([*world.seqs(), event.seq]) == list(range(1, 61))
    assert {d.in_flight for d in second.store.states("g").values()} == {()}
    assert not dict(second.store.membership("g").members)["member-1"].up


def test_rule_13_a_key_that_dies_during_the_hand_over_is_parked_without_gaps(world):
    """What waited in memory was forgotten in part, so later events were parked before earlier ones."""
    first, second = pair(world)
    partition = next(iter(first.group.owned))
    key = key_in(first.store, partition)
    seqs = append(first.store, *[key] * 60)
    world.fails[seqs[0]] = 1
    first.tick()
    first.work()  # now all wait in the queue of the key
    world.advance(1.0, first, second)
    batch = first.take()
    event = first.begin(batch)
    first.driver._fill("member-1")  # some of those that wait are ready, the last ones not
    assert len(first.group.owned[partition].ready) == 20
    first.group.leave("member-1")
    first.group.owned[partition].attempts[event.seq] = 4
    batch.note(event[0], "ValueError")
    first.driver.finish(batch, world.clock)
    parked = {dead_letter.seq for dead_letter in first.store.dead_letters("g")}
    assert parked == set(seqs[:20])
    for _ in range(4):
        world.advance(0.1, first, second)
    second.store.redrive("g", [event.seq])
    world.settle(second, seconds=2)
    assert world.seqs() == [seqs[0], *seqs]


def test_rule_13_what_is_given_back_is_no_suspect(world):
    first, second = pair(world)
    world.publish(first.store, 100, keys=50)
    first.tick()
    first.driver._fill("member-1")
    first.group.leave("member-1")
    for _ in range(3):
        world.advance(0.1, first, second)
    assert not any(owned.suspects for owned in second.group.owned.values())
    batch = second.take()
    assert not batch.alone


# --- routers


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
    store.alive = lambda process: None
    router = rw.PrimaryBackup(["main", "backup"])
    backup = world.process(store, members=["backup"], router=router)
    assert set(backup.group.owned) == set(range(8))
    main = world.process(_Other(store), members=["main"], router=router)
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


# --- what fails


def test_a_settlement_that_fails_is_unknown_and_its_events_are_delivered_again(make):
    failing = []

    def faults(point):
        if point in failing:
            failing.remove(point)
            raise rw.StoreFullError("no space")

    world = World(lambda: make(faults=faults))
    world.make.__dict__["kind"] = make.kind
    process = world.process()
    world.publish(process.store, 20)
    process.tick()
    batch = process.take()
    failing.append("settled" if make.kind == "sqlite" else "settle")
    with pytest.raises(rw.StoreFullError):
        process.runner.run(batch)
    failing.clear()
    world.settle(process, seconds=2)
    assert set(world.seqs()) == set(range(1, 21))
    assert process.store.lowest_unresolved("g") == 21


def test_a_release_that_fails_is_tried_again(make):
    """The owned partition was taken for being written to, and the lease kept all others out, for ever."""
    failing = []

    def faults(point):
        if point in failing:
            failing.remove(point)
            raise rw.StoreFullError("no space")

    world = World(lambda: make(faults=faults))
    world.make.__dict__["kind"] = make.kind
    first, second = pair(world)
    first.group.leave("member-1")
    failing.append("settled" if make.kind == "sqlite" else "settle")
    with pytest.raises(rw.StoreFullError):
        first.tick()
    failing.clear()
    for _ in range(4):
        world.advance(0.1, first, second)
    assert set(second.group.owned) == set(range(8))
    assert not first.group.members.present


def test_rows_that_could_not_be_read_are_asked_for_again(world):
    """The queue waited for ever for what had been asked for."""
    process = world.process()
    (seq,) = append(process.store, "a")
    world.fails[seq] = 1
    process.tick()
    process.work()
    world.clock += 1.0
    process.tick()
    rows = process.store.rows
    process.store.rows = lambda seqs: (_ for _ in ()).throw(rw.BackpressureError("store", "free", "busy"))
    with pytest.raises(rw.BackpressureError):
        process.take()
    process.store.rows = rows
    world.settle(process, seconds=1)
    assert world.seqs() == [seq, seq]


def test_rows_of_other_partitions_that_the_same_look_would_have_read_are_asked_for_again(world):
    """Only the partition at which the store failed was told, the queues of those after it waited for ever."""
    process = world.process()
    seqs = append(process.store, *(key_in(process.store, partition) for partition in range(3)))
    world.fails = dict.fromkeys(seqs, 1)
    process.tick()
    process.work()
    world.advance(1.0, process)
    rows, reads = process.store.rows, []

    def second_fails(asked):
        reads.append(asked)
        if len(reads) == 2:
            raise rw.BackpressureError("store", "free", "busy")
        return rows(asked)

    process.store.rows = second_fails
    with pytest.raises(rw.BackpressureError):
        process.take()
    process.store.rows = rows
    world.settle(process, seconds=2)
    assert len(reads) == 2
    assert sorted(world.seqs()) == sorted([*seqs, *seqs])


def test_a_look_at_the_documents_that_failed_is_made_up_for(world):
    """A redriven event was not noticed then, until something else happened in its partition."""
    process, _, _, seqs = bury(world)
    process.store.redrive("g", [seqs[0]])
    states = process.store.states
    process.store.states = lambda group: (_ for _ in ()).throw(rw.BackpressureError("store", "free", "busy"))
    with pytest.raises(rw.BackpressureError):
        process.tick()
    process.store.states = states
    world.settle(process, seconds=2)
    assert process.store.dead_letters("g") == []


def test_a_document_of_another_epoch_is_refused_whatever_it_says(world):
    process = world.process()
    state = process.store.states("g")[0]
    forged = state._replace(epoch=state.epoch + 1, revision=state.revision + 1, cursor=99)
    assert process.store.settle("g", [Settlement(0, forged)]) == {0}


def test_retry_says_what_is_wrong_with_it():
    with pytest.raises(rw.ArgumentError, match="attempts must be at least 1"):
        Retry(attempts=0)
    with pytest.raises(rw.ArgumentError, match="factor must be at least 1"):
        Retry(factor=0.5)
    assert [Retry().delay_s(n, 0.0) for n in (1, 2, 20)] == [0.05, 0.1, 15.0]
    assert Retry().delay_s(1, 0.999) < 0.1
