"""Short fuzz runs with fixed seeds over what comes from elsewhere: snapshots, Arrow structs, columns that `apply` writes.

`RINGWARD_FUZZ` says how many seeds; thousands take long. Damaged files of events are fuzzed by `tests/events/test_damage.py`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
import struct
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xxhash
from arrow_structs import Made, bits, view

import ringward as rw

SEEDS = pytest.mark.parametrize("seed", range(int(os.environ.get("RINGWARD_FUZZ", "12"))))
KEYS = [f"event{i}" for i in range(40)]

# ---- snapshots: any header, any arrays, a checksum that fits -------------------------------------------------

NODES = [rw.Node("a", 1.0, "x"), rw.Node("b", 2.0, "y"), rw.Node("c"), rw.Node("d", 0.5, "x")]
MAKERS: list[Any] = [
    lambda nodes, **rest: rw.HashRing(nodes, points_per_node=8, **rest),
    lambda nodes, **rest: rw.HashRing(nodes, points_per_node=8, spread="zone", **rest),
    lambda nodes, **rest: rw.PartitionedRing(nodes, part_size=2, points_per_node=8, **rest),
    lambda nodes, **rest: rw.PartitionTable(nodes, partitions=16, replicas=2, **rest),
    rw.PrimaryBackup,
]
ODD = [None, True, 0, -1, 2, 3, 2**24, 2**31, 2**32 - 1, 2**63, 2**64, 10**400, 1.5, 1e308, 5e-324, math.nan, -math.inf]
ODD += ["", "a", "zz", "\ud800", "x" * 1000, [], {}, [[]], ["a", "a"], [10**9, 0], [0], "<u4", "<f8", "points", "list"]
SHAPES = [[10**8, 0], [10**8, 0], [0, 10**8], [4, 4], [1], [10**8]]


def opened(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[12:20], "little")
    return json.loads(data[20 : 20 + size]), data[20 + size : -8]


def closed(header: dict[str, Any], arrays: bytes) -> bytes:
    text = json.dumps(header).encode()
    body = b"ringward" + struct.pack("<IQ", 1, len(text)) + text + arrays
    return body + xxhash.xxh3_64_digest(body)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inside for place in places(each, (*path, key)))]


def edit(chance: random.Random, header: dict[str, Any]) -> None:
    """Change one value of a header, drop it, or write it twice."""
    *path, last = chance.choice(places(header)[1:])
    holder: Any = header
    for key in path:
        holder = holder[key]
    what = chance.random()
    if what < 0.6:
        holder[last] = copy.deepcopy(chance.choice(ODD))
    elif what < 0.7:
        del holder[last]
    elif what < 0.8 and isinstance(holder, list):
        holder.insert(last, copy.deepcopy(holder[last]))
    elif isinstance(holder[last], int | float):
        holder[last] += chance.choice([-1, 1, 0.5, 1000])


def spoil(chance: random.Random, arrays: bytes) -> bytes:
    """Other words in the arrays, or more or less of them."""
    spoilt = bytearray(arrays)
    if spoilt and chance.random() < 0.8:
        at = chance.randrange(0, len(spoilt), 4)
        spoilt[at : at + 4] = chance.choice([0, 1, 3, 4, 2**16, 2**31, 2**32 - 1]).to_bytes(4, "little")
        return bytes(spoilt[: len(arrays)])
    return bytes(spoilt[: chance.randrange(len(spoilt) + 1)] + chance.randbytes(chance.choice([0, 4, 8, 64])))


def forged(chance: random.Random) -> bytes:
    drained = chance.random() < 0.3
    nodes = [rw.Node(node.name, 0.0, node.zone) for node in NODES] if drained else NODES
    router = chance.choice(MAKERS)(nodes, on_empty=chance.choice([None, "a"]))
    if chance.random() < 0.5:
        router.mark_down("b")
        router.remove("c")
    if chance.random() < 0.2:
        router.remove(*router) if router.snapshot().options["on_empty"] is None else router.mark_down(*router)
    header, arrays = opened(router.snapshot().to_bytes())
    for _ in range(chance.choice([1, 1, 2, 3])):
        if chance.random() < 0.6:
            edit(chance, header)
        elif isinstance(header.get("arrays"), dict) and header["arrays"] and chance.random() < 0.5:
            name = chance.choice(sorted(header["arrays"]))
            header["arrays"][name] = [chance.choice(["<u4", "<u4", "<u8"]), chance.choice(SHAPES)]
        else:
            arrays = spoil(chance, arrays)
    return closed(header, arrays)


def check_view(view_: Any) -> None:
    """What a view answers is of its names, and in agreement."""
    try:
        ids = view_.assign(KEYS)
    except rw.NoNodeError:
        assert view_.candidates("k") == []
        return
    able = {node.name for node in view_.nodes if node.weight > 0 and node.name not in view_.down}
    names = [str(view_.names[i]) for i in ids]
    assert names == [view_.route(key) for key in KEYS]
    assert not able or set(names) <= able
    rows = view_.assign(KEYS, count=max(1, len(able)))
    assert rows[:, 0].tolist() == ids.tolist()
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    assert len(view_.report().nodes) == len(view_)
    assert view_.explain("k").owner == view_.route("k")


@SEEDS
def test_made_up_snapshots_are_refused_or_sound_and_take_no_more_than_their_bytes(seed: int) -> None:
    """Rows of no bytes took 3.8 GB."""
    chance = random.Random(seed)
    for _ in range(40):
        data = forged(chance)
        tracemalloc.start()
        try:
            snapshot = rw.Snapshot.from_bytes(data)
        except rw.SnapshotError:
            continue
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert most < 200_000 + 100 * len(data), (seed, data)
        check_view(snapshot)
        assert rw.Snapshot.from_bytes(snapshot.to_bytes()).to_bytes() == snapshot.to_bytes()
        try:
            router = getattr(rw, snapshot.strategy, rw.HashRing).resume(snapshot)
        except rw.RingwardError:
            continue
        for change in (
            lambda r: r.add("new"),
            lambda r: r.mark_down("a"),
            lambda r: r.reweigh("b", 3),
            lambda r: r.remove("d"),
        ):
            try:
                str(change(router))
            except rw.RingwardError:
                continue
        check_view(router)


# ---- Arrow structs: whole by their sizes, with any content ---------------------------------------------------

DATA = bytes(range(97, 121)) * 3
WRAPS = [0, 1, 3, 8, -1, 2**31 - 2, -(2**31), 2**62, 2**63 - 3, -(2**63) + 3]


def offset_column(chance: random.Random, length: int, offset: int) -> tuple[bytes, list[Any], list[bytes] | None]:
    """Format, buffers after the bitmap, and the keys; None where the column has to be refused."""
    code, form = chance.choice([("i", b"u"), ("q", b"Z")])
    half = 1 << (8 * struct.calcsize(code) - 1)
    start, end = chance.randrange(9), chance.randrange(-1, len(DATA))
    step = chance.choice([*WRAPS, chance.randrange(5)])
    if length in (2, 64) and chance.random() < 0.3:  # as far apart as keys of one size are, modulo 2^64
        step = chance.randrange(2) + chance.randrange(length) * (2**64 // length)
        end = min(start + length * (step % (2**64 // length)), len(DATA) - 1)
    rise = [start + i * step for i in range(length)]
    if chance.random() < 0.5:
        rise = sorted(chance.randrange(max(end, 0) + 1) for _ in range(length))
    if rise and chance.random() < 0.2:
        rise[chance.randrange(length)] = chance.choice([*WRAPS, chance.randrange(len(DATA))])
    at = [(each + half) % (2 * half) - half for each in rise] + [end]
    known = [0] * offset + at
    right = all(0 <= low <= high <= end for low, high in pairwise(at))
    keys = [DATA[low:high] for low, high in pairwise(at)] if right else None
    return form, [struct.pack(f"<{len(known)}{code}", *known), DATA], keys


def view_column(chance: random.Random, length: int, offset: int) -> tuple[bytes, list[Any], list[bytes | None]]:
    """As above, but None stands for single keys that have to be refused, where they are not null."""
    views, keys = [], []
    for _ in range(length):
        size = chance.choice([0, 5, 12, 13, 30, chance.randrange(len(DATA)), -1, 2**31 - 1])
        buffer, start = chance.choice([0, 0, 0, 1, -1, 2**31 - 1]), chance.choice([0, 3, len(DATA), -1, 2**31 - 1])
        if 0 <= size <= 12:
            views.append(view(size, inline=DATA[:size].ljust(12, b"\1")))
            keys.append(DATA[:size])
        else:
            views.append(view(size, buffer, start))
            keys.append(
                DATA[start : start + size] if buffer == 0 and size > 0 and 0 <= start <= len(DATA) - size else None
            )
    return b"vz", [bytes(16 * offset) + b"".join(views), DATA, struct.pack("<q", len(DATA))], keys


def column(chance: random.Random, *, plain: bool = False) -> tuple[Made, list[Any], list[bool]]:
    """A column, its keys (None: to be refused, unless it is null), and which of them are there."""
    length, offset = chance.choice([0, 1, 2, 3, 64, 65, 130]), chance.choice([0, 1, 7, 9])
    there = [chance.random() < 0.7 or plain for _ in range(length)]
    if plain or chance.random() < 0.3:
        there = [True] * length
    nulls = there.count(False)
    kind = chance.choice([offset_column, view_column] if plain else [offset_column, view_column, "dictionary", "fixed"])
    more: dict[str, Any] = {}
    if kind == "dictionary":
        values, known, _ = column(chance, plain=True)
        indices = [chance.choice([0, 1, 2, min(max(len(known) - 1, 0), 127), -1, 127]) for _ in there]
        form, buffers, more = b"c", [bytes(offset) + struct.pack(f"<{length}b", *indices)], {"dictionary": values}
        keys: Any = [known[i] if 0 <= i < len(known) else None for i in indices]
        if length and None in known:
            keys = None
    elif kind == "fixed":
        width = chance.choice([0, 1, 5, 16])
        form, buffers = b"w:%d" % width, [chance.randbytes(width * (offset + length))]
        keys = [buffers[0][width * i : width * (i + 1)] for i in range(offset, offset + length)]
    else:
        form, buffers, keys = kind(chance, length, offset)
    count = chance.choice([-1, nulls, length + 5]) if nulls else chance.choice([0, -1])
    bitmap = bits(there, offset) if nulls or chance.random() < 0.5 else None
    made = Made(form, [bitmap, *buffers], length, count, offset, **more)
    return made, [None] * length if keys is None else keys, there if keys is not None else [True] * max(length, 0)


@SEEDS
def test_arrow_columns_of_any_content_are_read_as_python_reads_them_or_refused(seed: int) -> None:
    """Offsets that were equally far apart modulo 2^64 passed for keys."""
    chance, ring = random.Random(seed), rw.HashRing([f"n{i}" for i in range(200)])
    for _ in range(100):
        made, keys, there = column(chance)
        refused = any(key is None and present for key, present in zip(keys, there, strict=True))
        what = seed, made
        try:
            ids = ring.assign(made, nulls="skip")
        except rw.KeyValueError:
            assert refused, what
            continue
        assert not refused, what
        right = [ring.assign([key])[0] if present else rw.NO_NODE for key, present in zip(keys, there, strict=True)]
        assert ids.tolist() == right, what
        assert sorted(made.released) == ["array", "schema"]


# ---- columns that are brought up to date ---------------------------------------------------------------------


def laid_out(chance: random.Random, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values somewhere in memory that is guarded on both sides, and that memory."""
    size, width = len(values), values.dtype.itemsize
    memory = np.full((3 * size + 200) * width, 0xA5, np.uint8)
    start = 64 * width + chance.choice([0, 0, 0, 1]) * (width > 1)
    step = chance.choice([1, 1, 1, 2, -1])
    room = np.frombuffer(memory.data, values.dtype, 2 * size + 2, start)
    array = room[: size * abs(step) : abs(step)][:: step // abs(step)]
    array[:] = values
    return array, memory


def liar(chance: random.Random, array: np.ndarray, size: int) -> np.ndarray:
    """Perhaps the same in a class that claims another size, type or more."""
    claims = chance.choice([{}, {}, {"shape": (size,)}, {"ndim": 1, "size": size}, {"dtype": np.dtype(np.uint32)}])
    kind = type("Liar", (np.ndarray,), {name: property(lambda _, v=v: v) for name, v in claims.items()})
    return array.view(kind) if claims else array


def brought_up(ids: np.ndarray, hashes: np.ndarray, arcs: np.ndarray) -> tuple[list[int], list[int]]:
    nobody = int(np.iinfo(ids.dtype).max)
    after, moved = ids.tolist(), []
    for i, h in enumerate(hashes.tolist()):
        for start, end, source, target in arcs.tolist():
            if start <= h <= end and after[i] == (nobody if source == rw.NO_NODE else source):
                after[i] = nobody if target == rw.NO_NODE else target
                moved.append(i)
                break
    return after, moved


@SEEDS
def test_apply_writes_what_moved_and_nothing_else(seed: int) -> None:
    """It wrote as far as an array said that it reached."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    for _ in range(30):
        ring = rw.HashRing([f"n{i}" for i in range(chance.randrange(1, 6))], points_per_node=4)
        size = chance.choice([0, 1, 5, 100, 300])
        hashes = noise.integers(0, 2**64, size, np.uint64)
        ids = ring.assign_hashes(hashes).astype(chance.choice(["u2", "u4", "i8", "u1", "i4", "f8"]))
        if chance.random() < 0.3:
            ids[noise.integers(0, 2, size) == 1] = chance.choice([0, 1, 77, 255])
        changes = [
            lambda r: r.mark_down(*r),
            lambda r: r.mark_down("n0"),
            lambda r: r.remove("n0"),
            lambda r: r.add("m"),
        ]
        transfer = chance.choice(changes)(ring)
        given_ids, memory = laid_out(chance, ids)
        given_hashes, _ = laid_out(chance, hashes[: chance.choice([size, size, size, size // 2])])
        fits = ids.dtype.str[1:] in {"u2", "u4", "i8"} and len(given_hashes) == size
        if chance.random() < 0.1:
            given_ids.flags.writeable = fits = False
        before = memory.copy()
        try:
            moved = transfer.apply(
                liar(chance, given_ids, size), liar(chance, given_hashes, size), threads=chance.choice([None, 3])
            )
        except rw.RingwardError:
            assert not fits
            assert np.array_equal(memory, before)
            continue
        assert fits
        after, indices = brought_up(ids, hashes, transfer.arcs)
        assert (given_ids.tolist(), moved.tolist()) == (after, indices)
        given_ids[:] = ids  # and all around is as it was
        assert np.array_equal(memory, before)
