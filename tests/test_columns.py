"""A key gives the same hash from every container; what is no column of keys is refused by all of them."""

from __future__ import annotations

import ctypes
import datetime as dt
import gc
import mmap
import re
import struct
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.dtypes import StringDType
from strategies import SOME

import ringward as rw

try:
    import nanoarrow as na
except ModuleNotFoundError:  # it may have no wheels for the newest Python
    na = None

FAMILIES = {
    "XXH3": rw.XXH3(seed=7),
    "SipHash": rw.SipHash(bytes(range(16))),
    "Multiplicative": rw.Multiplicative(0x9E3779B97F4A7C15, 2**64 - 59),
}
family = pytest.mark.parametrize("family", FAMILIES)

# ---- the keys ------------------------------------------------------------------------------------------

TEXTS: dict[str, list[str]] = {
    "lengths 0 to 300": ["abcdefghij"[i % 10] * i for i in range(301)],
    "lengths 0 to 300 of two bytes": ["é" * i for i in range(151)],
    "non-ASCII at the end": ["x" * i + "節" for i in range(70)],
    "non-ASCII at the start": ["\U0001f980" + "x" * i for i in range(70)],
    "empty": ["", "", ""],
    "embedded NUL": ["a\0b", "\0a", "a\0\0\0\0\0\0\0\0\0b", "\0" * 20 + "é"],
    "every kind": ["event1", "", "é", "e\u0301", "節点", "\U0001f980", "\uffff", "\x7f", "\x80", "\u07ff", "\u0800"],
    "over blocks": [f"event{i}" for i in range(2500)],
    "1 MB": ["a", "é" * 2**19, "x" * 2**20, "b"],
    "one": ["event1"],
    "none": [],
}
TRAILING_NUL = ["a\0", "\0", "é\0\0", "x" * 16 + "\0"]
INTEGERS: dict[str, list[int]] = {
    "int8": [0, 1, 42, -1, 127, -128],
    "int16": [0, 42, -1, 2**15 - 1, -(2**15)],
    "int32": [0, 42, -1, 2**31 - 1, -(2**31)],
    "int64": [0, 42, -1, 2**63 - 1, -(2**63), *range(2500)],
    "uint8": [0, 42, 255],
    "uint16": [0, 42, 2**16 - 1],
    "uint32": [0, 42, 2**32 - 1],
    "uint64": [0, 42, 2**64 - 1, 2**63],
}


def encoded(texts: list[str]) -> list[bytes]:
    """Return the UTF-8 of texts."""
    return [text.encode() for text in texts]


def boxed(keys: list) -> np.ndarray:
    """Return an object array."""
    array = np.empty(len(keys), object)
    array[:] = keys
    return array


def laid(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield an array, and the same keys with a stride."""
    yield "", array
    yield ", strided", np.repeat(array, 3)[1::3]
    yield ", backwards", array[::-1].copy()[::-1]


def arrow_columns(array: pa.Array) -> Iterator[tuple[str, Any]]:
    """Yield an Arrow array, a slice of a larger one, and chunks."""
    yield "", array
    yield ", sliced", pa.concat_arrays([array, array, array])[len(array) : 2 * len(array)]
    cut = len(array) // 3
    yield ", chunked", pa.chunked_array([array[:cut], array[:0], array[cut:]])
    if na and array.type not in (pa.string_view(), pa.binary_view()):  # which nanoarrow 0.9 itself cannot import
        yield ", nanoarrow", na.Array(array)


def numpy_texts(texts: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield arrays that hold texts; `S` and `U` take NULs at the end as padding."""
    if max(map(len, texts), default=0) < 1000 or len(texts) < 10:
        for order in "<>":
            width = max(1, *map(len, texts)) if texts else 1
            for name, array in laid(np.array(texts, f"{order}U{width}")):
                yield f"{order}U{name}", array
        wide = np.array(texts, f"U{max(map(len, texts), default=0) + 3}")
        yield "U, wider", wide
        for name, array in laid(np.array(encoded(texts), "S")):
            yield f"S{name}", array


def texts_in(texts: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield every container that holds texts as they are, NULs included."""
    yield "list", list(texts)
    yield "tuple", tuple(texts)
    for name, array in laid(boxed(texts)):
        yield f"object array{name}", array
    for dtype in (StringDType(), StringDType(na_object=None), StringDType(na_object=np.nan), StringDType(coerce=False)):
        for name, array in laid(np.array(texts, dtype)):
            yield f"{dtype!r}{name}", array
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        for name, column in arrow_columns(pa.array(texts, kind)):
            yield f"pyarrow {kind}{name}", column
    few = len(set(texts)) < 100
    for index in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        if few or index.bit_width > 8:
            column = pa.array(texts, pa.string()).dictionary_encode().cast(pa.dictionary(index, pa.string()))
            yield f"pyarrow dictionary of {index}", column
            yield f"pyarrow dictionary of {index}, chunked", pa.chunked_array([column, column[:0]])
    yield from series_of_texts(texts)
    relation = duckdb.from_arrow(pa.table({"key": pa.array(texts, pa.string())}))
    yield "duckdb", relation.to_arrow_table()["key"]
    if na:
        yield "nanoarrow", na.Array(texts, na.string())
        yield "nanoarrow c_array", na.c_array(texts, na.large_string())


def series_of_texts(texts: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield columns of frames."""
    series = pl.Series("key", texts, dtype=pl.String)
    yield "polars String", series
    yield "polars String, sliced", pl.concat([series, series], rechunk=True)[len(texts) :]
    yield "polars String, chunked", pl.concat([series[:1], series[1:]], rechunk=False)
    yield "polars Categorical", series.cast(pl.Categorical)
    yield "polars Enum", series.cast(pl.Enum(sorted(set(texts))))
    yield "polars column", pl.DataFrame({"key": series})["key"]
    for dtype in ("object", "str", "string[python]", "string[pyarrow]", pd.ArrowDtype(pa.large_string())):
        column = pd.Series(texts, dtype=dtype)
        yield f"pandas {dtype}", column
        yield f"pandas {dtype}, sliced", pd.concat([column, column])[len(texts) :]
        yield f"pandas index of {dtype}", pd.Index(texts, dtype=dtype)
    if texts:  # the values of an empty one are of no type
        yield "pandas category", pd.Series(texts, dtype="str").astype("category")
    yield "pandas column", pd.DataFrame({"key": texts}, dtype="str")["key"]
    yield "pandas array", pd.array(texts, dtype="str")


def bytes_in(keys: list[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield every container that holds bytes as they are."""
    yield "list", list(keys)
    yield "list of bytearray", [bytearray(key) for key in keys]
    yield "tuple of memoryview", tuple(memoryview(key) for key in keys)
    yield "object array", boxed(keys)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        for name, column in arrow_columns(pa.array(keys, kind)):
            yield f"pyarrow {kind}{name}", column
    yield "pyarrow dictionary", pa.array(keys, pa.binary()).dictionary_encode()
    yield "polars Binary", pl.Series(keys, dtype=pl.Binary)
    yield "pandas object", pd.Series(keys, dtype="object")
    yield "pandas binary[pyarrow]", pd.Series(keys, dtype=pd.ArrowDtype(pa.binary()))
    if na:
        yield "nanoarrow", na.Array(keys, na.binary())
    if len({len(key) for key in keys}) == 1:
        for name, column in arrow_columns(pa.array(keys, pa.binary(len(keys[0])))):
            yield f"pyarrow fixed_size_binary{name}", column


def integers_in(keys: list[int], dtype: str) -> Iterator[tuple[str, Any]]:
    """Yield every container of integers."""
    yield "list", list(keys)
    yield "tuple of NumPy scalars", tuple(np.array(keys, dtype))
    yield "object array", boxed(keys)
    for order in "<>":
        for name, array in laid(np.array(keys, np.dtype(dtype).newbyteorder(order))):
            yield f"{order}{dtype}{name}", array
    kind = pa.from_numpy_dtype(dtype)
    for name, column in arrow_columns(pa.array(keys, kind)):
        yield f"pyarrow {kind}{name}", column
    yield "pyarrow dictionary", pa.array(keys, kind).dictionary_encode()
    yield "polars", pl.Series(keys, dtype=getattr(pl, dtype.title().replace("Ui", "UI")))
    yield "pandas", pd.Series(keys, dtype=dtype)
    yield "pandas index", pd.Index(keys, dtype=dtype)
    yield "pandas nullable", pd.Series(keys, dtype=dtype.title().replace("Ui", "UI"))
    yield "pandas Arrow", pd.Series(keys, dtype=pd.ArrowDtype(kind))
    yield "pandas category", pd.Series(keys, dtype=dtype).astype("category")
    yield "duckdb", duckdb.from_arrow(pa.table({"key": pa.array(keys, kind)})).to_arrow_table()["key"]
    if na:
        yield "nanoarrow", na.Array(pa.array(keys, kind))


def check(containers: Iterator[tuple[str, Any]], keys: list, name: str) -> None:
    """Check that every container gives the hashes, and the owners, of the keys one by one."""
    h = FAMILIES[name]
    router = rw.HashRing(["node1", "node2", "node3"], points_per_node=4, hash=h)
    expected = [h(key) for key in keys]
    owners = [router.id_of(router.route(key)) for key in keys]
    for label, container in containers:
        found = rw.hash_keys(container, h)
        assert (found.dtype, found.shape) == (np.dtype(np.uint64), (len(keys),)), label
        assert found.tolist() == expected, label
        assert router.assign(container).tolist() == owners, label


@family
@pytest.mark.parametrize("kind", TEXTS)
def test_text_hashes_alike_in_every_container(kind: str, family: str) -> None:
    """Short, long, empty, non-ASCII, with NULs inside: as the scalar."""
    check(texts_in(TEXTS[kind]), TEXTS[kind], family)
    check(numpy_texts(TEXTS[kind]), TEXTS[kind], family)


@family
@pytest.mark.parametrize("kind", TEXTS)
def test_bytes_hash_alike_in_every_container(kind: str, family: str) -> None:
    """The UTF-8 of text is the same key as the text."""
    keys = encoded(TEXTS[kind])
    check(bytes_in(keys), TEXTS[kind], family)
    same_size = [key.ljust(40, b"\xff")[:40] for key in keys]
    check(bytes_in(same_size), same_size, family)


@family
def test_nul_at_the_end_is_padding_in_fixed_width_arrays_alone(family: str) -> None:
    """NumPy's `S` and `U` cannot tell NULs at the end from padding; every other container keeps them."""
    check(texts_in(TRAILING_NUL), TRAILING_NUL, family)
    check(bytes_in(encoded(TRAILING_NUL)), TRAILING_NUL, family)
    check(numpy_texts(TRAILING_NUL), [text.rstrip("\0") for text in TRAILING_NUL], family)


@family
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_hash_alike_in_every_container(dtype: str, family: str) -> None:
    """Every width, signed or not, as the scalar."""
    check(integers_in(INTEGERS[dtype], dtype), INTEGERS[dtype], family)


def test_uuids_are_their_bytes_in_arrow_too() -> None:
    """Arrow's extension type for UUIDs is stored as 16 bytes, which is what a `uuid.UUID` is hashed as."""
    keys = [uuid.UUID(int=i * 2**100 + 5) for i in range(5)]
    column = pa.array([key.bytes for key in keys], pa.uuid())
    assert rw.hash_keys(column).tolist() == [rw.XXH3()(key) for key in keys]


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=20))
@SOME
def test_any_text_hashes_alike(texts: list[str]) -> None:
    """Any text, in every container."""
    check(texts_in(texts), texts, "XXH3")
    check(numpy_texts(texts), [text.rstrip("\0") for text in texts], "XXH3")


# ---- StringDType ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "gone"])
def test_the_missing_values_of_stringdtype_are_nulls(missing: Any) -> None:
    """Whatever object stands for them; they are counted, and the first is named."""
    keys = np.array(["a", missing, "b" * 20, missing], StringDType(na_object=missing))
    for column, count, first in ((keys, 2, 1), (keys[::-1], 2, 0), (keys[1::2], 2, 0), (keys[:2], 1, 1)):
        for call in (rw.hash_keys, rw.HashRing(["a", "b"]).assign):
            with pytest.raises(rw.KeyTypeError, match=rf"had {count}, the first at {first}\)") as caught:
                call(column)
            assert caught.value.position == first
    assert rw.hash_keys(keys[::2]).tolist() == [rw.XXH3()(key) for key in ("a", "b" * 20)]


def test_stringdtype_of_any_layout() -> None:
    """Views that share an allocator, repeated elements, copies that do not own theirs, zeros."""
    texts = [f"event{i}" * (i % 9) for i in range(3000)]
    keys = np.array(texts, StringDType())
    h = rw.XXH3()
    halves = keys[:1500], keys[1500:]
    assert [rw.hash_keys(half).tolist() for half in halves] == [
        [h(text) for text in texts[:1500]],
        [h(text) for text in texts[1500:]],
    ]
    assert rw.hash_keys(np.broadcast_to(keys[7:8], (5,))).tolist() == [h(texts[7])] * 5
    assert rw.hash_keys(keys[[5, 3, 5]]).tolist() == [h(texts[i]) for i in (5, 3, 5)]
    assert rw.hash_keys(np.zeros(3, StringDType())).tolist() == [h("")] * 3
    assert rw.hash_keys(np.empty(0, StringDType())).shape == (0,)
    assert rw.hash_keys(keys.reshape(2, 1500)[1]).tolist() == [h(text) for text in texts[1500:]]
    reversed_columns = np.stack([keys, keys[::-1]], axis=1)
    assert rw.hash_keys(reversed_columns[:, 1]).tolist() == [h(text) for text in reversed(texts)]


@pytest.mark.parametrize("first", [0, 3, 4, 62, 70])
def test_a_string_that_numpy_cannot_read_is_refused(first: int) -> None:
    """The first of several is named, wherever it stands in its group; the column can be read again afterwards."""
    keys = np.array(["a"] * 71, StringDType())  # all so short that there is no memory for longer ones
    expected = rw.hash_keys(keys)
    out = np.full(len(keys), 7, np.uint16)
    for i in {first, 65, 70}:
        packed = (ctypes.c_char * 16).from_address(keys.ctypes.data + 16 * i)
        packed[:] = struct.pack("QQ", 0, 20)  # 20 bytes, at the beginning of that memory
    try:
        for call in (rw.hash_keys, partial(rw.HashRing(["a", "b"]).assign, out=out)):
            with pytest.raises(rw.KeyValueError, match=re.escape(f"keys[{min(first, 65)}] must be a string")) as caught:
                call(keys)
            assert caught.value.position == min(first, 65)
    finally:
        ctypes.memset(keys.ctypes.data, 0, keys.nbytes)
        keys[:] = "a"
    assert (out == 7).all()
    assert (rw.hash_keys(keys) == expected).all()


def test_stringdtype_is_read_while_others_read_and_write_it() -> None:
    """Readers share the allocator's lock and never wait for the GIL with it; writers get their turn."""
    texts = [f"event{i}" * 3 for i in range(20_000)]
    keys = np.array(texts, StringDType())
    expected = rw.hash_keys(texts).tolist()
    other = keys[:10]
    wrong: list[int] = []
    done = threading.Event()

    def read() -> None:
        for _ in range(20):
            found = rw.hash_keys(keys)
            wrong.extend(np.flatnonzero(found[10:] != np.array(expected[10:], np.uint64)))

    def write() -> None:
        i = 0
        while not done.is_set():
            other[i % 10] = f"other{i}" * (i % 40 + 1)
            assert other[i % 10]
            i += 1

    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in (writer, *readers):
        thread.start()
    for thread in readers:
        thread.join(timeout=60)
        assert not thread.is_alive()
    done.set()
    writer.join(timeout=60)
    assert not writer.is_alive()
    assert not wrong


# ---- U arrays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 11, 15, 16, 17, 31, 32, 33, 64, 500, 510, 511, 600])
def test_one_character_beyond_ascii_is_found_wherever_it_is(width: int, order: str) -> None:
    """Text is narrowed 16 characters at a time; each place, and each bit beyond the seventh, is looked at."""
    texts = []
    for character in ("\x80", "\u0100", "\u8000", "\U00010000", "\U0010ffff", "\U00010061", "\u6161"):
        for place in {0, 1, width // 2, width - 2, width - 1} & set(range(width)):
            texts.append("a" * place + character + "a" * (width - place - 1))
            texts.append("a" * place + character)
    array = np.array(texts, f"{order}U{width}")
    h = rw.XXH3()
    assert rw.hash_keys(array).tolist() == [h(text) for text in texts]


def test_text_at_the_end_of_a_page_is_not_read_beyond() -> None:
    """The last key of an array ends where its memory ends."""
    for width in range(1, 40):
        room = mmap.mmap(-1, mmap.PAGESIZE)
        count = mmap.PAGESIZE // (4 * width)
        array = np.frombuffer(room, f"U{width}", count, offset=mmap.PAGESIZE - count * 4 * width)
        np.frombuffer(room, np.uint32)[:] = ord("a")
        assert rw.hash_keys(array).tolist() == [rw.XXH3()("a" * width)] * count


# ---- lists and object arrays ---------------------------------------------------------------------------


class Meddler(np.int64):
    """A NumPy integer whose `__int__` runs code of its own."""

    act: Callable[[], None]

    def __int__(self) -> int:
        self.act()
        return 5


def meddling(act: Callable[[], None]) -> Any:
    """Return a key that acts when it is read."""
    key = Meddler(5)
    key.act = act
    return key


def test_a_list_may_change_while_it_is_read() -> None:
    """Keys that are dropped while they are read, new ones, and a list that shrinks: right, or an error."""
    keys: list[Any] = [f"event{i}" for i in range(100)]
    keys[10] = meddling(lambda: keys.__setitem__(slice(11, 60), [f"other{i}" for i in range(49)]))
    assert rw.hash_keys(keys).tolist() == rw.hash_keys(keys).tolist()
    keys[5] = meddling(keys.clear)
    with pytest.raises(rw.KeyTypeError, match="shrink"):
        rw.hash_keys(keys)
    gc.collect()


def test_an_object_array_may_change_while_it_is_read() -> None:
    """A key replaces itself and those after it, and what it replaced is collected."""
    for layout in (slice(None), slice(None, None, -1), slice(None, None, 2)):
        array = boxed([f"event{i}" * 2 for i in range(200)])

        def act(array: np.ndarray = array) -> None:
            array[:] = "gone"
            gc.collect()

        array[100] = meddling(act)
        view = array[layout]
        where = view.tolist().index(array[100])
        expected = [rw.XXH3()(key) for key in view[:where]]
        found = rw.hash_keys(view).tolist()
        assert found == [*expected, rw.XXH3()(5), *[rw.XXH3()("gone")] * (len(view) - where - 1)]


def test_an_object_array_keeps_its_references() -> None:
    """Reading an array in place takes and gives back no reference."""
    key = "event é" * 3
    array = boxed([key] * 1000)
    before = sys.getrefcount(key)
    for _ in range(10):
        rw.hash_keys(array)
    assert sys.getrefcount(key) == before


# ---- pandas without pyarrow ----------------------------------------------------------------------------


def test_pandas_without_pyarrow_is_read_through_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas has the Arrow attribute even then, and raises ImportError; its NumPy form serves."""
    texts = ["event1", "é", ""]
    columns = [
        (pd.Series(texts, dtype=pd.StringDtype("python")), texts),
        (pd.Series(texts, dtype=pd.StringDtype("python", na_value=np.nan)), texts),
        (pd.Series(texts, dtype=object), texts),
        (pd.Series([1, 2, -3], dtype="Int64"), [1, 2, -3]),
        (pd.Series([1, 2, -3]), [1, 2, -3]),
        (pd.Series(texts, dtype=object).astype("category"), texts),
    ]
    missing = pd.Series([1, None, 3], dtype="Int64")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError):
        columns[0][0].__arrow_c_stream__()
    for column, keys in columns:
        assert rw.hash_keys(column).tolist() == [rw.XXH3()(key) for key in keys]
    with pytest.raises(rw.KeyTypeError, match="float64"):  # which pandas makes of them
        rw.hash_keys(missing)
    with pytest.raises(rw.KeyTypeError, match="pass a column of this DataFrame"):
        rw.hash_keys(pd.DataFrame({"a": texts}))


def test_a_pandas_object_column_keeps_what_arrow_cannot_hold() -> None:
    """Mixed keys, UUIDs and large integers in an object column are read in place."""
    keys = ["event1", b"event1", 5, 2**64 - 1, -(2**63), uuid.UUID(int=5), np.int8(-1)]
    assert rw.hash_keys(pd.Series(keys, dtype=object)).tolist() == [rw.XXH3()(key) for key in keys]


# ---- nulls and other types -----------------------------------------------------------------------------

WITH_NULLS: dict[str, tuple[Any, int, int]] = {
    "pyarrow": (pa.array(["a", None, "b", None]), 2, 1),
    "pyarrow view": (pa.array([None, "x" * 20], pa.string_view()), 1, 0),
    "pyarrow int": (pa.array([1, None]), 1, 1),
    "polars": (pl.Series(["a", "b", None]), 1, 2),
    "polars int": (pl.Series([1, None, None]), 2, 1),
    "polars Categorical": (pl.Series(["a", None, "b"], dtype=pl.Categorical), 1, 1),
    "polars, chunked": (pl.concat([pl.Series(["a"]), pl.Series(["b", None])], rechunk=False), 1, 2),
    "pandas str": (pd.Series(["a", None, np.nan], dtype="str"), 2, 1),
    "pandas string[python]": (pd.Series(["a", pd.NA], dtype="string[python]"), 1, 1),
    "pandas string[pyarrow]": (pd.Series(["a", pd.NA], dtype="string[pyarrow]"), 1, 1),
    "pandas Int64": (pd.Series([1, pd.NA, 3], dtype="Int64"), 1, 1),
    "pandas category": (pd.Series(["a", None, "b"], dtype="category"), 1, 1),
    "pandas array of Int64": (pd.array([1, pd.NA, 3], dtype="Int64"), 1, 1),
    "pandas array of string": (pd.array(["a", pd.NA], dtype="string"), 1, 1),
    "pandas array of str": (pd.Series(["a", None], dtype="str").array, 1, 1),
    "pandas array of Arrow": (pd.Series([1, None], dtype=pd.ArrowDtype(pa.int64())).array, 1, 1),
    "pandas Categorical": (pd.Categorical(["a", None, "b"]), 1, 1),
    "pandas Index of Int64": (pd.Index([1, pd.NA, 3], dtype="Int64"), 1, 1),
    "pandas Index of str": (pd.Index(["a", None], dtype="str"), 1, 1),
    "pandas Index of Arrow": (pd.Index(["a", None], dtype=pd.ArrowDtype(pa.string())), 1, 1),
    "pandas CategoricalIndex": (pd.CategoricalIndex(["a", None, "b"]), 1, 1),
    "pyarrow null": (pa.nulls(3), 3, 0),
    "pyarrow dictionary of null": (pa.nulls(2).dictionary_encode(), 2, 0),
    "pyarrow chunks of null": (pa.chunked_array([pa.nulls(0), pa.nulls(2), pa.nulls(1)]), 3, 0),
    "pyarrow slice of null": (pa.nulls(9)[4:6], 2, 0),
    "polars Null": (pl.Series([None, None]), 2, 0),
    "pandas null": (pd.Series([None], dtype=pd.ArrowDtype(pa.null())), 1, 0),
    "duckdb": (duckdb.sql("select * from (values ('a'), (null)) t(key)").to_arrow_table()["key"], 1, 1),
}
if na:
    WITH_NULLS["nanoarrow"] = (na.Array(["a", None], na.string()), 1, 1)


@pytest.mark.parametrize("name", WITH_NULLS)
def test_nulls_are_refused_with_their_number_and_the_first_of_them(name: str) -> None:
    """Every library's missing value is one."""
    column, count, first = WITH_NULLS[name]
    router = rw.HashRing(["a", "b"])
    out = np.full(len(column), 77, np.uint32)
    for call in (rw.hash_keys, router.assign, lambda keys: router.assign(keys, out=out)):
        with pytest.raises(rw.KeyTypeError, match=rf"had {count}, the first at {first}\)") as caught:
            call(column)
        assert caught.value.position == first
    assert (out == 77).all()


@pytest.mark.parametrize("name", WITH_NULLS)
def test_nulls_are_skipped_whatever_the_library_made_of_them(name: str) -> None:
    """Also where all keys of a batch are missing, of which libraries make a type of its own: it was refused."""
    column, count, first = WITH_NULLS[name]
    router = rw.HashRing(["a", "b"])
    for owners in (router.assign(column, nulls="skip"), router.assign(column, count=2, nulls="skip")[:, 0]):
        assert (np.count_nonzero(owners == rw.NO_NODE), int((owners == rw.NO_NODE).argmax())) == (count, first)


EMPTY: dict[str, Any] = {
    "list": [],
    "numpy": np.array([]),
    "numpy object": np.array([], object),
    "pandas frame": pd.DataFrame({"key": []})["key"],
    "pandas": pd.Series([]),
    "pyarrow": pa.array([]),
    "pyarrow chunks": pa.chunked_array([], pa.null()),
    "polars": pl.Series([]),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_column_without_keys_has_no_owners_whatever_type_a_library_gave_it(name: str) -> None:
    """An empty list is floats to NumPy and nulls to pyarrow and Polars, which were refused."""
    router = rw.HashRing(["a", "b"])
    for nulls in ("raise", "skip"):
        assert router.assign(EMPTY[name], nulls=nulls).shape == (0,)
        assert router.assign(EMPTY[name], count=2, nulls=nulls).shape == (0, 2)
    assert rw.hash_keys(EMPTY[name]).shape == (0,)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT])
def test_missing_objects_among_keys_say_how_keys_may_be_missing(missing: Any) -> None:
    """`nulls="skip"` is about columns that have nulls; objects are what the list says."""
    router = rw.HashRing(["a", "b"])
    for column in (["a", missing], np.array(["a", missing], object), pd.Series(["a", missing], dtype=object)):
        with pytest.raises(rw.KeyTypeError, match=r"keys\[1\] must be .*from_pandas=True") as caught:
            router.assign(column, nulls="skip")
        assert caught.value.position == 1
    assert router.assign(pa.array(["a", missing], from_pandas=True), nulls="skip")[1] == rw.NO_NODE


DAY = dt.date(2020, 1, 1)
NO_COLUMNS: dict[str, tuple[Any, str]] = {
    "pyarrow Table": (pa.table({"key": ["a"]}), "column of this"),
    "pyarrow RecordBatch": (pa.record_batch({"key": ["a"]}), "column of this"),
    "pyarrow RecordBatchReader": (lambda: pa.table({"key": ["a"]}).to_reader(), "column of this RecordBatchReader"),
    "pyarrow struct": (pa.array([{"key": "a"}]), "column of this table.*'key'"),
    "polars DataFrame": (pl.DataFrame({"key": ["a"]}), "column of this DataFrame"),
    "polars LazyFrame": (pl.DataFrame({"key": ["a"]}).lazy(), "column"),
    "polars struct": (pl.DataFrame({"key": ["a"]}).to_struct(), "column of this table.*'key'"),
    "pandas DataFrame": (pd.DataFrame({"key": ["a"]}), "column of this DataFrame"),
    "pandas DataFrame of dtype": (pd.DataFrame({"dtype": [1]}), "column of this DataFrame"),
    "duckdb relation": (lambda: duckdb.sql("select 'a' as key"), "column of this DuckDBPyRelation"),
    "pyarrow bool": (pa.array([True]), "of bool"),
    "pyarrow float": (pa.array([1.5]), "of float64"),
    "pyarrow date": (pa.array([DAY]), "of date"),
    "pyarrow timestamp": (pa.array([dt.datetime(2020, 1, 1)]), "of timestamp"),  # noqa: DTZ001 - any time
    "pyarrow decimal": (pa.array([1], pa.decimal128(5)), "of decimal"),
    "pyarrow bool8": (pa.array([1], pa.bool8()), "of the extension 'arrow.bool8'"),
    "pyarrow opaque": (pa.array([b"a"], pa.opaque(pa.binary(), "t", "v")), "of the extension 'arrow.opaque'"),
    "pyarrow list": (pa.array([["a"]]), "of list"),
    "pyarrow dictionary of floats": (pa.array([1.5]).dictionary_encode(), "of float64"),
    "pyarrow run ends": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), "of run_end_encoded"),
    "pyarrow scalar": (pa.scalar("a"), "StringScalar"),
    "polars Boolean": (pl.Series([True]), "of bool"),
    "polars Float64": (pl.Series([1.0]), "of float64"),
    "polars Date": (pl.Series([DAY]), "of date"),
    "polars List": (pl.Series([["a"]]), "of large_list"),
    "pandas float": (pd.Series([1.0]), "dtype was float64"),
    "pandas bool": (pd.Series([True]), "dtype was bool"),
    "pandas datetime": (pd.Series([pd.Timestamp(0)]), "dtype was datetime64"),
    "pandas period": (pd.Series(pd.period_range("2020-01", periods=1, freq="M")), "of the extension 'pandas.period'"),
    "pandas category of periods": (
        pd.Series(pd.period_range("2020-01", periods=1, freq="M")).astype("category"),
        "of the extension 'pandas.period'",
    ),
    "pandas boolean": (pd.Series([True], dtype="boolean"), "of bool"),
    "pandas Float64": (pd.Series([1.0], dtype="Float64"), "of float64"),
    "pandas category of floats": (pd.Series([1.0]).astype("category"), "of float64"),
    "masked array": (np.ma.array([1, 2], mask=[True, False]), "no mask"),
    "set": ({"a"}, "was set"),
}
if na:
    NO_COLUMNS["nanoarrow struct"] = (na.Array(pa.record_batch({"key": ["a"]})), "column of this table.*'key'")


@pytest.mark.parametrize("name", NO_COLUMNS)
def test_what_is_no_column_of_keys_is_refused(name: str) -> None:
    """Tables are asked for a column, other types are named, and nothing is half-written."""
    column, says = NO_COLUMNS[name]
    out = np.full(1, 77, np.uint32)
    for call in (rw.hash_keys, lambda keys: rw.HashRing(["a"]).assign(keys, out=out)):
        with pytest.raises(rw.KeyTypeError) as caught:
            call(column() if callable(column) else column)
        assert caught.value.position is None
        assert re.search(says, str(caught.value))
    assert (out == 77).all()


class Odd:
    """A class like a column, whose to_numpy gives anything."""

    dtype = "odd"

    def __init__(self, given: Any) -> None:
        self.given = given

    def to_numpy(self) -> Any:
        """Give it."""
        return self.given


def test_a_column_of_an_unknown_library_is_read_through_its_to_numpy() -> None:
    """Where that gives an array; else it is refused."""
    assert rw.hash_keys(Odd(np.arange(3))).tolist() == rw.hash_keys(np.arange(3)).tolist()
    with pytest.raises(rw.KeyTypeError, match=r"to_numpy\(\) gave list"):
        rw.hash_keys(Odd(["a"]))
    with pytest.raises(rw.KeyTypeError, match="1 dimension"):
        rw.hash_keys(Odd(np.zeros((2, 2), int)))


# ---- skipped nulls, threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_NULLS)
def test_skipped_nulls_get_nobody(name: str) -> None:
    """Missing keys get NO_NODE, the others what they get without them."""
    column, count, first = WITH_NULLS[name]
    keys = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    keys = [None if pd.isna(key) else key for key in keys]
    router = rw.HashRing(["a", "b", "c"])
    expected = [rw.NO_NODE if key is None else int(router.assign([key])[0]) for key in keys]
    assert (expected.count(rw.NO_NODE), expected.index(rw.NO_NODE)) == (count, first)
    assert router.assign(column, nulls="skip").tolist() == expected
    assert router.assign(column, nulls="skip", count=2)[:, 0].tolist() == expected
    for dtype in (np.uint16, np.uint32, np.int64):
        for out in (np.zeros(len(keys), dtype), np.zeros(2 * len(keys), dtype)[::2]):
            assert router.assign(column, nulls="skip", out=out) is out
            assert [rw.NO_NODE if owner == np.iinfo(dtype).max else owner for owner in out.tolist()] == expected


def test_skipped_nulls_may_be_anywhere() -> None:
    """Over blocks and chunks, in StringDType, in slices, in indices and in dictionaries."""
    numbers = np.arange(200_000)
    texts = [None if i % 7 == 3 or 5000 < i < 9000 else f"event{i % 1000}" for i in numbers.tolist()]
    router = rw.HashRing(["a", "b", "c"])
    known = dict(zip(texts, router.assign([text or "" for text in texts]).tolist(), strict=True))
    expected = np.array([rw.NO_NODE if text is None else known[text] for text in texts], np.uint32)
    array = pa.array(texts)
    holed = pa.array([*(f"event{i}" for i in range(1000)), None])
    indices = pa.array([1000 if text is None else int(text[5:]) for text in texts], pa.uint16())
    columns = {
        "string": array,
        "sliced": pa.concat_arrays([array[:13], array])[13:],
        "chunked": pa.chunked_array([array[:5], array[5:4999], array[4999:]]),
        "dictionary": array.dictionary_encode(),
        "dictionary with a null": pa.DictionaryArray.from_arrays(indices, holed),
        "view": array.cast(pa.string_view()),
        "StringDType": np.array(texts, StringDType(na_object=None)),
        "polars": pl.Series(texts),
    }
    for name, column in columns.items():
        for threads in (1, 3):
            assert np.array_equal(router.assign(column, nulls="skip", threads=threads), expected), name


def test_any_number_of_threads_reads_any_column_alike() -> None:
    """Blocks of every kind of column are filled side by side."""
    texts = [f"event{i * 7919 % 5003}" * (1 + i % 3) for i in range(150_000)]
    expected = rw.hash_keys(texts, threads=1)
    columns = {
        "U": np.array(texts),
        "StringDType": np.array(texts, StringDType()),
        "string": pa.array(texts),
        "view": pa.array(texts, pa.string_view()),
        "dictionary": pa.array(texts).dictionary_encode(),
        "chunked": pa.chunked_array([texts[:7], texts[7:70_000], texts[70_000:]]),
        "polars": pl.Series(texts),
    }
    for name, column in columns.items():
        for threads in (1, 2, 5):
            assert np.array_equal(rw.hash_keys(column, threads=threads), expected), name
    broken = pa.DictionaryArray.from_arrays(pa.array([*range(100)] * 2000 + [100]), pa.array(texts[:100]), safe=False)
    for threads in (1, 5):
        with pytest.raises(rw.KeyValueError) as caught:
            rw.hash_keys(broken, threads=threads)
        assert caught.value.position == 200_000


# ---- the most ids that 16 bits hold ---------------------------------------------------------------------


MOST_NARROW = 2**16 - 1  # ids, from 0 on: 65,535 itself is NO_NODE there


@pytest.mark.parametrize("nodes", [MOST_NARROW - 1, MOST_NARROW, MOST_NARROW + 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda names: rw.HashRing(names, points_per_node=1),
        lambda names: rw.PartitionedRing(names, part_size=1000, points_per_node=1),
        lambda names: rw.PartitionTable(names, partitions=1 << 17),
        rw.PrimaryBackup,
    ],
    ids=["ring", "parts", "table", "list"],
)
def test_columns_of_16_bits_hold_all_ids_that_fit_them(make: Callable[[list[str]], rw.Router], nodes: int) -> None:
    """With 65,535 nodes on a ring, the first key crashed the process."""
    router = make([f"node{i}" for i in range(nodes)])
    integers = np.arange(3000) * 7919
    for keys in (integers, integers.astype("S"), pa.array(integers), [str(i) for i in range(50)]):
        wide = router.assign(keys)
        if nodes > MOST_NARROW:
            with pytest.raises(rw.ArgumentError, match="wide enough for node id 65535"):
                router.assign(keys, out=np.empty(len(wide), np.uint16))
            continue
        for _ in range(3):  # tables for many keys are built when they pay
            assert (router.assign(keys, out=np.empty(len(wide), np.uint16)) == wide).all()
