"""A process that dies at one point of a write; `main` is its target.

The point is the name of a hook, or "commit" or "committed" after a colon for those of the transaction in which that hook
is ("settled:commit"), or a number for the nth write of that commit to the disk ("settled:3"). A write that the
process dies at reaches the disk by half.
"""

from __future__ import annotations

import os
import signal

import apsw

from ringward.events import Processor, Retry, SqliteStore, Stream
from ringward.events.model.store import Retention
from ringward.events.stores.sqlite import schema

STREAM = Stream(partitions=4)
NEXT = """
CREATE TABLE ringward_next (x);
ALTER TABLE ringward_meta ADD COLUMN more;
INSERT INTO ringward_next SELECT seq FROM ringward_log;
"""
GONE = 86  # ends the process when the point was never reached


def die():
    """End like a process that is killed: nothing is closed, nothing is flushed."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class Faults:
    """Dies at the point that it is told."""

    def __init__(self, point):
        self.hook, _, self.part = point.partition(":")
        self.armed = False
        self.writes = 0

    def __call__(self, name):
        """Be told of a point."""
        if name == self.hook:
            self.armed = True
            if not self.part:
                die()
        elif self.armed and name == self.part:
            die()
        elif name == "committed":
            if self.armed and self.part.isdigit():
                os._exit(GONE)
            self.armed = False

    def writing(self):
        """Whether the process is to die at this write."""
        if self.armed and self.part.isdigit():
            self.writes += 1
            return self.writes == int(self.part)
        return False


class File(apsw.VFSFile):
    """A file whose nth write is the last."""

    def __init__(self, faults, *args):
        super().__init__(*args)
        self._faults = faults

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's name
        """Write, or die in the middle of it."""
        if self._faults.writing():
            super().xWrite(data[: len(data) // 2], offset)
            die()
        super().xWrite(data, offset)


class Files(apsw.VFS):
    """Opens such files."""

    def __init__(self, faults):
        self._faults = faults
        self._base = apsw.vfs_names()[0]
        super().__init__("dying", self._base, makedefault=True)

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        """Open one."""
        return File(self._faults, self._base, name, flags)


def entries(count=3, first=0):
    """Events with ids."""
    return [STREAM.entry(f"key{i % 2}", b"%d" % i, f"id{i}", None) for i in range(first, first + count)]


def publish(store):
    """Append three events."""
    store.append("p", entries())


def claim(store):
    """Claim all partitions."""
    store.claim("g", "thief#1", {partition: d.epoch for partition, d in store.states("g").items()})


def prune(store):
    """Delete what is resolved."""
    store.configure(retention=Retention(age_s=None, count=0))
    store.prune(1000)


def plain(store):
    """Handle events, and say which in a file."""
    said = os.open(store.path.with_name("said"), os.O_WRONLY | os.O_CREAT)
    consume(store, lambda event: os.write(said, b"%d\n" % event.seq))


def singly(store):
    """Handle events one at a time, and say which in a file."""
    said = os.open(store.path.with_name("said"), os.O_WRONLY | os.O_CREAT)
    consume(store, lambda event: os.write(said, b"%d\n" % event.seq), batch=1)


def transactional(store):
    """Handle events, and write each down in the transaction of its acknowledgement."""
    consume(store, lambda event: event.transaction.execute("INSERT INTO effects VALUES (?)", (event.seq,)))


def bury(store):
    """Handle events that always fail."""
    consume(store, lambda event: 1 / 0, retry=Retry(attempts=1))


def handler(store):
    """Die in the handler of seq 4."""
    consume(store, lambda event: event.seq == 4 and die())


def consume(store, handle, **options):
    """Let a processor run a handler."""
    with Processor(store) as p:
        p.consumer("g", batch_least=options.get("batch", 200), **options)(handle)  # all of them in one batch
        p.run(until="idle", timeout_s=30)


def main(path, work, point):
    """Do some work on a file, and die at a point of it."""
    faults = Faults(point)
    files = Files(faults)  # in use as long as it is held
    if work == "upgrade":
        schema.STEPS.append(NEXT)
        schema.VERSION = len(schema.STEPS)
    store = SqliteStore(path, None if path.exists() else STREAM, faults=faults)
    if work not in ("create", "upgrade"):
        globals()[work](store)
    del files
    os._exit(GONE)
