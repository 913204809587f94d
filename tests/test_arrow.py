"""Arrow's C interface: what any producer may hand over, whole or broken, and who releases it when."""

from __future__ import annotations

import itertools
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrow_structs import (
    Array,
    Exports,
    ExportsStream,
    Made,
    MadeStream,
    Schema,
    Stream,
    bits,
    capsule,
    metadata,
    view,
)
from growth import least_growth
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY, SOME

import ringward as rw

HASH = rw.XXH3()


def hashes(keys: list) -> list[int]:
    """Return the hashes of keys, one by one."""
    return [HASH(key) for key in keys]


def packed(code: str, *numbers: int) -> bytes:
    """Return numbers as an Arrow buffer."""
    return struct.pack(f"={len(numbers)}{code}", *numbers)


def text(**changes: Any) -> Made:
    """Return the column "a", "bb", "", "cccc", or one that differs from it in some way."""
    whole = {"format": b"u", "buffers": [None, packed("i", 0, 1, 3, 3, 7), b"abbcccc"], "length": 4}
    return Made(**(whole | changes))


def views(*each: bytes, sizes: tuple[int, ...] = (20,), data: tuple[bytes | None, ...] = (b"x" * 20,)) -> Made:
    """Return a column of views."""
    return Made(b"vu", [None, b"".join(each), *data, packed("q", *sizes)], len(each))


def dictionary(indices: bytes, length: int, form: bytes = b"c", **changes: Any) -> Made:
    """Return a column of indices into "a", "bb", "", "cccc"."""
    whole = {"format": form, "buffers": [None, indices], "length": length, "dictionary": text()}
    return Made(**(whole | changes))


# ---- whole columns -------------------------------------------------------------------------------------

WHOLE: dict[str, tuple[Made, list]] = {
    "string": (text(), ["a", "bb", "", "cccc"]),
    "string, sliced": (text(offset=1, length=2), ["bb", ""]),
    "string, first offset above 0": (
        text(buffers=[None, packed("i", 2, 3, 3), b"xxa"], length=2),
        ["a", ""],
    ),
    "string, unaligned": (text(buffers=[None, packed("i", 0, 1, 3, 3, 7), b"abbcccc"]), ["a", "bb", "", "cccc"]),
    "string, all empty, no data": (text(buffers=[None, packed("i", 0, 0, 0), None], length=2), ["", ""]),
    "string, none": (text(buffers=[None, None, None], length=0), []),
    "string, none, after an offset": (text(buffers=[None, None, None], length=0, offset=3), []),
    "string, null_count to be computed, no bitmap": (text(null_count=-1), ["a", "bb", "", "cccc"]),
    "string, null_count to be computed, none": (
        text(null_count=-1, buffers=[b"\x0f", packed("i", 0, 1, 3, 3, 7), b"abbcccc"]),
        ["a", "bb", "", "cccc"],
    ),
    "string, null before the slice": (
        text(null_count=-1, offset=1, length=3, buffers=[b"\x0e", packed("i", 0, 1, 3, 3, 7), b"abbcccc"]),
        ["bb", "", "cccc"],
    ),
    "large_string": (
        text(format=b"U", buffers=[None, packed("q", 0, 1, 3, 3, 7), b"abbcccc"]),
        ["a", "bb", "", "cccc"],
    ),
    "view, inline": (views(view(3, inline=b"abc"), view(0), view(12, inline=b"z" * 12)), ["abc", "", "z" * 12]),
    "view, in a buffer": (views(view(13, 0, 7), view(20, 0, 0)), ["x" * 13, "x" * 20]),
    "view, without buffers": (Made(b"vz", [None, view(2, inline=b"ab"), None], 1), [b"ab"]),
    "view, two buffers": (
        views(view(13, 1, 0), view(14, 0, 6), sizes=(20, 13), data=(b"x" * 20, b"y" * 13)),
        ["y" * 13, "x" * 14],
    ),
    "fixed": (Made(b"w:3", [None, b"abcdef\0\0\0"], 3), [b"abc", b"def", b"\0\0\0"]),
    "fixed, sliced": (Made(b"w:3", [None, b"abcdef"], 1, offset=1), [b"def"]),
    "fixed, of no bytes": (Made(b"w:0", [None, None], 3), [b"", b"", b""]),
    "int16": (Made(b"s", [None, packed("h", 5, -1, 7)], 2, offset=1), [-1, 7]),
    "dictionary": (dictionary(packed("b", 3, 0, 0, 1), 4), ["cccc", "a", "a", "bb"]),
    "dictionary, uint64": (dictionary(packed("Q", 3, 0), 2, b"L"), ["cccc", "a"]),
    "dictionary, not used": (dictionary(b"", 0), []),
    "dictionary, none": (dictionary(b"", 0, dictionary=text(buffers=[None, None, None], length=0)), []),
    "dictionary of a slice": (dictionary(packed("b", 1), 1, dictionary=text(offset=2, length=2)), ["cccc"]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_column_by_the_book_is_read_and_released_once(name: str) -> None:
    """Offsets, slices, absent buffers and computed null counts are as the specification has them."""
    made, keys = WHOLE[name]
    assert rw.hash_keys(made).tolist() == hashes(keys)
    assert sorted(made.released) == ["array", "schema"]


def test_no_chunks_are_no_keys() -> None:
    """A stream may end at once, or hold nothing but empty arrays; it still has a type."""
    empty = text(buffers=[None, None, None], length=0)
    for arrays in ([], [empty], [empty, empty]):
        assert rw.hash_keys(MadeStream(arrays, schema=text())).shape == (0,)
        with pytest.raises(rw.KeyTypeError, match="float64"):
            rw.hash_keys(MadeStream(arrays, schema=text(format=b"g")))


# ---- nulls ---------------------------------------------------------------------------------------------


def check_nulls(keys: Any, count: int, first: int) -> None:
    """Check that both ways to read a column refuse its nulls."""
    for call in (rw.hash_keys, rw.HashRing(["a", "b"]).assign):
        with pytest.raises(rw.KeyTypeError, match=rf"had {count}, the first at {first}\)") as caught:
            call(keys)
        assert caught.value.position == first


@pytest.mark.parametrize("null_count", [-1, 1, 3])
@pytest.mark.parametrize("offset", [0, 1, 7, 8, 9])
def test_nulls_are_counted_from_the_bitmap(null_count: int, offset: int) -> None:
    """Whatever the producer says their number is, unless it says 0."""
    flags = [True] * 9 + [False] + [True] * 20 + [False]
    for _ in range(2):
        made = Made(
            b"c", [bits(flags, offset), bytes(offset + len(flags))], len(flags), null_count=null_count, offset=offset
        )
        with pytest.raises(rw.KeyTypeError, match=r"had 2, the first at 9\)") as caught:
            rw.hash_keys(made)
        assert caught.value.position == 9
        assert sorted(made.released) == ["array", "schema"]
        flags = [True] * 9 + [False] + [True] * 27 + [False]


def test_nulls_are_counted_over_chunks() -> None:
    """The first null is named by its position in the whole column."""
    check_nulls(pa.chunked_array([["a", "b"], [], ["c", None], [None, None, "d"]]), 3, 3)
    check_nulls(pa.chunked_array([[1, 2], [None]]), 1, 2)


def test_a_dictionary_may_have_nulls_in_two_places() -> None:
    """A key is missing where its index is null and where the value that it names is."""
    values = pa.array(["a", None, "b"])
    check_nulls(pa.DictionaryArray.from_arrays(pa.array([0, 2, 1, None, 1]), values), 3, 2)
    check_nulls(pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), values), 2, 1)
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 2, 0]), values)
    assert rw.hash_keys(unused).tolist() == hashes(["a", "b", "a"])
    many = pa.DictionaryArray.from_arrays(pa.array([0, 2] * 2000 + [1]), values)
    check_nulls(many, 1, 4000)


# ---- broken columns ------------------------------------------------------------------------------------

LAST = 2**63 - 1
BROKEN: dict[str, tuple[Callable[[], Made], str, int | None]] = {
    "negative length": (lambda: text(length=-1), "length -1", None),
    "negative offset": (lambda: text(offset=-1), "offset -1", None),
    "length and offset overflow": (lambda: text(length=LAST, offset=5), "length", None),
    "too few buffers": (lambda: text(buffers=[None, packed("i", 0, 1)], length=1), "2 buffers instead of 3", None),
    "too many buffers": (lambda: text(n_buffers=4), "4 buffers instead of 3", None),
    "negative number of buffers": (lambda: text(n_buffers=-3), "-3 buffers", None),
    "no list of buffers": (lambda: text(buffers=None, n_buffers=3), "no list of buffers", None),
    "children": (lambda: text(n_children=2), "children", None),
    "nulls without a bitmap": (lambda: text(null_count=2), "nulls, but no validity bitmap", None),
    "no offsets": (lambda: text(buffers=[None, None, b"abbcccc"]), "no buffer 1", None),
    "no data": (lambda: text(buffers=[None, packed("i", 0, 1, 3, 3, 7), None]), "no buffer 2", None),
    "offsets that fall": (lambda: text(buffers=[None, packed("i", 0, 3, 1, 3, 7), b"abbcccc"]), "offsets", 1),
    "offsets beyond the last": (lambda: text(buffers=[None, packed("i", 0, 1, 99, 3, 7), b"abbcccc"]), "offsets", 1),
    "offsets that are negative": (lambda: text(buffers=[None, packed("i", 0, 1, -2, 3, 7), b"abbcccc"]), "offsets", 1),
    "a first offset that is negative": (
        lambda: text(buffers=[None, packed("i", -4, 1, 3, 3, 7), b"abbcccc"]),
        "offsets",
        0,
    ),
    "a last offset that is negative": (
        lambda: text(buffers=[None, packed("i", 0, 1, 3, 3, -7), b"abbcccc"]),
        "offsets",
        0,
    ),
    "large offsets that overflow": (
        lambda: text(format=b"U", buffers=[None, packed("q", 0, -LAST, 3, 3, 7), b"abbcccc"]),
        "offsets",
        0,
    ),
    "no views": (lambda: Made(b"vu", [None, None, packed("q")], 1), "no buffer 1", None),
    "no sizes of buffers": (
        lambda: Made(b"vu", [None, view(13), b"x" * 20, None], 1),
        "no sizes",
        None,
    ),
    "no buffer of views": (lambda: views(view(13), data=(None,)), "no buffer 2", None),
    "too few buffers for views": (lambda: Made(b"vu", [None, view(1, inline=b"a")], 1), "2 buffers", None),
    "view of a buffer that is not there": (lambda: views(view(13), view(13, 1)), "a view", 1),
    "view of a negative buffer": (lambda: views(view(13), view(13, -1)), "a view", 1),
    "view with a negative start": (lambda: views(view(13), view(13, 0, -1)), "a view", 1),
    "view of negative size": (lambda: views(view(13), view(-1)), "a view", 1),
    "view beyond its buffer": (lambda: views(view(13), view(13, 0, 8)), "a view", 1),
    "view far beyond its buffer": (lambda: views(view(13), view(2**31 - 1, 0, 2**31 - 1)), "a view", 1),
    "view of a buffer of negative size": (lambda: views(view(13), sizes=(-5,)), "a view", 0),
    "no fixed bytes": (lambda: Made(b"w:3", [None, None], 1), "no buffer 1", None),
    "no integers": (lambda: Made(b"l", [None, None], 1), "no buffer 1", None),
    "no indices": (lambda: dictionary(b"", 1, buffers=[None, None]), "no buffer 1", None),
    "no dictionary": (lambda: dictionary(packed("b", 1), 1, with_dictionary=False), "no dictionary", None),
    "index beyond the dictionary": (lambda: dictionary(packed("b", 1, 4), 2), "an index", 1),
    "negative index": (lambda: dictionary(packed("b", 1, 0, -1), 3), "an index", 2),
    "large index": (lambda: dictionary(packed("Q", 1, 2**64 - 1), 2, b"L"), "an index", 1),
    "index into nothing": (
        lambda: dictionary(packed("b", 0), 1, dictionary=text(buffers=[None, None, None], length=0)),
        "an index",
        0,
    ),
    "broken dictionary": (
        lambda: dictionary(packed("b", 0), 1, dictionary=text(buffers=[None, packed("i", 0, 9, 3, 3, 7), b"abbcccc"])),
        "value 0 of the keys' dictionary",
        None,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_column_is_an_error_that_says_what_is_wrong(name: str) -> None:
    """What the ABI lets a reader check is checked, nothing is half-written, and all is released once."""
    make, says, position = BROKEN[name]
    router = rw.HashRing(["a", "b"])
    out = np.full(make().length if 0 < make().length < 9 else 1, 77, np.uint32)
    for call in (rw.hash_keys, router.assign, lambda keys: router.assign(keys, out=out)):
        made = make()
        with pytest.raises(rw.KeyValueError, match=says) as caught:
            call(made)
        assert caught.value.position == position
        assert sorted(made.released) == ["array", "schema"]
    assert (out == 77).all()


def test_a_broken_chunk_is_named_by_its_position_in_the_column() -> None:
    """Positions go on over the chunks; all of them, and the stream, are released once."""
    arrays = [text(), text(), text(buffers=[None, packed("i", 0, 1, 3, 2, 7), b"abbcccc"]), text()]
    stream = MadeStream(arrays)
    with pytest.raises(rw.KeyValueError, match=r"keys\[10\] must have offsets") as caught:
        rw.hash_keys(stream)
    assert caught.value.position == 10
    del caught
    assert stream.released == ["stream"]
    assert [sorted(each.released) for each in arrays] == [["array", "schema"], ["array"], ["array"], ["array"]]


UNDEFINED = {
    "index": (
        lambda: dictionary(packed("b", 1, 99, -3, 2), 4, null_count=-1, buffers=[b"\x09", packed("b", 1, 99, -3, 2)])
    ),
    "view": (
        lambda: Made(
            b"vu",
            [b"\x09", view(13) + view(99, 7, -3) + view(-1) + view(14), b"x" * 20, packed("q", 20)],
            4,
            null_count=2,
        )
    ),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_stands_behind_a_null_is_undefined(name: str) -> None:
    """Neither an index nor a view of a key that is missing is looked at: the nulls are what is wrong."""
    with pytest.raises(rw.KeyTypeError, match=r"had 2, the first at 1\)"):
        rw.hash_keys(UNDEFINED[name]())


@pytest.mark.parametrize("buffers", [[], [None]])
def test_a_column_of_nulls_has_no_buffer_that_is_read(buffers: list[Any]) -> None:
    """Older producers give it one, newer ones none; both as the keys and as the values of a dictionary."""
    for call in (rw.hash_keys, rw.HashRing(["a"]).assign):
        with pytest.raises(rw.KeyTypeError, match=r"had 5, the first at 0\)"):
            call(Made(b"n", buffers, 5))
        with pytest.raises(rw.KeyTypeError, match=r"had 3, the first at 0\)"):
            call(dictionary(bytes([0, 1, 1]), 3, dictionary=Made(b"n", buffers, 2)))
    with pytest.raises(rw.KeyValueError, match="valid Arrow array"):
        rw.hash_keys(Made(b"n", buffers, -1))
    with pytest.raises(rw.KeyValueError, match="valid Arrow array"):
        rw.hash_keys(Made(b"n", buffers, 1 << 60))


# ---- types ---------------------------------------------------------------------------------------------

OTHER_TYPES = {
    b"b": "bool", b"e": "float16", b"f": "float32", b"g": "float64", b"d:19,10": "decimal",
    b"d:19,10,256": "decimal", b"tdD": "date", b"tdm": "date", b"ttu": "time", b"tsu:UTC": "timestamp",
    b"tDn": "duration", b"tiM": "interval", b"+l": "list", b"+L": "large_list", b"+vl": "list_view",
    b"+w:3": "fixed_size_list", b"+m": "map", b"+ud:0,1": "union", b"+r": "run_end_encoded", b"": "format ''",
    b"w:": "format 'w:'", b"w:-1": "format 'w:-1'", b"w:x": "format 'w:x'", b"w:99999999999": "format 'w:9",
    b"q": "format 'q'", b"\xff": "format", b"vx": "format 'vx'",
}  # fmt: skip


@pytest.mark.parametrize("form", OTHER_TYPES)
def test_a_column_of_another_type_is_refused_by_name(form: bytes) -> None:
    """Bools, floats, times, lists and formats that nobody knows hold no keys, in a dictionary neither."""
    for made in (Made(form, [None], 0), dictionary(b"", 0, dictionary=Made(form, [None], 0))):
        with pytest.raises(rw.KeyTypeError, match="must be integers, strings or binary") as caught:
            rw.hash_keys(made)
        assert OTHER_TYPES[form] in str(caught.value)
        assert sorted(made.released) == ["array", "schema"]


def test_an_extension_is_refused_by_name() -> None:
    """A time that is stored as integers was once taken by its ordinals; what means what it is stored as is a key."""
    name, other = b"ARROW:extension:name", (b"ARROW:extension:metadata", b"\0" * 300)

    def column(extension: bytes) -> Made:
        return Made(b"i", [None, bytes(4)], 1, metadata=metadata((b"", b""), other, (name, extension)))

    def in_dictionary(extension: bytes) -> Made:
        return dictionary(b"\0", 1, dictionary=column(extension))

    expected = rw.hash_keys(np.zeros(1, np.int32))
    for make in (column, in_dictionary):
        for known in (b"arrow.uuid", b"arrow.json"):
            assert rw.hash_keys(make(known)) == expected
        for extension in (b"pandas.period", b"arrow.bool8", b"arrow.opaque", b"", b"\xff"):
            made = make(extension)
            with pytest.raises(rw.KeyTypeError, match="of the extension ") as caught:
                rw.hash_keys(made)
            assert repr(extension.decode(errors="replace")) in str(caught.value)
            assert sorted(made.released) == ["array", "schema"]
    for harmless in (metadata(), metadata(other), metadata((b"extension", b"pandas.period"), (b"", name))):
        assert rw.hash_keys(Made(b"i", [None, bytes(4)], 1, metadata=harmless)) == expected


@pytest.mark.parametrize("sizes", [(-1,), (1, -1), (1, 0, -5), (-(2**31), 0)])
def test_metadata_of_a_negative_size_are_refused(sizes: tuple[int, ...]) -> None:
    """They are not read any further."""
    made = Made(b"i", [None, bytes(4)], 1, metadata=struct.pack(f"={len(sizes)}i", *sizes))
    with pytest.raises(rw.KeyValueError, match=rf"had {sizes[-1] or sizes[0]}\)"):
        rw.hash_keys(made)


def test_a_dictionary_must_be_plain() -> None:
    """Indices are integers, and values have no dictionary of their own."""
    for made in (
        dictionary(b"", 0, b"u"),
        dictionary(b"", 0, dictionary=dictionary(b"", 0)),
    ):
        with pytest.raises(rw.KeyTypeError, match="dictionary"):
            rw.hash_keys(made)


def test_a_table_is_asked_for_a_column() -> None:
    """A struct is a table, also one with one column or none; the message names the columns."""
    for names, shown in (
        ([b"user"], "'user'"),
        ([b"a", b"b"], "'a', 'b'"),
        ([b"c%d" % i for i in range(9)], "'c4', ..."),
        ([None, b"\xc3\xa9"], "'', 'é'"),
        ([], ""),
    ):
        with pytest.raises(rw.KeyTypeError, match="pass a column of this table, not the whole") as caught:
            rw.hash_keys(Made(b"+s", [None], 3, names=names))
        assert str(caught.value).endswith(f"{shown})")


def test_a_schema_without_a_format_is_refused() -> None:
    """NULL where the format should be."""
    with pytest.raises(rw.KeyTypeError, match="format"):
        rw.hash_keys(Made(None, [None], 0))


# ---- capsules ------------------------------------------------------------------------------------------


def test_what_was_read_cannot_be_read_again() -> None:
    """The second reader of the same capsules finds them released, and releases nothing."""
    made = text()
    rw.hash_keys(made)
    for _ in range(2):
        with pytest.raises(rw.KeyValueError, match="schema is released already"):
            rw.hash_keys(made)
    made.fill_schema(made.schema)
    with pytest.raises(rw.KeyValueError, match="array is released already"):
        rw.hash_keys(made)
    assert sorted(made.released) == ["array", "schema", "schema"]
    stream = MadeStream([text()])
    rw.hash_keys(stream)
    with pytest.raises(rw.KeyValueError, match="stream is released already"):
        rw.hash_keys(stream)
    assert stream.released == ["stream"]


def test_a_reader_of_batches_is_read_once() -> None:
    """A stream that pyarrow hands out can be consumed once."""
    keys = ExportsStream(pa.chunked_array([["a"], ["b"]]).__arrow_c_stream__())
    assert rw.hash_keys(keys).tolist() == hashes(["a", "b"])
    with pytest.raises(rw.KeyValueError, match="released already"):
        rw.hash_keys(keys)


GOOD_SCHEMA, GOOD_ARRAY = Schema(b"u"), Array()
WRONG_EXPORTS = (
    None,
    5,
    (),
    [1, 2],
    (capsule(GOOD_SCHEMA, b"arrow_schema"),),
    (1, 2),
    (capsule(GOOD_ARRAY, b"arrow_array"), capsule(GOOD_SCHEMA, b"arrow_schema")),
    (capsule(GOOD_SCHEMA, b"arrow_schema_"), capsule(GOOD_ARRAY, b"arrow_array")),
)


@pytest.mark.parametrize("exported", WRONG_EXPORTS, ids=lambda exported: f"{exported!s:.30}")
def test_what_is_no_capsule_of_arrow_is_refused(exported: Any) -> None:
    """Another object, another number of capsules, or capsules of other names."""
    with pytest.raises(rw.KeyTypeError, match="must export"):
        rw.hash_keys(Exports(exported))
    with pytest.raises(rw.KeyTypeError, match="must export"):
        rw.hash_keys(ExportsStream(exported))


def test_a_capsule_of_the_wrong_name_keeps_what_it_holds() -> None:
    """A good schema beside a wrong array is released, the array is left alone."""
    made = text()
    with pytest.raises(rw.KeyTypeError, match="arrow_array"):
        rw.hash_keys(Exports((capsule(made.schema, b"arrow_schema"), capsule(made.array, b"array"))))
    assert made.released == ["schema"]
    assert made.array.release


def test_an_error_of_the_exporter_is_the_cause_of_ours() -> None:
    """Whatever `__arrow_c_stream__` raises ends as a KeyTypeError; what is no Exception passes through."""
    for error in (ImportError("no pyarrow"), ValueError("mixed"), rw.KeyValueError("own")):
        with pytest.raises(rw.RingwardError, match=str(error)) as caught:
            rw.hash_keys(ExportsStream(error))
        assert error in (caught.value, caught.value.__cause__)
    for error in (KeyboardInterrupt(), MemoryError()):
        with pytest.raises(type(error)):
            rw.hash_keys(ExportsStream(error))


# ---- streams -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", [-1, 0, 1, 2])
@pytest.mark.parametrize("says", [b"the disk is gone", b"\xff\xfe", None])
def test_a_stream_that_fails_is_an_error_with_its_reason(fails_at: int, says: bytes | None) -> None:
    """The producer's words are passed on, and all that was read until then is released."""
    arrays = [text(), text()]
    stream = MadeStream(arrays, fails_at=fails_at, says=says)
    shown = "no reason given" if says is None else says.decode("utf-8", "replace")
    with pytest.raises(rw.KeyValueError, match=f"error 5: {shown}"):
        rw.hash_keys(stream)
    assert stream.released == ["stream"]
    read = [each.released.count("array") for each in arrays]
    assert read == [int(fails_at > i) for i in range(2)]
    assert arrays[0].released.count("schema") == (fails_at >= 0)


def test_a_stream_without_functions_is_refused() -> None:
    """NULL where get_schema or get_next should be; it is released nevertheless."""
    for name, kind in Stream._fields_[:2]:
        stream = MadeStream([text()])
        setattr(stream.struct, name, kind())
        with pytest.raises(rw.KeyValueError, match="get_schema and get_next"):
            rw.hash_keys(stream)
        assert stream.released == ["stream"]
    stream = MadeStream([text()], fails_at=0)
    stream.struct.get_last_error = Stream._fields_[2][1]()
    with pytest.raises(rw.KeyValueError, match="no reason given"):
        rw.hash_keys(stream)


def test_a_stream_that_gives_no_schema_is_refused() -> None:
    """Success with a released schema is none."""
    stream = MadeStream([text()])
    stream._get_schema = None
    stream.struct.get_schema = Stream._fields_[0][1](lambda _stream, _out: 0)
    with pytest.raises(rw.KeyValueError, match="schema is released"):
        rw.hash_keys(stream)


def test_a_producer_may_run_python_in_another_thread() -> None:
    """A stream whose next array waits for a thread that needs the GIL gets there."""

    def batches() -> Any:
        for i in range(3):
            worker = threading.Thread(target=sum, args=(range(1000),))
            worker.start()
            worker.join()
            yield pa.record_batch({"key": [f"event{i}"]})

    class Reader:
        """A stream of one column, which pyarrow takes from a generator."""

        def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
            schema = pa.schema([("key", pa.string())])
            return pa.RecordBatchReader.from_batches(schema, batches()).__arrow_c_stream__()

    with pytest.raises(rw.KeyTypeError, match="pass a column of this table"):
        rw.hash_keys(Reader())
    made = [text() for _ in range(3)]
    stream = MadeStream(made)
    found = []
    worker = threading.Thread(target=lambda: found.append(rw.hash_keys(stream).tolist()))
    worker.start()
    worker.join()
    assert found == [hashes(["a", "bb", "", "cccc"] * 3)]


def test_chunks_may_share_a_dictionary_or_not() -> None:
    """A dictionary that comes again, one at another address, and one that is a slice of the first."""
    values = pa.array([f"event{i}" for i in range(50)])
    indices = pa.array([i * 7 % 40 for i in range(3000)], pa.int16())
    same = [pa.DictionaryArray.from_arrays(indices, values) for _ in range(3)]
    other = pa.DictionaryArray.from_arrays(indices, values.take(pa.array(range(49, -1, -1))))
    part = pa.DictionaryArray.from_arrays(indices, values[5:])
    chunked = pa.chunked_array([*same, other, part, same[0]])
    assert rw.hash_keys(chunked).tolist() == hashes(chunked.to_pylist())


# ---- properties ----------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy]] = {
    "string": (pa.string(), TEXT),
    "large_string": (pa.large_string(), TEXT),
    "string_view": (pa.string_view(), TEXT),
    "binary": (pa.binary(), st.binary(max_size=20)),
    "large_binary": (pa.large_binary(), st.binary(max_size=20)),
    "binary_view": (pa.binary_view(), st.binary(max_size=20)),
    "fixed_size_binary": (pa.binary(5), st.binary(min_size=5, max_size=5)),
    "fixed_size_binary of nothing": (pa.binary(0), st.just(b"")),
    "dictionary of string": (pa.dictionary(pa.int8(), pa.string()), TEXT),
    "dictionary of binary": (pa.dictionary(pa.uint32(), pa.large_binary()), st.binary(max_size=20)),
    "dictionary of int": (pa.dictionary(pa.int64(), pa.int32()), st.integers(-(2**31), 2**31 - 1)),
}
for bit_count in (8, 16, 32, 64):
    TYPES[f"int{bit_count}"] = (
        getattr(pa, f"int{bit_count}")(),
        st.integers(-(2 ** (bit_count - 1)), 2 ** (bit_count - 1) - 1),
    )
    TYPES[f"uint{bit_count}"] = getattr(pa, f"uint{bit_count}")(), st.integers(0, 2**bit_count - 1)


@st.composite
def chunked_columns(draw: st.DrawFn, kind: str, *, nulls: bool) -> tuple[pa.ChunkedArray, list]:
    """Draw a column of slices of arrays, and its keys."""
    data_type, values = TYPES[kind]
    if nulls:
        values = st.none() | values
    chunks, keys = [], []
    for drawn in draw(st.lists(st.lists(values, max_size=40), max_size=4)):
        start = draw(st.integers(0, len(drawn)))
        stop = draw(st.integers(start, len(drawn)))
        array = pa.array(drawn, data_type.value_type if pa.types.is_dictionary(data_type) else data_type)
        if pa.types.is_dictionary(data_type):
            array = array.dictionary_encode().cast(data_type)
        chunks.append(array[start:stop])
        keys += drawn[start:stop]
    return pa.chunked_array(chunks, data_type), keys


def check_column(column: Any, keys: list) -> None:
    """Check the hashes of a column, or that its nulls are refused with their number and the first of them."""
    missing = [i for i, key in enumerate(keys) if key is None]
    if missing:
        check_nulls(column, len(missing), missing[0])
    else:
        assert rw.hash_keys(column).tolist() == hashes(keys)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
@SOME
def test_any_column_is_its_keys(kind: str, data: st.DataObject) -> None:
    """Whatever chunks, slices and nulls a column has, of every type: as the list of its keys."""
    column, keys = data.draw(chunked_columns(kind, nulls=data.draw(st.booleans())))
    assert column.to_pylist() == keys
    check_column(column, keys)
    for i in range(column.num_chunks):
        check_column(column.chunk(i), column.chunk(i).to_pylist())
    start = data.draw(st.integers(0, len(keys)))
    check_column(column[start:], keys[start:])


@given(drawn=st.lists(st.none() | TEXT, max_size=3000), pieces=st.lists(st.integers(0, 3000), max_size=6))
@SOME
def test_chunks_end_anywhere_in_a_block(drawn: list, pieces: list[int]) -> None:
    """Blocks of keys go over the ends of chunks."""
    keys = [key for key in drawn if key is not None] * 3
    edges = sorted({0, len(keys), *(min(piece, len(keys)) for piece in pieces)})
    column = pa.chunked_array([pa.array(keys[a:b], pa.string()) for a, b in itertools.pairwise(edges)], pa.string())
    assert rw.hash_keys(column).tolist() == hashes(keys)


OFFSET = st.integers(-3, 30)
WILD = OFFSET | st.sampled_from([-(2**31), 2**31 - 1])


@given(
    # The last one is what the producer says there is.
    offsets=st.builds(lambda some, last: [*some, last], st.lists(WILD, min_size=1, max_size=11), OFFSET)
    | st.builds(
        lambda low, width, keys: [low + width * i for i in range(keys + 1)],
        st.integers(-3, 3),
        st.integers(-1, 16),
        st.integers(1, 12),
    ).filter(lambda offsets: offsets[-1] <= 30),
    data=st.binary(min_size=30, max_size=30),
    large=st.booleans(),
)
@MANY
def test_any_offsets_are_right_or_refused(offsets: list[int], data: bytes, large: bool) -> None:
    """Random offsets: the first key that they do not give is named, and none is read that they do not give."""
    made = Made(b"Z" if large else b"z", [None, packed("q" if large else "i", *offsets), data], len(offsets) - 1)
    end = offsets[-1]
    bad = [i for i, (low, high) in enumerate(itertools.pairwise(offsets)) if not (0 <= low <= high <= end)]
    if bad:
        with pytest.raises(rw.KeyValueError) as caught:
            rw.hash_keys(made)
        assert caught.value.position == bad[0]
    else:
        assert rw.hash_keys(made).tolist() == hashes([data[low:high] for low, high in itertools.pairwise(offsets)])


@given(
    drawn=st.lists(st.tuples(st.integers(-2, 40), st.integers(-1, 2), st.integers(-1, 40)), min_size=1, max_size=40),
    sizes=st.lists(st.integers(0, 40), max_size=2),
)
@MANY
def test_any_views_are_right_or_refused(drawn: list[tuple[int, int, int]], sizes: list[int]) -> None:
    """Random views: the first that leads nowhere is named."""
    data = [bytes(range(i, i + size)) for i, size in enumerate(sizes)]
    keys: list[bytes | None] = []
    raw = []
    for size, buffer, start in drawn:
        if 0 < size <= 12:
            keys.append(b"inline bytes"[:size])
            raw.append(view(size, inline=b"inline bytes"[:size]))
            continue
        there = size == 0 or (size > 0 and 0 <= buffer < len(sizes) and 0 <= start <= start + size <= sizes[buffer])
        keys.append(data[buffer][start : start + size] if there and size else b"" if there else None)
        raw.append(view(size, buffer, start))
    made = Made(b"vz", [None, b"".join(raw), *data, packed("q", *sizes)], len(raw))
    if None in keys:
        with pytest.raises(rw.KeyValueError) as caught:
            rw.hash_keys(made)
        assert caught.value.position == keys.index(None)
    else:
        assert rw.hash_keys(made).tolist() == hashes(keys)


# ---- lifetimes and threads -----------------------------------------------------------------------------


def test_nothing_is_kept() -> None:
    """Buffers, capsules and exporters are let go after every call, good or bad."""
    strings = [f"event{i}" for i in range(3000)]
    columns = [
        pa.array(strings),
        pa.chunked_array([strings, strings]),
        pa.array(strings).dictionary_encode(),
        pa.array([*strings, None]),
        pa.array([1.5]),
        pa.table({"key": strings}),
    ]

    def run() -> None:
        for column in columns:
            try:
                rw.hash_keys(column)
            except rw.KeyTypeError:
                assert column is not columns[0]

    run()
    references = [sys.getrefcount(column) for column in columns]
    assert least_growth(run, sys.getallocatedblocks, 500) < 0.5
    assert least_growth(run, pa.total_allocated_bytes, 500) <= 0
    assert [sys.getrefcount(column) for column in columns] == references


def test_columns_can_be_read_by_many_threads_at_once() -> None:
    """The same columns, from four threads, a few times."""
    strings = [f"event{i}" for i in range(20_000)]
    columns = [pa.array(strings), pa.array(strings, pa.string_view()), pa.array(strings).dictionary_encode()]
    expected = rw.hash_keys(strings).tolist()
    wrong: list[str] = []

    def run() -> None:
        for _ in range(5):
            wrong.extend(str(column.type) for column in columns if rw.hash_keys(column).tolist() != expected)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_ids_of_an_integer_column_may_be_written_over_its_own_memory() -> None:
    """Arrow shares the memory of a NumPy array; `out` may be that array, shifted or not."""
    numbers = np.arange(10_000, dtype=np.int64)
    ring = rw.HashRing(["a", "b", "c"])
    expected = ring.assign(numbers).tolist()
    room = np.concatenate([numbers, numbers[:1]])
    column = pa.array(room[:-1])
    ring.assign(column, out=room[1:])
    assert room[1:].tolist() == expected
