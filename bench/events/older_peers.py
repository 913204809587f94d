"""The peers that the bounds of docs/events-performance.md are held against, all on SQLite at `synchronous=FULL`."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from events.flights import BATCH, batches

THREADS = 4
ACKNOWLEDGED = 200  # at most in one commit, as in the processor


class Huey:
    """SqliteHuey's storage, without the pickling of tasks around it. Taking an event out deletes it: no acknowledgement."""

    package = module = "huey"
    promises = ("no", "no", "no", "no", "no")
    batched = None  # it has nothing that stores or takes several

    def __init__(self, folder):
        from huey import SqliteHuey

        self.queue = SqliteHuey(filename=str(folder / "huey.db"), fsync=True, results=False).storage

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.enqueue(payload)
        while (payload := self.queue.dequeue()) is not None:
            handle(payload)

    def together(self, payloads, handle):
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self.queue.enqueue, payloads))
            for payload in pool.map(lambda _: self.queue.dequeue(), payloads):
                handle(payload)


class PersistQueue:
    """persist-queue: the acknowledging queue singly; the plain one, whose `task_done` acknowledges all taken so far."""

    package, module = "persist-queue", "persistqueue"
    promises = ("no", "no", "no", "yes", "no")
    together = None

    def __init__(self, folder):
        self.folder = folder

    def _opened(self, kind, **options):
        queue = kind(str(self.folder / "persist"), **options)
        queue._putter.execute("PRAGMA synchronous = FULL")
        return queue

    def singly(self, payloads, handle):
        from persistqueue import SQLiteAckQueue

        queue = self._opened(SQLiteAckQueue)
        for payload in payloads:
            queue.put(payload)
        for _ in payloads:
            item = queue.get(block=False, raw=True)
            handle(item["data"])
            queue.ack(id=item["pqid"])

    def batched(self, payloads, handle):
        from persistqueue import FIFOSQLiteQueue

        queue = self._opened(FIFOSQLiteQueue, auto_commit=False)
        for payload in payloads:
            queue.put(payload)  # each commits: it has no other way
        for (some,) in batches(payloads, size=ACKNOWLEDGED):
            for _ in some:
                handle(queue.get(block=False))
            queue.task_done()


class LiteQueue:
    """litequeue; in batches, what it stores and what is done is inside of its `transaction`, which `pop` cannot be."""

    package = module = "litequeue"
    promises = ("no", "no", "from 0.14 on", "yes", "no")
    together = None

    def __init__(self, folder):
        from litequeue import LiteQueue as Queue

        self.queue = Queue(folder / "lite.db")
        self.queue.conn.execute("PRAGMA synchronous = FULL")
        self._claims = "claim_id" in inspect.signature(self.queue.done).parameters  # from 0.14 on

    def _done(self, message):
        """The call that acknowledges it."""
        return partial(self.queue.done, message.message_id, **({"claim_id": message.claim_id} if self._claims else {}))

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.put(payload.decode())
        while (message := self.queue.pop()) is not None:
            handle(message.data)
            self._done(message)()

    def batched(self, payloads, handle):
        for (some,) in batches(payloads, size=BATCH):
            with self.queue.transaction():
                for payload in some:
                    self.queue.put(payload.decode())
        for (some,) in batches(payloads, size=ACKNOWLEDGED):
            taken = [self.queue.pop() for _ in some]
            for message in taken:
                handle(message.data)
            with self.queue.transaction():
                for message in taken:
                    self._done(message)()
