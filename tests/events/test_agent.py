"""The agent, where a ticker and a worker meet."""

from __future__ import annotations

import random
import threading
from collections import deque

from ringward.events import MemoryStore, Options
from ringward.events.agent import Agent
from ringward.events.group import Group


def test_a_worker_that_finishes_while_the_ticker_reports_waits_for_it():
    # Both took outcomes off without the lock: one popped what the other had taken.
    store = MemoryStore()
    store.open_group("g", 0)
    group = Group("g", store.process, store.stream.middles(), Options(), chance=random.random, durable=False)
    group.members.join_unnamed(1)
    agent = Agent(store, group)
    agent.tick(0.0)
    agent.appended([r[:2] for r in store.append("p", [store.stream.entry("k", b"", None, None)] * 10)])
    batch = agent.next(0.0)
    worker = threading.Thread(target=agent.finish, args=(batch, 0.0))

    class Outcomes(deque):
        def popleft(self):
            if worker.ident is None:
                worker.start()
                worker.join(0.2)
            return super().popleft()

    batch.done = Outcomes(row for row, _ in batch.left_to_run())
    agent.report(batch, 0.0)
    worker.join()
    assert group.handled_count == 10
    assert agent.next(0.0) is None
    assert group.quiet
