"""The processor: threads, tasks and processes, as users meet them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict
from itertools import chain

import pytest
from waiting import until

import ringward as rw
from ringward.events import JsonCodec, Processor, Retention, Retry, Stream, aio
from ringward.events.worker import load_handler, work

FAST = Retry(attempts=3, base_s=0.01)


@pytest.fixture(params=["memory", "sqlite"])
def place(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "events.db"


def fill(p, count=500, keys=20):
    return p.publish_many([f"key{i % keys}" for i in range(count)], [b"%d" % i for i in range(count)])


def test_every_event_is_handled_once_and_in_the_order_of_its_key(place):
    seen = defaultdict(list)
    with Processor(place) as p:
        p.consumer("g", members=4)(lambda event: seen[event.key].append(event.seq))
        receipts = fill(p)
        assert p.run(until="idle", timeout_s=30)
        assert sorted(chain(*seen.values())) == [r.seq for r in receipts]
        assert all(seqs == sorted(seqs) for seqs in seen.values())
        assert p.stats().groups["g"].lag == {}


def test_an_event_says_what_was_published(place):
    seen = []
    with Processor(place) as p:
        p.consumer("g")(seen.append)
        p.publish(b"k", b"\0payload", id=7, headers={"a": "b"})
        p.run(until="idle", timeout_s=30)
        (event,) = seen
        assert (event.key, event.payload, event.id, event.headers) == (b"k", b"\0payload", 7, {"a": "b"})
        assert (event.seq, event.attempt, event.epoch, event.group) == (1, 1, 1, "g")
        assert "payload" not in repr(event)
        with pytest.raises((AttributeError, TypeError)):
            event.seq = 2
        assert abs(event.at_ms / 1000 - time.time()) < 60


def test_groups_are_independent(place):
    seen = defaultdict(list)
    with Processor(place) as p:
        p.consumer("one")(lambda event: seen["one"].append(event.seq))

        @p.consumer("two", retry=FAST)
        def two(event):
            seen["two"].append(event.seq)
            if event.seq == 3:
                raise ValueError

        fill(p, 20)
        p.run(until="idle", timeout_s=30)
        assert sorted(seen["one"]) == list(range(1, 21))
        stats = p.stats().groups
        assert (stats["one"].dead, stats["two"].dead) == (0, 1)


def test_a_slow_key_delays_no_other(place):
    done = {}
    release = threading.Event()
    with Processor(place, stream=Stream(partitions=1)) as p:

        @p.consumer("g")
        def handle(event):
            if event.key == "slow":
                release.wait(10)
            done.setdefault(event.key, []).append(event.seq)

        p.publish_many(["slow", "a", "slow", "b", "a"], [b""] * 5)
        p.start()
        until(lambda: len(done) >= 2)
        assert "slow" not in done
        assert done == {"a": [2, 5], "b": [4]}
        release.set()
        assert p.drain(10)
        assert done["slow"] == [1, 3]


def test_dead_letters_are_listed_redriven_and_dropped(place):
    broken = True
    seen = []
    with Processor(place) as p:

        @p.consumer("g", retry=FAST)
        def handle(event):
            if broken and event.key == "bad":
                raise ValueError("broken")
            seen.append(event.seq)

        p.publish_many(["bad", "good", "bad"], [b"1", b"2", b"3"], ids=["a", None, "c"])
        p.run(until="idle", timeout_s=30)
        assert seen == [2]
        dead = p.dead("g")
        assert [(d.seq, d.key, d.id, d.payload, d.state, d.attempts) for d in dead] == [
            (1, "bad", "a", b"1", "dead", 3),
            (3, "bad", "c", b"3", "parked", 0),
        ]
        assert dead[0].error == "ValueError: broken"
        broken = False
        assert p.redrive("g") == 1
        p.run(until="idle", timeout_s=30)
        assert seen == [2, 1, 3]
        assert p.dead("g") == []
        with pytest.raises(rw.UnknownGroupError):
            p.dead("nobody")


def test_replay_by_seq_and_by_the_beginning(place):
    seen = []
    with Processor(place) as p:
        p.consumer("g")(lambda event: seen.append(event.seq))
        fill(p, 10)
        p.run(until="idle", timeout_s=30)
        p.reset("g", 7)
        p.run(until="idle", timeout_s=30)
        assert sorted(seen[10:]) == [8, 9, 10]
        p.reset("g", "beginning")
        p.run(until="idle", timeout_s=30)
        assert len(seen) == 23


def test_a_group_can_start_at_the_end(place):
    seen = []
    with Processor(place) as p:
        fill(p, 10)
        p.consumer("g", start="end")(lambda event: seen.append(event.seq))
        fill(p, 3)
        p.run(until="idle", timeout_s=30)
        assert sorted(seen) == [11, 12, 13]


def test_handlers_may_publish(place):
    seen = []
    with Processor(place) as p:

        @p.consumer("g")
        def handle(event):
            seen.append(event.payload)
            if event.payload != b"0":
                p.publish("next", b"%d" % (int(event.payload) - 1))

        p.publish("first", b"3")
        assert p.run(until="idle", timeout_s=30)
        assert seen == [b"3", b"2", b"1", b"0"]


def test_backpressure_raises_or_waits_and_never_inside_a_handler(place):
    inside = []
    with Processor(place, unresolved_count=10, unresolved_bytes=1000) as p:

        @p.consumer("g")
        def handle(event):
            try:
                p.publish("k", b"", wait_s=1)
            except rw.BackpressureError as error:
                inside.append(str(error))

        fill(p, 8)
        with pytest.raises(rw.BackpressureError, match="unresolved events must be at most 10"):
            fill(p, 3)
        with pytest.raises(rw.BackpressureError, match="payload bytes must be at most 1000"):
            p.publish("k", b"x" * 1001)
        began = time.monotonic()
        with pytest.raises(rw.BackpressureError):
            p.publish_many(["k"] * 3, [b""] * 3, wait_s=0.2)
        assert 0.15 < time.monotonic() - began < 5
        assert p.store.totals().tail == 8
        p.start()
        assert len(p.publish_many(["k"] * 10, [b""] * 10, wait_s=30)) == 10
        assert p.drain(30)
        assert len(inside) == 18
        assert "inside a handler" in inside[0]


def test_without_groups_nothing_waits_to_be_handled(place):
    with Processor(place, unresolved_count=10) as p:
        for _ in range(5):
            fill(p, 10)
        assert p.store.totals().tail == 50
        p.consumer("g")(lambda _: None)  # for which all of them wait
        with pytest.raises(rw.BackpressureError, match="unresolved events must be at most 10"):
            fill(p, 10)


def test_json_payloads(place):
    seen = []
    with Processor(place, codec="json") as p:
        p.consumer("g")(lambda event: seen.append(event.payload))
        p.publish("k", {"a": [1, None, "ü"]})
        p.publish_many(["k"], [[1, 2]])
        p.run(until="idle", timeout_s=30)
        assert seen == [{"a": [1, None, "ü"]}, [1, 2]]
    assert JsonCodec().decode(JsonCodec().encode("x")) == "x"


def test_what_ends_a_thread_is_a_failed_attempt(place):
    with Processor(place) as p:

        @p.consumer("g", retry=FAST)
        def handle(event):
            if event.seq == 2:
                sys.exit(3)

        fill(p, 5)
        assert p.run(until="idle", timeout_s=30)
        assert p.dead("g")[0].error == "SystemExit: 3"


def test_a_handler_that_blocks_for_ever_is_taken_over(place):
    release, calls = threading.Event(), []
    with Processor(place) as p:

        @p.consumer("g", members=2, lease_s=0.6, heartbeat_s=0.1, handler_timeout_s=0.3)
        def handle(event):
            calls.append(event.seq)
            if event.key == "hang" and calls.count(event.seq) == 1:
                release.wait(30)

        p.publish_many(["hang", "hang", "a", "b"], [b""] * 4)
        began = time.monotonic()
        p.start()
        assert p.drain(20)
        assert time.monotonic() - began > 0.8
        assert (calls.count(1), calls.count(2)) == (2, 2)
        assert p.stats().groups["g"].hung == 2
        release.set()


def test_stop_hands_over_and_start_goes_on(place):
    seen = []
    with Processor(place) as p:
        p.consumer("g", members=2)(lambda event: seen.append(event.seq))
        p.start()
        fill(p, 10)
        assert p.drain(30)
        assert p.stop()
        assert p.stats().groups["g"].members == ()
        fill(p, 10)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("ringward-g")]
        assert len(seen) == 10
        p.start()
        assert p.drain(30)
        assert sorted(seen) == list(range(1, 21))


def test_old_events_are_pruned_while_it_runs(place):
    with Processor(place, retention=Retention(age_s=None, count=3)) as p:
        p.consumer("g")(lambda event: None)
        fill(p, 10)
        p.run(until="idle", timeout_s=30)
        p.prune()
        assert p.stats()[:2] == (10, 8)
        assert p.verify() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda p: p.publish(1.5, b""), rw.KeyTypeError),
        (lambda p: p.publish(True, b""), rw.KeyTypeError),
        (lambda p: p.publish("\ud800", b""), rw.KeyValueError),
        (lambda p: p.publish(2**64, b""), rw.KeyValueError),
        (lambda p: p.publish("k" * 70_000, b""), rw.KeyValueError),
        (lambda p: p.publish("k", "text"), rw.ArgumentTypeError),
        (lambda p: p.publish("k", b"", id=""), rw.ArgumentError),
        (lambda p: p.publish("k", b"", id=-1), rw.ArgumentError),
        (lambda p: p.publish("k", b"", id=1.5), rw.ArgumentTypeError),
        (lambda p: p.publish("k", b"", id=True), rw.ArgumentTypeError),
        (lambda p: p.publish("k", b"", headers={"a": 1}), rw.ArgumentTypeError),
        (lambda p: p.publish_many(["k"], [b"", b""]), rw.ArgumentError),
        (lambda p: p.publish_many("keys", [b""] * 4), rw.KeyTypeError),
        (lambda p: p.publish_many(["a", None], [b"", b""]), rw.KeyTypeError),
        (lambda p: p.consumer(""), rw.ArgumentError),
        (lambda p: p.consumer("g", members=0), rw.ArgumentError),
        (lambda p: p.consumer("g", batch=0)(print), rw.ArgumentError),
        (lambda p: p.consumer("g", start="now")(print), rw.ArgumentError),
        (lambda p: p.consumer("g", start=1)(print), rw.ArgumentError),
        (lambda p: p.consumer("g", router=7)(print), rw.ArgumentTypeError),
        (lambda p: p.consumer("g")(7), rw.ArgumentTypeError),
        (lambda p: p.run(until="done"), rw.ArgumentError),
        (lambda p: p.redrive("nobody"), rw.UnknownGroupError),
        (lambda p: Processor(7), rw.ArgumentTypeError),
    ],
)
def test_bad_input_gets_a_typed_error_and_stores_nothing(place, call, error):
    with Processor(place) as p:
        with pytest.raises(error):
            call(p)
        assert p.stats() == (0, 1, 0, {}, 0.0)


def test_a_note_tells_which_event_of_many_is_at_fault():
    with Processor() as p, pytest.raises(rw.ArgumentTypeError) as caught:
        p.publish_many(["a", "b"], [b"", "text"])
    assert caught.value.__notes__ == ["in the event at position 1"]


# --- asyncio


def test_asyncio_handles_every_event_in_the_order_of_its_key(place):
    seen = defaultdict(list)

    async def main():
        async with aio.Processor(place) as p:

            @p.consumer("g", members=3)
            async def handle(event):
                await asyncio.sleep(0)
                seen[event.key].append(event.seq)

            await p.publish_many([f"key{i % 20}" for i in range(300)], [b""] * 300)
            await asyncio.gather(*(p.publish("one", b"%d" % i) for i in range(20)))
            assert await p.run(until="idle", timeout_s=30)
            return await p.stats()

    stats = asyncio.run(main())
    assert sorted(chain(*seen.values())) == list(range(1, 321))
    assert all(seqs == sorted(seqs) for seqs in seen.values())
    assert stats.groups["g"].lag == {}


def test_asyncio_a_slow_key_delays_no_other_and_failures_are_retried(place):
    seen = []

    async def main():
        release = asyncio.Event()
        async with aio.Processor(place, stream=Stream(partitions=1)) as p:

            @p.consumer("g", retry=FAST)
            async def handle(event):
                if event.key == "slow":
                    await release.wait()
                if event.key == "bad":
                    raise asyncio.CancelledError
                seen.append(event.key)

            await p.publish_many(["slow", "a", "bad", "slow", "b"], [b""] * 5)
            p.start()
            for _ in range(500):
                await asyncio.sleep(0.01)
                if len(seen) == 2 and await p.dead("g"):
                    break
            assert sorted(seen) == ["a", "b"]
            release.set()
            assert await p.drain(30)
            assert sorted(seen) == ["a", "b", "slow", "slow"]
            assert [d.error for d in await p.dead("g")] == ["CancelledError: "]

    asyncio.run(main())


# --- processes


WORKER = """
import sys, time
from ringward.events.worker import work

def handle(event):
    event.transaction.execute("INSERT INTO effects VALUES (?, ?, ?)", (event.seq, event.key, "{name}"))
    time.sleep({pause})

work(sys.argv[1], "g", handle, members=2, until={until!r}, timeout_s=60, lease_s=30, heartbeat_s=1)
"""


def worker(path, name, pause=0.0, until=None):
    script = WORKER.format(name=name, pause=pause, until=until)
    return subprocess.Popen([sys.executable, "-c", script, str(path)])


def effects(p):
    with p.store._file.reading:
        return p.store._file.reader.execute("SELECT seq, key, name FROM effects ORDER BY rowid").fetchall()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_a_process_that_is_killed_is_taken_over_and_every_effect_is_there_once(tmp_path):
    path = tmp_path / "events.db"
    with Processor(path) as p:
        p.store._writer.connection.execute("CREATE TABLE effects (seq, key, name)")
        fill(p, 600)
        victim, heir = worker(path, "victim", 0.002), worker(path, "heir", 0.002, "idle")
        until(lambda: any(name == "victim" for *_, name in effects(p)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert heir.wait(60) == 0
        rows = effects(p)
        assert sorted(seq for seq, *_ in rows) == list(range(1, 601))
        by_key = defaultdict(list)
        for seq, key, _ in rows:
            by_key[key].append(seq)
        assert all(seqs == sorted(seqs) for seqs in by_key.values())
        assert {name for *_, name in rows} == {"victim", "heir"}
        assert p.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is of POSIX")
def test_a_process_that_is_told_to_end_hands_over(tmp_path):
    path = tmp_path / "events.db"
    with Processor(path) as p:
        p.store._writer.connection.execute("CREATE TABLE effects (seq, key, name)")
        fill(p, 50)
        child = worker(path, "only")
        until(lambda: len(effects(p)) >= 50)
        child.terminate()
        assert child.wait(30) == 0
        assert p.stats().groups["g"].members == ()
        assert {d.owner for d in p.store.states("g").values()} == {None}


@pytest.mark.skipif(sys.platform == "win32", reason="os._exit leaves no lock on POSIX")
def test_a_handler_that_ends_the_process_reaches_the_dead_letter_queue_alone(tmp_path):
    path = tmp_path / "events.db"
    script = textwrap.dedent("""
        import os, sys
        from ringward.events.worker import work

        def handle(event):
            if event.payload == b"13":
                os._exit(9)

        work(sys.argv[1], "g", handle, until="idle", timeout_s=60)
    """)
    with Processor(path) as p:
        fill(p, 40)
        exits = []
        while not exits or exits[-1] == 9:
            exits.append(subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60).returncode)
            assert len(exits) < 10
        assert exits == [9] * 6 + [0]
        assert [(d.payload, d.state, d.attempts) for d in p.dead("g")] == [(b"13", "dead", 5), (b"33", "parked", 0)]


def test_a_handler_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "my_handlers.py").write_text("def handle(event): pass\nnumber = 7\n")
    (tmp_path / "my_script.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "my_broken.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])  # of `python -m`
    for name in ("my_handlers", "my_script", "my_broken"):  # of another test in this process
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(rw.ArgumentError, match="there is no my_handlers"):
        load_handler("my_handlers:handle")
    assert load_handler("my_handlers:handle", ["."]).__name__ == "handle"
    assert sys.path[0] == str(tmp_path)
    assert load_handler("json:dumps") is json.dumps
    names = ["my_handlers", "my_handlers.py", "my_handlers:nothing", "no_such_module:handle", "my_handlers:number"]
    for name in (*names, ":x", "", ".:x", "..a:x", "a..b:x", "json:dumps.x", "./my_handlers.py:handle", "a\0b:x"):
        with pytest.raises(rw.ArgumentError, match="handler must be"):
            load_handler(name)
    with pytest.raises(rw.ArgumentError, match="SystemExit: 3"):
        load_handler("my_script:handle")
    with pytest.raises(rw.ArgumentError, match="No module named 'no_such_package'"):
        load_handler("my_broken:handle")
    with pytest.raises(rw.ArgumentError, match="folders must be a folder"):
        load_handler("my_handlers:handle", ["no-such-folder"])


def test_work_on_a_mistyped_path_is_an_error_and_makes_nothing(tmp_path):
    path = tmp_path / "typo.db"
    with pytest.raises(rw.StoreNotFoundError, match=r"no such file: .*typo\.db"):
        work(path, "g", print, until="idle")
    assert list(tmp_path.iterdir()) == []
    assert work(path, "g", print, until="idle", create=True)
    assert path.exists()


def test_work_handles_in_this_process(tmp_path):
    path = tmp_path / "events.db"
    seen = []
    with Processor(path) as p:
        fill(p, 10)
    handlers = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    assert work(path, "g", lambda event: seen.append(event.seq), until="idle", timeout_s=30)
    assert [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert sorted(seen) == list(range(1, 11))


def test_whoever_runs_with_nothing_to_do_leaves_no_member_behind(tmp_path):
    """The stop was over before the round that stored that they joined: they were up for ever, and health complained."""
    path = tmp_path / "store.db"
    with Processor(path) as p:
        p.publish("k", b"")
    for number in range(12):
        with Processor(path) as p:
            p.consumer(f"g{number}", members=2, start="end")(lambda event: None)
            assert p.run(until="idle", timeout_s=30)
    with Processor(path) as p:
        assert {name: told.members for name, told in p.stats().groups.items()} == {f"g{n}": () for n in range(12)}
