"""`ringward plan`: what would move between two node lists, before anything does."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

import click
import numpy as np

import ringward as rw
from ringward.cli.helping import examples
from ringward.cli.inputs import Layout
from ringward.cli.nodes import read_nodes
from ringward.cli.options import Choice, key_options, strategy_options
from ringward.cli.output import echo, echo_json, echo_table, percent
from ringward.cli.output_file import STDOUT
from ringward.cli.plan_keys import key_batches
from ringward.cli.sources import byte_source

__all__ = ["plan"]

_ROUTES_SHOWN = 20
_NOBODY = "nobody"

Route = tuple[str, str]


@click.command(
    epilog=examples(
        "plan now.csv then.csv",
        "plan now.csv then.csv --keys events.csv --key user --moved moved.csv",
    )
)
@click.argument("before")
@click.argument("after")
@click.option("--keys", "keys_file", metavar="FILE", help="Count the keys of this file too; - is stdin.")
@click.option("--moved", "moved_file", metavar="FILE", help="Write the rows of --keys that move, with `from` and `to`.")
@key_options
@strategy_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(
    *,
    choice: Choice,
    layout: Layout,
    before: str,
    after: str,
    keys_file: str | None,
    moved_file: str | None,
    as_json: bool,
) -> None:
    """Say what moves when the node list BEFORE becomes the node list AFTER.

    All differences are made in one change of the router of BEFORE, as a running system would do it:
    nodes that stay keep their ids, and partition tables move the least.
    """
    if keys_file is None and (layout != Layout(None) or moved_file is not None):
        raise click.UsageError("--moved and the options for keys need --keys")
    if moved_file in STDOUT[1:]:
        raise click.UsageError("--moved must be a file: stdout has the plan")
    old = choice.router(read_nodes(before))
    new, changes = changed(old, read_nodes(after))
    transfer = rw.Transfer.between(old, new)
    result: dict[str, Any] = {"strategy": type(old).__name__, **changes, "share": transfer.share}
    result["nodes"] = _node_rows(old, new, transfer)
    result["routes"] = [
        {"source": source, "target": target, "share": share}
        for (source, target), share in sorted(_route_shares(transfer).items(), key=lambda item: (-item[1], item[0]))
    ]
    if transfer.rows is not None:
        result["replicas"] = _replica_counts(old, new, transfer)
    if keys_file is not None:
        result["keys"] = _key_counts(old, transfer, keys_file, layout, moved_file)
    if as_json:
        echo_json(result)
    else:
        _echo(result)


def changed(old: rw.Router, after: list[rw.Node]) -> tuple[rw.Router, dict[str, list[Any]]]:
    """A copy of a router with the membership of another list, made in one change.

    Returns
    -------
    Router
    dict of str to list
        `added`, `removed`, `reweighed` and `rezoned` nodes.
    """
    was = {node.name: node for node in old.nodes}
    now = {node.name: node for node in after}
    kept = [(was[name], now[name]) for name in was if name in now]
    rezoned = [after for before, after in kept if before.zone != after.zone]
    reweighed = [pair for pair in kept if pair[0].zone == pair[1].zone and pair[0].weight != pair[1].weight]
    new = old.copy()
    with new.change() as change:
        if old.ordered:  # the order of the list is the priority, so the list is given anew; ids stay
            change.remove(*was)
            change.add(*after)
        else:
            gone = [name for name in was if name not in now] + [node.name for node in rezoned]
            fresh = [node for node in after if node.name not in was] + rezoned
            if gone:
                change.remove(*gone)
            if fresh:
                change.add(*fresh)
            for _, node in reweighed:
                change.reweigh(node.name, node.weight)
    return new, {
        "added": [name for name in now if name not in was],
        "removed": [name for name in was if name not in now],
        "reweighed": [
            {"node": after.name, "before": before.weight, "after": after.weight}
            for before, after in kept
            if before.weight != after.weight
        ],
        "rezoned": [node.name for node in rezoned],
    }


def _node_rows(old: rw.Router, new: rw.Router, transfer: rw.Transfer) -> list[dict[str, Any]]:
    arrivals, departures = transfer.arrivals, transfer.departures
    before, after = ({node.name: node.share for node in router.report().nodes} for router in (old, new))
    return [
        {
            "node": name,
            "share_before": before.get(name, 0.0),
            "share_after": after.get(name, 0.0),
            "in": arrivals.get(name, 0.0),
            "out": departures.get(name, 0.0),
        }
        for name in dict.fromkeys([*before, *after])
    ]


def _name(transfer: rw.Transfer, node: int) -> str:
    return _NOBODY if node == rw.NO_NODE else str(transfer.names[node])


def _route_shares(transfer: rw.Transfer) -> dict[Route, float]:
    arcs = transfer.arcs
    routes, inverse = np.unique(arcs[["source", "target"]], return_inverse=True)
    lengths = (arcs["end"] - arcs["start"]).astype(np.float64) + 1.0
    shares = np.bincount(inverse, lengths, minlength=len(routes)) / 2.0**64
    return {
        (_name(transfer, int(source)), _name(transfer, int(target))): float(share)
        for (source, target), share in zip(routes.tolist(), shares, strict=True)
    }


def _replica_counts(old: rw.Router, new: rw.Router, transfer: rw.Transfer) -> dict[str, Any]:
    """Of all replicas: entries that changed, and copies that have to be made because a node is new to its row."""
    assert isinstance(old, rw.PartitionTable)  # noqa: S101 - only these transfers have rows
    assert isinstance(new, rw.PartitionTable)  # noqa: S101
    moves = transfer.rows
    assert moves is not None  # noqa: S101
    rows_before, rows_after = old.rows, new.rows
    gains, losses = Counter[str](), Counter[str]()
    for ends, rows, counts in (("target", rows_before, gains), ("source", rows_after, losses)):
        nodes = moves[ends]
        elsewhere = (rows[moves["partition"]] == nodes[:, None]).any(axis=1)  # the node only changed its rank
        counts.update(_name(transfer, int(node)) for node in nodes[~elsewhere & (nodes != rw.NO_NODE)])
    return {
        "entries": int(rows_after.size),
        "entries_changed": len(moves),
        "copies": sum(gains.values()),
        "gained": dict(gains),
        "lost": dict(losses),
    }


def _key_counts(
    old: rw.Router, transfer: rw.Transfer, path: str, layout: Layout, moved_file: str | None
) -> dict[str, Any]:
    """How many keys take which route; the rows of those that move go to a file, where one is wanted."""
    total = 0
    routes = Counter[Route]()
    with byte_source(path) as source, closing(key_batches(source, layout, old.hash, moved_file)) as batches:
        for batch in batches:
            total += len(batch.hashes)
            moved = transfer.moved(batch.hashes)
            arcs = transfer.arcs[np.searchsorted(transfer.arcs["start"], batch.hashes[moved], side="right") - 1]
            pairs, inverse, counts = np.unique(arcs[["source", "target"]], return_inverse=True, return_counts=True)
            names = [(_name(transfer, left), _name(transfer, came)) for left, came in pairs.tolist()]
            for route, count in zip(names, counts.tolist(), strict=True):
                routes[route] += count
            batch.write(moved, [names[i] for i in inverse.tolist()])
    return {
        "total": total,
        "moved": routes.total(),
        "routes": [{"source": s, "target": t, "keys": n} for (s, t), n in sorted(routes.items(), key=_largest_first)],
    }


def _largest_first(item: tuple[Route, int]) -> tuple[int, Route]:
    return -item[1], item[0]


def _echo(result: dict[str, Any]) -> None:
    told = [f"{what} {', '.join(result[what])}" for what in ("added", "removed", "rezoned") if result[what]]
    told += [f"reweighed {c['node']} {c['before']:g} → {c['after']:g}" for c in result["reweighed"]]
    echo(f"{result['strategy']}: {'; '.join(told) or 'the same nodes'}")
    echo(f"{percent(result['share'])} of the key space moves")
    if "replicas" in result:
        counts = result["replicas"]
        echo(
            f"{counts['entries_changed']:,} of {counts['entries']:,} entries of all replicas change, "
            f"{counts['copies']:,} need a copy"
        )
    keys = result.get("keys")
    if keys is not None:
        share = keys["moved"] / keys["total"] if keys["total"] else 0.0
        echo(f"{keys['moved']:,} of {keys['total']:,} keys move ({percent(share)})")
    echo()
    columns = ["node", "before", "after", "in", "out"]
    rows = [
        [row["node"], *(percent(row[what]) for what in ("share_before", "share_after", "in", "out"))]
        for row in result["nodes"]
    ]
    if "replicas" in result:
        columns += ["copies in", "copies out"]
        for row in rows:
            row += [f"{result['replicas'][what].get(row[0], 0):,}" for what in ("gained", "lost")]
    echo_table(columns, rows, left=["node"])
    _echo_routes(result["routes"], keys)


def _echo_routes(routes: list[dict[str, Any]], keys: dict[str, Any] | None) -> None:
    if not routes:
        return
    columns = ["from", "to", "share"]
    rows = [[route["source"], route["target"], percent(route["share"])] for route in routes[:_ROUTES_SHOWN]]
    if keys is not None:
        counts = {(route["source"], route["target"]): route["keys"] for route in keys["routes"]}
        columns.append("keys")
        for row in rows:
            row.append(f"{counts.get((row[0], row[1]), 0):,}")
    echo()
    echo_table(columns, rows, left=["from", "to"])
    if len(routes) > _ROUTES_SHOWN:
        echo(f"and {len(routes) - _ROUTES_SHOWN:,} more routes")
