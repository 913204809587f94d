"""What notebooks show of reports, transfers and explanations: tables with bars, at most 50 rows, and no markup from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringward as rw
from ringward import markup
from ringward.texts import neutral, shortened

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</table></div>&lt;&#60;",
    "\x1b]0;title\x07\r\n\u202egnp",
    "$x^2$ \\(y\\)",
    "n" * 10_000,
]
TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "b", "br"}


class Seen(HTMLParser):
    """Tags that are open and closed in turn, texts of cells, and widths of bars."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.widths: list[float] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        assert tag in TAGS
        assert {name for name, _ in attrs} <= {"style", "class", "aria-hidden"}
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
        if width := re.match(r"width:([\d.]+)%", str(dict(attrs).get("style", ""))):
            self.widths.append(float(width[1]))

    def handle_endtag(self, tag: str) -> None:
        """The last that opened closes."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, as a browser shows it."""
        self.text += data
        if self.open[-1] in {"th", "td"}:
            self.rows[-1][-1] += data


def shown(text: str) -> str:
    """A name as a cell has it."""
    return shortened(neutral(text), 80)


def test_a_report_is_a_table_with_bars() -> None:
    """The longest bar is the largest share; a node that is down has none."""
    ring = rw.HashRing({"a": 1, "b": 3}, weight_unit=1)
    ring.add(rw.Node("c", zone="z"))
    ring.mark_down("c")
    report = ring.report()
    seen = Seen(report._repr_html_())
    assert [row[0] for row in seen.rows[1:]] == ["a", "b", "c"]
    full = max(max(node.share, node.expected) for node in report.nodes)
    assert seen.widths == pytest.approx([100 * node.share / full for node in report.nodes], abs=0.06)
    assert seen.rows[3][2:5] == ["z", "down", "0.00 %"]
    assert f"{report.balance_max:.3f}" in seen.text
    assert ring._repr_html_() == ring.snapshot()._repr_html_() == report._repr_html_() == report.to_html()


def test_a_transfer_is_a_table_of_routes() -> None:
    """The largest first, each with its share."""
    ring = rw.HashRing([f"node{i}" for i in range(4)])
    transfer = ring.mark_down("node1")
    seen = Seen(transfer._repr_html_())
    arrivals = sorted(transfer.arrivals.items(), key=lambda arrival: -arrival[1])
    assert [(row[0], row[2], row[3]) for row in seen.rows[1:]] == [
        ("node1", name, f"{100 * share:.2f} %") for name, share in arrivals
    ]
    assert seen.widths == pytest.approx([100 * share / arrivals[0][1] for _, share in arrivals], abs=0.06)
    assert "no key moves" in ring.mark_down("node1")._repr_html_()


def test_a_transfer_tells_of_rows_and_of_nobody() -> None:
    """Copies stand in the heading; keys that go to nobody are told."""
    table = rw.PartitionTable([f"node{i}" for i in range(4)], partitions=64, replicas=2)
    assert "copies" in table.remove("node1")._repr_html_()
    ring = rw.HashRing(["a"])
    assert Seen(ring.mark_down("a")._repr_html_()).rows[1][:4] == ["a", "→", "nobody", "100.00 %"]


def test_an_explanation_is_a_table_of_steps() -> None:
    """Each node that was looked at, in order."""
    ring = rw.HashRing([f"node{i}" for i in range(5)])
    ring.mark_down(ring.route("event1"))
    explanation = ring.explain("event1")
    seen = Seen(explanation._repr_html_())
    assert [row[1:] for row in seen.rows[1:]] == [[step.node, step.reason] for step in explanation.steps]


def test_at_most_50_nodes_are_shown() -> None:
    """Of more, the fullest nodes, the largest routes, the first steps and the one that decides."""
    ring = rw.HashRing([f"node{i}" for i in range(200)], points_per_node=4)
    report = ring.report()
    seen = Seen(report._repr_html_())
    assert len(seen.rows) == 51
    fullest = sorted((node.balance for node in report.nodes), reverse=True)[:50]
    assert [next(n.balance for n in report.nodes if n.name == row[0]) for row in seen.rows[1:]] == fullest
    assert "the 50 fullest of 200 nodes" in seen.text
    owner = ring.candidates("event1")[150]
    transfer = ring.mark_down(*[name for name in ring if name != owner])
    assert len(Seen(transfer._repr_html_()).rows) == 51
    steps = Seen(ring.explain("event1")._repr_html_()).rows[1:]
    assert len(steps) == 50
    assert steps[-1][1] == owner
    assert len(ring.report()._repr_html_()) < 100_000


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_text_from_outside_is_no_markup(name: str) -> None:
    """Names, zones and keys are escaped, short and without control characters, and no mathematics is made of them."""
    ring = rw.HashRing([rw.Node(name, zone=name), rw.Node("b", zone=name)], spread="zone")
    for told in (ring.report(), ring.mark_down(name), ring.mark_up(name), ring.explain(name)):
        text = told._repr_html_()
        assert shown(name) in {cell for row in Seen(text).rows for cell in row}
        assert 'class="tex2jax_ignore mathjax_ignore"' in text
        assert text.isprintable()
        assert len(text) < 10_000


@given(st.text())
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """What a browser reads is the text, short and neutral."""
    seen = Seen(f'<div class="{markup.escaped(text)}">{markup.escaped(text)}</div>')
    assert seen.text == shown(text)


def test_bars_stay_inside_of_their_cell() -> None:
    """Whatever the shares are, infinite and not a number included."""
    values = [-1.0, 0.0, 0.5, 2.0, float("inf"), float("nan")]
    for share in values:
        for full in values:
            assert all(0 <= width <= 100 for width in Seen(markup.bar(share, full, share)).widths)


@pytest.mark.parametrize(
    "make",
    [
        rw.HashRing,
        lambda: rw.HashRing({"a": 0}),
        lambda: rw.PrimaryBackup(["a", "b"]),
        lambda: rw.PartitionTable(["a", "b"], partitions=8, replicas=2),
        lambda: rw.PartitionedRing([f"n{i}" for i in range(6)], part_size=2),
    ],
)
def test_every_router_is_shown(make) -> None:
    """Also one without nodes, and one without a node that could own a key."""
    router = make()
    Seen(router._repr_html_())
    Seen(rw.Transfer.between(router, router.copy())._repr_html_())


def test_the_repr_of_a_report_is_short() -> None:
    """It was all heirs of all nodes: 60 kB for 40 nodes, which notebooks keep beside the HTML."""
    report = rw.HashRing([f"node{i}" for i in range(40)]).report()
    assert repr(report) == "<Report: HashRing at epoch 0: 40 nodes, 0 down>"
