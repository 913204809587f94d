"""`ringward assign` and `plan` on Parquet, Arrow and binary files, against what the library itself says."""

import csv
import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import fails, process, run, run_json

import ringward as rw
from ringward.cli import columnar, inputs, sinks

TRACE = Path(__file__).parent / "data" / "cache2k_orm-busy.trace.xz"
NAMES = ["node1", "node2", "node3", "node4"]
KEYS = ["N14228", "", "é", 'a,b\n"c"', *(f"event{i}" for i in range(500))]
ENDINGS = [".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows"]
every_ending = pytest.mark.parametrize("ending", ENDINGS)
ASSIGN = ["--key", "tail", "--nodes", "nodes.txt"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own that has a node list."""
    monkeypatch.chdir(tmp_path)
    Path("nodes.txt").write_text("\n".join(NAMES))


@pytest.fixture
def ring():
    """Return the ring of that list."""
    return rw.HashRing(NAMES)


@pytest.fixture
def table():
    """Return columns of many types with the keys in the middle."""
    n = len(KEYS)
    return pa.table(
        {
            "time": pa.array(np.arange(n), pa.timestamp("ms")),
            "tail": pa.array(KEYS),
            "kind": pa.array([f"kind{i % 3}" for i in range(n)]).dictionary_encode(),
            "parts": [[i, i + 1] for i in range(n)],
            "delay": pa.array([None if i % 5 == 0 else i / 4 for i in range(n)]),
        }
    )


def write(table, path, **options):
    """Write a table as its path's ending says."""
    if path.endswith((".parquet", ".pq")):
        pq.write_table(table, path, **options)
        return
    opened = pa.ipc.new_stream if path.endswith(".arrows") else pa.ipc.new_file
    with opened(path, table.schema) as writer:
        writer.write_table(table, **options)


def read(path):
    """Read a table back, as its path's ending says."""
    if path.endswith((".parquet", ".pq")):
        return pq.read_table(path)
    return (pa.ipc.open_stream if path.endswith(".arrows") else pa.ipc.open_file)(path).read_all()


def plain(table):
    """Return the columns as lists."""
    return table.to_pydict()


# -- what comes out


@every_ending
def test_every_format_is_read_and_written_as_every_other(ring, table, ending):
    """All rows and columns in order, with their types, and the owners at the end."""
    write(table, f"in{ending}")
    expected = {**plain(table), "owner": [ring.route(key) for key in KEYS]}
    for other in ENDINGS:
        assert run("assign", f"in{ending}", *ASSIGN, "--output", f"out{other}") == ""
        made = read(f"out{other}")
        assert plain(made) == expected
        assert made.schema.field("time").type == table.schema.field("time").type
        assert made.schema.field("owner").type == pa.dictionary(pa.int32(), pa.string())
    assert {path.name for path in Path().iterdir()} == {
        "nodes.txt", f"in{ending}", *(f"out{other}" for other in ENDINGS),
    }  # fmt: skip


def test_other_libraries_read_what_is_written(ring, table):
    """Polars has its own readers of Parquet and Arrow."""
    write(table.drop_columns("parts"), "in.parquet")
    for name, scan in (
        ("out.parquet", pl.read_parquet),
        ("out.arrow", pl.read_ipc),
        ("out.arrows", pl.read_ipc_stream),
    ):
        run("assign", "in.parquet", *ASSIGN, "--output", name)
        assert scan(name)["owner"].cast(pl.String).to_list() == [ring.route(key) for key in KEYS]


def test_what_other_libraries_write_is_read(ring):
    """Polars writes string views, and chunks of its own."""
    frame = pl.DataFrame({"tail": KEYS})
    frame.write_ipc("in.arrow")
    frame.write_ipc_stream("in.arrows")
    frame.write_parquet("in.parquet")
    for name in ("in.arrow", "in.arrows", "in.parquet"):
        for output in ("out.parquet", "out.arrow"):
            run("assign", name, *ASSIGN, "--output", output)
            assert plain(read(output)) == {"tail": KEYS, "owner": [ring.route(key) for key in KEYS]}


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint64(), pa.int64(), pa.binary(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_keys_have_the_type_of_their_column(ring, kind, ending):
    """Integers are integers without --int; text, bytes and dictionaries are text and bytes."""
    keys = (
        [0, 1, 42, 127]
        if pa.types.is_integer(kind)
        else [b"a", b"", b"\xff"]
        if kind == pa.binary()
        else ["a", "", "é"]
    )
    write(pa.table({"tail": pa.array(keys, kind)}), f"in{ending}")
    run("assign", f"in{ending}", *ASSIGN, "--output", f"out{ending}")
    assert read(f"out{ending}")["owner"].to_pylist() == [ring.route(key) for key in keys]


def test_text_goes_to_stdout_by_default(ring, table):
    """CSV as Arrow writes it, or JSON lines; an --output of another ending is CSV too."""
    write(table.drop_columns("parts"), "in.parquet")
    shown = run("assign", "in.parquet", *ASSIGN, "--count", "2")
    rows = list(csv.reader(io.StringIO(shown, newline=""), strict=True))
    assert rows[0] == ["time", "tail", "kind", "delay", "owner_1", "owner_2"]
    assert [row[1] for row in rows[1:]] == KEYS
    assert [row[4:] for row in rows[1:]] == [ring.candidates(key, 2) for key in KEYS]
    run("assign", "in.parquet", *ASSIGN, "--count", "2", "--output", "out.csv.gz")
    assert gzip.decompress(Path("out.csv.gz").read_bytes()).decode() == shown


def test_json_lines_have_the_row_as_json_can_have_it(ring):
    """Times as ISO, decimals as text, what is no number as null; lists and structs inside too."""
    day = dt.date(2013, 1, 1)
    table = pa.table(
        {
            "tail": ["a"],
            "day": [day],
            "at": [dt.datetime(2013, 1, 1, 5, 17)],  # noqa: DTZ001 - without a zone, as the column has it
            "price": [decimal.Decimal("1.50")],
            "delay": [float("nan")],
            "deep": [{"x": [1.5, float("inf")], "day": day}],
        }
    )
    write(table, "in.parquet")
    assert json.loads(run("assign", "in.parquet", *ASSIGN, "--json", "--count", "2")) == {
        "key": "a",
        "owner": ring.route("a"),
        "candidates": ring.candidates("a", 2),
        "row": {
            "tail": "a", "day": "2013-01-01", "at": "2013-01-01T05:17:00", "price": "1.50", "delay": None,
            "deep": {"x": [1.5, None], "day": "2013-01-01"},
        },
    }  # fmt: skip


@every_ending
def test_candidates_run_out_as_nulls(ring, table, ending):
    """owner_1 ... in failover order, null where no live node is left."""
    write(table, "in.parquet")
    ring.mark_down("node2")
    run("assign", "in.parquet", *ASSIGN, "--count", "4", "--down", "node2", "--output", f"out{ending}")
    made = read(f"out{ending}")
    for i in range(4):
        assert made[f"owner_{i + 1}"].to_pylist() == [[*ring.candidates(key), None][i] for key in KEYS]


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows"])
def test_text_can_become_columns(ring, ending):
    """Every column of a CSV file is text; keys are integers with --int; a plain line is the column `line`."""
    Path("in.csv").write_text("time,tail\n1,7\n2,-8\n")
    run("assign", "in.csv", *ASSIGN, "--output", f"out{ending}")
    assert plain(read(f"out{ending}")) == {
        "time": ["1", "2"], "tail": ["7", "-8"], "owner": [ring.route("7"), ring.route("-8")],
    }  # fmt: skip
    run("assign", "in.csv", *ASSIGN, "--int", "--output", f"out{ending}")
    assert plain(read(f"out{ending}"))["owner"] == [ring.route(7), ring.route(-8)]
    run("assign", "-", "--nodes", "nodes.txt", "--output", f"out{ending}", stdin="a\nb\n")
    assert plain(read(f"out{ending}")) == {"line": ["a", "b"], "owner": [ring.route("a"), ring.route("b")]}
    run("assign", "-", "--nodes", "nodes.txt", "--output", f"out{ending}", stdin="")
    assert plain(read(f"out{ending}")) == {"line": [], "owner": []}


@every_ending
def test_files_without_rows_stay_without_rows(table, ending):
    """The columns are there all the same."""
    write(table.slice(0, 0), f"in{ending}")
    run("assign", f"in{ending}", *ASSIGN, "--output", f"out{ending}")
    assert read(f"out{ending}").schema.names == [*table.schema.names, "owner"]
    assert read(f"out{ending}").num_rows == 0


def test_streams_come_through_stdin(ring, table):
    """--format arrow reads a stream from a pipe, packed or not; the formats that are read from their end need a file."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    flags = ["assign", "-", "--format", "arrow", *ASSIGN, "--output", "out.arrow"]
    for data in (sink.getvalue(), gzip.compress(sink.getvalue()), lzma.compress(sink.getvalue())):
        run(*flags, stdin=data)
        assert read("out.arrow")["owner"].to_pylist() == [ring.route(key) for key in KEYS]
    done = process(*flags, input=sink.getvalue())
    assert done.returncode == 0, done.stderr
    write(table, "in.arrow")
    done = process(*flags, input=Path("in.arrow").read_bytes())
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"Error: stdin: must be a file that is not packed")
    Path("in.parquet").write_bytes(gzip.compress(b"PAR1"))
    assert "must be a file that is not packed" in fails("assign", "in.parquet", *ASSIGN)


def test_a_format_can_be_given_for_any_name(ring, table):
    """--format goes before the ending."""
    write(table, "in.parquet")
    Path("in.parquet").rename("data.bin")
    run("assign", "data.bin", "--format", "parquet", *ASSIGN, "--output", "out.arrow")
    assert read("out.arrow")["owner"].to_pylist() == [ring.route(key) for key in KEYS]


def test_a_file_can_replace_itself(ring, table):
    """The output takes its place only when all is read."""
    write(table, "in.parquet")
    run("assign", "in.parquet", *ASSIGN, "--output", "in.parquet")
    assert read("in.parquet")["owner"].to_pylist() == [ring.route(key) for key in KEYS]


# -- streaming


@pytest.mark.parametrize("batch_rows", [1, 7, 100, 503, 504, 505])
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows"])
def test_rows_are_held_a_batch_at_a_time(ring, table, monkeypatch, ending, batch_rows):
    """However the file is cut, no more than a batch is assigned at once, and the result is the same."""
    write(table, f"in{ending}")
    for module in (inputs, columnar):
        monkeypatch.setattr(module, "BATCH_ROWS", batch_rows)
    sizes = []
    assign = rw.Snapshot.assign
    monkeypatch.setattr(
        rw.Snapshot, "assign", lambda self, keys, **kw: (sizes.append(len(keys)), assign(self, keys, **kw))[1]
    )
    run("assign", f"in{ending}", *ASSIGN, "--output", "out.parquet")
    assert max(sizes) == min(batch_rows, len(KEYS))
    assert sum(sizes) == len(KEYS)
    assert read("out.parquet")["owner"].to_pylist() == [ring.route(key) for key in KEYS]


def test_row_groups_are_bounded_in_rows_and_in_bytes(table, monkeypatch):
    """Small batches are gathered, and large ones written as they come."""
    write(table, "in.parquet")
    monkeypatch.setattr(columnar, "BATCH_ROWS", 50)
    monkeypatch.setattr(sinks, "_GROUP_ROWS_MAX", 100)
    run("assign", "in.parquet", *ASSIGN, "--output", "out.parquet")
    groups = pq.ParquetFile("out.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [100, 100, 100, 100, 100, 4]
    monkeypatch.setattr(sinks, "_GROUP_BYTES_MAX", 1)
    run("assign", "in.parquet", *ASSIGN, "--output", "out.parquet")
    assert pq.ParquetFile("out.parquet").metadata.num_row_groups == 11


def test_dictionaries_that_change_from_batch_to_batch_are_written(ring):
    """An Arrow stream may replace a dictionary, an Arrow file may not."""
    batches = [
        pa.record_batch({"tail": pa.array(keys).dictionary_encode()}) for keys in (["a", "b"], ["c"], ["b", "d"])
    ]
    with pa.ipc.new_stream("in.arrows", batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    for output in ("out.arrow", "out.arrows", "out.parquet"):
        run("assign", "in.arrows", *ASSIGN, "--output", output)
        assert plain(read(output)) == {"tail": list("abcbd"), "owner": [ring.route(key) for key in "abcbd"]}


PEAK = """
import resource, sys, ringward.cli.sinks
ringward.cli.sinks._GROUP_BYTES_MAX = 1 << 22
sys.argv[0] = "ringward"
try:
    ringward.cli.main()
except SystemExit as end:
    assert not end.code
try:  # what the system says of a process begins with what its parent had
    status = open("/proc/self/status").read()
    print(status.partition("VmHWM:")[2].split()[0])
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource usage there")
@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_memory_does_not_grow_with_the_file(ending):
    """Sixteen times as many rows, more than 128 MiB of them, cost less than half of that."""
    rng = np.random.default_rng(1)
    peaks = []
    for groups in (2, 32):  # with one alone, nothing is read ahead
        schema = pa.schema({"tail": pa.int64(), "payload": pa.binary(32)})
        opened = pq.ParquetWriter if ending == ".parquet" else pa.ipc.new_file
        with opened(f"in{ending}", schema) as writer:
            for _ in range(groups):
                payload = pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(32), 1 << 17, [None, pa.py_buffer(rng.bytes(1 << 22))]
                )
                writer.write_batch(
                    pa.record_batch([pa.array(rng.integers(0, 1 << 40, 1 << 17)), payload], schema=schema)
                )
        done = subprocess.run(
            [sys.executable, "-c", PEAK, "assign", f"in{ending}", *ASSIGN, "--output", f"out{ending}"],
            capture_output=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    assert Path(f"in{ending}").stat().st_size > 128 << 20
    assert peaks[1] - peaks[0] < 64


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_a_terminal_gets_a_progress_bar(table, ending):
    """By rows where the file tells how many there are, by bytes elsewhere."""
    import pty  # noqa: PLC0415 - POSIX alone has it

    write(table, f"in{ending}")
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "ringward", "assign", f"in{ending}", *ASSIGN, "--output", "out.arrow"]
    subprocess.run(command, stderr=follower, env=env, check=True, timeout=60)
    os.close(follower)
    assert "504 rows" in os.read(leader, 1 << 16).decode()
    os.close(leader)


# -- binary files


def test_a_trace_of_five_million_accesses_is_streamed(ring):
    """Big-endian integers, packed by xz, each the key it is."""
    run("assign", TRACE, "--binary", ">u4", "--nodes", "nodes.txt", "--output", "out.parquet")
    made = read("out.parquet")
    keys = np.frombuffer(lzma.decompress(TRACE.read_bytes()), ">u4")
    assert made.schema.names == ["key", "owner"]
    assert made.schema.field("key").type == pa.uint32()
    assert (made["key"].to_numpy() == keys).all()
    ids = pa.chunked_array([chunk.indices for chunk in made["owner"].chunks]).to_numpy()
    assert (ids == ring.assign(keys)).all()


@pytest.mark.parametrize("dtype", ["<i8", ">i2", "u1", "uint64", "int32"])
def test_binary_keys_of_every_width_are_the_integers_they_are(ring, dtype):
    """Signed and of either byte order; CSV and JSON hold them as numbers."""
    info = np.iinfo(dtype)
    keys = [0, 1, info.min, info.max, 42]
    Path("keys.bin").write_bytes(np.array(keys, dtype).tobytes())
    flags = ["keys.bin", "--binary", dtype, "--nodes", "nodes.txt"]
    rows = list(csv.reader(io.StringIO(run("assign", *flags))))
    assert rows == [["key", "owner"], *([str(key), ring.route(key)] for key in keys)]
    found = [json.loads(line) for line in run("assign", *flags, "--json").splitlines()]
    assert [record["key"] for record in found] == keys


def test_binary_files_of_broken_size_are_refused():
    """The last key is cut off."""
    Path("keys.bin").write_bytes(b"\0" * 10)
    flags = ["keys.bin", "--binary", "<u4", "--nodes", "nodes.txt", "--output", "out.csv"]
    assert fails("assign", *flags) == "keys.bin: must be a multiple of 4 bytes long, the size of a key"
    Path("keys.bin.xz").write_bytes(lzma.compress(b"\0" * 1000)[:-20])
    assert fails("assign", "keys.bin.xz", *flags[1:]).startswith(
        "keys.bin.xz: no intact binary file: Compressed file ended"
    )
    assert not Path("out.csv").exists()


def test_text_packed_by_xz_is_read_too(ring):
    """As by gzip, known by its first bytes; damage is told with the line."""
    Path("in.csv").write_bytes(lzma.compress(b"tail\na\n"))
    assert run("assign", "in.csv", *ASSIGN) == f"tail,owner\na,{ring.route('a')}\n"
    Path("in.csv").write_bytes(lzma.compress(b"tail\n" + b"a\n" * 10_000)[:-30])
    assert "a damaged xz file" in fails("assign", "in.csv", *ASSIGN)


# -- plan


@every_ending
def test_plan_counts_the_keys_of_a_column(table, ending):
    """The same counts as for the same keys in text, and only that column is needed."""
    write(table, f"in{ending}")
    Path("after.txt").write_text("\n".join(NAMES[:3]))
    before, after = rw.HashRing(NAMES), rw.HashRing(NAMES[:3])
    moved = sum(before.route(key) != after.route(key) for key in KEYS)
    counts = run_json("plan", "nodes.txt", "after.txt", "--keys", f"in{ending}", "--key", "tail")["keys"]
    assert (counts["total"], counts["moved"]) == (len(KEYS), moved)


# -- what cannot be


@every_ending
def test_missing_keys_are_told_by_their_row(ring, table, ending, monkeypatch):
    """Counted from 1 over all batches; with --nulls skip they have no owner."""
    keys = [*KEYS[:300], None, *KEYS[301:400], None, *KEYS[401:]]
    write(table.set_column(1, "tail", pa.array(keys)), f"in{ending}")
    monkeypatch.setattr(columnar, "BATCH_ROWS", 64)
    message = fails("assign", f"in{ending}", *ASSIGN, "--output", f"out{ending}")
    assert message == f"in{ending}, row 301: no key in column 'tail'; --nulls skip gives such rows no owner"
    assert not Path(f"out{ending}").exists()
    run("assign", f"in{ending}", *ASSIGN, "--nulls", "skip", "--output", f"out{ending}")
    assert read(f"out{ending}")["owner"].to_pylist() == [None if key is None else ring.route(key) for key in keys]
    text = run("assign", f"in{ending}", *ASSIGN, "--nulls", "skip", "--json")
    assert json.loads(text.splitlines()[300])["owner"] is None
    assert json.loads(text.splitlines()[300])["candidates"] == []
    message = fails("plan", "nodes.txt", "nodes.txt", "--keys", f"in{ending}", "--key", "tail")
    assert message == f"in{ending}, row 301: no key in column 'tail'; --nulls skip leaves such rows out"


@every_ending
def test_damaged_files_are_one_line(table, ending):
    """Cut short, of another kind, empty, or with bytes changed: exit code 1, and nothing is written."""
    write(table, f"in{ending}")
    whole = Path(f"in{ending}").read_bytes()
    kind = "parquet" if ending in (".parquet", ".pq") else "arrow"
    for data in (whole[:-9], whole[: len(whole) // 2], b"", b"time,tail\n1,2\n", b"PAR1", b"ARROW1\0\0", b"\0" * 100):
        Path("bad" + ending).write_bytes(data)
        message = fails("assign", f"bad{ending}", *ASSIGN, "--output", "out.parquet")
        assert re.match(rf"bad{ending}: no intact (arrow|parquet) file: ", message)
        assert data.startswith(b"ARROW1") or f"no intact {kind}" in message
    assert not Path("out.parquet").exists()


def test_offsets_beyond_the_data_are_refused():
    """Compiled code would read what is not its own."""
    write(pa.table({"tail": ["one", "two"]}), "in.arrows")
    offsets = np.array([0, 3, 6], np.int32).tobytes()
    data = Path("in.arrows").read_bytes()
    assert data.count(offsets) == 1
    Path("in.arrows").write_bytes(data.replace(offsets, np.array([0, 3, 1 << 30], np.int32).tobytes()))
    assert fails("assign", "in.arrows", *ASSIGN).startswith("in.arrows: no intact arrow file: ")


def test_columns_that_cannot_be_keys_are_named(table):
    """Times, floats and lists have no hash; a column must be there, once."""
    write(table, "in.parquet")
    for column in ("time", "delay", "parts"):
        flags = ["--key", column, "--nodes", "nodes.txt", "--output", "out.parquet"]
        assert fails("assign", "in.parquet", *flags).startswith(f"in.parquet: column '{column}': ")
    flags = ["--nodes", "nodes.txt", "--output", "out.parquet"]
    assert fails("assign", "in.parquet", "--key", "tial", *flags) == (
        "in.parquet: no column 'tial'; there are: time, tail, kind, parts, delay"
    )
    twice = pa.table([["a"], ["b"]], names=["tail", "tail"])
    write(twice, "twice.arrow")
    assert fails("assign", "twice.arrow", *ASSIGN) == "twice.arrow: more than one column 'tail'; there are: tail, tail"
    write(pa.table([["a"], ["b"], ["c"]], names=["tail", "x", "x"]), "twice.arrow")
    assert fails("assign", "twice.arrow", *ASSIGN, "--json") == "twice.arrow: two columns of one name: tail, x, x"
    assert not Path("out.parquet").exists()


def test_the_new_column_must_be_new(table):
    """As in text: an error that says how to choose another name."""
    write(table.append_column("owner", table["tail"]), "in.parquet")
    assert "--owner-column" in fails("assign", "in.parquet", *ASSIGN, "--output", "out.parquet")
    run("assign", "in.parquet", *ASSIGN, "--owner-column", "node", "--output", "out.parquet")
    assert read("out.parquet").schema.names[-2:] == ["owner", "node"]
    Path("in.csv").write_text("tail,owner\n1,2\n")
    assert "--owner-column" in fails("assign", "in.csv", *ASSIGN, "--output", "out.parquet")
    Path("in.csv").write_text("tail,x,x\n1,2,3\n")
    assert (
        fails("assign", "in.csv", *ASSIGN, "--output", "out.parquet") == "in.csv: two columns of one name: tail, x, x"
    )


def test_columns_that_text_has_no_form_for_are_text(ring, table):
    """Lists and structs as JSON, bytes as their text or their digits, UUIDs as they are written; in CSV, TSV and JSON."""
    deep = pa.array([{"a": 1, "b": [b"x", None]}] * len(KEYS))
    write(table.append_column("deep", deep).append_column("view", table["tail"].cast(pa.string_view())), "in.parquet")
    for name, delimiter in (("out.csv", ","), ("out.tsv", "\t")):
        run("assign", "in.parquet", *ASSIGN, "--output", name)
        with Path(name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        assert [row["owner"] for row in rows] == [ring.route(key) for key in KEYS]
        assert [json.loads(row["parts"]) for row in rows] == table["parts"].to_pylist()
        assert json.loads(rows[7]["deep"]) == {"a": 1, "b": ["x", None]}
        assert [row["view"] for row in rows] == KEYS
    ids = [uuid.UUID(int=i << 64 | 0xFF) for i in range(3)]
    typed = {
        "fixed": (pa.array([one.bytes for one in ids], pa.binary(16)), ["0x" + one.hex for one in ids]),
        "uuid": (pa.array([one.bytes for one in ids], pa.uuid()), [str(one) for one in ids]),
        "bytes": (pa.array([b"a", b"\xff\n", "é".encode()]), ["a", "0xff0a", "é"]),
        "coded": (pa.array([b"a", b"\xff", b"a"]).dictionary_encode(), ["a", "0xff", "a"]),
    }
    write(pa.table({name: column for name, (column, _) in typed.items()}), "ids.arrow")
    for name, (column, shown) in typed.items():
        keys = column.storage if name == "uuid" else column
        expected = [ring.route(key) for key in keys.to_pylist()]
        args = ["assign", "ids.arrow", "--key", name, "--nodes", "nodes.txt"]
        rows = list(csv.DictReader(io.StringIO(run(*args), newline="")))
        assert [(row[name], row["owner"]) for row in rows] == list(zip(shown, expected, strict=True))
        found = [json.loads(line) for line in run(*args, "--json").splitlines()]
        assert [(record["key"], record["owner"]) for record in found] == list(zip(shown, expected, strict=True))


USAGE = {
    "no key": ["in.parquet"],
    "int": ["in.parquet", "--key", "tail", "--int"],
    "no header": ["in.parquet", "--key", "1", "--no-header"],
    "empty keys of columns": ["in.parquet", "--key", "tail", "--nulls", "empty"],
    "delimiter of columns": ["in.parquet", "--key", "tail", "--delimiter", ";"],
    "encoding of columns": ["in.parquet", "--key", "tail", "--encoding", "cp1252"],
    "json to columns": ["in.parquet", "--key", "tail", "--json", "--output", "out.parquet"],
    "packed twice": ["in.parquet", "--key", "tail", "--output", "out.parquet.gz"],
    "no names": ["in.csv", "--key", "1", "--no-header", "--output", "out.parquet"],
    "binary with key": ["in.bin", "--binary", "<u4", "--key", "tail"],
    "binary with int": ["in.bin", "--binary", "<u4", "--int"],
    "binary of floats": ["in.bin", "--binary", "f8"],
    "binary of nonsense": ["in.bin", "--binary", "(,"],
    "binary of text": ["in.bin", "--binary", "S8"],
}


@pytest.mark.parametrize("args", USAGE.values(), ids=USAGE)
def test_flags_that_do_not_fit_are_refused(table, args):
    """Exit code 2 for what is no matter of the data, not a flag that is ignored."""
    write(table, "in.parquet")
    Path("in.csv").write_text("tail\na\n")
    Path("in.bin").write_bytes(bytes(8))
    fails("assign", *args, "--nodes", "nodes.txt", code=2)
    assert not {path.name for path in Path().iterdir()} & {"out.parquet", "out.parquet.gz"}


def test_plan_refuses_flags_without_keys():
    """--binary describes a file of keys."""
    assert "need --keys" in fails("plan", "nodes.txt", "nodes.txt", "--binary", "<u4", code=2)


@pytest.mark.parametrize(
    "args",
    [["in.parquet", "--key", "k"], ["in.bin", "--binary", "<u4"], ["in.csv", "--key", "k", "--output", "o.arrow"]],
)
def test_without_pyarrow_one_line_says_what_to_install(args):
    """Text needs none of it."""
    for name in ("in.parquet", "in.bin"):
        Path(name).write_bytes(b"x")
    Path("in.csv").write_text("k\na\n")
    hidden = "import sys; sys.modules['pyarrow'] = None; import ringward.cli; ringward.cli.main()"
    command = [sys.executable, "-c", hidden, "assign", "--nodes", "nodes.txt"]
    done = subprocess.run([*command, *args], capture_output=True, check=False, text=True)
    named = "o.arrow" if "o.arrow" in args else args[0]
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {named}: Parquet, Arrow and binary files need pyarrow: pip install 'ringward[arrow]'\n"
    )
    assert subprocess.run([*command, "in.csv", "--key", "k"], capture_output=True, check=False).returncode == 0
