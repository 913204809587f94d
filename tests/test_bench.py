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


@pytest.mark.parametrize(("most", "told", "code"), [("1e9", "yes", 0), ("1e-9", "**no**", 1)])
def test_a_new_benchmark_is_one_file(tmp_path: Path, most: str, told: str, code: int) -> None:
    """The example of docs/contributing.md is found, run, held against its bound, recorded and written down."""
    bench, document = tmp_path / "bench", tmp_path / "docs" / "performance.md"
    shutil.copytree(BENCH / "harness", bench / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run.py", "measure.py"):
        shutil.copy(BENCH / name, bench)
    for folder in (bench / "results", bench / "some", document.parent):
        folder.mkdir()
    page = (BENCH.parent / "docs" / "contributing.md").read_text(encoding="utf-8")
    example = page.partition("```py\n")[2].partition("```")[0]
    (bench / "some" / "bench_sorting.py").write_text(example.replace("at_most=2", f"at_most={most}"))
    document.write_text("<!-- measured: sorting -->\n<!-- end: sorting -->\n")

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
