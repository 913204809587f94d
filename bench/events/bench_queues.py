"""Other queues on a local file, each as its documentation has it, and what all of them promise beside the processor."""

from __future__ import annotations

from functools import partial

from harness.catalogue import works_of
from harness.declare import Case, Written
from harness.markdown import table

from events.flights import columns
from events.peers import KNOWN, LEFT_OUT, OURS, PROMISES, WAYS, called, installed, versions, work_of
from events.rates import rates
from events.timing import DOCUMENT, few, timed

ONE_THREAD_EACH = ["events/bench_end_to_end.py::one-after", "events/bench_end_to_end.py::one-meanwhile"]
PLAIN = "events/bench_end_to_end.py::plain"


def through(package, mode, effort):
    """A peer's way through the first events."""
    kind = KNOWN[package]
    count = min(few(effort), getattr(kind, "events_most", few(effort)))
    _, payloads, _ = columns(count)
    handled = []
    queue = kind(effort.folder)
    result = timed(count, lambda: getattr(queue, mode)(payloads, handled.append))
    assert len(handled) == count
    return {"": result}


def everything(_effort):
    """The versions of all that is compared."""
    import sqlite3

    import apsw

    ours = {"apsw": apsw.apsw_version(), "SQLite": apsw.sqlite_lib_version(), "sqlite3": sqlite3.sqlite_version}
    return {"ours": ours, "peers": versions()}


def about(results):
    """Where all that was measured."""
    machine = results.machine(PLAIN)
    ours, peers = results.runs(work("versions", "ours"))[0], results.runs(work("versions", "peers"))[0]
    told = ", ".join(f"{name} {number}" for name, number in peers.items())
    return (
        f"- {machine['system']}: {machine['cpu']}; {machine['date']}; {len(results.runs(PLAIN))} runs\n"
        f"- {machine['python']}, ringward {machine['ringward']}, apsw {ours['apsw']}, SQLite {ours['SQLite']}\n"
        f"- {told}, on SQLite {ours['sqlite3']} of the standard library\n"
        f"- making 4 KiB durable on that disk: {results.least(OVERWRITTEN) * 1e6:.0f} µs, and at the end of a file, which"
        f" becomes longer by it: {results.least(LONGER) * 1e6:.0f} µs"
    )


def promises(results):
    """What each peer promises, how often it syncs an event, and how many times as many events a second it does as we do."""
    singly = min(ONE_THREAD_EACH, key=results.least)
    rows = [("ringward", *OURS, synced(results, singly), "1", synced(results, PLAIN), "1")]
    for package in results.runs(work("versions", "peers"))[0]:
        one, many = work_of(package, "singly"), work_of(package, "batched")
        rows.append((
            package, *KNOWN[package].promises,
            synced(results, one), beside(results, one, singly), synced(results, many), beside(results, many, PLAIN),
        ))  # fmt: skip
    head = ("", *PROMISES, "syncs, singly", "× ringward", "syncs, batched", "× ringward")
    left_out = "; ".join(f"{name}, which {why}" for name, why in LEFT_OUT.items())
    return f"{table(head, rows)}\n\nLeft out: {left_out}."


def synced(results, of):
    """How often an event is synced, if that was counted."""
    row = f"events/bench_syncs.py::counted[{of}]"
    return f"{results.least(row, 'syncs'):.2f}" if row in results else ""


def beside(results, theirs, ours):
    """So many times as many events a second."""
    return f"{results.least(ours) / results.least(theirs):.2f}" if theirs in results else ""


CASES = {
    "versions": Case(everything, runs_most=1),
    **{f"{package}-{mode}": Case(partial(through, package, mode)) for package, mode in WAYS if installed(package)},
}
work = works_of(__file__)
OVERWRITTEN, LONGER = "events/bench_disk.py::sync[overwritten]", "events/bench_disk.py::sync[longer]"
VERSIONS = {work("versions", "ours"), work("versions", "peers")}
THEIRS = [work_of(package, mode) for package, mode in WAYS]
TABLES = [
    Written(DOCUMENT, "events-about", about, {PLAIN, OVERWRITTEN, LONGER, *VERSIONS}),
    rates(*((f"{called(of)}: put, get and acknowledge", of) for of in THEIRS)),
    Written(DOCUMENT, "events-peers", promises, {PLAIN, *ONE_THREAD_EACH, *VERSIONS}),
]
