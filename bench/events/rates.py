"""The table of all that was measured with files, and that of the CPU which an event takes."""

from __future__ import annotations

from harness.declare import OK, Figure, Row, Table

from events.timing import DOCUMENT, a_second, microseconds


def rates(*rows):
    """The table of rates, of (label, work) each."""
    head = ("work", "events", "events a second", "µs an event", "µs of CPU")
    return Table(DOCUMENT, "events-rates", head, [
        Row(label, Figure(work, "{:,}".format, "count"), Figure(work, a_second), Figure(work, microseconds),
            Figure(work, microseconds, "cpu_s"))
        for label, work in rows
    ])  # fmt: skip


def of_cpu(*rows):
    """The table of CPU, of (label, work, µs at most) each."""
    return Table(DOCUMENT, "events-cpu", ("one core", "µs of CPU an event", "at most", "on the wall", "ok"), [
        Row(label, Figure(work, microseconds, "cpu_s", at_most=most * 1e-6), f"{most:g}", Figure(work, microseconds), OK)
        for label, work, most in rows
    ])  # fmt: skip
