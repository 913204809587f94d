"""What a processor tells of itself when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from command import run, run_json

import ringward as rw
from ringward.events import Health, MemoryStore, Processor, Retry, SqliteStore, aio, health_of
from ringward.events.engine import troubles as troubles_module
from ringward.events.engine.reporting import health_within
from ringward.events.engine.troubles import Troubles, passes


def test_a_processor_without_consumers_is_well():
    with Processor() as p:
        p.publish("k", b"")
        assert p.health() == Health(groups={})


def test_consumers_that_do_not_run_are_said_to_be_stopped_and_what_waits_is_shown(make):
    with Processor(make()) as p:
        p.consumer("g")(lambda _: None)
        p.publish("k", b"x")
        health = p.health()
        assert health.state == "stopped"
        group = health.groups["g"]
        assert (group.lowest, group.members, group.unowned) == (1, (), 8)
        assert group.waiting_since_ms is not None
        assert "does not run" in health.reasons[0].text  # what the state is for comes first
        assert "8 partitions have no member" in health.reasons[1].text
        assert p.run(until="idle", timeout_s=30)
        assert p.health().groups["g"].lag_s == 0


def test_running_it_is_well_and_knows_its_dead_letters(tmp_path):
    with Processor(tmp_path / "store.db") as p:

        @p.consumer("g", members=["a", "b"], retry=Retry(attempts=1))
        def handle(event):
            raise ValueError(event.key)

        p.start()
        p.publish_many(["k", "k"], [b"", b""])
        assert p.drain(30)
        health = p.health()
        assert (health.state, health.reasons, health.store_failed) == ("ok", (), False)
        group = health.groups["g"]
        assert (group.dead, group.parked, group.members, group.unowned) == (1, 1, ("a", "b"), 0)
        assert health.committed_ms
        told = json.loads(json.dumps(health.to_dict()))
        assert told["groups"]["g"]["members"] == ["a", "b"]
        assert Health(**{**told, "reasons": (), "groups": {}}).state == "ok"
    assert p.health().state == "stopped"


def test_a_handler_that_hangs_degrades_it():
    over = threading.Event()
    with Processor() as p:
        p.consumer("g", handler_timeout_s=0.01, heartbeat_s=0.05, lease_s=0.2, hung_handlers_max=0)(
            lambda _: over.wait(10)
        )
        p.start()
        p.publish("k", b"")
        ended = threading.Event()
        for _ in range(500):
            if p.health().groups["g"].hung:
                break
            ended.wait(0.01)
        health = p.health()
        over.set()
    assert health.state == "degraded"
    assert "1 handlers hang" in str(health.reasons)


def test_a_store_that_failed_is_told_also_from_outside(tmp_path):
    with Processor(tmp_path / "store.db") as p:
        p.publish("k", b"")
        p.store._writer.condemned("the disk is on fire")
        health = p.health()
        assert (health.state, health.store_failed) == ("failed", True)
        assert "on fire" in health.reasons[0].text


def test_a_store_that_is_closed_is_told_and_nothing_is_raised(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    store.close()
    health = health_of(store)
    assert health.state == "failed"
    assert "StoreClosedError" in (health.error or "")
    assert health_of(MemoryStore()).state == "ok"


def test_in_asyncio_too():
    async def main():
        async with aio.Processor() as p:

            @p.consumer("g")
            async def handle(event):
                pass

            before = (await p.health()).state
            p.start()
            await p.publish("k", b"")
            assert await p.drain(30)
            during = (await p.health()).state
        return before, during, (await p.health()).state

    assert asyncio.run(main()) == ("stopped", "ok", "stopped")


class UntoldError(Exception):
    """An error whose text cannot be had."""

    def __str__(self):
        raise RuntimeError


def test_an_error_without_a_text_is_told_by_its_type():
    troubles = Troubles(lambda: 0.0)
    troubles.met("w", UntoldError())
    assert (
        "UntoldError"
        in health_within(MemoryStore(), closed=False, running=True, failure=None, troubles=troubles, groups={})
        .reasons[0]
        .text
    )


def test_what_was_over_for_a_moment_goes_on_waiting_longer():
    """A worker that had nothing to store and a ticker that had reset each other's waits: both tried 18 times a second."""
    troubles = Troubles(lambda: 0.0)
    waits = []
    for _ in range(4):
        waits.append(troubles.met("a worker", OSError(28, "full")))
        troubles.over("a worker")
        assert not troubles.now()
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4])
    troubles.clear()
    assert troubles.met("a worker", OSError(28, "full")) == pytest.approx(0.05)


def test_troubles_are_waited_for_longer_and_longer_and_are_forgotten_when_over(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(troubles_module, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock[0]))
    troubles = Troubles(lambda: 1 - 1e-9)
    waits = [round(troubles.met("w", OSError(24, "Too many open files")), 3) for _ in range(8)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert troubles.now()["w"].times == 8
    troubles.over("w")
    assert troubles.now() == {}
    clock[0] += 5.1  # it goes well for longer than the last wait
    assert round(troubles.met("w", OSError(24, "")), 3) == 0.1


@pytest.mark.parametrize(
    ("error", "does"),
    [
        (rw.BackpressureError("store", "free", "x"), True),
        (rw.StoreFullError("x"), True),
        (rw.StoreUnavailableError("x"), True),
        (rw.StoreFailedError("x"), False),
        (rw.StoreClosedError("x"), False),
        (OSError(24, "Too many open files"), True),
        (OSError(5, "Input/output error"), True),
        (PermissionError(13, "Permission denied"), False),
        (MemoryError(), True),
        (AttributeError("a bug"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_may_pass_is_told_from_what_does_not(error, does):
    assert passes(error) is does


def told(p, wanted):
    """The reasons of a processor's health, once they hold a text."""
    for _ in range(500):
        reasons = [reason.text for reason in p.health().reasons]
        if any(wanted in text for text in reasons):
            break
        time.sleep(0.01)
    return reasons


@pytest.mark.parametrize("own", [True, False])
def test_a_group_that_is_deleted_stops_no_other(tmp_path, caplog, own):
    path, handled = tmp_path / "store.db", {"a": queue.Queue(), "b": queue.Queue()}
    with Processor(path) as p, closing(SqliteStore(path)) as other:
        store = p.store if own else other
        for group, seqs in handled.items():
            p.consumer(group, members=2)(lambda event, seqs=seqs: seqs.put(event.seq))
        p.start()
        p.publish("k", b"")
        assert [seqs.get(timeout=5) for seqs in handled.values()] == [1, 1]
        store.delete_group("a")
        assert told(p, "deleted") == ["group a was deleted: its consumer has nothing to do"]
        p.publish("k", b"")
        assert handled["b"].get(timeout=5) == 2
        assert p.drain(5)
        assert (p.health().state, handled["a"].empty()) == ("degraded", True)
        assert [r.getMessage() for r in caplog.records if r.event == "group_deleted"] == [
            "group a was deleted: its consumer has nothing to do"
        ]
        store.open_group("a", 1)
        assert handled["a"].get(timeout=5) == 2
        assert p.drain(5)
        assert p.health().state == "ok"
        store.delete_group("a")
    assert p.closed


def test_a_group_that_is_deleted_in_asyncio_stops_no_other():
    async def main():
        async with aio.Processor() as p:
            handled = asyncio.Queue()

            @p.consumer("a")
            async def idle(event):
                pass

            @p.consumer("b")
            async def handle(event):
                handled.put_nowait(event.seq)

            p.start()
            await p.publish("k", b"")
            assert await asyncio.wait_for(handled.get(), 5) == 1
            p._engine.store.delete_group("a")
            await p.publish("k", b"")
            assert await asyncio.wait_for(handled.get(), 5) == 2
            assert await p.drain(5)
            return await p.health()

    assert [reason.text for reason in asyncio.run(main()).reasons] == [
        "group a was deleted: its consumer has nothing to do"
    ]


def test_a_clock_that_is_not_believed_is_said(tmp_path):
    """The log alone said it, once."""
    off = [0.0]
    path = tmp_path / "store.db"
    with Processor(SqliteStore(path, clock=lambda: time.time() + off[0])) as p:
        p.publish("k", b"")
        assert (p.health().state, p.health().clock) == ("ok", ())
        off[0] = 3650 * 86_400.0
        for _ in range(2):  # as long as it is so
            health = p.health()
            assert health.state == "degraded"
            assert "the clock has jumped ahead by 315,36" in health.reasons[0].text
            assert health.clock == (health.reasons[0].text,)
        off[0] = 0.0
        assert p.health().state == "ok"
        off[0] = -30 * 365 * 86_400.0
        assert "before 2025: it is not set" in str(p.health().reasons)
    assert Health(**{**json.loads(json.dumps(health.to_dict())), "reasons": ()}).clock


def test_stamps_that_contradict_the_clock_are_said_and_then_what_is_allowed_for(tmp_path):
    path = tmp_path / "store.db"
    with Processor(SqliteStore(path, clock=lambda: time.time() + 3650 * 86_400)) as p:
        p.publish("k", b"")
    from_outside = run("events", "health", str(path), code=1, silent=True)
    assert "the clock contradicts the stamps of the log" in from_outside
    with Processor(path) as p:
        assert p.health().state == "ok"
        assert "time stamps are 3,650.0 days ahead" in p.health().clock[0]
    from_outside = run("events", "health", str(path))
    assert "time stamps are 3,650.0 days ahead" in from_outside
    assert run_json("events", "health", str(path))["clock"]
