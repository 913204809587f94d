"""The plots of docs/peers.md and of the cost growth in docs/performance.md, as SVG.

Lines carry their names at their right end. Colours say what a peer is: blue is ringward, red
native rings, green and gold array tools, greys Python rings, browns rendezvous, purple jump hash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen
from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: E402
from peers.peer import OURS, adapter  # noqa: E402

COLOURS = {
    "ringward_ring": "#0b4fa0",
    "ringward_table": "#3b8fe0",
    "fastring_ring": "#d1344b",
    "uhashring_ring": "#4d4d4d",
    "uhashring_xxh3": "#6e6e6e",
    "hashring_ring": "#8c8c8c",
    "tooz_ring": "#a3a3a3",
    "jump_hash": "#8445b5",
    "clandestined_rendezvous": "#9a5b2b",
    "pymemcache_rendezvous": "#c48a54",
    "numpy_ring": "#1f7a4d",
    "numba_ring": "#4aa564",
    "numba_table": "#86bf3f",
    "polars_table": "#c29a00",
}
GREY = "#5a5a5a"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "svg.hashsalt": "ringward",
    "figure.constrained_layout.use": True,
}
LABEL_PT = 10.5  # between the middles of two labels


@dataclass(frozen=True, slots=True)
class Line:
    """One named line of a panel."""

    label: str
    colour: str
    xs: tuple
    ys: tuple
    strong: bool = False


def in_time(ns):
    """Nanoseconds as a person says them."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns:g} ns"


def count(number):
    """A count as a person says it."""
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.0f} million"


def save(figure, path):
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, facecolor="white", dpi=110)
    plt.close(figure)


def logarithmic(axis, name, formatter):
    """A scale of powers of ten, told by `formatter`."""
    getattr(axis.axes, f"set_{name}scale")("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _position: formatter(value)))
    axis.set_minor_locator(NullLocator())


def draw(axes, lines, x_formatter=count, y_formatter=in_time):
    """Lines on double logarithmic axes with their names at the right."""
    logarithmic(axes.xaxis, "x", x_formatter)
    logarithmic(axes.yaxis, "y", y_formatter)
    for line in lines:
        axes.plot(line.xs, line.ys, color=line.colour, lw=2.8 if line.strong else 1.4, marker="o",
                  ms=4.5 if line.strong else 3, zorder=3 if line.strong else 2)  # fmt: skip
    sizes = sorted({x for line in lines for x in line.xs})
    axes.set_xticks([x for x in sizes if math.log10(x).is_integer()])
    axes.margins(x=0.02)


def name_lines(axes, lines):
    """The names at the right ends, pushed apart where they would overlap; after the limits are final."""
    figure = axes.figure
    figure.canvas.draw()
    to_points = 72 / figure.dpi
    transform = axes.transData
    ends = sorted((transform.transform((line.xs[-1], line.ys[-1]))[1] * to_points, i) for i, line in enumerate(lines))
    wanted = [end for end, _ in ends]
    for place, i in zip(spread(wanted), (i for _, i in ends), strict=True):
        line = lines[i]
        axes.annotate(
            line.label, (line.xs[-1], line.ys[-1]), xytext=(14, place - wanted[[j for _, j in ends].index(i)]),
            textcoords="offset points", color=line.colour, va="center", annotation_clip=False,
            fontweight="bold" if line.strong else "normal", fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": line.colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def spread(wanted, gap=LABEL_PT):
    """Places in the same order, at least `gap` apart, that move as little as a pool of neighbours must."""
    pools = []  # (mean of the pool's first place, how many)
    for i, place in enumerate(wanted):
        pools.append([place - i * gap, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, size = pools.pop()
            pools[-1] = [(pools[-1][0] * pools[-1][1] + mean * size) / (pools[-1][1] + size), pools[-1][1] + size]
    starts = [mean for mean, size in pools for _ in range(size)]
    return [start + i * gap for i, start in enumerate(starts)]


def floor(axes, ns, text):
    """A dashed line below which nothing can be."""
    axes.axhline(ns, color=GREY, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.annotate(text, (0.01, ns), xycoords=("axes fraction", "data"), xytext=(0, -3), textcoords="offset points",
                  va="top", color=GREY, fontsize=8)  # fmt: skip


def peer_lines(cells, versions, work):
    """A line for each peer that has figures for the work."""
    lines = []
    for module in COLOURS:
        sizes = [n for n in cells.sizes if versions.get(module) and not cells.why_not(module, n, work)]
        if sizes:
            least = tuple(cells.least(module, n, work) for n in sizes)
            lines.append(Line(adapter(module).label, COLOURS[module], tuple(sizes), least, module in OURS))
    return lines


def panels(cells, versions, works, path, width, height, floors=()):
    """One panel a work, side by side, nodes on the x axis."""
    with plt.rc_context(STYLE):
        figure, row = plt.subplots(1, len(works), figsize=(width, height), squeeze=False)
        drawn = []
        for axes, (work, title) in zip(row[0], works.items(), strict=True):
            lines = peer_lines(cells, versions, work)
            draw(axes, lines)
            axes.set_title(title)
            axes.set_xlabel("nodes")
            if work in floors:
                ns = cells.reference(cells.sizes[0], work)
                axes.set_ylim(bottom=ns / 2)
                floor(axes, ns, floors[work])
            drawn.append((axes, lines))
        for axes, lines in drawn:  # room for the longest name, then the names
            axes.set_xlim(right=lines[0].xs[-1] * 1.05)
            name_lines(axes, lines)
        save(figure, path)


def quality_plot(cells, versions, path, nodes):
    """Time of one key against balance: the lower left corner is where one wants to be."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8.2, 4.6))
        logarithmic(axes.xaxis, "x", in_time)
        shown = []
        for module in COLOURS:
            if not versions.get(module) or cells.why_not(module, nodes, "quality"):
                continue
            found = cells.runs(module, nodes, "quality")[0]
            excess = found["balance"] / found["balance_even"]
            if found["keys"] >= 100 * nodes:
                shown.append((cells.least(module, nodes, "one"), (excess - 1) * 100, module))
        for ns, percent, module in shown:
            axes.plot(ns, percent, "o", color=COLOURS[module], ms=9 if module in OURS else 6, zorder=3)
        axes.set_xlabel("one str key, least")
        axes.set_title(f"How much the busiest of {nodes:,} nodes has beyond an even hash, and what a lookup costs")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"+{value:.0f} %" if value else "0"))
        axes.set_ylim(bottom=min(-1.5, *(percent for _, percent, _ in shown)))
        axes.grid(visible=True, axis="both")
        axes.margins(x=0.12)
        figure.canvas.draw()
        name_dots(axes, shown)
        save(figure, path)


def name_dots(axes, shown):
    """A name beside each dot, above or below where a neighbour is close."""
    taken = []
    for ns, percent, module in sorted(shown):
        x, y = axes.transData.transform((ns, percent)) * 72 / axes.figure.dpi
        label = adapter(module).label
        width = 4.6 * len(label)
        for dx, dy in ((8, 0), (8, 10), (8, -10), (-8 - width, 0), (8, 20), (8, -20), (-8 - width, 10), (-8 - width, -10)):
            box = (x + dx, y + dy - 5, x + dx + width, y + dy + 5)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                break
        taken += [box, (x - 4, y - 4, x + 4, y + 4)]
        axes.annotate(label, (ns, percent), xytext=(dx, dy), textcoords="offset points", va="center",
                      color=COLOURS[module], fontsize=8.5, fontweight="bold" if module in OURS else "normal")  # fmt: skip


def peers_plots(cells, versions, folder, suffix=".svg"):
    """All plots of docs/peers.md."""
    panels(cells, versions, {"one": "One str key"}, folder / f"peers-one-key{suffix}", 8.2, 4.8, {"one": "dict lookup"})
    panels(
        cells,
        versions,
        {"list": "A list of str → nodes, a key", "integers": "An array of uint64 → nodes, a key"},
        folder / f"peers-columns{suffix}",
        10.5,
        4.8,
        {"list": "np.copyto of 8 bytes a key", "integers": "np.copyto"},
    )
    panels(
        cells,
        versions,
        {"build": "Build", "add": "Add one node", "remove": "Remove one node"},
        folder / f"peers-changes{suffix}",
        13,
        4.8,
    )
    quality_plot(cells, versions, folder / f"peers-quality{suffix}", 100)


