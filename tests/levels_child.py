"""Prints a digest of what every kernel computes on many inputs: `python levels_child.py`, by RINGWARD_CPU."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pyarrow as pa
import xxhash

import ringward as rw

warnings.filterwarnings("ignore", "partitions should be at least")  # tables of a few partitions are meant

SIZES = (*range(36), 255, 511, 512, 513, 520, 1_023, 1_024, 1_025, 1_537, 2_056, 20_011)


def integers(size, seed):
    return np.random.default_rng(seed).integers(0, 2**64, size, np.uint64)


def padded(size, width, seed):
    """Keys of all lengths up to the width, with NULs inside and high bytes, in one `S` array."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (size, width), np.uint8)
    raw[rng.random((size, width)) < 0.1] = 0
    raw[np.arange(width) >= rng.integers(0, width + 2, (size, 1))] = 0
    return raw.view(f"S{width}").ravel()


def of_one_size(size, width, seed):
    """Keys of `width` bytes, NULs at their ends too, in Arrow's layouts; in the last column the second is shorter and the last longer."""
    raw = np.random.default_rng(seed).integers(0, 256, max(size * width, 1), np.uint8)
    raw[::5] = 0
    buffer = pa.py_buffer(raw.tobytes())
    yield pa.Array.from_buffers(pa.binary(width), size, [None, buffer])
    offsets = width * np.arange(size + 1)
    yield pa.Array.from_buffers(pa.binary(), size, [None, pa.py_buffer(offsets.astype(np.int32).tobytes()), buffer])
    offsets[2:-1] -= 1
    yield pa.Array.from_buffers(pa.large_binary(), size, [None, pa.py_buffer(offsets.tobytes()), buffer])


def routers():
    names = [f"node{i}" for i in range(300)]
    ring = rw.HashRing(names)
    ring.mark_down("node3", "node77")
    yield ring
    yield rw.HashRing(names[:7], points_per_node=5)
    yield rw.HashRing(names, points_per_node=6_000)  # too many points for a direct table
    yield rw.PartitionedRing(names, part_size=9)
    for partitions in (1, 2, 4_096, 1_000, 65_536):
        yield rw.PartitionTable(names, partitions=partitions)
    yield rw.PrimaryBackup(names[:3])


def results():
    """Arrays, in a fixed order."""
    for size in SIZES:
        for seed in (0, 7):
            hash_ = rw.XXH3(seed)
            keys = integers(size, seed)
            yield rw.hash_keys(keys, hash_)
            for other in (
                keys.astype(np.int32),
                keys[::2],
                keys[::-1],
                keys.byteswap().view(keys.dtype.newbyteorder()),
            ):
                yield rw.hash_keys(other, hash_)
            for width in (*range(1, 18), 40):
                texts = padded(size, width, seed)
                yield rw.hash_keys(texts, hash_)
                yield rw.hash_keys(texts[::2], hash_)
                yield from (rw.hash_keys(column, hash_) for column in of_one_size(size, width, seed))
    for router in routers():
        for size in SIZES:
            hashes = integers(size, 1)
            for dtype in (np.uint16, np.uint32, np.int64):
                yield router.assign_hashes(hashes, out=np.zeros(size, dtype))
                yield router.assign(hashes, out=np.zeros(size, dtype))
        hashes = integers(300_000, 2)  # enough for the direct table to be built
        before = [router.assign_hashes(hashes, out=np.zeros(len(hashes), d)) for d in (np.uint16, np.uint32, np.int64)]
        yield from before
        for size in SIZES:
            for width in (1, 3, 4, 8, 9, 15, 16, 17):  # hashed while others are looked up
                texts, out = padded(size, width, 3), np.zeros(size, np.uint16)
                yield router.assign(texts, out=out)
                assert (out == router.assign_hashes(rw.hash_keys(texts))).all()
                yield router.assign(texts[::-2])
                yield router.assign(texts, out=np.zeros(size, np.int64))
        for transfer in (router.mark_down("node1"), router.mark_up("node1"), router.remove("node2"), router.add("new")):
            for ids in before:
                yield transfer.apply(ids, hashes)
            yield from before


def main():
    digest = xxhash.xxh3_128()
    for array in results():
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array))
    sys.stdout.write(f"{rw.cpu().level} {digest.hexdigest()}\n")


if __name__ == "__main__":
    main()
