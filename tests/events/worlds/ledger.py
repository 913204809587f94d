"""What must always hold, told from the outside: what was asked for, what came back, and what is stored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from typing import NamedTuple

from events.worlds.book import Book, Violation, require


class Logged(NamedTuple):
    """An event in the log."""

    seq: int
    partition: int
    key: str
    id: object
    payload: bytes
    at_ms: int


class Write(NamedTuple):
    """A call of a store that writes."""

    name: str
    process: str

    def __str__(self):
        return f"{self.name} of {self.process}"


class Ledger:
    """The log, and a book for each group."""

    def __init__(self, world):
        self.world = world
        self.seen = Counter()
        self.rows = {}  # seq → Logged, pruned ones too
        self.tail = 0
        self.first = 1
        self.seqs_of = defaultdict(list)  # partition → seqs
        self.seqs_of_key = defaultdict(list)
        self.seq_of_id = {}
        self.accepted = {}  # payload → seq
        self.books = {}
        self.broken = None  # the first violation: the code under test may swallow it

    def saw(self, what):
        """Remember that something interesting happened."""
        self.seen[what] += 1

    def seqs_between(self, partition, low, high):
        """The seqs of a partition from one to another, inclusive."""
        seqs = self.seqs_of[partition]
        return seqs[bisect_left(seqs, low) : bisect_right(seqs, high)]

    def check(self, check, *args, **options):
        """Call a check, and remember what it found."""
        try:
            check(*args, **options)
        except Violation as violation:
            self.broken = self.broken or violation
            raise

    # --- the log

    def look_at_log(self):
        """Take in what was appended or pruned."""
        base = self.world.base
        totals = base.totals()
        require(totals.tail >= self.tail, "seq is dense", f"the tail fell from {self.tail} to {totals.tail}")
        require(totals.first >= self.first, "accepted is in the log", f"first fell to {totals.first}")
        if totals.first > self.first:
            self._pruned(totals.first)
        for row in base.rows(range(self.tail + 1, totals.tail + 1)):
            require(row[0] == self.tail + 1, "seq is dense", f"{row[0]} follows {self.tail}")
            self._appended(Logged(row[0], row[1], row[3].decode(), row[4], row[5], row[7]))
        require(totals.tail == self.tail, "seq is dense", f"the tail is {totals.tail}, the last row {self.tail}")

    def _appended(self, row):
        self.tail = row.seq
        entry = self.world.offered.get(row.payload)
        require((row.key, row.id) == entry, "accepted is in the log", f"{row} is not what was offered: {entry}")
        if row.id is not None:
            before = self.seq_of_id.get(row.id)
            if before is not None:
                self._repeated(row, self.rows[before])
            self.seq_of_id[row.id] = row.seq
        self.rows[row.seq] = row
        self.seqs_of[row.partition].append(row.seq)
        self.seqs_of_key[row.key].append(row.seq)

    def _repeated(self, row, before):
        aged = before.seq < self.first and row.at_ms - before.at_ms > self.world.plan.id_window_s * 1000
        require(aged, "an id has one seq", f"{row.id} is {before.seq} and {row.seq}")
        self.saw("a forgotten id")

    def _pruned(self, first):
        books = self._books()  # a deleted group keeps nothing from being pruned
        for seq in range(self.first, first):
            partition = self.rows[seq].partition
            for book in books:
                state = book.states.get(partition)
                require(
                    state is None or state.resolved(seq),
                    "accepted is in the log",
                    f"{seq} was pruned before group {book.name} resolved it: {state}",
                )
        self.first = first
        self.saw("prune")

    def receipts(self, entries, receipts):
        """`append` returned: what it says is in the log."""
        for (_, _, _, name, payload, _), receipt in zip(entries, receipts, strict=True):
            row = self.rows.get(receipt.seq)
            require(row is not None, "accepted is in the log", f"{receipt} of {payload}")
            same = row.payload == payload and row.id == name and row.partition == receipt.partition
            require(same, "accepted is in the log", f"{receipt} of {payload} is {row}")
            known = self.accepted.get(payload)
            if known is not None and name is not None:
                aged = known != receipt.seq and known < self.first
                require(aged or receipt.seq == known, "an id has one seq", f"{name}: {known}, then {receipt}")
            self.accepted[payload] = receipt.seq
            if receipt.duplicate:
                self.saw("a duplicate")

    # --- groups

    def _there(self, group):
        """Whether a group is open; after a delete, until it is opened again, it is not."""
        return any(state.name == group for state in self.world.base.groups())

    def _books(self):
        """The books of the groups that are there."""
        return [book for name, book in self.books.items() if self._there(name)]

    def wrote(self, name, process, group, args):
        """A call that writes is over, whether or not it said so: look at all that it may have changed."""
        base, write = self.world.base, Write(name, process)
        if name in ("append", "prune"):
            self.look_at_log()
        if group is None:
            return
        if name in ("heartbeat", "change_membership"):
            book = self.books[group]
            book.beaten(base.heartbeats(group), self.world.clock)
            if (membership := base.membership(group)) is not None and membership != book.membership:
                book.viewed(write, membership, self.world.clock, self.world.is_dead)
            return
        if not self._there(group):
            if name == "transaction":
                self.world.engine.new_effects()  # not those of the states that it will have then
            return  # deleted: its epochs are compared when it is there again
        self.look_at_log()
        if group not in self.books:
            self.books[group] = Book(group, self, self.world.options)
        book = self.books[group]
        quick = name in ("claim", "mark") or (
            name == "settle" and not any(each.dead or each.parked or each.drained for each in args[1])
        )
        book.look(write, base.states(group), None if quick else base.dead_letters(group))
        if name == "transaction":
            for effect in self.world.engine.new_effects():
                book.effect(*effect[1:])

    def power_cut(self):
        """All processes ended, and what was not synced may be gone: marks and heartbeats, and nothing else."""
        base = self.world.base
        require(
            base.totals().tail == self.tail, "accepted is in the log", f"power cut: {base.totals()}, not {self.tail}"
        )
        for book in self._books():
            book.power_cut(base.states(book.name), base.dead_letters(book.name))

    def closing(self):
        """What must be so once everything is healed, redriven and idle."""
        base = self.world.base
        self.look_at_log()
        for payload, seq in self.accepted.items():
            require(self.rows[seq].payload == payload, "accepted is in the log", seq)
        for name, book in self.books.items():
            require(base.lowest_unresolved(name) > self.tail, "healed drains", base.states(name))
            for seq, row in self.rows.items():
                outcomes = book.now(row.partition)
                handled = seq <= outcomes.start or outcomes.good.get(seq) or seq in outcomes.dropped
                require(handled, "nothing is lost", f"group {name}: seq {seq} was never handled")
                effects = book.effects.get(book.states[row.partition].generation, {})
                written = not self.world.plan.transactional or seq in effects or not outcomes.good.get(seq)
                require(written or seq <= outcomes.start, "nothing is lost", f"group {name}: no effect of seq {seq}")
        wrong = base.verify()
        require(not wrong, "the store verifies", wrong)
