"""This version beside another one, in turn on the same machine: `python bench/events/against.py PYTHON BODY`.

    git worktree add ../before v0.1.0 && python -m venv ../before/.venv && ../before/.venv/bin/pip install ../before'[bench]'
    python bench/events/against.py ../before/.venv/bin/python ../before/bench/events/body.py --folder DISK

What a machine does to figures from one day to the next is more than what most changes do: so who changes something that is done
for each event measures both versions in one go. Each case runs in a process of its own, on one core. Writes the table of
docs/events-performance.md when all cases are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from pinned import pin  # noqa: E402
from table import machine, written  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "events-performance.md"
# Case, what it measured → how the table calls it.
CASES = {
    ("publish-one", "publish"): "publish one at a time",
    ("publish-one-4", "publish"): "publish one at a time, in 4 threads",
    ("publish-many", "publish"): "publish 1,000 at a time",
    ("plain", "events"): "end to end, plain handler",
    ("transactional", "events"): "end to end, transactional handler",
    ("one-at-a-time", "events"): "end to end one at a time, all published, then all handled",
    ("one-meanwhile", "events"): "end to end one at a time, published while others are handled",
    ("one-meanwhile-4", "events"): "the same, 4 threads that publish and 4 members",
    ("one-in-flight", "events"): "end to end one at a time, published when the one before is handled",
    ("memory", "then"): "in memory: publish, then handle",
    ("memory", "during"): "in memory: publish while they are handled",
}


def measured(python, body, case, folder):
    """One case in a process of its own: what it measured → microseconds an event, on the wall and of CPU."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        done = subprocess.run(
            [python, body, case, inside],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=pin if hasattr(os, "sched_setaffinity") else None,
        )
    return {
        what: (1e6 * wall / count, 1e6 * cpu / count) for what, (count, wall, cpu) in json.loads(done.stdout).items()
    }


def table(versions, named):
    """The least of the runs of either version."""
    rows = [
        "| µs an event | before | now | of CPU: before | now | now / before |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case, what in named:
        cells = [min(run[what][at] for run in version[case]) for at in (0, 1) for version in versions]
        figures = " | ".join(f"{cell:,.1f}" for cell in cells)
        rows.append(f"| {CASES[case, what]} | {figures} | {cells[1] / cells[0]:.2f} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(prog="python bench/events/against.py", description=__doc__.partition("\n")[0])
    parser.add_argument("python", help="of the environment that has the other version")
    parser.add_argument("body", help="the other version's bench/events/body.py")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where files lie (default %(default)s)")
    parser.add_argument("--only", nargs="*", choices=sorted({case for case, _ in CASES}), help="writes nothing")
    chosen = parser.parse_args()
    named = [name for name in CASES if not chosen.only or name[0] in chosen.only]
    both = [(chosen.python, chosen.body), (sys.executable, str(HERE / "body.py"))]
    versions = [{case: [] for case, _ in named} for _ in both]
    for case in versions[0]:
        for _ in range(chosen.runs):
            for version, (python, body) in zip(versions, both, strict=True):
                version[case].append(measured(python, body, case, chosen.folder))
        print(table(versions, [name for name in named if name[0] == case]).split("\n")[2:], file=sys.stderr, flush=True)
    text = table(versions, named)
    print(text)
    if not chosen.only:
        found = machine()
        about = f"{found['cpu']}; {found['date']}; {chosen.runs} runs in turn.\n\n"
        DOCUMENT.write_text(written(DOCUMENT.read_text(), {"events-against": about + text}))


if __name__ == "__main__":
    main()
