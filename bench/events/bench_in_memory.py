"""The event processor in memory, where CPU alone counts; and what an event costs as more wait, or as keys get more."""

from __future__ import annotations

import random
import time
from functools import partial

from harness.catalogue import works_of
from harness.declare import Case, Figure, Row, Table, Written
from harness.markdown import table, yes

from events.flights import batches, columns
from events.timing import DOCUMENT, a_second, fastest, many, timed
from ringward.events import MemoryStore, Options, Processor

ROUNDS, ROUNDS_MOST = 3, 100
CALLS = 1_000_000
WAITING = (1_000, 10_000, 100_000, 1_000_000)
KEYS, KEYS_EVENTS = (10, 100, 1_000, 10_000, 100_000), 200_000
AT_LEAST = 300_000  # events a second of CPU
BARE_CALL_S = 90e-9  # the bound is held where a bare call takes at most so long
FLAT = 2  # so many times the least cost per event, at most


def bare_call(count):
    """A call of a Python function for each event, and nothing else."""

    def handle(event):
        pass

    def work():
        for event in range(count):
            handle(event)

    return fastest([timed(count, work) for _ in range(ROUNDS)])


def threads(effort):
    """Publish in batches, then handle, in the processor's threads."""
    keys, payloads, ids = columns(many(effort))

    def once(*, during, named):
        with Processor() as p:
            p.consumer("bench")(lambda _: None)

            def work():
                if during:
                    p.start()
                for some in batches(keys, payloads, ids) if named else batches(keys, payloads):
                    p.publish_many(*some)
                assert p.run(until="idle")

            result = timed(len(keys), work)
            assert p.stats().groups["bench"].handled == len(keys)
        return result

    return {
        "then": fastest([once(during=False, named=False) for _ in range(ROUNDS)]),
        "then, with ids": fastest([once(during=False, named=True) for _ in range(ROUNDS)]),
        "during": fastest([once(during=True, named=False) for _ in range(ROUNDS)]),
        "call": bare_call(CALLS),
    }


def by_hand(keys, payloads):
    """Publish all, then take them through the state machine without threads; the time that both took."""
    from ringward.events.core.group import Group
    from ringward.events.engine.driver import GroupDriver
    from ringward.events.engine.handlers import Handling, Runner

    store = MemoryStore()
    store.open_group("bench", 0)
    options = Options()
    group = Group("bench", store.process, store.stream.middles(), options, chance=random.random, durable=False)
    group.members.join_unnamed(4)
    driver = GroupDriver(store, group)
    runner = Runner(driver, lambda _: None, time.monotonic, None, Handling())
    driver.tick(0.0)

    def publish():
        for some in batches(keys, payloads):
            driver.appended([receipt[:2] for receipt in store.append("p", store.stream.entries(*some, None, None))])

    def handle():
        while (batch := driver.next(0.0)) is not None:
            runner.run(batch)

    published, handled = timed(len(keys), publish), timed(len(keys), handle)
    assert group.handled_count == len(keys)
    return {"count": len(keys), **{name: published[name] + handled[name] for name in ("wall_s", "cpu_s")}}


def growing(sizes, shape, effort):
    """Cost per event as something grows; the fewer events, the more rounds."""
    keys, payloads, _ = columns()
    found = {}
    for size in sizes[: 2 if effort.quick else None]:
        names = shape(size, keys, 20 if effort.quick else 1)
        bodies = [payloads[i % len(payloads)] for i in range(len(names))]
        rounds = max(ROUNDS, min(ROUNDS_MOST, KEYS_EVENTS // len(names)))
        found[str(size)] = min((by_hand(names, bodies) for _ in range(rounds)), key=lambda result: result["cpu_s"])
    return found


def waiting(size, keys, _fewer):
    """So many events, all of which wait when handling begins."""
    return [keys[i % len(keys)] for i in range(size)]


def distinct(size, _keys, fewer):
    """Events of so many different keys."""
    return [f"N{i * 7919 % size}" for i in range(KEYS_EVENTS // fewer)]


CASES = {
    "threads": Case(threads),
    "waiting": Case(partial(growing, WAITING, waiting)),
    "keys": Case(partial(growing, KEYS, distinct)),
}
work = works_of(__file__)


def told(label, part):
    """One row of the table."""
    row = work("threads", part)
    return Row(label, Figure(row, lambda s: f"{s * 1e6:.2f}", "cpu_s"), Figure(row, a_second, "cpu_s"))


def in_memory_bound(results):
    """What the bound says, and whether it holds."""
    then, call = (results.least(work("threads", part), "cpu_s") for part in ("then", "call"))
    ok = 1 / then >= AT_LEAST or call > BARE_CALL_S
    return f"In memory, on one core: {a_second(then)} events a second, at least {AT_LEAST:,}: {yes(ok)}; a bare call takes {call * 1e9:.0f} ns.", ok  # fmt: skip


def flat(case, results):
    """Least cost per event at each size, and whether it is flat."""
    rows = [row for row in results if row.startswith(f"{work(case)}[")]
    costs = {int(row.partition("[")[2][:-1]): results.least(row, "cpu_s") for row in rows}
    spread = max(costs.values()) / min(costs.values())
    cells = table((case, *(f"{size:,}" for size in costs)), [("µs of CPU an event", *(f"{c * 1e6:.2f}" for c in costs.values()))])  # fmt: skip
    return f"{cells}\n\nMost over least: {spread:.2f} (at most {FLAT}: {yes(spread <= FLAT)}).", spread <= FLAT


def grows(marker, case, sizes):
    """The table of one of them."""
    return Written(
        DOCUMENT, marker, lambda results: flat(case, results)[0], {work(case, str(sizes[0]))},
        lambda results: [] if flat(case, results)[1] else [f"{marker}: {flat(case, results)[0]}"],
    )  # fmt: skip


TABLES = [
    Written(
        DOCUMENT, "events-memory-bound", lambda results: in_memory_bound(results)[0],
        {work("threads", "then"), work("threads", "call")},
        lambda results: [] if in_memory_bound(results)[1] else [in_memory_bound(results)[0]],
    ),
    Table(DOCUMENT, "events-memory", ("in memory, one core", "µs of CPU an event", "events a second of CPU"), [
        told("publish, then handle", "then"),
        told("the same, with ids", "then, with ids"),
        told("publish while they are handled", "during"),
        told("a bare Python call per event", "call"),
    ]),
    grows("events-waiting", "waiting", WAITING),
    grows("events-keys", "keys", KEYS),
]  # fmt: skip
