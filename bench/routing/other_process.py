"""Hands what another process measured to pytest-benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

from harness.catalogue import BENCH


class RecordedClock:
    """A timer that moves by what another process measured, so that its rounds become statistics here."""

    def __init__(self):
        self.now_s = 0.0
        self.rounds_s = iter(())

    def __call__(self):
        """The time, in seconds, as pytest-benchmark asks for it."""
        return self.now_s

    def play(self):
        """Advance by the next recorded round."""
        self.now_s += next(self.rounds_s, 0.0)


clock = RecordedClock()


@cache
def in_another_process(module, *arguments, **environment):
    """Run a module of this folder, once a session; the JSON that it prints."""
    command = [sys.executable, "-m", f"routing.{module}", *map(str, arguments)]
    inside = {**os.environ, **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=inside, cwd=BENCH)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def replay(benchmark, rounds_s):
    """Make recorded rounds, in seconds a key, those of `benchmark`."""
    clock.rounds_s = iter(rounds_s)
    benchmark.extra_info["count"] = 1
    benchmark.pedantic(clock.play, rounds=len(rounds_s))
