"""How much memory `ringward assign` needs for files of any length.

Generates Parquet, Arrow and CSV files, runs the command line on each and on a recorded trace in a process of its own, and
tells the peak of that process's resident memory beside the size of the file. POSIX only. About 3 GB of disk, five minutes.
A process's peak begins with that of the one that started it, so this one imports nothing large.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from harness.catalogue import works_of
from harness.declare import Case, Effort, Figure, Row, Table

TRACE = Path(__file__).parents[2] / "tests" / "data" / "cache2k_orm-busy.trace.xz"
GENERATOR = Path(__file__).with_name("generated_rows.py")
NODES = 1000
ROWS, ROWS_QUICK = 50_000_000, 50_000
KINDS = {"parquet": ("Parquet", 1), "arrow": ("Arrow", 1), "csv": ("CSV", 10)}  # how it is told; a part of the rows
PARTS = {"tenth": 10, "all": 1}
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
MIB = 1 << 20


def assigned(rows: int, source: Path, *flags: str) -> dict[str, float]:
    """Run `ringward assign` on a file; what it needed."""
    nodes, output = Path("nodes.txt"), Path("owners").with_suffix(source.suffix.replace(".xz", ".parquet"))
    nodes.write_text("".join(f"node{i}\n" for i in range(NODES)))
    command = [sys.executable, "-m", "ringward", "assign", source, *flags, "--nodes", nodes, "--output", output]
    start = time.perf_counter()
    child = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    assert child.returncode == 0, command
    return {
        "count": rows,
        "read_mib": source.stat().st_size / MIB,
        "written_mib": output.stat().st_size / MIB,
        "peak_mib": usage.ru_maxrss * RSS_UNIT / MIB,
        "wall_s": seconds,
    }


def generated(kind: str, effort: Effort) -> dict[str, dict[str, float]]:
    """A file of a kind, with a tenth of the rows and with all of them."""
    rows, found = (effort.count or (ROWS_QUICK if effort.quick else ROWS)) // KINDS[kind][1], {}
    for part, share in PARTS.items():
        source = effort.folder / f"events.{kind}"
        subprocess.run([sys.executable, GENERATOR, source, str(rows // share)], check=True)
        found[part] = assigned(rows // share, source, "--key", "key")
    return found


def trace(_effort: Effort) -> dict[str, dict[str, float]]:
    """The recorded trace: integers of four bytes."""
    with lzma.open(TRACE) as file:
        rows = file.seek(0, os.SEEK_END) // 4
    return {"": assigned(rows, TRACE, "--binary", ">u4")}


CASES = {
    **{kind: Case(partial(generated, kind), all_cores=True, timeout_s=900) for kind in KINDS},
    "trace": Case(trace, all_cores=True),
}
work = works_of(__file__)


def mib(size: float) -> str:
    """A size, with a digit after the point where it is small."""
    return f"{size:,.0f}" if size >= 10 else f"{size:.1f}"


def told(label: str, row: str) -> Row:
    """One row of the table."""
    sizes = (Figure(row, mib, figure) for figure in ("read_mib", "written_mib", "peak_mib"))
    return Row(label, Figure(row, "{:,}".format, "count"), *sizes)


TABLES = [
    Table("cli.md", "peak-memory", ("file", "rows", "read, MiB", "written, MiB", "peak memory, MiB"), [
        *(told(label, work(kind, part)) for kind, (label, _) in KINDS.items() for part in PARTS),
        told("trace of integers, to Parquet", work("trace")),
    ]),
]  # fmt: skip
