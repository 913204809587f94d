"""Peers that came later, or were found later, than the bounds of docs/events-performance.md: they stand beside them."""

from __future__ import annotations

from events.flights import BATCH, batches
from events.older_peers import ACKNOWLEDGED

ROOM = 1_000_000  # events


class LeanQueue:
    """leanqueue: a log of its own, in Rust. What is handed out is leased, and so written and synced too."""

    package = module = "leanqueue"
    promises = ("no", "no", "no", "yes", "no")
    together = None

    def __init__(self, folder):
        from leanqueue import LeanQueueCore

        self.queue = LeanQueueCore(str(folder / "lean.log"))  # without an interval it syncs every write

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.enqueue(payload)
        while (message := self.queue.dequeue()) is not None:
            handle(message[1])
            self.queue.ack(message[0])

    def batched(self, payloads, handle):
        for (some,) in batches(payloads, size=BATCH):
            self.queue.enqueue_batch(some)
        while messages := self.queue.dequeue_batch(ACKNOWLEDGED):
            for message in messages:
                handle(message[1])
            self.queue.ack_batch([message[0] for message in messages])


class Nque:
    """nque, on LMDB: `get`, then `remove`, which serves one consumer only: several corrupt the queue, says its documentation."""

    package = module = "nque"
    promises = ("one consumer", "no", "no", "one consumer", "no")
    together = None

    def __init__(self, folder):
        from nque import FifoBasicQueueLmdb

        self.queue = FifoBasicQueueLmdb(str(folder / "nque"), items_count_max=ROOM, item_bytes_max=1024)

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.put([payload])
        self._handle(handle, 1)

    def batched(self, payloads, handle):
        for (some,) in batches(payloads, size=BATCH):
            self.queue.put(some)
        self._handle(handle, ACKNOWLEDGED)

    def _handle(self, handle, size):
        while items := self.queue.get(size):
            for item in items:
                handle(item)
            self.queue.remove(len(items))


class _Bytes:
    """What localqueue takes for a serializer."""

    @staticmethod
    def dumps(data):
        """As it is."""
        return data

    loads = dumps


class LocalQueue:
    """localqueue, in Rust on SQLite, `DURABLE`: it stores many in a commit, and hands out and acknowledges one by one."""

    package = module = "localqueue"
    promises = ("no", "by id, while its record is kept", "receipt of the lease", "yes", "no")
    together = None

    def __init__(self, folder):
        from localqueue import DurabilityMode, SimpleQueue

        self.queue = SimpleQueue(str(folder), durability=DurabilityMode.DURABLE, serializer=_Bytes)

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.put(payload)
        self._handle(payloads, handle)

    def batched(self, payloads, handle):
        for (some,) in batches(payloads, size=BATCH):
            self.queue.put_many(some)
        self._handle(payloads, handle)

    def _handle(self, payloads, handle):
        for _ in payloads:
            job = self.queue.get(block=False)
            handle(job.data)
            self.queue.ack(job)


class SimpleBroker:
    """simplebroker, on SQLite: reading deletes; in batches, a batch is deleted when it was read to its end."""

    package = module = "simplebroker"
    promises = ("no", "no", "no", "batches", "no")
    together = None

    def __init__(self, folder):
        from simplebroker import Queue

        self.queue = Queue("bench", db_path=str(folder / "broker.db"), persistent=True)

    def singly(self, payloads, handle):
        for payload in payloads:
            self.queue.write(payload.decode())
        while (message := self.queue.read_one()) is not None:
            handle(message)

    def batched(self, payloads, handle):
        for (some,) in batches(payloads, size=BATCH):
            first = self.queue.generate_timestamp() + 1
            self.queue.insert_messages([(payload.decode(), first + at) for at, payload in enumerate(some)])
        for message in self.queue.read_generator(delivery_guarantee="at_least_once"):
            handle(message)


class Dbos:
    """DBOS on SQLite: each event a workflow of one function. It keeps what each returned, so that it runs no id twice."""

    package = module = "dbos"
    promises = ("by partitioned queues", "by workflow id", "no", "yes", "steps of its own")
    together = batched = None
    events_most = 100  # it takes a hundred times as long as the others

    def __init__(self, folder):
        self.database = f"sqlite:///{folder / 'dbos.db'}"

    def singly(self, payloads, handle):
        from dbos import DBOS

        DBOS(
            config={
                "name": "bench",
                "system_database_url": self.database,
                "log_level": "ERROR",
                "run_admin_server": False,
            }
        )
        run = DBOS.workflow()(_workflow_of(handle))
        DBOS.launch()
        try:
            DBOS.register_queue("bench", polling_interval_sec=0.05, worker_concurrency=1)
            handles = [DBOS.enqueue_workflow("bench", run, payload) for payload in payloads]
            for each in handles:
                each.get_result(polling_interval_sec=0.001)
        finally:
            DBOS.destroy()


def _workflow_of(handle):
    def flight(payload):
        handle(payload)

    return flight
