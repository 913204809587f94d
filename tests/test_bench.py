"""The benchmarks: what the documents say of them is what was recorded, and a new one is one file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="not in the source distribution")


def run(bench: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, str(bench / "run.py"), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_documents_say_what_is_recorded() -> None:
    """Every table between markers is the rendering of `bench/results`."""
    done = run(BENCH, "--check")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """The harness alone, with a document that has room for one table."""
    copy = tmp_path / "bench"
    shutil.copytree(BENCH / "harness", copy / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run.py", "measure.py"):
        shutil.copy(BENCH / name, copy)
    for folder in (copy / "results", copy / "some", tmp_path / "docs"):
        folder.mkdir()
    (tmp_path / "docs" / "performance.md").write_text("<!-- measured: sorting -->\n<!-- end: sorting -->\n")
    return copy


@pytest.mark.parametrize(("most", "told", "code"), [("1e9", "yes", 0), ("1e-9", "**no**", 1)])
def test_a_new_benchmark_is_one_file(bench: Path, most: str, told: str, code: int) -> None:
    """The example of docs/contributing.md is found, run, held against its bound, recorded and written down."""
    document = bench.parent / "docs" / "performance.md"
    page = (BENCH.parent / "docs" / "contributing.md").read_text(encoding="utf-8")
    example = page.partition("```py\n")[2].partition("```")[0]
    (bench / "some" / "bench_sorting.py").write_text(example.replace("at_most=2", f"at_most={most}"))

    done = run(bench, "--runs", "2", "--update")
    assert done.returncode == code, done.stderr
    table = document.read_text()
    assert re.search(rf"\n\| sorted backwards \| [\d.]+ / [\d.]+ \| {re.escape(told)} \|\n", table)
    machine, *cells = map(json.loads, (bench / "results" / "some.jsonl").read_text().splitlines())
    works = [f"some/bench_sorting.py::sorting[{part}]" for part in ("backwards", "forwards")]
    assert [cell["row"] for cell in cells] == works
    assert all(cell["machine"] == machine["machine"] and len(cell["runs"]) == 2 for cell in cells)
    assert run(bench, "--check").returncode == 0
    document.write_text(table.replace(told, "perhaps"))
    assert run(bench, "--check").returncode == 1


FIXED = """\
from pathlib import Path
from harness.catalogue import works_of
from harness.declare import OK, Case, Ratio, Row, Table

def fixed(effort):
    runs = Path(__file__).with_name("runs")
    run = len(runs.read_text()) if runs.exists() else 0
    runs.write_text("x" * (run + 1))
    own, reference = [(30, 2), (40, 2), (100, 4)][run]
    return {"own": {"count": 10, "wall_s": own}, "reference": {"wall_s": reference}}

CASES = {"fixed": Case(fixed)}
work = works_of(__file__)
RATIO = Ratio(work("fixed", "own"), work("fixed", "reference"), at_most=1.9)
TABLES = [Table("performance.md", "sorting", ("work", "ratio", "ok"), [Row("fixed", RATIO, OK)])]
"""


def test_a_bound_is_held_against_the_median_of_the_ratios(bench: Path) -> None:
    """The ratio of the minima, 3 / 2, is within the bound of 1.9; that of most runs is not. Then a case fails."""
    (bench / "some" / "bench_fixed.py").write_text(FIXED)
    done = run(bench, "--runs", "3", "--update")
    assert done.returncode == 1
    assert "| fixed | 1.50 / 2.00 | **no** |" in done.stdout
    recorded = (bench / "results" / "some.jsonl").read_text()
    done = run(bench, "--runs", "1")  # there is no fourth run
    assert done.returncode == 2
    assert "FAILED some/bench_fixed.py::fixed[failed]: IndexError: list index out of range" in done.stderr
    assert (bench / "results" / "some.jsonl").read_text() == recorded


def test_a_pattern_that_nothing_has_is_said(bench: Path) -> None:
    """Nothing is run, and it is no success."""
    done = run(bench, "--rows", "nonsense")
    assert done.returncode == 1
    assert "nothing here has nonsense in its name" in done.stderr
