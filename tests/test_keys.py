"""Keys: every kind of key in every container is hashed alike, and what is no key is refused."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import INTEGER_DTYPES, MANY, keys

import ringward as rw

KEY16 = bytes(range(16))
M, P = 0x9E3779B97F4A7C15, 2**64 - 59
FAMILIES: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "XXH3": (rw.XXH3(), lambda k: oracle.xxh3(oracle.key_bytes(k))),
    "XXH3, seed": (rw.XXH3(seed=2**63 + 5), lambda k: oracle.xxh3(oracle.key_bytes(k), 2**63 + 5)),
    "SipHash": (rw.SipHash(KEY16), lambda k: oracle.siphash(KEY16, oracle.key_bytes(k))),
    "Multiplicative": (rw.Multiplicative(M, P), lambda k: oracle.multiplicative(k, M, P)),
}
family = pytest.mark.parametrize("family", FAMILIES)


class Text(str):
    """A str of its own class."""

    __slots__ = ()


class Number(int):
    """An int of its own class."""

    __slots__ = ()


class Level(enum.IntEnum):
    """An int that is a member of an enumeration."""

    HIGH = 3


SCALARS = (
    "event1", "", "a\0b", "\0", "é", "e\u0301", "節点", "\U0001f980", "\uffff", "x" * 1000, "é" * 1000,
    b"event1", b"", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", bytearray(b"event1"), bytearray(),
    memoryview(b"event1"), memoryview(b""), memoryview(b"xevent1x")[1:7],
    0, 1, 42, -1, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**30, -(2**30), 2**60, -(2**60),
    np.int8(-128), np.int16(-1), np.int32(2**31 - 1), np.int64(-(2**63)), np.longlong(-7),
    np.uint8(255), np.uint16(65535), np.uint32(2**32 - 1), np.uint64(2**64 - 1), np.ulonglong(7),
    uuid.UUID("12345678-1234-5678-9abc-def012345678"), uuid.UUID(int=0),
    Text("event1"), Text(""), Number(42), Number(-1), Level.HIGH, np.str_("é"), np.bytes_(b"a"),
)  # fmt: skip

INTEGER_VALUES = (0, 1, 42, 127, 2**15 - 1, 2**31, 2**63 - 1, 2**64 - 1, -1, -128, -(2**63))
TEXTS = (
    "event1",
    "",
    "a",
    "é",
    "節点",
    "\U0001f980",
    "a\0b",
    "x" * 20,
    "é" * 17,
    "event10",
    "\uffff",
)
BYTES = (b"event1", b"", b"a", b"a\0b", b"\xff" * 20, b"x" * 33, b"event10")


def layouts(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield an array of keys in every layout that memory allows."""
    yield "contiguous", array
    yield "strided", np.repeat(array, 3)[1::3]
    yield "backwards", array[::-1].copy()[::-1]
    yield "column", np.stack([array, array[::-1]], axis=1)[:, 0]
    yield "repeated", np.broadcast_to(array[:1], (7,))
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    raw = np.zeros(array.nbytes + 1, dtype=np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), dtype=np.uint8)
    unaligned = raw[1:].view(array.dtype)
    yield "unaligned", unaligned
    yield "empty", array[:0]


def arrays() -> Iterator[tuple[str, np.ndarray]]:
    """Yield arrays of every dtype that holds keys, in both byte orders and every layout."""
    plain = [np.arange(9, dtype=code) for code in "qQpP"]
    for code in INTEGER_DTYPES:
        info = np.iinfo(code)
        values = [v for v in INTEGER_VALUES if info.min <= v <= info.max]
        plain += [np.array(values, dtype=order + code) for order in "<>"]
    for width in (1, 8, 20, 40, 300):
        plain.append(np.array([b[:width] for b in BYTES], dtype=f"S{width}"))
        for order in "<>":
            plain.append(np.array([t[:width] for t in TEXTS], dtype=f"{order}U{width}"))
            plain.append(np.array([f"event{i}" for i in range(50)], dtype=f"{order}U{width}"))
    plain.append(np.array([b"", b"", b""], dtype="S0"))
    for array in plain:
        for layout, laid in layouts(array):
            yield f"{array.dtype.str} {layout}", laid
    mixed = boxed(SCALARS)
    for layout in (mixed, mixed[::-1], mixed[::2], mixed[:0]):
        yield "object", layout


def boxed(objects: Sequence) -> np.ndarray:
    """Return an object array of objects, some of which NumPy would rather take apart."""
    array = np.empty(len(objects), dtype=object)
    for i, one in enumerate(objects):
        array[i] = one
    return array


CONTAINERS: dict[str, Callable[[tuple], Any]] = {
    "list": list,
    "tuple": tuple,
    "object array": boxed,
}
ARRAYS = list(arrays())


def members_ring(hash_function: object) -> rw.HashRing:
    """Return a ring small enough for the oracle."""
    return rw.HashRing(["node1", "node2", "node3"], points_per_node=4, hash=hash_function)


REFERENCE = oracle.HashRing({f"node{i}": oracle.Member() for i in (1, 2, 3)}, points_per_node=4)


def check(container: Any, each: list, name: str) -> None:
    """Check that bulk hash, scalar hash, routes, ids and the oracle agree on a container of keys."""
    hash_function, reference = FAMILIES[name]
    router = members_ring(hash_function)
    expected = [reference(key) for key in each]
    found = rw.hash_keys(container, hash_function)
    assert (found.dtype, found.shape) == (np.dtype(np.uint64), (len(each),))
    assert found.tolist() == expected
    assert [hash_function(key) for key in each] == expected
    owners = [REFERENCE.owner(h) for h in expected]
    ids = router.assign(container)
    assert (ids.dtype, ids.shape) == (np.dtype(np.uint32), (len(each),))
    assert list(router.names[ids]) == owners
    assert [router.route(key) for key in each] == owners
    assert [router[key] for key in each] == owners
    walks = [REFERENCE.candidates(h) for h in expected]
    assert [router.candidates(key) for key in each] == walks
    table = router.assign(container, count=3)
    assert table.shape == (len(each), 3)
    assert [list(router.names[row]) for row in table] == walks


@family
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_kind_of_key_hashes_alike_alone_and_in_a_container(container: str, family: str) -> None:
    """Hash, route, candidates and assign of every scalar kind agree with the oracle."""
    check(CONTAINERS[container](SCALARS), list(SCALARS), family)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_array_hashes_as_its_elements_do(name: str) -> None:
    """Every dtype, byte order and layout gives what its elements give one by one."""
    hash_function, reference = FAMILIES[name]
    router = members_ring(hash_function)
    for label, array in ARRAYS:
        each = list(array)
        expected = [reference(key) for key in each]
        before = array.tobytes()
        assert rw.hash_keys(array, hash_function).tolist() == expected, label
        assert [hash_function(key) for key in each] == expected, label
        owners = [REFERENCE.owner(h) for h in expected]
        assert list(router.names[router.assign(array)]) == owners, label
        assert array.tobytes() == before, label


@pytest.mark.parametrize("dtype", ["U3", ">U3", "S3", "U40", "S40", "i4", ">i8", "u2"])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 127, 128, 129, 1023, 1024, 1025, 4097])
def test_arrays_of_every_length_hash_to_their_end(dtype: str, length: int) -> None:
    """Whatever blocks a loop works in, its first and its last keys are hashed like the others."""
    numbers = [i % 1000 for i in range(length)]
    array = np.array(numbers if "i" in dtype or "u" in dtype else [*map(str, numbers)]).astype(dtype)
    expected = [oracle.xxh3(oracle.key_bytes(key)) for key in array]
    assert rw.hash_keys(array).tolist() == expected
    assert rw.hash_keys(list(array)).tolist() == expected


@given(drawn=st.lists(keys, max_size=30))
@MANY
def test_any_list_of_keys_agrees_with_the_oracle(drawn: list) -> None:
    """Any mixture of keys agrees, alone and in bulk, for every hash family."""
    for name in FAMILIES:
        check(drawn, drawn, name)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1),
    order=st.sampled_from("<>"),
    step=st.sampled_from([1, 2, -1, -3]),
)
@MANY
def test_any_unicode_array_agrees_with_the_oracle(texts: list, order: str, step: int) -> None:
    """A U array of any text, order and stride hashes the UTF-8 of its elements."""
    array = np.array(texts, dtype="U20").astype(f"{order}U20")[::step]
    expected = [oracle.xxh3(str(key).encode()) for key in array]
    assert rw.hash_keys(array).tolist() == expected


def test_text_and_its_utf8_are_the_same_key() -> None:
    """A str, its bytes, a bytearray and a memoryview of them route alike; composed text does not."""
    router = members_ring(rw.XXH3())
    for text in ("a", "é", "節点"):
        utf8 = text.encode()
        found = {rw.XXH3()(k) for k in (text, utf8, bytearray(utf8), memoryview(utf8), Text(text))}
        assert len(found) == 1
        assert router.route(text) == router.route(utf8)
    assert rw.XXH3()("\u00e9") != rw.XXH3()("e\u0301")


def test_an_integer_is_the_same_key_at_every_width() -> None:
    """The scalar 42 and 42 in an array of any width agree, and so do -1 and 2^64 - 1."""
    h = rw.XXH3()
    for code in INTEGER_DTYPES:
        assert rw.hash_keys(np.array([42], dtype=code)).tolist() == [h(42)]
        assert h(np.dtype(code).type(42)) == h(42)
        if code[0] == "i":
            assert rw.hash_keys(np.array([-1], dtype=code)).tolist() == [h(2**64 - 1)]
    assert h(-1) == h(2**64 - 1)
    assert h(-(2**63)) == h(2**63)
    assert h(42) != h("42")


def test_a_strided_memoryview_is_the_bytes_it_shows() -> None:
    """A memoryview that leaves bytes out hashes as bytes() of it."""
    view = memoryview(b"e-v-e-n-t-1-")[::2]
    assert rw.XXH3()(view) == rw.XXH3()(b"event1")
    assert rw.hash_keys([view]).tolist() == [rw.XXH3()("event1")]


@pytest.mark.parametrize("empty", [[], (), np.empty(0, np.int64), np.empty(0, "U5"), np.empty(0, object)])
def test_no_keys_give_no_answers(empty: Any) -> None:
    """Empty containers give arrays of length 0 with the dtype and the width that was asked for."""
    router = members_ring(rw.XXH3())
    assert rw.hash_keys(empty).shape == (0,)
    assert rw.hash_keys(empty).dtype == np.uint64
    assert router.assign(empty).shape == (0,)
    assert router.assign(empty).dtype == np.uint32
    assert router.assign(empty, count=2).shape == (0, 2)


# ---- what is no key --------------------------------------------------------------------------------


class Indexed:
    """An object that can be an index, but is no integer."""

    def __index__(self) -> int:
        return 1


NO_KEYS = (
    True, False, np.True_, 1.5, float("nan"), float("inf"), np.float64(1), np.float32(1), np.float16(1),
    np.longdouble(1), 1j, np.complex128(1), None, np.datetime64("2020-01-01"), np.datetime64("NaT", "s"),
    np.timedelta64(1, "s"), object(), Indexed(), [], ["a"], ("a",), {"a"}, frozenset("a"), {"a": 1},
    np.array("a"), np.array(["a"]), np.array(1), Ellipsis, NotImplemented, int, np.void(b"a"),
)  # fmt: skip


class Odd(uuid.UUID):
    """A UUID whose bytes are none; they were once read as bytes all the same, wherever that led."""

    bytes = 1e300


class Broken(uuid.UUID):
    """A UUID whose bytes are text."""

    bytes = "event1"


def released() -> memoryview:
    """Return a view of nothing any more."""
    view = memoryview(b"event1")
    view.release()
    return view


TOO_LARGE = (2**64, 2**64 + 1, -(2**63) - 1, -(2**64), 2**200, -(2**200), Number(2**64))
SURROGATES = (
    "\ud800",
    "a\udfff",
    "\udc80\udc80",
    Text("\ud83e"),
    "\ud83e\udd80",
    "é" * 50 + "\ud800",
)
POSITIONS = (0, 1, 31, 32, 1000)


def check_refused(bad: Any, error: type[Exception]) -> None:
    """Check that one bad key is refused alone, and in every container with its position."""
    router = members_ring(rw.XXH3())
    for call in (router.route, router.__getitem__, router.candidates, router.hash, router.explain):
        with pytest.raises(error) as caught:
            call(bad)
        assert caught.value.position is None
    for position in POSITIONS:
        keys = ["event1"] * (position + 3)
        keys[position] = bad
        in_array = boxed(keys)
        containers = [keys, tuple(keys)]
        # NumPy unpacks an array of no dimensions that is put into another.
        containers += [in_array] * (in_array[position] is bad)
        for container in containers:
            for call in (router.assign, rw.hash_keys):
                with pytest.raises(error, match=rf"\b{position}\b") as caught:
                    call(container)
                assert caught.value.position == position
            for out in (np.full(len(keys), 77, np.uint32), np.full((len(keys), 2), 77, np.int64)):
                with pytest.raises(error):
                    router.assign(container, out=out, count=None if out.ndim == 1 else 2)
                assert (out == 77).all()


@pytest.mark.parametrize("bad", NO_KEYS, ids=lambda bad: f"{type(bad).__name__} {bad!s:.20}")
def test_what_is_no_key_is_a_type_error_that_names_its_position(bad: Any) -> None:
    """A bool, a float, None and whatever else is no key is refused, and nothing is half-written."""
    check_refused(bad, rw.KeyTypeError)


@pytest.mark.parametrize("bad", [Odd(int=5), Broken(int=5)], ids=["float", "str"])
def test_a_uuid_without_bytes_is_a_type_error_that_names_its_position(bad: Any) -> None:
    """A subclass may have anything for its bytes: what is none is refused, and never read."""
    check_refused(bad, rw.KeyTypeError)


def test_a_released_memoryview_is_a_value_error_that_names_its_position() -> None:
    """It is of the right type, but its bytes cannot be had any more."""
    check_refused(released(), rw.KeyValueError)


@pytest.mark.parametrize("bad", TOO_LARGE)
def test_an_integer_beyond_64_bits_is_a_value_error_that_names_its_position(bad: int) -> None:
    """Integers below -2^63 or above 2^64 - 1 are refused, and nothing is half-written."""
    check_refused(bad, rw.KeyValueError)


@pytest.mark.parametrize("bad", SURROGATES, ids=ascii)
def test_a_lone_surrogate_is_a_value_error_that_names_its_position(bad: str) -> None:
    """Text without a UTF-8 form is refused, and nothing is half-written."""
    check_refused(bad, rw.KeyValueError)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
def test_a_code_that_is_no_character_in_a_unicode_array_is_refused(code: int, order: str) -> None:
    """Surrogates and codes above U+10FFFF in a U array are errors that name the position."""
    router = members_ring(rw.XXH3())
    for position in (0, 5, 39):
        codes = np.full((40, 3), ord("a"), dtype=order + "u4")
        codes[position, 1] = code
        keys = codes.reshape(-1).view(order + "U3")
        out = np.full(40, 77, np.uint32)
        for call in (rw.hash_keys, router.assign, lambda k, out=out: router.assign(k, out=out)):
            with pytest.raises(rw.KeyValueError) as caught:
                call(keys)
            assert caught.value.position == position
        assert (out == 77).all()


def test_the_first_bad_key_is_the_one_that_is_named() -> None:
    """With several bad keys, the position is that of the first."""
    for bad, position in ((["a", "b", None, 1.5], 2), (["a", 2**64, None], 1), ([True, 2**64], 0)):
        with pytest.raises(rw.RingwardError) as caught:
            rw.hash_keys(bad)
        assert caught.value.position == position


NO_CONTAINERS = (
    "event1", b"event1", bytearray(b"event1"), {"a", "b"}, frozenset("ab"), {"a": 1}, None, 42, 1.5, True,
    iter(["a"]), (c for c in "ab"), range(3), object(), uuid.UUID(int=0), np.str_("ab"), np.int64(3),
    np.array("a"), np.array(5), np.array([["a", "b"]]), np.zeros((2, 2), np.int64), np.zeros((0, 2), np.int64),
    np.zeros(3), np.zeros(3, np.float32), np.zeros(3, np.float16), np.zeros(3, np.longdouble),
    np.zeros(3, np.complex128), np.zeros(3, bool), np.zeros(3, "M8[s]"), np.zeros(3, "m8[s]"),
    np.zeros(3, "V8"), np.zeros(3, [("a", "i8")]), np.array([-1, 2**63]), np.array([1, np.nan]),
)  # fmt: skip


@pytest.mark.parametrize("container", NO_CONTAINERS, ids=lambda c: f"{type(c).__name__} {getattr(c, 'dtype', '')}")
def test_what_holds_no_keys_is_a_type_error(container: Any) -> None:
    """A bare key, a set, arrays of another shape or dtype are refused, and nothing is half-written."""
    router = members_ring(rw.XXH3())
    for call in (rw.hash_keys, router.assign):
        with pytest.raises(rw.KeyTypeError):
            call(container)
    out = np.full(3, 77, np.uint32)
    with pytest.raises(rw.KeyTypeError):
        router.assign(container, out=out)
    assert (out == 77).all()


def test_int64_and_uint64_mixed_in_a_list_are_right_where_an_array_would_be_float() -> None:
    """NumPy makes floats of [-1, 2^63]; a list of them, or an object array, keeps every bit."""
    mixed = [-1, 2**63, np.uint64(2**63), np.int64(-1)]
    expected = [rw.XXH3()(key) for key in mixed]
    assert rw.hash_keys(mixed).tolist() == expected
    assert rw.hash_keys(np.array(mixed, dtype=object)).tolist() == expected
