"""What must hold of one group, by what is stored for it and by what its handlers did."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from ringward.events.model.partition_state import NEW


class Violation(AssertionError):  # noqa: N818 - it is found, not made
    """An invariant does not hold."""

    def __init__(self, rule, detail):
        self.rule = rule
        super().__init__(f"{rule}: {detail}")


def require(holds, rule, *detail):
    """Raise unless an invariant holds."""
    if not holds:
        raise Violation(rule, " ".join(map(str, detail)))


class Generation:
    """What is forgotten by a reset: outcomes."""

    def __init__(self, start):
        self.start = start
        self.good = defaultdict(set)  # seq → epochs under which its handler returned
        self.dropped = set()
        self.kills = defaultdict(int)  # seq → how often it killed its process since its last redrive
        self.outside = {}  # seq → key: what a system outside, which compares tokens, has taken
        self.outside_last = {}  # key → the last of these
        self.outside_epoch = {}  # partition → the highest epoch it saw


class Book:
    """One group: its states and dead letters as they were last seen, and what led there."""

    def __init__(self, name, ledger, options):
        self.name = name
        self.ledger = ledger
        self.options = options
        self.parks = options.on_dead == "park"
        self.states = {}
        self.dead_letters = {}
        self.owners = {}  # (partition, epoch) → (process, generation)
        self.suspects = {}  # (partition, epoch) → seqs
        self.tried = {}  # (seq, epoch) → the last attempt
        self.running = {}  # delivery → (key, partition, epoch)
        self.generations = defaultdict(lambda: Generation(0))
        self.seen_beats = {}  # counter → (count, when)
        self.membership = None
        self.effects = {}  # generation → seq → key: what transactional handlers committed
        self.attempts_before = {}  # of the partitions that the last write changed

    def now(self, partition):
        """The present generation of a partition."""
        return self.generations[self.states.get(partition, NEW).generation]

    # --- what was written

    def look(self, write, states, dead_letters):
        """Compare what is stored with what was: after each write."""
        before = self.dead_letters
        if dead_letters is not None:
            self.dead_letters = {dead_letter.seq: dead_letter for dead_letter in dead_letters}
            if write.name == "drop":
                for seq in before.keys() - self.dead_letters.keys():
                    self.now(before[seq].partition).dropped.add(seq)
        changed = [p for p, state in states.items() if state != self.states.get(p)]
        old, self.states = self.states, states
        self.attempts_before = {seq: count for p in changed if p in old for seq, count in old[p].attempts}
        for partition in changed:
            self._replaced(write, partition, old.get(partition, NEW), states[partition])
        if dead_letters is not None:
            self._letters_changed(write, before)

    def _replaced(self, write, partition, before, after):
        where = f"group {self.name}, partition {partition}: {before} → {after} by {write}"
        require(after.epoch >= before.epoch, "epochs rise", where)
        require(after.generation >= before.generation, "epochs rise", "a generation fell:", where)
        if after.generation > before.generation:
            require(after.epoch > before.epoch or before == NEW, "epochs rise", "a new generation needs one:", where)
            # What was pruned before is not delivered again.
            outcomes = self.generations[after.generation]
            outcomes.start = max(outcomes.start, after.cursor, self.ledger.first - 1)
            return
        require(after.cursor >= before.cursor, "cursors are monotone", where)
        if write.name in ("mark", "settle", "transaction"):
            require(after.epoch == before.epoch, "epochs rise", "by who may not raise them:", where)
            owner = self.owners.get((partition, after.epoch), (None, None))[0]
            require(owner == write.process, "fencing", "written by who does not own it:", where)
            self._attempts(before, after, where)
            if after.owner is None:
                flying = [each for each in self.running if (each.partition, each.epoch) == (partition, after.epoch)]
                require(not flying, "orderly hand-over", f"released with {flying}:", where)
        elif write.name == "claim":
            self._claimed(write, partition, before, after, where)
        self._newly_resolved(partition, before, after, where)

    def _attempts(self, before, after, where):
        counts = dict(after.attempts)
        for seq, count in before.attempts:
            known = counts.get(seq, 0) >= count or after.resolved(seq)
            if seq in self.dead_letters:  # a redriven one has a count while it is tried
                known |= (
                    self.dead_letters[seq].state != "redrive" or seq in self.now(self.dead_letters[seq].partition).good
                )
            require(known, "attempts are bounded", f"the count of {seq} fell:", where)
        for seq, count in after.attempts:
            rise = count - self.attempts_before.get(seq, 0)
            require(rise <= 1, "attempts are bounded", f"{seq} was charged {rise} times at once:", where)

    def _claimed(self, write, partition, before, after, where):
        require(after.epoch > before.epoch, "epochs rise", "a claim must raise it:", where)
        require((partition, after.epoch) not in self.owners, "epochs rise", "claimed twice:", where)
        self.owners[partition, after.epoch] = (write.process, after.generation)
        if before.owner is not None and before.owner != after.owner:
            self.ledger.saw("takeover")
            membership = self.ledger.world.base.membership(self.name)
            up = [
                f"{name}#{member.incarnation}"
                for name, member in (membership.members if membership else ())
                if member.up
            ]
            require(before.owner not in up, "leases are respected", "claimed from who is up:", where)
        suspects = self.suspects[partition, after.epoch] = set()
        for low, high in after.in_flight:
            seqs = self.ledger.seqs_between(partition, max(low, after.cursor + 1), high)
            suspects |= {seq for seq in seqs if not after.resolved(seq)}

    def _newly_resolved(self, partition, before, after, where):
        outcomes = self.now(partition)
        keys = set()
        for seq in self.ledger.seqs_between(partition, max(before.cursor, outcomes.start) + 1, self.ledger.tail):
            if before.resolved(seq):
                require(after.resolved(seq), "resolved stays resolved", f"seq {seq}:", where)
            elif after.resolved(seq):
                keys.add(self.ledger.rows[seq].key)
                if after.epoch not in outcomes.good[seq]:
                    dead_letter = self.dead_letters.get(seq)
                    require(
                        dead_letter is not None or seq in outcomes.dropped,
                        "resolved with a cause",
                        f"seq {seq} was neither handled under this epoch nor is it a letter:",
                        where,
                    )
        for key in keys:
            seqs = self.ledger.seqs_of_key[key]
            states = [after.resolved(seq) for seq in seqs[bisect_right(seqs, max(before.cursor, outcomes.start)) :]]
            require(
                states == sorted(states, reverse=True), "commits of a key ascend", f"{key}: {seqs} {states}:", where
            )

    def _letters_changed(self, write, before):
        for seq in before.keys() - self.dead_letters.keys():
            if write.name in ("settle", "transaction"):
                dead_letter, state = before[seq], self.states[before[seq].partition]
                require(
                    state.epoch in self.now(dead_letter.partition).good[seq],
                    "resolved with a cause",
                    f"letter {seq} went without being handled: {write}",
                )
                lower = [s for s, other in self.dead_letters.items() if other.key == dead_letter.key and s < seq]
                require(not lower or not self.parks, "commits of a key ascend", f"letter {seq} went before {lower}")
                self.ledger.saw("a letter drained")
        for seq, dead_letter in self.dead_letters.items():
            if before.get(seq) != dead_letter:
                self._new_letter(seq, dead_letter, before, write)

    def _new_letter(self, seq, dead_letter, before_all, write):
        before = before_all.get(seq)
        if dead_letter.state == "redrive":
            require(write.name == "redrive", "dead letters change by the rules", f"{before} → {dead_letter} by {write}")
            self.now(dead_letter.partition).kills[seq] = 0
            return
        require(
            write.name in ("settle", "transaction"),
            "dead letters change by the rules",
            f"{before} → {dead_letter} by {write}",
        )
        if dead_letter.state == "dead":
            self.ledger.saw("a letter died again" if before is not None else "a dead letter")
            require(
                dead_letter.attempts >= self.options.retry.attempts,
                "attempts are bounded",
                f"dead before its last attempt: {dead_letter}",
            )
            rise = dead_letter.attempts - self.attempts_before.get(seq, 0)
            require(rise <= 1, "attempts are bounded", f"charged {rise} times at once: {dead_letter}")
        else:
            self.ledger.saw("parked")
            ahead = [
                s for s, other in (before_all | self.dead_letters).items() if other.key == dead_letter.key and s < seq
            ]
            require(ahead, "dead letters change by the rules", f"parked behind nothing: {dead_letter}")

    # --- members

    def beaten(self, heartbeats, now):
        """Leases were raised: not those of members whose handlers hang."""
        for counter, count in heartbeats.items():
            if self.seen_beats.get(counter, (None,))[0] != count:
                self.seen_beats[counter] = (count, now)
                for delivery in self.running:
                    owner = self.states[delivery.partition].owner
                    if counter == f"{owner}@{delivery.host.name}" and self.current(delivery):
                        self._not_hanging(delivery, now)

    def _not_hanging(self, delivery, now):
        host, plan = delivery.host, self.ledger.world.plan
        lasted = now - max(delivery.began, host.frozen)
        most = self.options.handler_timeout_s + 6 * plan.tick_s
        require(lasted <= most or host.handle.upset, "hangs are noticed", f"{delivery} for {lasted} s")

    def viewed(self, write, membership, now, is_dead):
        """A membership was stored: who is declared dead must have been silent for the lease time."""
        old, self.membership = dict(self.membership.members) if self.membership is not None else {}, membership
        for name, member in membership.members:
            before = old.get(name)
            if before is None or before.incarnation != member.incarnation:
                self.seen_beats.setdefault(f"{name}#{member.incarnation}@{member.process}", (0, now))
            elif before.up and not member.up:
                died = member.deaths > before.deaths
                self.ledger.saw("declared dead" if died else "left")
                since = self.seen_beats.get(f"{name}#{member.incarnation}@{member.process}", (0, 0.0))[1]
                silent = now - since > self.options.lease_s - 1e-9 or is_dead(before.process)
                own = before.process == write.process
                require(silent or (own and not died), "leases are respected", f"{name} at {now}: {before} → {member}")

    def effect(self, seq, key, partition, epoch):
        """A transactional handler's effect was committed: once, in order, and with its acknowledgement."""
        state = self.states[partition]
        generation = self.owners.get((partition, epoch), (None, None))[1]
        effects = self.effects.setdefault(generation, {})
        what = f"seq {seq} of {key}, epoch {epoch}"
        require(epoch == state.epoch, "fencing", f"the effect of {what}, but {state}")
        require(seq not in effects, "one effect an event", what)
        later = [other for other, of in effects.items() if of == key and other > seq]
        require(not later or not self.parks, "effects of a key ascend", f"{what} after {later}")
        require(state.resolved(seq) and seq not in self.dead_letters, "effects are acknowledged", f"{what}: {state}")
        effects[seq] = key
        self.ledger.saw("an effect")

    def power_cut(self, states, dead_letters):
        """The power was cut: claims, outcomes and dead letters are there."""
        for partition, state in states.items():
            before = self.states.get(partition, NEW)
            require(state.epoch == before.epoch, "epochs rise", f"power cut: {before} → {state}")
        require(
            {each.seq: each for each in dead_letters} == self.dead_letters,
            "accepted is in the log",
            "power cut:",
            dead_letters,
        )
        self.states = states
        for generation in self.generations.values():
            generation.kills.clear()

    # --- handlers

    def current(self, delivery):
        """Whether the epoch of a delivery is the stored one."""
        return self.states[delivery.partition].epoch == delivery.epoch

    def holds(self, delivery):
        """Whether the process of a delivery still has its partition, as far as is stored."""
        owner = self.states[delivery.partition].owner
        if not self.current(delivery) or owner is None or self.membership is None:
            return False
        name, _, incarnation = owner.rpartition("#")
        member = dict(self.membership.members).get(name)
        return member is not None and member.up and str(member.incarnation) == incarnation

    def began(self, delivery):
        """A handler is called."""
        seq, epoch, partition = delivery.seq, delivery.epoch, delivery.partition
        outcomes = self.now(partition)
        if not self.current(delivery):
            self.ledger.saw("a stale delivery")
        else:
            self._dispatched(delivery, self.states[partition], outcomes)
        self.tried[seq, epoch] = delivery.attempt
        self.running[delivery] = delivery

    def _dispatched(self, delivery, state, outcomes):
        """What rules 5 and 6 say of a delivery under the stored epoch."""
        seq, epoch, key = delivery.seq, delivery.epoch, delivery.key
        dead_letter, attempts = self.dead_letters.get(seq), self.options.retry.attempts
        owner = self.owners.get((delivery.partition, epoch), (None, None))[0]
        require(owner == delivery.host.name, "one owner", f"{delivery} was claimed by {owner}")
        require(epoch not in outcomes.good[seq], "one effect an epoch", f"{delivery} was handled already")
        others = [other for other in self.running if other.key == key and self.current(other)]
        if not self.parks:  # there, dead letters come late, beside the rest of their key
            others = [other for other in others if (other.seq in self.dead_letters) == (dead_letter is not None)]
        require(not others, "one in flight a key", f"{delivery} beside {others}")
        room = self.options.dead_letters_max < 1000  # at its bound an event is tried on
        require(delivery.attempt <= attempts or room, "attempts are bounded", delivery)
        before = self.tried.get((seq, epoch), 0)
        require(delivery.attempt > before, "attempts are bounded", f"{delivery} after attempt {before}")
        if dead_letter is None:
            require(not state.resolved(seq), "resolved stays resolved", f"{delivery} is resolved")
            in_flight = any(low <= seq <= high for low, high in state.in_flight)
            require(in_flight, "marks come first", f"{delivery}, but {state}")
        else:
            require(dead_letter.state != "dead", "dispatch in order", f"{delivery} of the letter {dead_letter}")
            self.ledger.saw("a letter delivered")
        self._in_order(delivery, state, outcomes, dead_letter)
        if seq in self.suspects.get((delivery.partition, epoch), ()):
            self.ledger.saw("a suspect alone")
            counted = dict(state.attempts).get(seq) == delivery.attempt
            require(counted, "suspects alone", f"{delivery} was not counted beforehand: {state}")
            delivery.alone = True

    def _in_order(self, delivery, state, outcomes, dead_letter):
        """Every lower seq of the key is resolved, or was handled under this epoch; and none is a dead letter."""
        seq, epoch, key = delivery.seq, delivery.epoch, delivery.key
        if self.parks:
            lower = [
                s
                for s, other in self.dead_letters.items()
                if s < seq and other.key == delivery.raw_key and epoch not in outcomes.good[s]
            ]
            require(not lower, "dispatch in order", f"{delivery} before the letters {lower}")
        if dead_letter is None:
            seqs = self.ledger.seqs_of_key[key]
            for s in seqs[bisect_right(seqs, max(state.cursor, outcomes.start)) :]:
                if s >= seq:
                    break
                require(state.resolved(s) or epoch in outcomes.good[s], "dispatch in order", f"{delivery} before {s}")

    def ended(self, delivery, *, good):
        """A handler is over."""
        self.running.pop(delivery, None)
        if good:
            outcomes = self.now(delivery.partition)
            outcomes.good[delivery.seq].add(delivery.epoch)
            self._outside(delivery, outcomes)

    def _outside(self, delivery, outcomes):
        """A system outside takes an effect: it refuses epochs below the highest it saw, and repeated seqs."""
        partition, key, seq = delivery.partition, delivery.key, delivery.seq
        if self.owners.get((partition, delivery.epoch), (None, None))[1] != self.states[partition].generation:
            return  # of before a reset
        if delivery.epoch < outcomes.outside_epoch.get(partition, 0):
            self.ledger.saw("refused outside")
            return
        outcomes.outside_epoch[partition] = delivery.epoch
        if seq not in outcomes.outside:
            outcomes.outside[seq] = key
            last = outcomes.outside_last.get(key, 0)
            require(seq > last or not self.parks, "effects of a key ascend", f"{delivery} after {last}")
            outcomes.outside_last[key] = seq

    def killed(self, delivery):
        """A handler took its process along."""
        kills = self.now(delivery.partition).kills
        kills[delivery.seq] += 1
        bound = self.options.retry.attempts + 1
        require(
            kills[delivery.seq] <= bound or self.options.dead_letters_max < 1000,
            "attempts are bounded",
            f"{delivery} killed {kills[delivery.seq]} processes",
        )
