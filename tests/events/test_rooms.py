"""What the rooms of the event processor promise of themselves."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from events.apart import Apart, Kept

import ringward as rw
from ringward.events import MemoryStore, Processor, Retry, SqliteStore, Stream, aio

EVENTS = Path(rw.__file__).parent / "events"
PURE = {
    *("__future__", "collections", "collections.abc", "dataclasses", "functools", "heapq", "itertools", "operator"),
    *("numpy", "numpy.typing", "typing", "zlib"),
    *("ringward.checks", "ringward.cluster", "ringward.errors", "ringward.placement", "ringward.router"),
    "ringward.snapshot",
}
DOES_SOMETHING = {"open", "print", "input", "exec", "eval", "__import__"}


def imported(tree):
    """The modules that a module imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            yield node.module


@pytest.mark.parametrize("path", sorted((EVENTS / "core").glob("*.py")), ids=lambda path: path.stem)
def test_the_state_machines_can_neither_read_a_clock_nor_do_io(path):
    """Time, randomness and what is stored are arguments: so a simulation drives the code that threads run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    rooms = ("ringward.events.core.", "ringward.events.model.")
    assert {name for name in imported(tree) if name not in PURE and not name.startswith(rooms)} == set()
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & DOES_SOMETHING


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """A store, and the lock that nobody may have who asks it."""
    stream = Stream(partitions=8)
    made = MemoryStore(stream) if request.param == "memory" else SqliteStore(tmp_path / "e.db", stream)
    yield Apart(made, Kept())
    made.close()


def fails(event):
    if event.key == "bad":
        raise ValueError("never")


def ways(p):
    """What a user can ask of a processor of either face, but for consumers."""
    yield lambda: p.publish_many(["a", "bad", "b"], [b""] * 3)
    yield lambda: p.run(until="idle", timeout_s=30)
    yield p.stats
    yield p.health
    yield lambda: p.dead("g")
    yield lambda: p.redrive("g")
    yield lambda: p.run(until="idle", timeout_s=30)
    yield lambda: p.drop("g", [2])
    yield lambda: p.reset("g", "beginning")
    yield lambda: p.run(until="idle", timeout_s=30)
    yield p.close


def check(store):
    """Nobody asked who had the lock; and all were asked."""
    assert store.broken == set()
    calls = {"append", "open_group", "membership", "change_membership", "claim", "settle", "heads", "redrive", "reset"}
    assert calls <= store.asked


def test_threads_never_ask_the_store_with_the_lock_that_all_groups_share(store):
    """Registration, another router, the ticker, workers, what users ask for, and the end."""
    p = Processor(store)
    p._engine.consumers.lock = store._lock
    for group in ("g", "h"):
        p.consumer(group, members=2, retry=Retry(attempts=1))(fails)
    p.reroute("g", rw.HashRing)
    for way in ways(p):
        way()
    check(store)


def test_tasks_never_ask_the_store_with_the_lock_that_all_groups_share(store):
    """The same by asyncio."""

    async def main():
        p = aio.Processor(store)
        p._engine.consumers.lock = store._lock

        async def handle(event):
            fails(event)

        for group in ("g", "h"):
            p.consumer(group, members=2, retry=Retry(attempts=1))(handle)
        for way in ways(p):
            await way()

    asyncio.run(main())
    check(store)


def test_what_an_error_left_behind_is_given_up_without_the_lock(store, monkeypatch):
    """Whoever abandons asks for the membership, and stores another."""
    p = Processor(store)
    p._engine.consumers.lock = store._lock
    p.consumer("g")(fails)
    p.publish("a", b"")
    p.start()
    assert p.drain(30)

    def breaks(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "settle", breaks, raising=False)
    p.publish("a", b"")
    with pytest.raises(RuntimeError, match="a bug"):
        p.drain(30)
    monkeypatch.undo()
    p.start()
    assert p.drain(30)
    p.close()
    assert store.broken == set()
    assert {"membership", "change_membership"} <= store.asked
