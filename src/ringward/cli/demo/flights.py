"""The events of the demo: departures from New York, which the package carries."""

from __future__ import annotations

import csv
import gzip
import io
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Flight", "carried_flights"]


class Flight(NamedTuple):
    """One event: a plane leaves New York."""

    time: str
    tail: str
    dest: str


def carried_flights() -> list[Flight]:
    """The events that the package carries, in the order of time; see data/README.md."""
    packed = (files("ringward") / "data" / "flights.csv.gz").read_bytes()
    rows = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    next(rows)
    return [Flight(*row) for row in rows]
