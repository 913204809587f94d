"""ringward beside its peers: the same work by each adapter of `adapters/`, at each size, in processes of its own.

Peers that are not installed are reported as such. A bound is missed where a peer is not beaten as the project says.
"""

from __future__ import annotations

from functools import partial

from harness.declare import Case, Written
from routing.workload import NODE_COUNTS, node_names

from peers import tables
from peers.measuring import FULL, QUICK, bulk, one, quality
from peers.peer import ADAPTERS, OURS, RING, adapter, installed
from peers.tables import Cells, case_of, work_of

DOCUMENT = "peers.md"
QUALITY_NODES = (100, 1_000)
QUICK_NODES = 100  # at most
REPEATED_S = 15  # what takes longer is measured once
ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "0"}


def measure(what, module, nodes, effort):
    """One peer at one size."""
    if effort.quick and nodes > QUICK_NODES:
        return {}
    return what(adapter(module)(), node_names(nodes), QUICK if effort.quick else FULL)


def versions(_effort):
    """Adapter → version of its package."""
    return {"": {module: found for module in ADAPTERS if (found := installed(module))}}


def about(cells):
    """What was measured, and where."""
    results, first = cells.results, work_of(case_of(RING, NODE_COUNTS[0], "one"), "one")
    found, runs = results.machine(first), len(results.runs(first))
    peers = [f"{adapter(m).packages[0]} {cells.versions[m]}" for m in ADAPTERS if m in cells.versions and m not in OURS]
    return (
        f"- {found['system']}: {found['cpu']}\n- {found['python']}, ringward {found['ringward']} at its "
        f"{found['level']} level; {found['date']}; {runs} runs, one core\n- {', '.join(dict.fromkeys(peers))}"
    )


def part(marker, write, *arguments, misses=lambda _: []):
    """One place in the document."""
    return Written(
        DOCUMENT, marker, lambda results: write(Cells(results), *arguments), NEEDED,
        lambda results: misses(Cells(results)),
    )  # fmt: skip


def draw(results, images):
    """The plots of docs/peers.md."""
    from peers.plots import peers_plots

    peers_plots(Cells(results), images)


AVAILABLE = [module for module in ADAPTERS if installed(module)]
CASES = {
    "versions": Case(versions, runs_most=1),
    **{
        case_of(module, nodes, name): Case(
            partial(measure, what, module, nodes),
            runs_most=1 if what is quality else None,
            once_beyond_s=REPEATED_S,
            environment=ENVIRONMENT,
        )
        for nodes in NODE_COUNTS
        for module in AVAILABLE
        for name, what in (("one", one), ("list", bulk), ("quality", quality))
        if what is not quality or nodes in QUALITY_NODES
    },
}
NEEDED = {work_of("versions"), work_of(case_of(RING, NODE_COUNTS[0], "one"), "one")}
TABLES = [
    part("peers-about", about),
    part("peers-verdict", tables.verdict_table, misses=tables.missed),
    part("peers-fastring", tables.fastring_table),
    part("peers-algorithms", tables.algorithms_table),
    *(part(f"peers-{work}", tables.work_table, work) for work in tables.WORKS),
    *(part(f"peers-quality-{nodes}", tables.quality_table, nodes) for nodes in QUALITY_NODES),
]
