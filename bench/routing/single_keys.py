"""Times one loop over single keys in a process of its own: `python -m routing.single_keys BODY NODES KEYS ORDER`.

CPython 3.11 specialises bytecode as it runs and lays objects out by what ran before, so two
bodies in one process influence each other: method calls then show two modes. Prints JSON: for
each round the seconds a key, net of an empty loop over the same keys in the same process.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

from routing.workload import hash_ring, node_names, shuffled, text_keys

ROUNDS = 9
LOOKUPS_A_ROUND = 1_000_000

ROUTER = None  # for route_global alone
KEYS = ()


def empty(_table, keys):
    for _key in keys:
        pass


def subscript(table, keys):
    """`ring[key]` and `dict[key]`: the same code."""
    for key in keys:
        table[key]


def route(table, keys):
    """The router in a local variable: the interpreter's specialised call of a method."""
    for key in keys:
        table.route(key)


def route_bound(table, keys):
    """The bound method, taken once."""
    route = table.route
    for key in keys:
        route(key)


def route_global(_table, _keys):
    """The router in a global variable."""
    for key in KEYS:
        ROUTER.route(key)


def timed(body, table, keys, repeats):
    """Seconds a key of one round."""
    start = perf_counter()
    for _ in range(repeats):
        body(table, keys)
    return (perf_counter() - start) / repeats / len(keys)


def table_for(body, nodes, keys):
    if body != "dict":
        return hash_ring(nodes)
    names = node_names(nodes)
    return {key: names[i % nodes] for i, key in enumerate(keys)}


def main(body, nodes, key_count, order):
    global ROUTER, KEYS
    allocated = text_keys(key_count)
    table = table_for(body, nodes, allocated)
    keys = allocated if order == "allocated" else shuffled(allocated)
    ROUTER, KEYS = table, keys
    bodies = {"dict": subscript, "subscript": subscript, "route": route, "route_bound": route_bound,
              "route_global": route_global}  # fmt: skip
    repeats = max(1, LOOKUPS_A_ROUND // key_count)
    loop_s = min(timed(empty, table, keys, repeats) for _ in range(ROUNDS))
    timed(bodies[body], table, keys, repeats)
    rounds_s = [timed(bodies[body], table, keys, repeats) - loop_s for _ in range(ROUNDS)]
    print(json.dumps({"rounds_s": rounds_s, "loop_s": loop_s}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
