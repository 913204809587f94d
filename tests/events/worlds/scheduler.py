"""Actors that take turns as a seed decides, and a clock that moves only when all of them wait."""

from __future__ import annotations

import math

from greenlet import GreenletExit, getcurrent, greenlet


class Gone(GreenletExit):
    """The process of this actor is dead: whatever it still does has no effect."""


class Actor:
    """One thread of a simulated process."""

    __slots__ = ("due", "greenlet", "host", "idle", "name")

    def __init__(self, name, host, run, hub):
        self.name = name
        self.host = host
        self.due = 0.0
        self.idle = False
        self.greenlet = greenlet(run, hub)


class Scheduler:
    """Runs one actor at a time; which one goes on is drawn among those that could."""

    def __init__(self, random):
        self.random = random
        self.clock = 0.0
        self.steps = 0
        self.current = None
        self.eagerness = 0.0  # how likely an actor lets others go first, wherever it may
        self._actors = []
        self._hub = getcurrent()

    def spawn(self, name, host, run):
        """Let an actor begin; `host` is what it dies and stands still with."""
        actor = Actor(name, host, run, self._hub)
        actor.due = self.clock
        self._actors.append(actor)
        return actor

    def sleep(self, seconds):
        """Let the others go on for so long; `Gone` when the process died meanwhile."""
        actor = self.current
        if actor is None:  # who sets the world up is no actor
            return
        if actor.host.dead:
            raise Gone
        actor.due = self.clock + seconds
        self._hub.switch()
        if actor.host.dead:
            raise Gone

    def wait(self):
        """Sleep until somebody says `wake`."""
        self.current.idle = True
        self.sleep(math.inf)

    def wake(self, host):
        """End the waits of a process's actors."""
        for actor in self._actors:
            if actor.host is host and actor.idle:
                actor.idle = False
                actor.due = self.clock

    def pause(self):
        """Let others go first, or not."""
        if self.current is not None and self.random.random() < self.eagerness:
            self.sleep(0.0)

    def run_until(self, done, limit_s):
        """Let actors go on until `done()`, looked at whenever the clock moves; False when the time was up."""
        end = self.clock + limit_s
        while True:
            ready = [actor for actor in self._actors if actor.due <= self.clock and actor.host.frozen <= self.clock]
            if not ready:
                if done():
                    return True
                self.clock = min(max(actor.due, actor.host.frozen) for actor in self._actors)
                if self.clock > end:
                    return False
                continue
            self._let(ready[int(self.random.random() * len(ready))])

    def _let(self, actor):
        self.steps += 1
        self.current = actor
        try:
            actor.greenlet.switch()
        finally:
            self.current = None
        if actor.greenlet.dead:
            self._actors.remove(actor)
        self.reap()
        self.after_step()

    def after_step(self):
        """Look whether all is well; to be filled in."""

    def reap(self):
        """End the actors of processes that died."""
        for actor in [actor for actor in self._actors if actor.host.dead]:
            self._actors.remove(actor)
            self.current = actor
            actor.greenlet.throw(Gone)
            self.current = None

    def end(self):
        """End all actors."""
        for actor in self._actors:
            actor.host.dead = True
        self.reap()
