"""An asyncio processor whose tasks somebody cancels: it says so, and what was with handlers is delivered again."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

import ringward as rw
from ringward.events import aio


def _others():
    return asyncio.all_tasks() - {asyncio.current_task()}


class _Work:
    """A processor with a handler that is slow until it is told otherwise."""

    def __init__(self, path, **options):
        self.p = aio.Processor(path)
        self.begun, self.done, self.slow = asyncio.Event(), [], True

        @self.p.consumer("g", **options)
        async def handle(event):
            self.begun.set()
            if self.slow:
                await asyncio.sleep(60)
            self.done.append(event.seq)

    async def at_work(self):
        """Let handlers be under way."""
        await self.p.publish_many(["a", "a", "b"], [b""] * 3)
        await asyncio.wait_for(self.begun.wait(), 10)

    async def all_done(self):
        """Whether all is handled, in order, by whoever starts it again."""
        self.slow = False
        assert await self.p.run(until="idle", timeout_s=20)
        assert sorted(self.done) == [1, 2, 3]
        assert self.done.index(1) < self.done.index(2)
        assert not await self.p.dead("g")
        assert (await self.p.health()).state == "stopped"
        await self.p.close()


def test_when_all_tasks_are_cancelled_the_processor_says_so_and_its_events_are_delivered_again(tmp_path, caplog):
    async def main():
        work = _Work(tmp_path / "store.db", members=2)
        p = work.p
        p.start()
        await work.at_work()
        assert (await p.health()).state == "ok"
        for task in _others():
            task.cancel()
        with pytest.raises(rw.CancelledTasksError, match="by somebody or by the end of their loop"):
            await p.drain(10)
        health = await p.health()
        assert health.state == "failed"
        assert "CancelledTasksError" in health.reasons[0].text
        assert [record.levelno for record in caplog.records if "tasks of the processor" in record.message] == [
            logging.ERROR
        ]
        caplog.clear()
        assert (await p.publish("a", b"")).seq == 4
        assert "events are stored, and not handled here" in caplog.text
        for _ in range(500):  # the members have left: others need not wait for their leases
            if not (await p.health()).groups["g"].members:
                break
            await asyncio.sleep(0.01)
        assert not (await p.health()).groups["g"].members
        assert await p.stop() is False
        work.slow = False
        p.start()
        assert await p.drain(20)
        assert sorted(work.done) == [1, 2, 3, 4]
        assert await p.stop()
        await p.close()

    asyncio.run(main())


@pytest.mark.parametrize("also_itself", [False, True])
def test_a_run_whose_tasks_are_cancelled_ends_with_why(tmp_path, also_itself):
    async def main():
        work = _Work(tmp_path / "store.db")
        runs = asyncio.create_task(work.p.run())
        await work.at_work()
        for task in _others() - (set() if also_itself else {runs}):
            task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError if also_itself else rw.CancelledTasksError):
            await runs
        assert time.monotonic() - began < 10  # nobody waits for handlers that are gone
        await work.all_done()

    asyncio.run(main())


def test_a_processor_that_its_block_leaves_cancelled_hides_no_error_of_the_block(tmp_path):
    async def main():
        async with aio.Processor(tmp_path / "store.db") as p:
            p.consumer("g")(lambda event: asyncio.sleep(60))
            p.start()
            await p.publish("a", b"")
            for task in _others():
                task.cancel()
            await asyncio.sleep(0.05)
            raise KeyError("of the block")

    with pytest.raises(KeyError, match="of the block"):
        asyncio.run(main())


def test_a_time_limit_around_run_stops_it_in_an_orderly_way(tmp_path):
    async def main():
        work = _Work(tmp_path / "store.db")
        work.slow = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await work.p.run()
        health = await work.p.health()
        assert (health.state, health.error) == ("stopped", None)
        await work.p.publish_many(["a", "a", "b"], [b""] * 3)
        await work.all_done()

    asyncio.run(main())


def test_a_group_of_tasks_that_fails_stops_the_processor_and_tells_its_own_error(tmp_path):
    async def main():
        work = _Work(tmp_path / "store.db")
        work.slow = False

        async def fails():
            await work.at_work()
            raise KeyError("another task")

        async def both():
            async with asyncio.TaskGroup() as group:
                group.create_task(work.p.run())
                group.create_task(fails())

        with pytest.raises(ExceptionGroup) as caught:
            await both()
        assert [type(error) for error in caught.value.exceptions] == [KeyError]
        await work.all_done()

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_whoever_cancels_a_run_again_and_again_ends_it_and_nothing_is_held(tmp_path, times):
    async def main():
        work = _Work(tmp_path / "store.db")
        runs = asyncio.create_task(work.p.run(timeout_s=None))
        await work.at_work()
        if times == 1:  # it waits for what is in flight
            work.slow = False
            for task in list(work.p._pool._handling):
                task.cancel()
        for _ in range(times):
            runs.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await runs
        assert time.monotonic() - began < 10
        await work.all_done()

    asyncio.run(main())


@pytest.mark.parametrize("call", ["next", "finish"])
def test_a_batch_that_a_thread_takes_while_its_task_is_cancelled_is_given_back(tmp_path, monkeypatch, call):
    async def main():
        work = _Work(tmp_path / "store.db", members=1, slow_s=10.0)  # however loaded the machine is
        work.slow = False
        driver = work.p._engine.consumers.of("g")
        late, taken = getattr(driver, call), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(*arguments, **options):
            batch = late(*arguments, **options)
            if batch is not None:
                loop.call_soon_threadsafe(taken.set)
                time.sleep(0.5)
            return batch

        monkeypatch.setattr(driver, call, slowly)
        keys = ["a", "b"] if call == "next" else ["a", "b", "a"]  # a batch has one of each key at first
        await work.p.publish_many(keys, [b""] * len(keys))
        work.p.start()
        await asyncio.wait_for(taken.wait(), 10)
        for task in _others():
            task.cancel()
        await asyncio.sleep(0.1)
        monkeypatch.undo()
        work.p.start()  # while that thread is still at it
        if call == "next":
            await work.p.publish("a", b"")
        assert await work.p.drain(20)
        assert {1, 2, 3} <= set(work.done)
        assert not [batch for batch in driver.group.batches if not batch.left_behind]
        assert (await work.p.health()).state == "ok"
        await work.p.close()

    asyncio.run(main())


def test_what_is_cancelled_again_and_again_leaves_nothing_behind(tmp_path):
    """Batches that were given up counted as handlers that hang, and after a few the members raised no lease."""

    async def main():
        work = _Work(tmp_path / "store.db", hung_handlers_max=1)
        for _ in range(4):
            work.begun.clear()
            work.p.start()
            await work.at_work()
            for task in _others():
                task.cancel()
            with pytest.raises(rw.CancelledTasksError):
                await work.p.drain(10)
        work.slow = False
        work.p.start()
        assert await work.p.drain(20)
        assert set(work.done) == set(range(1, 13))
        assert not work.p._engine.consumers.of("g").group.batches
        await work.p.close()

    asyncio.run(main())
