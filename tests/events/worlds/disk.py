"""Files for `SqliteStore`: writes that fail or tear, processes whose writes stop, and power cuts."""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from pathlib import Path

import apsw
from events.worlds.handle import Handle
from events.worlds.run import run
from events.worlds.scheduler import Gone

from ringward.events import SqliteStore

_numbers = itertools.count(1)


class Disk(apsw.VFS):
    """A file system where a run decides what becomes of a write; nothing of it waits for the real disk."""

    def __init__(self, world):
        self.world = world
        self.host = None  # who opens files now
        self.unsynced = defaultdict(list)  # path → (offset, what was there, how long the file was)
        self.below = apsw.vfs_names()[0]
        super().__init__(f"simulated-{next(_numbers)}", self.below, makedefault=True)

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        """Open a file for the process that is opening its store."""
        return File(self, name, flags)


class File(apsw.VFSFile):
    """A file as one process has it."""

    def __init__(self, disk, name, flags):
        super().__init__(disk.below, name, flags)
        self.disk = disk
        self.host = disk.host
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name

    def _meet(self, what):
        """Let the run decide; what is left of a write of a process that dies in it."""
        if self.host is None or self.disk.host is not None:  # the files of nobody, or just being opened
            return 1.0
        if self.host.dead:
            raise Gone
        fate = self.disk.world.disk_fate(self.host, what)
        if fate == "fails":
            raise apsw.IOError(f"the disk refuses to {what}")
        if fate == "full":
            raise apsw.FullError("database or disk is full")
        return 1.0 if fate is None else self.disk.world.random.random()

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's name
        """Write all, a part, or nothing."""
        share = self._meet("write")
        kept = data if share == 1.0 else data[: int(len(data) * share)]
        size = self.xFileSize()
        there = self.xRead(min(len(kept), size - offset), offset) if offset < size and kept else b""
        self.disk.unsynced[self.path].append((offset, there, size))
        if kept:
            super().xWrite(kept, offset)
        self._survive(share)

    def _survive(self, share):
        if share != 1.0:
            self.host.die()
            raise Gone

    def xSync(self, flags):  # noqa: N802 - SQLite's name
        """From here on, what was written survives a power cut."""
        self._survive(self._meet("sync"))
        self.disk.unsynced.pop(self.path, None)

    def xTruncate(self, size):  # noqa: N802 - SQLite's name
        """Cut the file off; taken for synced at once."""
        self._survive(self._meet("truncate"))
        self.disk.unsynced.pop(self.path, None)
        super().xTruncate(size)


class Sqlite:
    """One file of a `SqliteStore`, which each process opens for itself."""

    def __init__(self, world, path):
        self.world = world
        self.path = path
        self.disk = Disk(world)
        self.handles = []
        self.failed = self.cut = False
        self.effects_seen = 0
        self.first = self.observer = self._open(None)
        self.observer._writer.connection.execute(
            "CREATE TABLE effects (number INTEGER PRIMARY KEY, grp TEXT, seq INTEGER, key TEXT, part INTEGER, epoch INTEGER)"
        )

    def _open(self, host, faults=lambda _: None):
        self.disk.host = host
        try:
            return SqliteStore(
                self.path,
                self.world.stream,
                id_window_s=self.world.plan.id_window_s,
                clock=self.world.wall,
                now=self.world.now,
                faults=faults,
                transaction_timeout_s=1e6,
            )
        finally:
            self.disk.host = None

    def handle_for(self, host):
        """The store, as a process has it: its own connections."""
        handle = Handle(self.world, host)
        handle.adopt(self._open(host, handle.fault))
        self.handles.append(handle)
        return handle

    def fault_error(self, point):
        """What SQLite says at a point: no space, or that the disk failed."""
        if point == "commit" and self.world.random.random() < 0.3:
            return apsw.IOError("the disk is on fire")
        return apsw.FullError("database or disk is full")

    def died(self, host):
        """What it has open is closed as soon as none of its calls is under way."""

    def must_reopen(self, host):
        """Whether some process saw a commit fail: then all end, and the file is copied."""
        self.failed |= self.observer._write_lock.failed
        return self.failed

    def after_step(self):
        """Close what dead processes had open; end all processes when there is a reason."""
        self._end_turn()
        for handle in [each for each in self.handles if each.host.dead]:
            self.handles.remove(handle)
            handle.base.close()
        if self.failed or self.cut:
            self._end_all()

    def _end_turn(self):
        write_transaction = self.world.open_turn
        if write_transaction is not None and write_transaction.handle.host.dead:
            write_transaction.inner.cancel()
            write_transaction._over()

    def _end_all(self):
        for handle in self.handles:
            if not handle.host.safe:
                handle.host.die()
        self.world.reap()
        self._end_turn()
        cut, failed, self.cut, self.failed = self.cut, self.failed, False, False
        files = self._without_unsynced() if cut else {}
        for handle in self.handles:
            handle.base.close()
        self.observer.close()
        for path, data in files.items():
            path.write_bytes(data)
        self.handles = [handle for handle in self.handles if not handle.host.dead]
        self.first = self.observer = self._open(None)
        for handle in self.handles:
            handle.adopt(self._open(handle.host, handle.fault))
        if cut:
            self.world.saw("a power cut")
            self.world.ledger.check(self.world.ledger.power_cut)
        if failed:
            self.world.saw("copied after a failed commit")

    def _without_unsynced(self):
        """What is on the disk after a power cut: of the writes since the last sync a part."""
        files = {}
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            data = bytearray(path.read_bytes() if path.exists() else b"")
            writes = self.disk.unsynced.pop(str(path), [])
            kept = int(self.world.random.random() * (len(writes) + 1))
            for offset, there, size in reversed(writes[kept:]):
                data[offset : offset + len(there)] = there
                del data[size:]
            files[path] = bytes(data)
        return files

    def effect(self, delivery, event):
        """Write through the event's transaction."""
        event.transaction.execute(
            "INSERT INTO effects (grp, seq, key, part, epoch) VALUES (?, ?, ?, ?, ?)",
            (delivery.group, delivery.seq, delivery.key, delivery.partition, delivery.epoch),
        )

    def new_effects(self):
        """What was committed since the last look: (group, seq, key, partition, epoch)."""
        rows = self.observer._file.read("SELECT * FROM effects WHERE number > ? ORDER BY number", (self.effects_seen,))
        if rows:
            self.effects_seen = rows[-1][0]
        return [row[1:] for row in rows]

    def heal(self):
        """The disk is whole again."""
        self.must_reopen(None)
        self.after_step()

    def close(self):
        """Close all."""
        self.after_step()
        for handle in self.handles:
            handle.base.close()
        self.observer.close()
        self.disk.unregister()


def run_on_sqlite(seed, folder=None, *, disk=0.003, **fixed):
    """Run a seed on a file; every other one with transactional handlers."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        fixed = {"disk": disk, "transactional": seed % 2 == 0, **fixed}
        return run(seed, make=lambda world: Sqlite(world, Path(made) / "store.db"), **fixed)
