"""Threads and asyncio offer the same calls, with the same arguments."""

import asyncio
import inspect
from datetime import datetime

import pytest

import ringward as rw
from ringward.events import Processor, aio

OF_THREADS = {"wait_s"}  # a thread may wait for room
OF_ASYNCIO = {"concurrency"}


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(call):
    return [(each.name, each.kind, each.default) for each in inspect.signature(call).parameters.values()]


def test_both_have_the_same_calls():
    assert public(Processor) == public(aio.Processor)


@pytest.mark.parametrize("name", ["__init__", *sorted(public(Processor) - {"closed"})])
def test_both_take_the_same_arguments(name):
    threads, tasks = parameters(getattr(Processor, name)), parameters(getattr(aio.Processor, name))
    assert [each for each in threads if each[0] not in OF_THREADS] == [
        each for each in tasks if each[0] not in OF_ASYNCIO
    ]


def test_asyncio_reroutes_and_checks_and_says_what_runs():
    async def main():
        async with aio.Processor(producer="shop") as p:
            seen = []

            @p.consumer("g", members=["a", "b"])
            async def handler(event):
                seen.append(p.running())

            assert (p.producer, p.closed, p.running()) == ("shop", False, [])
            await p.reroute("g", rw.PrimaryBackup)
            await p.publish_many(["k", "l"], [b"", b""])
            assert await p.run(until="idle", stop_timeout_s=10)
            assert seen[0][0] == ("g", 1)
            router = rw.Snapshot.from_bytes(p.store.membership("g").router)
            assert router.strategy == "PrimaryBackup"
            assert await p.verify() == []
            assert await p.prune() == 0
        assert p.closed

    asyncio.run(main())


def test_a_reset_to_a_time_without_a_date_names_its_own_argument():
    with Processor() as p:
        p.consumer("g")(lambda _: None)
        with pytest.raises(rw.ArgumentError, match=r"^to must be a time that the platform knows"):
            p.reset("g", datetime.fromisoformat("0001-01-01"))
