"""How often each way through the events makes something durable, as the kernel sees it: `python bench/events/syncs.py`.

Each case of `body.py` that stores events runs under `strace` (Linux; `apt-get install strace`), once with few events and once with
more: the difference is what an event costs. Writes `syncs.json`, which `run.py` puts into its tables. About a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import body  # noqa: E402

RESULTS = HERE / "syncs.json"
CALLS = ("fsync", "fdatasync", "msync", "sync_file_range")
FEW, MORE = 50, 100
MANY = 1_000, 3_000  # where a commit has many
OURS = ("one-at-a-time", "one-meanwhile", "plain")
TIMEOUT_S = 120
MISSED, FAILED = 1, 2


def counted(case, events, folder):
    """How many calls make something durable."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        report = Path(place) / "calls"
        trace = ["strace", "-f", "-qq", "-o", str(report), "-e", f"trace={','.join(CALLS)}"]
        command = [*trace, sys.executable, str(HERE / "body.py"), case, place, f"--events={events}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode:
            print(case, done.stderr, file=sys.stderr)
            sys.exit(FAILED)
        lines = report.read_text().splitlines()
    return sum(f" {call}(" in line for line in lines for call in CALLS)


def main():
    parser = argparse.ArgumentParser(prog="python bench/events/syncs.py", description=__doc__)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where files lie (default %(default)s)")
    parser.add_argument("--only", help="a case; writes nothing")
    chosen = parser.parse_args()
    if shutil.which("strace") is None:
        print("strace is not here: nothing was counted")
        return 0
    known = body.cases(Path(chosen.folder), quick=True)
    names = [name for name in known if name in OURS or ("/" in name and not name.endswith("/together"))]
    found = {}
    for name in [chosen.only] if chosen.only else names:
        few, more = MANY if name == "plain" or name.endswith("/batched") else (FEW, MORE)
        found[name] = round((counted(name, more, chosen.folder) - counted(name, few, chosen.folder)) / (more - few), 3)
        print(f"{name}: {found[name]:g} syncs an event", flush=True)
    if not chosen.only:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    unsynced = [name for name, syncs in found.items() if syncs <= 0]
    if unsynced:
        print("these sync nothing, and do not belong here:", *unsynced)
    return MISSED if unsynced else 0


if __name__ == "__main__":
    sys.exit(main())
