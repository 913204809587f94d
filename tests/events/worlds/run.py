"""A run: one seed's world, from its first event until all is healed and nothing is left to do."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from random import Random

from events.worlds import people, plan
from events.worlds.book import Violation, require
from events.worlds.handle import FATES, Handle
from events.worlds.host import Host
from events.worlds.ledger import Ledger
from events.worlds.scheduler import Scheduler

import ringward as rw
from ringward.events import MemoryStore, Stream
from ringward.events.core.suspect_gate import ALONE_S
from ringward.events.model.event import Receipts

HEAL_S = 200.0  # by then everything is done: a member that died often waits for up to 30 s before it joins
_START_MS = 1_000_000.0


@dataclass
class Outcome:
    """What came of a seed."""

    seed: int
    error: BaseException | None
    seen: object
    trace: list = field(repr=False)
    steps: int = 0
    operations: int = 0

    @property
    def digest(self):
        """What two runs of one seed have in common."""
        return hashlib.sha256("\n".join(map(str, self.trace)).encode()).hexdigest()


class Simulation(Scheduler):
    """The world of one seed."""

    def __init__(self, seed, *, make=None, fail_at=None, **fixed):
        super().__init__(Random(seed))
        self.plan = plan.draw(self.random, **fixed)
        self.options = self.plan.options
        self.router = plan.ROUTERS[self.plan.router]
        self.eagerness = self.plan.eagerness
        self.healing = False
        self.fail_at = fail_at  # (n, fate): the nth operation meets it, and no other
        self.operations = 0
        self.trace = []
        self.hosts = []
        self.dead = set()
        self.offered = {}  # payload → (key, id)
        self.fates = {}  # payload → [fate, how often]
        self.turn_of = self.turn_actor = self.open_turn = None
        self.stream = Stream(partitions=self.plan.partitions)
        self.engine = (make or Memory)(self)
        self.ledger = Ledger(self)
        self.to_publish = [self.entries(self.random.randint(1, 6)) for _ in range(self.plan.publishes)]

    # --- what others ask

    @property
    def base(self):
        """A store to look at what is committed."""
        return self.engine.observer

    def now(self):
        """Tell the time."""
        return self.clock

    def wall(self):
        """Tell the time of day."""
        return _START_MS + self.clock

    def saw(self, what):
        """Remember that something interesting happened."""
        self.ledger.saw(what)

    def note(self, who, what, detail=""):
        """Write a line of the trace."""
        self.trace.append((round(self.clock, 6), who, what, detail))

    def demand(self, holds, rule, detail):
        """Check one thing."""
        require(holds, rule, detail)

    def is_dead(self, process):
        """Whether a process is gone."""
        return process in self.dead

    def living(self):
        """The processes that work for groups."""
        return [host for host in self.hosts if not host.dead]

    def handle_for(self, host):
        """A way to the store for a process."""
        return self.engine.handle_for(host)

    def wait_for_turn(self):
        """Wait while another actor has the write transaction."""
        while self.turn_of is not None and self.turn_actor is not self.current:
            self.sleep(0.01)

    def must_reopen(self, host):
        """Whether a store that failed has to be opened anew, which ends the process."""
        return self.engine.must_reopen(host)

    def effect(self, delivery, event):
        """Let a handler write through its event's transaction."""
        self.engine.effect(delivery, event)

    # --- errors

    def fate(self, operation, *, reading=False):
        """What becomes of an operation; None: it goes well."""
        self.operations += 1
        if self.current is None or self.current.host.safe:
            return None
        if self.fail_at is not None:
            at, fate = self.fail_at
            return fate if self.operations == at else None
        rate = 0.0 if self.healing else self.plan.trouble * (0.3 if reading else 1.0)
        if not rate or self.random.random() >= rate:
            return None
        return FATES[int(self.random.random() * len(FATES))]

    def disk_fate(self, host, what):
        """What becomes of a write, a sync or a truncation of a file."""
        if host.safe or self.healing or self.random.random() >= self.plan.disk:
            return None
        fate = self.random.choice(("fails", "full", "tears", "tears"))
        self.saw(f"disk: {what} {fate}")
        return fate

    def fault_error(self, point):
        """What a store meets at a point inside a write."""
        return self.engine.fault_error(point)

    def wrote(self, handle, name, group, args):
        """A write is over, well or not."""
        self.ledger.check(self.ledger.wrote, name, handle.process, group, args)

    def after_step(self):
        """Stop at the first violation, whoever swallowed it."""
        if self.ledger.broken is not None:
            raise self.ledger.broken
        self.engine.after_step()

    def died(self, host):
        """A process is gone: what the system does then."""
        self.note(host.name, "dies")
        self.dead.add(host.name)
        for book in self.ledger.books.values():
            for delivery in [each for each in book.running if each.host is host]:
                del book.running[delivery]
        self.engine.died(host)

    def beside(self, delivery):
        """A suspect begins alone in its process, but for handlers that are slow; others may follow when it takes long."""
        for book in self.ledger.books.values():
            for other in book.running:
                if other is delivery or other.host is not delivery.host or other.host.handle.upset:
                    continue
                if not book.holds(other):
                    continue
                lasted = self.clock - other.began + 1e-9
                if other.alone:
                    most = self.options.handler_timeout_s if delivery.alone else ALONE_S
                    require(lasted >= most, "suspects alone", f"{delivery} beside the suspect {other}")
                    self.ledger.saw("an event beside a suspect")
                elif delivery.alone:
                    require(lasted >= self.options.slow_s, "suspects alone", f"the suspect {delivery} beside {other}")

    # --- events

    def entries(self, count):
        """Make events, and draw their fates."""
        random, made = self.random, []
        named = random.random() < 0.8
        for _ in range(count):
            number = len(self.offered)
            payload = b"%d" % number
            key = f"key{int(random.random() * self.plan.keys)}"
            name = f"id{number}" if named else None
            self.offered[payload] = (key, name)
            made.append(self.stream.entry(key, payload, name, None))
            draw = random.random() * 100
            for fate, share in self.plan.fates.items():
                draw -= share
                if draw < 0:
                    times = {
                        "poison": 1000,
                        "kills": random.choice((1, 2, 1000)),
                        "fails": random.randint(1, 3),
                        "slow": random.randint(1, 3),
                    }
                    self.fates[payload] = [fate, times.get(fate, 1)]
                    break
        return made

    def fate_of(self, payload):
        """What becomes of an event at its handler, this time."""
        fate = None if self.healing else self.fates.get(payload)
        if fate is None:
            return None
        fate[1] -= 1
        if fate[1] <= 0:
            del self.fates[payload]
        return fate[0]

    def publish(self, handle, count):
        """Publish from inside a handler."""
        people.publish(self, handle.host, self.entries(count))

    def tell(self, receipts):
        """Let a process know at once what was appended, as the one that publishes does."""
        living = [host for host in self.living() if host.posts]
        if living:
            host = self.random.choice(living)
            rows = receipts.rows if isinstance(receipts, Receipts) else ()
            for post in host.posts:
                post.driver.appended([(receipt.seq, receipt.partition) for receipt in receipts], rows=rows)
            self.wake(host)

    # --- the run

    def start_host(self):
        """Start a process."""
        host = Host(self, f"p{len(self.hosts) + 1}")
        self.hosts.append(host)
        self.spawn(f"{host.name} main", host, host.begin)

    def run(self):
        """Let it all happen; then heal, redrive, and see that nothing is left."""
        for group in self.plan.groups:
            self.engine.first.open_group(group, 0)
        people.Outsider(self, "keeper", people.keeping(self)).safe = True
        producers = [people.Outsider(self, "producer", people.producing(self))]
        people.Outsider(self, "operator", people.operating(self))

        def published():
            if producers[-1].dead and self.to_publish:
                producers.append(people.Outsider(self, f"producer{len(producers)}", people.producing(self)))
            return not self.to_publish and self.clock >= self.plan.seconds

        if not self.run_until(published, self.plan.seconds * 20):
            raise Violation("healed drains", "not everything could be published")
        self.heal()

    def heal(self):
        """No more trouble: everything must become done, dead or parked; and redriven, done."""
        self.healing = True
        self.engine.heal()
        people.stay(self, None)
        for round_ in range(3):
            self._drain(round_)
            dead = {group: [each.seq for each in self.base.dead_letters(group)] for group in self.plan.groups}
            if not any(dead.values()):
                break
            for group, seqs in dead.items():
                self.engine.first.redrive(group, seqs)
                self.ledger.check(self.ledger.wrote, "redrive", "operator", group, ())
        self.ledger.check(self.ledger.closing)
        require(not any(dead.values()), "healed drains", f"letters are left: {dead}")

    def _drain(self, round_):
        if not self.run_until(self.idle, HEAL_S):
            states = {group: self.base.states(group) for group in self.plan.groups}
            dead_letters = {group: self.base.dead_letters(group) for group in self.plan.groups}
            raise Violation("healed drains", f"round {round_}, tail {self.ledger.tail}: {states} {dead_letters}")

    def idle(self):
        """Whether everything is done, dead or parked behind a dead event, as the store says."""
        if len(self.base.groups()) < len(self.plan.groups):
            return False  # the keeper opens them again
        for group in self.plan.groups:
            dead_letters = self.base.dead_letters(group)
            if (
                len(dead_letters) < self.options.dead_letters_max
                and self.base.lowest_unresolved(group) <= self.ledger.tail
            ):
                return False
            dead = {dead_letter.key for dead_letter in dead_letters if dead_letter.state == "dead"}
            if any(dead_letter.state == "redrive" or dead_letter.key not in dead for dead_letter in dead_letters):
                return False
        return not any(book.running for book in self.ledger.books.values())


class Memory:
    """A `MemoryStore` that processes share."""

    def __init__(self, world):
        self.world = world
        self.first = self.observer = MemoryStore(
            world.stream, id_window_s=world.plan.id_window_s, clock=world.wall, now=world.now, faults=self._fault
        )

    def _fault(self, point):
        if self.world.current is not None and (handle := self.world.current.host.handle) is not None:
            handle.fault(point)

    def handle_for(self, host):
        """The store, as a process has it."""
        handle = Handle(self.world, host)
        handle.adopt(self.observer)
        return handle

    def new_effects(self):
        """Memory has no transactions."""
        return []

    def fault_error(self, point):
        """Fail, before or after it was stored."""
        return rw.StoreFullError(f"no space at {point}")

    def must_reopen(self, host):
        """Memory never has to be opened anew."""
        return False

    def died(self, host):
        """Nothing of it is left."""

    def after_step(self):
        """Nothing has to be tidied up."""

    def heal(self):
        """Nothing is broken."""

    def close(self):
        """Nothing has to be closed."""


def run(seed, **fixed):
    """Run a seed; its `Outcome` holds the error, if there was one."""
    logger = logging.getLogger("ringward.events")
    before, logger.disabled = logger.disabled, True
    simulation = Simulation(seed, **fixed)
    error = None
    try:
        for act in (simulation.run, simulation.end):
            try:
                act()
            except Exception as caught:  # noqa: BLE001 - whatever it is, the seed has failed
                error = error or caught
        simulation.engine.close()
    finally:
        logger.disabled = before
    return Outcome(seed, error, simulation.ledger.seen, simulation.trace, simulation.steps, simulation.operations)
