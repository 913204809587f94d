"""Publishing, beside bare inserts of the same rows."""

from __future__ import annotations

from functools import partial

import apsw
from harness.catalogue import works_of
from harness.declare import Case

from events.bounds import Faster, bounds
from events.flights import BATCH, batches, columns
from events.rates import of_cpu, rates
from events.timing import few, in_threads, many, timed
from ringward.events import Processor
from ringward.events.stores.sqlite import schema

INSERT = "INSERT INTO ringward_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
THREADS = 4


def bare_inserts(source, target, batch):
    """Insert the rows of a store's log into the same table and indexes of a new file."""
    stored = apsw.Connection(str(source))
    rows = stored.execute("SELECT * FROM ringward_log").fetchall()
    tables = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'ringward_log' AND sql IS NOT NULL"
    statements = [sql for (sql,) in stored.execute(tables)]
    stored.close()
    target.touch()
    bare = schema.connect(target, write=True)  # the options of the store's own connection
    bare.pragma("journal_mode", "wal")
    for sql in statements:
        bare.execute(sql)

    def one_by_one():
        for row in rows:
            bare.execute("BEGIN IMMEDIATE")
            bare.execute(INSERT, row)
            bare.execute("COMMIT")

    def in_batches():
        for (some,) in batches(rows, size=batch):
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany(INSERT, some)
            bare.execute("COMMIT")

    result = timed(len(rows), one_by_one if batch == 1 else in_batches)
    bare.close()
    return result


def publishing(batch, effort):
    """Publish into a new file, and insert the same rows into another."""
    keys, payloads, ids = columns(few(effort) if batch == 1 else many(effort))
    path = effort.folder / "store.db"
    with Processor(path) as p:

        def one_by_one():
            for key, payload, name in zip(keys, payloads, ids, strict=True):
                p.publish(key, payload, id=name)

        def in_batches():
            for some in batches(keys, payloads, ids, size=batch):
                p.publish_many(*some)

        published = timed(len(keys), one_by_one if batch == 1 else in_batches)
    return {"publish": published, "bare": bare_inserts(path, effort.folder / "bare.db", batch)}


def publishing_together(threads, effort):
    """Publish one at a time, in several threads."""
    keys, payloads, ids = columns(few(effort))
    with Processor(effort.folder / "store.db") as p:

        def publish(first):
            for at in range(first, len(keys), threads):
                p.publish(keys[at], payloads[at], id=ids[at])

        result = timed(len(keys), lambda: in_threads(publish, threads))
    return {"": result}


CASES = {
    "one": Case(partial(publishing, 1)),
    "one-4-threads": Case(partial(publishing_together, THREADS)),
    "thousands": Case(partial(publishing, BATCH)),
}
work = works_of(__file__)
ONE, ONE_BARE = work("one", "publish"), work("one", "bare")
THOUSANDS, THOUSANDS_BARE = work("thousands", "publish"), work("thousands", "bare")
TABLES = [
    bounds(
        Faster("`publish`, one at a time", [ONE], [ONE_BARE], "bare inserts", 0.8),
        Faster("`publish_many` of 1,000", [THOUSANDS], [THOUSANDS_BARE], "bare inserts", 0.75),
    ),
    of_cpu(("`publish`, one at a time", ONE, 45), ("`publish_many` of 1,000", THOUSANDS, 2.5)),
    rates(
        ("publish one at a time", ONE),
        ("bare inserts of the same rows, one a commit", ONE_BARE),
        ("publish one at a time, in 4 threads", work("one-4-threads")),
        ("publish 1,000 at a time", THOUSANDS),
        ("bare inserts of the same rows, 1,000 a commit", THOUSANDS_BARE),
    ),
]
