"""A simulated process: its ticker, its workers, and what becomes of events at its handlers."""

from __future__ import annotations

from events.stepwise import Process
from events.worlds.scheduler import Gone

import ringward as rw
from ringward.events.core.suspect_gate import SuspectGate


class Host:
    """One process: it can stand still, and die; what it has in memory is gone then."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.dead = False
        self.safe = False  # whether its calls never fail
        self.frozen = 0.0
        self.leaving = False
        self.posts = []
        self.crews = {}  # post → how many workers it has
        self.handle = None

    def begin(self):
        """Open the store, join the groups, and let the threads begin; or end."""
        if self.attempted(self.join):
            self.world.spawn(f"{self.name} ticker", self, self.keep_time)
        else:
            self.die()

    def join(self):
        """Join the groups."""
        world, plan = self.world, self.world.plan
        world.wait_for_turn()
        self.handle = world.handle_for(self)
        gate = SuspectGate()
        for group in plan.groups:
            post = Process(
                world,
                self.handle,
                group,
                members=plan.members,
                router=world.router,
                gate=gate,
                handler=lambda event, group=group: self.handles(group, event),
                chance=world.random.random,
            )
            post.group.claims = 2
            self.posts.append(post)
            self.crews[post] = 0

    def die(self):
        """Be gone, at once."""
        if not self.dead:
            self.dead = True
            self.world.died(self)

    # --- its threads

    def keep_time(self):
        """Be the ticker."""
        world = self.world
        while True:
            for post in self.posts:
                if self.attempted(post.tick):
                    self.man(post)
            if self.leaving and not any(post.group.members.present for post in self.posts):
                world.saw("an orderly end")
                self.die()
                return
            world.wake(self)
            world.sleep(world.plan.tick_s * (0.5 + world.random.random()))

    def attempted(self, act):
        """Do something that the store may refuse; whether it was done. The process may be ended for it, or go on."""
        try:
            return act() is not False
        except rw.RingwardError as error:
            world = self.world
            world.saw(f"went on after {type(error).__name__}")
            if world.must_reopen(self) or world.random.random() < 0.2:
                self.die()
                raise Gone from None
            return False

    def man(self, post):
        """As many workers as there are members, and one more for each handler that is slow."""
        members = self.world.plan.members
        wanted = (members if isinstance(members, int) else len(members)) + 1
        wanted += min(4, sum(batch.slow for batch in post.group.batches))
        while self.crews[post] < wanted:
            self.crews[post] += 1
            self.world.spawn(f"{self.name} worker", self, lambda: self.work(post, wanted))

    def work(self, post, rank):
        """Be a worker; leave when there are more than are needed."""
        while True:
            if self.attempted(lambda: post.step(self.more)):
                self.world.wake(self)
                self.world.pause()
            elif rank < self.crews[post]:
                self.crews[post] -= 1
                return
            else:
                self.world.wait()

    def more(self):
        """Whether a worker goes on with the next batch, as it does but for where it is to end; others may go first."""
        self.world.wake(self)
        return self.world.random.random() < 0.7

    # --- its handlers

    def handles(self, group, event):
        """Be the handler of a group."""
        if self.dead:
            raise Gone
        world = self.world
        delivery = Delivered(self, group, event)
        book = world.ledger.books[group]
        world.note(self.name, "deliver", delivery)
        world.ledger.check(book.began, delivery)
        world.ledger.check(world.beside, delivery)
        good = False
        try:
            self.meet(delivery, event, book)
            good = not self.dead
        finally:
            world.note(self.name, "handled" if good else "raised", delivery)
            world.ledger.check(book.ended, delivery, good=good)
        if self.dead:
            raise Gone

    def meet(self, delivery, event, book):
        """Let the event's fate happen."""
        world = self.world
        if world.plan.transactional:
            world.effect(delivery, event)
        fate = world.fate_of(event.payload)
        world.pause()
        if fate is not None:
            world.saw(f"an event {fate}")
        if fate in ("fails", "poison"):
            raise ValueError(f"seq {event.seq} fails")
        if fate == "kills":
            world.ledger.check(book.killed, delivery)
            self.die()
            raise Gone
        if fate == "slow":
            world.sleep(0.1 + 0.5 * world.random.random())
        elif fate == "hangs":
            world.sleep(0.9 if world.plan.transactional else 8.0)  # a write transaction is ended after a second
        elif fate == "publishes":
            world.publish(self.handle, 1)


class Delivered:
    """One call of a handler."""

    __slots__ = (*("alone", "attempt", "began", "epoch", "group", "host", "key", "partition", "raw_key", "seq"),)

    def __init__(self, host, group, event):
        self.host = host
        self.group = group
        self.seq = event.seq
        self.partition = event.partition
        self.epoch = event.epoch
        self.attempt = event.attempt
        self.key = event.key
        self.raw_key = event[0][3]
        self.began = host.world.clock
        self.alone = False

    def __repr__(self):
        return (
            f"seq {self.seq} of {self.key} (partition {self.partition}, epoch {self.epoch}, attempt {self.attempt},"
            f" group {self.group}, {self.host.name})"
        )
