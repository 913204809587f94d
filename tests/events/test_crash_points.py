"""The table of crash points: a process is killed at that very point, and the file is opened again.

Each test is a row, or a part of one. A point that is a number is a write to the disk, of those that make a commit,
that the process dies in the middle of.
"""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest
from events import crash_child
from events.crash_child import GONE, STREAM, entries
from events.stepwise import World

from ringward.events import Processor, Retention, SqliteStore
from ringward.events.stores.sqlite import schema

EVENTS = 10
METHODS = multiprocessing.get_all_start_methods()


@pytest.fixture(scope="module")
def start():
    """A function that starts a process; where there is a server that forks, in no time."""
    context = multiprocessing.get_context("forkserver" if "forkserver" in METHODS else "spawn")
    if "forkserver" in METHODS:
        context.set_forkserver_preload(["__main__", "events.crash_child"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(crash_child.__file__).parents[1]))
        yield lambda *args: context.Process(target=crash_child.main, args=args)


@pytest.fixture
def die(start):
    """A function that lets a process work until it dies at a point."""

    def die(path, work, point):
        child = start(path, work, point)
        child.start()
        child.join(60)
        assert child.exitcode not in (0, 1, GONE, None), f"{work} never came to {point}"

    return die


def writes(hook, count):
    """Points within a commit: its first writes to the disk."""
    return [f"{hook}:{n}" for n in range(1, count + 1)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def opened(path):
    """Open the file; all handles are closed at the end."""
    stores = []

    def make():
        stores.append(SqliteStore(path))
        return stores[-1]

    yield make
    for store in stores:
        assert store.verify() == []
        store.close()


@pytest.fixture
def filled(path):
    """A closed file with ten events of two keys, a group, and a table of a handler."""
    store = SqliteStore(path, STREAM)
    store.append("p", entries(EVENTS))
    store.open_group("g", 0)
    store._writer.connection.execute("CREATE TABLE effects (seq)")
    store.close()
    return path


def raw(path, sql):
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def resolved(store):
    """The seqs that the group has resolved."""
    states = store.states("g")
    return {row[0] for p, d in states.items() for row in store.read([(p, 0, 100)], 100)[0] if d.resolved(row[0])}


def with_handlers(store):
    """The unresolved seqs that are marked."""
    found = set()
    for partition, state in store.states("g").items():
        for low, high in state.in_flight:
            rows = store.read([(partition, low - 1, 100)], 100)[0]
            found |= {row[0] for row in rows if row[0] <= high and not state.resolved(row[0])}
    return found


def heir(store, **options):
    """A process that goes on where the dead one was."""
    world = World(lambda: store)
    return world, world.process(store, **options)


def in_order(world):
    return all(seqs == sorted(seqs) for seqs in world.by_key().values())


# --- publish


@pytest.mark.parametrize("point", ["appended", "appended:commit", *writes("appended", 8)])
def test_before_the_publish_commit_nothing_is_stored(path, opened, die, point):
    SqliteStore(path, STREAM).close()
    die(path, "publish", point)
    store = opened()
    assert store.totals().tail == 0
    assert [(r.seq, r.duplicate) for r in store.append("p", entries())] == [(1, False), (2, False), (3, False)]
    assert store.append("p", entries())[2].duplicate


def test_after_the_publish_commit_a_repeat_gets_the_same_seq(path, opened, die):
    SqliteStore(path, STREAM).close()
    die(path, "publish", "appended:committed")
    store = opened()
    assert [(r.seq, r.duplicate) for r in store.append("p", entries())] == [(1, True), (2, True), (3, True)]


# --- claim


@pytest.mark.parametrize("point", ["claimed", "claimed:commit", "claimed:committed", *writes("claimed", 3)])
def test_after_a_claim_the_next_one_has_a_higher_epoch(filled, opened, die, point):
    die(filled, "claim", point)
    store = opened()
    epochs = {partition: state.epoch for partition, state in store.states("g").items()}
    assert set(epochs.values()) == {1 if point == "claimed:committed" else 0}
    claimed = store.claim("g", "next#1", epochs)
    assert {p: d.epoch for p, d in claimed.items()} == {p: epoch + 1 for p, epoch in epochs.items()}


# --- marks and handlers


@pytest.mark.parametrize(("work", "point"), [("plain", "marked:committed"), ("handler", "none")])
def test_after_the_attempt_mark_or_in_the_handler_events_are_delivered_again_alone(filled, opened, die, work, point):
    """That a poison event reaches the dead-letter queue so is shown by
    test_a_handler_that_ends_the_process_reaches_the_dead_letter_queue_alone.
    """
    die(filled, work, point)
    store = opened()
    world, process = heir(store)
    left = sorted(set(range(1, EVENTS + 1)) - resolved(store))
    assert len(left) == EVENTS
    for _ in left:
        batch = process.take()
        assert batch.alone
        assert [attempt for _, attempt in batch.events] == [1]  # the death charges nobody
        process.runner.run(batch)
    assert sorted(world.seqs()) == left
    assert in_order(world)


# --- acknowledgements


@pytest.mark.parametrize("point", ["handled", "settled", "settled:commit", "settled:committed", *writes("settled", 2)])
def test_an_acknowledgement_is_there_or_its_events_are_delivered_again(filled, opened, die, point):
    die(filled, "plain", point)
    handled = {int(seq) for seq in filled.with_name("said").read_text().split()}
    assert handled
    store = opened()
    done = resolved(store)
    assert done == (handled if point == "settled:committed" else set())
    world, process = heir(store)
    process.work()
    assert set(world.seqs()) == set(range(1, EVENTS + 1)) - done
    assert in_order(world)


@pytest.mark.parametrize("point", ["handled", "settled", "settled:commit", "settled:committed", *writes("settled", 2)])
def test_an_acknowledgement_and_the_mark_of_what_follows_are_there_together_or_not_at_all(filled, opened, die, point):
    die(filled, "singly", point)
    (handled,) = (int(seq) for seq in filled.with_name("said").read_text().split())
    store = opened()
    done, in_flight = resolved(store), with_handlers(store)
    assert done == ({handled} if point == "settled:committed" else set())
    assert len(in_flight) == 1
    assert in_flight.isdisjoint({handled}) == (point == "settled:committed")
    world, process = heir(store)
    batch = process.take()
    assert batch.alone
    assert [(row[0], attempt) for row, attempt in batch.events] == [(*in_flight, 1)]
    process.runner.run(batch)
    process.work()
    assert sorted(world.seqs()) == sorted(set(range(1, EVENTS + 1)) - done)
    assert in_order(world)


@pytest.mark.parametrize("point", ["handled", "settled", "settled:commit", "settled:committed", *writes("settled", 2)])
def test_what_a_transactional_handler_wrote_is_there_with_the_acknowledgement_or_not_at_all(filled, opened, die, point):
    die(filled, "transactional", point)
    store = opened()
    effects = {seq for (seq,) in raw(filled, "SELECT seq FROM effects")}
    assert effects == resolved(store)
    assert bool(effects) == (point == "settled:committed")
    world = World(lambda: store)
    sql = "INSERT INTO effects VALUES (?)"
    process = world.process(store, handler=lambda event: event.transaction.execute(sql, (event.seq,)))
    process.work()
    assert sorted(raw(filled, "SELECT seq FROM effects")) == [(seq,) for seq in range(1, EVENTS + 1)]


# --- dead letters


@pytest.mark.parametrize("point", ["buried", "settled", "settled:commit", "buried:committed", *writes("buried", 6)])
def test_a_dead_letter_is_there_with_its_acknowledgement_or_not_at_all(filled, opened, die, point):
    die(filled, "bury", point)
    store = opened()
    dead_letters = {dead_letter.seq for dead_letter in store.dead_letters("g")}
    assert dead_letters == resolved(store)
    assert bool(dead_letters) == (point == "buried:committed")
    world, process = heir(store)
    process.work()
    keys = {dead_letter.key for dead_letter in store.dead_letters("g")}
    assert all(event[0].encode() not in keys for event in world.effects)
    assert set(world.seqs()).isdisjoint(dead_letters)


# --- prune


@pytest.mark.parametrize("point", ["pruned", "pruned:commit", "pruned:committed", *writes("pruned", 5)])
def test_a_prune_is_there_in_whole_or_not_at_all(filled, opened, die, point):
    with Processor(filled) as p:
        p.store.append("p", [STREAM.entry("key", b"", None, None)])
        p.consumer("g")(lambda event: None)
        p.configure(retention=Retention(age_s=None))
        p.run(until="idle", timeout_s=30)
    die(filled, "prune", point)
    store = opened()
    tail, first, _ = store.totals()
    assert (tail, first) == (EVENTS + 1, EVENTS + 2 if point == "pruned:committed" else 1)
    assert sum(len(store.read([(p, 0, 100)], 100)[0]) for p in range(4)) == tail + 1 - first
    assert all(receipt.duplicate for receipt in store.append("p", entries(EVENTS)))


# --- migration


@pytest.mark.parametrize("point", ["migrated", *writes("migrated", 12)])
def test_a_file_is_made_in_whole_or_not_at_all(path, opened, die, point):
    die(path, "create", point)
    assert raw(path, "SELECT count(*) FROM sqlite_schema") == [(0,)]
    with Processor(path) as p:
        assert p.publish("k", b"").seq == 1


@pytest.mark.parametrize("point", ["migrated", *writes("migrated", 4)])
def test_a_file_is_brought_to_the_next_version_in_whole_or_not_at_all(filled, opened, die, point):
    die(filled, "upgrade", point)
    assert raw(filled, "SELECT name FROM sqlite_schema WHERE name = 'ringward_next'") == []
    assert raw(filled, "PRAGMA user_version") == [(schema.VERSION,)]
    assert opened().totals().tail == EVENTS


# --- a paused owner

PAUSED = """
import os, signal, sys, time
import ringward as rw
from ringward.events import Processor

seen = []
with Processor(sys.argv[1]) as p:
    @p.consumer("g", members=["paused"], lease_s=0.3, heartbeat_s=0.05)
    def handle(event):
        seen.append(event)
        if len(seen) == 1:  # the first of its batch, so no write turn is open
            print("paused", flush=True)
            leader = p.store._writer.admitted()  # no thread is inside the write turn, where it would stall all others
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.1)  # another thread may be the one that takes the signal
            p.store._writer.queue.pass_on(leader)
            try:
                event.transaction.execute("INSERT INTO effects VALUES (-1)")
            except rw.StaleEpochError as error:
                print("StaleEpochError", flush=True)
                raise
        else:
            event.transaction.execute("INSERT INTO effects VALUES (?)", (event.seq,))

    p.run(until="idle", timeout_s=30)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is of POSIX")
def test_a_paused_owner_that_wakes_up_is_stale_and_nothing_it_does_counts(filled):
    with subprocess.Popen([sys.executable, "-c", PAUSED, filled], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout.readline() == "paused\n"
            with Processor(filled) as p:
                sql = "INSERT INTO effects VALUES (?)"

                @p.consumer("g", members=["heir"], lease_s=0.3, heartbeat_s=0.05)
                def handle(event):
                    event.transaction.execute(sql, (event.seq,))

                assert p.run(until="idle", timeout_s=30)
                states = p.store.states("g")
                owner.send_signal(signal.SIGCONT)
                assert owner.stdout.readline() == "StaleEpochError\n"
                assert owner.wait(30) == 0
                assert p.verify() == []
                assert all(d.cursor == p.store.states("g")[n].cursor for n, d in states.items())
            assert sorted(raw(filled, "SELECT seq FROM effects")) == [(seq,) for seq in range(1, EVENTS + 1)]
        finally:
            owner.kill()


STOPPED = """
import os, signal, sys, time
from ringward.events import SqliteStore

def faults(point):
    if point == "appended":
        print("stopped", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.1)

store = SqliteStore(sys.argv[1], faults=faults)
store.append("p", [store.stream.entry("key", b"", "of the stopped one", None)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is of POSIX")
@pytest.mark.parametrize(("end", "tail"), [("SIGCONT", EVENTS + 2), ("SIGKILL", EVENTS + 1)])
def test_a_process_that_is_stopped_inside_a_write_stalls_writers_until_it_wakes_or_dies(filled, opened, end, tail):
    store = opened()
    with subprocess.Popen([sys.executable, "-c", STOPPED, filled], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "stopped\n"
        writer = threading.Thread(target=store.append, args=("p", [STREAM.entry("key", b"", "of another", None)]))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert store.totals().tail == EVENTS  # who reads goes on
        owner.send_signal(getattr(signal, end))
        owner.wait(30)
        writer.join(30)
        assert not writer.is_alive()
    assert store.totals().tail == tail
