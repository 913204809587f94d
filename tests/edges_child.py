"""Routes columns beside memory that may not be touched: `python edges_child.py`, by RINGWARD_CPU.

A read or write beyond a column ends the process, where the system protects pages. With the argument
`beyond` it does that on purpose.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import struct
import sys
import warnings

import numpy as np
import pyarrow as pa
from levels_child import integers, padded

import ringward as rw

warnings.filterwarnings("ignore", "partitions should be at least")  # tables of a few partitions are meant

PAGES = 64
COUNTS = (*range(1, 20), 31, 32, 33, 63, 64, 65, 127, 129, 1_023, 1_024, 1_025)
WIDTHS = (*range(1, 18), 24, 40, 129, 241)
FAMILIES = (rw.XXH3(), rw.XXH3(7), rw.SipHash(bytes(range(16))), rw.Multiplicative(2**63 + 1, 2**64 - 59))
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">i8")


class Room:
    """Memory with a page before it and one after it that nobody may touch."""

    def __init__(self):
        self.pages = np.frombuffer(mmap.mmap(-1, (PAGES + 2) * mmap.PAGESIZE), np.uint8)
        self.free = self.pages[mmap.PAGESIZE : -mmap.PAGESIZE]
        if os.name == "posix":
            protect = ctypes.CDLL(None, use_errno=True).mprotect
            protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
            for page in (self.pages, self.pages[-mmap.PAGESIZE :]):
                if protect(page.ctypes.data, mmap.PAGESIZE, 0):
                    raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, array, *, last):
        """A copy of an array as the last bytes that may be touched, or as the first."""
        size = array.nbytes
        held = self.free[len(self.free) - size :] if last else self.free[:size]
        held[:] = np.frombuffer(array.tobytes(), np.uint8)
        return held.view(array.dtype)


ROOMS = [Room() for _ in range(4)]


def held(last, *arrays):
    """Arrays, each in a room of its own."""
    return [room.hold(array, last=last) for room, array in zip(ROOMS, arrays, strict=False)]


def arrow(kind, size, buffers, last):
    """An Arrow column over buffers at the edge of memory; None for a buffer that is not there."""
    placed = iter(held(last, *(buffer for buffer in buffers if buffer is not None)))
    given = [None if buffer is None else foreign(next(placed)) for buffer in buffers]
    return pa.Array.from_buffers(kind, size, given)


def foreign(array):
    return pa.foreign_buffer(array.ctypes.data, array.nbytes, array)


def of_strings(count):
    """Arrays of integers, bytes and text."""
    for dtype in INTEGERS:
        yield integers(count, 3).astype(dtype)
    for width in WIDTHS:
        yield padded(count, width, 3)
        yield np.frombuffer(b"x" * width * count, f"S{width}")
    for width in (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 40):
        for letters in ("a", "é", "節", "\U0001f980"):
            yield np.array([letters * width] * count)
        yield np.array(["ab節"[: i % 4] * (width // 3 + 1) for i in range(count)], f"U{width}")


def lengths(count):
    """How long the keys of a column are: the last one ends with its data."""
    rng = np.random.default_rng(5)
    yield rng.integers(0, 30, count)
    yield rng.integers(0, 80, count)
    for width in WIDTHS:
        yield np.full(count, width)


def of_arrow(count, last):
    """Arrow columns of every layout, each with its copy in ordinary memory."""
    valid = np.full(-(-count // 8), 255, np.uint8)
    values = integers(count, 4)
    for validity in (None, valid):
        yield pa.array(values), arrow(pa.uint64(), count, [validity, values], last)
        places = (values % 3).astype(np.int8)
        indices = arrow(pa.int8(), count, [validity, places], last)
        words = pa.array(["a", "bc", "def"])
        yield pa.DictionaryArray.from_arrays(places, words), pa.DictionaryArray.from_arrays(indices, words)
    for sizes in lengths(count):
        ends = np.concatenate([[0], np.cumsum(sizes)])
        raw = integers(ends[-1] // 8 + 1, 6).view(np.uint8)[: ends[-1]]
        plain = pa.array([raw[a:b].tobytes() for a, b in itertools.pairwise(ends)], pa.binary())
        yield plain, arrow(pa.binary(), count, [None, ends.astype(np.int32), raw], last)
        yield plain, arrow(pa.large_binary(), count, [valid, ends.astype(np.int64), raw], last)
        views = b"".join(
            struct.pack("<i12s", b - a, raw[a:b].tobytes()) if b - a <= 12 else struct.pack("<i4sii", b - a, b"", 0, a)
            for a, b in itertools.pairwise(ends.tolist())
        )
        yield plain, arrow(pa.binary_view(), count, [valid, np.frombuffer(views, np.uint8), raw], last)
        if (sizes == sizes[0]).all():
            yield plain, arrow(pa.binary(int(sizes[0])), count, [valid, raw], last)


def check_keys(count, last):
    for array in of_strings(count):
        (keys,) = held(last, array)
        for step in (1, 2, -1):
            for family in FAMILIES:
                assert (rw.hash_keys(keys[::step], family) == rw.hash_keys(array[::step], family)).all(), array.dtype
    for plain, column in of_arrow(count, last):
        for family in FAMILIES:
            assert (rw.hash_keys(column, family) == rw.hash_keys(plain, family)).all(), column.type


def routers():
    names = [f"node{i}" for i in range(300)]
    yield rw.HashRing(names)
    yield rw.HashRing(names[:3], points_per_node=2)
    yield rw.PartitionedRing(names, part_size=9)
    yield rw.PartitionTable(names, partitions=1_000, replicas=3)
    yield rw.PartitionTable(names[:5], partitions=1)
    yield rw.PrimaryBackup(names[:3])


def check_ids(router, count, last):
    plain, rows = integers(count, 8), padded(count, 16, 8)
    for dtype in (np.uint16, np.uint32, np.int64):
        hashes, out, texts = held(last, plain, np.zeros(count, dtype), rows)
        assert (router.assign(texts, out=out) == router.assign_hashes(rw.hash_keys(rows))).all()
        expected = router.assign_hashes(plain, out=np.zeros(count, dtype))
        assert (router.assign_hashes(hashes, out=out) == expected).all()
        assert (router.assign(hashes, out=out) == router.assign(plain)).all()
        assert (router.assign_hashes(hashes, count=2) == router.assign_hashes(plain, count=2)).all()
        out[:] = expected
        transfer = router.copy().mark_down(str(router.names[expected[-1]]))
        assert (transfer.apply(out, hashes) == transfer.moved(plain)).all()
        assert (transfer.moved(hashes) == transfer.moved(plain)).all()


def main():
    if sys.argv[1:] == ["beyond"]:
        room = ROOMS[0].hold(np.arange(8), last=True)
        sys.stdout.write(str(ctypes.string_at(room.ctypes.data, room.nbytes + 1)))
        return
    made = list(routers())
    for router in made:
        router.assign_hashes(integers(300_000, 9))  # so many that rings get their direct tables
    for last in (True, False):
        for count in COUNTS:
            check_keys(count, last)
            for router in made:
                check_ids(router, count, last)
    sys.stdout.write(f"{rw.cpu().level}\n")


if __name__ == "__main__":
    main()
