"""No call leaks: not memory, not objects, not references, on good input or on bad."""

from __future__ import annotations

import copy
import gc
import pickle
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
from growth import least_growth
from oracle import Member
from strategies import PARTITIONED, PRIMARY, RING, TABLE, Kind

import ringward as rw

KINDS = (RING, PARTITIONED, TABLE, PRIMARY)
CALLS = 10_000
MEMBERS = {"a": Member(), "b": Member(2.0, "z"), "c": Member()}
KEYS = [f"event {i} é" for i in range(20)]
TEXTS = np.array(KEYS)
NUMBERS = np.arange(20)
BYTES = np.array([b"event%d" % i for i in range(20)])
HASHES = rw.hash_keys(NUMBERS)
OUT = np.zeros(20, np.uint16)
SECRET = rw.SipHash(bytes(16))

Call = Callable[[Any], Any]


def changes(router: rw.Router) -> None:
    """Change a router in every way, and back."""
    router.mark_down("a")
    router.mark_up("a")


def membership(router: rw.Router) -> None:
    """Add and remove a node."""
    router.add("d")
    router.remove("d")


def several(router: rw.Router) -> None:
    """Make two changes as one, and take them back."""
    with router.change() as change:
        change.mark_down("a")
        change.mark_down("b")
    with router.change() as change:
        change.mark_up("a", "b")


def transfers(router: rw.Router) -> None:
    """Use all of a transfer."""
    transfer = router.mark_down("a")
    ids = np.zeros(20, np.uint32)
    _ = transfer.arcs, transfer.share, transfer.arrivals, transfer.departures, transfer.rows
    transfer.moved(HASHES)
    transfer.apply(ids, HASHES)
    router.mark_up("a")


def nested(router: rw.Router) -> None:
    """Change a router inside a change of it."""
    with router.change() as change:
        change.mark_down("a")
        router.mark_down("b")


def empty_route(_: rw.Router) -> None:
    """Route with everybody down."""
    rw.HashRing().route("event1")


GOOD: dict[str, Call] = {
    "route str": lambda r: r.route("event1"),
    "route é": lambda r: r.route("event é" + str(len(KEYS))),
    "route bytes": lambda r: r.route(b"event1"),
    "route bytearray": lambda r: r.route(bytearray(b"event1")),
    "route memoryview": lambda r: r.route(memoryview(b"event1")),
    "route int": lambda r: r.route(2**63 + 5),
    "route NumPy": lambda r: r.route(NUMBERS[5]),
    "[]": lambda r: r["event1"],
    "candidates": lambda r: r.candidates("event1"),
    "candidates 2": lambda r: r.candidates("event1", 2),
    "assign list": lambda r: r.assign(KEYS),
    "assign tuple": lambda r: r.assign(("a", b"b", 3, bytearray(b"c"), memoryview(b"d"), 2**64 - 1)),
    "assign text": lambda r: r.assign(TEXTS),
    "assign bytes": lambda r: r.assign(BYTES),
    "assign numbers": lambda r: r.assign(NUMBERS),
    "assign strided": lambda r: r.assign(NUMBERS[::-2]),
    "assign out": lambda r: r.assign(KEYS, out=OUT),
    "assign count": lambda r: r.assign(KEYS, count=2),
    "assign nothing": lambda r: r.assign([]),
    "assign_hashes": lambda r: r.assign_hashes(HASHES),
    "assign_hashes count": lambda r: r.assign_hashes(HASHES, count=3),
    "hash_keys": lambda _: rw.hash_keys(KEYS),
    "hash_keys SipHash": lambda _: rw.hash_keys(TEXTS, SECRET),
    "a hash": lambda r: r.hash("event1"),
    "make a hash": lambda _: (rw.XXH3(seed=5), rw.SipHash(bytes(16)), rw.Multiplicative(3, 7)),
    "names": lambda r: (r.names, r.nodes, r.down, r.epoch, r.hash),
    "members": lambda r: (len(r), list(r), "a" in r, "x" in r, r.id_of("a")),
    "snapshot": lambda r: r.snapshot().route("event1"),
    "explain": lambda r: r.explain("event1"),
}
COSTLY: dict[str, Call] = {
    "report": lambda r: r.report().to_dict(),
    "html": lambda r: r._repr_html_(),
    "bytes": lambda r: rw.Snapshot.from_bytes(r.snapshot().to_bytes()),
    "resume": lambda r: type(r).resume(r.snapshot()),
    "copy": lambda r: (r.copy(), copy.copy(r)),
    "pickle": lambda r: pickle.loads(pickle.dumps(r)),
    "between": lambda r: rw.Transfer.between(r, r.snapshot()).share,
    "mark": changes,
    "add and remove": membership,
    "reweigh": lambda r: (r.reweigh("a", 2.0), r.reweigh("a", 1.0)),
    "change": several,
    "transfer": transfers,
    "construct": lambda r: type(r)(r.nodes, **({"part_size": 2} if hasattr(r, "parts") else {})),
}
BAD: dict[str, Call] = {
    "route None": lambda r: r.route(None),
    "route float": lambda r: r.route(1.5),
    "route 2^64": lambda r: r.route(2**64),
    "route surrogate": lambda r: r.route("\ud800"),
    "[] None": lambda r: r[None],
    "candidates 0": lambda r: r.candidates("event1", 0),
    "candidates None": lambda r: r.candidates(None),
    "assign bad last": lambda r: r.assign([*KEYS, None]),
    "assign bad memoryview": lambda r: r.assign([memoryview(b"a"), bytearray(b"b"), 1.5]),
    "assign surrogate": lambda r: r.assign(["é", "\ud800"]),
    "assign float array": lambda r: r.assign(np.zeros(3)),
    "assign two dimensions": lambda r: r.assign(np.zeros((2, 2), np.int64)),
    "assign str": lambda r: r.assign("event1"),
    "assign out too short": lambda r: r.assign(KEYS, out=OUT[:3]),
    "assign bad into out": lambda r: r.assign([*KEYS[:19], None], out=OUT),
    "assign count 70_000": lambda r: r.assign(KEYS, count=70_000),
    "assign_hashes int64": lambda r: r.assign_hashes(NUMBERS),
    "hash_keys": lambda _: rw.hash_keys([1.5]),
    "hash": lambda _: rw.hash_keys(KEYS, "xxh3"),
    "a hash": lambda r: r.hash(None),
    "nobody": empty_route,
    "unknown": lambda r: r.mark_down("nobody"),
    "duplicate": lambda r: r.add("a"),
    "weight": lambda r: r.reweigh("a", -1.0),
    "id_of": lambda r: r.id_of("nobody"),
    "nested": nested,
    "noise": lambda _: rw.Snapshot.from_bytes(b"noise" * 20),
    "node": lambda _: rw.Node("", weight=-1),
}


def refused(call: Call) -> Call:
    """Return a call that expects to be refused."""

    def run(router: rw.Router) -> None:
        with suppress(rw.RingwardError):
            call(router)
            raise AssertionError("accepted")

    return run


@pytest.fixture(autouse=True, scope="module")
def few_objects() -> Iterator[None]:
    """Keep what other tests left out of the collector's sight, so that collecting takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def check_objects(call: Call) -> None:
    """Check that ten thousand calls, shared out over the placements, leave no small blocks behind."""
    for kind in KINDS:
        router = kind.make(MEMBERS)
        assert least_growth(partial(call, router), sys.getallocatedblocks, CALLS // len(KINDS)) < 0.5


@pytest.mark.parametrize("name", GOOD)
def test_a_call_leaves_no_objects_behind(name: str) -> None:
    """Ten thousand calls of each way to read leave nothing."""
    check_objects(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_refused_call_leaves_no_objects_behind(name: str) -> None:
    """Ten thousand errors of each sort leave nothing."""
    check_objects(refused(BAD[name]))


@pytest.mark.parametrize("name", COSTLY)
def test_a_change_leaves_no_objects_behind(name: str) -> None:
    """Ten thousand changes, copies and byte forms leave nothing."""
    check_objects(COSTLY[name])


@pytest.mark.slow
def test_no_call_leaves_traced_memory_behind() -> None:
    """Memory of any size that is allocated through Python or NumPy is given back, by every call."""
    refusals = {f"refused: {name}": refused(call) for name, call in BAD.items()}
    for name, call in (GOOD | COSTLY | refusals).items():
        tracemalloc.start()
        try:
            router = RING.make(MEMBERS)
            grown = least_growth(partial(call, router), lambda: tracemalloc.get_traced_memory()[0], CALLS // 20)
        finally:
            tracemalloc.stop()
        # Blocks of up to 512 bytes are counted one by one above: this is about larger ones.
        assert grown < 256, name


def peak() -> int:
    """Return the largest resident size so far, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_process_does_not_grow(kind: Kind) -> None:
    """Memory that no tracer sees is not lost either: not by many small calls, not by large ones."""
    router = kind.make(MEMBERS)
    many, out = np.arange(50_000), np.zeros(50_000, np.uint32)
    texts = [f"event{i}" for i in range(5_000)]
    h = rw.hash_keys(many)

    def run(times: int) -> None:
        for _ in range(times):
            router.assign(many)
            router.assign(many, out=out)
            router.assign(texts)
            router.assign_hashes(h, count=2)
            with suppress(rw.KeyTypeError):
                router.assign([*texts, None])
            transfer = router.mark_down("a")
            transfer.apply(router.assign_hashes(h), h)
            router.mark_up("a")
            for _ in range(300):
                router.route("event1")
                router.candidates("event1")
                with suppress(rw.KeyTypeError):
                    router.route(None)
                with suppress(rw.KeyValueError):
                    router.route("\ud800")

    run(30)
    before = peak()
    run(150)
    assert peak() - before < 6 * 2**20


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_references_are_given_back(kind: Kind) -> None:
    """Keys, containers, output arrays, hashes and None have as many references after as before."""
    router = kind.make(MEMBERS)
    text, raw, number, view = "event é" * 3, b"event" * 9, 2**70 // 2**8, memoryview(b"event" * 9)
    wrong, family = object(), rw.SipHash(bytes(16))
    listed, texts, out = [text, raw, number, view], np.array([text] * 4), np.zeros(4, np.int64)
    boxed = np.array([text, raw, number], dtype=object)
    hashed = rw.hash_keys(texts)
    watched = (
        text, raw, number, view, wrong, family, listed, texts, out, boxed, hashed, router, None,
        texts.dtype, out.dtype, hashed.dtype,
    )  # fmt: skip

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(each) for each in watched]

    def run() -> None:
        for _ in range(CALLS // 10):
            for key in listed:
                router.route(key)
                router.candidates(key, 2)
                family(key)
            for container in (listed, texts, boxed):
                router.assign(container)
                rw.hash_keys(container, family)
            router.assign(listed, out=out)
            router.assign(texts, out=out)
            router.assign_hashes(hashed, out=out)
            router.snapshot().assign(texts)
            for bad in (wrong, None, 1.5):
                with suppress(rw.KeyTypeError):
                    router.route(bad)
                with suppress(rw.KeyTypeError):
                    router.assign([text, raw, bad], out=out[:3])
            with suppress(rw.RingwardError):
                router.assign(texts, out=out[:2])

    def steady() -> bool:
        before = counts()
        run()
        return all(abs(a - b) < 50 for a, b in zip(before, counts(), strict=True))

    run()
    assert any(
        steady() for _ in range(3)
    )  # threads that end meanwhile give back references of None, a leak takes them each time
