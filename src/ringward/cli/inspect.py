"""`ringward report` and `ringward explain`: how keys are spread, and why a key is where it is."""

from __future__ import annotations

import click

import ringward as rw
from ringward.cli.helping import examples
from ringward.cli.inputs import plain_int
from ringward.cli.options import membership_options
from ringward.cli.output import echo, echo_json, echo_table, percent
from ringward.texts import shown

__all__ = ["explain", "report"]

_SUMMARY_LINES = 3


@click.command(epilog=examples("report --nodes nodes.csv", "report --nodes nodes.csv --strategy table --replicas 2"))
@membership_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(*, router: rw.Router, as_json: bool) -> None:
    """Say how evenly keys are spread, and where they go when a node fails.

    The figures are exact, not sampled.
    """
    result = router.report()
    if as_json:
        echo_json(result.to_dict())
        return
    echo("\n".join(str(result).splitlines()[:_SUMMARY_LINES]))
    echo()
    columns = ("node", "weight", "zone", "state", "share", "expected", "heirs", "largest heir", "takes")
    rows = []
    for node in result.nodes:
        largest = next(iter(node.heirs), "")
        rows.append(
            (
                node.name,
                f"{node.weight:g}",
                node.zone or "",
                "live" if node.live else "down",
                percent(node.share),
                percent(node.expected),
                str(len(node.heirs)),
                largest,
                percent(node.heir_max) if largest else "",
            )
        )
    echo_table(columns, rows, left=("node", "zone", "state", "largest heir"))


@click.command(epilog=examples("explain user42 --nodes nodes.csv", "explain --int --nodes nodes.csv -- -5"))
@click.argument("key")
@membership_options
@click.option(
    "--count", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Most candidates to explain."
)
@click.option("--int", "is_int", is_flag=True, help="The key is an integer: 42 and '42' differ.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(*, router: rw.Router, key: str, count: int, is_int: bool, as_json: bool) -> None:
    """Say why KEY is where it is, and which node is next.

    Write -- before a key that starts with a dash.
    """
    if is_int:
        value = plain_int(key)
        if value is None:
            raise click.ClickException(f"the key {shown(key)} is not an integer in plain decimal digits")
        explanation = router.explain(value, count)
    else:
        explanation = router.explain(key, count)
    if as_json:
        echo_json(explanation.to_dict())
        return
    echo(str(explanation))
