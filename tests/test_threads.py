"""Readers take no lock: while one thread changes a router, every answer is that of some epoch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from oracle import LAST, Member
from strategies import KINDS, Kind
from together import START, change_number, run_together

import ringward as rw

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
READERS = 8
KEYS = [f"event{i}" for i in range(64)]
NUMBERS = np.arange(3000, dtype=np.int64)
HASHES = np.arange(3000, dtype=np.uint64) * np.uint64(LAST // 2999)


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def answers(reader: rw.Router) -> dict[str, object]:
    """Return what the readers of this module may be told, at one epoch."""
    return {
        "routes": tuple(reader.route(key) for key in KEYS),
        "candidates": tuple(tuple(reader.candidates(key)) for key in KEYS),
        "numbers": reader.assign(NUMBERS).tobytes(),
        "hashes": reader.assign_hashes(HASHES).tobytes(),
        "keys": reader.assign(KEYS).tobytes(),
        "two": reader.assign(KEYS, count=2).tobytes(),
        "names": tuple(reader.names),
        "members": tuple(sorted(reader)),
        "down": reader.down,
        "nodes": reader.nodes,
        "report": reader.report(),
        "explained": tuple(reader.explain(key) for key in KEYS[::16]),
    }


def told(router: rw.Router) -> dict[str, object]:
    """Return what a router tells that a snapshot does not."""
    parts = {"parts": router.parts} if isinstance(router, rw.PartitionedRing) else {}
    return {"repr": repr(router), **parts}


@every_kind
def test_every_answer_is_that_of_some_epoch(kind: Kind) -> None:
    """Eight threads read while one changes: each answer is that of an epoch between call and return."""
    changes = 64
    trial = kind.make(START)
    expected = {0: answers(trial) | told(trial)}
    for i in range(changes):
        change_number(trial, i)
        assert trial.epoch == i + 1
        expected[i + 1] = answers(trial) | told(trial)
    router = kind.make(START)
    done = threading.Event()
    read = [0] * READERS

    def possible(what: str, first: int, last: int, at: int | None = None) -> list:
        found = [expected[epoch][what] for epoch in range(first, last + 1)]
        return found if at is None else [answer[at] for answer in found]

    def check(number: int) -> None:
        for i in range(len(KEYS)):
            first = router.epoch
            owner, walk = router.route(KEYS[i]), router.candidates(KEYS[i])
            subscript = router[KEYS[i]]
            last = router.epoch
            assert owner in possible("routes", first, last, i)
            assert subscript in possible("routes", first, last, i)
            assert tuple(walk) in possible("candidates", first, last, i)
            if i % 16 == number:
                first = router.epoch
                numbers, hashes = router.assign(NUMBERS), router.assign_hashes(HASHES)
                keys, two = router.assign(KEYS), router.assign(KEYS, count=2)
                last = router.epoch
                assert numbers.tobytes() in possible("numbers", first, last)
                assert hashes.tobytes() in possible("hashes", first, last)
                assert keys.tobytes() in possible("keys", first, last)
                assert two.tobytes() in possible("two", first, last)
                first = router.epoch
                report, nodes, mine = router.report(), router.nodes, told(router)
                explained = router.explain(KEYS[i - number])
                last = router.epoch
                assert report in possible("report", first, last)
                assert nodes in possible("nodes", first, last)
                assert all(mine[what] in possible(what, first, last) for what in mine)
                assert explained in possible("explained", first, last, i // 16)
                snapshot = router.snapshot()
                assert answers(snapshot).items() <= expected[snapshot.epoch].items()
            read[number] += 1

    def reader(number: int) -> Callable[[], None]:
        def run() -> None:
            while not done.is_set():
                check(number)

        return run

    def writer() -> None:
        try:
            for i in range(changes):
                change_number(router, i)
                # Let every reader see some of the epochs.
                done.wait(0.005)
        finally:
            done.set()

    run_together([writer, *(reader(number) for number in range(READERS))])
    assert router.epoch == changes
    assert all(count > 0 for count in read)
    assert answers(router) | told(router) == expected[changes]


@every_kind
def test_changes_of_several_threads_follow_one_another(kind: Kind) -> None:
    """Four threads change: no change is lost, and each is the next epoch after the one before it."""
    router = kind.make({f"node{i}": Member() for i in range(4)} | {"steady": Member()})
    transfers: list[rw.Transfer] = []

    def changer(number: int) -> Callable[[], None]:
        def run() -> None:
            for i in range(50):
                mark = router.mark_up if i % 2 else router.mark_down
                transfers.append(mark(f"node{number}"))

        return run

    run_together([changer(number) for number in range(4)])
    assert router.epoch == 200
    assert sorted(transfer.epoch for transfer in transfers) == list(range(1, 201))
    assert all(transfer.epoch_before == transfer.epoch - 1 for transfer in transfers)
    assert router.down == frozenset()
    calm = kind.make({f"node{i}": Member() for i in range(4)} | {"steady": Member()})
    assert set(router.names[router.assign_hashes(HASHES)]) <= set(calm.names)


FORKING = """
import os, signal, sys, threading, warnings
import ringward as rw

warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
router, names = rw.HashRing([f"node{i}" for i in range(50)]), [f"node{i}" for i in range(50)]
left = threading.Event()

def change():
    with router.change() as change:
        started.set()
        left.wait()
    left.clear()
    while not left.is_set():
        router.mark_down(*names[:9])
        router.mark_up(*names[:9])

started = threading.Event()
thread = threading.Thread(target=change, daemon=True)
thread.start()
started.wait()
for round in range(40):
    if round == 1:
        left.set()
    child = os.fork()
    if not child:
        signal.alarm(30)  # a child that waits for ever ends all the same
        with router.change() as change:
            change.mark_down("node40")
        os._exit(0 if "node40" in router.down and len(router._changing) == 0 else 1)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
left.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform does not fork")
def test_the_child_of_a_fork_changes_a_router_that_was_being_changed() -> None:
    """It waited for ever: the thread that held the lock of the router does not exist in the child."""
    done = subprocess.run([sys.executable, "-c", FORKING], timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@every_kind
def test_a_change_may_be_left_in_another_thread(kind: Kind) -> None:
    """The thread that entered it was locked out for good."""
    router = kind.make(START)
    change = router.change()
    change.__enter__().mark_down("node1")
    run_together([lambda: change.__exit__(None, None, None)])
    assert router.down == {"node1"}
    assert router.mark_up("node1").epoch == 2
    with router.change():
        pass


@every_kind
def test_keys_that_change_during_a_call_are_routed_somehow(kind: Kind) -> None:
    """An array that another thread writes to gives some routing of some keys, within the ids."""
    router = kind.make(START)
    numbers, hashes = NUMBERS.copy(), HASHES.copy()
    texts = np.array([f"event{i}" for i in range(3000)])
    done = threading.Event()

    def writer() -> None:
        rng = np.random.default_rng(1)
        while not done.is_set():
            numbers[:] = rng.integers(-(2**62), 2**62, 3000)
            hashes[:] = rng.integers(0, 2**63, 3000, dtype=np.uint64) * np.uint64(2)
            texts[:] = texts[::-1].copy()

    def reader() -> None:
        try:
            for _ in range(150):
                assert (router.assign(numbers) < len(START)).all()
                assert (router.assign_hashes(hashes) < len(START)).all()
                assert (router.assign(texts) < len(START)).all()
                assert (router.assign(numbers, count=3) < len(START)).all()
        finally:
            done.set()

    run_together([writer, reader])
    assert router.epoch == 0
