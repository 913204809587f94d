"""Queues on a local file beside which the processor is measured, each as its documentation has it, syncing every commit.

A peer is a class with `singly` and, if the package can do more than one event a commit, `batched`; both store the
payloads, take them out again, pass each to the handler and acknowledge it. `OLDER` are those that the bounds are held
against, `NEWER` stand beside them; one of the older also does so in several threads `together`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from newer_peers import Dbos, LeanQueue, LocalQueue, Nque, SimpleBroker
from older_peers import THREADS, Huey, LiteQueue, PersistQueue

OLDER = (Huey, PersistQueue, LiteQueue)
NEWER = (LeanQueue, Nque, LocalQueue, SimpleBroker, Dbos)
MODES = {"singly": "singly", "together": f"singly, {THREADS} threads", "batched": "batched"}  # method → in tables
PROMISES = (
    *("order of a key", "finds duplicates", "fence", "acknowledges", "commits a handler's writes with it"),
)  # fmt: skip
OURS = ("yes", "by id", "epoch", "yes", "yes")
LEFT_OUT = {
    "lmdb-queue": "does not sync",
    "taskito": "is at `synchronous=NORMAL`, which cannot be changed: a commit does not sync",
}


def installed(kind):
    """Whether a peer is there."""
    return find_spec(kind.module) is not None


PEERS = {kind.package: kind for kind in (*OLDER, *NEWER) if installed(kind)}
MISSING = [kind.package for kind in (*OLDER, *NEWER) if not installed(kind)]


def versions():
    """Package → version."""
    found = {}
    for package in PEERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    return found
