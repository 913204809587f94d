"""Processes without threads or clocks: each drives a driver on one store, step by step."""

from __future__ import annotations

from collections import defaultdict

from ringward.events.core.group import Group
from ringward.events.core.options import Options
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import Handling, Runner
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
        return store.append("p", made)

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
