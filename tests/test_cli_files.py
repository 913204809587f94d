"""What the command line reads and writes: forms of files, what is refused, and where output goes."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import fails, process, run, run_json
from waiting import until

import ringward as rw
from ringward.cli import inputs, output_file

NAMES = ["node1", "node2", "node3", "node4"]
ASSIGN = ["--key", "tail", "--nodes", "nodes.txt"]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX alone has it")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own that has a node list."""
    monkeypatch.chdir(tmp_path)
    Path("nodes.txt").write_text("\n".join(NAMES))


@pytest.fixture
def ring():
    """Return the ring of that list."""
    return rw.HashRing(NAMES)


def parsed(text, delimiter=","):
    """Read delimited text."""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


# -- node lists

ZONED = [("a", 2.0, "x"), ("b", 1.0, None)]
READ_LISTS = {
    "n.json": ('["a", "b"]', [("a", 1.0, None), ("b", 1.0, None)]),
    "objects.json": ('[{"name": "a", "weight": 2, "zone": "x"}, {"name": "b", "zone": null}]', ZONED),
    "nodes.json": ('{"nodes": {"a": 2, "b": 0.5}, "other": 1}', [("a", 2.0, None), ("b", 0.5, None)]),
    "n.jsonl": ('{"name": "a", "weight": 2, "zone": "x"}\n\n"b"\n', ZONED),
    "lines.json": ('{"name": "a", "weight": 2, "zone": "x"}\n{"name": "b"}\n', ZONED),
    "list-without-ending": ('\n {"nodes": ["a", "b"]}', [("a", 1.0, None), ("b", 1.0, None)]),
    "n.yaml": ("nodes:\n  - name: a\n    weight: 2\n    zone: x\n  - b\n", ZONED),
    "mapping.yml": ("nodes: {a: 2, b: 0.5}\n", [("a", 2.0, None), ("b", 0.5, None)]),
    "n.tsv": ("name\tweight\tzone\na\t2\tx\nb\t\t\n", ZONED),
    "quoted.csv": ('"name","weight","zone"\r\n"a","2","x"\r\n"b","",""\r\n', ZONED),
    "utf16.txt": ("a\r\nb\r\n".encode("utf-16"), [("a", 1.0, None), ("b", 1.0, None)]),
    "utf16.csv": ("name,weight,zone\na,2,x\nb,,\n".encode("utf-16"), ZONED),
    "bom.yaml": (b"\xef\xbb\xbf- a\n- b\n", [("a", 1.0, None), ("b", 1.0, None)]),
    "hosts.prod": ("10.0.0.1:80\n[::1]:80\nédith\n", [("10.0.0.1:80", 1.0, None), ("[::1]:80", 1.0, None), ("édith", 1.0, None)]),
    "n.toml": ('nodes = ["a", "b"]\n', [("a", 1.0, None), ("b", 1.0, None)]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ_LISTS)
def test_a_node_list_of_another_format_is_read(name):
    """JSON, JSON lines, YAML, TSV; with marks of byte order, in UTF-16, packed or from stdin where the content tells."""
    content, expected = READ_LISTS[name]
    data = content if isinstance(content, bytes) else content.encode()
    Path(name).write_bytes(data)
    Path(f"{name}.xz").write_bytes(lzma.compress(data))
    for path in (name, f"{name}.xz"):
        found = run_json("report", "--nodes", path, "--strategy", "primary")["nodes"]
        assert [(node["name"], node["weight"], node["zone"]) for node in found] == expected
    if name.endswith("json") or "." not in name:
        assert len(run_json("report", "--nodes", "-", stdin=data)["nodes"]) == 2


REFUSED_LISTS = {
    "weights after blanks": ("servers", "10.0.1.1:11211 600\n10.0.1.2:11211 300\n"),
    "two words": ("n.txt", "n1 2\n"),
    "ini": ("n.ini", "[nodes]\na = 1\n"),
    "ini without a section": ("n.conf", "a=1\n"),
    "yaml by another name": ("n.txt", "nodes:\n  - a\n"),
    "a document's start": ("n.txt", "---\na\n"),
    "csv by another name": ("n.lst", "name,weight\na,1\n"),
    "semicolons": ("n.txt", "a;2\n"),
    "quotes": ("n.txt", '"a"\n"b"\n'),
    "xml": ("n.xml", "<nodes>\n<a/>\n</nodes>"),
    "control characters": ("n.txt", "a\x1b[31m\n"),
    "no encoding": ("n.txt", "a\n".encode("utf-16-le")),
    "csv with semicolons": ("n.csv", "name;weight\na;1\n"),
    "csv with a weight as Python writes it": ("n.csv", "name,weight\na,1_000\n"),
    "csv with a weight in other digits": ("n.csv", "name,weight\na,\u0663\n"),
    "csv with a weight of no digits": ("n.csv", "name,weight\na,infinity\n"),
    "csv with a weight of signs": ("n.csv", "name,weight\na,-+1\n"),
    "the only column of a table": ("n.txt", "# nodes\nName\na\n"),
    "parquet": ("n.txt", b"PAR1\x15\x00"),
    "zip": ("n.xlsx", b"PK\x03\x04\x14\x00"),
    "empty": ("n.txt", b""),
    "empty json": ("n.json", b""),
    "json of numbers": ("n.json", "[1, 2]"),
    "json of lists": ("n.json", '[["a"]]'),
    "json of a bare mapping": ("n.json", '{"a": 1}'),
    "json with a name twice": ("n.json", '[{"name": "a", "name": "b"}]'),
    "json with a typo": ("n.json", '[{"name": "a", "wieght": 2}]'),
    "json weight as text": ("n.json", '[{"name": "a", "weight": "2"}]'),
    "deep json": ("n.json", "[" * 100_000),
    "json lines with a list": ("n.jsonl", '["a"]\n'),
    "yaml of a truth": ("n.yaml", "- no\n"),
    "yaml of minutes": ("n.yaml", "- 10:20\n"),
    "yaml twice": ("n.yaml", "nodes: {a: 1, a: 2}\n"),
    "yaml aliases": ("n.yaml", "a: &a [x, x]\nnodes: [*a, *a]\n"),
    "yaml objects": ("n.yaml", "- !!python/object/apply:os.getcwd []\n"),
    "no yaml": ("n.yaml", "a: [\n"),
}


@pytest.mark.parametrize(("name", "content"), REFUSED_LISTS.values(), ids=REFUSED_LISTS)
def test_a_node_list_that_is_not_understood_is_refused(name, content):
    """They were read as names, exit 0: one line says the file, and what is wrong."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = fails("report", "--nodes", name)
    assert message.startswith(name)
    assert message.isprintable()
    assert len(message) < 700


def test_yaml_without_its_library_says_what_to_install():
    """Nothing else needs PyYAML."""
    Path("n.yaml").write_text("- a\n")
    hidden = "import sys; sys.modules['yaml'] = None; import ringward.cli; ringward.cli.main()"
    for name, code in (("n.yaml", 1), ("nodes.txt", 0)):
        command = [sys.executable, "-c", hidden, "report", "--nodes", name]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode == code
        assert ("pip install 'ringward[yaml]'" in done.stderr) == (code == 1)


@pytest.mark.parametrize(("weights", "unit"), [((0.001, 0.002), 0.001), ((4e12, 8e12), 4e12)])
def test_weights_of_any_unit_are_read(weights, unit):
    """Bytes and fractions: --weight-unit says which weight gets the points."""
    Path("n.csv").write_text("name,weight\n" + "".join(f"n{i},{weight}\n" for i, weight in enumerate(weights)))
    fails("report", "--nodes", "n.csv")
    nodes = [rw.Node(f"n{i}", weight) for i, weight in enumerate(weights)]
    expected = rw.HashRing(nodes, weight_unit=unit).report().nodes[0].share
    assert run_json("report", "--nodes", "n.csv", "--weight-unit", unit)["nodes"][0]["share"] == expected
    assert "needs --strategy" in fails(
        "report", "--nodes", "n.csv", "--weight-unit", "1", "--strategy", "table", code=2
    )
    assert "weight_unit" in fails("report", "--nodes", "n.csv", "--weight-unit", "nan")


# -- what is a key


@pytest.mark.parametrize("name", ["q.csv", "q.csv.gz", "q.tsv", "q.jsonl", "q.json", "q.yaml", "q.xml", "q.xlsx"])
@pytest.mark.parametrize("command", ["assign", "plan"])
def test_lines_of_what_is_no_list_of_lines_are_no_keys(command, name, ring):
    """The header was routed, and quoted line breaks were cut: --key is needed, or a word that lines are meant."""
    Path(name).write_bytes((gzip.compress if name.endswith("gz") else bytes)(b"id,text\n"))
    given = [name, "--nodes", "nodes.txt"] if command == "assign" else ["nodes.txt", "nodes.txt", "--keys", name]
    message = fails(command, *given, code=2)
    assert name in message
    assert "--" in message
    told = run(command, *given, "--format", "lines")
    assert command == "plan" or told == f"id,text\t{ring.route('id,text')}\n"


@pytest.mark.parametrize("text", ["1_000", " 5", "5 ", "007", "+5", "-0", "0x10", "1e3", "٣", "", "1.0", "9" * 5000])
def test_integers_are_plain_decimal(text):
    """Python's literals were taken: two texts of one number, and typing errors, went unseen."""
    assert fails("assign", "-", "--int", "--nodes", "nodes.txt", stdin=f"1\n{text}\n").startswith(
        "stdin, line 2: the key "
    )
    assert fails("explain", "--int", "--nodes", "nodes.txt", "--", text).startswith("the key ")
    assert "--key" in fails("assign", "-", "--no-header", "--key", text, "--nodes", "nodes.txt", stdin="a\n", code=2)


@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in"])
def test_columnar_files_are_known_by_their_first_bytes(ring, name):
    """Under another ending they were read as text."""
    table = pa.table({"tail": ["a", "b"]})
    pq.write_table(table, "in.parquet")
    for opened, path in ((pa.ipc.new_file, "in.arrow"), (pa.ipc.new_stream, "in.arrows")):
        with opened(path, table.schema) as writer:
            writer.write_table(table)
    for path in ("in.parquet", "in.arrow", "in.arrows"):
        Path(name).write_bytes(Path(path).read_bytes())
        rows = parsed(run("assign", name, *ASSIGN))
        assert rows[1:] == [["a", ring.route("a")], ["b", ring.route("b")]]
        assert "--key must name" in fails("assign", name, "--nodes", "nodes.txt", code=2)
    Path(name).write_text("PAR1,tail\n1,a\n")
    assert run("assign", name, *ASSIGN) == f"PAR1,tail,owner\n1,a,{ring.route('a')}\n"


@pytest.mark.parametrize(
    "data", [b"BZh91AY&SY\x00", b"\x28\xb5\x2f\xfd\x00", b"PK\x03\x04\x00", b"SQLite format 3\0", b"a\0\n"]
)
def test_what_is_no_text_is_refused(data):
    """Packed by something else, a database, or text in another encoding."""
    Path("in").write_bytes(data)
    assert fails("assign", "in", "--nodes", "nodes.txt").startswith("in")


@pytest.mark.parametrize(
    ("packer", "start"),
    {
        "bzip2": bz2.compress(b"a\n"),
        "zip": b"PK\x03\x04\x14\x00\x00\x00",
        "zstd": b"\x28\xb5\x2f\xfd\x04\x58\x09",
        "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7",
        "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
        "lzma": lzma.compress(b"a\n", lzma.FORMAT_ALONE),
    }.items(),
)
def test_a_file_that_something_else_packed_is_told_by_what(packer, start):
    """Of more than a few bytes, one of which was a line feed, it was said to be text in another encoding."""
    Path("in.csv").write_bytes(start + bytes(range(256)) * 10)
    for command in (["assign", "in.csv", *ASSIGN], ["report", "--nodes", "in.csv"]):
        assert fails(*command) == f"in.csv: packed by {packer}: only gzip and xz are unpacked"


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_empty_cells_are_no_keys(ring, monkeypatch, batch_rows):
    """They all went to one node: refused, left without an owner, or taken as a key where that is wanted."""
    monkeypatch.setattr(inputs, "BATCH_ROWS", batch_rows)
    text = "id,tail\n1,a\n2,\n3,b\n"
    Path("in.csv").write_text(text)
    message = fails("assign", "in.csv", *ASSIGN)
    assert message.startswith("in.csv, line 3: no key; --nulls skip")
    assert fails("plan", "nodes.txt", "nodes.txt", "--keys", "in.csv", "--key", "tail") == message
    owners = [ring.route("a"), "", ring.route("b")]
    skip = [*ASSIGN, "--nulls", "skip"]
    assert [row[2] for row in parsed(run("assign", "in.csv", *skip))[1:]] == owners
    lines = [json.loads(line) for line in run("assign", "in.csv", *skip, "--json").splitlines()]
    assert [line["owner"] or "" for line in lines] == owners
    assert lines[1] == {"key": None, "owner": None, "candidates": [], "row": {"id": "2", "tail": ""}}
    run("assign", "in.csv", *skip, "--output", "out.parquet")
    assert [owner or "" for owner in pq.read_table("out.parquet")["owner"].to_pylist()] == owners
    assert parsed(run("assign", "in.csv", *ASSIGN, "--nulls", "empty"))[2] == ["2", "", ring.route("")]
    keys = run_json("plan", "nodes.txt", "nodes.txt", "--keys", "in.csv", "--key", "tail", "--nulls", "skip")["keys"]
    assert keys["total"] == 2
    Path("in.csv").write_text("id,tail\n1,7\n2,\n")
    assert [row[2] for row in parsed(run("assign", "in.csv", *skip, "--int"))[1:]] == [ring.route(7), ""]
    assert run("assign", "-", "--nodes", "nodes.txt", "--nulls", "skip", stdin="a\n\n") == f"a\t{ring.route('a')}\n\t\n"


def test_a_cell_may_be_long(ring):
    """Python's csv stops at 131,072 characters unless it is told."""
    Path("in.csv").write_text("tail,prompt\na," + "x" * 131_073 + "\n")
    assert parsed(run("assign", "in.csv", *ASSIGN))[1][2] == ring.route("a")
    Path("n.csv").write_text("name,zone\na," + "x" * 131_073 + "\n")
    assert len(run_json("report", "--nodes", "n.csv")["nodes"]) == 1


@pytest.mark.parametrize(
    ("given", "char"), [(";", ";"), ("|", "|"), ("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (" ", " ")]
)
def test_other_delimiters_and_encodings_are_read(ring, given, char):
    """The output has the same delimiter, and is UTF-8."""
    text = f'tail{char}note\né{char}"a{char}b"\n'
    for encoding in ("cp1252", "utf-16", "utf-16-be", "utf-8-sig"):
        Path("in.csv").write_bytes(text.encode(encoding))
        out = run("assign", "in.csv", *ASSIGN, "--delimiter", given, "--encoding", encoding)
        assert parsed(out, char) == [["tail", "note", "owner"], ["é", f"a{char}b", ring.route("é")]]
    Path("in.csv").write_text("tail;note\na;b\n")
    assert "--delimiter ';' reads that" in fails("assign", "in.csv", *ASSIGN)


@pytest.mark.parametrize(
    "flags",
    [
        ["--delimiter", ";;"],
        ["--delimiter", '"'],
        ["--delimiter", "x"],
        ["--encoding", "utf-99"],
        ["--encoding", "hex"],
    ],
)
def test_delimiters_and_encodings_that_cannot_be_are_refused(flags):
    """Exit code 2, before anything is read."""
    fails("assign", "-", *ASSIGN, *flags, stdin="tail\na\n", code=2)


@pytest.mark.parametrize(
    ("data", "encoding"), [(b"tail\n\x81\n", "cp1252"), ("tail\n".encode("utf-16")[:-1], None), (b"\xff", "ascii")]
)
def test_bytes_that_an_encoding_has_not_are_told(data, encoding):
    """One line, exit code 1."""
    flags = [] if encoding is None else ["--encoding", encoding]
    assert "not in the encoding" in fails("assign", "-", *ASSIGN, *flags, stdin=data)


@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_plan_lists_the_rows_that_move(monkeypatch, batch_rows):
    """With where they go from and to; text and columns keep what they are."""
    monkeypatch.setattr(inputs, "BATCH_ROWS", batch_rows)
    Path("after.txt").write_text("\n".join(NAMES[:3]))
    keys = [f"event{i}" for i in range(40)]
    before, after = rw.HashRing(NAMES), rw.HashRing(NAMES[:3])
    expected = [(key, before.route(key), after.route(key)) for key in keys if before.route(key) != after.route(key)]
    Path("in.csv").write_text("id,tail\n" + "".join(f"{i},{key}\n" for i, key in enumerate(keys)))
    pq.write_table(pa.table({"id": range(40), "tail": keys}), "in.parquet")
    plan = ["plan", "nodes.txt", "after.txt", "--keys"]
    run(*plan, "in.csv", "--key", "tail", "--moved", "out.csv")
    rows = parsed(Path("out.csv").read_text())
    assert rows[0] == ["id", "tail", "from", "to"]
    assert [tuple(row[1:]) for row in rows[1:]] == expected
    run(*plan, "in.parquet", "--key", "tail", "--moved", "out.parquet")
    moved = pq.read_table("out.parquet").to_pylist()
    assert [(row["tail"], row["from"], row["to"]) for row in moved] == expected
    run(*plan, "-", "--moved", "out.txt", stdin="\n".join(keys))
    assert [tuple(line.split("\t")) for line in Path("out.txt").read_text().splitlines()] == expected
    assert "same kind" in fails(*plan, "in.csv", "--key", "tail", "--moved", "x.parquet", code=2)
    assert "need --keys" in fails("plan", "nodes.txt", "after.txt", "--moved", "x.csv", code=2)
    Path("bad.csv").write_text("tail,from\na,b\n")
    assert "column 'from' already" in fails(*plan, "bad.csv", "--key", "tail", "--moved", "x.csv")
    Path("bad.csv").write_text("tail\na\nb,c\n")
    fails(*plan, "bad.csv", "--key", "tail", "--moved", "x.csv")
    assert not [path for path in Path().iterdir() if path.name.startswith((".ringward", "x."))]


@pytest.mark.parametrize("weight", ["1_000", "\u0663", "0x10", "1,5", "infinity", "1e", "+-1"])
def test_weights_are_plain_decimal_numbers(weight):
    """`1_000` and digits of other scripts were read, since Python's `float` reads them."""
    Path("n.tsv").write_text(f"name\tweight\na\t{weight}\nb\t1\n")
    assert fails("report", "--nodes", "n.tsv").startswith("n.tsv, line 2: weight must be a number")
    Path("n.tsv").write_text("name\tweight\na\t1.5e1\nb\t.5\nc\t2.\nd\t+3\ne\t\n")
    weights = [node["weight"] for node in run_json("report", "--nodes", "n.tsv")["nodes"]]
    assert weights == [15.0, 0.5, 2.0, 3.0, 1.0]


def test_a_warning_is_a_line_for_who_runs_the_command():
    """It showed a path and a line of the package's code."""
    done = process("assign", "-", *ASSIGN[2:], "--strategy", "table", "--partitions", "2", input=b"a\n")
    assert done.returncode == 0
    said = done.stderr.decode().splitlines()
    assert said == ["Warning: partitions should be at least 4, the number of nodes (was 2): some own no key"]


NO_LINES = {
    "header": "user,country\nbob,DE\nann,FR\n",
    "quotes": 'user,"a ""note"""\nbob,"two\nlines"\n',
    "tabs": "user\tcountry\nbob\tDE\n",
    "semicolons": "user;n\nbob;1\n",
    "bars and a number": "user|n\nbob|1\nann|2\n",
    "one column in quotes": '"user"\n"bob"\n',
    "mark": "\ufeffuser,country\nbob,DE\n",
    "JSON lines": '{"user": "bob"}\n{"user": "ann"}\n',
    "JSON list": '["bob", "ann"]\n',
    "long JSON": '[\n  {"user": "bob"}\n]\n',
    "XML": '<?xml version="1.0"?>\n<users/>\n',
}
LINES = {
    "one line": "user,country\n",
    "keys of two parts": "acme|bob\nacme|ann\n",
    "names": "Doe, John\nRoe, Jane\n",
    "numbers": "1,2\n3,4\n",
    "sometimes a comma": "bob\na,b\nann\n",
    "hash tags": "{user1}.cart\n{user2}.cart\n",
    "addresses": "[::1]:80\n[::2]:80\n",
    "quotes inside": 'the "best"\nb\n',
    "empty": "",
    "blank": "\n\n",
}


@pytest.mark.parametrize("text", NO_LINES.values(), ids=NO_LINES)
def test_tables_and_documents_without_an_ending_are_no_lines_of_keys(text):
    """Whatever the ending does not say, the first lines do: their header and each row as a whole were keys."""
    Path("q").write_text(text)
    Path("q.gz").write_bytes(gzip.compress(text.encode()))
    for file in ("-", "q", "q.gz"):
        for command in (["assign", file, "--nodes", "nodes.txt"], ["plan", "nodes.txt", "nodes.txt", "--keys", file]):
            assert "--format lines" in fails(*command, stdin=text, code=2)
    assert len(run("assign", "-", "--nodes", "nodes.txt", "--format", "lines", stdin=text).splitlines()) == text.count(
        "\n"
    )


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_lines_that_may_be_keys_are_keys(text, ring):
    """Nobody has to say so."""
    keys = text.splitlines()
    rows = run("assign", "-", "--nodes", "nodes.txt", stdin=text).splitlines()
    assert rows == [f"{key}\t{ring.route(key)}" for key in keys]


# -- where output goes


def test_the_ending_of_an_output_says_its_form(ring):
    """Lines become a table in CSV, commas become tabs, JSON lines need no flag; what is not written is refused."""
    Path("in.csv").write_text('tail,x\n"a,b",1\n')
    owner = ring.route("a,b")
    run("assign", "in.csv", *ASSIGN, "--output", "out.tsv")
    assert Path("out.tsv").read_text() == f"tail\tx\towner\na,b\t1\t{owner}\n"
    run("assign", "in.csv", *ASSIGN, "--output", "out.jsonl")
    assert json.loads(Path("out.jsonl").read_text())["owner"] == owner
    run("assign", "in.csv", *ASSIGN, "--output", "out.csv.xz")
    assert parsed(lzma.decompress(Path("out.csv.xz").read_bytes()).decode())[1] == ["a,b", "1", owner]
    run("assign", "-", "--nodes", "nodes.txt", "--output", "out.csv", stdin="a,b\n")
    assert Path("out.csv").read_text() == f'line,owner\n"a,b",{owner}\n'
    for name in ("out.xlsx", "out.csv.zst", "out.yaml"):
        assert name in fails("assign", "in.csv", *ASSIGN, "--output", name, code=2)


@posix
def test_an_output_is_written_under_a_name_that_nobody_can_foresee(monkeypatch):
    """A link that was planted under the predictable name was followed, and the file it led to was cut to nothing."""
    Path("victim").write_text("PRECIOUS")
    made = []
    token = output_file.secrets.token_hex

    def planted(size):
        Path(f".out.csv.{os.getpid()}.part").symlink_to("victim")
        made.append(token(size))
        return made[0]

    monkeypatch.setattr(output_file.secrets, "token_hex", planted)
    give = output_file._give_mode

    def seen(partial, found):
        assert made[0] in partial.name
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        give(partial, found)

    monkeypatch.setattr(output_file, "_give_mode", seen)
    run("assign", "-", "--nodes", "nodes.txt", "--output", "out.csv", stdin="a\n")
    assert Path("victim").read_text() == "PRECIOUS"
    assert Path("out.csv").read_text().startswith("line,owner\na,")
    assert not [path for path in Path().iterdir() if made[0] in path.name]
    Path(f".ringward.{made[0]}.part").symlink_to("victim")  # if it were foreseen all the same
    monkeypatch.setattr(output_file.secrets, "token_hex", lambda _size: made[0])
    assert "cannot be written" in fails("assign", "-", "--nodes", "nodes.txt", "--output", "out.csv", stdin="a\n")
    assert Path("victim").read_text() == "PRECIOUS"


@posix
@pytest.mark.parametrize("command", ["assign", "moved"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_no_part_of_an_output_behind(name, command):
    """SIGTERM and SIGHUP left `.ringward.*.part` behind; what was there stays, and the exit code tells the signal."""
    Path("after.txt").write_text("node1\nnode2\n")
    Path("out.csv").write_text("as it was\n")
    command = {
        "assign": ["assign", "-", "--nodes", "nodes.txt", "--output", "out.csv"],
        "moved": ["plan", "nodes.txt", "after.txt", "--keys", "-", "--moved", "out.csv"],
    }[command]
    child = subprocess.Popen(
        [sys.executable, "-m", "ringward", *command], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:
        child.stdin.write(b"key\n" * 200_000)
        child.stdin.flush()
        until(lambda: list(Path().glob(".ringward.*.part")))
        assert list(Path().glob(".ringward.*.part"))
        child.send_signal(getattr(signal, name))
        child.wait(30)
        child.stdin.close()
    assert child.returncode == (130 if name == "SIGINT" else -getattr(signal, name))
    assert not list(Path().glob(".ringward.*"))
    assert Path("out.csv").read_text() == "as it was\n"


@posix
def test_a_signal_that_was_ignored_ends_nothing():
    """`nohup` ignores SIGHUP, and the command goes on."""
    script = "import signal, ringward.cli as cli; signal.signal(signal.SIGHUP, signal.SIG_IGN); cli.main()"
    command = [sys.executable, "-c", script, "assign", "-", "--nodes", "nodes.txt", "--output", "out.csv"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    with child:
        child.stdin.write(b"key\n" * 200_000)
        child.stdin.flush()
        until(lambda: list(Path().glob(".ringward.*.part")) or child.poll() is not None)
        child.send_signal(signal.SIGHUP)
        child.stdin.close()
    assert child.returncode == 0
    assert Path("out.csv").read_text().count("\n") == 200_001


@posix
def test_a_link_as_the_output_stays_and_its_file_is_replaced(monkeypatch):
    """One that another user made in a folder that all may write to is a trap."""
    Path("folder").mkdir()
    Path("folder/real").write_text("old")
    Path("out").symlink_to("folder/real")
    args = ["assign", "-", "--nodes", "nodes.txt", "--output", "out"]
    run(*args, stdin="a\n")
    assert Path("out").is_symlink()
    assert Path("folder/real").read_text().startswith("a\t")
    Path().chmod(0o1777)
    run(*args, stdin="b\n")
    monkeypatch.setattr(output_file.os, "geteuid", lambda: 12345)
    lstat = Path.lstat
    changed = lambda path: os.stat_result((*lstat(path)[:4], 999, *lstat(path)[5:]))  # noqa: E731
    monkeypatch.setattr(output_file.Path, "lstat", changed)
    assert fails(*args, stdin="c\n") == "out: is another user's link in a folder that everyone may write to"
    assert Path("folder/real").read_text().startswith("b\t")


@posix
def test_permissions_are_kept_and_those_of_new_files_follow_the_umask():
    """A temporary file is its owner's alone; what takes its place must not be."""
    args = ["assign", "-", "--nodes", "nodes.txt", "--output", "out"]
    before = os.umask(0o027)
    try:
        run(*args, stdin="a\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o640
    Path("out").chmod(0o604)
    run(*args, stdin="b\n")
    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o604


@posix
def test_pipes_devices_and_stdout_are_written_as_they_are(ring):
    """A named pipe, /dev/stdout into a pipe and into a file that others append to, and - for stdout."""
    expected = f"a\t{ring.route('a')}\n"
    os.mkfifo("pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_text()))
    reader.start()
    run("assign", "-", "--nodes", "nodes.txt", "--output", "pipe", stdin="a\n")
    reader.join()
    assert got == [expected]
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    assert run("assign", "-", "--nodes", "nodes.txt", "--output", "-", stdin="a\n") == expected
    for name in ("/dev/stdout", "/dev/fd/1"):
        done = process("assign", "-", "--nodes", "nodes.txt", "--output", name, input=b"a\n")
        assert (done.returncode, done.stdout.decode()) == (0, expected)
    with Path("log").open("ab") as log:
        log.write(b"first\n")
        log.flush()
        command = [sys.executable, "-m", "ringward", "assign", "-", "--nodes", "nodes.txt", "--output", "/dev/stdout"]
        subprocess.run(command, input=b"a\n", stdout=log, check=True)
    assert Path("log").read_text() == f"first\n{expected}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_with_the_file():
    """It was called the output, whichever file it was."""
    message = fails("assign", "-", "--nodes", "nodes.txt", "--output", "/dev/full", stdin="a\n")
    assert message == "/dev/full: No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("asked", [["--help"], ["--version"], ["assign", "--help"], ["report", "--nodes", "nodes.txt"]])
def test_a_full_disk_is_told_also_where_no_command_runs(asked):
    """`--help` and `--version` ended in a traceback, and the exit code of a crash."""
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "ringward", *asked]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: the output: No space left on device\n")


def test_an_error_leaves_the_old_output_and_nothing_else():
    """Whatever was written until then."""
    Path("out.txt").write_text("old")
    fails("assign", "-", "--int", "--nodes", "nodes.txt", "--output", "out.txt", stdin="1\nx\n")
    assert Path("out.txt").read_text() == "old"
    assert {path.name for path in Path().iterdir()} == {"nodes.txt", "out.txt"}
    Path("folder").mkdir()
    assert fails("assign", "-", "--nodes", "nodes.txt", "--output", "folder", stdin="1\n") == (
        "folder: cannot be written: Is a directory"
    )


# -- terminals and lengths

ESCAPE = "\x1b]0;owned\x07\x1b[31m\u202e"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_rows_on_a_terminal_do_not_steer_it(ring):
    """Elsewhere they are what they were."""
    import pty  # noqa: PLC0415 - POSIX alone has it

    Path("in.csv").write_text(f'tail,x\na,"{ESCAPE}\té"\n', encoding="utf-8")
    pq.write_table(pa.table({"tail": ["a"], "x": [ESCAPE]}), "in.parquet")
    assert ESCAPE in run("assign", "in.csv", *ASSIGN)
    for name in ("in.csv", "in.parquet"):
        leader, follower = pty.openpty()
        subprocess.run([sys.executable, "-m", "ringward", "assign", name, *ASSIGN], stdout=follower, check=True)
        os.close(follower)
        shown = os.read(leader, 1 << 16).decode()
        os.close(leader)
        assert r"\x1b]0;owned\x07\x1b[31m\u202e" in shown
        assert shown.replace("\r\n", "").replace("\t", "").isprintable()
        assert ring.route("a") in shown


def test_what_files_and_flags_hold_does_not_steer_the_terminal():
    """Names of nodes, columns, files and flags, in errors and in what is printed."""
    named = json.dumps(["a", f"b{ESCAPE}"])
    Path("n.json").write_text(named)
    Path("one.json").write_text('["a"]')
    Path("h.csv").write_text(f"x{ESCAPE},y\n1,2\n", encoding="utf-8")
    Path("n.csv").write_text(f"x{ESCAPE}\n1\n", encoding="utf-8")
    shown = [
        fails("assign", "h.csv", *ASSIGN),
        fails("report", "--nodes", "n.csv"),
        fails("report", "--nodes", f"none{ESCAPE}"),
        fails("report", "--nodes", "nodes.txt", "--down", ESCAPE),
        fails("assign", "h.csv", "--key", ESCAPE, "--nodes", "nodes.txt"),
        fails("assign", "h.csv", "--key", "y", "--nodes", "nodes.txt", "--output", f"no/{ESCAPE}"),
        fails("assign", f"q{ESCAPE}.json", "--nodes", "nodes.txt"),
        fails("assign", "h.csv", "--key", ESCAPE, "--no-header", "--nodes", "nodes.txt", code=2),
        fails("assign", "-", "--binary", ESCAPE, "--nodes", "nodes.txt", code=2),
        fails(f"command{ESCAPE}", code=2),
        fails(f"--flag{ESCAPE}", code=2),
        fails("report", f"--flag{ESCAPE}", code=2),
        fails("report", f"more{ESCAPE}", "--nodes", "nodes.txt", code=2),
        run("plan", "n.json", "one.json"),
        run("plan", "one.json", "n.json"),
        run("report", "--nodes", "n.json"),
        run("explain", f"key{ESCAPE}", "--nodes", "n.json"),
    ]
    for text in shown:
        assert text.replace("\n", "").isprintable(), text


def test_errors_stay_short_whatever_they_are_about():
    """Some were as long as the file: 7.9 MB."""
    long = "x" * 300_000
    Path("n.json").write_text(json.dumps([long, long]))
    Path("h.csv").write_text(f"{','.join(f'column{i}' for i in range(100_000))}\n")
    Path("wide.csv").write_text(f"{long}\n{long}\n")
    pq.write_table(pa.table({f"column{i}": [1] for i in range(2_000)}), "wide.parquet")
    for message in (
        fails("report", "--nodes", "n.json"),
        fails("report", "--nodes", "h.csv"),
        fails("report", "--nodes", "wide.csv"),
        fails("assign", "h.csv", *ASSIGN),
        fails("assign", "h.csv", "--key", long[:100_000], "--nodes", "nodes.txt"),
        fails("assign", "wide.parquet", *ASSIGN),
        fails("assign", "-", "--int", "--nodes", "nodes.txt", stdin=f"{long}\n"),
        fails("report", "--nodes", "nodes.txt", "--down", long[:100_000]),
        fails("report", "--nodes", "x" * 100_000),
    ):
        assert len(message) <= 700
    assert len(run("explain", long[:100_000], "--nodes", "nodes.txt")) < 2_000
