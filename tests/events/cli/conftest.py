"""Each test of `ringward events` runs in a folder of its own."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from command import run
from event_commands import HEADER, ROWS


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def table():
    """A small CSV file, and its rows as dicts."""
    with Path("rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *ROWS])
    return [dict(zip(HEADER, row, strict=True)) for row in ROWS]


@pytest.fixture
def filled(table):
    """A file with the rows as events."""
    run("events", "publish", "e.db", "rows.csv", "--key", "tail", "--id", "no")
    return table
