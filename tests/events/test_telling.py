"""Interrupts where a group learns what was published."""

from __future__ import annotations

import sys

import pytest
from events.world import World

from ringward.events import MemoryStore, Processor, Stream, agent, group, holding, intake

FILES = {module.__file__ for module in (agent, group, holding, intake)}


def interrupted(call, at, traced):
    """Call, with a Ctrl-C at that line of those that this thread runs in what is traced; whether there was one."""
    left = at

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

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


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
    code, at, more = holding.Holding.fetched.__code__, 0, True
    while more:
        receipts = store.append("p", [store.stream.entry("key", b"x", None, None)])
        if told:
            process.agent.appended([receipt[:2] for receipt in receipts], receipts.row)
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
        process.agent.appended([receipt[:2] for receipt in receipts], receipts.row)
    assert len(process.agent._told) < 10_000
    process.tick()
    process.work()
    assert world.seqs() == list(range(1, 10_001))
