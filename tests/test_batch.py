"""`assign_batch`: every kind of batch gets the owners that the router gives, here and in other processes."""

import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ringward as rw
from ringward.engines import assign_batch as batch
from ringward.engines.frames import frames_of

KEYS = ["N14228", "", "é", "event 1", "N619AA", "N619AA", "x" * 300]
NAMES = ["node1", "node2", "node3", "node4"]
FRAMES = {
    "pyarrow batch": pa.RecordBatch.from_pydict,
    "pyarrow table": pa.table,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "dict": dict,
}
COLUMNS = {
    "pyarrow array": lambda keys: pa.array(keys, pa.string()),
    "pyarrow chunks": lambda keys: pa.chunked_array([keys[:2], keys[2:]], pa.string()),
    "pyarrow dictionary": lambda keys: pa.array(keys, pa.string()).dictionary_encode(),
    "pandas": lambda keys: pd.Series(keys, dtype=None if keys else "str"),
    "polars": lambda keys: pl.Series(keys, dtype=pl.String),
    "list": list,
    "ndarray": lambda keys: np.array(keys, object),
}
FORMS = ("category", "string", "id")
every_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
every_column = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def ring():
    """Return a ring with a node that is down."""
    ring = rw.HashRing(NAMES)
    ring.mark_down("node2")
    return ring


def listed(values):
    """Return a column of whatever library as a list, with None where nothing is."""
    if isinstance(values, pd.Series):
        return [None if pd.isna(value) else value for value in values]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return getattr(values, method)()
    return list(values)


def owners_of(ring, keys, form):
    """Return the owners that single lookups give."""
    owners = [ring.route(key) for key in keys]
    return [ring.id_of(owner) for owner in owners] if form == "id" else owners


@every_form
@every_frame
def test_a_frame_gets_a_column_of_owners(ring, frame, form):
    """The result is a frame of the same class, the given columns first and unchanged; the input has no new column."""
    given = frame({"time": list(range(len(KEYS))), "tail": KEYS})
    made = rw.assign_batch(ring, "tail", form=form)(given)
    assert type(made) is type(given)
    assert listed(made["owner"]) == owners_of(ring, KEYS, form)
    assert listed(made["tail"]) == KEYS
    assert listed(made["time"]) == list(range(len(KEYS)))
    assert frames_of(given).columns(given) == ["time", "tail"]


@every_form
@every_column
def test_a_column_gives_its_owners(ring, column, form):
    """Keys in, owners out, in the same library; lists give ndarrays."""
    given = column(KEYS)
    made = rw.assign_batch(ring, form=form)(given)
    assert listed(made) == owners_of(ring, KEYS, form)
    assert (
        type(made).__module__.partition(".")[0]
        == type(np.array([]) if isinstance(given, list) else given).__module__.partition(".")[0]
    )


@every_column
def test_an_empty_column_gives_an_empty_column(ring, column):
    """Engines call with nothing to learn what type they will get."""
    assert listed(rw.assign_batch(ring)(column([]))) == []
    assert listed(rw.assign_batch(ring, form="id")(column([]))) == []


@every_form
@every_frame
def test_a_frame_gets_a_column_a_candidate(ring, frame, form):
    """owner_1 ... in failover order; nothing, or NO_NODE, where live nodes ran out."""
    made = rw.assign_batch(ring, "k", owner="node", count=4, form=form)(frame({"k": KEYS}))
    nothing = rw.NO_NODE if form == "id" else None
    for i in range(4):
        names = [[*ring.candidates(key), None][i] for key in KEYS]
        expected = [nothing if name is None else ring.id_of(name) if form == "id" else name for name in names]
        assert listed(made[f"node_{i + 1}"]) == expected


@every_form
@every_column
def test_a_column_gives_the_candidates_of_each_key(ring, column, form):
    """An array of two dimensions, lists, or columns 0, 1 ... of pandas."""
    made = rw.assign_batch(ring, count=2, form=form)(column(KEYS))
    rows = made.to_numpy().tolist() if isinstance(made, pd.DataFrame) else [listed(row) for row in listed(made)]
    expected = [ring.candidates(key, 2) for key in KEYS]
    assert rows == [[ring.id_of(name) for name in row] for row in expected] if form == "id" else rows == expected


@pytest.mark.parametrize("frame", [frame for name, frame in FRAMES.items() if name != "dict"])
def test_missing_keys_have_no_owner_if_they_may_be_missing(ring, frame):
    """Null, or NO_NODE; without nulls="skip" an error that says where. Lists and object arrays know no nulls."""
    given = frame({"k": ["a", None, "b"]})
    expected = [ring.route("a"), None, ring.route("b")]
    assert listed(rw.assign_batch(ring, "k", nulls="skip")(given)["owner"]) == expected
    assert listed(rw.assign_batch(ring, "k", nulls="skip", form="string")(given)["owner"]) == expected
    assert listed(rw.assign_batch(ring, "k", nulls="skip", form="id")(given)["owner"])[1] == rw.NO_NODE
    with pytest.raises(rw.KeyTypeError) as caught:
        rw.assign_batch(ring, "k")(given)
    assert caught.value.position == 1


def test_the_types_of_columns_of_names_are_cheap(ring):
    """An Arrow dictionary over the ids themselves, a pandas and a Polars categorical."""
    owners = rw.assign_batch(ring)
    arrow = owners(pa.array(KEYS))
    assert arrow.type == pa.dictionary(pa.int32(), pa.string())
    assert arrow.indices.to_pylist() == ring.assign(KEYS).tolist()
    assert arrow.dictionary.to_pylist() == ring.names.tolist()
    assert owners(pd.Series(KEYS)).dtype == pd.CategoricalDtype(NAMES)
    assert owners(pl.Series(KEYS)).dtype == pl.Categorical
    plain = rw.assign_batch(ring, form="string")
    assert plain(pa.array(KEYS)).type == pa.string()
    assert plain(pl.Series(KEYS)).dtype == pl.String
    assert plain(pd.Series(KEYS)).dtype == pd.Series(["a"]).dtype


def test_pandas_keep_their_index_and_the_name_of_a_series(ring):
    """Owners stand beside the rows they belong to, whatever the index is, and whatever columns are called."""
    made = rw.assign_batch(ring, "name")(pd.DataFrame({"name": KEYS[:3]}, index=[7, 7, 3]))
    assert made.index.tolist() == [7, 7, 3]
    assert made["owner"].tolist() == owners_of(ring, KEYS[:3], "string")
    series = rw.assign_batch(ring)(pd.Series(KEYS[:3], index=[5, 4, 9], name="tail"))
    assert (series.index.tolist(), series.name) == ([5, 4, 9], "tail")
    assert rw.assign_batch(ring)(pl.Series("tail", KEYS)).name == "tail"


def test_subclasses_are_handled_as_what_they_derive_from(ring):
    """The class that an engine derives from a library's is no other kind of batch."""

    class Mine(pd.DataFrame):
        pass

    assert "owner" in rw.assign_batch(ring, "k")(Mine({"k": KEYS})).columns


def test_numpy_blocks_of_integers_are_their_own_keys(ring):
    """Strided and of the other byte order too."""
    keys = np.arange(100, dtype=">u4")[::3]
    ids = rw.assign_batch(ring, form="id")(keys)
    assert (ids == ring.assign(keys)).all()
    assert rw.assign_batch(ring)(keys).tolist() == ring.names[ids].tolist()


def test_it_holds_the_state_of_its_making(ring):
    """Later changes of the router do not reach it; a snapshot gives the same."""
    owners, same = rw.assign_batch(ring), rw.assign_batch(ring.snapshot())
    before = ring.names[ring.assign(KEYS)].tolist()
    ring.mark_up("node2")
    ring.remove("node1")
    assert owners(KEYS).tolist() == same(KEYS).tolist() == before
    assert owners.snapshot.epoch == 1


@pytest.mark.parametrize(
    "router",
    [
        rw.HashRing(NAMES, hash=rw.SipHash(bytes(range(16)))),
        rw.HashRing(NAMES, hash=rw.Multiplicative(7, 2**61 - 1)),
        rw.PartitionedRing(NAMES, part_size=2),
        rw.PartitionTable(NAMES, partitions=64, replicas=2),
        rw.PrimaryBackup(NAMES),
    ],
    ids=["siphash", "multiplicative", "partitioned", "table", "primary"],
)
def test_it_pickles_whole(router):
    """Every router's, with its hash and all arguments."""
    owners = rw.assign_batch(router, "k", owner="o", count=2, form="id", nulls="skip", threads=None)
    again = pickle.loads(pickle.dumps(owners))
    assert (again({"k": KEYS})["o_2"] == router.assign(KEYS, count=2)[:, 1]).all()
    assert (again.key, again.owner, again.count, again.form) == ("k", "o", 2, "id")
    assert (again.nulls, again.threads) == ("skip", None)


def test_one_process_compiles_a_table_once(ring):
    """Engines send the function with every task."""
    data = pickle.dumps(rw.assign_batch(ring))
    first, second = pickle.loads(data), pickle.loads(data)
    assert first.snapshot is second.snapshot
    assert pickle.loads(pickle.dumps(rw.assign_batch(rw.HashRing(NAMES)))).snapshot is not first.snapshot
    assert batch._snapshot.cache_info().maxsize is not None


def test_another_process_gives_the_same_owners():
    """One that knows nothing but the pickle."""
    ring = rw.HashRing(NAMES, hash=rw.SipHash(b"0123456789abcdef"))
    code = "import pickle, sys; f = pickle.load(sys.stdin.buffer); print(*f([f'event{i}' for i in range(50)]))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(rw.assign_batch(ring)), capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [ring.route(f"event{i}") for i in range(50)]


def test_importing_ringward_imports_no_engine():
    """Nor does assigning a NumPy column."""
    code = (
        "import sys, ringward as rw; rw.assign_batch(rw.HashRing(['a']))([1, 2]);"
        "print({name.partition('.')[0] for name in sys.modules} & {'pyarrow', 'pandas', 'polars', 'dask', 'duckdb'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


def test_engines_can_name_it(ring):
    """Task graphs and profiles show a function's name."""
    assert rw.assign_batch(ring).__name__ == "assign_batch"
    assert "epoch 1" in repr(rw.assign_batch(ring))


BAD_ARGUMENTS = {
    "view": ({"view": ["node1"]}, TypeError, "view must be a Router or a Snapshot"),
    "owner": ({"owner": ""}, ValueError, "owner must be a non-empty str"),
    "owner type": ({"owner": 1}, TypeError, "owner must be a str"),
    "count": ({"count": 65537}, ValueError, "count must be at least 1 and at most 65536 .was 65537"),
    "no count": ({"count": 0}, ValueError, "count must be at least 1"),
    "count type": ({"count": "2"}, TypeError, "count must be an int"),
    "form": ({"form": "names"}, ValueError, "form must be 'category' or 'string' or 'id' .was 'names'"),
    "nulls": ({"nulls": "drop"}, ValueError, "nulls must be 'raise' or 'skip' .was 'drop'"),
    "form type": ({"form": []}, ValueError, "form must be"),
    "threads": ({"threads": 0}, ValueError, "threads must be at least 1"),
    "threads that no call takes": ({"threads": 1025}, ValueError, "threads must be .* at most 1024"),
    "threads type": ({"threads": 1.5}, TypeError, "threads must be an int"),
}


@pytest.mark.parametrize(("given", "builtin", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_arguments_out_of_their_bounds_are_refused_at_once(ring, given, builtin, message):
    """Not on a worker, a minute later."""
    with pytest.raises(builtin, match=message) as caught:
        rw.assign_batch(**{"view": ring, **given})
    assert isinstance(caught.value, rw.RingwardError)


@every_frame
def test_a_frame_that_does_not_fit_is_refused(ring, frame):
    """No key column, none named, a column of the owner's name already."""
    given = frame({"k": KEYS, "owner": KEYS})
    with pytest.raises(rw.ArgumentError, match=r"key must be the name of one column of k, owner .was 'tail'"):
        rw.assign_batch(ring, "tail", owner="o")(given)
    with pytest.raises(rw.ArgumentError, match=r"key must be the name of one column of k, owner .was None"):
        rw.assign_batch(ring, owner="o")(given)
    with pytest.raises(rw.ArgumentError, match=r"owner must be .* no column 'owner'"):
        rw.assign_batch(ring, "k")(given)
    with pytest.raises(rw.ArgumentError, match=r"owner must be .* no column 'owner'"):
        rw.assign_batch(ring, "owner")(frame({"owner": KEYS}))


def test_columns_of_one_name_are_refused(ring):
    """Nobody could say which one holds the keys."""
    twice = pa.table([["a"], ["b"]], names=["k", "k"])
    with pytest.raises(rw.ArgumentError, match="one column of k, k"):
        rw.assign_batch(ring, "k")(twice)


@every_column
def test_a_column_takes_no_name_of_a_column(ring, column):
    """A key for what has no columns is a mistake."""
    with pytest.raises(rw.ArgumentError, match="key must be None for a column on its own"):
        rw.assign_batch(ring, "k")(column(KEYS))


def test_keys_of_a_wrong_type_are_refused_as_by_assign(ring):
    """Columns of floats have no owners."""
    for frame in (pa.table, pl.DataFrame, dict):
        with pytest.raises(rw.KeyTypeError):
            rw.assign_batch(ring, "k")(frame({"k": [1.5, 2.5]}))
    with pytest.raises(rw.NoNodeError):
        rw.assign_batch(rw.HashRing())(KEYS)


def test_the_candidates_of_every_key_are_counted_once(ring):
    """A count as large as the membership pads, and no node comes twice."""
    made = rw.assign_batch(ring, count=4, form="string")(np.array(KEYS, object))
    for row in made:
        assert Counter(row) == Counter({"node1": 1, "node3": 1, "node4": 1, None: 1})
