"""The command line, against what the library itself says, and with every kind of bad input."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command import fails, process, run, run_json

import ringward as rw
from ringward.cli import inputs, sources
from ringward.cli.group import group

FLIGHTS = Path(str(files("ringward") / "data" / "flights.csv.gz"))
HALF_YEAR = Path(__file__).parent / "data" / "flights.csv.gz"
NAMES = ["node1", "node2", "node3", "node4"]
TAILS = ["N14228", "N24211", "N619AA", "N804JB", "N668DN", "N39463"]
STRATEGIES = {
    "ring": (["--strategy", "ring"], rw.HashRing),
    "points": (["--points", "7"], lambda nodes: rw.HashRing(nodes, points_per_node=7)),
    "zones": (["--spread-zones"], lambda nodes: rw.HashRing(nodes, spread="zone")),
    "partitioned": (
        ["--strategy", "partitioned", "--part-size", "2"],
        lambda nodes: rw.PartitionedRing(nodes, part_size=2),
    ),
    "partitioned points": (
        ["--strategy", "partitioned", "--part-size", "3", "--points", "9"],
        lambda nodes: rw.PartitionedRing(nodes, part_size=3, points_per_node=9),
    ),
    "table": (["--strategy", "table"], rw.PartitionTable),
    "table rows": (
        ["--strategy", "table", "--partitions", "64", "--replicas", "2"],
        lambda nodes: rw.PartitionTable(nodes, partitions=64, replicas=2),
    ),
    "primary": (["--strategy", "primary"], rw.PrimaryBackup),
    "seed": (["--seed", "7"], lambda nodes: rw.HashRing(nodes, hash=rw.XXH3(7))),
    "largest seed": (
        ["--hash", "xxh3", "--seed", str(2**64 - 1)],
        lambda nodes: rw.HashRing(nodes, hash=rw.XXH3(2**64 - 1)),
    ),
}
every_strategy = pytest.mark.parametrize(("flags", "build"), STRATEGIES.values(), ids=STRATEGIES)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nodes():
    """Write a node list with zones and weights, and return its nodes."""
    Path("nodes.csv").write_text("name,weight,zone\nnode1,1,a\nnode2,2,a\nnode3,1,b\nnode4,1.5,c\n")
    zones, weights = "aabc", [1, 2, 1, 1.5]
    return [rw.Node(name, weight, zone) for name, weight, zone in zip(NAMES, weights, zones, strict=True)]


@pytest.fixture
def table():
    """Write a small CSV file of keys and return its rows, the header first."""
    rows = [
        ["time", "tail", "note"],
        *([f"05:{i:02}", tail, 'says "hi", twice\nand é'] for i, tail in enumerate(TAILS)),
    ]
    with Path("keys.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return rows


def parsed(text, delimiter=","):
    """Read delimited text."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


# -- assign


@every_strategy
def test_assign_adds_the_owner_that_the_router_gives(flags, build, nodes, table):
    """Every strategy's flags build the router that they say, and the rows keep their content and order."""
    router = build(nodes)
    out = parsed(run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", *flags))
    assert out == [[*table[0], "owner"], *([*row, router.route(row[1])] for row in table[1:])]


@every_strategy
def test_assign_with_a_count_adds_the_candidates(flags, build, nodes, table):
    """Columns owner_1 ... are the candidates in failover order, empty where live nodes ran out."""
    router = build(nodes)
    router.mark_down("node3")
    down = ["--down", "node3", "--count", "4"]
    out = parsed(run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", *down, *flags))
    assert out[0] == [*table[0], "owner_1", "owner_2", "owner_3", "owner_4"]
    assert [row[3:] for row in out[1:]] == [[*router.candidates(row[1]), ""] for row in table[1:]]


def test_assign_takes_siphash_keys_as_bytes_or_as_digits(nodes, table):
    """Both forms of the key file give the SipHash of that key, also where it begins like a gzip file."""
    key = b"\x1f\x8b" + bytes(range(14))
    Path("raw.key").write_bytes(key)
    Path("hex.key").write_text(key.hex().upper() + "\n")
    router = rw.HashRing(nodes, hash=rw.SipHash(key))
    expected = [router.route(row[1]) for row in table[1:]]
    for file in ("raw.key", "hex.key"):
        flags = ["--hash", "siphash", "--hash-key-file", file]
        out = parsed(run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", *flags))
        assert [row[-1] for row in out[1:]] == expected


def test_assign_routes_plain_lines_as_a_whole(nodes):
    """Without --key a line is a key: quotes, blanks, nothing at all, Windows ends and a missing last end."""
    lines = ["event1", ' "quoted", with comma ', "", "é", "last"]
    Path("lines.txt").write_bytes("\r\n".join(lines).encode())
    router = rw.HashRing(nodes)
    expected = "".join(f"{line}\t{router.route(line)}\n" for line in lines)
    assert run("assign", "lines.txt", "--nodes", "nodes.csv") == expected


@pytest.mark.parametrize("packed", [False, True])
def test_assign_reads_stdin_packed_or_not(nodes, packed):
    """`-` is stdin, and gzip is known by its bytes."""
    data = b"event1\nevent2\n"
    router = rw.HashRing(nodes)
    expected = "".join(f"{key}\t{router.route(key)}\n" for key in ("event1", "event2"))
    assert run("assign", "-", "--nodes", "nodes.csv", stdin=gzip.compress(data) if packed else data) == expected


def test_assign_knows_tsv_by_its_name_or_by_the_flag(nodes):
    """Tabs separate columns in .tsv files, packed ones too, and with --format tsv."""
    text = 'tail\tdest\nN14228\t"a\tb"\n'
    Path("keys.tsv").write_text(text)
    Path("keys.tsv.gz").write_bytes(gzip.compress(text.encode()))
    expected = [["tail", "dest", "owner"], ["N14228", "a\tb", rw.HashRing(nodes).route("N14228")]]
    for file in ("keys.tsv", "keys.tsv.gz"):
        assert parsed(run("assign", file, "--key", "tail", "--nodes", "nodes.csv"), "\t") == expected
    out = run("assign", "-", "--key", "tail", "--format", "tsv", "--nodes", "nodes.csv", stdin=text)
    assert parsed(out, "\t") == expected
    Path("keys.csv").write_text("tail,dest\nN14228,x\n")
    assert "no column" in fails("assign", "keys.csv", "--key", "tail", "--format", "tsv", "--nodes", "nodes.csv")


def test_assign_finds_a_column_by_number_where_there_is_no_header(nodes):
    """Numbers start at 1, the first row is data, and no header is written."""
    router = rw.HashRing(nodes)
    out = parsed(run("assign", "-", "--key", "2", "--no-header", "--nodes", "nodes.csv", stdin="a,N1\nb,N2\n"))
    assert out == [["a", "N1", router.route("N1")], ["b", "N2", router.route("N2")]]


def test_assign_can_take_keys_as_integers(nodes):
    """With --int a key is the number, which is another key than its digits."""
    values = [0, 42, -(2**63), 2**64 - 1]
    router = rw.HashRing(nodes)
    out = run("assign", "-", "--int", "--nodes", "nodes.csv", stdin="".join(f"{value}\n" for value in values))
    assert out == "".join(f"{value}\t{router.route(value)}\n" for value in values)
    assert [router.route(value) for value in values] != [router.route(str(value)) for value in values]


def test_assign_drops_a_byte_order_mark_and_blank_rows(nodes):
    """What spreadsheets write is read: a mark before the header, empty rows."""
    data = "\ufefftail,x\r\n\r\nN1,1\r\n".encode()
    out = parsed(run("assign", "-", "--key", "tail", "--nodes", "nodes.csv", stdin=data))
    assert out == [["tail", "x", "owner"], ["N1", "1", rw.HashRing(nodes).route("N1")]]


def test_assign_writes_json_lines(nodes, table):
    """Each line holds key, owner, candidates and row; plain lines and files without header have their own rows."""
    router = rw.HashRing(nodes)
    out = run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", "--count", "2", "--json")
    for line, row in zip(out.splitlines(), table[1:], strict=True):
        candidates = router.candidates(row[1], 2)
        record = dict(zip(table[0], row, strict=True))
        assert json.loads(line) == {"key": row[1], "owner": candidates[0], "candidates": candidates, "row": record}
    out = run("assign", "-", "--int", "--nodes", "nodes.csv", "--json", stdin="42\n")
    assert json.loads(out) == {"key": 42, "owner": router.route(42), "candidates": [router.route(42)]}
    out = run("assign", "-", "--key", "1", "--no-header", "--nodes", "nodes.csv", "--json", stdin="a,b\n")
    assert json.loads(out) == {
        "key": "a", "owner": router.route("a"), "candidates": [router.route("a")], "row": ["a", "b"],
    }  # fmt: skip


def test_assign_refuses_json_of_columns_of_one_name(nodes):
    """A JSON object could hold only one of them."""
    message = fails("assign", "-", "--key", "a", "--json", "--nodes", "nodes.csv", stdin="a,b,b\n1,2,3\n")
    assert message == "stdin: two columns of one name: a, b, b"


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 6, 7])
def test_assign_streams_in_batches(nodes, table, monkeypatch, batch_rows):
    """The batch size changes how many rows are held at once, and nothing in the result."""
    whole = run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv")
    sizes = []
    assign = rw.Snapshot.assign
    monkeypatch.setattr(inputs, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(
        rw.Snapshot, "assign", lambda self, keys, **kw: (sizes.append(len(keys)), assign(self, keys, **kw))[1]
    )
    assert run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv") == whole
    full, rest = divmod(len(table) - 1, batch_rows)
    assert sizes == [batch_rows] * full + [rest] * (rest > 0)


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 64])
def test_assign_does_not_depend_on_where_blocks_end(nodes, monkeypatch, block_bytes):
    """Neither in the middle of a character, nor of a line end, nor for the line that an error names."""
    monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
    router = rw.HashRing(nodes)
    lines = ["é€𝄞", "", "x\x0b\x1c\u2028y", "last"]
    for packed in (bytes, gzip.compress):
        Path("lines.txt").write_bytes(packed("\ufeff".encode() + "\r\n".join(lines).encode()))
        out = run("assign", "lines.txt", "--nodes", "nodes.csv")
        assert out == "".join(f"{line}\t{router.route(line)}\n" for line in lines)
    Path("lines.txt").write_bytes("a\né\nbc".encode() + b"\xff\nd\n")
    assert fails("assign", "lines.txt", "--nodes", "nodes.csv") == (
        "lines.txt, line 3: not UTF-8: invalid start byte (byte 3)"
    )
    monkeypatch.setattr(sources, "LINE_BYTES_MAX", 99)
    Path("lines.txt").write_bytes(b"short\n" + b"x" * 200 + b"\n")
    assert "lines.txt, line 2: a line must be" in fails("assign", "lines.txt", "--nodes", "nodes.csv")


def test_assign_writes_a_file_packed_by_its_name(nodes, table):
    """--output writes what stdout would get, in gzip for .gz, in place of what was there, and leaves nothing else."""
    shown = run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv")
    Path("out.csv").write_text("old")
    for file in ("out.csv", "out.csv.gz"):
        assert run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", "--output", file) == ""
    assert Path("out.csv").read_bytes().decode() == shown
    assert gzip.decompress(Path("out.csv.gz").read_bytes()).decode() == shown
    assert {path.name for path in Path().iterdir()} == {"nodes.csv", "keys.csv", "out.csv", "out.csv.gz"}


def test_assign_can_replace_its_own_input(nodes, table):
    """The output takes its place only when all is read."""
    shown = run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv")
    run("assign", "keys.csv", "--key", "tail", "--nodes", "nodes.csv", "--output", "keys.csv")
    assert Path("keys.csv").read_bytes().decode() == shown


def test_assign_leaves_no_half_written_file(nodes, monkeypatch):
    """When a later row is bad, the old output stays as it was."""
    monkeypatch.setattr(inputs, "BATCH_ROWS", 1)
    Path("out.txt").write_text("old")
    fails("assign", "-", "--int", "--nodes", "nodes.csv", "--output", "out.txt", stdin="1\n2\nx\n")
    assert Path("out.txt").read_text() == "old"
    assert {path.name for path in Path().iterdir()} == {"nodes.csv", "out.txt"}


def test_assign_names_the_new_column(nodes):
    """A column of the same name is an error that says how to choose another."""
    args = ["assign", "-", "--key", "owner", "--nodes", "nodes.csv"]
    assert "--owner-column" in fails(*args, stdin="owner\nx\n")
    out = parsed(run(*args, "--owner-column", "node", stdin="owner\nx\n"))
    assert out == [["owner", "node"], ["x", rw.HashRing(nodes).route("x")]]


def test_assign_reads_an_empty_file_of_lines(nodes):
    """No lines, no output; a table needs its header."""
    assert run("assign", "-", "--nodes", "nodes.csv", stdin="") == ""
    assert fails("assign", "-", "--key", "a", "--nodes", "nodes.csv", stdin="") == "stdin: empty: there is no header"
    assert run("assign", "-", "--key", "a", "--nodes", "nodes.csv", stdin="a,b\n") == "a,b,owner\n"


def test_assign_agrees_with_the_library_on_half_a_year_of_flights():
    """166,158 real rows by a column of tail numbers, in several batches."""
    Path("nodes.txt").write_text("\n".join(NAMES))
    out = parsed(run("assign", HALF_YEAR, "--key", "tailnum", "--nodes", "nodes.txt"))
    assert len(out) == 166_159
    ring = rw.HashRing(NAMES)
    ids = ring.assign([row[7] for row in out[1:]])
    assert [row[-1] for row in out[1:]] == ring.names[ids].tolist()


# -- node lists

LISTS = {
    "lines.txt": ("# a list\n node1 \nnode2 # the old one\n\n#node9\nno#de3\n", [("node1",), ("node2",), ("no#de3",)]),
    "nodes": ("node1\r\nnode2\r\n", [("node1",), ("node2",)]),
    "names.csv": ("name\nnode1\n\nnode2\n", [("node1",), ("node2",)]),
    "all.csv": ("zone, weight ,name\na,2,node1\n,,node2\n", [("node1", 2.0, "a"), ("node2",)]),
    "tables.toml": (
        '[[nodes]]\nname = "node1"\nweight = 2\nzone = "a"\n[[nodes]]\nname = "node2"\n',
        [("node1", 2.0, "a"), ("node2",)],
    ),
    "weights.toml": ('title = "x"\n[nodes]\nnode1 = 2\n"node 2" = 0.5\n', [("node1", 2.0), ("node 2", 0.5)]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_a_node_list_of_every_format_is_read(name, packed):
    """Lines, CSV and both forms of TOML, packed or not, give names, weights and zones in order."""
    text, expected = LISTS[name]
    path = Path(name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = run_json("report", "--nodes", path, "--strategy", "primary")["nodes"]
    given = [rw.Node(*fields) for fields in expected]
    assert [rw.Node(node["name"], node["weight"], node["zone"]) for node in found] == given


def test_the_order_of_a_list_is_the_priority_of_primary_backup():
    """The first name is the primary, whatever the names are."""
    Path("nodes.txt").write_text("zulu\nalpha\n")
    assert run_json("explain", "x", "--nodes", "nodes.txt", "--strategy", "primary")["candidates"] == ["zulu", "alpha"]


def test_a_node_list_can_come_from_stdin_once():
    """`-` serves nodes or keys, not both."""
    assert len(run_json("report", "--nodes", "-", stdin="node1\nnode2\n")["nodes"]) == 2
    assert fails("assign", "-", "--nodes", "-", stdin="node1\n") == "stdin: - can be given once"


BAD_LISTS = {
    "no names": ("nodes.txt", "# none\n", "nodes.txt: no nodes"),
    "twice": ("nodes.txt", "a\nb\na\n", "nodes.txt, line 3: node 'a' is listed twice"),
    "a comma": (
        "nodes.txt",
        "a\nb,2\n",
        "nodes.txt, line 2: one name a line, without blanks and separators (was 'b,2'); weights and zones need",
    ),
    "bytes": ("nodes.txt", b"a\n\xff\n", "nodes.txt, line 2: not UTF-8: invalid start byte (byte 1)"),
    "weight": ("n.csv", "name,weight\na,1\nb,-1\n", "n.csv, line 3: weight must be finite and at least 0 (was -1.0)"),
    "nan": ("n.csv", "name,weight\na,nan\n", "n.csv, line 2: weight must be finite and at least 0 (was nan)"),
    "word": ("n.csv", "name,weight\na,big\n", "n.csv, line 2: weight must be a number (was 'big')"),
    "nameless": ("n.csv", "name,weight\n,1\n", "n.csv, line 2: name must be a non-empty str (was '')"),
    "header": (
        "n.csv",
        "name,wieght\na,1\n",
        "n.csv, line 1: the header must be name and, optionally, weight and zone (was: name, wieght)",
    ),
    "short row": ("n.csv", "name,weight\na\n", "n.csv, line 2: 1 columns where the header has 2"),
    "open quote": ("n.csv", 'name\n"a\n', "n.csv, line 2: unexpected end of data"),
    "no toml": ("n.toml", "[nodes\n", "n.toml: Expected ']' at the end of a table declaration (at line 1, column 7)"),
    "no nodes": ("n.toml", "x = 1\n", "n.toml: neither [[nodes]] nor [nodes]"),
    "toml key": (
        "n.toml",
        '[[nodes]]\nname = "a"\nwight = 1\n',
        "n.toml: node 1 must have a name and, optionally, a weight and a zone",
    ),
    "toml weight": ("n.toml", "[nodes]\na = true\n", "n.toml: node 'a': weight must be a number (was True)"),
    "toml zone": (
        "n.toml",
        '[[nodes]]\nname = "a"\nzone = 3\n',
        "n.toml: node 'a': zone must be a str (was 3)",
    ),
    "damaged": ("n.gz", gzip.compress(b"a\n")[:12], "n.gz, line 1: a damaged gzip file: "),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_bad_node_list_gets_one_line_that_says_where(name, content, message):
    """Exit code 1, and the file, the line and what is wrong."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert fails("report", "--nodes", name).startswith(message)


# -- bad keys, files and flags

BAD_KEYS = {
    "unknown column": ("a,b\n1,2\n", ["--key", "c"], "stdin: no column 'c'; there are: a, b"),
    "column twice": ("a,a\n1,2\n", ["--key", "a"], "stdin: more than one column 'a'; there are: a, a"),
    "column number": ("a,b\n", ["--key", "3", "--no-header"], "stdin: no column 3; there are 2"),
    "column zero": ("a,b\n", ["--key", "0", "--no-header"], "stdin: no column 0; there are 2"),
    "short row": ("a,b\n1,2\n3\n", ["--key", "a"], "stdin, line 3: 1 columns where the first row has 2"),
    "long row": ("1\n2,3\n", ["--key", "1", "--no-header"], "stdin, line 2: 2 columns where the first row has 1"),
    "open quote": ('a\n1\n"2\n', ["--key", "a"], "stdin, line 3: unexpected end of data"),
    "bytes": (b"a\nb\n\xc3(\n", [], "stdin, line 3: not UTF-8: invalid continuation byte (byte 1)"),
    "bytes in a table": (b"a\nb\xff\n", ["--key", "a"], "stdin, line 2: not UTF-8: invalid start byte (byte 2)"),
    "no integer": ("1\nx\n", ["--int"], "stdin, line 2: the key 'x' is not an integer"),
    "large integer": (
        f"{2**64}\n",
        ["--int"],
        f"stdin, line 1: the key must be at least -2**63 and below 2**64 (was {2**64})",
    ),
    "damaged": (gzip.compress(b"a\n" * 9)[:-9], [], "stdin, line 10: a damaged gzip file: Compressed file ended"),
    "large count": ("a\n", ["--count", "65537"], "count must be at "),
    "nobody": ("a\n", [flag for name in NAMES for flag in ("--down", name)], ""),
    "unknown node": ("a\n", ["--down", "node9"], "no node is named 'node9'"),
}


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(("stdin", "flags", "message"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_keys_get_one_line_that_says_where(stdin, flags, message):
    """Exit code 1, and the file, the line and what is wrong."""
    assert fails("assign", "-", "--nodes", "nodes.csv", *flags, stdin=stdin).startswith(message)


@pytest.mark.usefixtures("nodes")
def test_a_line_beyond_all_bounds_is_an_error(monkeypatch):
    """Memory stays bounded, whatever the file holds."""
    monkeypatch.setattr(sources, "LINE_BYTES_MAX", 8)
    assert fails("assign", "-", "--nodes", "nodes.csv", stdin="short\n" + "x" * 99) == (
        "nodes.csv, line 1: a line must be at most 8 bytes long"
    )


@pytest.mark.usefixtures("nodes")
def test_missing_files_are_named():
    """Exit code 1 for a file that is not there, a directory, and an output that has no place."""
    assert fails("assign", "none.csv", "--nodes", "nodes.csv") == "none.csv: No such file or directory"
    assert fails("report", "--nodes", "none.csv") == "none.csv: No such file or directory"
    assert fails("plan", "nodes.csv", "none.csv") == "none.csv: No such file or directory"
    assert fails("plan", "nodes.csv", "nodes.csv", "--keys", "none") == "none: No such file or directory"
    assert fails("report", "--nodes", "nodes.csv", "--hash", "siphash", "--hash-key-file", "none").startswith("none: ")
    assert fails("report", "--nodes", ".").startswith(".: ")
    message = fails("assign", "nodes.csv", "--key", "name", "--nodes", "nodes.csv", "--output", "no/where")
    assert message == "no/where: cannot be written: No such file or directory"


@pytest.mark.usefixtures("nodes")
def test_a_bad_hash_key_is_refused_and_not_shown():
    """The message tells the length and nothing of the content."""
    Path("bad.key").write_text("secret-secret-secret")
    message = fails("report", "--nodes", "nodes.csv", "--hash", "siphash", "--hash-key-file", "bad.key")
    assert message == "bad.key: must hold 16 bytes or 32 hexadecimal digits (holds 20 bytes)"


@pytest.mark.usefixtures("nodes")
def test_errors_of_the_library_are_one_line():
    """A weight that gets no point, a table without bounds, a key without bytes: exit code 1."""
    Path("tiny.csv").write_text("name,weight\na,1\nb,1e-9\n")
    assert "weight_unit" in fails("report", "--nodes", "tiny.csv")
    assert fails("report", "--nodes", "nodes.csv", "--strategy", "table", "--partitions", 2**25).startswith(
        "partitions "
    )
    assert fails("explain", "\udcff", "--nodes", "nodes.csv")


USAGE = {
    "no command": ["--no-such-flag"],
    "unknown command": ["root"],
    "no nodes": ["report"],
    "no file": ["assign", "--nodes", "nodes.csv"],
    "strategy": ["report", "--nodes", "nodes.csv", "--strategy", "maglev"],
    "part size missing": ["report", "--nodes", "nodes.csv", "--strategy", "partitioned"],
    "part size": ["report", "--nodes", "nodes.csv", "--part-size", "2"],
    "points": ["report", "--nodes", "nodes.csv", "--strategy", "table", "--points", "2"],
    "no points": ["report", "--nodes", "nodes.csv", "--points", "0"],
    "partitions": ["report", "--nodes", "nodes.csv", "--partitions", "2"],
    "replicas": ["report", "--nodes", "nodes.csv", "--strategy", "primary", "--replicas", "2"],
    "zones": ["report", "--nodes", "nodes.csv", "--strategy", "table", "--spread-zones"],
    "seed": ["report", "--nodes", "nodes.csv", "--seed", str(2**64)],
    "sip seed": ["report", "--nodes", "nodes.csv", "--hash", "siphash", "--hash-key-file", "k", "--seed", "1"],
    "no sip key": ["report", "--nodes", "nodes.csv", "--hash", "siphash"],
    "stray key": ["report", "--nodes", "nodes.csv", "--hash-key-file", "k"],
    "column": ["assign", "-", "--nodes", "nodes.csv", "--key", "tail", "--no-header"],
    "header": ["assign", "-", "--nodes", "nodes.csv", "--no-header"],
    "format": ["assign", "-", "--nodes", "nodes.csv", "--format", "csv"],
    "count": ["assign", "-", "--nodes", "nodes.csv", "--count", "0"],
    "key without keys": ["plan", "nodes.csv", "nodes.csv", "--key", "tail"],
    "int without keys": ["plan", "nodes.csv", "nodes.csv", "--int"],
}


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("args", USAGE.values(), ids=USAGE)
def test_wrong_usage_exits_with_2(args):
    """A flag that means nothing here is refused and never ignored."""
    fails(*args, code=2)


# -- report and explain


@every_strategy
def test_report_is_the_routers_report(flags, build, nodes):
    """JSON holds the report's figures, and the text shows each node with its share."""
    router = build(nodes)
    router.mark_down("node3")
    args = ["report", "--nodes", "nodes.csv", "--down", "node3", *flags]
    assert run_json(*args) == json.loads(json.dumps(router.report().to_dict()))
    text = run(*args)
    assert text.startswith("\n".join(str(router.report()).splitlines()[:3]))
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("node")}
    for node in router.report().nodes:
        assert f"{node.share:.2%}".replace("%", " %") in lines[node.name]
        assert ("down" in lines[node.name].split()) == (node.name == "node3")


def test_report_counts_all_nodes_as_down_where_they_are(nodes):
    """With nobody live the report still comes."""
    down = [flag for node in nodes for flag in ("--down", node.name)]
    assert all(node["share"] == 0 for node in run_json("report", "--nodes", "nodes.csv", *down)["nodes"])


def test_names_cannot_steer_the_terminal():
    """Control characters of a name are shown as escapes."""
    Path("n.toml").write_text('[nodes]\n"a\\u001b[31m\\u000ab" = 1\n')
    assert "a\\x1b[31m\\nb" in run("report", "--nodes", "n.toml")
    assert "\x1b" not in run("explain", "x\x1b[31m", "--nodes", "n.toml")


@every_strategy
def test_explain_is_the_routers_explanation(flags, build, nodes):
    """Text and JSON are the explanation's, with nodes down and a count."""
    router = build(nodes)
    router.mark_down("node1", "node3")
    args = ["explain", "N14228", "--nodes", "nodes.csv", "--down", "node1", "--down", "node3", "--count", "2", *flags]
    explanation = router.explain("N14228", 2)
    assert run(*args) == f"{explanation}\n"
    assert run_json(*args) == json.loads(json.dumps(explanation.to_dict()))


def test_explain_takes_integers(nodes):
    """With --int the key is the number; what is none, or too large, is an error."""
    router = rw.HashRing(nodes)
    args = ["explain", "--nodes", "nodes.csv", "--int", "--json", "--"]
    assert json.loads(run(*args, "-5"))["hash"] == router.hash(-5)
    assert json.loads(run(*args, 2**64 - 1))["owner"] == router.route(2**64 - 1)
    assert fails(*args, "x") == "the key 'x' is not an integer in plain decimal digits"
    assert fails(*args, 2**64)


def test_explain_with_nobody_live_is_an_error(nodes):
    """Nobody can own the key, and the line says so."""
    down = [flag for node in nodes for flag in ("--down", node.name)]
    assert fails("explain", "x", "--nodes", "nodes.csv", *down)


# -- plan

AFTER = [rw.Node("node1", 1, "a"), rw.Node("node2", 1, "a"), rw.Node("node4", 1.5, "c"), rw.Node("node5", 1, "b")]


@pytest.fixture
def after(nodes):
    """Write the list after: node3 gone, node5 new, node2 lighter."""
    rows = "".join(f"{node.name},{node.weight},{node.zone}\n" for node in AFTER)
    Path("after.csv").write_text("name,weight,zone\n" + rows)
    return AFTER


def moved(router):
    """Change a router from the fixture's list to AFTER, and return the Transfer."""
    with router.change() as change:
        change.remove("node3")
        change.add(AFTER[3])
        change.reweigh("node2", 1)
    return change.transfer


@every_strategy
def test_plan_says_what_one_change_moves(flags, build, nodes, after):
    """Shares, nodes in and out and routes are those of the Transfer of one change()."""
    router = build(nodes)
    before = {node.name: node.share for node in router.report().nodes}
    transfer = moved(router)
    plan = run_json("plan", "nodes.csv", "after.csv", *flags)
    assert plan["strategy"] == type(router).__name__
    assert (plan["added"], plan["removed"], plan["rezoned"]) == (["node5"], ["node3"], [])
    assert plan["reweighed"] == [{"node": "node2", "before": 2.0, "after": 1.0}]
    assert plan["share"] == transfer.share
    now = {node.name: node.share for node in router.report().nodes}
    assert {row["node"]: row["in"] for row in plan["nodes"] if row["in"]} == transfer.arrivals
    assert {row["node"]: row["out"] for row in plan["nodes"] if row["out"]} == transfer.departures
    assert {row["node"]: row["share_before"] for row in plan["nodes"]} == before | {"node5": 0.0}
    assert {row["node"]: row["share_after"] for row in plan["nodes"]} == {"node3": 0.0} | now
    routes = Counter()
    for start, end, source, target in transfer.arcs.tolist():
        routes[str(transfer.names[source]), str(transfer.names[target])] += (end - start + 1) / 2**64
    assert {(r["source"], r["target"]): pytest.approx(r["share"]) for r in plan["routes"]} == routes
    assert [r["share"] for r in plan["routes"]] == sorted((r["share"] for r in plan["routes"]), reverse=True)
    assert ("replicas" in plan) == isinstance(router, rw.PartitionTable)
    assert "keys" not in plan


@every_strategy
def test_plan_counts_real_keys_as_routing_them_twice_does(flags, build, nodes, after):
    """The keys that move of the carried flights, by route, are those whose owner differs."""
    with gzip.open(FLIGHTS, "rt") as file:
        tails = [row["tail"] for row in csv.DictReader(file)]
    router = build(nodes)
    first = router.names[router.assign(tails)]
    moved(router)
    second = router.names[router.assign(tails)]
    expected = Counter((a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a != b)
    keys = run_json("plan", "nodes.csv", "after.csv", "--keys", FLIGHTS, "--key", "tail", *flags)["keys"]
    assert keys["total"] == len(tails)
    assert keys["moved"] == expected.total()
    assert {(route["source"], route["target"]): route["keys"] for route in keys["routes"]} == expected


def test_plan_counts_keys_in_batches_and_as_integers(nodes, after, monkeypatch):
    """Small batches give the same counts; --int takes numbers; lines need no column."""
    values = list(range(1000))
    router = rw.HashRing(nodes)
    first = router.names[router.assign(values)]
    moved(router)
    expected = int((first != router.names[router.assign(values)]).sum())
    monkeypatch.setattr(inputs, "BATCH_ROWS", 7)
    stdin = "".join(f"{value}\n" for value in values)
    keys = run_json("plan", "nodes.csv", "after.csv", "--keys", "-", "--int", stdin=stdin)["keys"]
    assert (keys["total"], keys["moved"]) == (1000, expected)


def test_plan_counts_entries_and_copies_of_replicas(nodes, after):
    """Entries are the Transfer's rows; copies are nodes that are new to a row, node by node."""
    router = rw.PartitionTable(nodes, partitions=256, replicas=2)
    before = [set(row) for row in router.names[router.rows].tolist()]
    transfer = moved(router)
    now = [set(row) for row in router.names[router.rows].tolist()]
    flags = ["--strategy", "table", "--partitions", "256", "--replicas", "2"]
    counts = run_json("plan", "nodes.csv", "after.csv", *flags)["replicas"]
    assert counts["entries"] == 512
    assert counts["entries_changed"] == len(transfer.rows)
    assert counts["gained"] == Counter(name for a, b in zip(before, now, strict=True) for name in b - a)
    assert counts["lost"] == Counter(name for a, b in zip(before, now, strict=True) for name in a - b)
    assert counts["copies"] == sum(counts["gained"].values())


def test_plan_shows_its_figures_as_text(nodes, after):
    """A line of what changes, the share, and a table of nodes and of routes."""
    router = rw.HashRing(nodes)
    transfer = moved(router)
    text = run("plan", "nodes.csv", "after.csv", "--keys", FLIGHTS, "--key", "tail")
    lines = text.splitlines()
    assert lines[0] == "HashRing: added node5; removed node3; reweighed node2 2 → 1"
    assert lines[1] == f"{transfer.share:.2%} of the key space moves".replace("%", " %")
    assert "of 28,868 keys move" in lines[2]
    assert sum(line.startswith("node") for line in lines) == 5 + 1 + len(
        run_json("plan", "nodes.csv", "after.csv")["routes"]
    )
    table = run("plan", "nodes.csv", "after.csv", "--strategy", "table", "--replicas", "2")
    assert "entries of all replicas change" in table
    assert "copies in" in table


def test_plan_of_equal_lists_moves_nothing(nodes):
    """The share is 0 and there are no routes, in another order of the list too."""
    lines = Path("nodes.csv").read_text().splitlines()
    Path("same.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    for flags in ([], ["--strategy", "table"], ["--strategy", "partitioned", "--part-size", "2"]):
        plan = run_json("plan", "nodes.csv", "same.csv", *flags)
        assert (plan["share"], plan["routes"], plan["added"], plan["removed"]) == (0.0, [], [], [])
    assert "the same nodes" in run("plan", "nodes.csv", "same.csv")


def test_plan_of_primary_backup_follows_the_lists_order():
    """A new order is a new priority: all keys move to the new first."""
    Path("a.txt").write_text("main\nbackup\n")
    Path("b.txt").write_text("backup\nmain\n")
    plan = run_json("plan", "a.txt", "b.txt", "--strategy", "primary")
    assert plan["routes"] == [{"source": "main", "target": "backup", "share": 1.0}]


def test_plan_of_a_new_zone_moves_replicas_alone():
    """A node that only changes its zone keeps its points; a table's rows may follow."""
    Path("a.csv").write_text("name,zone\nn1,a\nn2,a\nn3,b\nn4,b\n")
    Path("b.csv").write_text("name,zone\nn1,a\nn2,b\nn3,a\nn4,b\n")
    plan = run_json("plan", "a.csv", "b.csv")
    assert (plan["rezoned"], plan["share"]) == (["n2", "n3"], 0.0)
    plan = run_json("plan", "a.csv", "b.csv", "--strategy", "table", "--replicas", "2")
    router = rw.PartitionTable(
        [rw.Node("n1", 1, "a"), rw.Node("n2", 1, "a"), rw.Node("n3", 1, "b"), rw.Node("n4", 1, "b")], replicas=2
    )
    with router.change() as change:
        change.remove("n2", "n3")
        change.add(rw.Node("n2", 1, "b"), rw.Node("n3", 1, "a"))
    assert plan["replicas"]["entries_changed"] == len(change.transfer.rows) > 0


def test_plan_to_weights_of_zero_leaves_nobody():
    """Where nobody can own keys any more, they go to nobody."""
    Path("a.csv").write_text("name,weight\nn1,1\n")
    Path("b.csv").write_text("name,weight\nn1,0\n")
    assert run_json("plan", "a.csv", "b.csv")["routes"] == [{"source": "n1", "target": "nobody", "share": 1.0}]


def test_plan_counts_keys_that_go_to_nobody():
    """Real keys of a drained cluster are counted as moved to nobody."""
    Path("a.csv").write_text("name,weight\nn1,1\n")
    Path("b.csv").write_text("name,weight\nn1,0\n")
    keys = run_json("plan", "a.csv", "b.csv", "--keys", "-", stdin="x\ny\n")["keys"]
    assert keys == {"total": 2, "moved": 2, "routes": [{"source": "n1", "target": "nobody", "keys": 2}]}
    keys = run_json("plan", "b.csv", "a.csv", "--keys", "-", stdin="x\ny\n")["keys"]
    assert keys == {"total": 2, "moved": 2, "routes": [{"source": "nobody", "target": "n1", "keys": 2}]}


def test_plan_shortens_a_long_list_of_routes():
    """The largest 20 are shown and the rest counted; JSON has all."""
    Path("a.txt").write_text("\n".join(f"n{i}" for i in range(8)))
    Path("b.txt").write_text("\n".join(f"n{i}" for i in range(4, 12)))
    routes = run_json("plan", "a.txt", "b.txt")["routes"]
    assert len(routes) > 20
    assert run("plan", "a.txt", "b.txt").endswith(f"\nand {len(routes) - 20} more routes\n")


# -- demo

DEMO_ROUTERS = {
    "HashRing": rw.HashRing,
    "PartitionedRing": lambda nodes: rw.PartitionedRing(nodes, part_size=2),
    "PartitionTable": lambda nodes: rw.PartitionTable(nodes, partitions=4096, replicas=2),
    "PrimaryBackup": lambda nodes: rw.PrimaryBackup([nodes[1], nodes[0], *nodes[2:]]),
}


@pytest.fixture
def _routing_alone(monkeypatch):
    """Leave out the second part of the demo, which has its tests in tests/events."""
    monkeypatch.setattr("ringward.cli.demo.command._streamed", lambda flights, *, quiet: None)


@pytest.mark.usefixtures("_routing_alone")
def test_the_demos_figures_are_those_of_routing_each_event(nodes):
    """Counted anew, key by key, with a router of the membership without node2 in place of the transfer."""
    demo = run_json("demo")
    with gzip.open(FLIGHTS, "rt") as file:
        flights = list(csv.DictReader(file))
    tails = Counter(row["tail"] for row in flights)
    assert (demo["events"], demo["keys"]) == (len(flights), len(tails)) == (28_868, 3_195)
    assert (demo["first"], demo["last"]) == (flights[0]["time"], flights[-1]["time"])
    assert demo["passed"] is True
    members = [rw.Node(name, zone=zone) for name, zone in demo["zones"].items()]
    assert [node.name for node in members] == NAMES
    assert [outcome["strategy"] for outcome in demo["strategies"]] == list(DEMO_ROUTERS)
    for outcome in demo["strategies"]:
        router = DEMO_ROUTERS[outcome["strategy"]](members)
        owners, takers = Counter(dict.fromkeys(NAMES, 0)), Counter()
        for tail, count in tails.items():
            owner, heir = router.candidates(tail, 2)
            owners[owner] += count
            if owner == "node2":
                takers[heir] += count
        assert outcome["owners"] == owners
        assert outcome["takers"] == takers
        assert outcome["moved"] == outcome["returned"] == owners["node2"] == takers.total()
        share = next(node.share for node in router.report().nodes if node.name == "node2")
        assert outcome["moved_share"] == pytest.approx(share)
        assert outcome["checks"]
        assert all(outcome["checks"].values())


def test_the_demo_tells_its_figures_in_tables(monkeypatch):
    """Who owns how many events, what moved, who took over, and each check's result."""
    text = run("demo")
    monkeypatch.setattr("ringward.cli.demo.command._streamed", lambda flights, *, quiet: None)
    for outcome in run_json("demo")["strategies"]:
        lines = [line for line in text.splitlines() if line.startswith(outcome["strategy"])]
        assert all(f"{count:,}" in lines[0] for count in outcome["owners"].values())
        assert f"{outcome['moved']:,}" in lines[1]
        assert all(f"+{count:,}" in lines[1] for count in outcome["takers"].values())
    assert text.endswith("All checks hold.\n")
    assert "NO" not in text.split()


@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.usefixtures("_routing_alone")
def test_the_demo_fails_when_a_check_does(monkeypatch, flags):
    """A transfer that forgets a key is found out: exit code 1."""
    apply = rw.Transfer.apply

    def forgetful(self, ids, hashes):
        last = ids[-1]
        moved = apply(self, ids, hashes)
        ids[moved[-1:]] = last if last != ids[moved[-1]] else last + 1
        return moved

    monkeypatch.setattr(rw.Transfer, "apply", forgetful)
    result = CliRunner().invoke(group, ["demo", *flags])
    assert result.exit_code == 1
    assert '"passed": false' in result.stdout if flags else "FAILED" in result.stdout


def test_the_carried_flights_are_the_first_days_of_the_half_year():
    """Every departure up to 3 February with an aircraft, in the order of time, packed without a time stamp."""
    packed = FLIGHTS.read_bytes()
    assert len(packed) < 190_000
    assert packed[4:8] == bytes(4)
    rows = parsed(gzip.decompress(packed).decode())
    assert rows[0] == ["time", "tail", "dest"]
    assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])
    with gzip.open(HALF_YEAR, "rt") as file:
        whole = list(csv.DictReader(file))
    assert len(whole) == 166_158
    assert len(whole[0]) == 11
    expected = Counter()
    for row in whole:
        if "NA" in (row["dep_time"], row["tailnum"]):
            continue
        left, planned = (int(row[what]) // 100 * 60 + int(row[what]) % 100 for what in ("dep_time", "sched_dep_time"))
        left += 1440 * (planned - left > 120)
        day = np.datetime64(f"2013-{int(row['month']):02}-{int(row['day']):02}T00:00") + np.timedelta64(left, "m")
        if day < np.datetime64("2013-02-04T00:00"):
            expected[str(day), row["tailnum"], row["dest"]] += 1
    assert Counter(map(tuple, rows[1:])) == expected


# -- real processes


def test_the_module_runs_as_a_program(nodes):
    """`python -m ringward` assigns stdin and says its version."""
    done = process("assign", "-", "--nodes", "nodes.csv", input=b"event1\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"event1\t{rw.HashRing(nodes).route('event1')}\n"
    done = process("--version")
    assert done.stdout.decode().strip() == f"ringward, version {rw.__version__}"


@pytest.mark.usefixtures("nodes")
def test_bad_data_ends_a_process_with_1_and_one_line():
    """No traceback, nothing on stdout."""
    done = process("report", "--nodes", "none.txt")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines() == ["Error: none.txt: No such file or directory"]
    assert process("report").returncode == 2


@pytest.mark.usefixtures("nodes")
@pytest.mark.skipif(os.name == "nt", reason="pipes break differently there")
def test_a_closed_pipe_is_silent():
    """`| head` ends the command without a word."""
    command = [sys.executable, "-m", "ringward", "assign", str(HALF_YEAR), "--format", "lines", "--nodes", "nodes.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=60) == 0


def test_stdout_of_any_encoding_will_do(nodes):
    """Where stdout has no arrows they are escaped; JSON is ASCII; assigned rows are UTF-8 always."""
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = process("explain", "é", "--nodes", "nodes.csv", env=latin)
    assert done.returncode == 0, done.stderr
    assert b"\\u2192 node" in done.stdout
    done = process("explain", "é", "--nodes", "nodes.csv", "--json", env=latin)
    assert json.loads(done.stdout)["key"] == "é"
    done = process("assign", "-", "--nodes", "nodes.csv", env=latin, input="é\n".encode())
    assert done.stdout.decode("utf-8") == f"é\t{rw.HashRing(nodes).route('é')}\n"


def test_without_click_one_line_says_what_to_install():
    """The extra is named, and the exit code is 1."""
    code = "import sys; sys.modules[sys.argv.pop()] = None; from ringward.cli import main; main()"
    for missing in ("click", "rich"):
        command = [sys.executable, "-c", code, missing]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert "pip install 'ringward[cli]'" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.usefixtures("nodes")
def test_a_terminal_gets_rules_and_a_progress_bar():
    """On a terminal tables have rules, and assign shows its progress on stderr alone."""
    import pty  # noqa: PLC0415 - POSIX alone has it

    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "ringward"]
    subprocess.run([*command, "report", "--nodes", "nodes.csv"], stdout=follower, env=env, check=True, timeout=60)
    assert "──" in os.read(leader, 1 << 16).decode()
    args = ["assign", "nodes.csv", "--key", "name", "--nodes", "nodes.csv"]
    done = subprocess.run([*command, *args], stdout=subprocess.PIPE, stderr=follower, env=env, check=True, timeout=60)
    os.close(follower)
    assert done.stdout.decode() == run(*args)
    assert "4 rows" in os.read(leader, 1 << 16).decode()
    os.close(leader)
