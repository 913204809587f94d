"""What somebody who has just found the package calls first, and wrongly: each error says which call is the right one."""

import pathlib
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from command import fails, process, run

import ringward as rw

FRAME = pd.DataFrame({"user": ["ada", "cem"]})
CALLS = {
    "a list for one key": (lambda ring: ring.route(["ada", "cem"]), "assign and hash_keys take columns"),
    "a Series for one key": (lambda ring: ring.route(FRAME["user"]), "assign and hash_keys take columns"),
    "an array for one key": (lambda ring: ring.explain(np.arange(3)), "assign and hash_keys take columns"),
    "an Arrow array for one key": (
        lambda ring: ring.candidates(pa.array(["ada"])),
        "assign and hash_keys take columns",
    ),
    "the column in place of its name": (
        lambda ring: rw.assign_batch(ring, FRAME["user"]),
        "with the frame (was 'Series')",
    ),
    "the frame in place of a name": (lambda ring: rw.assign_batch(ring, FRAME), "with the frame (was 'DataFrame')"),
    "an expression in place of a name": (
        lambda ring: rw.assign_batch(ring, pl.col("user")),
        "with the frame (was 'Expr')",
    ),
    "the name of an index": (
        lambda ring: rw.assign_batch(ring, "user")(FRAME.set_index("user")),
        "not of the index: reset_index() makes one",
    ),
    "a list of names": (lambda ring: rw.assign_batch(ring, ["user"]), "with the frame (was 'list')"),
    "no name for a frame": (lambda ring: rw.assign_batch(ring)(FRAME), "name of one column of user (was None)"),
    "keys for hashes": (lambda ring: ring.add("c").moved(FRAME["user"]), "as hash_keys makes of keys (was 'Series')"),
    "a list to add": (lambda ring: ring.add(["c", "d"]), "several are given as *nodes"),
    "a pair to add": (lambda ring: ring.add(("c", 2)), "Node(name, weight, zone) has more"),
    "a weight to add": (lambda ring: ring.add("c", 2), "Node(name, weight, zone) has more"),
    "pairs for nodes": (lambda ring: rw.HashRing([("c", 11211)]), "Node(name, weight, zone) has more"),
    "mappings for nodes": (lambda ring: rw.HashRing([{"name": "c"}]), "Node(name, weight, zone) has more"),
    "uhashring's nodes": (
        lambda ring: rw.HashRing({"c": {"weight": 2}}),
        "weight of 'c' must be a number: give a list",
    ),
    "zones for weights": (lambda ring: rw.PartitionTable({"c": "west"}), "weight of 'c' must be a number: give a list"),
    "a Node for its name": (lambda ring: ring.mark_down(ring.nodes[0]), "pass the Node's name"),
    "a path for bytes": (lambda ring: rw.Snapshot.from_bytes(pathlib.Path("ring")), "as read_bytes() of a file gives"),
    "a file's name for bytes": (lambda ring: rw.Snapshot.from_bytes("ring"), "as read_bytes() of a file gives"),
    "a snapshot of another class": (lambda ring: rw.Router.resume(ring.snapshot()), "goes on by its own class"),
    "bytes for a snapshot": (lambda ring: rw.HashRing.resume(b"ringward"), "Snapshot.from_bytes(data) makes one"),
}


@pytest.mark.parametrize("what", CALLS)
def test_the_error_says_which_call_is_right(what):
    """Each of these was refused without a hint; `assign_batch` took whatever key it was given, and failed when called."""
    call, told = CALLS[what]
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError, rw.KeyTypeError), match=re.escape(told)):
        call(rw.HashRing(["a", "b"]))


def test_names_of_columns_that_are_no_texts_are_names():
    """pandas has integers and tuples there."""
    ring = rw.HashRing(["a", "b"])
    for name in (7, ("x", 1)):
        frame = pd.DataFrame([["ada"]], columns=pd.Index([name], tupleize_cols=False))
        assert list(rw.assign_batch(ring, name)(frame)["owner"]) == [ring.route("ada")]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a node list and a few rows."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path("nodes.txt").write_text("a\nb\n")
    pathlib.Path("rows.csv").write_text("user,site\nada,x\n")


ROWS = ("assign", "rows.csv", "--nodes", "nodes.txt")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((*ROWS, "--key", "user", "--key", "site"), "--key"),
        ((*ROWS, "--key", "user", "--nodes", "more.txt"), "--nodes"),
        (("events", "lag", "x.db", "--group", "a", "--group", "b"), "--group"),
        (("events", "tail", "x.db", "-n", "1", "-n", "2"), "-n"),
    ],
)
def test_an_option_is_given_once(arguments, option):
    """The last one was taken, so that rows went by one column of two, and nothing was said."""
    assert fails(*arguments, code=2).endswith(f"{option} can be given once")


@pytest.mark.usefixtures("files")
def test_options_that_may_be_repeated_are():
    """Flags, too, which say the same thing twice."""
    assert '"owner": "b"' in run(*ROWS, "--key", "user", "--down", "a", "--down", "a", "--json", "--json")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("path", ["out/", "no/where/", "out.parquet/"])
def test_a_folder_is_no_output(path):
    """`--output out/` wrote a file `out`."""
    assert fails(*ROWS, "--key", "user", "--output", path).startswith(f"{path}: cannot be written: ")
    assert sorted(pathlib.Path().iterdir()) == [pathlib.Path("nodes.txt"), pathlib.Path("rows.csv")]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("nodes", ["a,b", "3"])
def test_names_are_no_node_list(nodes):
    """`No such file or directory` did not say that a file was wanted."""
    assert "a node list is a file of names" in fails("report", "--nodes", nodes)


@pytest.mark.parametrize("group", [(), ("events",)])
def test_the_help_without_a_command_is_whole(group):
    """It passed for the text of an error, and its middle was cut out."""
    done = process(*group)  # click 8.1 writes it to stdout
    assert done.stdout + done.stderr == process(*group, "--help").stdout
