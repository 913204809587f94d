"""Queues on a local file beside which the processor is measured, each as its documentation has it, syncing every commit.

A peer is a class with `singly` and, if the package can do more than one event a commit, `batched`; both store the
payloads, take them out again, pass each to the handler and acknowledge it. `OLDER` are those that the bounds are held
against, `NEWER` stand beside them; one of the older also does so in several threads `together`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from events.newer_peers import Dbos, LeanQueue, LocalQueue, Nque, SimpleBroker
from events.older_peers import THREADS, Huey, LiteQueue, PersistQueue

OLDER = (Huey, PersistQueue, LiteQueue)
NEWER = (LeanQueue, Nque, LocalQueue, SimpleBroker, Dbos)
KNOWN = {kind.package: kind for kind in (*OLDER, *NEWER)}
MODES = {"singly": "singly", "together": f"singly, {THREADS} threads", "batched": "batched"}  # method → in tables
PROMISES = (
    *("order of a key", "finds duplicates", "fence", "acknowledges", "commits a handler's writes with it"),
)  # fmt: skip
OURS = ("yes", "by id", "epoch", "yes", "yes")
LEFT_OUT = {
    "lmdb-queue": "does not sync",
    "taskito": "is at `synchronous=NORMAL`, which cannot be changed: a commit does not sync",
}


WAYS = [(package, mode) for package, kind in KNOWN.items() for mode in MODES if getattr(kind, mode)]


def work_of(package, mode):
    """The work of `bench_queues.py` that measures a peer's way."""
    return f"events/bench_queues.py::{package}-{mode}"


def called(work):
    """How tables call it."""
    return next(f"{package}, {MODES[mode]}" for package, mode in WAYS if work_of(package, mode) == work)


OLDER_WAYS = [(package, mode) for package, mode in WAYS if KNOWN[package] in OLDER]
OLDER_SINGLY = [work_of(package, mode) for package, mode in OLDER_WAYS if mode != "batched"]
OLDER_BATCHED = [work_of(package, mode) for package, mode in OLDER_WAYS if mode == "batched"]


def installed(package):
    """Whether a peer is there."""
    return find_spec(KNOWN[package].module) is not None


def versions():
    """Package → version."""
    found = {}
    for package in filter(installed, KNOWN):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    return found
