"""Everybody beside the processes of the groups: who publishes, who operates, who pulls plugs."""

from __future__ import annotations

from events.worlds.host import Host

import ringward as rw
from ringward.events.model.settings import Retention


class Outsider(Host):
    """A process without groups; when it dies, another takes its place."""

    def __init__(self, world, name, life):
        super().__init__(world, name)
        self.life = life
        world.spawn(name, self, self.live)

    def live(self):
        """Do what there is to do, for as long as there is."""
        self.world.wait_for_turn()
        self.handle = self.world.handle_for(self)
        self.life(self)


def producing(world):
    """Publish with ids, and again what may or may not be there."""

    def produce(host):
        while world.to_publish:
            world.sleep(world.random.random() * 2 * world.plan.seconds / world.plan.publishes)
            entries = world.to_publish[0]
            receipts = publish(world, host, entries)
            if receipts is not None:
                world.to_publish.pop(0)
                if world.random.random() < 0.5:
                    world.tell(receipts)
            elif entries[0][3] is None:
                world.to_publish.pop(0)  # without ids a repeat would be another event
            if world.random.random() < 0.2:
                repeat(world, host)
            if world.random.random() < 0.1:
                conflict(world, host)

    return produce


def publish(world, host, entries):
    """Publish; None when it is unknown what came of it."""
    try:
        receipts = host.handle.append("p", entries)
    except rw.RingwardError as error:
        world.saw(f"publish: {type(error).__name__}")
        world.must_reopen(host)
        return None
    if (
        world.turn_actor is None or world.turn_actor is not world.current
    ):  # else it is stored when the write transaction is
        world.ledger.check(world.ledger.receipts, entries, receipts)
    return receipts


def repeat(world, host):
    """Publish again what was published before."""
    known = [row for row in world.ledger.rows.values() if row.id is not None]
    if known:
        row = world.random.choice(known)
        publish(world, host, [world.stream.entry(row.key, row.payload, row.id, None)])


def conflict(world, host):
    """Publish another body under an id that is known."""
    known = [row for row in world.ledger.rows.values() if row.id is not None and row.seq >= world.ledger.first]
    if not known:
        return
    row = world.random.choice(known)
    entry = host.handle.stream.entry(row.key, b"another", row.id, None)
    try:
        receipts = host.handle.append("p", [entry])
    except rw.ConflictError:
        world.saw("a conflict")
    except rw.RingwardError:
        pass
    else:
        aged = world.plan.id_window_s < 100
        world.ledger.check(world.demand, aged, "an id has one seq", f"{row.id} twice: {row}, {receipts}")


def operating(world):
    """Redrive, drop, reset, prune; let processes leave, stay, stand still and die."""
    acts = [
        *(3 * [redrive] + [drop] + 2 * [prune] + [reset] + [delete]),
        *(3 * [plug] + 3 * [freeze] + 2 * [leave] + 2 * [stay] + [reroute] + [cut]),
    ]

    def operate(host):
        while world.plan.chaos and world.clock < world.plan.seconds:
            world.sleep(2 * world.random.random() / world.plan.chaos)
            if world.healing:
                return
            try:
                world.random.choice(acts)(world, host)
            except rw.RingwardError as error:
                world.saw(f"operator: {type(error).__name__}")

    return operate


def _group(world):
    return world.random.choice(world.plan.groups)


def redrive(world, host):
    """Redrive one dead event, or all."""
    group = _group(world)
    dead = [dead_letter.seq for dead_letter in host.handle.dead_letters(group) if dead_letter.state == "dead"]
    if dead:
        chosen = dead if world.random.random() < 0.5 else [world.random.choice(dead)]
        if world.random.random() < 0.5:
            for seq in chosen:
                world.fates.pop(world.ledger.rows[seq].payload, None)
        host.handle.redrive(group, chosen)
        world.saw("redrive")


def drop(world, host):
    """Drop a dead letter."""
    group = _group(world)
    dead_letters = host.handle.dead_letters(group)
    if dead_letters:
        host.handle.drop(group, [world.random.choice(dead_letters).seq])
        world.saw("drop")


def prune(world, host):
    """Prune down to a few events."""
    host.handle.keep(Retention(age_s=None, count=world.random.choice((0, 0, 5))))
    host.handle.prune(world.random.choice((3, 1000)))


def reset(world, host):
    """Begin a group again somewhere."""
    if world.random.random() < 0.4:
        totals = host.handle.totals()
        host.handle.reset(_group(world), world.random.randint(totals.first - 1, totals.tail))
        world.saw("reset")


def delete(world, host):
    """Delete a group, and open it again."""
    if world.random.random() < 0.3:
        group = _group(world)
        host.handle.delete_group(group)
        world.saw("delete")
        host.handle.open_group(group, host.handle.totals().first - 1)


def plug(world, host):
    """End a process."""
    living = world.living()
    if living:
        world.random.choice(living).die()
        world.saw("killed from outside")


def freeze(world, host):
    """Let a process stand still, in the middle of a batch where there is one; its clock goes on."""
    living = world.living()
    if living:
        seconds = world.random.choice((0.5, 4.0, 7.0))
        amid = [each for each in living if any(batch.events for post in each.posts for batch in post.group.batches)]
        world.random.choice(amid or living).frozen = world.clock + seconds
        world.saw("frozen long" if seconds > 1 else "frozen")


def leave(world, host):
    """Let a process leave in an orderly way."""
    living = world.living()
    if living:
        leaving = world.random.choice(living)
        leaving.leaving = world.random.random() < 0.7
        for post in leaving.posts:
            for name in list(post.group.members.local):
                post.group.leave(name)
        world.saw("leave")


def stay(world, host):
    """Let who was to leave stay."""
    for each in world.living():
        each.leaving = False
        for post in each.posts:
            post.group.members.stay()


def reroute(world, host):
    """Let another router decide."""
    living = world.living()
    if living:
        post = world.random.choice(world.random.choice(living).posts or [None])
        if post is not None:
            post.group.members.reroute(world.random.choice((rw.HashRing, rw.PrimaryBackup)))
            world.saw("reroute")


def cut(world, host):
    """Cut the power, where there is any."""
    if world.random.random() < 0.5:
        world.engine.cut = True


def keeping(world):
    """Start processes until there are enough, whatever happens."""

    def keep(host):
        while True:
            while sum(not each.leaving for each in world.living()) < world.plan.hosts:
                world.start_host()
            for group in world.plan.groups:
                try:
                    host.handle.open_group(group, 0)  # it may have been deleted
                except rw.RingwardError as error:
                    world.saw(f"keeper: {type(error).__name__}")
            world.sleep(0.5 + world.random.random())

    return keep
