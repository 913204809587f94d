"""Rounds of kill -9: producers and workers that are killed at random moments lose, double and reorder nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from events import kill_rounds


def test_rounds_of_kill_9_lose_nothing_double_nothing_and_keep_the_order_of_keys():
    """`RINGWARD_KILLS` says how many rounds. One that fails prints its seed and the command that runs it again."""
    rounds = int(os.environ.get("RINGWARD_KILLS", "8"))
    command = [sys.executable, Path(kill_rounds.__file__), "--rounds", str(rounds)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30 + 5 * rounds)
    assert ended.returncode == 0, ended.stderr
    assert "nothing lost, doubled or out of order" in ended.stdout
