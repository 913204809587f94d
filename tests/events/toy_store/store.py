"""`ToyStore`: one process's way to the lines. It gives what a distributed store could, and no more."""

from __future__ import annotations

import json
import threading
import time
import uuid
from itertools import islice

from events.toy_store.lines import Lines
from events.toy_store.replica import Replica

from ringward._core import News
from ringward.errors import StoreClosedError, UnsupportedError
from ringward.events import Retention, Stream
from ringward.events.model.event import Receipts
from ringward.events.model.settings import retention_fields, settled
from ringward.events.model.store import Abilities, Compacted, Totals
from ringward.events.stores.encoding import entry_to, membership_to, settlement_to, state_to

WINDOW_MOST_S = 30 * 86_400.0


class ToyStore:
    """Lines as a store: small calls only, no transactions, and signs of life that may be lost."""

    abilities = Abilities(
        durable=True,
        presence="hint",
        atomic_admin=False,
        max_batch=16,
        max_payload=100_000,
        id_window_most_s=WINDOW_MOST_S,
    )
    hears_others = False
    failure = committed_ms = None

    def __init__(self, lines=None, stream=None, *, id_window_s=None, clock=time.time, faults=lambda _: None):
        self.lines = lines or Lines()
        self.stream = stream or Stream()
        self.process = uuid.uuid4().hex
        self.news = News()
        self._clock = clock
        self._faults = faults
        self._lock = threading.RLock()
        self._replica = Replica(self.stream.partitions)
        self._played = 0
        self._closed = False
        self.lines.connect(self.process)
        self.configure(id_window_s=id_window_s, initial=True)

    def _do(self, command, *values):
        """Add a line, and play all up to it; what it gives."""
        with self._lock:
            self._open()
            self._play(self.lines.add(json.dumps([command, *values])) - 1)
            result = self._play(self._played + 1)
        self.news.tell()
        if isinstance(result, Exception):
            raise result.with_traceback(None)
        return result

    def _open(self):
        if self._closed:
            raise StoreClosedError("the store is closed")
        self.lines.connect(self.process)

    def _play(self, through):
        result = None
        for line in islice(self.lines.lines, self._played, through):
            result = self._replica.do(*json.loads(line))
            self._played += 1
        return result

    def _seen(self):
        """What all lines so far have made."""
        with self._lock:
            self._open()
            self._play(len(self.lines.lines))
            return self._replica

    def _few(self, items):
        assert len(items) <= self.abilities.max_batch, "whoever calls cuts"
        return items

    # --- Log

    def append(self, producer, entries):
        self._faults("append")
        receipts = self._do("append", producer, int(self._clock() * 1000), [*map(entry_to, self._few(entries))])
        if len(receipts) != 1 or receipts[0].duplicate:
            return receipts
        return Receipts(receipts, *self.rows([receipts[0].seq]))

    def totals(self):
        seen = self._seen()
        return Totals(seen.tail, seen.first, sum(len(row[5]) for row in seen.rows))

    def heads(self, after, limit):
        seen = self._seen()
        return [row[:2] for row in seen.rows[max(0, after + 1 - seen.first) :][:limit]]

    def read(self, wanted, rows, size=None):
        seen, found = self._seen(), []
        for partition, after, limit in wanted:
            if rows <= 0 or (size is not None and size <= 0):
                break
            part = []
            for row in islice((row for row in seen.rows if row[1] == partition and row[0] > after), limit):
                if size is not None and size <= 0:
                    break
                part.append(row)
                size = None if size is None else size - len(row[5])
            found.append(part)
            rows -= len(part)
        return found

    def rows(self, seqs):
        seqs = set(seqs)
        return [row for row in self._seen().rows if row[0] in seqs]

    def seq_at(self, at_ms):
        return self._seen().last_at(at_ms - 1)

    # --- Groups

    def open_group(self, group, start):
        return self._do("open_group", group, start)

    def groups(self):
        return [group.state for _, group in sorted(self._seen().all_groups.items()) if not group.deleted]

    def states(self, group):
        return dict(self._seen().group(group).states)

    def claim(self, group, owner, epochs):
        claimed = self._do("claim", group, owner, [*self._few(epochs).items()])
        self._faults("claimed")
        return claimed

    def mark(self, group, marks):
        return self._do("mark", group, [(partition, state_to(state)) for partition, state in self._few(marks)])

    def settle(self, group, settlements):
        self._faults("settle")
        return self._do("settle", group, [*map(settlement_to, self._few(settlements))])

    def dead_letters(self, group, partitions=None):
        letters = [letter for _, (letter, _) in sorted(self._seen().group(group).dead_letters.items())]
        return [letter for letter in letters if partitions is None or letter.partition in partitions]

    def bodies(self, group, seqs):
        kept = self._seen().group(group).dead_letters
        return [kept[seq][1] for seq in sorted(seqs) if seq in kept]

    def redrive(self, group, seqs):
        return self._change_letters("redrive", group, seqs)

    def drop(self, group, seqs):
        return self._change_letters("drop", group, seqs)

    def _change_letters(self, command, group, seqs):
        """One line for each partition: a process may end between two of them."""
        by_partition = {}
        for letter in self.dead_letters(group):
            if letter.seq in seqs:
                by_partition.setdefault(letter.partition, []).append(letter.seq)
        count = 0
        for partition, chosen in by_partition.items():
            changed = self._do(command, group, partition, chosen)
            if changed:
                self._do("signal", group)
            count += changed
            self._faults("partition")
        return count

    def reset(self, group, after):
        state = self._do("begin_reset", group, after)
        for partition in range(self.stream.partitions):
            self._do("restart", group, partition, after)
            self._faults("partition")
        self._do("signal", group)
        return state

    def delete_group(self, group):
        for partition in range(self.stream.partitions):
            self._do("fence", group, partition)
            self._faults("partition")
        self._do("delete_group", group)

    # --- Memberships

    def membership(self, group):
        return self._seen().group(group).membership

    def change_membership(self, group, membership):
        return self._do("change_membership", group, membership_to(membership))

    def heartbeat(self, group, heartbeats):
        self._do("heartbeat", group, dict(self._few(heartbeats)))

    def heartbeats(self, group):
        return dict(self._seen().group(group).heartbeats)

    # --- Presence

    def hint(self, process):
        if process in self.lines.sessions:
            return "here"
        return "gone" if process in self.lines.known else "unknown"

    @property
    def session(self):
        return self.lines.sessions.get(self.process)

    # --- Transactions

    def write_transaction(self, group):
        raise UnsupportedError("a ToyStore has no transactions")

    # --- Operations

    def lowest_unresolved(self, group):
        return self._seen().lowest_unresolved(group)

    def unresolved(self, group):
        seen, counts = self._seen(), {}
        states = seen.group(group).states
        for seq, partition, *_ in seen.rows:
            if not states[partition].resolved(seq):
                counts[partition] = counts.get(partition, 0) + 1
        return counts

    def volume_between(self, after, through):
        return sum(len(row[5]) for row in self._seen().rows if after < row[0] <= through)

    def settings(self):
        return self._seen().settings

    def configure(self, *, retention=None, id_window_s=None, initial=False):
        stored = self._seen().set
        changes = settled(stored, retention, id_window_s, initial=initial, window_most_s=WINDOW_MOST_S)
        named = {
            name: retention_fields(value) if isinstance(value, Retention) else value for name, value in changes.items()
        }
        return self._do("configure", named) if named else self.settings()

    def prune(self, limit):
        return self._do("prune", limit, self._clock())

    def compact(self):
        return Compacted(0, 0)

    def verify(self):
        seen = self._seen()
        wrong = [f"seq {want}: found {row[0]}" for want, row in enumerate(seen.rows, seen.first) if row[0] != want]
        for group in seen.all_groups.values():
            wrong += [f"partition {p}: above the tail" for p, state in group.states.items() if state.cursor > seen.tail]
        return wrong

    def query(self, sql, parameters=None, timeout_s=0.0):
        raise UnsupportedError("a ToyStore has no tables to query")

    def backup(self, to, *, overwrite=False):
        raise UnsupportedError("a ToyStore has no file to back up")

    def clock_doubts(self):
        return []

    def clock_allowances(self):
        return []

    def close(self):
        self._closed = True
        self.lines.sessions.pop(self.process, None)
