"""Names: one rule for text, candidates as many as there are, and owners' names for ids of every kind."""

from __future__ import annotations

import enum
import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Member
from strategies import FEW, KINDS, Kind, fingerprint

import ringward as rw
from ringward.events import MemoryStore, Processor

NAMES = ["eu", "us", "é"]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


class Region(enum.StrEnum):
    """Its `str` is `Region.EU`; routers once took that for the name."""

    EU = "eu"
    US = "us"
    E = "é"
    Z = "z"


class Plain(enum.StrEnum):
    """Its `str` is its text."""

    EU = "eu"
    US = "us"
    E = "é"
    Z = "z"


class Liar(str):
    """Every method that could tell of its text tells something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"

    def __repr__(self) -> str:
        return "'other'"

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 5

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def encode(self, *_: Any, **__: Any) -> bytes:
        """Give other bytes."""
        return b"other"

    def __getattribute__(self, name: str) -> Any:
        raise AttributeError(name)


class Posing:
    """No str, but one by what it says of its class."""

    __class__ = str  # type: ignore[assignment]


TEXTS = {"(str, Enum)": Region, "StrEnum": Plain, "numpy": np.str_, "liar": Liar, "str": str}
every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
NO_TEXTS = [
    b"eu",
    np.bytes_(b"eu"),
    bytearray(b"eu"),
    True,
    np.True_,
    1,
    np.int64(1),
    1.5,
    None,
    ("eu",),
    Posing(),
    object(),
]


# ---- one rule for text ---------------------------------------------------------------------------------


@every_kind
@every_text
def test_a_name_is_the_text_it_holds(kind: Kind, text: type) -> None:
    """In every way that names come in: nodes, mappings, zones, marks, changes, `on_empty`, questions."""
    eu, us, e = map(text, NAMES)
    plain = kind.strategy([rw.Node("eu", 2, "z"), "us"], **kind.options, on_empty="us")
    router = kind.strategy([rw.Node(eu, 2, text("z")), us], **kind.options, on_empty=us)
    assert fingerprint(kind.strategy({eu: 1.0, us: 2.0}, **kind.options)) == fingerprint(
        kind.strategy({"eu": 1.0, "us": 2.0}, **kind.options)
    )
    for each, (one, two, three) in ((plain, NAMES), (router, (eu, us, e))):
        each.add(three)
        each.mark_down(one, two)
        each.mark_up(one)
        each.reweigh(two, 3)
        with each.change() as change:
            change.remove(three)
            change.add(rw.Node(three, zone="z"))
            change.mark_down(three)
            change.mark_up(two)
            change.reweigh(one, 0.5)
        each.remove(three)
    assert fingerprint(router) == fingerprint(plain)
    assert router.snapshot().to_bytes() == plain.snapshot().to_bytes()
    assert eu in router
    assert e not in router
    assert [router.id_of(name) for name in (eu, us, e)] == [0, 1, plain.id_of("é")]
    assert {type(name) for name in router} | {type(name) for name in router.names} == {str}
    assert [type(each) for node in router.nodes for each in (node.name, node.zone)] == [str, str, str, type(None)]
    assert pickle.loads(pickle.dumps(router)).nodes == plain.nodes
    if kind.strategy is rw.PartitionedRing:
        assert router.part_of(eu) == plain.part_of("eu")


@every_text
def test_a_name_that_is_there_twice_is_refused_whatever_its_class(text: type) -> None:
    """The same text is the same name."""
    with pytest.raises(rw.DuplicateNodeError, match="'eu'"):
        rw.HashRing(["eu", text("eu")])
    ring = rw.HashRing(["eu"])
    with pytest.raises(rw.DuplicateNodeError, match="'eu'"):
        ring.add(text("eu"))
    with pytest.raises(rw.UnknownNodeError, match="'us'"):
        ring.mark_down(text("us"))
    with pytest.raises(rw.UnknownNodeError, match="'eu'"):
        ring.remove("eu", text("eu"))


@every_text
def test_a_key_is_the_text_it_holds(text: type) -> None:
    """By the rule of names, in every container of objects, and as the key and the id of an event."""
    ring = rw.HashRing([f"node{i}" for i in range(50)])
    keys = [text(name) for name in NAMES]
    holder = np.empty(3, object)
    holder[:] = keys
    for column in (keys, tuple(keys), holder):
        assert (ring.assign(column) == ring.assign(NAMES)).all()
    assert [ring.route(key) for key in keys] == [ring[key] for key in keys] == [ring.route(name) for name in NAMES]
    with Processor(MemoryStore(), producer="test") as processor:
        first = processor.publish(keys[2], b"", id=keys[0])
        assert processor.publish(NAMES[2], b"", id=NAMES[0]) == first._replace(duplicate=True)
        processor.consumer(text("eu"), members=[text("us"), text("é")])(print)
        assert [(name, type(name)) for name in processor.stats().groups] == [("eu", str)]
        with pytest.raises(rw.ArgumentError, match="one without a consumer"):
            processor.delete_group(text("eu"))
        assert processor.redrive(text("eu")) == 0


@every_kind
@pytest.mark.parametrize("wrong", NO_TEXTS, ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_text_is_no_name(kind: Kind, wrong: Any) -> None:
    """Bytes, bools and numbers are refused by name, also where they would look like a member's name."""
    router = kind.make(dict.fromkeys(("eu", "True", "1"), Member()))
    before = fingerprint(router)
    for call in (
        lambda: kind.strategy([wrong], **kind.options),
        lambda: rw.Node("a", zone=wrong) if wrong is not None else rw.Node(wrong),
        lambda: kind.strategy(["eu"], **kind.options, on_empty=wrong if wrong is not None else 1),
        lambda: router.add(wrong),
        lambda: router.remove(wrong),
        lambda: router.mark_down(wrong),
        lambda: router.mark_up(wrong),
        lambda: router.reweigh(wrong, 1),
        lambda: router.id_of(wrong),
    ):
        with pytest.raises(rw.ArgumentTypeError, match="must be a str"):
            call()
    assert wrong not in router
    assert fingerprint(router) == before


@pytest.mark.parametrize("names", [["eu"], ("eu",), {"eu"}])
def test_several_names_in_one_argument_are_told_how(names: Any) -> None:
    """Marks take `*names`."""
    ring = rw.HashRing(["eu", "us"])
    for call in (ring.mark_down, ring.mark_up, ring.remove):
        with pytest.raises(rw.ArgumentTypeError, match=r"name must be a str: several are given as \*names"):
            call(names)


def test_a_frame_is_no_list_of_nodes() -> None:
    """A data frame would be the names of its columns."""
    with pytest.raises(rw.ArgumentTypeError, match="nodes must be an iterable of names"):
        rw.HashRing(pd.DataFrame({"name": ["a", "b"]}))  # type: ignore[arg-type]


def test_a_set_has_no_order_of_priority() -> None:
    """Its order differs from process to process, so the primary would; rings take one, since order means nothing to them."""
    for nodes in ({"a", "b"}, frozenset("ab")):
        with pytest.raises(rw.ArgumentTypeError, match="nodes must be in an order"):
            rw.PrimaryBackup(nodes)
        assert list(rw.HashRing(nodes)) == ["a", "b"]
    assert rw.PrimaryBackup({"b": 1, "a": 1}.keys()).primary == "b"


def test_options_are_text_by_the_same_rule() -> None:
    """`spread`, `form` and `nulls`; what is kept of them is plain."""
    zone = enum.Enum("Spread", {"ZONE": "zone"}, type=str).ZONE
    ring = rw.HashRing(["a", "b"], spread=zone)
    assert ring.snapshot().to_bytes() == rw.HashRing(["a", "b"], spread="zone").snapshot().to_bytes()
    form = enum.Enum("Form", {"ID": "id"}, type=str).ID
    assert type(rw.assign_batch(ring, form=form).form) is str


# ---- candidates: as many as there are --------------------------------------------------------------------


@every_kind
@given(members=st.integers(0, 5), down=st.integers(0, 5), gone=st.integers(0, 5), count=st.integers(1, 9))
@FEW
def test_candidates_are_as_many_as_there_are(kind: Kind, members: int, down: int, gone: int, count: int) -> None:
    """Down, removed, drained or never there makes no difference, for one key and for columns; nothing raises."""
    names = [f"n{i}" for i in range(members)]
    router = kind.make(dict.fromkeys(names, Member()), names[:down])
    if names[:gone]:
        router.remove(*names[:gone])
    live = max(0, members - max(down, gone))
    keys = [f"k{i}" for i in range(20)]
    for reader in (router, router.snapshot()):
        ids = reader.assign(keys, count=count)
        assert ids.shape == (20, count)
        assert (reader.assign_hashes(rw.hash_keys(keys, reader.hash), count=count) == ids).all()
        wide = reader.assign(keys, count=count, out=np.zeros((20, count), np.int64))
        assert ((wide == np.iinfo(np.int64).max) == (ids == rw.NO_NODE)).all()
        for key, row, named in zip(keys, ids, reader.owner_names(ids).tolist(), strict=True):
            found = reader.candidates(key, count)
            assert len(found) == min(live, count)
            assert reader.candidates(key)[:count] == found
            assert named == found + [None] * (count - len(found))
            assert (row[len(found) :] == rw.NO_NODE).all()
    made = rw.assign_batch(router, "k", count=count)({"k": keys})
    assert [made[f"owner_{i + 1}"][0] for i in range(count)] == named_of(router, keys[0], count)


def named_of(router: rw.Router, key: str, count: int) -> list[str | None]:
    """Return the candidates of a key, and None for each that there is not."""
    found: list[str | None] = [*router.candidates(key, count)]
    return found + [None] * (count - len(found))


@every_kind
def test_an_empty_router_has_no_candidates_and_bad_keys_are_bad_all_the_same(kind: Kind) -> None:
    """Also with a count; `HashRing().candidates("k", 1)` once raised."""
    router = kind.make({})
    assert router.candidates("k") == router.candidates("k", 1) == router.candidates("k", 2**70) == []
    assert (router.assign(["k"], count=3) == rw.NO_NODE).all()
    with pytest.raises(rw.KeyTypeError):
        router.candidates(1.5, 1)  # type: ignore[arg-type]
    with pytest.raises(rw.KeyTypeError, match=r"keys\[1\]"):
        router.assign(["k", None], count=1)
    with pytest.raises(rw.NoNodeError):
        router.assign(["k"])


def test_on_empty_is_the_only_candidate_while_nobody_is_live() -> None:
    """It stands in for the owner, in rows too."""
    ring = rw.HashRing(["a", "b"], on_empty="b")
    ring.mark_down("a", "b")
    assert ring.candidates("k", 3) == ["b"]
    assert ring.owner_names(ring.assign(["k"], count=2)).tolist() == [["b", None]]


@pytest.mark.parametrize("count", [2**16 + 1, 2**40, 2**70])
def test_a_row_of_more_places_than_anybody_has_nodes_is_refused(count: int) -> None:
    """Before anything is allocated."""
    ring = rw.HashRing(["a"])
    for call in (lambda: ring.assign([], count=count), lambda: rw.assign_batch(ring, count=count)):
        with pytest.raises(rw.ArgumentError, match=r"count must be .*at most 65536"):
            call()


class Code(int, enum.Enum):
    """Its `str` is `Code.SEVEN`."""

    SEVEN = 7


EXPLAINED: list[tuple[Any, Any]] = [
    (memoryview(b"ab"), b"ab"),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"axb")[::2], b"ab"),
    (Region.EU, "eu"),
    (np.str_("eu"), "eu"),
    (Code.SEVEN, 7),
]


@every_kind
@pytest.mark.parametrize(("key", "routed"), EXPLAINED)
def test_an_explanation_tells_the_key_as_it_was_routed(kind: Kind, key: Any, routed: Any) -> None:
    """A memoryview made `to_dict` a TypeError; other objects were told by their `str`."""
    router = kind.make(dict.fromkeys("abc", Member()))
    explanation = router.explain(key)
    assert explanation == router.explain(routed)
    assert type(explanation.key) is type(routed)
    assert json.loads(json.dumps(explanation.to_dict()))["key"] == str(routed)


@every_kind
def test_names_are_counted_and_listed_but_have_no_reverse_order(kind: Kind) -> None:
    """`reversed(router)` was the owners of the keys n - 1, ..., 0."""
    router = kind.make(dict.fromkeys("abc", Member()))
    assert [*router] == ["a", "b", "c"]
    for view in (router, router.snapshot()):
        with pytest.raises(TypeError, match="not reversible"):
            reversed(view)  # type: ignore[call-overload]


# ---- the names of ids --------------------------------------------------------------------------------------


@pytest.fixture
def ring() -> rw.HashRing:
    """Return a ring with a past member."""
    ring = rw.HashRing(["a", "b", "gone", "é"])
    ring.remove("gone")
    return ring


def as_lists(named: Any) -> list[Any]:
    """Return what a library made of names as lists, with None where nothing is."""
    if isinstance(named, pd.DataFrame):
        return [[None if pd.isna(each) else each for each in row] for row in named.to_numpy(object).tolist()]
    if isinstance(named, pd.Categorical):
        return [None if pd.isna(each) else each for each in named]
    if isinstance(named, pl.Series):
        return [each.to_list() if isinstance(each, pl.Series) else each for each in named.to_list()]
    return named.to_pylist() if isinstance(named, pa.Array) else named.tolist()


IDS = [0, 3, rw.NO_NODE, 2, 1, 0]
EXPECTED = ["a", "é", None, "gone", "b", "a"]


@pytest.mark.parametrize("library", ["numpy", "pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64, np.uint64, ">u4", np.int32])
def test_every_id_has_its_name_and_no_node_has_none(ring: rw.HashRing, library: Any, dtype: Any) -> None:
    """Of one and two dimensions, strided, in every type that `assign` writes; `names[ids]` was an IndexError."""
    nobody = np.iinfo(dtype).max
    ids = np.array([nobody if each == rw.NO_NODE else each for each in IDS], dtype)
    for reader in (ring, ring.snapshot(), ring.mark_down("a")):
        assert as_lists(reader.owner_names(ids, library)) == EXPECTED
        assert as_lists(reader.owner_names(ids[::-2], library)) == EXPECTED[::-2]
        assert as_lists(reader.owner_names(ids.reshape(3, 2), library)) == [EXPECTED[i : i + 2] for i in (0, 2, 4)]
        assert as_lists(reader.owner_names(ids.reshape(2, 3).T, library)) == [
            [*row] for row in zip(EXPECTED[:3], EXPECTED[3:], strict=True)
        ]
        assert as_lists(reader.owner_names(ids[:0], library)) == []


def test_the_array_of_names_takes_no_node_too(ring: rw.HashRing) -> None:
    """`names[ids]` gives plain arrays as ever, None for NO_NODE, and an IndexError for what is no id."""
    ids = np.array(IDS, np.uint32)
    for each in (ids, ids.astype(np.int64), ids.reshape(2, 3)):
        assert type(ring.names[each]) is np.ndarray
        assert ring.names[each].ravel().tolist() == EXPECTED
    assert ring.names[rw.NO_NODE] is ring.names[ids[2]] is None
    assert (ring.names[3], ring.names[-1], ring.names[:2].tolist()) == ("é", "é", ["a", "b"])
    assert repr(ring.names).startswith("array(['a', 'b'")
    for held in (IDS, pd.Series(ids), pl.Series(ids), pa.array(ids)):
        assert ring.names[held].tolist() == EXPECTED
    assert np.take(ring.names, ids).tolist() == ring.names.take(IDS).tolist() == EXPECTED
    assert ring.names.take([0, 9], mode="clip").tolist() == ["a", "é"]
    for wrong in (4, np.array([0, 4]), np.int64(-5), [0, 4], pd.Series([4])):
        with pytest.raises(IndexError):
            ring.names[wrong]
    with pytest.raises(ValueError, match="read-only"):
        ring.names[0] = "b"


def test_names_come_as_categories(ring: rw.HashRing) -> None:
    """Of the routers' names, past ones too, so that columns of one router fit each other."""
    ids = np.array(IDS, np.uint32)
    categories = ring.owner_names(ids, "pandas")
    assert isinstance(categories, pd.Categorical)
    assert list(categories.categories) == list(ring.names)
    assert ring.owner_names(ids, "polars").dtype == pl.Categorical
    assert ring.owner_names(ids, "pyarrow").type == pa.dictionary(pa.int32(), pa.string())
    frame = pd.DataFrame({"id": ids}, index=range(6, 0, -1))
    assert frame.assign(owner=ring.owner_names(frame["id"], "pandas"))["owner"].tolist()[0] == "a"


def test_ids_come_in_whatever_holds_integers(ring: rw.HashRing) -> None:
    """Lists, columns of the libraries, one id alone, ids of uint32 that were made wider."""
    ids = np.array(IDS, np.uint32)
    for given_ids in (IDS, tuple(IDS), pd.Series(ids), pl.Series(ids), pa.array(ids), ids.astype(np.int64)):
        assert ring.owner_names(given_ids).tolist() == EXPECTED
    assert ring.owner_names(3) == "é"
    assert ring.owner_names(np.uint32(rw.NO_NODE)) is None
    assert ring.owner_names([]).tolist() == []
    assert ring.owner_names(np.zeros((2, 0), np.uint32)).shape == (2, 0)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 4], rw.ArgumentError, r"ids\[1\] must be the id of one of 4 names, or NO_NODE \(was 4\)"),
        ([-1], rw.ArgumentError, r"ids\[0\] must .* \(was -1\)"),
        ([[0, 1], [9, 1]], rw.ArgumentError, r"ids\[1, 0\] must .* \(was 9\)"),
        ([0.0], rw.ArgumentTypeError, "ids must be integers, as assign returns them"),
        ([True], rw.ArgumentTypeError, "ids must be integers"),
        ([None], rw.ArgumentTypeError, "ids must be integers"),
        ("a", rw.ArgumentTypeError, "ids must be integers"),
        ([[0, 1], [1]], rw.ArgumentTypeError, "ids must be integers"),
        (np.ma.masked_array([0, 1], [True, False]), rw.ArgumentTypeError, "ids must be integers"),
    ],
)
def test_what_is_no_id_of_the_router_is_refused(ring: rw.HashRing, ids: Any, error: type, message: str) -> None:
    """With its place."""
    for call in (ring.owner_names, ring.mark_up("a").owner_names):
        with pytest.raises(error, match=message):
            call(ids)
    for wrong in ("dask", None, 1, ["numpy"]):
        with pytest.raises(rw.ArgumentError, match="library must be 'numpy' or 'pandas'"):
            ring.owner_names([0], wrong)  # type: ignore[arg-type]


@every_kind
def test_names_after_apply_are_those_of_the_transfer(kind: Kind) -> None:
    """Also where nobody is left: `assign` raises then, `apply` writes what is so."""
    router = kind.make(dict.fromkeys("abc", Member()))
    keys = [f"k{i}" for i in range(50)]
    hashes = rw.hash_keys(keys, router.hash)
    ids = router.assign(keys)
    transfer = router.mark_down(*"abc")
    transfer.apply(ids, hashes)
    assert transfer.owner_names(ids).tolist() == router.owner_names(ids).tolist() == [None] * 50
    assert (ids == router.assign(keys, count=1)[:, 0]).all()
    router.mark_up("b").apply(ids, hashes)
    assert set(router.owner_names(ids)) == {"b"}
    assert transfer.owner_names(transfer.arcs["target"]).tolist() == [None] * len(transfer.arcs)
    between = rw.Transfer.between(router, kind.make({}))
    for each in (transfer, pickle.loads(pickle.dumps(transfer)), between):
        assert set(each.names[each.arcs["target"]]) == {None}


def test_many_names_are_right_beyond_one_piece(ring: rw.HashRing) -> None:
    """They are written in pieces, between which other threads run."""
    ids = np.random.default_rng(1).integers(0, 4, 100_001).astype(np.uint32)
    ids[::7] = rw.NO_NODE
    table = [*ring.names, None]
    assert ring.owner_names(ids).tolist() == [table[min(each, 4)] for each in ids.tolist()]
    assert all(kind.make(dict.fromkeys("ab", Member())).owner_names([1]).tolist() == ["b"] for kind in KINDS)
