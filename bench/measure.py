"""Measures one case in this process: `python bench/measure.py CASE [--folder FOLDER] [--quick | --count N]`.

`run.py` calls it for each case; so can a profiler, `taskset`, `strace` or you. Prints JSON: part → figure → number.

    taskset --cpu-list 1 python bench/measure.py events/bench_publish.py::one --folder DISK
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from harness.catalogue import case
from harness.declare import Effort


def main():
    parser = argparse.ArgumentParser(prog="python bench/measure.py", description=__doc__.partition("\n")[0])
    parser.add_argument("case", help="file::case, as `run.py --list` has it")
    parser.add_argument("--folder", type=Path, help="for its files (default: a new one for temporary files)")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it works")
    parser.add_argument("--count", type=int, help="how many events, where the case is nothing but these")
    chosen = parser.parse_args()
    measured = case(chosen.case)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=chosen.folder) as folder:
        os.chdir(folder)
        effort = Effort(Path(folder), quick=chosen.quick, count=chosen.count)
        print(json.dumps(measured.measure(effort)))
        os.chdir("/")


if __name__ == "__main__":
    main()
