"""What the tests of `ringward events` share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import run

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
HEADER = ["tail", "dest", "no"]
ROWS = [[f"N{i % 5}", f"to {i}", str(i)] for i in range(30)]


def lines(text):
    """JSON lines as objects."""
    return [json.loads(line) for line in text.splitlines()]


def consumed(*flags, file="e.db", until="idle"):
    """Consume what there is."""
    return lines(run("events", "consume", file, "--group", "g", "--until", until, *flags))


def handlers(text):
    """Write a module of handlers."""
    Path("my_handlers.py").write_text(text, encoding="utf-8")
    sys.modules.pop("my_handlers", None)


class Program(subprocess.Popen):
    """A process that ends when its test fails."""

    def __exit__(self, kind, *more):
        """Wait for its end."""
        if kind is not None:
            self.kill()
        super().__exit__(kind, *more)


def program(*args, **options):
    """Start `python -m ringward events`."""
    command = [sys.executable, "-m", "ringward", "events", *map(str, args)]
    return Program(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
