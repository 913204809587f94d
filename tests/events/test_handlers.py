"""Handlers that are not what they should be: of the wrong kind, raising anything, calling what waits for them."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from unittest import mock

import pytest

import ringward as rw
from ringward.events import Hooks, Processor, Retry, aio
from ringward.events.engine.callables import check_coroutine_handler, check_handler, never_ran

TWICE = Retry(attempts=2, base_s=0.001)


async def until(so):
    """Wait until something is so."""
    while not so():  # noqa: ASYNC110 - other loops and threads make it so
        await asyncio.sleep(0.005)


async def coroutine(event):
    """Do nothing."""


def plain(event):
    """Do nothing."""


def generator(event):
    """Yield."""
    yield event


async def agenerator(event):
    """Yield."""
    yield event


class Calls:
    """Callable in all ways."""

    async def __call__(self, event):
        """Do nothing."""

    async def method(self, event):
        """Do nothing."""

    @staticmethod
    async def static(event):
        """Do nothing."""

    @classmethod
    async def of_class(cls, event):
        """Do nothing."""

    def generates(self, event):
        """Yield."""
        yield event


class CallsPartial:
    """Its `__call__` is made of a coroutine function."""

    __call__ = functools.partialmethod(Calls.method)


def needs_more(event, other):
    """Take two."""


def takes_none():
    """Take nothing."""


def takes_keyword(*, event):
    """Take nothing by position."""


COROUTINES = [
    coroutine,
    functools.partial(coroutine),
    functools.partial(functools.partial(coroutine)),
    Calls(),
    Calls().method,
    Calls.static,
    Calls.of_class,
    functools.partial(Calls().method),
    functools.partial(Calls()),
    mock.AsyncMock(),
]
NEITHER = [
    generator,
    agenerator,
    functools.partial(generator),
    Calls().generates,
    Calls,
    dict,
    needs_more,
    takes_none,
    takes_keyword,
    functools.partial(needs_more, 1, 2),
    None,
    7,
    "module:function",
]


@pytest.mark.parametrize("handler", [*COROUTINES, *NEITHER])
def test_a_handler_that_a_thread_cannot_run_is_refused_at_registration(handler):
    """They were called, and what they returned was thrown away: acknowledged, and never run."""
    with Processor() as p:
        with pytest.raises(rw.ArgumentTypeError, match="handler must be"):
            p.consumer("g")(handler)
        assert p.stats().groups == {}


@pytest.mark.parametrize("handler", [*NEITHER, plain, functools.partial(plain)])
def test_a_handler_that_asyncio_cannot_run_is_refused_at_registration(handler):
    async def main():
        async with aio.Processor() as p:
            with pytest.raises(rw.ArgumentTypeError, match="handler must be"):
                p.consumer("g")(handler)
            assert (await p.stats()).groups == {}

    asyncio.run(main())


def wrapped(function):
    """Say what it is by its `__wrapped__`."""

    @functools.wraps(function)
    def call(event):
        return function(event)

    return call


def says(event) -> asyncio.Future[None]:
    """Say by its type that it gives something to await."""
    return asyncio.get_running_loop().create_task(coroutine(event))


def test_what_may_be_right_is_let_through():
    for handler in (
        plain,
        print,
        len,
        [].append,
        lambda event: event,
        mock.Mock(),
        mock.MagicMock(),
        wrapped(coroutine),
    ):
        check_handler(handler)
    for handler in (*COROUTINES, wrapped(coroutine), says, lambda event: coroutine([event])):
        check_coroutine_handler(handler)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: coroutine(None), "a coroutine that nobody awaited"),
        (lambda: generator(None), "a generator that nobody iterated"),
        (lambda: agenerator(None), "an asynchronous iterator"),
        (lambda: map(str, [1]), "an iterator that nobody iterated"),
        (Future, "a future that nobody waited for"),
        (lambda: contextmanager(generator)(None), "a context manager that nobody entered"),
        (lambda: asynccontextmanager(agenerator)(None), "a context manager that nobody entered"),
        (lambda: lambda event: event, "a function that nobody called"),
        (lambda: partial(print, "event"), "a function that nobody called"),
        (lambda: threading.Thread(target=print), "a thread that nobody started"),
        (lambda: [1, coroutine(None)], "a list with a coroutine that nobody awaited"),
        (lambda: (coroutine(None),), "a tuple with a coroutine that nobody awaited"),
        (lambda: {"a": coroutine(None), "b": coroutine(None)}, "a dict with a coroutine that nobody awaited"),
        (lambda: [Future()], "a list with a future that nobody waited for"),
    ],
)
def test_a_result_that_shows_that_nothing_ran_is_a_failed_attempt(make, text):
    with warnings.catch_warnings(), Processor() as p:
        warnings.simplefilter("error")

        @p.consumer("g", retry=TWICE)
        def handle(event):
            return make() if event.key == "bad" else [event.seq]

        p.publish_many(["bad", "good"], [b"", b""])
        assert p.run(until="idle", timeout_s=30)
        (dead,) = p.dead("g")
        assert dead.key == "bad"
        assert dead.error.startswith(f"the handler returned {text}")
        assert p.stats().groups["g"].handled == 1


def test_results_of_handlers_that_ran_are_ignored(tmp_path):
    import sqlite3  # noqa: PLC0415 - its cursors are iterators

    ended = Future()
    ended.set_result(1)
    with closing(sqlite3.connect(":memory:")) as base, (tmp_path / "file").open("w+") as file:
        cursor = base.execute("SELECT 1")
        for result in (
            None,
            0,
            "text",
            b"",
            [],
            {},
            (),
            object(),
            mock.Mock(),
            mock.MagicMock(),
            cursor,
            file,
            range(3),
            [ended, [coroutine], object(), mock.Mock()],
            {"a": 1, "b": ended},
            ended,
        ):
            assert never_ran(result) is None


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: coroutine(None), "a coroutine that nobody awaited: await it"),
        (lambda: agenerator(None), "an asynchronous iterator that nobody iterated"),
        (lambda: asyncio.to_thread(print), "a coroutine that nobody awaited: await it"),
        (lambda: asyncio.get_running_loop().create_future(), "a future that nobody waited for"),
        (lambda: asyncio.gather(asyncio.sleep(60)), "a future that nobody waited for"),
        (lambda: [coroutine(None), coroutine(None)], "a list with a coroutine that nobody awaited: await it"),
        (lambda: {"a": asyncio.create_task(asyncio.sleep(60))}, "a dict with a future that nobody waited for"),
        (lambda: asynccontextmanager(agenerator)(None), "a context manager that nobody entered"),
        (lambda: generator(None), "a generator that nobody iterated"),
    ],
)
def test_in_asyncio_a_forgotten_await_is_a_failed_attempt(make, text):
    async def main():
        async with aio.Processor() as p:

            @p.consumer("g", retry=Retry(attempts=1))
            async def handle(event):
                if event.key == "bad":
                    return make()
                return [
                    await asyncio.gather(asyncio.sleep(0, event.seq)),
                    await asyncio.wait([asyncio.create_task(coroutine(0))]),
                ]

            await p.publish_many(["bad", "good"], [b"", b""])
            assert await p.run(until="idle", timeout_s=30)
            (dead,) = await p.dead("g")
            assert dead.key == "bad"
            assert dead.error.startswith(f"the handler returned {text}")
            assert (await p.stats()).groups["g"].handled == 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_hooks_do_not_hide_what_a_handler_returned():
    with Processor(hooks=Hidden()) as p:
        p.consumer("g", retry=TWICE)(lambda event: coroutine([event]))
        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=30)
        assert "nobody awaited" in p.dead("g")[0].error


class Hidden(Hooks):
    """Only there to stand around."""


def test_in_asyncio_a_handler_that_never_gives_an_awaitable_stops_the_processor_and_loses_nothing():
    """Each attempt had its effect and failed."""
    seen = []

    async def main():
        async with aio.Processor() as p:
            p.consumer("g", retry=TWICE)(lambda event: seen.append(event.seq))
            await p.publish_many(["key"] * 50, [b""] * 50)
            with pytest.raises(rw.ArgumentTypeError, match="the handler of group g must be a coroutine function"):
                await p.run(until="idle", timeout_s=30)
            assert await p.dead("g") == []
            assert sum((await p.stats()).groups["g"].lag.values()) == 50

    with pytest.raises(rw.ArgumentTypeError):
        asyncio.run(main())
    assert seen == [1]


def test_in_asyncio_one_result_that_is_no_awaitable_is_a_failed_attempt():
    async def main():
        async with aio.Processor() as p:
            p.consumer("g", retry=TWICE)(lambda event: coroutine(event) if event.key == "good" else None)
            await p.publish("good", b"")
            assert await p.run(until="idle", timeout_s=30)
            await p.publish("bad", b"")
            assert await p.run(until="idle", timeout_s=30)
            return [(d.key, d.error) for d in await p.dead("g")]

    assert asyncio.run(main()) == [("bad", "the handler returned NoneType, which cannot be awaited")]


# --- whatever it raises


class SilentError(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError("no text for you")

    __repr__ = __str__


class MistypedError(Exception):
    """Its text is none."""

    def __str__(self):
        return 7  # noqa: PLE0307 - that is what is wrong with it


class Bare(BaseException):
    """Not an Exception."""


def in_a_circle():
    """An error that is its own cause's cause."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


RAISED = {
    "silent": (SilentError, "SilentError: (its text raises RuntimeError)"),
    "mistyped": (MistypedError, "MistypedError: (its text raises TypeError)"),
    "bare": (lambda: Bare("x"), "Bare: x"),
    "generator exit": (GeneratorExit, "GeneratorExit: "),
    "exit": (lambda: SystemExit(3), "SystemExit: 3"),
    "interrupt": (KeyboardInterrupt, "KeyboardInterrupt: "),
    "cancelled": (asyncio.CancelledError, "CancelledError: "),
    "surrogate": (lambda: ValueError("caf\udce9"), "ValueError: caf\\udce9"),
    "nul": (lambda: ValueError("a\0b"), "ValueError: a\\x00b"),
    "escape": (lambda: ValueError("\x1b[2J\u202e"), "ValueError: \\x1b[2J\\u202e"),
    "huge": (lambda: ValueError("x" * 5_000_000), "ValueError: xxxxx"),
    "circle": (in_a_circle, "ValueError: first"),
    "group": (lambda: ExceptionGroup("many", [ValueError(n) for n in range(5000)]), "ExceptionGroup: many (5000 sub"),
    "name": (type("\x1b[31m", (Exception,), {}), "\\x1b[31m: "),
    "recursion": (RecursionError, "RecursionError: "),
    "memory": (MemoryError, "MemoryError: "),
    "stop": (lambda: StopAsyncIteration(1), "StopAsyncIteration: 1"),
    "stale": (lambda: rw.StaleEpochError(1, 2, 3), "StaleEpochError: token"),
    "transaction": (lambda: rw.TransactionError("of another file"), "TransactionError: of another"),
    "full": (lambda: rw.StoreFullError("another disk"), "StoreFullError: another disk"),
    "failed": (lambda: rw.StoreFailedError("another store"), "StoreFailedError: another store"),
    "closed": (lambda: rw.StoreClosedError("another store"), "StoreClosedError: another store"),
}


class Shaky(logging.Handler):
    """Formats, and raises."""

    def emit(self, record):
        """Fail."""
        logging.Formatter().format(record)
        raise RuntimeError("no disk for logs")


@pytest.fixture
def _shaky_logging():
    logger, handler = logging.getLogger("ringward.events"), Shaky()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.usefixtures("_shaky_logging")
def test_whatever_a_handler_raises_ends_in_the_dead_letter_queue(name, tmp_path):
    """Some texts stopped the processor, some errors were delivered for ever and never counted."""
    make, text = RAISED[name]
    seen = []
    with Processor(tmp_path / "events.db", hooks=Hidden()) as p:

        @p.consumer("g", retry=TWICE)
        def handle(event):
            seen.append(event.key)
            if event.key == "bad":
                raise make()

        p.publish_many(["a", "bad", "b"], [b""] * 3)
        assert p.run(until="idle", timeout_s=30)
        (dead,) = p.dead("g")
        assert (dead.key, dead.attempts) == ("bad", 2)
        assert dead.error.startswith(text)
        assert len(dead.error.encode()) <= 2100
    assert sorted(seen) == ["a", "b", "bad", "bad"]


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.usefixtures("_shaky_logging")
def test_whatever_a_coroutine_raises_ends_in_the_dead_letter_queue(name):
    """A GeneratorExit was delivered 5,301 times in 6 s and never counted."""
    make, text = RAISED[name]
    seen = []

    async def main():
        async with aio.Processor(hooks=Hidden()) as p:

            @p.consumer("g", retry=TWICE)
            async def handle(event):
                seen.append(event.key)
                if event.key == "bad":
                    raise make()

            await p.publish_many(["a", "bad", "b"], [b""] * 3)
            assert await p.run(until="idle", timeout_s=30)
            return await p.dead("g")

    (dead,) = asyncio.run(main())
    assert (dead.key, dead.attempts) == ("bad", 2)
    assert dead.error.startswith(text)
    assert sorted(seen) == ["a", "b", "bad", "bad"]


def test_a_coroutine_that_cancels_its_own_task_is_a_failed_attempt():
    async def main():
        async with aio.Processor() as p:

            @p.consumer("g", retry=TWICE)
            async def handle(event):
                if event.key == "bad":
                    asyncio.current_task().cancel()
                    await asyncio.sleep(60)

            await p.publish_many(["a", "bad", "b"], [b""] * 3)
            assert await p.run(until="idle", timeout_s=30)
            return [(d.key, d.attempts) for d in await p.dead("g")]

    assert asyncio.run(main()) == [("bad", 2)]


def test_a_coroutine_that_stop_cancels_is_charged_with_nothing(tmp_path):
    begun = []

    async def main():
        async with aio.Processor(tmp_path / "events.db") as p:

            @p.consumer("g", retry=TWICE)
            async def handle(event):
                begun.append(event.attempt)
                if len(begun) < 4:
                    await asyncio.sleep(60)

            await p.publish("slow", b"")
            for times in (1, 2, 3):
                p.start()
                await until(lambda: len(begun) == times)  # noqa: B023
                assert not await p.stop(timeout_s=0)
            assert await p.run(until="idle", timeout_s=30)
            return await p.dead("g")

    assert asyncio.run(main()) == []


def test_an_error_of_another_thing_that_looks_like_a_lost_turn_is_counted(tmp_path):
    """A stale token of another system was taken for the write transaction's own: delivered for ever."""
    seen = []
    with Processor(tmp_path / "events.db") as p:

        @p.consumer("g", retry=TWICE)
        def handle(event):
            seen.append(event.attempt)
            event.transaction.execute("SELECT 1")
            raise rw.StaleEpochError(1, 2, 3)

        p.publish("key", b"")
        assert p.run(until="idle", timeout_s=30)
        assert p.stats().groups["g"].dead == 1
    assert seen == [1, 2]


# --- what waits for handlers, called inside


@pytest.mark.parametrize("call", ["stop", "close", "drain", "run", "start", "__exit__"])
def test_what_waits_for_handlers_is_refused_inside_one(call):
    """It waited 30 s for itself."""
    told = []
    with Processor() as p:

        @p.consumer("g")
        def handle(event):
            try:
                getattr(p, call)(*([None] * 3 if call == "__exit__" else []))
            except rw.InsideHandlerError as error:
                told.append(str(error))
            p.ask_to_stop()

        p.publish("key", b"")
        assert p.run(timeout_s=20)
        assert "ask_to_stop" in told[0]
        assert p.stats().groups["g"].lag == {}


@pytest.mark.parametrize("call", ["stop", "close", "drain", "run", "start"])
@pytest.mark.parametrize("task", [False, True])
def test_what_waits_for_coroutines_is_refused_inside_one(call, task):
    told = []

    async def main():
        async with aio.Processor() as p:

            @p.consumer("g")
            async def handle(event):
                async def inside():
                    if (waits := getattr(p, call)()) is not None:
                        await waits

                try:
                    await (asyncio.create_task(inside()) if task else inside())
                except rw.InsideHandlerError as error:
                    told.append(str(error))
                p.ask_to_stop()

            await p.publish("key", b"")
            assert await p.run(timeout_s=20)
            assert "ask_to_stop" in told[0]
            assert (await p.stats()).groups["g"].lag == {}

    asyncio.run(main())


@pytest.mark.parametrize("call", ["stop", "close", "drain", "run", "start"])
def test_what_waits_for_threads_is_refused_inside_a_hook(call):
    told = []

    class Ends(Hooks):
        processor = None

        def claimed(self, _told):
            try:
                getattr(self.processor, call)()
            except rw.InsideHandlerError as error:
                told.append(error.call)

    hooks = Ends()
    with Processor(hooks=hooks) as p:
        hooks.processor = p
        p.consumer("g")(plain)
        p.publish("key", b"")
        assert p.run(until="idle", timeout_s=20)
        assert set(told) == {call}


def test_another_processor_may_be_stopped_inside_a_handler():
    with Processor() as p, Processor() as other:
        other.consumer("g")(plain)
        other.start()
        p.consumer("g")(lambda _: other.stop())
        p.publish("key", b"")
        assert p.run(until="idle", timeout_s=20)
        assert p.dead("g") == []


# --- loops


def test_a_processor_runs_in_one_loop_after_the_other():
    """Its event belonged to the first loop."""
    p, done = aio.Processor(), []

    @p.consumer("g", members=2)
    async def handle(event):
        done.append(event.seq)

    async def once():
        await p.publish("key", b"")
        return await p.run(until="idle", timeout_s=10)

    assert [asyncio.run(once()) for _ in range(3)] == [True] * 3
    assert done == [1, 2, 3]
    asyncio.run(p.close())


def test_what_a_loop_left_behind_is_delivered_in_the_next():
    p, begun = aio.Processor(), []

    @p.consumer("g", retry=TWICE)
    async def handle(event):
        begun.append(event.attempt)
        if len(begun) < 4:
            await asyncio.sleep(60)

    async def left(times):
        p.start()
        await until(lambda: len(begun) == times)

    async def whole():
        assert await p.run(until="idle", timeout_s=10)
        return await p.dead("g")

    asyncio.run(p.publish("key", b""))
    for times in (1, 2, 3):
        asyncio.run(left(times))
    assert asyncio.run(whole()) == []
    asyncio.run(p.close())


def test_a_processor_that_runs_in_another_loop_says_so_and_takes_events_from_there():
    p, done, asked = aio.Processor(), [], threading.Event()
    ready = threading.Event()

    @p.consumer("g")
    async def handle(event):
        done.append(event.seq)

    async def runs():
        p.start()
        ready.set()
        await until(asked.is_set)
        await p.drain()
        await p.stop()

    async def other():
        with pytest.raises(rw.LoopError, match="another asyncio loop"):
            p.start()
        with pytest.raises(rw.LoopError):
            await p.run(until="idle")
        with pytest.raises(rw.LoopError):
            await p.stop()
        await p.publish("key", b"")

    thread = threading.Thread(target=asyncio.run, args=(runs(),))
    thread.start()
    assert ready.wait(10)
    asyncio.run(other())
    asked.set()
    thread.join(10)
    assert done == [1]
    asyncio.run(p.close())


# --- the end of a processor in asyncio


def test_in_asyncio_a_stop_ends_in_time_also_with_a_handler_that_takes_no_cancelling():
    async def main():
        p, begun, go, seen = aio.Processor(), asyncio.Event(), asyncio.Event(), []

        @p.consumer("g")
        async def handle(event):
            begun.set()
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    continue
            seen.append(event.seq)

        await p.publish_many(["key"] * 3, [b""] * 3)
        p.start()
        await begun.wait()
        before = time.monotonic()
        assert not await p.stop(timeout_s=0.1)
        assert time.monotonic() - before < 5
        assert not await p.stop()  # it is left behind
        go.set()
        for _ in range(100):
            await asyncio.sleep(0.005)
            if await p.stop():
                break
        assert await p.stop()
        assert seen == [1]  # it has begun no other
        assert await p.run(until="idle", timeout_s=30)
        assert seen == [1, 1, 2, 3]
        await p.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_in_asyncio_what_is_closed_says_so_and_can_be_closed_again():
    async def main():
        p = aio.Processor()
        p.consumer("g")(coroutine)
        await p.publish("key", b"")
        await asyncio.gather(p.close(), p.close())
        await p.close()
        calls = [p.stats, partial(p.publish, "key", b""), partial(p.dead, "g"), partial(p.redrive, "g"), p.run, p.drain]
        for call in calls:
            with pytest.raises(rw.StoreClosedError):
                await call()
        with pytest.raises(rw.StoreClosedError):
            p.start()
        assert await p.stop()
        assert (await p.health()).state == "stopped"

    asyncio.run(main())


def test_in_asyncio_nobody_waits_for_a_processor_that_does_not_run():
    p = aio.Processor()
    p.consumer("g")(coroutine)

    async def refused():
        await p.publish("key", b"")
        with pytest.raises(rw.ArgumentError, match="drain must be called while the processor runs"):
            await p.drain(5)

    async def left():
        p.start()

    async def stopped():
        with pytest.raises(rw.CancelledTasksError, match="by the end of their loop"):
            await p.drain(5)
        p.consumer("hangs")(lambda event: asyncio.sleep(60))
        p.start()
        waits = asyncio.create_task(p.drain())
        runs = asyncio.create_task(p.run())
        await asyncio.sleep(0.05)
        await p.stop(0.05)
        for task in (waits, runs):
            with pytest.raises(rw.StoreClosedError, match="was stopped"):
                await asyncio.wait_for(task, 10)
        await p.close()

    asyncio.run(refused())
    asyncio.run(left())  # the loop is over, and nobody has stopped it
    asyncio.run(stopped())


@pytest.mark.parametrize("wait_s", [0.0, 0.4])
def test_in_asyncio_a_stop_leaves_no_error_that_nobody_took(wait_s):
    told = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        begun = asyncio.Event()
        p = aio.Processor()

        @p.consumer("g")
        async def handle(event):
            begun.set()
            await asyncio.sleep(60)

        await p.publish_many(["a", "b"], [b""] * 2)
        p.start()
        await begun.wait()
        await asyncio.sleep(wait_s)  # then it is slow
        await p.stop(timeout_s=0.01)
        await p.close()
        del p
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert told == []


# --- events


def test_nothing_of_an_event_can_be_changed_by_its_handler():
    with Processor() as p:

        @p.consumer("g", retry=TWICE)
        def handle(event):
            event.headers["a"] = "changed"
            with pytest.raises(AttributeError):
                event.seq = 7
            with pytest.raises(TypeError):
                event[0] = 7
            assert event.headers == {"a": "b"}

        p.publish("key", b"", headers={"a": "b"})
        assert p.run(until="idle", timeout_s=30)
        assert p.dead("g") == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction")
def test_a_function_that_is_marked_as_a_coroutine_function_is_one():
    import inspect  # noqa: PLC0415 - one name of it, of newer versions

    in_flight = inspect.markcoroutinefunction(lambda event: coroutine([event]))
    check_coroutine_handler(in_flight)
    with pytest.raises(rw.ArgumentTypeError):
        check_handler(in_flight)


def test_a_stop_may_wait_for_longer_than_the_platform_can():
    """It was an OverflowError of the platform."""
    with Processor() as p:
        p.consumer("g")(lambda event: None)
        p.start()
        assert p.stop(timeout_s=1e30)
