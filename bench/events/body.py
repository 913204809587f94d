"""Measures one case in a process of its own: `python body.py CASE FOLDER [--quick | --events=N]`, where files go into the folder.

Prints JSON: what was measured → [events, seconds on the wall, seconds of CPU].
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Semaphore

import apsw
from flights import BATCH, batches, columns
from older_peers import THREADS
from peers import MODES, PEERS

from ringward.events import MemoryStore, Options, Processor
from ringward.events.agent import Agent
from ringward.events.group import Group
from ringward.events.runner import Handling, Runner
from ringward.events.stores import schema

ONE_BY_ONE = 3_000
WAITING = (1_000, 10_000, 100_000, 1_000_000)
KEYS = (10, 100, 1_000, 10_000, 100_000)
KEYS_EVENTS = 200_000
ROUNDS = 3
INSERT = "INSERT INTO ringward_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def timed(count, work):
    """Run it: events, wall, CPU."""
    gc.collect()
    gc.freeze()  # what is there before is nobody's cost
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return [count, time.perf_counter() - wall, time.process_time() - cpu]


def least(results):
    """The fastest of several rounds."""
    return min(results, key=lambda result: result[1] / result[0])


# --- publishing, and bare inserts


def bare_inserts(source, target, batch):
    """Insert the rows of a store's log into the same table and indexes of a new file."""
    stored = apsw.Connection(str(source))
    rows = stored.execute("SELECT * FROM ringward_log").fetchall()
    tables = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'ringward_log' AND sql IS NOT NULL"
    statements = [sql for (sql,) in stored.execute(tables)]
    stored.close()
    target.touch()
    bare = schema.connect(target, write=True)  # the options of the store's own connection
    bare.pragma("journal_mode", "wal")
    for sql in statements:
        bare.execute(sql)

    def one_by_one():
        for row in rows:
            bare.execute("BEGIN IMMEDIATE")
            bare.execute(INSERT, row)
            bare.execute("COMMIT")

    def in_batches():
        for (some,) in batches(rows, size=batch):
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany(INSERT, some)
            bare.execute("COMMIT")

    result = timed(len(rows), one_by_one if batch == 1 else in_batches)
    bare.close()
    return result


def publishing(folder, batch, count):
    """Publish into a new file, and insert the same rows into another."""
    keys, payloads, ids = columns(count)
    path = folder / "store.db"
    with Processor(path) as p:

        def one_by_one():
            for key, payload, name in zip(keys, payloads, ids, strict=True):
                p.publish(key, payload, id=name)

        def in_batches():
            for some in batches(keys, payloads, ids, size=batch):
                p.publish_many(*some)

        published = timed(len(keys), one_by_one if batch == 1 else in_batches)
    return {"publish": published, "bare": bare_inserts(path, folder / "bare.db", batch)}


def publishing_together(folder, threads, count):
    """Publish one at a time, in several threads."""
    keys, payloads, ids = columns(count)
    with Processor(folder / "store.db") as p:

        def publish(first):
            for at in range(first, len(keys), threads):
                p.publish(keys[at], payloads[at], id=ids[at])

        result = timed(len(keys), lambda: in_threads(publish, threads))
    return {"publish": result}


def in_threads(work, count):
    """Run it so many times at once, each with its number; what one raises is raised."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


# --- end to end


def end_to_end(folder, members, *, transactional=False, count=None):
    """Publish in batches while members handle and acknowledge, until all is done."""
    keys, payloads, ids = columns(count)
    with Processor(folder / "store.db") as p:
        effects = apsw.Connection(str(folder / "store.db"))
        effects.execute("CREATE TABLE effects (seq INTEGER PRIMARY KEY, key)")

        def plain(event):
            pass

        def with_effect(event):
            event.transaction.execute("INSERT INTO effects VALUES (?, ?)", (event.seq, event.key))

        p.consumer("bench", members=members)(with_effect if transactional else plain)
        p.start()
        assert p.drain()

        def work():
            for some in batches(keys, payloads, ids):
                p.publish_many(*some)
            assert p.drain()

        result = timed(len(keys), work)
        assert p.stats().groups["bench"].handled == len(keys)
        p.stop()
        if transactional:
            assert effects.execute("SELECT count(*) FROM effects").get == len(keys)
        effects.close()
    return {"events": result}


def one_at_a_time(folder, count, when, threads=1):
    """Every event published by itself, handed out by itself and acknowledged by itself.

    All are handled "after" all are published, as the peers do it; or "meanwhile"; or each is published when the one
    before was "handled". By as many members as threads publish.
    """
    keys, payloads, ids = columns(count)
    done = Semaphore(0)
    with Processor(folder / "store.db") as p:
        p.consumer("bench", members=threads, batch=1)(
            (lambda _: done.release()) if when == "handled" else (lambda _: None)
        )
        if when != "after":
            p.start()
            assert p.drain()

        def publish(first):
            for at in range(first, len(keys), threads):
                p.publish(keys[at], payloads[at], id=ids[at])
                if when == "handled":
                    done.acquire()

        def work():
            if threads == 1:
                publish(0)
            else:
                in_threads(publish, threads)
            p.start()
            assert p.drain()

        result = timed(len(keys), work)
        p.stop()
    return {"events": result}


def peer(folder, package, mode, count):
    """A peer's way through the first events."""
    _, payloads, _ = columns(count)
    handled = []
    queue = PEERS[package](folder)
    result = timed(count, lambda: getattr(queue, mode)(payloads, handled.append))
    assert len(handled) == count
    return {"events": result}


# --- in memory


def bare_call(count):
    """A call of a Python function for each event, and nothing else."""

    def handle(event):
        pass

    def work():
        for event in range(count):
            handle(event)

    return least([timed(count, work) for _ in range(ROUNDS)])


def in_memory(count):
    """Publish in batches, then handle, in the processor's threads."""
    keys, payloads, ids = columns(count)

    def once(*, during, named):
        with Processor() as p:
            p.consumer("bench")(lambda _: None)

            def publish():
                for some in batches(keys, payloads, ids) if named else batches(keys, payloads):
                    p.publish_many(*some)

            def work():
                if during:
                    p.start()
                publish()
                assert p.run(until="idle")

            result = timed(len(keys), work)
            assert p.stats().groups["bench"].handled == len(keys)
        return result

    return {
        "call": bare_call(1_000_000),
        "then": least([once(during=False, named=False) for _ in range(ROUNDS)]),
        "then, with ids": least([once(during=False, named=True) for _ in range(ROUNDS)]),
        "during": least([once(during=True, named=False) for _ in range(ROUNDS)]),
    }


def by_hand(keys, payloads):
    """Publish all, then take them through the state machine without threads; the time that each took."""
    store = MemoryStore()
    store.open_group("bench", 0)
    options = Options()
    group = Group("bench", store.process, store.stream.middles(), options, chance=random.random, durable=False)
    group.members.join_unnamed(4)
    agent = Agent(store, group)
    runner = Runner(agent, lambda _: None, time.monotonic, None, Handling())
    agent.tick(0.0)

    def publish():
        for some in batches(keys, payloads):
            agent.appended([receipt[:2] for receipt in store.append("p", store.stream.entries(*some, None, None))])

    def handle():
        while (batch := agent.next(0.0)) is not None:
            runner.run(batch)

    published, handled = timed(len(keys), publish), timed(len(keys), handle)
    assert group.handled_count == len(keys)
    return [published[0], published[1] + handled[1], published[2] + handled[2]]


def growing(counts, events_of, keys_of):
    """Cost per event as something grows; the fewer events, the more rounds."""
    keys, payloads, _ = columns()
    found = {}
    for count in counts:
        events = events_of(count)
        names = keys_of(count, keys, events)
        bodies = [payloads[i % len(payloads)] for i in range(events)]
        rounds = max(ROUNDS, min(100, 200_000 // events))
        found[str(count)] = min((by_hand(names, bodies) for _ in range(rounds)), key=lambda result: result[2])
    return found


def sync():
    """What it takes to make a write of 4 KiB durable in this folder; and one that makes the file longer."""

    def once(handle, at):
        os.pwrite(handle, b"x" * 4096, at)
        begin = time.perf_counter()
        getattr(os, "fdatasync", os.fsync)(handle)
        return time.perf_counter() - begin

    def median(step):
        handle = os.open("sync", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        times = [once(handle, n * step) for n in range(300)]
        os.close(handle)
        return [1, statistics.median(times), 0.0]

    return {"sync": median(0), "longer": median(4096)}


def cases(folder, *, quick, events=None):
    """Case → function; `events` is how many, for those that are nothing but these."""
    all_of = events or (5_000 if quick else None)
    few = events or (200 if quick else ONE_BY_ONE)
    waiting, numbers = (WAITING[:2], KEYS[:3]) if quick else (WAITING, KEYS)
    found = {
        "sync": sync,
        "publish-one": lambda: publishing(folder, 1, few),
        "publish-one-4": lambda: publishing_together(folder, 4, few),
        "publish-many": lambda: publishing(folder, BATCH, all_of),
        "plain": lambda: end_to_end(folder, 1, count=all_of),
        "plain-4": lambda: end_to_end(folder, 4, count=all_of),
        "transactional": lambda: end_to_end(folder, 1, transactional=True, count=all_of),
        "transactional-4": lambda: end_to_end(folder, 4, transactional=True, count=all_of),
        "one-at-a-time": lambda: one_at_a_time(folder, few, "after"),
        "one-meanwhile": lambda: one_at_a_time(folder, few, "meanwhile"),
        "one-meanwhile-4": lambda: one_at_a_time(folder, few, "meanwhile", threads=THREADS),
        "one-in-flight": lambda: one_at_a_time(folder, few, "handled"),
        "one-meanwhile-all-cores": lambda: one_at_a_time(folder, few, "meanwhile"),
        "one-meanwhile-4-all-cores": lambda: one_at_a_time(folder, few, "meanwhile", threads=THREADS),
        "plain-4-all-cores": lambda: end_to_end(folder, 4, count=all_of),
        "memory": lambda: in_memory(all_of),
        "waiting": lambda: growing(
            waiting, lambda count: count, lambda _, keys, events: [keys[i % len(keys)] for i in range(events)]
        ),
        "keys": lambda: growing(
            numbers,
            lambda _: KEYS_EVENTS // (20 if quick else 1),
            lambda count, _, events: [f"N{i * 7919 % count}" for i in range(events)],
        ),
    }
    for package, kind in PEERS.items():
        count = min(few, getattr(kind, "events_most", few))
        for mode in (mode for mode in MODES if getattr(kind, mode)):
            found[f"{package}/{mode}"] = partial(peer, folder, package, mode, count)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    os.chdir(folder)
    asked = [int(option.partition("=")[2]) for option in sys.argv if option.startswith("--events=")]
    found = cases(folder, quick="--quick" in sys.argv, events=asked[0] if asked else None)
    print(json.dumps(found[sys.argv[1]]()))
