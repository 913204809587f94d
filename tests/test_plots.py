"""Figures: each is drawn, says what it shows, and needs matplotlib alone."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command import fails, run

import ringward as rw
from ringward.errors import ArgumentError
from ringward.simulation import Workload, parse_trace, simulate

pytest.importorskip("matplotlib")
from ringward import plots

LINES = ["time,node,state", "0,a,up", "0,$b$,up", "0,c,up", "500,$b$,down", "900,$b$,up", "20000,a,up"]
TRACE = parse_trace(LINES)
RING = rw.HashRing({"a": 1, "b": 2, "$c$_{d}$": 1})


@pytest.fixture(scope="module")
def result():
    small = Workload.zipf(1, keys=200)
    return simulate(TRACE, strategies=["ring", "table", "primary", "adaptive"], seeds=2, workload=small)


FIGURES = {
    "load": lambda _: plots.load(RING),
    "load of a snapshot of many nodes, most down": lambda _: plots.load(
        down(rw.HashRing(map(str, range(99)))).snapshot()
    ),
    "circle": lambda _: plots.circle(RING),
    "circle of one node": lambda _: plots.circle(rw.PrimaryBackup(["a", "b"])),
    "timeline": lambda _: plots.timeline(TRACE),
    "timeline with decisions": lambda _: plots.timeline(TRACE, [SimpleNamespace(time_s=505.0, moved=0.3)]),
    "outcomes": plots.outcomes,
}


def down(router):
    router.mark_down(*map(str, range(10, 99)))
    return router


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_each_time_in_every_format(name, result, tmp_path):
    """No dates, no random ids; and no warning, which would be an error here."""
    for ending, magic in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = tmp_path / f"figure.{ending}"
        plots.save(FIGURES[name](result), path)
        data = path.read_bytes()
        assert data.startswith(magic)
        assert data == plots.drawn(FIGURES[name](result), ending)


def texts_of(figure):
    labels = [text for axes in figure.axes for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title)]
    return " ".join(label.get_text() for label in labels)


def test_the_bars_are_the_figures(result):
    load = plots.load(RING)
    shares = {node.name: node.share for node in RING.report().nodes}
    assert sorted(bar.get_width() / 100 for bar in load.axes[0].patches) == pytest.approx(sorted(shares.values()))
    assert "down" in texts_of(plots.load(down(rw.HashRing(map(str, range(99))))))
    outcomes = plots.outcomes(result)
    means = [result["summary"][way]["moved_least"]["mean"] for way in result["summary"]]
    assert [bar.get_height() for bar in outcomes.axes[1].patches][: len(means)] == pytest.approx(means)
    assert "adaptive" in texts_of(outcomes)
    spans = plots.timeline(TRACE).axes[0].collections[0].get_paths()[0].vertices[:, 0] * 86400
    assert (spans.min(), spans.max()) == (pytest.approx(500), pytest.approx(900))


def test_a_file_of_another_kind_is_refused(tmp_path):
    for name in ("figure", "figure.gif", "figure.png.gz"):
        with pytest.raises(ArgumentError, match="path must be"):
            plots.save(plots.load(RING), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_pages_hold_everything(tmp_path, monkeypatch):
    """Nothing is loaded from anywhere, and names cannot act."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("\n".join(LINES).replace("$b$", "<b>x") + "\n")
    (tmp_path / "nodes.txt").write_text("a\nb\nc\n")
    run("simulate", "--failures", "t.csv", "--seeds", 1, "--strategy", "ring", "--html", "s.html", "--plot", "s.svg")
    run("choose", "--nodes", "nodes.txt", "--seeds", 1, "--html", "c.html")
    for name in ("s.html", "c.html"):
        page = (tmp_path / name).read_text()
        assert page.startswith("<!doctype html>")
        assert page.count("<img ") == page.count('src="data:image/svg+xml;base64,') >= 1
        assert not re.search(r"<script|<link|@import|url\(", page)
        assert "<b>" not in page
        assert all(word in page for word in ("strategy", "deadline", "ring"))
    assert (tmp_path / "s.svg").read_text().startswith("<?xml")
    assert "must end in .png" in fails("simulate", "--failures", "t.csv", "--plot", "s.gif", code=2)
    assert "cannot be written" in fails(
        "simulate", "--failures", "t.csv", "--seeds", 1, "--strategy", "ring", "--plot", "no/s.png"
    )


def test_without_matplotlib_a_figure_says_how_to_get_it():
    """Before anything runs for long; and nothing else needs it."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import ringward as rw, ringward.simulation\n"
        "from ringward import plots\n"
        "try:\n    plots.load(rw.HashRing(['a']))\n"
        "except rw.UnsupportedError as error:\n    print(error)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "figures need matplotlib: pip install 'ringward[plot]'\n"
