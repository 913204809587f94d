"""Figures of routers, traces and simulations. They need matplotlib: `pip install 'ringward[plot]'`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ringward.errors import ArgumentError, UnsupportedError
from ringward.texts import neutral, shortened
from ringward.view import View

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["circle", "drawn", "load", "needed", "outcomes", "save", "svg", "timeline"]

Figure = Any  # matplotlib.figure.Figure, which is imported when a figure is drawn
_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)  # told apart by all eyes
_DOWN = "#D55E00"
_FORMATS = ("png", "svg", "pdf")
_NODES_MOST = 60
_NAME_MOST = 24
_DAY_S = 86_400.0


class Outages(Protocol):
    """A trace, as far as a figure of it goes: `ringward.simulation.Trace`."""

    @property
    def nodes(self) -> tuple[str, ...]: ...

    @property
    def node(self) -> npt.NDArray[np.int64]: ...

    @property
    def start_s(self) -> npt.NDArray[np.float64]: ...

    @property
    def end_s(self) -> npt.NDArray[np.float64]: ...

    @property
    def span_s(self) -> float: ...


class Decided(Protocol):
    """A decision, as far as a figure of it goes: `ringward.failover.Decision`."""

    @property
    def time_s(self) -> float: ...

    @property
    def moved(self) -> float: ...


def needed() -> Any:
    """The module that draws.

    Raises
    ------
    UnsupportedError
        When matplotlib is not installed.
    """
    try:
        from matplotlib import figure  # noqa: PLC0415 - an optional extra, and slow to import
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise UnsupportedError("figures need matplotlib: pip install 'ringward[plot]'") from error
    return figure


def _new(width: float, height: float) -> Figure:
    return needed().Figure(figsize=(width, height), layout="constrained")


def _name(text: str) -> str:
    """A name as a label: short, and no mathematics between its dollar signs."""
    return shortened(neutral(text), _NAME_MOST).replace("$", r"\$")


def load(router: View) -> Figure:
    """The share of the keys that each node owns, as a bar, against the share due to its weight, as a line.

    Parameters
    ----------
    router : Router or Snapshot
        At most 60 nodes are shown: those that own most.

    Examples
    --------
    >>> import ringward as rw
    >>> from ringward import plots
    >>> plots.save(plots.load(rw.HashRing(["node1", "node2"])), "load.png")  # doctest: +SKIP
    """
    nodes = sorted(router.report().nodes, key=lambda node: -node.share)
    shown = nodes[:_NODES_MOST]
    figure = _new(8, 1.2 + 0.22 * len(shown))
    axes = figure.subplots()
    places = np.arange(len(shown))
    shares = [100 * node.share for node in shown]
    axes.barh(places, shares, color=[_COLOURS[0] if node.live else _DOWN for node in shown], label="owned")
    due = [100 * node.expected for node in shown]
    axes.scatter(due, places, marker="|", s=160, color="black", label="due to the weight", zorder=3)
    names = [_name(node.name) if node.live else f"{_name(node.name)} (down)" for node in shown]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("share of the keys, %")
    more = f", the {len(shown)} fullest of {len(nodes):,}" if len(nodes) > len(shown) else ""
    axes.set_title(f"Load of the nodes{more}")
    axes.legend(loc="lower right")
    return figure


def circle(router: View) -> Figure:
    """Who owns which part of the hash space, as a circle: clockwise from the top.

    Parameters
    ----------
    router : Router or Snapshot
        The circle is read at 3,600 places. With more than eight nodes colours come again.
    """
    places = 3600
    hashes = (np.arange(places, dtype=np.float64) * (2.0**64 / places)).astype(np.uint64)
    owners = router.assign_hashes(hashes)
    names = router.owner_names(owners)
    figure = _new(7, 6)
    axes = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    ends = np.append(np.flatnonzero(owners[1:] != owners[:-1]) + 1, places)
    starts = np.append(0, ends[:-1])
    order = {name: i for i, name in enumerate(sorted({str(name) for name in names}))}
    colours = [_COLOURS[order[str(names[start])] % len(_COLOURS)] for start in starts]
    turn = 2 * np.pi / places
    axes.bar(starts * turn, 1.0, width=(ends - starts) * turn, bottom=2.0, align="edge", color=colours, linewidth=0)
    axes.set_axis_off()
    axes.set_title("Who owns which part of the hash space")
    for name, place in [*order.items()][: len(_COLOURS)]:
        axes.bar(0, 0, color=_COLOURS[place], label=_name(name))
    more = f"and {len(order) - len(_COLOURS)} more" if len(order) > len(_COLOURS) else None
    axes.legend(loc="center", frameon=False, title=more)
    return figure


def timeline(trace: Outages, decisions: Iterable[Decided] = ()) -> Figure:
    """Who was down when, and how much a router moved.

    Parameters
    ----------
    trace : Trace
        At most 60 nodes are shown: those with most outages.
    decisions : iterable of Decision
        As `Adaptive.log()` returns them, with times since the beginning of the trace; each is a change of the epoch.
    """
    counts = np.bincount(trace.node, minlength=len(trace.nodes))
    shown = np.argsort(-counts, kind="stable")[:_NODES_MOST]
    taken = [decision for decision in decisions if decision.moved > 0]
    figure = _new(10, (3.2 if taken else 1.6) + 0.18 * len(shown))
    ratios = [max(1.0, 0.18 * len(shown)), 1.4] if taken else [1]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for row, node in enumerate(shown.tolist()):
        mine = trace.node == node
        spans = np.column_stack([trace.start_s[mine], trace.end_s[mine] - trace.start_s[mine]]) / _DAY_S
        axes[0].broken_barh(spans.tolist(), (row - 0.4, 0.8), color=_DOWN, linewidth=0.8)
    axes[0].set_yticks(range(len(shown)), [_name(trace.nodes[node]) for node in shown], fontsize=7)
    axes[0].set_ylim(len(shown) - 0.4, -0.6)
    axes[0].set_xlim(0, trace.span_s / _DAY_S)
    more = f", of the {len(shown)} worst of {len(trace.nodes):,} nodes" if len(trace.nodes) > len(shown) else ""
    axes[0].set_title(f"Down times{more}")
    if taken:
        times = [decision.time_s / _DAY_S for decision in taken]
        axes[1].step(times, 100 * np.cumsum([decision.moved for decision in taken]), where="post", color=_COLOURS[0])
        axes[1].set_ylabel("moved, % of\nall keys, summed")
    axes[-1].set_xlabel("days")
    return figure


def outcomes(result: Mapping[str, Any]) -> Figure:
    """What `ringward.simulation.simulate` returned, in four figures.

    Unavailable key-seconds with their intervals; keys moved, needed and not; detection against mistakes; load.
    """
    summary: Mapping[str, Any] = result["summary"]
    names = [*summary]
    detectors = [*next(iter(summary.values()))["detectors"]]
    figure = _new(12, 8)
    axes = figure.subplots(2, 2)
    _bars(axes[0, 0], summary, detectors, "unavailable_key_s", "unavailable key-seconds")
    _moves(axes[0, 1], summary)
    _tradeoff(axes[1, 0], summary[names[0]]["detectors"])
    _bars(axes[1, 1], summary, detectors, "load.p99", "load p99, 1 is due to the weight")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), title="detector")
    return figure


def _bars(axes: Any, summary: Mapping[str, Any], detectors: Sequence[str], figure: str, title: str) -> None:
    width = 0.8 / len(detectors)
    for i, detector in enumerate(detectors):
        rows = [each["detectors"][detector][figure] for each in summary.values()]
        means = np.array([row["mean"] for row in rows])
        spread = [means - [row["low"] for row in rows], [row["high"] for row in rows] - means]
        places = np.arange(len(rows)) - 0.4 + width * (i + 0.5)
        colour = _COLOURS[i % len(_COLOURS)]
        axes.bar(
            places, means, width, yerr=np.maximum(spread, 0), color=colour, label=_name(detector), error_kw={"lw": 0.8}
        )
    _labelled(axes, summary, title)


def _moves(axes: Any, summary: Mapping[str, Any]) -> None:
    places = np.arange(len(summary))
    least, needless = (
        [each[name]["mean"] for each in summary.values()] for name in ("moved_least", "moved_needlessly")
    )
    axes.bar(places, least, 0.6, color=_COLOURS[2], label="what had to")
    axes.bar(places, needless, 0.6, bottom=least, color=_DOWN, label="needlessly")
    detector = next(iter(summary.values()))["detector"]
    axes.legend()
    _labelled(axes, summary, f"keys moved, 1 is all keys once (by {_name(detector)})")


def _labelled(axes: Any, summary: Mapping[str, Any], title: str) -> None:
    crowded = len(summary) > 3
    rotation, side = (20, "right") if crowded else (0, "center")
    axes.set_xticks(range(len(summary)), [_name(name) for name in summary], rotation=rotation, ha=side)
    axes.set_title(title)


def _tradeoff(axes: Any, detectors: Mapping[str, Any]) -> None:
    """Each detector is a point: the nearer to the corner, the better."""
    for i, (name, figures) in enumerate(detectors.items()):
        late, wrong = figures["detection_s.p50"]["mean"], figures["mistake_rate"]["mean"]
        if late is None:
            continue
        axes.scatter([late], [wrong], s=60, color=_COLOURS[i % len(_COLOURS)], zorder=3)
        axes.annotate(_name(name), (late, wrong), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.margins(0.2)
    axes.set_xlim(left=0 - 0.02 * axes.get_xlim()[1])
    axes.set_ylim(bottom=0 - 0.04 * axes.get_ylim()[1])
    axes.set_xlabel("an outage is detected after, s (median)")
    axes.set_ylabel("mistakes an hour and node")
    axes.set_title("late against wrong")
    axes.grid(alpha=0.3)


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure to a file: `.png`, `.svg` or `.pdf`."""
    ending = str(path).rpartition(".")[2].lower()
    if ending not in _FORMATS:
        raise ArgumentError("path", f"a name that ends in .{', .'.join(_FORMATS)}", str(path))
    data = drawn(figure, ending)
    with open(path, "wb") as target:  # noqa: PTH123 - any path-like will do
        target.write(data)


def svg(figure: Figure) -> str:
    """A figure as SVG: for a page."""
    return drawn(figure, "svg").decode()


def drawn(figure: Figure, format: str) -> bytes:
    """A figure in a format; the same figure always gives the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415 - as in `_new`

    target = io.BytesIO()
    with rc_context({"svg.hashsalt": "ringward"}):
        figure.savefig(target, format=format, dpi=110, metadata=_UNDATED[format])
    return target.getvalue()


_UNDATED: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
