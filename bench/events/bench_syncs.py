"""How often each way through the events makes something durable, as the kernel sees it.

Each case that stores events runs under `strace` (Linux; `apt-get install strace`), once with few events and once with
more: the difference is what an event costs. About a minute. Nothing is counted where strace is not installed.
"""

from __future__ import annotations

import shutil
import subprocess

from harness.declare import Case
from harness.processes import command_of

from events.peers import WAYS, installed, work_of

CALLS = ("fsync", "fdatasync", "msync", "sync_file_range")
FEW, MORE = 50, 100
MANY = 1_000, 3_000  # where a commit has many
PLAIN = "events/bench_end_to_end.py::plain"
OURS = (PLAIN, "events/bench_end_to_end.py::one-after", "events/bench_end_to_end.py::one-meanwhile")
THEIRS = [work_of(*way) for way in WAYS if way[1] != "together" and installed(way[0])]
TIMEOUT_S = 120


def calls(case, events, folder):
    """How many calls make something durable."""
    report = folder / "calls"
    trace = ["strace", "-f", "-qq", "-o", str(report), "-e", f"trace={','.join(CALLS)}"]
    command = [*trace, *command_of(case, str(folder), count=events)]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
    return sum(f" {call}(" in line for line in report.read_text().splitlines() for call in CALLS)


def counted(effort):
    """Calls an event, of each way; who makes none does not belong here."""
    if shutil.which("strace") is None:
        return {}
    found = {}
    for case in OURS[:1] if effort.quick else (*OURS, *THEIRS):
        few, more = MANY if case == PLAIN or case.endswith("-batched") else (FEW, MORE)
        an_event = (calls(case, more, effort.folder) - calls(case, few, effort.folder)) / (more - few)
        assert an_event > 0, f"{case} syncs nothing"
        found[case] = {"syncs": round(an_event, 3)}
    return found


CASES = {"counted": Case(counted, runs_most=1)}
