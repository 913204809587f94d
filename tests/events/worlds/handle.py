"""One process's way to the store: at every call others may go first, and a call may fail, tear, or be the last."""

from __future__ import annotations

from events.worlds.scheduler import Gone

import ringward as rw

# What can become of a write. torn: only the first of its items are stored.
FATES = ("fails", "fails after", "dies", "dies after", "torn", "inside fails", "inside dies")
_TORN = {"mark", "settle", "claim"}
_WITHOUT_GROUP = {"append", "prune"}


class Handle:
    """A `Store` as one process has it."""

    def __init__(self, world, host):
        self.world = world
        self.host = host
        self.process = host.name
        self.waiting_fault = None
        self.upset = False  # whether a call failed: then its partitions may be claimed anew at any time

    def adopt(self, base):
        """Go on with a store that was opened, or opened anew."""
        self.base, self.stream, self.abilities = base, base.stream, base.abilities

    @property
    def session(self):
        """As `Store.session`."""
        return self.base.session

    def hint(self, process):
        """As `Store.hint`; it lets nobody go first, as it returns at once."""
        if not self.world.plan.locks:
            return "unknown"
        return "gone" if self.world.is_dead(process) else "here"

    def fault(self, point):
        """Stand at a point inside a write of the store."""
        if self.waiting_fault is not None:
            if self.world.random.random() < 0.5 and point not in ("append", "settle", "claimed"):
                return  # at a later point, if there is one
            fault, self.waiting_fault = self.waiting_fault, None
            self.world.saw(f"{fault} at {point}")
            if fault == "inside dies" or point == "committed":
                self.host.die()
                raise Gone
            raise self.world.fault_error(point)

    def write_transaction(self, group):
        """As `Store.write_transaction`: others who write wait until it is over."""
        self._enter()
        self.world.wait_for_turn()
        self.world.turn_of = self
        try:
            return HandledTurn(self, self.base.write_transaction(group), group)
        except BaseException:
            self.world.turn_of = None
            raise

    def keep(self, retention):
        """Set what everybody keeps."""
        self._enter()
        self.world.wait_for_turn()
        self.base.configure(retention=retention)

    def _enter(self):
        """Let others go first; `Gone` when the process is dead."""
        if self.host.dead:
            raise Gone
        self.world.pause()

    def _read(self, name, args):
        self._enter()
        if self.world.fate(f"read {name}", reading=True) is not None:
            self.upset = True
            raise rw.BackpressureError("store", "free of other programs' locks", name)
        return getattr(self.base, name)(*args)

    def _write(self, name, args):
        self._enter()
        self.world.wait_for_turn()
        fate = self.world.fate(name)
        if fate is None:
            return self._perform(name, args)
        self.upset = True
        self.world.saw(f"{name} {fate}")
        if fate == "torn":
            args = self._torn(name, args)
            self._perform(name, args)
            fate = "dies after" if self.world.random.random() < 0.5 else "fails after"
        elif fate.startswith("inside"):
            self.waiting_fault = fate
            try:
                return self._perform(name, args)
            finally:
                self.waiting_fault = None
        elif fate.endswith("after"):
            self._perform(name, args)
        if fate.startswith("dies"):
            self.host.die()
            raise Gone
        raise rw.StoreFailedError(f"{name} {fate}")

    def _torn(self, name, args):
        """The first of its items: each is stored on its own."""
        if name not in _TORN:
            return args
        items = args[-1]
        most = int(self.world.random.random() * len(items))
        kept = dict(list(items.items())[:most]) if isinstance(items, dict) else items[:most]
        return (*args[:-1], kept)

    def _perform(self, name, args):
        world = self.world
        group = None if name in _WITHOUT_GROUP else args[0]
        world.note(self.process, name, args)
        try:
            result = getattr(self.base, name)(*args)
        finally:
            world.wrote(self, name, group, args)
        if name in ("mark", "settle") and result:
            world.saw(f"a fenced {name}")
        return result


class HandledTurn:
    """The write transaction of a store, as one process has it."""

    def __init__(self, handle, write_transaction, group):
        self.handle = handle
        self.inner = write_transaction
        self.group = group
        self.transaction = write_transaction.transaction
        self.begun = handle.world.clock
        handle.world.turn_actor = handle.world.current
        handle.world.open_turn = self

    @property
    def lost(self):
        """As `WriteTransaction.lost`."""
        return self.inner.lost

    def begin(self, partition, epoch):
        """As `WriteTransaction.begin`."""
        self._live()
        self.inner.begin(partition, epoch)

    def end(self, *, keep):
        """As `WriteTransaction.end`."""
        self._live()
        self.inner.end(keep=keep)

    def over(self):
        """As `WriteTransaction.over`, by the simulated clock, and sometimes sooner."""
        world = self.handle.world
        return self.inner._events >= 4 or world.clock - self.begun >= 0.02 or world.random.random() < 0.2

    def settle(self, settlements):
        """As `WriteTransaction.settle`; it may fail, or be the last of its process, at its own points."""
        self._live()
        world, handle = self.handle.world, self.handle
        fate = world.fate("transaction")
        if fate is not None:
            world.saw(f"turn {fate}")
            handle.waiting_fault = "inside dies" if "dies" in fate else "inside fails"
        world.note(handle.process, "transaction", settlements)
        try:
            self.inner.settle(settlements)
        finally:
            handle.waiting_fault = None
            self._over()
            world.wrote(handle, "transaction", self.group, ())

    def cancel(self):
        """As `WriteTransaction.cancel`."""
        if self.handle.world.open_turn is self:
            self.inner.cancel()
            self._over()

    def _live(self):
        if self.handle.host.dead:
            raise Gone
        if self.handle.world.open_turn is not self:
            raise rw.TransactionError("the write transaction is over")

    def _over(self):
        world = self.handle.world
        if world.open_turn is self:
            world.turn_of = world.turn_actor = world.open_turn = None


def _reader(name):
    def read(self, *args):
        return self._read(name, args)

    return read


def _writer(name):
    def write(self, *args):
        return self._write(name, args)

    return write


for _name in (
    "totals",
    "heads",
    "read",
    "rows",
    "bodies",
    "groups",
    "states",
    "dead_letters",
    "membership",
    "heartbeats",
):
    setattr(Handle, _name, _reader(_name))
for _name in (
    *("append", "open_group", "delete_group", "claim", "mark", "settle", "redrive", "drop", "reset"),
    *("change_membership", "heartbeat", "prune"),
):
    setattr(Handle, _name, _writer(_name))
