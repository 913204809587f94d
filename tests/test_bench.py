"""The benchmarks: what the documents say of them is what was recorded, and a new one is one file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
NEW = '''\
"""Counting."""
from harness.catalogue import works_of
from harness.declare import OK, Case, Ratio, Row, Table

def count(effort):
    return {"work": {"count": 10, "wall_s": 3e-6}, "reference": {"count": 10, "wall_s": 2e-6}}

CASES = {"count": Case(count)}
work = works_of(__file__)
RATIO = Ratio(work("count", "work"), work("count", "reference"), at_most=MOST)
TABLES = [Table("new.md", "new", ("", "ratio", "ok"), [Row("counting", RATIO, OK)])]
'''

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="not in the source distribution")


def run(bench: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, str(bench / "run.py"), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_documents_say_what_is_recorded() -> None:
    """Every table between markers is the rendering of `bench/results`."""
    done = run(BENCH, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("most", "told", "code"), [("2", "yes", 0), ("1.2", "**no**", 1)])
def test_a_new_benchmark_is_one_file(tmp_path: Path, most: str, told: str, code: int) -> None:
    """A file that declares a case and a table is found, run, held against its bound, recorded and written down."""
    bench, document = tmp_path / "bench", tmp_path / "docs" / "new.md"
    shutil.copytree(BENCH / "harness", bench / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run.py", "measure.py"):
        shutil.copy(BENCH / name, bench)
    for folder in (bench / "results", bench / "some", document.parent):
        folder.mkdir()
    (bench / "some" / "bench_counting.py").write_text(NEW.replace("MOST", most))
    document.write_text("<!-- measured: new -->\n<!-- end: new -->\n")

    done = run(bench, "--runs", "2", "--update")
    assert done.returncode == code, done.stderr
    assert f"| counting | 1.50 / 1.50 | {told} |" in document.read_text()
    machine, *cells = map(json.loads, (bench / "results" / "some.jsonl").read_text().splitlines())
    assert [cell["row"] for cell in cells] == [
        f"some/bench_counting.py::count[{part}]" for part in ("work", "reference")
    ]
    assert all(cell["machine"] == machine["machine"] and len(cell["runs"]) == 2 for cell in cells)
    assert run(bench, "--check").returncode == 0
    document.write_text(document.read_text().replace("1.50", "1.49"))
    assert run(bench, "--check").returncode == 1
