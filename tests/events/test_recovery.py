"""What a crash leaves behind: no more than had begun, told apart from the rest at once; and what counts."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time

import pytest
from events.recovery_child import work
from events.stepwise import World, append, appended, key_in, successor, two_keys
from waiting import until

from ringward.events import GiveBack, MemoryStore, Options, Processor, Retry, SqliteStore, Stream
from ringward.events.core.suspect_gate import ALONE_S, SuspectGate
from ringward.events.core.work_queues import WorkQueues
from ringward.events.model.partition_state import NEW
from ringward.events.model.store import Settlement

QUICK = Options(batch=16)  # batches of 1, 2, 4 ...


@pytest.fixture
def world(make):
    return World(make)


def in_flight(store):
    """The unresolved seqs that are marked."""
    return sorted(
        row[0]
        for partition, state in store.states("g").items()
        for low, high in state.in_flight
        for row in store.read([(partition, low - 1, 1000)], 1000)[0]
        if row[0] <= high and not state.resolved(row[0])
    )


def takes(world, seconds):
    """Let every handler take so long."""

    def handle(event):
        World.handle(world, event)
        world.clock += seconds

    return handle


def sizes(process):
    """How long the batches are that are handed out until nothing is left."""
    found = []
    while (batch := process.take()) is not None:
        found.append(len(batch.events))
        process.runner.run(batch)
    return found


# --- batches, and what is marked


def test_batches_begin_with_one_event_and_double_while_handlers_are_quick(world):
    process = world.process(options=QUICK)
    world.publish(process.store, 60)
    process.tick()
    assert sizes(process) == [1, 2, 4, 8, 16, 16, 13]


def test_a_slow_handlers_batch_is_one_event(world):
    process = world.process(options=QUICK, handler=takes(world, 0.03))
    world.publish(process.store, 20)
    process.tick()
    assert sizes(process) == [1] * 20


def test_a_batch_has_what_handlers_do_in_the_time_after_which_they_are_slow(world):
    process = world.process(options=QUICK, handler=takes(world, 0.003))
    world.publish(process.store, 60)
    process.tick()
    assert set(sizes(process)[3:-1]) == {4}  # 8 would be 24 ms


def test_when_handlers_become_slow_batches_are_short_at_once(world):
    process = world.process(options=QUICK)
    world.publish(process.store, 100)
    process.tick()
    for _ in range(6):
        process.step()
    process.runner.handler = takes(world, 0.5)
    assert sizes(process)[:2] == [16, 1]


def test_batches_stay_long_where_that_is_wanted(world):
    process = world.process(options=Options(batch=16, batch_least=4), handler=takes(world, 0.5))
    world.publish(process.store, 20)
    process.tick()
    assert sizes(process) == [4] * 5


def test_waiting_for_the_write_turn_is_not_the_handlers_time(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Stream(partitions=8))
    world = World(lambda: store)
    process = world.process(store, options=QUICK, handler=lambda event: event.transaction.execute("SELECT 1"))
    write_transaction = store.write_transaction

    def waits(group):
        world.clock += 1.0
        return write_transaction(group)

    store.write_transaction = waits
    world.publish(store, 30)
    process.tick()
    assert sizes(process) == [1, 2, 4, 8, 15]
    store.close()


def test_what_waits_for_another_attempt_is_not_marked(world):
    process = world.process()
    one, two = two_keys(process.store)
    first, _, *_ = seqs = append(process.store, one, one, two)
    world.fails[first] = 1
    process.tick()
    process.work()
    more = append(process.store, two, two)
    process.tick()
    process.take()
    assert process.store.states("g")[3].in_flight == ((more[0], more[1]),)
    fresh = successor(world, process)
    assert fresh.take().alone
    assert in_flight(fresh.store) == more
    assert seqs[0] == 1


def test_what_failed_in_a_batch_is_not_marked_any_more(world):
    process = world.process()
    one, two = two_keys(process.store)
    seqs = append(process.store, one, two, one, two)
    process.tick()
    batch = process.take()
    event = process.begin(batch)
    batch.stop_key(event[0])
    batch.note(event[0], "ValueError")
    process.driver.report(batch, world.clock)
    assert in_flight(process.store) == [seqs[1], seqs[3]]


def test_when_a_handler_is_slow_only_its_event_is_marked(world):
    process = world.process()
    keys = [key_in(process.store, partition) for partition in range(8)]
    append(process.store, *keys * 2)
    process.tick()
    batch = process.take()
    assert len(in_flight(process.store)) == 16
    event = process.begin(batch)
    process.tick()
    world.advance(0.03, process)
    assert in_flight(process.store) == [event.seq]


def test_marks_in_several_ranges_come_back_and_one_range_is_two_numbers(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Stream(partitions=2))
    store.open_group("g", 0)
    claimed = store.claim("g", "a#1", {0: 0, 1: 0})
    shapes = {0: ((3, 7),), 1: ((1, 1), (4, 9))}
    store.mark(
        "g",
        [(p, claimed[p]._replace(revision=claimed[p].revision + 1, in_flight=shape)) for p, shape in shapes.items()],
    )
    assert {p: store.states("g")[p].in_flight for p in shapes} == shapes
    store.close()
    with sqlite3.connect(tmp_path / "store.db") as file:
        rows = file.execute("SELECT low, high FROM ringward_documents ORDER BY partition").fetchall()
    file.close()
    assert rows == [(3, 7), (1, "[[1, 1], [4, 9]]")]
    assert NEW.in_flight == ()


def test_where_keys_are_handled_at_once_the_first_of_each_is_begun(world):
    process = world.process(options=Options(batch=16, batch_least=1))
    process.group.dispatcher.concurrent = True
    one, two = two_keys(process.store)
    seqs = append(process.store, one, one, two, one, two)
    process.tick()
    batch = process.take()
    assert [row[0] for row, _ in batch.events] == [seqs[0], seqs[2]] == in_flight(process.store)
    batch.began = world.clock
    for row, _ in batch.left_to_run():
        batch.note(row, None)
    process.driver.finish(batch, world.clock)
    assert [row[0] for row, _ in process.take().events] == [seqs[1], seqs[3], seqs[4]]  # two of a key


# --- the gate


def test_suspects_that_are_quick_go_one_after_the_other():
    gate = SuspectGate()
    for step in range(50):
        assert gate.enter("g", alone=True, now=step / 1000)
        assert not gate.enter("other", alone=False, now=step / 1000)
        gate.leave("g", alone=True, more=True)


def test_after_a_while_of_suspects_the_others_have_as_long():
    gate = SuspectGate()
    now, suspects, others = 0.0, 0, 0
    for _ in range(10_000):
        if gate.enter("g", alone=True, now=now):
            suspects += 1
            now += 0.01
            gate.leave("g", alone=True, more=True)
        elif gate.enter("other", alone=False, now=now):
            others += 1
            now += 0.01
            gate.leave("other", alone=False)
        else:
            now += 0.001
    assert others >= suspects * 0.9 > 0


def test_a_slow_suspect_lets_others_in_and_no_other_suspect():
    gate = SuspectGate()
    assert gate.enter("g", alone=True, now=0.0)
    assert not gate.enter("other", alone=False, now=ALONE_S - 0.01)
    assert gate.enter("other", alone=False, now=ALONE_S)
    assert not gate.enter("other", alone=True, now=100.0)
    gate.leave("g", alone=True)
    assert not gate.enter("other", alone=True, now=100.0)  # that batch is there still
    gate.leave("other", alone=False)
    assert gate.enter("other", alone=True, now=100.0)


def test_when_nobody_came_for_long_no_suspect_has_to_wait_for_that():
    gate = SuspectGate()
    assert gate.enter("g", alone=True, now=0.0)
    assert gate.enter("other", alone=False, now=59.0)
    gate.leave("other", alone=False)
    gate.leave("g", alone=True)
    assert gate.enter("g", alone=True, now=59.0)


def test_a_suspect_that_waits_for_long_batches_keeps_nobody_out_for_ever():
    gate = SuspectGate()
    assert gate.enter("other", alone=False, now=0.0)
    assert not gate.enter("g", alone=True, now=0.0)
    assert not gate.enter("third", alone=False, now=0.01)
    assert gate.due(alone=False) == ALONE_S
    assert gate.enter("third", alone=False, now=ALONE_S)


def test_events_of_another_group_are_handled_while_a_suspect_takes_long(world):
    process = world.process()
    append(process.store, *(key_in(process.store, partition) for partition in range(3)))
    process.tick()
    process.take()
    gate = SuspectGate()
    fresh = successor(world, process, gate=gate)
    other = world.process(fresh.store, name="other", gate=gate)
    suspect = fresh.take()
    assert suspect.alone
    assert fresh.group.next_due <= world.clock + ALONE_S
    world.advance(ALONE_S, fresh, other)
    assert other.step()
    assert fresh.take() is None  # the next suspect waits for the first
    fresh.runner.run(suspect)
    world.advance(ALONE_S, fresh, other)
    assert fresh.take().alone


def test_a_suspect_that_hangs_lets_the_next_one_in(world):
    process = world.process()
    append(process.store, *(key_in(process.store, partition) for partition in range(2)))
    process.tick()
    process.take()
    fresh = successor(world, process)
    hung = fresh.take()
    fresh.begin(hung)
    fresh.tick()
    world.advance(59.0, fresh)
    assert fresh.take() is None
    world.advance(2.0, fresh)
    following = fresh.take()
    assert following.alone
    assert following.open.keys() != hung.open.keys()


# --- how much is read ahead


def fill(store, count, size, keys=5):
    """Publish events of a size."""
    appended(store, [store.stream.entry(f"key{i % keys}", b"x" * size, None, None) for i in range(count)])


@pytest.mark.parametrize("size", [10, 300, 1000, 5000])
def test_what_is_read_ahead_is_bounded_in_bytes(world, size):
    process = world.process(options=Options(batch=10, batch_least=10, prefetch_bytes=1000))
    fill(process.store, 100, size)
    process.tick()
    most = 0
    while (batch := process.take()) is not None:
        most = max(most, process.group.stock.bytes)
        process.runner.run(batch)
    assert most <= 1000 + size
    assert len(world.effects) == 100
    assert process.group.stock.bytes == 0


@pytest.mark.parametrize("keys", [1, 8])
def test_what_waits_behind_a_failed_event_is_read_again_within_the_bound(world, keys):
    process = world.process(options=Options(batch=10, batch_least=10, prefetch_bytes=1000))
    fill(process.store, 30, 400, keys=keys)
    world.fails = dict.fromkeys(range(1, 31), 1)
    process.tick()
    most = 0
    for _ in range(100):
        while (batch := process.take()) is not None:
            most = max(most, process.group.stock.bytes)
            process.runner.run(batch)
        world.advance(1.0, process)
    assert most <= 1400
    assert process.store.lowest_unresolved("g") == 31
    assert process.group.stock.bytes == 0


def test_bytes_of_what_is_given_up_are_not_counted_any_more(world):
    process = world.process(options=Options(batch=10, batch_least=10, prefetch_bytes=1000))
    fill(process.store, 30, 100)
    process.tick()
    batch = process.take()
    process.begin(batch)
    world.advance(0.03, process)
    process.group.leave("member-1")
    process.driver.lose(list(process.group.owned))
    process.driver.finish(batch, world.clock)
    assert process.group.stock.bytes == 0


def test_large_payloads_are_not_kept_for_who_does_not_look():
    store = MemoryStore(Stream(partitions=8))
    process = World(lambda: store).process(store)
    for size in (10, 100_000):
        (receipt,) = receipts = store.append("p", [store.stream.entry("key", b"x" * size, None, None)])
        process.driver.appended([receipt[:2]], receipts.row)
    assert [row is not None for _, row in process.driver.tail._appended] == [True, False]


# --- what a tick costs


def test_a_tick_looks_at_what_is_due_only(monkeypatch):
    store = MemoryStore(Stream(partitions=512))
    world = World(lambda: store)
    process = world.process(store)
    world.publish(store, 100, keys=100)
    world.fails[7] = 1
    process.tick()
    process.work()
    queued = []
    right = WorkQueues.put
    monkeypatch.setattr(WorkQueues, "put", lambda self, owned: (queued.append(owned), right(self, owned)))
    due = process.group.next_due
    assert 0 < due - world.clock <= 0.1
    process.tick()
    assert queued == []
    world.clock = due
    process.tick()
    assert len(queued) == 1
    process.work()
    assert world.seqs().count(7) == 2
    assert process.group.next_due is None


def test_partitions_that_stopped_at_the_bound_of_letters_go_on_when_there_is_room(world):
    process = world.process(options=Options(batch=5, batch_least=5, dead_letters_max=2, retry=Retry(attempts=1)))
    one, two = two_keys(process.store)
    seqs = append(process.store, one, one)
    world.fails[seqs[0]] = 1
    world.settle(process, seconds=3)
    seqs += append(process.store, *[two] * 20)
    world.settle(process, seconds=3)
    assert process.group.stock.full
    assert process.store.lowest_unresolved("g") == seqs[2]
    process.store.drop("g", [seqs[1]])
    world.settle(process, seconds=3)
    assert process.store.lowest_unresolved("g") == seqs[-1] + 1


# --- what counts


def test_acknowledgements_that_are_refused_are_not_counted(world):
    process = world.process()
    append(process.store, *(key_in(process.store, partition) for partition in range(4)))
    world.fails[2] = 1
    process.tick()
    batch = process.take()
    epochs = {p: d.epoch for p, d in process.store.states("g").items() if p in (1, 2)}
    process.store.claim("g", "thief#1", epochs)
    process.runner.run(batch)
    assert (process.group.handled_count, process.group.retries) == (2, 0)
    assert process.group.fenced == 2


def test_deaths_are_counted_when_they_are_stored(world):
    process = world.process(options=Options(batch=5, batch_least=5, retry=Retry(attempts=1)))
    append(process.store, *(key_in(process.store, partition) for partition in range(2)))
    world.fails = {1: 1, 2: 1}
    process.tick()
    batch = process.take()
    process.store.claim("g", "thief#1", {0: process.store.states("g")[0].epoch})
    process.runner.run(batch)
    assert process.group.deaths == 1 == len(process.store.dead_letters("g"))


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_an_event_that_hangs_is_delivered_as_often_as_it_may_be_tried(world, attempts):
    """The first delivery was charged to nobody: it ran once more than that."""
    world.options = Options(batch=5, batch_least=5, retry=Retry(attempts=attempts))
    process = world.process()
    append(process.store, "key")
    process.tick()
    runs = 0
    for _ in range(10):
        batch = process.take()
        if batch is None:
            break
        process.begin(batch)
        runs += 1
        process.tick()
        world.advance(0.1, process)
        world.advance(61.0, process)  # now it is known to hang
        process = successor(world, process)
    process.driver.settle_pending()
    assert runs == attempts
    assert [(dead_letter.state, dead_letter.attempts) for dead_letter in process.store.dead_letters("g")] == [
        ("dead", attempts)
    ]


def test_an_event_whose_handler_is_only_late_is_done(world):
    process = world.process()
    append(process.store, "key")
    process.tick()
    batch = process.take()
    event = process.begin(batch)
    process.tick()
    world.advance(61.0, process)
    assert dict(process.store.states("g")[event.partition].attempts) == {event.seq: 1}
    batch.note(event[0], None)
    process.driver.finish(batch, world.clock)
    assert process.store.states("g")[event.partition].attempts == ()
    assert process.group.handled_count == 1


def test_a_suspect_that_is_given_back_is_not_charged(world):
    world.options = Options(batch=5, batch_least=5, retry=Retry(attempts=1))
    process = world.process()
    append(process.store, "key")
    process.tick()
    process.take()
    fresh = successor(world, process)

    def gives_back(event):
        raise GiveBack

    for _ in range(3):
        batch = fresh.take()
        assert batch.alone
        assert [attempt for _, attempt in batch.events] == [1]
        right, fresh.runner.handler = fresh.runner.handler, gives_back
        fresh.runner.run(batch)
        fresh.runner.handler = right
    fresh.work()
    assert fresh.store.dead_letters("g") == []
    assert world.seqs() == [1]


def test_a_settlement_that_is_not_stored_counts_nothing(world):
    process = world.process()
    append(process.store, "key")
    process.tick()
    batch = process.take()
    refused = process.store.states("g")[next(iter(batch.epochs))]
    process.store.settle("g", [Settlement(next(iter(batch.epochs)), refused._replace(revision=refused.revision + 1))])
    process.runner.run(batch)
    assert process.group.handled_count == 0


# --- in threads, killed


def test_after_kill_9_only_events_that_had_begun_are_suspects(tmp_path):
    path, begun = tmp_path / "events.db", tmp_path / "begun"
    with Processor(path) as p:
        p.publish_many([f"key{i}" for i in range(2000)], [b"x"] * 2000)
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    victim = context.Process(target=work, args=(path, begun, started), daemon=True)
    victim.start()
    assert started.wait(30)
    until(lambda: begun.exists() and len(begun.read_bytes().split()) > 8)  # members are beyond their first batches
    victim.kill()
    victim.join()
    with Processor(path) as p:
        suspects = set(in_flight(p.store))
        assert suspects
        assert len(suspects - set(map(int, begun.read_bytes().split()))) <= 4  # of each member one that was to begin
        began, handled, other = time.monotonic(), [], []

        @p.consumer("g", members=4)
        def quick(event):
            handled.append(event.seq)

        @p.consumer("other", start="end")
        def note(_):
            other.append(time.monotonic())

        p.start()
        p.publish("other", b"x")
        assert p.drain(timeout_s=30)
        assert other[0] - began < 2.0
        assert len(handled) > 1900


def test_agents_are_told_when_the_next_tick_has_something_to_do(world):
    process = world.process()
    assert process.group.next_due is None
    append(process.store, "key")
    process.tick()
    process.begin(process.take())
    assert process.group.next_due == pytest.approx(world.clock + 0.02)
    process.tick()
    world.advance(0.03, process)
    assert process.group.next_due == pytest.approx(60.0)


def test_a_member_hangs_as_long_as_any_of_its_handlers_does(world):
    """When the first of two was left behind, it raised its lease again, and the other was hidden behind that."""
    process = world.process(options=Options(batch=1))
    append(process.store, *(f"key{number}" for number in range(20)))
    process.tick()
    batches = [process.take(), process.take()]
    assert None not in batches
    for batch in batches:
        process.group._hangs(batch)
    local = process.group.members.local[batches[0].member]
    process.group._leave_behind(batches[0])
    assert local.hung
    process.group._leave_behind(batches[1])
    assert not local.hung
