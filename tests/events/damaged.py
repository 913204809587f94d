"""Files that are damaged in some way, and what becomes of whoever opens one."""

from __future__ import annotations

import shutil
import traceback

import apsw

import ringward as rw
from ringward.events import Processor, Retention, Retry, SqliteStore, Stream

PARTITIONS = 4
VALUES = [
    *(None, 0, -1, 1, 2, 3, 255, 65_536, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), 1.5, float("inf"), -0.0),
    *("", "x", "5", "null", "[]", "{}", "[[1]]", "[[3,1]]", "[[1,2,3]]", "[1]", '"x"', "[[1e400,2]]", "[[NaN,1]]"),
    *("[" * 50_000, "9" * 5000, '{"a":' * 30_000, "[[1,1000000000]]", "[[-5,-1]]", '[["m",[1,"p",true,0]]]'),
    *('[["m",[1,2,3,4]]]', '[[1,[1,"p",true]]]', '[["m",[1,"p",true,-1]]]', '{"age_s":-1}', '{"age_s":1e999}', "1e999"),
    *('{"partitions":0,"hash":{"family":"XXH3","seed":0}}', '{"partitions":4,"hash":{"family":"XXH3","seed":-1}}'),
    *('{"partitions":4,"hash":{"family":[],"seed":0}}', '{"partitions":4}', "[[1,2],[1,1]]", "\x00", "\ud7ff"),
    *(b"", b"\xff", b"x" * 1000, b"\x00" * 8, b"dead", bytes(range(256))),
    *("dead", "parked", "redrive", "lost", "m#1", "m", "#"),
]
GARBLED = "CAST(x'ff61' AS TEXT)"  # no UTF-8
TABLES = {
    "meta": ["name", "value"],
    "settings": ["name", "value"],
    "anchor": ["seq", "at", "volume", "chain"],
    "producers": ["number", "name", "highest"],
    "log": [
        *("seq", "partition", "kind", "producer", "at", "volume", "chain", "key", "id", "headers", "payload"),
    ],
    "groups": ["number", "name", "start", "generation", "deleted"],
    "documents": [
        *("grp", "partition", "epoch", "revision", "owner", "cursor", "done", "attempts", "low", "high", "generation"),
    ],
    "letters": [
        *("grp", "seq", "partition", "key", "state", "error", "attempts", "kind", "at", "digest", "id", "headers"),
        "payload",
    ],
    "views": ["grp", "number", "members", "router"],
    "beats": ["grp", "owner", "count"],
}


def template(path):
    """Make a file that has something of everything."""
    with Processor(SqliteStore(path, Stream(PARTITIONS)), retention=Retention(count=60)) as p:
        p.configure(id_window_s=1000)
        for i in range(80):
            p.publish(f"key{i % 7}", b"%d" % i * 20, id=f"id{i}" if i % 3 else i, headers={"n": str(i)})

        @p.consumer("g", retry=Retry(attempts=1))
        def handle(event):
            if event.seq % 17 == 0:
                raise ValueError

        p.run(until="idle", timeout_s=30)
        p.prune()
        for i in range(20):
            p.publish(f"key{i % 7}", b"%d" % i * 20)
        states = p.store.states("g")
        claimed = p.store.claim("g", "m#1", {number: d.epoch for number, d in states.items()})
        marks = [
            (n, d._replace(revision=d.revision + 1, in_flight=((81, 83), (85, 90)), attempts=((85, 2),)))
            for n, d in claimed.items()
        ]
        p.store.mark("g", marks)
    with apsw.Connection(str(path)) as connection:
        connection.execute("UPDATE ringward_documents SET done = '[[95,97],[99,99]]'")
        connection.pragma("wal_checkpoint(TRUNCATE)")
    connection.close()


def change_field(path, random):
    """Change fields by SQL; what."""
    table = random.choice(list(TABLES))
    column = random.choice(TABLES[table])
    value = random.choice([*VALUES, GARBLED])
    most = random.choice((1, 1, 100))
    text = GARBLED if value is GARBLED else "?"
    key = {"meta": "name", "settings": "name", "documents": "grp, partition", "beats": "grp, owner"}.get(table, "rowid")
    sql = (
        f"UPDATE OR IGNORE ringward_{table} SET {column} = {text} WHERE ({key}) IN"  # noqa: S608 - ours
        f" (SELECT {key} FROM ringward_{table} ORDER BY {column} IS NULL, random() LIMIT {most})"
    )
    connection = apsw.Connection(str(path))
    try:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute(sql, () if value is GARBLED else (value,))
    except apsw.Error as error:
        return f"{sql}: {error}"
    finally:
        connection.close()
    return f"{sql} {value!r:.60}"


def change_bytes(path, random):
    """Change some bytes of the file, most often one; what."""
    data = bytearray(path.read_bytes())
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        page = random.randrange(len(data) // 4096) * 4096
        # Near the beginning of a page is what says how it is built.
        at = page + (random.randrange(120) if random.random() < 0.5 else random.randrange(4096))
        value = random.choice((0, 1, 127, 128, 255, data[at] ^ (1 << random.randrange(8)), random.randrange(256)))
        done.append((at, data[at], value))
        data[at] = value
    path.write_bytes(data)
    return str(done)


def use(path, timeout_s=1.0):
    """Do with a file what users do; of each step, what it raised that is no error of ours."""
    wrong = []

    def step(name, do):
        try:
            return do()
        except rw.RingwardError:
            return None
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            wrong.append(f"{name}: {type(error).__name__}: {error!s:.200}\n{traceback.format_exc()[-1500:]}")
            return None

    for name in ("first", "second"):
        store = step("open", lambda: SqliteStore(path))
        if store is None:
            continue
        lines = step("verify", store.verify)
        if lines is not None and (not isinstance(lines, list) or len(lines) > 2000):
            wrong.append(f"verify: {len(lines)} lines")
        _use(store, name, step, timeout_s)
        step("close", store.close)
    return wrong


def _use(store, name, step, timeout_s):
    p = step("open", lambda: Processor(store))
    if p is None:
        return
    step("stats", p.stats)
    step("groups", store.groups)
    step("dead", lambda: p.dead("g"))
    step("documents", lambda: store.states("g"))
    step("beats", lambda: store.heartbeats("g"))
    step("seq_at", lambda: store.seq_at(1_790_000_000_000))
    step("heads", lambda: store.rows([seq for seq, _ in store.heads(0, 1000)]))
    step("publish", lambda: p.publish("k", b"x", id="id7"))
    step("publish", lambda: p.publish("k", b"x", id=name))
    step("consumer", lambda: p.consumer("g", retry=Retry(attempts=1))(_handled))
    step("run", lambda: p.run(until="idle", timeout_s=timeout_s))
    step("redrive", lambda: p.redrive("g"))
    step("run", lambda: p.run(until="idle", timeout_s=timeout_s))
    step("prune", p.prune)
    step("reset", lambda: p.reset("g", "beginning"))
    step("configure", lambda: p.configure(id_window_s=0))
    step("close", p.close)


def _handled(event):
    return None if (event.key, event.id, event.payload, event.headers, event.at_ms) and event.seq % 17 else 1 / 0


def variant(source, path, random):
    """A damaged copy of a file: what was done to it."""
    for old in (*path.parent.glob(path.name + "?*"), path):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    shutil.copy(source, path)
    return random.choice((change_field, change_field, change_bytes))(path, random)
