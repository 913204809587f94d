"""Stores to test: each test that takes `make` runs on all of them."""

from __future__ import annotations

import pytest
from events.stores_under_test import STORES

from ringward.events import Stream


class Clock:
    """A clock that stands still until it is told."""

    now = 1_000_000.0

    def __call__(self):
        """Tell the time."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=sorted(STORES))
def make(request, tmp_path, clock):
    """A function that makes a store; where they are `shared`, one that opens the same again and again."""
    opened = []
    maker, shared = STORES[request.param]
    open_store = maker(tmp_path)

    def made(stream=None, **options):
        stream = stream or Stream(partitions=8)
        options = {"clock": clock, "now": clock, **options}
        store = open_store(stream, **options)
        opened.append(store)
        return store

    made.shared = shared
    yield made
    for store in opened:
        store.close()


@pytest.fixture
def prune():
    """A function that sets what a store keeps, and prunes."""

    def pruned(store, keep, limit):
        store.configure(retention=keep)
        return store.prune(limit)

    return pruned


@pytest.fixture
def store(make):
    return make()
