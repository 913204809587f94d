"""Measures one peer at one size: single keys; columns, builds and changes; balance and movement.

Each returns work → figures, where an operation that the peer lacks is {"cannot": why}. How often and on how many keys is
decided by what a first call costs, so slow peers get fewer keys and no peer stands still.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from routing.workload import KEYS_HOT, NODES, POINTS_PER_NODE, text_keys

import ringward as rw
from peers.peer import Cannot

SORTED = NODES * POINTS_PER_NODE
NEW = "node-new"
NS = 1e9


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much a measurement may take."""

    rounds: int
    round_s: float  # what one round should take
    column_s: float  # what one round of a column may take at most
    changes_s: float  # for all rounds of builds, or of changes
    texts: int
    integers: int
    quality_s: float
    quality_keys: int


FULL = Amounts(20, 0.01, 0.06, 0.3, 200_000, 2_000_000, 4.0, 1_000_000)  # many short rounds: some are not disturbed
QUICK = Amounts(2, 0.002, 0.002, 0.01, 2_000, 10_000, 0.05, 10_000)


def elapsed(function, *args):
    """Seconds that one call takes."""
    start = perf_counter_ns()
    function(*args)
    return (perf_counter_ns() - start) / NS


def figures(seconds, count, **more):
    """What is kept of the rounds of one body: ns a key."""
    ns = [round_s * NS / count for round_s in seconds]
    return {"least_ns": min(ns), "median_ns": statistics.median(ns), "keys": count, "rounds": len(ns), **more}


def loop(route, keys):
    for key in keys:
        route(key)


def loop_empty(keys):
    for _key in keys:
        pass


def loop_dict(table, keys):
    for key in keys:
        table[key]


def repeated(body, repeats, *args):
    for _ in range(repeats):
        body(*args)


def rounds_of(amounts, function, *args):
    """Seconds of each round: as many as planned, fewer of what is slow, three at least."""
    seconds = []
    while len(seconds) < 3 or (len(seconds) < amounts.rounds and sum(seconds) < 3 * amounts.rounds * amounts.round_s):
        seconds.append(elapsed(function, *args))
    return seconds


def affordable(call, keys, seconds):
    """As many of the keys as `call` handles in that time, four at least; warms up on the way."""
    call(keys[:4])
    count, spent_s = 4, 0.0
    while count < len(keys) and spent_s < seconds / 8:
        spent_s = elapsed(call, keys[:count])
        per_key_s = spent_s / count
        count = min(len(keys), 4 * count)
    return keys[: max(4, min(len(keys), int(seconds / per_key_s)))]


def one(peer, names, amounts):
    """Single keys, net of an empty loop; the reference is a dict with the same keys."""
    hot = text_keys(KEYS_HOT)
    peer.build(names)
    keys = affordable(lambda some: loop(peer.route, some), hot, amounts.round_s)
    repeats = max(1, int(amounts.round_s / elapsed(loop, peer.route, keys)))
    count = repeats * len(keys)
    rounds = rounds_of(amounts, repeated, loop, repeats, peer.route, keys)
    table = dict.fromkeys(hot, names[0])
    repeats = max(1, int(amounts.round_s * 1e5))
    empty = min(rounds_of(amounts, repeated, loop_empty, repeats, hot)) / repeats / KEYS_HOT
    looked = min(rounds_of(amounts, repeated, loop_dict, repeats, table, hot)) / repeats / KEYS_HOT
    net = [seconds - count * empty for seconds in rounds]
    return {"one": figures(net, count, reference_ns=(looked - empty) * NS)}


def column(call, keys, amounts, reference):
    """A call on all of the keys, or on as many as the time allows."""
    keys = affordable(call, keys, amounts.column_s)
    call(keys)
    return figures(rounds_of(amounts, call, keys), len(keys), reference_ns=reference)


def attempt(measure):
    """Its figures, or why there are none."""
    try:
        return measure()
    except Cannot as why:
        return {"cannot": str(why)}


def bulk(peer, names, amounts):
    """Builds first, then columns, then changes of the same peer."""
    result = {"build": builds(peer, names, amounts)}
    texts = text_keys(amounts.texts)
    integers = np.random.default_rng(1).integers(0, 2**64, amounts.integers, dtype=np.uint64)
    agree(peer, texts[:10], integers[:10])
    target = np.zeros_like(integers)
    copy = min(rounds_of(amounts, np.copyto, target, integers)) / len(integers) * NS
    del target
    result["list"] = column(peer.route_many, texts, amounts, copy)
    result["names"] = column(peer.names_many, texts, amounts, copy)
    result["integers"] = column(peer.route_integers, integers, amounts, copy)
    result["hashes"] = attempt(lambda: column(peer.route_hashes, rw.hash_keys(integers), amounts, copy))
    result["column"] = attempt(lambda: column(peer.route_column, peer.column(texts), amounts, copy))
    return result | changes(peer, amounts, result["build"]["reference_ns"])


def builds(peer, names, amounts):
    """From the names to the first answer, which makes what is made lazily."""

    def build():
        peer.build(names)
        peer.route("first")

    peer.build(names[:3])  # imports and compiles
    rounds = [elapsed(build)]
    rounds += [elapsed(build) for _ in range(min(amounts.rounds - 1, int(amounts.changes_s / rounds[0])))]
    numbers = np.random.default_rng(2).integers(0, 2**64, SORTED, dtype=np.uint64)
    reference = min(rounds_of(amounts, np.sort, numbers)) * NS
    return figures(rounds, 1, reference_ns=reference)


def changes(peer, amounts, reference):
    """One node comes and goes again, each with the next answer."""

    def add():
        peer.add(NEW)
        peer.route("first")

    def remove():
        peer.remove(NEW)
        peer.route("first")

    added, removed = [elapsed(add)], [elapsed(remove)]
    for _ in range(min(20, int(amounts.changes_s / (added[0] + removed[0])))):
        added.append(elapsed(add))
        removed.append(elapsed(remove))
    return {"add": figures(added, 1, reference_ns=reference), "remove": figures(removed, 1, reference_ns=reference)}


def agree(peer, texts, integers):
    """One key, many keys and their names are the same answer; so are integers as often as they are asked."""
    names = [str(name) for name in peer.names_many(texts)]
    assert names == [peer.route(key) for key in texts], "single keys and lists differ"
    assert list(peer.route_integers(integers)) == list(peer.route_integers(integers)), "answers are not stable"


def quality(peer, names, amounts):
    """Balance over random texts, and what one removal and one addition move."""
    peer.build(names)
    keys = affordable(peer.names_many, text_keys(amounts.quality_keys), amounts.quality_s / 3)
    owners = answers(peer, keys)
    counts = np.unique(owners, return_counts=True)[1]
    draws = np.random.default_rng(3).multinomial(len(keys), np.full(len(names), 1 / len(names)), 20).max(axis=1)
    mean = len(keys) / len(names)
    balance = {"keys": len(keys), "balance": counts.max() / mean, "balance_even": draws.mean() / mean}
    addition = moves(peer, lambda: peer.add(NEW), owners, keys, NEW)
    peer.build(names)
    gone = names[len(names) // 2]
    removal = attempt(lambda: moves(peer, lambda: peer.remove(gone), owners, keys, gone))
    return {"quality": balance, "addition": addition, "removal": removal}


def moves(peer, change, before, keys, node):
    """Shares of the keys: those that moved, and those that moved though neither end is the node that changed."""
    change()
    after = answers(peer, keys)
    moved = before != after
    return {
        "moved": float(moved.mean()),
        "needless": float((moved & (before != node) & (after != node)).mean()),
    }


def answers(peer, keys):
    return np.array([str(name) for name in peer.names_many(keys)])
