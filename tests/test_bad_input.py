"""What bad input gets: a typed error that names argument, bound and value, and an unchanged router."""

from __future__ import annotations

import json
import math
import pickle
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import oracle
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from oracle import COLLIDING, LAST, Member
from strategies import KINDS, MANY, Kind, fingerprint, orders, owners

import ringward as rw
from ringward import snapshot as snapshot_module
from ringward.placement.points import POINTS_MAX, point_count

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
TRIO = {"a": Member(1.0, "x"), "b": Member(2.0, "y"), "c": Member(1.0)}
KEYS = [f"event{i}" for i in range(40)]
HASHES = np.arange(40, dtype=np.uint64) * np.uint64(LAST // 39)
BAD_WEIGHTS = (-1.0, -1e-300, -1, math.nan, math.inf, -math.inf)
NO_WEIGHTS = ("2", None, [1.0], 1j)


@contextmanager
def unchanged(router: rw.Router) -> Iterator[None]:
    """Check that all a reader can see of a router is the same afterwards."""
    before = fingerprint(router)
    yield
    assert fingerprint(router) == before


# ---- the errors themselves -----------------------------------------------------------------------------

ERRORS = {
    "NoNodeError": LookupError,
    "KeyTypeError": TypeError,
    "KeyValueError": ValueError,
    "UnknownNodeError": KeyError,
    "DuplicateNodeError": ValueError,
    "ArgumentError": ValueError,
    "ArgumentTypeError": TypeError,
    "StaleEpochError": RuntimeError,
    "StopTimeoutError": RuntimeError,
    "ChangeError": RuntimeError,
    "SnapshotError": ValueError,
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_ours_and_a_builtin(name: str) -> None:
    """All derive from RingwardError and from the fitting built-in, and are at the top level too."""
    error = getattr(rw, name)
    assert issubclass(error, rw.RingwardError)
    assert issubclass(error, ERRORS[name])
    assert getattr(rw.errors, name) is error
    assert issubclass(rw.RingwardError, Exception)


@every_kind
def test_messages_name_argument_bound_and_value(kind: Kind) -> None:
    """The text and the attributes of an error say which argument, which bound and which value."""
    router = kind.make(TRIO)
    with pytest.raises(rw.ArgumentError) as caught:
        router.candidates("event1", 0)
    assert str(caught.value) == "count must be at least 1 (was 0)"
    assert (caught.value.argument, caught.value.value) == ("count", 0)
    with pytest.raises(rw.ArgumentError, match=r"count.*65536.*\(was 65537\)") as caught:
        router.assign(KEYS, count=65537)
    assert (caught.value.argument, caught.value.value) == ("count", 65537)
    with pytest.raises(rw.UnknownNodeError, match="nobody"):
        router.mark_down("nobody")


@pytest.mark.parametrize(
    "error",
    [
        lambda: rw.HashRing(["a"]).route(None),
        lambda: rw.HashRing(["a"]).assign(["a", 2**64]),
        lambda: rw.HashRing(["a"]).remove("b"),
        lambda: rw.HashRing(["a", "a"]),
        lambda: rw.HashRing(points_per_node=0),
        lambda: rw.HashRing(points_per_node="1"),
        lambda: rw.PrimaryBackup(["a"]).check(9),
        lambda: rw.HashRing().route("a"),
        lambda: rw.Snapshot.from_bytes(b""),
    ],
)
def test_errors_survive_pickling(error: Callable[[], Any]) -> None:
    """An error that crosses processes keeps its class, its text and its attributes."""
    with pytest.raises(rw.RingwardError) as caught:
        error()
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)
    assert vars(again) == vars(caught.value)


# ---- nodes ---------------------------------------------------------------------------------------------


@every_kind
def test_names_are_texts_that_are_not_empty(kind: Kind) -> None:
    """An empty name, one without a UTF-8 form and one that is no str are refused everywhere."""
    router = kind.make(TRIO)
    with unchanged(router):
        for name in ("", "\ud800"):
            for call in (
                lambda name=name: rw.Node(name),
                lambda name=name: kind.strategy([name], **kind.options),
                lambda name=name: kind.strategy({name: 1.0}, **kind.options),
                lambda name=name: router.add(name),
            ):
                with pytest.raises(rw.ArgumentError):
                    call()
        for name in (3, None, b"a", 1.5, ("a", 1), ["a"]):
            for call in (
                lambda name=name: rw.Node(name),
                lambda name=name: kind.strategy([name], **kind.options),
                lambda name=name: router.add(name),
            ):
                with pytest.raises(rw.ArgumentTypeError):
                    call()


@every_kind
def test_nodes_are_a_collection_and_not_one_name(kind: Kind) -> None:
    """A bare str would be taken apart into letters: it is refused like other things that hold no nodes."""
    for nodes in (
        "abc",
        b"abc",
        5,
        1.5,
        rw.Node("a"),
        [["a"]],
        [None],
        {"a": "heavy"},
        {"a": None},
    ):
        with pytest.raises(rw.ArgumentTypeError):
            kind.strategy(nodes, **kind.options)


@every_kind
@pytest.mark.parametrize("weight", BAD_WEIGHTS)
def test_a_weight_is_finite_and_not_negative(kind: Kind, weight: float) -> None:
    """Negative weights, NaN and infinities are refused everywhere, with the value."""
    router = kind.make(TRIO)
    with unchanged(router):
        for call in (
            lambda: rw.Node("n", weight=weight),
            lambda: kind.strategy({"n": weight}, **kind.options),
            lambda: router.add(rw.Node("n", weight=weight)),
            lambda: router.reweigh("a", weight),
        ):
            with pytest.raises(rw.ArgumentError) as caught:
                call()
            assert caught.value.argument == "weight"
            assert caught.value.value is weight or caught.value.value == weight


@every_kind
@pytest.mark.parametrize("weight", NO_WEIGHTS)
def test_a_weight_is_a_number(kind: Kind, weight: object) -> None:
    """Texts, None, lists and complex numbers are no weights."""
    router = kind.make(TRIO)
    with unchanged(router):
        for call in (
            lambda: rw.Node("n", weight=weight),
            lambda: kind.strategy({"n": weight}, **kind.options),
            lambda: router.reweigh("a", weight),
        ):
            with pytest.raises(rw.ArgumentTypeError):
                call()


def test_a_zone_is_a_text_or_none() -> None:
    """Numbers and bytes are no zones."""
    for zone in (1, b"a", ["a"]):
        with pytest.raises(rw.ArgumentTypeError):
            rw.Node("a", zone=zone)


@every_kind
def test_a_name_is_there_once(kind: Kind) -> None:
    """A name given twice is an error that names it, and nothing of the call is applied."""
    for nodes in (["a", "b", "a"], [rw.Node("a"), "a"], [rw.Node("a"), rw.Node("a", weight=2.0)]):
        with pytest.raises(rw.DuplicateNodeError) as caught:
            kind.strategy(nodes, **kind.options)
        assert caught.value.node == "a"
    router = kind.make(TRIO, ["b"])
    with unchanged(router):
        for call, name in (
            (lambda: router.add("new", "a"), "a"),
            (lambda: router.add(rw.Node("b")), "b"),
            (lambda: router.add("new", "new"), "new"),
        ):
            with pytest.raises(rw.DuplicateNodeError) as caught:
                call()
            assert caught.value.node == name


@every_kind
def test_a_name_that_is_no_member_is_unknown(kind: Kind) -> None:
    """Unknown names, first or last of several, are named, and nothing of the call is applied."""
    router = kind.make(TRIO)
    router.add("gone")
    router.remove("gone")
    with unchanged(router):
        for name in ("nobody", "A", "gone", ""):
            for call in (
                lambda name=name: router.remove(name),
                lambda name=name: router.remove("a", name),
                lambda name=name: router.mark_down(name),
                lambda name=name: router.mark_down("a", name),
                lambda name=name: router.mark_down(name, "a"),
                lambda name=name: router.mark_up("a", name),
                lambda name=name: router.reweigh(name, 1.0),
            ):
                with pytest.raises(rw.UnknownNodeError) as caught:
                    call()
                assert caught.value.node == name
        with pytest.raises(rw.UnknownNodeError):
            router.id_of("nobody")
        for call in (router.remove, router.mark_down, router.mark_up):
            for wrong in (3, None, b"a", ["a"]):
                with pytest.raises(rw.RingwardError):
                    call(wrong)


@every_kind
def test_a_change_names_at_least_one_node(kind: Kind) -> None:
    """Calls without an argument are mistakes."""
    router = kind.make(TRIO)
    with unchanged(router):
        for call in (router.add, router.remove, router.mark_down, router.mark_up):
            with pytest.raises(rw.RingwardError):
                call()


@every_kind
def test_names_that_look_alike_are_different_nodes(kind: Kind) -> None:
    """Composed and decomposed letters, prefixes and names that differ in a NUL share nothing."""
    members = dict.fromkeys(["é", "e\u0301", "a", "a\0", "a1", "a11", *COLLIDING], Member())
    router = kind.make(members)
    assert len(router) == len(set(router.names)) == 8
    assert set(router.candidates("event1")) == set(members)


# ---- options -------------------------------------------------------------------------------------------

OUT_OF_BOUNDS = (
    (rw.HashRing, "points_per_node", (0, -1, 2**28 + 1, 2**70)),
    (rw.HashRing, "weight_unit", (0.0, -1.0, math.nan, math.inf)),
    (rw.HashRing, "spread", ("rack", "")),
    (rw.PartitionedRing, "part_size", (0, -1)),
    (rw.PartitionedRing, "points_per_node", (0, -5, 2**28 + 1)),
    (rw.PartitionedRing, "weight_unit", (0.0, -1.0, math.nan, math.inf)),
    (rw.PartitionTable, "partitions", (0, -1, 2**24 + 1, 2**70)),
    (rw.PartitionTable, "replicas", (0, -1, 2**16 + 1, 2**70)),
)
WRONG_TYPES = (
    (rw.HashRing, "points_per_node", (1.5, "3", None)),
    (rw.HashRing, "weight_unit", ("1", None)),
    (rw.HashRing, "hash", ("xxh3", 0, rw.XXH3, hash)),
    (rw.PartitionedRing, "part_size", (1.5, "3", None)),
    (rw.PartitionedRing, "hash", ("xxh3", 0, rw.SipHash, hash)),
    (rw.PartitionTable, "partitions", (1.5, "3", None)),
    (rw.PartitionTable, "replicas", (1.5, "3", None)),
    (rw.PartitionTable, "hash", ("xxh3", 0, rw.XXH3, hash)),
    (rw.PrimaryBackup, "hash", ("xxh3", 0, rw.XXH3, hash)),
)


def option(strategy: type, name: str, value: object) -> rw.Router:
    """Make a router with one option of choice."""
    needed = {"part_size": 2} if strategy is rw.PartitionedRing else {}
    return strategy(["a", "b"], **(needed | {name: value}))


@pytest.mark.parametrize(("strategy", "name", "value"), [(s, n, v) for s, n, values in OUT_OF_BOUNDS for v in values])
def test_an_option_out_of_bounds_is_an_argument_error(strategy: type, name: str, value: object) -> None:
    """Each bound of each option is checked, and the error carries argument and value."""
    with pytest.raises(rw.ArgumentError, match=name) as caught:
        option(strategy, name, value)
    assert caught.value.argument == name
    assert caught.value.value is value or caught.value.value == value


@pytest.mark.parametrize(("strategy", "name", "value"), [(s, n, v) for s, n, values in WRONG_TYPES for v in values])
def test_an_option_of_the_wrong_type_is_an_argument_type_error(strategy: type, name: str, value: object) -> None:
    """A float for a count, a text for a number and a name for a hash are type errors."""
    with pytest.raises(rw.ArgumentTypeError, match=name) as caught:
        option(strategy, name, value)
    assert caught.value.argument == name


@every_kind
def test_on_empty_names_a_member(kind: Kind) -> None:
    """A name that is no member cannot own anything, nor can what is no name."""
    for nodes, name in ((["a", "b"], "c"), ([], "a"), (["a"], "")):
        with pytest.raises(rw.RingwardError) as caught:
            kind.strategy(nodes, **kind.options, on_empty=name)
        assert isinstance(caught.value, (KeyError, ValueError))
    with pytest.raises(rw.RingwardError):
        kind.strategy(["a"], **kind.options, on_empty=3)


@every_kind
def test_what_a_router_shows_cannot_be_assigned(kind: Kind) -> None:
    """Epoch, names, membership and hash are not for writing."""
    router = kind.make(TRIO)
    with unchanged(router):
        for name in ("epoch", "names", "nodes", "down", "hash"):
            with pytest.raises(AttributeError):
                setattr(router, name, None)


# ---- sizes that would not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: rw.HashRing(["a", "b"], points_per_node=2**28),
        lambda: rw.HashRing({f"n{i}": 1e6 for i in range(100)}),
        lambda: rw.HashRing({"a": 1e300}),
        lambda: rw.HashRing({"a": 1_000_000, "b": 1}),
        lambda: rw.HashRing({f"n{i}": 100_000 for i in range(16)}),
        lambda: rw.HashRing({"a": 3.84e12, "b": 1.92e12}),
        lambda: rw.PartitionedRing({f"n{i}": 100_000 for i in range(16)}, part_size=4),
        lambda: rw.PartitionTable(["a"], partitions=2**20, replicas=2**8),
        lambda: rw.HashRing({"a": sys.float_info.max, "b": 1.0}, points_per_node=1000),
        lambda: rw.HashRing({"a": 1.0}, weight_unit=5e-324),
        lambda: rw.PartitionedRing({"a": 1e300}, part_size=2),
        lambda: rw.PartitionTable({"a": 1.7e308, "b": 1.7e308}),
        lambda: rw.PartitionTable(["a"], partitions=2**24 + 1),
        lambda: rw.PartitionTable(["a"], replicas=2**40),
    ],
)
def test_what_would_not_fit_is_refused_before_anything_is_allocated(
    make: Callable[[], rw.Router],
) -> None:
    """Points over the cap and sums that overflow are errors at once, without a large allocation."""
    peak_before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    tracemalloc.start()
    with pytest.raises(rw.ArgumentError):
        make()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22
    assert time.perf_counter() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before < 2**15


@pytest.mark.parametrize(
    ("nodes", "points"),
    [
        ({"a": 1_000_000, "b": 1}, 160),
        ({f"n{i}": 100_000 for i in range(16)}, 160),
        ({"a": 3.84e12, "b": 1.92e12, "c": 7.68e12}, 1),
        ({"a": 1e300}, 1000),
    ],
)
def test_too_many_points_name_their_bytes_and_a_unit_that_fits(nodes: dict, points: int) -> None:
    """A weight of a million once took 4 GB and nearly a minute."""
    with pytest.raises(rw.ArgumentError, match="512 MiB of 32 bytes each: use a weight_unit of at least") as caught:
        rw.HashRing(nodes, points_per_node=points)
    unit = float(str(caught.value).split("weight_unit of at least ")[1].split(",")[0])
    options = {"points_per_node": points, "weight_unit": unit}
    total = sum(point_count(rw.Node(name, weight), options) for name, weight in nodes.items())
    assert 0.8 * POINTS_MAX < total <= POINTS_MAX


def test_a_change_that_would_not_fit_leaves_the_router_as_it_was() -> None:
    """The cap on points holds for add and reweigh as well."""
    router = rw.HashRing(["a", "b"], points_per_node=100)
    with unchanged(router):
        with pytest.raises(rw.ArgumentError):
            router.add(rw.Node("c", weight=1e9))
        with pytest.raises(rw.ArgumentError):
            router.reweigh("a", 1e9)
        with pytest.raises(rw.ArgumentError), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.remove("b")
            change.reweigh("a", 1e300)


# ---- counts, hashes, out -------------------------------------------------------------------------------


@every_kind
def test_a_count_is_at_least_one(kind: Kind) -> None:
    """0 and negative counts are refused by every call that takes one, and in bulk those beyond reason."""
    router = kind.make(TRIO, ["b"])
    with unchanged(router):
        for reader in (router, router.snapshot()):
            for count in (0, -1, 2**40, -(2**70), 2**70):
                for call in (
                    lambda count=count, r=reader: r.candidates("event1", min(count, 0)),
                    lambda count=count, r=reader: r.assign(KEYS, count=count),
                    lambda count=count, r=reader: r.assign_hashes(HASHES, count=count),
                ):
                    with pytest.raises(rw.ArgumentError) as caught:
                        call()
                    assert caught.value.argument == "count"
                    assert caught.value.value in (count, min(count, 0))
            for count in (1.5, "2", [1]):
                for call in (
                    lambda count=count, r=reader: r.candidates("event1", count),
                    lambda count=count, r=reader: r.assign(KEYS, count=count),
                ):
                    with pytest.raises(rw.ArgumentTypeError):
                        call()
        assert len(router.candidates("event1", 3)) == 2
        assert (router.assign(KEYS, count=3)[:, 2] == rw.NO_NODE).all()
        assert len(router.candidates("event1", 2**70)) == 2


class Indexed:
    """An object with __index__ alone; comparing one with an int was a bare TypeError."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@every_kind
def test_a_count_is_whatever_is_an_index(kind: Kind) -> None:
    """An object with __index__ counts as its value, in bounds and out of them."""
    router = kind.make(TRIO)
    assert router.candidates("event1", Indexed(2)) == router.candidates("event1", 2)
    assert (router.assign(KEYS, count=Indexed(2)) == router.assign(KEYS, count=2)).all()
    assert router.explain("event1", Indexed(2)) == router.explain("event1", 2)
    assert router.candidates("event1", Indexed(4)) == router.candidates("event1")
    for count in (0, -1):
        with pytest.raises(rw.ArgumentError, match=rf"\(was {count}\)"):
            router.candidates("event1", Indexed(count))
    for wrong in ("3", None, 1.5, True):
        with pytest.raises(rw.ArgumentTypeError):
            router.explain("event1", wrong)


@every_kind
def test_a_choice_of_any_type_is_an_argument_error(kind: Kind) -> None:
    """An array is no choice; it was a bare ValueError, since it equals nothing and is no truth."""
    router = kind.make(TRIO)
    for wrong in (np.array([1, 2]), np.array(["raise", "skip"]), [], 1):
        for call in (
            lambda wrong=wrong: router.assign(KEYS, nulls=wrong),
            lambda wrong=wrong: rw.assign_batch(router, nulls=wrong),
            lambda wrong=wrong: rw.assign_batch(router, form=wrong),
            lambda wrong=wrong: rw.HashRing(["a"], spread=wrong),
        ):
            with pytest.raises(rw.ArgumentError):
                call()


@every_kind
@pytest.mark.parametrize("wrong", [[], ["a"], {}, 5, None, b"a"], ids=str)
def test_a_name_is_a_text_wherever_it_is_asked_for(kind: Kind, wrong: Any) -> None:
    """Lists were a bare TypeError, since they have no hash."""
    router = kind.make(TRIO)
    calls: list[Callable[[Any], Any]] = [router.id_of]
    calls += [lambda name: kind.make(TRIO, on_empty=name)] * (wrong is not None)
    if isinstance(router, rw.PartitionedRing):
        calls.append(router.part_of)
    for call in calls:
        with pytest.raises(rw.ArgumentTypeError):
            call(wrong)


@every_kind
def test_hashes_are_one_dimension_of_uint64(kind: Kind) -> None:
    """Hashes of another dtype or shape are refused by assign_hashes, moved and apply."""
    router = kind.make(TRIO)
    transfer = rw.Transfer.between(router, kind.make(TRIO, ["b"]))
    ids = router.assign_hashes(HASHES)
    kept = ids.copy()
    for wrong in (
        HASHES.astype(np.int64), HASHES.astype(np.uint32), HASHES.astype(np.float64),
        HASHES.astype(object), HASHES.reshape(5, 8), HASHES[0], HASHES[:1].reshape(()), HASHES.astype("U20"),
        "hashes", b"hashes", None, 5,
    ):  # fmt: skip
        for call in (
            router.assign_hashes,
            transfer.moved,
            lambda h: transfer.apply(ids, h),
            lambda h: router.assign_hashes(h, out=ids),
        ):
            with pytest.raises(rw.RingwardError):
                call(wrong)
    assert (ids == kept).all()


@every_kind
def test_big_endian_hashes_are_right_or_refused(kind: Kind) -> None:
    """Bytes in the other order are never taken for hashes in this one."""
    router = kind.make(TRIO)
    swapped = HASHES.astype(">u8")
    try:
        found = router.assign_hashes(swapped)
    except rw.RingwardError:
        found = router.assign_hashes(HASHES)
    assert found.tolist() == router.assign_hashes(HASHES).tolist()


@every_kind
def test_out_has_the_dtype_and_shape_of_the_answer(kind: Kind) -> None:
    """Arrays for the answer of another dtype or shape are refused and left alone."""
    router = kind.make(TRIO)
    wrong_ones = [np.full(40, 7, dtype) for dtype in ("u1", "i1", "i2", "i4", "u8", "f4", "f8", "?", "O", "U3")]
    wrong_ones += [np.full(shape, 7, np.uint32) for shape in (39, 41, 0, (40, 1), (1, 40), (40, 2), ())]
    wrong_ones += [[7] * 40, (7,) * 40, bytearray(160), "out", 7]
    pairs = [(KEYS, router.assign), (HASHES, router.assign_hashes), (np.arange(40), router.assign)]
    for out in wrong_ones:
        kept = repr(out)
        for given_keys, call in pairs:
            with pytest.raises(rw.RingwardError) as caught:
                call(given_keys, out=out)
            assert isinstance(caught.value, (TypeError, ValueError))
        assert repr(out) == kept
    for shape in ((40,), (40, 1), (40, 3), (2, 40), (39, 2), (40, 2, 1)):
        out = np.full(shape, 7, np.uint32)
        for given_keys, call in pairs:
            with pytest.raises(rw.RingwardError):
                call(given_keys, count=2, out=out)
        assert (out == 7).all()


@every_kind
def test_an_out_that_is_read_only_is_refused(kind: Kind) -> None:
    """Memory that must not be written isn't."""
    router = kind.make(TRIO)
    transfer = rw.Transfer.between(router, kind.make(TRIO, ["a", "b"]))
    out = np.full(40, 7, np.uint32)
    out.flags.writeable = False
    for call in (
        lambda: router.assign(KEYS, out=out),
        lambda: router.assign_hashes(HASHES, out=out),
        lambda: transfer.apply(out, HASHES),
    ):
        with pytest.raises(rw.RingwardError):
            call()
    assert (out == 7).all()


@every_kind
def test_an_out_in_the_other_byte_order_is_right_or_refused(kind: Kind) -> None:
    """Ids are never written in the wrong byte order."""
    router = kind.make(TRIO)
    for dtype in (">u2", ">u4", ">i8"):
        out = np.full(40, 7, dtype)
        try:
            router.assign(KEYS, out=out)
        except rw.RingwardError:
            assert (out == 7).all()
        else:
            assert out.tolist() == router.assign(KEYS).tolist()


@pytest.mark.parametrize("size", [65_536, 70_000])
def test_an_out_too_narrow_for_an_id_is_a_value_error(size: int) -> None:
    """uint16 cannot hold id 65,535, which would be its NO_NODE, nor larger ones; wider dtypes can."""
    names = [f"n{i:06}" for i in range(size)]
    router = rw.PrimaryBackup([names[-1], *names[:-1]])
    narrow = np.full(40, 7, np.uint16)
    for call in (
        lambda: router.assign(KEYS, out=narrow),
        lambda: router.assign_hashes(HASHES, out=narrow),
    ):
        with pytest.raises(rw.ArgumentError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert (narrow == 7).all()
    for dtype in (np.uint32, np.int64):
        assert set(router.assign(KEYS, out=np.empty(40, dtype)).tolist()) == {size - 1}
    back = rw.PrimaryBackup([names[0], names[-1], *names[1:-1]])
    transfer = back.mark_down(names[0])
    ids = np.zeros(40, np.uint16)
    with pytest.raises(rw.ArgumentError):
        transfer.apply(ids, HASHES)
    assert (ids == 0).all()
    wide = np.zeros(40, np.int64)
    transfer.apply(wide, HASHES)
    assert (wide == size - 1).all()
    ids[:] = (size - 1) % 2**16
    with pytest.raises(rw.ArgumentError):  # no narrow id is the wide one that keys leave
        back.mark_up(names[0]).apply(ids, HASHES)
    assert (ids == (size - 1) % 2**16).all()


@every_kind
def test_apply_takes_as_many_ids_as_hashes(kind: Kind) -> None:
    """Ids of another length, dtype or shape are refused and left alone."""
    router = kind.make(TRIO)
    transfer = router.mark_down("a", "b")
    for wrong in (
        np.full(39, 0, np.uint32), np.full(41, 0, np.uint32), np.full((40, 1), 0, np.uint32),
        np.full(40, 0, np.int32), np.full(40, 0, np.uint64), np.full(40, 0.0), [0] * 40, None,
    ):  # fmt: skip
        kept = repr(wrong)
        with pytest.raises(rw.RingwardError):
            transfer.apply(wrong, HASHES)
        assert repr(wrong) == kept


@every_kind
def test_between_takes_routers_and_snapshots(kind: Kind) -> None:
    """Other things cannot be compared."""
    router = kind.make(TRIO)
    for wrong in (None, "router", ["a"], rw.XXH3(), rw.HashRing):
        with pytest.raises(rw.ArgumentTypeError):
            rw.Transfer.between(router, wrong)
        with pytest.raises(rw.ArgumentTypeError):
            rw.Transfer.between(wrong, router)


@pytest.mark.parametrize("token", ["1", None, 1.5, [1]])
def test_a_token_is_a_number(token: object) -> None:
    """check() takes epochs and nothing else."""
    router = rw.PrimaryBackup(["a", "b"])
    with pytest.raises(rw.ArgumentTypeError):
        router.check(token)
    router.check(Indexed(0))
    with pytest.raises(rw.StaleEpochError):
        router.check(Indexed(1))


# ---- keys at the edges ---------------------------------------------------------------------------------


@every_kind
def test_an_empty_key_is_a_key_like_any_other(kind: Kind) -> None:
    """The empty text and no bytes at all are one key, in lists and in arrays."""
    router = kind.make(TRIO)
    reference = kind.oracle(router, kind.model(TRIO))
    owner = reference.owner(oracle.xxh3(b""))
    assert router.route("") == router.route(b"") == owner
    for container in ([""], [b""], np.array([""]), np.array([b""]), np.array([""], object)):
        assert list(router.names[router.assign(container)]) == [owner]


@every_kind
def test_bad_keys_change_no_router(kind: Kind) -> None:
    """Refused keys leave epoch, answers and output arrays alone."""
    router = kind.make(TRIO, ["a"])
    out = np.full(3, 7, np.uint32)
    with unchanged(router):
        for bad in (None, True, 1.5, 2**64, -(2**63) - 1, "\ud800", ["x"], {}):
            for call in (router.route, router.candidates, router.__getitem__):
                with pytest.raises((rw.KeyTypeError, rw.KeyValueError)):
                    call(bad)
            with pytest.raises((rw.KeyTypeError, rw.KeyValueError)) as caught:
                router.assign(["a", "b", bad], out=out)
            assert caught.value.position == 2
    assert (out == 7).all()


# ---- damaged bytes of a snapshot -------------------------------------------------------------------------


def bytes_of(kind: Kind, **options: Any) -> bytes:
    """Return the byte form of a router with a short history."""
    router = kind.make(TRIO, **options)
    router.add("é", "long name " * 20)
    router.remove("c")
    router.mark_down("a")
    return router.snapshot().to_bytes()


def sampled(size: int) -> list[int]:
    """Return all positions of the beginning and the end of some bytes, and a sample between."""
    return sorted({*range(min(size, 256)), *range(max(0, size - 64), size), *range(0, size, size // 97 + 1)})


@every_kind
def test_a_byte_that_was_changed_is_found(kind: Kind) -> None:
    """Whichever byte is damaged, in one bit or in all, from_bytes raises SnapshotError."""
    data = bytes_of(kind)
    for position in sampled(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            with pytest.raises(rw.SnapshotError):
                rw.Snapshot.from_bytes(bytes(damaged))


@every_kind
def test_bytes_that_were_cut_or_lengthened_are_found(kind: Kind) -> None:
    """Every shorter piece, at either end, and anything appended raises SnapshotError."""
    data = bytes_of(kind)
    for position in sampled(len(data)):
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(data[:position])
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(data[position + 1 :])
    for more in (b"\0", b"\n", data):
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(data + more)


@given(noise=st.binary(max_size=400))
@MANY
def test_noise_is_no_snapshot(noise: bytes) -> None:
    """Bytes from elsewhere, with the right beginning or without, raise SnapshotError."""
    data = bytes_of(KINDS[0])
    for forged in (noise, data[:8] + noise, data[:32] + noise, pickle.dumps(noise)):
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(forged)


@every_kind
def test_a_newer_version_is_refused_by_name(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that a later release wrote are whole, and refused with the two versions."""
    version = snapshot_module.VERSION
    with monkeypatch.context() as later:
        later.setattr(snapshot_module, "VERSION", version + 1)
        newer = bytes_of(kind)
    with pytest.raises(rw.SnapshotError, match=rf"version.*{version}\b.*{version + 1}\b"):
        rw.Snapshot.from_bytes(newer)


@every_kind
def test_forged_bytes_with_a_fitting_checksum_do_no_harm(kind: Kind) -> None:
    """Bytes changed on purpose are refused, or route among the names that they hold: never outside."""
    data = bytes_of(kind)
    refused = 0
    for position in sampled(len(data)):
        for flip in (0x01, 0x10, 0xFF):
            body = bytearray(data[:-8])
            if position >= len(body):
                continue
            body[position] ^= flip
            try:
                forged = rw.Snapshot.from_bytes(bytes(body) + xxhash.xxh3_64_digest(bytes(body)))
            except rw.SnapshotError:
                refused += 1
                continue
            known = set(forged.names)
            assert set(owners(forged, HASHES)) <= known | {None}
            assert all(set(order) <= known for order in orders(forged, HASHES))
    assert refused > 50


def edited(data: bytes, **changes: Any) -> bytes:
    """Return the bytes of a snapshot with other values in its header, and a checksum that fits."""
    size = int.from_bytes(data[12:20], "little")
    text = json.dumps({**json.loads(data[20 : 20 + size]), **changes}).encode()
    body = data[:12] + len(text).to_bytes(8, "little") + text + data[20 + size : -8]
    return body + xxhash.xxh3_64_digest(body)


WRONG_HEADERS = {
    "strategy": (5, "", None, ["HashRing"], "\ud800"),
    "epoch": (-5, 1.5, True, None, "1", 2**64),
    "names": ("abc", {"a": 0, "b": 1}, None),
}


@every_kind
@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG_HEADERS.items() for v in values])
def test_a_header_is_checked_when_bytes_are_read(kind: Kind, name: str, value: object) -> None:
    """A strategy of 5 and an epoch of -5 were once taken."""
    with pytest.raises(rw.SnapshotError):
        rw.Snapshot.from_bytes(edited(bytes_of(kind), **{name: value}))


@every_kind
@pytest.mark.parametrize("other", KINDS, ids=str)
def test_resume_takes_no_other_strategy_under_its_name(kind: Kind, other: Kind) -> None:
    """Under another name, with its own options or those of that name; it once ended in TypeErrors at the next change."""
    mine, theirs = (rw.Snapshot.from_bytes(bytes_of(each)) for each in (kind, other))
    for options in (mine.options, theirs.options):
        data = edited(bytes_of(kind), strategy=theirs.strategy, options=options)
        snapshot = rw.Snapshot.from_bytes(data)
        either = theirs.strategy == mine.strategy == "PrimaryBackup"  # with failback and without, the state is the same
        if either or (theirs.strategy, options) == (mine.strategy, mine.options):
            assert fingerprint(other.strategy.resume(snapshot)) == fingerprint(snapshot)
        else:
            with pytest.raises(rw.SnapshotError, match=rf"of no {theirs.strategy}"):
                other.strategy.resume(snapshot)


FORGED_OPTIONS = {
    "points_per_node": (-5, 0, 1.5, True, None, "160"),
    "weight_unit": (0, -1.0, None, "1"),
    "part_size": (0, None, 1, 100),
    "partitions": (0, 60, 2**30),
    "replicas": (0, 2, 4),
    "failback": (0, None),
    "spread": ("", 1, []),
    "more": (1,),
}


@every_kind
def test_resume_checks_the_options(kind: Kind) -> None:
    """Each one is within its bounds, fits the table, and is neither missing nor one too many."""
    data = bytes_of(kind)
    options = rw.Snapshot.from_bytes(data).options
    forged = [{**options, name: value} for name, values in FORGED_OPTIONS.items() for value in values]
    forged += [{other: options[other] for other in options if other != name} for name in options if name != "on_empty"]
    for wrong in forged:
        with pytest.raises(rw.SnapshotError):
            kind.strategy.resume(rw.Snapshot.from_bytes(edited(data, options=wrong)))


@every_kind
def test_resume_checks_the_memory(kind: Kind) -> None:
    """A primary that is none, a term that has not been, memory where there is none, and none where there is some."""
    data = bytes_of(kind)
    memories: list[Any] = [{}, [], {"primary": "b", "term": 99}, {"primary": "b"}, {"term": 0}, 5]
    memories += [{"primary": "b", "term": term} for term in (-1, True, 1.5, "3", None)]
    memories += [{"primary": primary, "term": 3} for primary in ("a", None, "nobody", [])]
    memories += [{"primary": "b", "term": 3, "more": 1}]
    if kind.strategy is rw.PrimaryBackup:
        memories += [None]
        again = rw.Snapshot.from_bytes(edited(data, memory={"primary": "b", "term": 3}))
        assert rw.PrimaryBackup.resume(again).primary == "b"
    for memory in memories:
        with pytest.raises(rw.SnapshotError):
            kind.strategy.resume(rw.Snapshot.from_bytes(edited(data, memory=memory)))


@pytest.mark.parametrize("wrong", ["text", None, 5, [1], {}])
def test_a_snapshot_is_made_of_bytes(wrong: object) -> None:
    """What is no bytes is a type error."""
    with pytest.raises(rw.ArgumentTypeError):
        rw.Snapshot.from_bytes(wrong)


@every_kind
def test_a_snapshot_needs_the_hash_it_was_made_with(kind: Kind) -> None:
    """A SipHash key that is missing or wrong, other rounds and another family raise SnapshotError."""
    key16 = bytes(range(16))
    data = bytes_of(kind, hash=rw.SipHash(key16))
    assert rw.Snapshot.from_bytes(data, hash=rw.SipHash(key16)).hash == rw.SipHash(key16)
    with pytest.raises(rw.SnapshotError):
        rw.Snapshot.from_bytes(data)
    near = bytes([*key16[:15], key16[15] ^ 1])
    for wrong in (
        rw.SipHash(near),
        rw.SipHash(key16, rounds=(2, 4)),
        rw.XXH3(),
        rw.Multiplicative(1, 3),
    ):
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(data, hash=wrong)
    plain = bytes_of(kind)
    for wrong in (rw.XXH3(seed=1), rw.SipHash(key16)):
        with pytest.raises(rw.SnapshotError):
            rw.Snapshot.from_bytes(plain, hash=wrong)
    for wrong in ("xxh3", 5, rw.XXH3):
        with pytest.raises((rw.SnapshotError, rw.ArgumentTypeError)):
            rw.Snapshot.from_bytes(plain, hash=wrong)


@every_kind
def test_resume_takes_a_snapshot(kind: Kind) -> None:
    """Bytes, routers and nothing are no snapshots."""
    router = kind.make(TRIO)
    for wrong in (None, b"", router, router.snapshot().to_bytes()):
        with pytest.raises(rw.ArgumentTypeError):
            kind.strategy.resume(wrong)


@every_kind
def test_a_router_is_usable_after_every_refusal(kind: Kind) -> None:
    """After a series of refused calls of every sort, changes and answers are as on a fresh router."""
    router, fresh = kind.make(TRIO), kind.make(TRIO)
    for spoil in (
        lambda: router.add("a"),
        lambda: router.remove("nobody"),
        lambda: router.reweigh("a", -1),
        lambda: router.mark_down("a", "nobody"),
        lambda: router.assign([None]),
        lambda: router.candidates("x", 0),
        lambda: router.change().__enter__().add("a", "b", "b"),
    ):
        with pytest.raises(rw.RingwardError), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.mark_down("b")
            spoil()
            change.add("a")
    for each in (router, fresh):
        each.mark_down("a")
        each.add("new")
    assert fingerprint(router) == fingerprint(fresh)
    assert owners(router, HASHES) == owners(fresh, HASHES)
    assert orders(router, HASHES) == orders(fresh, HASHES)


@pytest.mark.parametrize("strategy", [None, 3, b"HashRing", ["HashRing"], {}])
def test_a_strategy_is_named_by_a_str(strategy):
    with pytest.raises(rw.ArgumentTypeError, match=r"^strategy must be a str"):
        rw.Router.named(strategy)
    assert rw.Router.named("HashRing") is rw.HashRing
    assert rw.Router.named("Hash") is None
