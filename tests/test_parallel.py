"""Any number of threads gives what one gives: the same ids, the same errors, and nothing left behind."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import LAST, Member
from strategies import KINDS, MANY, SOME, Kind
from together import START, change_number, run_together
from waiting import until

import ringward as rw
from ringward._core.parallel import usable_cores

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
BLOCK = 1024
SIZE = 40 * BLOCK + 3
NUMBERS = np.arange(SIZE, dtype=np.int64) * 7919 - SIZE
TEXTS = [f"event {i} é" if i % 5 else f"event{i}" for i in range(SIZE)]
COLUMNS = {
    "int64": NUMBERS,
    "uint64": NUMBERS.astype(np.uint64),
    "int64 backwards": NUMBERS[::-1],
    "big-endian int32": (NUMBERS % 2**31).astype(">i4"),
    "uint16": (NUMBERS % 2**16).astype(np.uint16),
    "S": np.array([text.encode() for text in TEXTS]),
    "U": np.array(TEXTS),
    "U, big-endian": np.array(TEXTS).astype(">U20"),
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "object": np.array(TEXTS, dtype=object),
}
MEMBERS = {"a": Member(), "b": Member(2.0, "z"), "c": Member(), "d": Member(0.5, "y")}
ROUTERS = {str(kind): kind.make(MEMBERS) for kind in KINDS}
SIPHASH = rw.SipHash(bytes(range(16)))

thread_counts = st.integers(2, 9)
sizes = st.builds(lambda blocks, more: max(0, blocks * BLOCK + more), st.integers(0, 40), st.integers(-2, 2))
outs = st.sampled_from([None, np.uint16, np.uint32, np.int64])


def slow_ring() -> tuple[rw.HashRing, np.ndarray]:
    """Return a ring and keys that keep one thread busy for a tenth of a second or so."""
    return rw.HashRing([f"node{i}" for i in range(50)], hash=SIPHASH), np.arange(6_000_000)


def native_threads(expected: int = 0) -> int:
    """Return how many threads the system lists: a joined one is there for an instant, so the least of some counts."""
    least, deadline = 1 << 20, time.monotonic() + (10.0 if expected else 0.1)
    while least > expected and time.monotonic() < deadline:
        least = min(least, len(list(Path("/proc/self/task").iterdir())))
        time.sleep(0.002)
    return least


@given(st.sampled_from(sorted(ROUTERS)), st.sampled_from(sorted(COLUMNS)), sizes, thread_counts, st.data())
@MANY
def test_assign_is_the_same_for_any_number_of_threads(
    kind: str, column: str, size: int, threads: int, data: st.DataObject
) -> None:
    """All kinds of columns and of out, with candidates and without, around the borders of chunks."""
    router, keys = ROUTERS[kind], COLUMNS[column][:size]
    count, dtype = data.draw(st.sampled_from([None, 1, 2, 4])), data.draw(outs)
    shape = (size, count) if count else (size,)
    out = None if dtype is None else np.full(shape, 77, dtype)
    expected = router.assign(keys, count=count, threads=1)
    result = router.assign(keys, count=count, out=out, threads=threads)
    assert result.shape == shape
    assert out is None or result is out
    missing = np.iinfo(result.dtype).max
    assert np.array_equal(np.where(result == missing, rw.NO_NODE, result.astype(np.int64)), expected)


@given(st.sampled_from(sorted(COLUMNS)), sizes, thread_counts, st.sampled_from([rw.XXH3(), SIPHASH]))
@SOME
def test_hashes_are_the_same_for_any_number_of_threads(column: str, size: int, threads: int, hash: object) -> None:
    """All kinds of columns; and what follows from the hashes."""
    keys, ring = COLUMNS[column][:size], ROUTERS["HashRing"]
    hashes = rw.hash_keys(keys, hash, threads=threads)
    assert np.array_equal(hashes, rw.hash_keys(keys, hash, threads=1))
    assert np.array_equal(ring.assign_hashes(hashes, threads=threads), ring.assign_hashes(hashes, threads=1))
    two = ring.assign_hashes(hashes, count=2, threads=threads)
    assert np.array_equal(two, ring.assign_hashes(hashes, count=2, threads=1))


@given(
    st.sampled_from(sorted(ROUTERS)),
    st.sampled_from([("mark_down", "a"), ("remove", "a", "b"), ("add", "e"), ("reweigh", "b", 9.0), ("mark_up", "a")]),
    sizes,
    thread_counts,
    st.sampled_from([np.uint16, np.uint32, np.int64]),
)
@SOME
def test_a_transfer_is_the_same_for_any_number_of_threads(
    kind: str, change: tuple, size: int, threads: int, dtype: type
) -> None:
    """Where few nodes lose keys and where all do, with 16, 32 and 64 bits an id, and where nothing moves."""
    router, hashes = ROUTERS[kind].copy(), rw.hash_keys(NUMBERS[:size])
    before = router.assign_hashes(hashes, out=np.empty(size, dtype))
    transfer = getattr(router, change[0])(*change[1:])
    ids, expected = before.copy(), before.copy()
    written = transfer.apply(ids, hashes, threads=threads)
    assert np.array_equal(written, transfer.apply(expected, hashes, threads=1))
    assert np.array_equal(ids, expected)
    assert np.array_equal(ids, router.assign_hashes(hashes))
    assert np.array_equal(written, np.flatnonzero(ids != before))
    assert np.array_equal(transfer.moved(hashes, threads=threads), written)


@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_a_large_transfer_is_right(threads: int | None) -> None:
    """So many moves that the threads write them too, after additions, removals and the last failure of all."""
    router, hashes = ROUTERS["HashRing"].copy(), rw.hash_keys(np.arange(1_000_000))
    ids = router.assign_hashes(hashes)
    for change in ("add", "e"), ("mark_down", "a", "b"), ("remove", "c", "d"), ("reweigh", "e", 2.0):
        old = ids.copy()
        transfer = getattr(router, change[0])(*change[1:])
        written = transfer.apply(ids, hashes, threads=threads)
        assert np.array_equal(ids, router.assign_hashes(hashes))
        assert np.array_equal(written, np.flatnonzero(ids != old))
    transfer = router.mark_down("e")
    assert np.array_equal(transfer.apply(ids, hashes, threads=threads), np.arange(len(hashes)))
    assert (ids == rw.NO_NODE).all()


@pytest.mark.parametrize("size", [2**17 - 1, 2**17, 2**18 + 1, 2**19 + 1])
def test_the_default_gives_the_same_too(size: int) -> None:
    """Below and above the size from which more threads help, and with large chunks."""
    ring, keys = ROUTERS["HashRing"], np.arange(size)
    expected = ring.assign(keys, threads=1)
    for threads in (None, 2, 5):
        assert np.array_equal(ring.assign(keys, threads=threads), expected)
    assert np.array_equal(rw.hash_keys(keys), rw.hash_keys(keys, threads=1))


@given(st.sets(st.integers(0, SIZE - 1), min_size=1, max_size=4), st.integers(1, 9), st.sampled_from([None, 2]))
@SOME
def test_the_first_bad_key_is_the_one_reported(bad: set[int], threads: int, count: int | None) -> None:
    """Of several bad keys, whoever meets one first, the lowest position is told; `out` stays as it was."""
    keys = COLUMNS["U"].copy()
    keys[list(bad)] = "\ud800"
    router = ROUTERS["HashRing"]
    out = np.full((SIZE, count) if count else SIZE, 77, np.uint32)
    for call in (
        lambda: router.assign(keys, out=out, count=count, threads=threads),
        lambda: rw.hash_keys(keys, threads=threads),
    ):
        with pytest.raises(rw.KeyValueError, match=rf"keys\[{min(bad)}\] must be Unicode") as caught:
            call()
        assert caught.value.position == min(bad)
        assert caught.value.__context__ is None
    assert (out == 77).all()


@pytest.mark.parametrize("threads", [0, -1, 1025, 2**70, True, np.True_, 1.0, "2", [2]])
def test_threads_must_be_a_number_of_threads(threads: object) -> None:
    """From 1 to 1024, whatever the keys are; anything else is named."""
    ring = ROUTERS["HashRing"].copy()
    transfer = ring.mark_down("a")
    for call in (
        lambda: ring.assign([], threads=threads),
        lambda: ring.assign([b"event1", 5], threads=threads, count=2),
        lambda: ring.assign_hashes(np.zeros(3, np.uint64), threads=threads),
        lambda: rw.hash_keys(np.arange(3), threads=threads),
        lambda: transfer.moved(np.zeros(3, np.uint64), threads=threads),
        lambda: transfer.apply(np.zeros(3, np.uint16), np.zeros(3, np.uint64), threads=threads),
    ):
        with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError), match=r"threads must be ") as caught:
            call()
        whole = isinstance(threads, int) and not isinstance(threads, bool)
        assert isinstance(caught.value, rw.ArgumentError if whole else rw.ArgumentTypeError)
        assert caught.value.argument == "threads"


def test_threads_may_be_any_whole_number() -> None:
    """NumPy integers too, and more threads than keys, cores or chunks."""
    ring = ROUTERS["HashRing"]
    for threads in (1, np.int8(3), np.uint64(5), 1024):
        assert len(ring.assign(NUMBERS, threads=threads)) == SIZE
        assert len(ring.assign([], threads=threads)) == 0
        assert len(rw.hash_keys(NUMBERS[:1], threads=threads)) == 1


@pytest.mark.parametrize("nulls", ["drop", None, True, ""])
def test_nulls_are_raised_or_skipped(nulls: object) -> None:
    """Nothing else, and a column without nulls does not care."""
    ring = ROUTERS["HashRing"]
    with pytest.raises(rw.ArgumentError, match="nulls must be 'raise' or 'skip'"):
        ring.assign(NUMBERS, nulls=nulls)
    assert np.array_equal(ring.assign(NUMBERS, nulls="skip"), ring.assign(NUMBERS))


def spent(call: Callable[[], object]) -> float:
    """Return the processor time of a call, as a multiple of what its own thread spent."""
    process, thread = time.process_time(), time.thread_time()
    call()
    return (time.process_time() - process) / (time.thread_time() - thread)


def test_more_threads_share_the_work() -> None:
    """With two threads the calling one does not do it all; with one it does, whatever the cores."""
    ring, keys = slow_ring()
    out = np.empty(len(keys), np.uint16)
    ring.assign(keys, out=out, threads=1)
    assert spent(lambda: ring.assign(keys, out=out, threads=1)) < 1.1
    assert max(spent(lambda: ring.assign(keys, out=out, threads=2)) for _ in range(5)) > 1.3
    assert max(spent(lambda: ring.assign(keys[:1_000_000], count=3, threads=2)) for _ in range(5)) > 1.3
    assert max(spent(lambda: rw.hash_keys(keys, SIPHASH, threads=2)) for _ in range(5)) > 1.3
    hashes, transfer = keys.astype(np.uint64) * np.uint64(LAST // len(keys)), ring.copy().add("another")
    assert max(spent(lambda: transfer.moved(hashes, threads=2)) for _ in range(5)) > 1.3
    few = keys[: 2**17 - 1]
    assert min(spent(lambda: ring.assign(few, out=out[: len(few)])) for _ in range(5)) < 1.1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform has no affinity")
def test_the_default_keeps_to_the_cores_of_the_process() -> None:
    """Pinned to one core, one thread does it all."""
    before = os.sched_getaffinity(0)
    assert usable_cores() == len(before)
    ring, keys = slow_ring()
    out = np.empty(len(keys), np.uint16)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
        assert min(spent(lambda: ring.assign(keys, out=out)) for _ in range(3)) < 1.1
    finally:
        os.sched_setaffinity(0, before)


def test_the_gil_is_free_meanwhile() -> None:
    """Another Python thread goes on while two threads assign."""
    ring, keys = slow_ring()
    out = np.empty(len(keys), np.uint16)
    beats, done = [0], threading.Event()

    def beat() -> None:
        while not done.is_set():
            beats[0] += 1
            time.sleep(0.0005)

    def assign() -> None:
        try:
            until(lambda: beats[0])
            before, elapsed = beats[0], -time.perf_counter()
            for _ in range(3):
                ring.assign(keys, out=out, threads=2)
            elapsed += time.perf_counter()
            # A held GIL would allow a few beats between the calls.
            assert beats[0] - before > 10, elapsed
        finally:
            done.set()

    run_together([assign, beat])


@every_kind
def test_many_threads_share_and_change_one_router(kind: Kind) -> None:
    """Six threads assign in two threads each while one changes: every answer is of one epoch."""
    changes = 24
    keys, texts = NUMBERS[: 5 * BLOCK + 1], COLUMNS["U"][: 3 * BLOCK]
    trial = kind.make(START)

    def answers(router: rw.Router, threads: int) -> tuple[bytes, ...]:
        found = (
            router.assign(keys, threads=threads),
            router.assign(texts, threads=threads),
            router.assign(keys, count=2, threads=threads),
            router.assign_hashes(keys.astype(np.uint64) * np.uint64(LAST // 3), threads=threads),
        )
        return tuple(each.tobytes() for each in found)

    expected = [answers(trial, 1)]
    for i in range(changes):
        change_number(trial, i)
        expected.append(answers(trial, 1))
    router, done = kind.make(START), threading.Event()
    read = [0] * 6

    def reader(number: int) -> Callable[[], None]:
        def run() -> None:
            while not done.is_set():
                first = router.epoch
                found = answers(router, 2 + number % 3)
                last = router.epoch
                for which, answer in enumerate(found):
                    assert answer in [expected[epoch][which] for epoch in range(first, last + 1)]
                read[number] += 1

        return run

    def writer() -> None:
        try:
            for i in range(changes):
                change_number(router, i)
                done.wait(0.005)
        finally:
            done.set()

    run_together([writer, *(reader(number) for number in range(6))])
    assert all(count > 0 for count in read)
    assert answers(router, 2) == expected[changes]


# ---- forks, signals, the end of the process ----------------------------------------------------------


def run_in_child(script: str) -> str:
    """Run a script in a Python of its own, and return what it printed."""
    prelude = """
        import atexit, os, signal, sys, threading, time, warnings
        import numpy as np, ringward as rw
        ring = rw.HashRing([f"node{i}" for i in range(50)])
        keys = np.arange(300_000)
        expected = ring.assign(keys, threads=1)
        def right(threads=2):
            return bool((ring.assign(keys, threads=threads) == expected).all())
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    return ran.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_can_use_threads() -> None:
    """After calls with threads, and even while other threads are inside of one."""
    script = """
        warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is the point
        assert right()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                assert right()
        workers = [threading.Thread(target=work) for _ in range(3)]
        [worker.start() for worker in workers]
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                os._exit(0 if right() and right(3) and right(None) else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        [worker.join() for worker in workers]
        print("right", right())
    """
    assert run_in_child(script) == "right True\n"


def test_the_process_may_end_at_any_time() -> None:
    """A daemon thread inside a call holds nothing up, and what runs at the end may still assign.

    Every sixth process crashed on Python 3.14: a helper that had just begun asked an interpreter for the GIL that was gone.
    """
    script = """
        class Late:
            def __del__(self, right=right, print=print):
                print("late", right())
        late = Late()
        late.itself = late
        atexit.register(lambda: print("at exit", right()))
        def work():
            while True:
                right()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.05)
    """
    with ThreadPoolExecutor(6) as pool:
        assert all("at exit True\n" in said for said in pool.map(run_in_child, [script] * 8))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="relies on how Linux refuses a stack")
def test_fewer_threads_do_where_the_system_has_no_more() -> None:
    """Without room for another stack, the calling thread does it all."""
    script = """
        tasks = os.listdir("/proc/self/task")
        threading.stack_size(2**47)
        try:
            threading.Thread(target=print).start()
        except RuntimeError as error:
            print(error)
        print(right(8), os.listdir("/proc/self/task") == tasks)
    """
    assert run_in_child(script) == "can't start new thread\nTrue True\n"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no timers that signal")
def test_an_interrupted_call_leaves_no_thread_behind() -> None:
    """KeyboardInterrupt comes after the threads have left; the next call is right."""
    ring, keys = slow_ring()
    out = np.empty(len(keys), np.uint16)
    expected = ring.assign(keys, threads=1)
    before = native_threads() if sys.platform.startswith("linux") else 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted() -> None:
        ring.assign(keys, out=out, threads=3)
        time.sleep(1)  # after a call with keywords, Python 3.14 looks for signals in the next one

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(KeyboardInterrupt):
                interrupted()
            if before:
                assert native_threads(before) <= before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert np.array_equal(ring.assign(keys, threads=3), expected)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux lists them")
def test_calls_leave_neither_threads_nor_memory_behind() -> None:
    """Thousands of calls in threads, good and bad ones: as many threads, references and bytes as before."""
    ring, out = ROUTERS["HashRing"], np.zeros(4 * BLOCK, np.uint32)
    keys, texts = NUMBERS[: 4 * BLOCK].copy(), COLUMNS["U"][: 4 * BLOCK].copy()
    hashes, transfer = rw.hash_keys(keys), ring.copy().remove("a")
    bad = texts.copy()
    bad[3 * BLOCK :] = "\ud800"
    watched = (keys, texts, bad, hashes, transfer, out, ring, None, keys.dtype, bad.dtype)

    def run(times: int) -> None:
        for _ in range(times):
            ring.assign(keys, out=out, threads=3)
            ring.assign(texts, threads=2)
            ring.assign(keys, count=2, threads=4)
            rw.hash_keys(texts, threads=3)
            transfer.apply(np.zeros(4 * BLOCK, np.uint16), hashes, threads=4)
            transfer.moved(hashes, threads=4)
            with pytest.raises(rw.KeyValueError):
                ring.assign(bad, out=out, threads=4)

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(each) for each in watched]

    run(100)
    threads, references, peak = native_threads(), counts(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(1000)
    assert native_threads(threads) <= threads
    assert all(abs(a - b) < 50 for a, b in zip(references, counts(), strict=True))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 4 * 1024
