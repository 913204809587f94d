"""Processes without threads or clocks: each drives a driver on one store, step by step."""

from __future__ import annotations

from collections import defaultdict

from ringward.events import Member, Membership
from ringward.events.core.group import Group
from ringward.events.core.options import Options
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import Handling, Runner
from ringward.events.engine.limits import cut
from ringward.events.model.event import Delivery, Event


class Process:
    """One process: a handle on the store, a group and its driver."""

    def __init__(
        self,
        world,
        store,
        name="g",
        *,
        members=1,
        router=None,
        gate=None,
        options=None,
        handler=None,
        chance=lambda: 0.0,
        presence="proof",  # what tests say of processes is so
    ):
        self.world = world
        self.store = store
        store.open_group(name, 0)
        self.group = Group(
            name,
            store.process,
            store.stream.middles(),
            options or world.options,
            router=router,
            gate=gate or SuspectGate(),
            chance=chance,
            durable=True,
            presence=presence,
        )
        self.driver = GroupDriver(store, self.group)
        self.runner = Runner(self.driver, handler or world.handle, world.now, None, Handling())
        if isinstance(members, int):
            self.group.members.join_unnamed(members)
        else:
            self.group.members.join(members)

    def tick(self):
        """Let time be noticed."""
        self.driver.tick(self.world.clock)

    def take(self):
        """Take a batch and begin nothing of it."""
        return self.driver.next(self.world.clock)

    def step(self, more=lambda: False):
        """Handle one batch, and those that follow it while there is to be `more`; whether there was one."""
        batch = self.take()
        found = batch is not None
        while batch is not None:
            batch = self.runner.run(batch, more=more())
        return found

    def work(self, limit=10_000):
        """Handle all there is for now."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError("there is always something to do")

    def delivery(self, batch):
        """What the events of a batch have in common, for a handler that is run by hand."""
        return Delivery(self.group.name, batch.epochs)

    def begin(self, batch):
        """Take the next event of a batch off, as a handler that does not return would."""
        row, attempt = next(batch.left_to_run())
        return Event((row, attempt, self.delivery(batch)))


class World:
    """A clock, an outside that remembers effects, and processes on one store."""

    def __init__(self, make, **options):
        self.make = make
        self.clock = 0.0
        batch = options.get("batch", 20)
        self.options = Options(**{"batch": batch, "batch_least": batch, **options})  # whatever time handlers take
        self.effects = []  # (key, seq, attempt), in the order in which handlers ran
        self.fails = {}  # seq → how often it fails yet, or a function of the event

    def now(self):
        """Tell the time."""
        return self.clock

    def process(self, store=None, **options):
        """Start a process, and let it join."""
        process = Process(self, store or self.make(), **options)
        process.tick()
        return process

    def handle(self, event):
        """Remember that an event was handled, unless it is to fail."""
        self.effects.append((event.key, event.seq, event.attempt))
        left = self.fails.get(event.seq, 0)
        if callable(left):
            left(event)
        elif left > 0:
            self.fails[event.seq] = left - 1
            raise ValueError(f"seq {event.seq} fails")

    def publish(self, store, count, first=0, keys=5, prefix="key"):
        """Publish events of some keys."""
        made = [store.stream.entry(f"{prefix}{i % keys}", b"%d" % i, None, None) for i in range(first, first + count)]
        return appended(store, made)

    def advance(self, seconds, *processes):
        """Let time go by, and be noticed."""
        self.clock += seconds
        for process in processes:
            process.tick()

    def settle(self, *processes, seconds=60.0, step=0.5):
        """Let processes work until nothing is left to wait for."""
        end = self.clock + seconds
        while self.clock < end:
            for process in processes:
                process.tick()
                process.work()
            self.clock += step

    def seqs(self):
        """Tell which events were handled, in order."""
        return [seq for _, seq, _ in self.effects]

    def by_key(self):
        """Tell the seqs in the order of handling, for each key."""
        keys = defaultdict(list)
        for key, seq, _ in self.effects:
            keys[key].append(seq)
        return dict(keys)


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
    """Append an event for each key; their seqs."""
    return [r.seq for r in appended(store, [store.stream.entry(key, b"x", None, None) for key in keys])]


def appended(store, entries):
    """Append entries, as many at a time as the store takes; their receipts."""
    return [receipt for part in cut(entries, store.abilities.max_batch) for receipt in store.append("p", part)]


def pair(world, **options):
    """Two processes that share the partitions of one group."""
    stores = [world.make(), world.make()] if world.make.shared else alone(world.make())
    first = world.process(stores[0], **options)
    second = world.process(stores[1], **options)
    for _ in range(3):
        world.advance(0.1, first, second)
    return first, second


def alone(store):
    """The same store for two processes, of which none shows that it lives."""
    store.hint = lambda process: "unknown"
    return [store, Other(store)]


class Other:
    """The same store in memory, as another process would see it."""

    count = 0

    def __init__(self, store):
        self._store = store
        Other.count += 1
        self.process = f"other{self.count}"

    def __getattr__(self, name):
        return getattr(self._store, name)

    def hint(self, process):
        """Know nothing of others."""
        return "unknown"


def deleted_and_opened(world):
    """Two processes whose group was deleted and is there again; nobody knows yet."""
    world.options = Options(batch=20, lease_s=6.0, heartbeat_s=2.0)
    first, second = pair(world)
    first.store.hint = second.store.hint = lambda process: "unknown"
    for _ in range(15):
        world.advance(0.1, first, second)
    first.store.delete_group("g")
    first.store.open_group("g", 0)
    return first, second


def often_dead(world, store, name):
    """Let the membership say that a member of a process that is gone died often."""
    membership = store.membership("g")
    members = {**dict(membership.members), name: Member(9, "gone", up=False, deaths=9)}
    assert store.change_membership(
        "g", Membership(membership.number + 1, tuple(sorted(members.items())), membership.router)
    )


def crash(process):
    """Let a process be gone, as the others see it."""
    if process.world.make.shared:
        process.store.close()


def successor(world, process, **options):
    """Start a process after another one died."""
    crash(process)
    store = world.make() if world.make.shared else Other(process.store)
    dead = process.store.process
    hint = store.hint
    store.hint = lambda name: "gone" if name == dead else hint(name)
    fresh = world.process(store, **options)
    fresh.tick()
    assert set(fresh.group.owned) == set(range(8))
    return fresh


def bury(world, count=3, **options):
    """Make a dead event with `count - 1` parked behind it, and another key that goes on."""
    process = world.process(**options)
    one, two = two_keys(process.store)
    seqs = append(process.store, *[one] * count, two)
    world.fails[seqs[0]] = 5
    world.settle(process, seconds=5)
    return process, one, two, seqs
