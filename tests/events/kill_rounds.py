"""Rounds of kill -9: producers and workers on one file are killed at random moments and started again.

At the end of every episode: what was acknowledged is stored, once and under the seq of its receipt, and nothing else
is; what transactional handlers wrote, and published, is there exactly once; the keys kept their order; nothing is left.

    python tests/events/kill_rounds.py --rounds 300 --seed 1
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from ringward.events import Processor, Retention, Retry, SqliteStore, Stream

STREAM = Stream(partitions=16)
KEYS = 24
PRODUCERS = 2
WORKERS = 3
ROUNDS_AN_EPISODE = 50
BACKLOG = 2_000
QUIET_S = 60.0  # how long the end of an episode may take
RETRY = Retry(attempts=1_000_000, base_s=0.01)  # whoever kills at random kills some event again and again


# --- what the processes do


def produce(path: Path, number: int, seed: int) -> None:
    """Publish, and write down what was acknowledged, until told to stop; go on where a dead one was."""
    logging.disable(logging.WARNING)
    name, log = f"producer-{number}", path.with_name(f"acknowledged-{number}")
    with Processor(path, producer=name, unresolved_count=BACKLOG) as p, log.open("ab", buffering=0) as acknowledged:
        chance = random.Random(seed)
        following, unknown = len(whole_lines(log)), True
        while unknown or not told_to_stop(path, "producer"):
            count = chance.choice((1, 1, 5, 20))
            numbers = range(following, following + count)
            ids = [n if number % 2 else f"id-{n}" for n in numbers]
            keys = [f"key-{number}-{n * 7 % KEYS}" for n in numbers]
            receipts = p.publish_many(keys, [b"%s %d" % (name.encode(), n) for n in numbers], ids, wait_s=600)
            acknowledged.write(b"".join(b"%d %d\n" % (n, r.seq) for n, r in zip(numbers, receipts, strict=True)))
            following += count
            unknown &= receipts[-1].duplicate  # an earlier life may have stored what it got no receipt for
            time.sleep(chance.random() * 0.01)


def consume(path: Path, life: int) -> None:
    """Be a member of both groups, until told to stop."""
    logging.disable(logging.WARNING)
    with Processor(path, retention=Retention(age_s=None, count=500)) as p:
        handled = os.open(path.with_name("handled"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        @p.consumer("plain", members=[f"worker-{life}"], retry=RETRY)
        def plain(event: Any) -> None:
            os.write(handled, line_of(event))

        @p.consumer("ledger", members=[f"worker-{life}"], retry=RETRY)
        def ledger(event: Any) -> None:
            event.transaction.execute("INSERT INTO effects VALUES (?, ?)", (event.key, event.seq))
            if event.seq % 10 == 0 and event.key != "derived":
                p.publish("derived", b"derived from %d" % event.seq)

        p.start()
        while not told_to_stop(path, "worker"):
            time.sleep(0.02)
        p.stop()


def line_of(event: Any) -> bytes:
    """What is noted of an event that is handled: the order is judged by key, epoch and seq; the rest is for who looks why."""
    return f"{event.key} {event.epoch} {event.seq} {event.attempt} {os.getpid()} {threading.get_ident()}\n".encode()


def told_to_stop(path: Path, kind: str) -> bool:
    """Whether the episode ends. A file says so: a lock that is shared dies with whoever is killed holding it."""
    return path.with_name(f"stop-{kind}").exists()


def whole_lines(path: Path) -> list[list[str]]:
    """What a process wrote before it died; a line may be torn only in theory, as each is one write."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


# --- who kills them


class Episode:
    """Some rounds on one file."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / "store.db"
        self._chance = random.Random(seed)
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:  # lives are to be longer than what they need to begin
            self._context.set_forkserver_preload(["ringward.events"])
        self._lives = 0
        self.kills = 0
        with closing(SqliteStore(self.path, STREAM)) as store:
            store.open_group("plain", 0)
            store.open_group("ledger", 0)
        with closing(apsw.Connection(str(self.path))) as connection:
            connection.execute("CREATE TABLE effects (key TEXT, seq INTEGER)")
        self._running = {("producer", n): self._started("producer", n) for n in range(PRODUCERS)}
        self._running |= {("worker", n): self._started("worker", n) for n in range(WORKERS)}

    def _started(self, kind: str, number: int) -> Any:
        self._lives += 1
        made = (
            (produce, (self.path, number, self._chance.getrandbits(32)))
            if kind == "producer"
            else (consume, (self.path, self._lives))
        )
        process = self._context.Process(target=made[0], args=made[1])
        process.start()
        return process

    def run(self, rounds: int) -> None:
        """Kill some in every round, and start them again; then let all come to rest, and look."""
        try:
            for _ in range(rounds):
                time.sleep(self._chance.uniform(0.05, 0.5))
                victims = self._chance.sample(sorted(self._running), self._chance.choice((1, 1, 1, 2, 3)))
                self._round(victims)
            self._end()
        finally:
            for process in self._running.values():
                process.kill()
                process.join()
        self._check()

    def _round(self, victims: list[tuple[str, int]]) -> None:
        for name, process in self._running.items():
            assert process.exitcode is None, f"{name} ended by itself, with {process.exitcode}"
        for victim in victims:
            self._running[victim].kill()
            self.kills += 1
        for victim in victims:
            self._running[victim].join()
            self._running[victim] = self._started(*victim)

    def _end(self) -> None:
        """Let producers end first, who may wait until workers have made room, then workers."""
        for kind in ("producer", "worker"):
            self.path.with_name(f"stop-{kind}").touch()
            for name, process in self._running.items():
                if name[0] == kind:
                    process.join(QUIET_S)
                    assert process.exitcode == 0, f"{name} ended with {process.exitcode}"
        with Processor(self.path) as p:
            p.configure(retention=Retention(age_s=None))
            handled = os.open(self.path.with_name("handled"), os.O_WRONLY | os.O_APPEND)
            sql = "INSERT INTO effects VALUES (?, ?)"
            p.consumer("plain", retry=RETRY)(lambda event: os.write(handled, line_of(event)))

            @p.consumer("ledger", retry=RETRY)
            def ledger(event: Any) -> None:
                event.transaction.execute(sql, (event.key, event.seq))
                if event.seq % 10 == 0 and event.key != "derived":
                    p.publish("derived", b"derived from %d" % event.seq)

            assert p.run(until="idle", timeout_s=QUIET_S), "it did not come to rest"
            os.close(handled)
            assert p.verify() == []
            stats = p.stats()
            assert all(group.lag == {} and not group.dead and not group.parked for group in stats.groups.values())
            self.tail = stats.tail

    # --- what has to be so

    def _check(self) -> None:
        with closing(apsw.Connection(str(self.path))) as connection:
            sql = (
                "SELECT name, id, seq FROM ringward_log JOIN ringward_producers ON producer = number WHERE id NOT NULL"
            )
            stored = {(name, str(number).removeprefix("id-")): seq for name, number, seq in connection.execute(sql)}
            effects: Any = connection.execute("SELECT key, seq FROM effects ORDER BY rowid").fetchall()
        self._check_acknowledged(stored)
        seqs = sorted(seq for _, seq in effects)
        assert seqs == list(range(1, self.tail + 1)), "an effect is missing, or there twice"
        derived = sum(key == "derived" for key, _ in effects)
        assert derived == sum(seq % 10 == 0 for key, seq in effects if key != "derived"), "a publish inside was lost"
        assert len(stored) + derived == self.tail
        self._check_order([(key, 0, seq) for key, seq in effects], "ledger")
        lines = whole_lines(self.path.with_name("handled"))
        handled = [(key, int(epoch), int(seq)) for key, epoch, seq, *_ in lines]
        assert {seq for *_, seq in handled} == set(seqs), "the plain group missed an event"
        self._check_order(handled, "plain", lines)

    def _check_acknowledged(self, stored: dict[tuple[str, str], int]) -> None:
        for number in range(PRODUCERS):
            name = f"producer-{number}"
            lines = whole_lines(self.path.with_name(f"acknowledged-{number}"))
            assert [int(line[0]) for line in lines] == list(range(len(lines)))
            for n, seq in lines:
                assert stored[name, n] == int(seq), f"{name} has a receipt for {n}, seq {seq}, which is not so"
            assert len(lines) == sum(producer == name for producer, _ in stored), f"{name} has no receipt of some"

    def _check_order(self, handled: list[tuple[str, int, int]], group: str, lines: Sequence[list[str]] = ()) -> None:
        """Each owner goes through a key in order, and whoever goes on leaves nothing out."""
        owners: defaultdict[tuple[str, int], int] = defaultdict(int)
        firsts: defaultdict[str, list[int]] = defaultdict(list)
        for key, epoch, seq in handled:
            assert owners[key, epoch] < seq, (
                f"{group}: seq {seq} of {key} came after {owners[key, epoch]}; epoch, seq, attempt, process and thread of all:\n"
                + "\n".join(" ".join(line) for line in lines if line[0] == key)
            )
            owners[key, epoch] = seq
            if not firsts[key] or seq > firsts[key][-1]:
                firsts[key].append(seq)
        for key, seqs in firsts.items():
            all_of_key = sorted({seq for other, _, seq in handled if other == key})
            assert seqs == all_of_key, f"{group}: {key} went past an event"


def main(argv: list[str] | None = None) -> int:
    """Run episodes; the first that fails says how to run it again."""
    parser = argparse.ArgumentParser(description="Rounds of kill -9 on producers and workers of one file.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    began, done, kills, events = time.monotonic(), 0, 0, 0
    seed = options.seed
    while done < options.rounds:
        rounds = min(ROUNDS_AN_EPISODE, options.rounds - done)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                episode = Episode(Path(folder), seed)
                episode.run(rounds)
            except BaseException:
                again = f"python {Path(__file__)} --rounds {rounds} --seed {seed}"
                sys.stderr.write(f"failed with seed {seed}; run it again with:\n    {again}\n")
                raise
        done, kills, events, seed = done + rounds, kills + episode.kills, events + episode.tail, seed + 1
    lasted = time.monotonic() - began
    counts = f"{done} rounds, {kills} kills, {events} events, {lasted:.0f} s"
    sys.stdout.write(f"{counts}: nothing lost, doubled or out of order\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
