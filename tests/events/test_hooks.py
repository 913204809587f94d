"""Hooks, figures, logs and codecs: what a processor tells, and that telling changes nothing."""

# ruff: noqa: D102 - the methods of hooks are documented where they are called

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from waiting import until

import ringward as rw
from ringward.events import (
    GiveBack,
    Hooks,
    JsonCodec,
    MemoryStore,
    MsgspecCodec,
    Processor,
    Retention,
    Retry,
    SqliteStore,
    Stream,
    aio,
)
from ringward.events.reports import Meter

FAST = Retry(attempts=3, base_s=0.01)


@pytest.fixture(params=["memory", "sqlite"])
def place(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "events.db"


class Book(Hooks):
    """Keeps all that it is told."""

    def __init__(self):
        self.told = []
        self.around = []

    def publishing(self, count):
        return self._noted("publishing", count)

    def handling(self, event):
        return self._noted("handling", event.seq)

    @contextmanager
    def _noted(self, name, what):
        try:
            yield {"trace": f"{name}-{what}"}
        except BaseException as error:
            self.around.append((name, what, type(error).__name__))
            raise
        self.around.append((name, what, None))

    def published(self, receipts):
        self.told.append(("published", len(receipts)))

    def retried(self, told):
        self.told.append(("retried", told))

    def dead(self, told):
        self.told.append(("dead", told))

    def claimed(self, told):
        self.told.append(("claimed", told))

    def released(self, told):
        self.told.append(("released", told))

    def fenced(self, told):
        self.told.append(("fenced", told))

    def failed(self, error):
        self.told.append(("failed", error))

    def of(self, name):
        """All that came by one hook."""
        return [told for hook, told in self.told if hook == name]


def test_hooks_are_told_of_publishing_handling_retries_and_deaths(place):
    book = Book()
    with Processor(place, hooks=book, stream=Stream(partitions=8)) as p:

        @p.consumer("g", retry=FAST)
        def handle(event):
            if event.key == "bad":
                raise ValueError("broken")

        p.publish_many(["good", "bad"], [b"", b""])
        p.publish("good", b"", id=1)
        assert p.publish("good", b"", id=1).duplicate
        with pytest.raises(rw.ConflictError):
            p.publish("good", b"other", id=1)
        assert p.run(until="idle", timeout_s=30)
    assert book.of("published") == [2, 1, 1]
    assert [entry for entry in book.around if entry[0] == "publishing"] == [
        ("publishing", 2, None),
        *[("publishing", 1, None)] * 2,
        ("publishing", 1, "ConflictError"),
    ]
    handled = [entry[1:] for entry in book.around if entry[0] == "handling"]
    assert sorted(handled, key=str) == [(1, None), *[(2, "ValueError")] * 3, (3, None)]
    assert [(told.seq, told.attempts, told.error) for told in book.of("retried")] == [
        (2, 1, "ValueError: broken"),
        (2, 2, "ValueError: broken"),
    ]
    (died,) = book.of("dead")
    assert (died.group, died.seq, died.attempts, died.error) == ("g", 2, 3, "ValueError: broken")
    claimed, released = book.of("claimed"), book.of("released")
    assert sorted(p for told in claimed for p in told.partitions) == list(range(8))
    assert {(told.group, told.member, told.taken_over) for told in claimed} == {("g", "member-1", ())}
    assert sorted(p for told in released for p in told.partitions) == list(range(8))
    assert book.of("fenced") == book.of("failed") == []


def test_added_headers_arrive_and_are_no_part_of_what_makes_a_repeat(place):
    seen = []
    with Processor(place, hooks=Book()) as p:
        p.publish("k", b"1", id="a", headers={"mine": "1"})
        p.publish("k", b"2", headers={"trace": "my own"})
    for count in (1, 2):
        hooks = Book() if count == 1 else None
        store = place or MemoryStore()
        with Processor(store, hooks=hooks) as p:
            p.publish_many(["k"] * count, [b"1"] * count, ids=["a", "b"][:count], headers=[{"mine": "1"}] * count)
            assert p.publish("k", b"1", id="a", headers={"mine": "1"}).duplicate
            with pytest.raises(rw.ConflictError):
                p.publish("k", b"1", id="a", headers={"mine": "2"})
            with pytest.raises(rw.ConflictError):
                p.publish("k", b"1", id="a")
            assert p.verify() == []
            if place is not None and count == 1:
                p.consumer("g")(lambda event: seen.append(event.headers))
                p.run(until="idle", timeout_s=30)
    if place is not None:
        assert seen == [{"mine": "1", "trace": "publishing-1"}, {"trace": "my own"}]


def test_a_repeat_is_one_also_when_the_event_is_pruned(place):
    with Processor(place, hooks=Book(), retention=Retention(age_s=None, count=0)) as p:
        p.publish("k", b"1", id="a", headers={"mine": "1"})
        assert p.prune() == 1
        assert p.publish("k", b"1", id="a", headers={"mine": "1"}).duplicate
        assert p.verify() == []


def test_dead_events_keep_all_headers(place):
    with Processor(place, hooks=Book()) as p:

        @p.consumer("g", retry=Retry(attempts=1))
        def handle(event):
            raise ValueError

        p.publish("k", b"1", headers={"mine": "1"})
        p.run(until="idle", timeout_s=30)
        assert p.dead("g")[0].headers == {"mine": "1", "trace": "publishing-1"}


class Broken(Hooks):
    """Fails at whatever it is asked."""

    def __getattribute__(self, name):
        def fail(*_):
            raise RuntimeError(name)

        return fail


class BrokenAround(Hooks):
    """Fails when the handler is over, and tries to swallow what it raised."""

    @contextmanager
    def handling(self, event):
        try:
            yield
        except ValueError:
            return
        raise RuntimeError("too late")

    @contextmanager
    def publishing(self, count):
        yield {"not": 7}


@pytest.mark.parametrize("hooks", [Broken(), BrokenAround()])
def test_what_a_hook_raises_is_logged_and_changes_nothing(hooks, place, caplog):
    seen = []
    with Processor(place, hooks=hooks) as p:

        @p.consumer("g", retry=FAST)
        def handle(event):
            seen.append(event.seq)
            if event.key == "bad" and event.attempt == 1:
                raise ValueError("broken")

        assert p.publish("good", b"").seq == 1
        p.publish("bad", b"")
        assert p.run(until="idle", timeout_s=30)
        assert p.stats().groups["g"].retries == 1
    assert sorted(seen) == [1, 2, 2]
    failed = [record for record in caplog.records if getattr(record, "event", "") == "hook_failed"]
    assert len(failed) >= 2
    assert all(record.exc_info for record in failed)


def test_hooks_are_called_outside_of_the_locks(tmp_path):
    """A hook may call the processor, which takes its locks; in a lock it would wait for itself."""
    stats = []

    class Curious(Hooks):
        processor = None

        def claimed(self, told):
            stats.append(self.processor.stats())
            self.processor.publish("more", b"")

    hooks = Curious()
    with Processor(tmp_path / "events.db", hooks=hooks) as p:
        hooks.processor = p
        p.consumer("g")(lambda event: None)
        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=30)
    assert stats[0].groups["g"].held == 256


def test_a_takeover_is_told_to_the_heir_and_to_the_one_that_was_taken_over(tmp_path):
    """A process that was paused finds out that it is fenced; the heir says what it took, and how much."""
    book, heirs = Book(), Book()
    first = Processor(SqliteStore(tmp_path / "e.db", Stream(partitions=8)), hooks=book)
    second = Processor(SqliteStore(tmp_path / "e.db"), hooks=heirs)
    with first, second:
        options = {"lease_s": 0.3, "heartbeat_s": 0.05}
        first.consumer("g", members=["a"], **options)(lambda event: None)
        driver = first._engine.consumers.of("g")
        driver.tick(0.0)
        assert len(driver.group.owned) == 8
        second.consumer("g", members=["b"], **options)(lambda event: None)
        second.start()
        until(lambda: any(told.taken_over for told in heirs.of("claimed")))
        claimed = [told for told in heirs.of("claimed") if told.taken_over]
        assert sorted(p for told in claimed for p in told.taken_over) == list(range(8))
        assert {told.member for told in claimed} == {"b"}
        assert second.stats().groups["g"].takeovers == 8
        driver.tick(100.0)
        assert [sorted(told.partitions) for told in book.of("fenced")] == [list(range(8))]
        assert first.stats().groups["g"].fenced == 8


def test_the_error_that_stops_a_processor_is_told_once(tmp_path, caplog):
    book = Book()
    error = rw.StoreFailedError("the disk is gone")
    with Processor(tmp_path / "events.db", hooks=book) as p:
        p.consumer("g", members=3)(lambda event: None)

        def broken(*_):
            raise error

        p.store.membership = broken
        with pytest.raises(rw.StoreFailedError):
            p.run(until="idle", timeout_s=30)
    assert book.of("failed") == [error]
    assert [record.getMessage() for record in caplog.records] == [
        "the event processor stops: StoreFailedError: the disk is gone"
    ]


def test_asyncio_tells_hooks_the_same(place):
    book = Book()

    async def main():
        async with aio.Processor(place, hooks=book) as p:

            @p.consumer("g", retry=FAST)
            async def handle(event):
                await asyncio.sleep(0)
                if event.key == "bad":
                    raise ValueError("broken")

            await p.publish("good", b"")
            await p.publish("bad", b"")
            assert await p.run(until="idle", timeout_s=30)

    asyncio.run(main())
    assert book.of("published") == [1, 1]
    assert (
        sorted(entry[1:] for entry in book.around if entry[0] == "handling" and entry[1] == 2)
        == [(2, "ValueError")] * 3
    )
    assert [told.seq for told in book.of("dead")] == [2]


def test_logs_have_fields(place, caplog):
    caplog.set_level(logging.DEBUG, "ringward.events")
    with Processor(place, stream=Stream(partitions=8)) as p:

        @p.consumer("g", retry=Retry(attempts=2, base_s=0.01))
        def handle(event):
            raise ValueError("broken")

        receipt = p.publish("k", b"")
        p.run(until="idle", timeout_s=30)
    records = {}
    for record in caplog.records:
        records.setdefault(record.event, record)
    assert list(records) == ["claimed", "handler_failed", "retried", "dead", "released"]
    claimed, failed, dead = records["claimed"], records["handler_failed"], records["dead"]
    assert (claimed.levelname, claimed.member, len(claimed.partitions)) == ("INFO", "member-1", 8)
    assert claimed.getMessage() == "group g: member-1 claimed 8 partitions, 0 of them taken over"
    assert (failed.levelname, failed.group, failed.partition) == ("WARNING", "g", receipt.partition)
    assert (failed.seq, failed.attempt, failed.exc_info[0]) == (1, 1, ValueError)
    assert (dead.levelname, dead.seq, dead.attempts, dead.error) == ("ERROR", 1, 2, "ValueError: broken")
    assert dead.getMessage() == "group g: seq 1 is dead after 2 attempts: ValueError: broken"


def test_stats_tell_what_waits_and_since_when(tmp_path):
    clock = [1000.0]
    with Processor(SqliteStore(tmp_path / "e.db", clock=lambda: clock[0])) as p:
        p.publish("a", b"")
        clock[0] = 1001.5
        p.publish("b", b"")
        fails = True

        @p.consumer("g", start=1, retry=Retry(attempts=2, base_s=0.01))
        def handle(event):
            if fails:
                raise ValueError

        group = p.stats().groups["g"]
        assert (group.lowest, group.waiting_since_ms, sum(group.lag.values())) == (2, 1_001_500, 1)
        p.run(until="idle", timeout_s=30)
        group = p.stats().groups["g"]
        assert (group.lowest, group.waiting_since_ms, group.lag) == (3, None, {})
        assert (group.handled, group.retries, group.deaths, group.dead) == (0, 1, 1, 1)


def test_rates_are_those_of_the_last_seconds():
    meter = Meter()
    assert meter.per_s(0.0, 5) == 0.0
    for second in range(20):
        assert meter.due(second)
        meter.sample(second, 100 * second)
        assert not meter.due(second + 0.4)
    assert meter.per_s(19.5, 1950) == pytest.approx(100)
    assert meter.per_s(25.0, 1900) == pytest.approx(40)
    assert meter.per_s(40.0, 1900) == 0.0


def test_rates_are_told_while_it_runs(place):
    with Processor(place) as p:
        p.consumer("g")(lambda event: None)
        p.start()
        time.sleep(0.1)
        p.publish_many(["k"] * 100, [b""] * 100)
        assert p.drain(30)
        stats = p.stats()
        assert 10 < stats.accepted_per_s < 2000
        assert 10 < stats.groups["g"].handled_per_s < 2000


def test_what_is_given_back_is_delivered_again_uncharged_and_in_order(place):
    seen, over = [], threading.Event()
    with Processor(place, stream=Stream(partitions=4)) as p:

        @p.consumer("g", members=2)
        def handle(event):
            if len(seen) >= 10 and not over.is_set():
                p.ask_to_stop()
                time.sleep(0.05)
                raise GiveBack
            seen.append((event.key, event.seq, event.attempt))

        p.publish_many([f"key{i % 5}" for i in range(50)], [b""] * 50)
        p.run(until="idle", timeout_s=30)
        assert 10 <= len(seen) <= 11
        assert p.stats().groups["g"].retries == 0
        over.set()
        assert p.run(until="idle", timeout_s=30)
    assert sorted(seq for _, seq, _ in seen) == list(range(1, 51))
    assert {attempt for *_, attempt in seen} == {1}
    for key in range(5):
        seqs = [seq for name, seq, _ in seen if name == f"key{key}"]
        assert seqs == sorted(seqs)


def test_what_a_given_back_event_wrote_is_undone_and_what_came_before_is_kept(tmp_path):
    given = []
    with Processor(tmp_path / "e.db", stream=Stream(partitions=1)) as p:
        p.store._writer.connection.execute("CREATE TABLE effects (seq)")

        @p.consumer("g")
        def handle(event):
            event.transaction.execute("INSERT INTO effects VALUES (?)", (event.seq,))
            if event.seq == 3 and not given:
                given.append(event.seq)
                raise GiveBack

        p.publish_many(["k"] * 5, [b""] * 5)
        assert p.run(until="idle", timeout_s=30)
        rows = p.store._file.reader.execute("SELECT seq FROM effects ORDER BY rowid").fetchall()
        assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
        assert p.stats().groups["g"].retries == 0


def test_asyncio_gives_back(place):
    seen, given = [], []

    async def main():
        async with aio.Processor(place, stream=Stream(partitions=1)) as p:

            @p.consumer("g")
            async def handle(event):
                if event.seq == 3 and not given:
                    given.append(event.seq)
                    raise GiveBack
                seen.append((event.seq, event.attempt))

            await p.publish_many(["k"] * 5, [b""] * 5)
            assert await p.run(until="idle", timeout_s=30)

    asyncio.run(main())
    assert seen == [(seq, 1) for seq in range(1, 6)]


# --- codecs


@dataclass
class Order:
    """What payloads are."""

    user: str
    cents: int


@pytest.mark.parametrize("codec", ["json", "msgspec", MsgspecCodec(format="msgpack")])
def test_codecs_give_back_what_was_published(codec, place):
    seen = []
    value = {"a": [1, None, "ü"]}
    with Processor(place, codec=codec) as p:
        p.consumer("g")(lambda event: seen.append(event.payload))
        p.publish("k", value)
        p.publish_many(["k"], [value])
        p.run(until="idle", timeout_s=30)
    assert seen == [value, value]


def test_json_of_msgspec_is_that_of_the_standard_library():
    value = {"a": [1, None, "ü", True, 0.5]}
    assert MsgspecCodec().encode(value) == JsonCodec().encode(value)


def test_a_payload_that_does_not_fit_its_type_is_a_failed_attempt(place):
    seen = []
    with Processor(place) as p:
        p.publish("k", b'{"user":"a","cents":"many"}')
        p.publish("l", b'{"user":"a","cents":5}')
        with Processor(p.store, codec=MsgspecCodec(Order)) as typed:
            typed.consumer("g", retry=Retry(attempts=1))(lambda event: seen.append(event.payload))
            typed.run(until="idle", timeout_s=30)
            assert seen == [Order("a", 5)]
            (dead,) = typed.dead("g")
            assert dead.error.startswith("ValidationError: Expected `int`, got `str`")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Processor(codec="yaml"), rw.ArgumentTypeError),
        (lambda: Processor(codec=7), rw.ArgumentTypeError),
        (lambda: MsgspecCodec(format="yaml"), rw.ArgumentError),
    ],
)
def test_a_codec_that_is_none_is_refused(make, error):
    with pytest.raises(error):
        make()
