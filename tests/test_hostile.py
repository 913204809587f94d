"""Input made to do harm: sizes without bytes, arrays that lie, keys that call back, hashers and columns out of bounds."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import xxhash
from arrow_structs import Exports, Made, Schema, capsule, view

import ringward as rw
from ringward._core import Hasher, plain_array

U64 = np.uint64
HASHES = np.arange(64, dtype=U64) * U64(2**58)


def in_a_child(code: str, *arguments: str, limit_mb: int = 0) -> str:
    """What a process printed that may take so much memory above what its imports took."""
    limit = """
        import resource
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    """
    head = "import pickle, sys\nimport numpy as np, ringward as rw\nrw.HashRing(['a']).report()\n"
    limited = textwrap.dedent(limit).replace("ROOM", str(limit_mb << 20)) if limit_mb else ""
    command = [sys.executable, "-X", "faulthandler", "-c", head + limited + textwrap.dedent(code), *arguments]
    child = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    return child.stdout.strip()


# ---- snapshots whose sizes have no bytes -------------------------------------------------------------------


def with_shape(shape: Any, **options: Any) -> bytes:
    """A snapshot of a partition table of nobody whose rows are said to be of a shape."""
    data = rw.PartitionTable({"a": 0.0}, partitions=16).snapshot().to_bytes()
    size = int.from_bytes(data[12:20], "little")
    header = json.loads(data[20 : 20 + size])
    header["arrays"]["rows"][1] = shape
    header["options"].update(options)
    text = json.dumps(header).encode()
    body = data[:12] + len(text).to_bytes(8, "little") + text + data[20 + size : -8]
    return body + xxhash.xxh3_64_digest(body)


@pytest.mark.parametrize(
    "shape",
    [
        [10**9, 0], [0, 10**9], [2**24 + 1, 0], [2**63, 0], [10**400, 0], [0, 2**62, 2], [0], [], 5, "16", None,
        [16.0, 0], [True, 0], [-1, 0], [2**62, 4], [16, 1], [10**4000, 10**4000],
    ],
)  # fmt: skip
def test_a_shape_without_bytes_is_refused(shape: Any) -> None:
    """419 bytes that said [10^9, 0] took 3.8 GB."""
    with pytest.raises(rw.SnapshotError):
        rw.Snapshot.from_bytes(with_shape(shape))


SANITISED = "asan" in os.environ.get("LD_PRELOAD", "")  # maps terabytes


@pytest.mark.skipif(sys.platform != "linux" or SANITISED, reason="memory is limited as Linux does it")
def test_empty_rows_take_no_memory_by_any_way_in() -> None:
    """As many empty rows as a table may have; owners of each took 64 MB, and their arcs more."""
    code = """
    data, refused = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2])
    snapshot = rw.Snapshot.from_bytes(data)
    again = pickle.loads(pickle.dumps(snapshot))
    batch = pickle.loads(pickle.dumps(rw.assign_batch(snapshot)))
    table = rw.PartitionTable.resume(again)
    transfer = table.mark_down("a")
    str(transfer), transfer.rows, pickle.loads(pickle.dumps(transfer)).arcs
    str(table.report()), table.candidates("k"), table.copy().snapshot().to_bytes()
    rw.Transfer.between(batch.snapshot, table).share
    for call in (rw.Snapshot.from_bytes, rw.snapshot.is_intact):
        try:
            print(call(refused))
        except rw.SnapshotError as error:
            print("refused")
    print(len(table.rows))
    """
    data = with_shape([2**24, 0], partitions=2**24)
    printed = in_a_child(code, data.hex(), with_shape([10**9, 0]).hex(), limit_mb=32)
    assert printed.split() == ["refused", "False", str(2**24)]


def test_a_snapshot_has_points_of_exactly_its_members() -> None:
    """Without any points but with one node of a weight, nobody owned a key, and `assign` returned NO_NODE."""
    data = rw.HashRing({"a": 0.0, "b": 0.0}).snapshot().to_bytes()
    size = int.from_bytes(data[12:20], "little")
    text = data[20 : 20 + size].replace(b'["b", 0.0, null]', b'["b", 1.0, null]')
    body = data[:20] + text + data[20 + size : -8]
    with pytest.raises(rw.SnapshotError, match="exactly the members"):
        rw.Snapshot.from_bytes(body + xxhash.xxh3_64_digest(body))


def test_bytes_that_cannot_be_read_are_a_snapshot_error() -> None:
    data = memoryview(bytearray(rw.HashRing(["a"]).snapshot().to_bytes()))
    assert rw.Snapshot.from_bytes(data).route("k") == "a"
    data.release()
    with pytest.raises(rw.SnapshotError, match="released"):
        rw.Snapshot.from_bytes(data)


# ---- arrays that say of themselves what is untrue ----------------------------------------------------------


def lying(array: np.ndarray, **claims: Any) -> np.ndarray:
    """The same memory in a subclass whose attributes are what is claimed."""
    return array.view(type("Liar", (np.ndarray,), {name: property(lambda _, v=v: v) for name, v in claims.items()}))


def claims_of(array: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"shape": (64,), "size": 64},
        {"ndim": 1},
        {"size": 10**6},
        {"strides": (4096,)},
        {"dtype": np.dtype(object)},
        {"dtype": np.dtypes.StringDType()},
        {"dtype": np.dtype("U64")},
        {"dtype": np.dtype(np.int64), "itemsize": 8, "nbytes": 10**6},
        {"flags": np.zeros(1).flags},
        {"__len__": lambda: 10**6, "__array_interface__": {}, "__class__": list},
    ]


@pytest.mark.parametrize("kind", ["i4", "u8", "S9", "U9", "O", "T"])
@pytest.mark.parametrize("claim", range(10))
def test_keys_are_read_as_they_are_and_not_as_they_say(kind: str, claim: int) -> None:
    """Objects were followed that were integers, and memory was read that was another's."""
    plain = np.arange(1000, 1064).astype("S9" if kind == "S9" else "U9" if kind in "UT" else kind)
    plain = plain.astype(np.dtypes.StringDType()) if kind == "T" else plain
    ring = rw.HashRing(["a", "b", "c"])
    liar = lying(plain, **claims_of(plain)[claim])
    assert np.array_equal(ring.assign(liar), ring.assign(plain))
    assert np.array_equal(rw.hash_keys(liar), rw.hash_keys(plain))
    assert np.array_equal(ring.assign(liar, count=2, threads=2), ring.assign(plain, count=2))


@pytest.mark.parametrize("array", [np.array(5), np.arange(6).reshape(3, 2), np.array([1.5]), np.zeros(3, "M8[s]")])
def test_what_is_no_column_of_keys_cannot_pass_for_one(array: np.ndarray) -> None:
    ring = rw.HashRing(["a", "b"])
    for claims in ({"ndim": 1}, {"shape": (3,), "ndim": 1, "dtype": np.dtype(np.uint64)}):
        with pytest.raises(rw.KeyTypeError):
            ring.assign(lying(array, **claims))
        with pytest.raises(rw.ArgumentTypeError):
            ring.assign_hashes(lying(array, **claims))


@pytest.mark.parametrize("claim", range(10))
@pytest.mark.parametrize("width", ["u2", "u4", "i8", "u1", "f8"])
def test_nothing_is_written_beside_an_array(width: str, claim: int) -> None:
    """`out` and `ids` that claimed a million entries were written as far, whatever they had."""
    ring = rw.HashRing(["a", "b", "c"])
    right, after = ring.assign_hashes(HASHES), ring.copy()
    transfer = after.mark_down("a")
    for size in (64, 4):
        room = np.full(256, 7, width)
        out = lying(room[96 : 96 + size], **claims_of(room)[claim])
        calls = [
            lambda out=out: ring.assign_hashes(HASHES, out=out),
            lambda out=out: ring.assign(HASHES.astype(np.int64), out=out, threads=3),
            lambda out=out: transfer.apply(out, HASHES),
        ]
        for call in calls:
            room[:] = 7
            try:
                result = call()
            except rw.RingwardError:
                assert (room == 7).all()
                continue
            assert size == 64
            assert np.dtype(width) in {np.dtype(each) for each in ("u2", "u4", "i8")}
            assert (room[:96] == 7).all()
            assert (room[160:] == 7).all()
            if result is out:
                assert np.array_equal(room[96:160], right if call is calls[0] else ring.assign(HASHES.astype(np.int64)))


def test_hashes_are_as_many_as_they_are() -> None:
    """Hashes that claimed to be as few as the ids were read to their end, and the ids written as far."""
    ring = rw.HashRing(["a", "b", "c"])
    transfer = ring.mark_down("a")
    room = np.full(96, 7, np.uint32)
    for ids in (room[32:36], lying(room[32:36], shape=(64,))):
        with pytest.raises(rw.ArgumentError):
            transfer.apply(ids, lying(HASHES, shape=(4,), size=4))
    assert (room == 7).all()
    with pytest.raises(ValueError, match="as many as hashes"):
        transfer._index.apply(room[:4], HASHES, None)


def test_functions_that_a_subclass_overrides_are_not_asked() -> None:
    """`may_share_memory` goes by `__array_function__`: it said that nothing overlaps."""

    class Evasive(np.ndarray):
        def __array_function__(self, *_: object) -> bool:
            return False

        def view(self, *_: object) -> Any:
            return np.zeros(1)

    ring = rw.HashRing([f"n{i}" for i in range(9)])
    memory = np.arange(4096, dtype=np.uint32)
    right = ring.assign(memory.copy())
    keys, out = memory.view(Evasive), np.ndarray.view(memory[::-1], Evasive)
    assert ring.assign(keys, out=out) is out
    assert np.array_equal(memory[::-1], right)
    assert type(plain_array(keys)) is np.ndarray
    assert plain_array([1]) is None


@pytest.mark.filterwarnings("ignore:Setting the shape")  # deprecated since NumPy 2.5, and possible still
def test_an_out_that_changes_its_shape_during_the_call_is_written_as_it_was() -> None:
    out = np.zeros(4, np.int64)

    class Reshapes(str):
        __slots__ = ()

    class Number(int):
        def __int__(self) -> int:
            out.shape = (2, 2)
            return 5

    ring = rw.HashRing(["a", "b"])
    assert ring.assign([1, Number(5), 2, Reshapes("x")], out=out) is out
    assert out.ravel().tolist() == ring.assign([1, 5, 2, "x"]).tolist()


def test_a_list_is_as_long_as_it_is() -> None:
    """A subclass said that it held 10^12 keys, and memory was asked for as many."""

    class Long(list):
        def __len__(self) -> int:
            return 10**12

    class Wide(tuple):
        __slots__ = ()

        def __len__(self) -> int:
            return 0

    ring = rw.HashRing(["a", "b"])
    assert (
        ring.assign(Long(["x", "y"])).tolist() == ring.assign(Wide(["x", "y"])).tolist() == [*ring.assign(["x", "y"])]
    )

    class Pretends:
        __class__ = list

    with pytest.raises(rw.KeyTypeError):
        ring.assign(Pretends())


# ---- keys that call back -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "class Key(int):\n    def __int__(self): call(Key(1)); return 1",
        "class Key(np.int64):\n    def __int__(self): call(Key(1)); return 1",
        "class Key(bytearray):\n    def __bytes__(self): call(Key()); return b'1'",
        "import uuid\nclass Key(uuid.UUID):\n    def __init__(self, *_): pass\n    bytes = property(lambda s: call(Key()))",
        "class Key:\n    def __init__(self, *_): pass\n    __class__ = property(lambda s: call(Key()))",
        "class Key(float):\n    def __repr__(self): call(Key()); return 'x'",
    ],
)
def test_keys_that_route_keys_end_in_an_error_and_not_in_a_crash(body: str) -> None:
    """Each level took 20 kB of the C stack, of which Python's own limit allows 500."""
    code = f"""
import threading
ring = rw.HashRing(["a", "b"])
sys.setrecursionlimit(1000000)
threading.stack_size(1 << 20)
def call(key):
    ring.assign([key], count=2)
{body}
def run():
    for tried in (call, ring.assign):
        try:
            tried(Key(1) if tried is call else np.array([Key(1)], object))
        except (RecursionError, rw.KeyTypeError) as error:
            print(type(error).__name__)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    assert in_a_child(code).split()[0] in {"RecursionError", "KeyTypeError"}


def test_keys_may_route_keys_a_few_levels_deep_ever_again() -> None:
    ring = rw.HashRing(["a", "b"])
    right = ring.assign([1]).tolist()
    deepest = 0

    class Key(int):
        def __int__(self) -> int:
            nonlocal deepest
            deepest = max(deepest, self.numerator)
            assert ring.assign([Key(self.numerator + 1) if self.numerator < 12 else 1])[0] >= 0
            return 1

    for _ in range(100):
        assert ring.assign([Key(1)]).tolist() == right
    assert deepest == 12


@pytest.mark.parametrize("what", ["clear", "grow", "replace", "down", "remove"])
@pytest.mark.parametrize("kind", [list, "array"])
def test_keys_that_change_what_is_read_get_an_answer_or_an_error(what: str, kind: Any) -> None:
    """The answer is of the epoch at which the call began."""
    ring = rw.HashRing([f"n{i}" for i in range(5)])
    before = ring.snapshot()

    class Key(int):
        def __int__(self) -> int:
            if what == "clear" and kind is list:
                keys.clear()
            elif what == "clear":
                keys.resize(300, refcheck=False)
            elif what == "grow" and kind is list:
                keys.extend(["more"] * 5000)
            elif what == "replace":
                keys[:] = ["other"] * len(keys)
            elif what == "down" and len(ring.down) < 4:
                ring.mark_down(f"n{len(ring.down)}")
            elif what == "remove" and len(ring) > 1:
                ring.remove(ring.nodes[0].name)
            return 7

    made: list[Any] = [f"k{i}" for i in range(256)] + [Key(1)] + [f"k{i}" for i in range(1000)]
    keys: Any = made.copy() if kind is list else np.array(made, object)
    try:
        ids = ring.assign(keys)
    except rw.KeyTypeError:
        assert what == "clear"
        return
    plain = [7 if isinstance(key, int) else key for key in made]
    if what == "replace":
        plain[257:] = ["other"] * 1000
    assert ids.tolist() == before.assign(plain).tolist()


# ---- hashers ------------------------------------------------------------------------------------------------

GOOD = {"multiplier": 7, "divisor": 1000 << 54, "reciprocal": (2**128 - 1) // (1000 << 54) - 2**64, "shift": 54}


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        (2, {"shift": -5}), (2, {"shift": 64}), (2, {"shift": 58}), (2, {"divisor": 0}), (2, {"divisor": 1000}),
        (2, {"divisor": (1000 << 54) + 1}), (2, {"reciprocal": 0}), (2, {"multiplier": 1000}), (2, {"multiplier": 2**63}),
        (-1, {}), (3, {}), (2**40, {}), (1, {"c_rounds": 0, "d_rounds": 1}), (1, {"c_rounds": 1, "d_rounds": -1}),
        (1, {"c_rounds": 2**31 - 1, "d_rounds": 1}), (0, {"seed": -1}), (0, {"seed": 2**64}), (1, {"k0": 2**64}),
    ],
)  # fmt: skip
def test_a_hasher_out_of_bounds_is_an_argument_error(family: int, changes: dict[str, int]) -> None:
    """`Hasher(2, shift=-5)` shifted by a negative number, and 2^31 rounds never ended."""
    rw.HashRing(["a", "b"], hash=Hasher(2, **GOOD)).route("k")
    with pytest.raises(rw.ArgumentError):
        Hasher(family, **(GOOD | changes if family == 2 else changes))
    hasher = Hasher(2, **GOOD)
    before = hasher(312)
    with pytest.raises(rw.RingwardError):
        hasher.__init__(family, **(GOOD | changes if family == 2 else changes))
    assert hasher(312) == before == rw.Multiplicative(7, 1000)(312)


@pytest.mark.parametrize("rounds", [np.array([1, 3]), (1.0, 3.0), (True, 3), [1, 3], None, (2**31, 4), "13"])
def test_rounds_are_two_numbers(rounds: Any) -> None:
    with pytest.raises(rw.ArgumentError):
        rw.SipHash(bytes(16), rounds=rounds)


def test_a_key_is_its_bytes_whatever_its_class_says() -> None:
    class Key(bytes):
        __slots__ = ()

        def __getitem__(self, _: Any) -> Any:
            return b""

        def __bytes__(self) -> bytes:
            return b"short"

    class Index:
        def __index__(self) -> Any:
            return "5"  # noqa: PLE0305 - what is tested

    key = bytes(range(16))
    assert rw.SipHash(Key(key))("k") == pickle.loads(pickle.dumps(rw.SipHash(Key(key))))("k") == rw.SipHash(key)("k")
    with pytest.raises(TypeError):
        rw.XXH3(Index())


# ---- Arrow columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-(2**63) + 3, 2**63 - 3, 2**62, -(2**62), -1, 2**56 + 1])
@pytest.mark.parametrize("count", [2, 4, 64])
def test_offsets_that_wrap_are_refused(step: int, count: int) -> None:
    """0, -2^63 + 3 and 6 are equally far apart modulo 2^64: they passed for two keys of 3 bytes."""
    offsets = [(i * step + 2**63) % 2**64 - 2**63 for i in range(count)] + [6]
    with pytest.raises(rw.KeyValueError):
        rw.hash_keys(Made(b"U", [None, struct.pack(f"<{count + 1}q", *offsets), b"abcdef"], count))


@pytest.mark.parametrize("form", [b"l", b"C", b"U", b"u", b"vu", b"w:16", b"w:0"])
@pytest.mark.parametrize(("length", "offset"), [(2**62, 0), (2**63 - 2, 0), (1, 2**62), (2**57, 2**57)])
def test_a_length_beyond_all_memory_is_refused(form: bytes, length: int, offset: int) -> None:
    """What was 2^60 places away lay, modulo 2^64, anywhere."""
    buffers = [None, bytes(64), *([bytes(8)] if form in (b"U", b"u") else [struct.pack("<q", 0)] * (form == b"vu"))]
    with pytest.raises(rw.KeyValueError, match="length"):
        rw.hash_keys(Made(form, buffers, length, offset=offset))


def test_structs_with_members_missing_are_errors() -> None:
    """Children that are counted and not there, and a second dictionary without buffers, ended the process."""
    made = Made(b"+s", [None], 0)
    made.schema.n_children, made.schema.children = 3, type(made.schema.children)()
    with pytest.raises(rw.KeyTypeError):
        rw.hash_keys(made)
    code = """
    sys.path.insert(0, sys.argv[1])
    from arrow_structs import Made, MadeStream
    def chunk(**changes):
        values = Made(b"u", [None, (0).to_bytes(4, "little") + (1).to_bytes(4, "little"), b"a"], 1, **changes)
        return Made(b"c", [None, bytes(2)], 2, dictionary=values)
    broken = chunk(n_buffers=3)
    broken.dictionary.array.buffers = type(broken.dictionary.array.buffers)()
    try:
        rw.hash_keys(MadeStream([chunk(), broken]))
    except rw.KeyValueError as error:
        print(error)
    """
    assert "no list of buffers" in in_a_child(code, str(__import__("pathlib").Path(__file__).parent))


def test_a_capsule_is_of_the_name_and_kind_it_is_asked_for() -> None:
    made, released = Made(b"l", [None, bytes(8)], 1), Schema()
    schema, array = made.__arrow_c_array__()
    for given in ((array, schema), (schema, schema), (capsule(released, b"arrow_schema"), array), None, (schema,)):
        with pytest.raises((rw.KeyTypeError, rw.KeyValueError)):
            rw.hash_keys(Exports(given))


def test_views_lead_nowhere_but_into_their_buffers() -> None:
    sizes = struct.pack("<q", 20)
    for bad in (view(20, -1), view(20, 1), view(20, 0, 1), view(2**31 - 1, 0, 2**31 - 1), view(-1), view(20, 0, -5)):
        with pytest.raises(rw.KeyValueError):
            rw.hash_keys(Made(b"vu", [None, bad, b"x" * 20, sizes], 1))
