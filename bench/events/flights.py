"""The events of the benchmarks: flights of New York, keyed by aircraft."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

FLIGHTS = Path(__file__).parents[2] / "tests" / "data" / "flights.csv.gz"
BATCH = 1_000


def columns(count=None):
    """Keys, payloads and ids; over 80 bytes an event."""
    with gzip.open(FLIGHTS, "rt", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        lines = [(row[7], ",".join(row).encode()) for _, row in zip(range(count or 10**9), rows, strict=False)]
    keys, payloads = (list(column) for column in zip(*lines, strict=True))
    return keys, payloads, [f"flight-{number:06d}" for number in range(len(keys))]


def batches(*lists, size=BATCH):
    """The same slice of each list, one after the other."""
    for begin in range(0, len(lists[0]), size):
        yield tuple(each[begin : begin + size] for each in lists)
