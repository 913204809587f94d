"""Counts the instructions of the core operations, and compares them with `instructions.json`.

`python bench/instructions.py` ends with exit code 1 when an operation executes more instructions
than recorded; `--update` records. Counts, unlike times, are the same in every run, but they belong
to an environment: compiler, Python, NumPy. In another one there is nothing to compare, which is said,
and no failure; nor is it one where valgrind is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import counted_operations
import numpy as np
from counted_operations import OPERATIONS, ROUNDS

import ringward as rw
from ringward._core import reader

COUNTED = Path(counted_operations.__file__)
RECORD = Path(__file__).with_suffix(".json")
TOLERANCE = 0.03
PROCESSES = 2
LEVELS = ("baseline", "avx2")  # what valgrind knows: no AVX-512
ON_COLUMNS = ("hash_keys", "assign", "apply")
INTERPRETER = "one key, dict[key]"
PASSED, REGRESSED = 0, 1


def compiler():
    """Name and major version, by what the compiler left in a compiled module."""
    found = re.search(rb"(GCC): \([^)]*\) (\d+)|(clang) version (\d+)", Path(reader.__file__).read_bytes())
    return b" ".join(filter(None, found.groups())).decode() if found else "unknown"


def cython():
    """Cython's modules share one that is named after its version."""
    full = next((name.removeprefix("_cython_") for name in sys.modules if name.startswith("_cython_")), "unknown")
    return minor(full.replace("_", "."))


def minor(version):
    """2.4.6 → 2.4."""
    return ".".join(version.split(".")[:2])


def environment():
    """What counts depend on, other than the code."""
    return {
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {minor(platform.python_version())}",
        "numpy": minor(np.__version__),
        "compiler": compiler(),
        "cython": cython(),
        "libc": " ".join(platform.libc_ver()),
        "interpreter": f"{count('baseline', [INTERPRETER])[0]:.0f} instructions a dict lookup",  # it tells builds of Python apart
    }


def count(level, names):
    """Instructions a key (or a call) of each of these operations, which one process runs after one another."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/out",
                   sys.executable, str(COUNTED), *names]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True,
                              env={**os.environ, "PYTHONHASHSEED": "0", "RINGWARD_CPU": level})  # fmt: skip
        if done.returncode:
            sys.exit(f"{names}, {level}:\n{done.stdout}{done.stderr}")
        # Dump 1 ends at the first mark; from there on, every second one is of a body, and in turn act and idle.
        dumps = [total(Path(folder, f"out.{2 * body + 2}")) for body in range(2 * ROUNDS * len(names))]
    per_name = (dumps[start : start + 2 * ROUNDS] for start in range(0, len(dumps), 2 * ROUNDS))
    rounds = zip(per_name, json.loads(done.stdout), strict=True)
    return [round((min(own[0::2]) - min(own[1::2])) / keys, 2) for own, keys in rounds]


def total(dump):
    return int(re.search(r"^summary: (\d+)", dump.read_text(), re.MULTILINE).group(1))


def processes(only):
    """Level and operations of each: all at the baseline, those on whole columns at the other levels too.

    Columns of a kind share a process. What remains depends on what ran before it, bytecode that
    Python specialised or memory that it freed, so each has its own.
    """
    for level in levels():
        alike = defaultdict(list)
        for name in OPERATIONS:
            on_column = name.startswith(ON_COLUMNS)
            if only in name and name != INTERPRETER and (level == LEVELS[0] or on_column):
                alike[name.partition(",")[0] if on_column else name].append(name)
        yield from ((level, tuple(names)) for names in alike.values())


def levels():
    """Those that both this machine and valgrind know."""
    return [level for level in LEVELS if level in rw.cpu().levels]


def counts(only):
    """Level → operation → instructions."""
    result = {level: {} for level in levels()}
    work = list(processes(only))
    with ThreadPoolExecutor(PROCESSES) as pool:
        measured = pool.map(lambda process: count(*process), work)
        for (level, names), instructions in zip(work, measured, strict=True):
            result[level].update(zip(names, instructions, strict=True))
    return result


def verdict(before, now):
    """What is wrong with a count, and whether it fails."""
    if before is None:
        return "not recorded: --update", True
    if now > before * (1 + TOLERANCE):
        return "MORE", True
    return ("less: --update holds on to it" if now < before * (1 - TOLERANCE) else ""), False


def compare(recorded, measured):
    """Print each operation beside its record; whether one has more instructions than it may."""
    print(f"{'level':8}  {'operation':34} {'recorded':>14} {'now':>14}  change")
    failed = False
    for level, operations in measured.items():
        for name, now in operations.items():
            before = recorded.get(level, {}).get(name)
            words, fails = verdict(before, now)
            failed |= fails
            change = f"{now / before - 1:+7.1%}" if before else "      -"
            print(f"{level:8}  {name:34} {before or 0:14,.2f} {now:14,.2f} {change}  {words}")
    return failed


def differences(recorded):
    """What is not as it was when the counts were recorded."""
    return [f"{name} {recorded.get(name, 'not recorded')}, here {now}"
            for name, now in environment().items() if recorded.get(name) != now]  # fmt: skip


def options():
    parser = argparse.ArgumentParser(prog="python bench/instructions.py", description=__doc__)
    parser.add_argument("--update", action="store_true", help=f"record the counts of this environment in {RECORD.name}")
    parser.add_argument("--only", metavar="TEXT", default="", help="operations whose name has this in it")
    return parser.parse_args()


def main():
    chosen = options()
    if shutil.which("valgrind") is None:
        print("NOTICE: no valgrind here, so instructions were NOT compared", file=sys.stderr)
        return PASSED
    if chosen.update:
        RECORD.write_text(json.dumps({"environment": environment(), "counts": counts("")}, indent=1) + "\n")
        return PASSED
    record = json.loads(RECORD.read_text())
    if other := differences(record["environment"]):
        print("NOTICE: instructions were NOT compared. They were recorded with", *other, sep="\n  ", file=sys.stderr)
        return PASSED
    if compare(record["counts"], counts(chosen.only)):
        print(f"more than {TOLERANCE:.0%} above the record: find out why, or justify `--update`", file=sys.stderr)
        return REGRESSED
    return PASSED


if __name__ == "__main__":
    sys.exit(main())
