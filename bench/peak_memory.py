"""How much memory `ringward assign` needs for files of any length: `python bench/peak_memory.py`.

Generates Parquet, Arrow and CSV files in a temporary directory, runs the command line on each and on a recorded trace in
a process of its own, and prints the peak of that process's resident memory beside the size of the file. POSIX only.
A process's peak begins with that of the one that started it, so this one imports nothing large.

    python bench/peak_memory.py                       # 50 million rows: about 3 GB of disk, five minutes
    python bench/peak_memory.py --rows 1000000
    python bench/peak_memory.py --trace some.trace.xz --dtype '<i8'
"""

from __future__ import annotations

import argparse
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRACE = Path(__file__).parents[1] / "tests" / "data" / "cache2k_orm-busy.trace.xz"
GENERATOR = Path(__file__).with_name("generated_rows.py")
NODES = 1000
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the command line read, wrote and needed."""

    what: str
    rows: int
    read_bytes: int
    written_bytes: int
    peak_bytes: int
    seconds: float


def measured(what: str, rows: int, source: Path, output: Path, *flags: str) -> Run:
    """Run `ringward assign` on a file, and return what it needed."""
    nodes = output.with_name("nodes.txt")
    nodes.write_text("".join(f"node{i}\n" for i in range(NODES)))
    command = [sys.executable, "-m", "ringward", "assign", source, *flags, "--nodes", nodes, "--output", output]
    start = time.perf_counter()
    child = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    assert child.returncode == 0, command
    run = Run(what, rows, source.stat().st_size, output.stat().st_size, usage.ru_maxrss * RSS_UNIT, seconds)
    output.unlink()
    return run


def runs(rows: int, trace: Path, dtype: str) -> Iterator[Run]:
    """Yield a run for each kind of file, at a tenth of the rows and at all of them, and one for the trace."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix, share in ((".parquet", 1), (".arrow", 1), (".csv", 10)):
            for size in (rows // share // 10, rows // share):
                source = Path(folder, f"events{suffix}")
                subprocess.run([sys.executable, GENERATOR, source, str(size)], check=True)
                yield measured(f"generated {suffix}", size, source, Path(folder, f"owners{suffix}"), "--key", "key")
                source.unlink()
        output = Path(folder, "owners.parquet")
        few = Path(folder, "few")
        few.write_bytes(bytes(400))
        yield measured("nothing but 100 integers", 100, few, output, "--binary", ">u4")
        yield measured(trace.name, trace_rows(trace, dtype), trace, output, "--binary", dtype)


def trace_rows(trace: Path, dtype: str) -> int:
    """Return how many accesses a trace holds; the dtype ends with their size in bytes."""
    with lzma.open(trace) if trace.suffix == ".xz" else trace.open("rb") as file:
        return file.seek(0, os.SEEK_END) // int(dtype[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--dtype", default=">u4", help="of the trace's keys")
    args = parser.parse_args()
    print("| file | rows | read, MiB | written, MiB | peak memory, MiB | s | million rows/s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for run in runs(args.rows, args.trace, args.dtype):
        sizes = " | ".join(f"{size / MIB:,.1f}" for size in (run.read_bytes, run.written_bytes, run.peak_bytes))
        rate = run.rows / run.seconds / 1e6
        print(f"| {run.what} | {run.rows:,} | {sizes} | {run.seconds:.1f} | {rate:.2f} |", flush=True)


if __name__ == "__main__":
    main()
