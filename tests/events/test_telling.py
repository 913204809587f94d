"""Interrupts where a group learns what was published, and threads that meet where one of them looks around."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import pytest
from events.stepwise import World
from waiting import until

from ringward.events import MemoryStore, Options, Processor, Stream
from ringward.events.core import dispatcher, fetcher, group, offset_tracker, owned_partition, work_queues
from ringward.events.engine import consumers, driver, tail
from ringward.events.engine.troubles import Troubles
from ringward.events.engine.worker_pool import WorkerPool, _Sleepers

CORE = (dispatcher, fetcher, group, offset_tracker, owned_partition, work_queues)
FILES = {module.__file__ for module in (*CORE, consumers, driver, tail)}


def interrupted(call, at, traced):
    """Call, with a Ctrl-C at that line of those that run in what is traced; whether there was one.

    It runs in a thread of its own: CPython goes on taking an exception for one that is being handled when a trace
    function raises in its `except`, and all later errors of the thread would have it for their context.
    """
    left = at
    outcome = []

    def trace(frame, event, _):
        nonlocal left
        if event == "call":
            return trace if traced(frame.f_code) else None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    def run():
        sys.settrace(trace)
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - told below
            outcome.append(error)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if outcome and not isinstance(outcome[0], KeyboardInterrupt):
        raise outcome[0]
    return bool(outcome)


def test_whatever_line_of_telling_is_interrupted_what_was_accepted_is_handled():
    # It moved the position of a partition, and was interrupted before the event was in a queue.
    handled, ends = set(), []
    with Processor(stream=Stream(partitions=8)) as p:
        p.consumer("g")(lambda event: handled.add(event.seq))
        p.start()
        p.publish("key", b"x")
        assert p.drain(timeout_s=30)
        while interrupted(lambda: p.publish("key", b"x"), len(ends), lambda code: code.co_filename in FILES):
            assert p.drain(timeout_s=30)
            ends.append(p.store.totals().tail)
        assert p.drain(timeout_s=30)
        assert ends
        assert handled == set(range(1, p.store.totals().tail + 1))


@pytest.mark.parametrize("told", [True, False])
def test_whatever_line_of_taking_in_is_interrupted_the_event_is_handled(told):
    # The position was moved first: what was interrupted then was never looked for again.
    store = MemoryStore(Stream(partitions=8))
    world = World(lambda: store)
    process = world.process(store)
    process.work()
    code, at, more = owned_partition.OwnedPartition.fetched.__code__, 0, True
    while more:
        receipts = store.append("p", [store.stream.entry("key", b"x", None, None)])
        if told:
            process.driver.appended([receipt[:2] for receipt in receipts], receipts.row)
        else:
            process.tick()
        more = interrupted(process.work, at, lambda traced: traced is code)
        process.tick()
        process.work()
        at += 1
        assert set(world.seqs()) == set(range(1, at + 1))
    assert at > 5


def test_what_is_published_while_nobody_looks_is_bounded_in_memory_and_handled():
    store = MemoryStore(Stream(partitions=8))
    world = World(lambda: store)
    process = world.process(store)
    process.work()
    for _ in range(10_000):
        receipts = store.append("p", [store.stream.entry("key", b"x", None, None)])
        process.driver.appended([receipt[:2] for receipt in receipts], receipts.row)
    assert len(process.driver.tail._appended) < 10_000
    process.tick()
    process.work()
    assert world.seqs() == list(range(1, 10_001))


def new_pool(failed):
    """A worker pool with a clock that stands still, and nothing else to do."""
    return WorkerPool(
        MemoryStore(), lambda: 0.0, Troubles(lambda: 0.0), upkeep=lambda _: None, failed=failed, abandon=lambda: None
    )


def test_whatever_line_of_rousing_is_interrupted_nobody_sleeps_on_for_ever():
    # A sleeper was taken off before it was let go on: then nobody found it again.
    at, more = 0, True
    while more:
        sleepers, awake = _Sleepers(), []
        threads = [
            threading.Thread(target=lambda s=sleepers, a=awake: (s.sleep(lambda: True, 10), a.append(1))) for _ in "ab"
        ]
        for number, thread in enumerate(threads, 1):
            thread.start()
            until(lambda s=sleepers, n=number: len(s._gates) >= n)
        more = interrupted(sleepers.rouse, at, lambda traced: traced is _Sleepers.rouse.__code__)
        sleepers.rouse()
        for thread in threads:
            thread.join(5)
        assert awake == [1, 1]
        at += 1
    assert at > 5


@pytest.fixture
def post():
    """A worker pool, and the post of its only group, which has no members here and so no threads of its own."""
    pool = new_pool(lambda error: None)
    one = SimpleNamespace(group=SimpleNamespace(name="g", options=Options(), batches={}))
    pool.add(one, None, 0)
    return pool, pool._posts["g"]


def test_slow_handlers_are_counted_while_workers_take_batches(post):
    pool, of = post
    batches = of.driver.group.batches

    class Busy:
        @property
        def slow(self):
            """Another thread takes a batch meanwhile."""
            batches[object()] = None
            return False

    batches[Busy()] = None
    pool._man(of)  # the dict had changed during iteration
    assert len(batches) == 2
    assert of.threads == set()


def test_threads_are_counted_while_one_of_them_is_surplus(post):
    pool, of = post
    gone = []
    surplus = threading.Thread(target=lambda: gone.append(pool._surplus(of)))

    class Thread:
        def is_alive(self):
            """Another thread of the post ends meanwhile."""
            surplus.start()
            surplus.join(0.2)
            return True

    left = Thread()
    of.threads = {left, surplus}
    pool._man(of)  # the set had changed during iteration
    surplus.join()
    assert gone == [True]
    assert of.threads == {left}


def test_a_surplus_thread_that_is_roused_rouses_another():
    # It ended without a look, and the event waited for the next tick.
    looks = []
    driver = SimpleNamespace(
        group=SimpleNamespace(
            name="g", batches=[SimpleNamespace(slow=1)], options=SimpleNamespace(hung_handlers_max=0)
        ),
        next=lambda _: looks.append(threading.current_thread()),
    )
    pool = new_pool(lambda error: pytest.fail(repr(error)))
    pool.add(driver, None, 1)
    post = pool._posts["g"]
    threads = [threading.Thread(target=pool._work, args=(post, pool._stopping), daemon=True) for _ in range(2)]
    post.threads.update(threads)
    for number, thread in enumerate(threads):
        thread.start()
        until(lambda n=number: len(post.idle._gates) > n)
    driver.group.batches.clear()
    looks.clear()
    pool.wake(1)
    threads[0].join(0.1)
    until(lambda: looks)
    assert looks[0] is threads[1]
    pool.stop(10)


def test_rounds_of_the_ticker_keep_no_worker_awake():
    # Each round was news to workers: a thousand of them were never through when the next one came.
    looks = []

    def look(_):
        looks.append(1)
        pool._notify()  # a round ends while the worker looks

    group = SimpleNamespace(name="g", batches=[], options=SimpleNamespace(hung_handlers_max=0))
    driver = SimpleNamespace(group=group, next=look)
    pool = new_pool(lambda error: pytest.fail(repr(error)))
    pool.add(driver, None, 1)
    post = pool._posts["g"]
    thread = threading.Thread(target=pool._work, args=(post, pool._stopping), daemon=True)
    post.threads.add(thread)
    thread.start()
    time.sleep(0.1)
    assert len(looks) == 1
    pool.stop(10)
