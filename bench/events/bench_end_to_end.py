"""Published, handled and acknowledged: in batches, and one at a time."""

from __future__ import annotations

from functools import partial
from threading import Semaphore

import apsw
from harness.catalogue import works_of
from harness.declare import Case

from events.bounds import Faster, bounds
from events.flights import batches, columns
from events.peers import OLDER_BATCHED, OLDER_SINGLY, called
from events.rates import of_cpu, rates
from events.timing import few, in_threads, many, timed
from ringward.events import Processor

THREADS = 4


def in_batches(effort, *, members=1, transactional=False):
    """Publish in batches while members handle and acknowledge, until all is done."""
    keys, payloads, ids = columns(many(effort))
    with Processor(effort.folder / "store.db") as p:
        effects = apsw.Connection(str(effort.folder / "store.db"))
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
    return {"": result}


def one_at_a_time(effort, *, handled, threads=1):
    """Every event published by itself, handed out by itself and acknowledged by itself.

    All are handled "after" all are published, as the peers do it; or "meanwhile"; or each "before the next" is
    published. By as many members as threads publish.
    """
    keys, payloads, ids = columns(few(effort))
    in_turn = handled == "before the next"
    done = Semaphore(0)
    with Processor(effort.folder / "store.db") as p:
        p.consumer("bench", members=threads, batch=1)((lambda _: done.release()) if in_turn else (lambda _: None))
        if handled != "after":
            p.start()
            assert p.drain()

        def publish(first):
            for at in range(first, len(keys), threads):
                p.publish(keys[at], payloads[at], id=ids[at])
                if in_turn:
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
    return {"": result}


MEANWHILE = partial(one_at_a_time, handled="meanwhile")
CASES = {
    "plain": Case(in_batches),
    "plain-4-members": Case(partial(in_batches, members=4)),
    "transactional": Case(partial(in_batches, transactional=True)),
    "transactional-4-members": Case(partial(in_batches, members=4, transactional=True)),
    "one-after": Case(partial(one_at_a_time, handled="after")),
    "one-meanwhile": Case(MEANWHILE),
    "one-meanwhile-4": Case(partial(MEANWHILE, threads=THREADS)),
    "one-in-turn": Case(partial(one_at_a_time, handled="before the next")),
    "one-meanwhile-all-cores": Case(MEANWHILE, all_cores=True),
    "one-meanwhile-4-all-cores": Case(partial(MEANWHILE, threads=THREADS), all_cores=True),
    "plain-4-members-all-cores": Case(partial(in_batches, members=4), all_cores=True),
}
work = works_of(__file__)
PLAIN, ONE_THREAD_EACH = work("plain"), [work("one-after"), work("one-meanwhile")]
TABLES = [
    bounds(
        Faster("published, handled and acknowledged, plain handler", [PLAIN], OLDER_SINGLY + OLDER_BATCHED, called, 10),
        Faster("the same, transactional handler", [work("transactional")], OLDER_SINGLY + OLDER_BATCHED, called, 7),
        Faster("published, handled and acknowledged one at a time, by one thread each", ONE_THREAD_EACH, OLDER_SINGLY,
               called, 1),
        Faster("the same, 4 threads that publish and 4 members", [work("one-meanwhile-4")], OLDER_SINGLY, called, 1),
    ),
    of_cpu(
        ("published, handled and acknowledged in batches", PLAIN, 6),
        ("the same, one at a time, all published, then all handled", work("one-after"), 110),
    ),
    rates(
        ("end to end, plain handler, 1 member", PLAIN),
        ("end to end, plain handler, 4 members", work("plain-4-members")),
        ("end to end, transactional handler, 1 member", work("transactional")),
        ("end to end, transactional handler, 4 members", work("transactional-4-members")),
        ("end to end one at a time, all published, then all handled", work("one-after")),
        ("end to end one at a time, published while others are handled", work("one-meanwhile")),
        ("the same, 4 threads that publish and 4 members", work("one-meanwhile-4")),
        ("end to end one at a time, published when the one before is handled", work("one-in-turn")),
        ("on all cores: published while others are handled", work("one-meanwhile-all-cores")),
        ("the same, 4 threads that publish and 4 members", work("one-meanwhile-4-all-cores")),
        ("on all cores: end to end, plain handler, 4 members", work("plain-4-members-all-cores")),
    ),
]  # fmt: skip
