"""The plots of docs/peers.md and of the cost growth in docs/performance.md, as SVG.

Lines carry their names at their right end. Colours say what a peer is: blue is ringward, red
native rings, green and gold array tools, greys Python rings, browns rendezvous, purple jump hash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

mpl.use("agg")  # no screen

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator
from peers.peer import OURS, adapter
from peers.tables import CHANGES

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
FLOORS = {"one": "dict lookup", "integers": "np.copyto"}
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
    dashed: bool = False


def in_time(ns):
    """Nanoseconds as a person says them."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns:g} ns"


def count(number):
    """A count in full, or in millions."""
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.0f} million"


def briefly(number):
    """A count for a narrow place."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


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
                  ls=(0, (3, 2)) if line.dashed else "-", ms=4.5 if line.strong else 3,
                  zorder=3 if line.strong else 2)  # fmt: skip
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


def peer_lines(cells, versions, works):
    """A line for each peer that has figures for the works, which are added up."""
    lines = []
    for module, colour in COLOURS.items():
        sizes = [
            n for n in cells.sizes if versions.get(module) and not any(cells.why_not(module, n, work) for work in works)
        ]
        if sizes:
            least = tuple(sum(cells.least(module, n, work) for work in works) for n in sizes)
            peer = adapter(module)
            uncounted = bool(peer.changes_uncounted) and works[0] in CHANGES
            label = f"{peer.label} †" if uncounted else peer.label
            lines.append(Line(label, colour, tuple(sizes), least, module in OURS, uncounted))
    return lines


def panels(cells, versions, titles, path, width):
    """One panel for each `works` → title, side by side, nodes on the x axis."""
    with plt.rc_context(STYLE):
        figure, row = plt.subplots(1, len(titles), figsize=(width, 4.8), squeeze=False)
        drawn = []
        for axes, (works, title) in zip(row[0], titles.items(), strict=True):
            lines = peer_lines(cells, versions, works)
            draw(axes, lines)
            axes.set_title(title)
            axes.set_xlabel("nodes")
            if works[0] in FLOORS:
                ns = cells.reference(cells.sizes[0], works[0])
                axes.set_ylim(bottom=ns / 2)
                floor(axes, ns, FLOORS[works[0]])
            drawn.append((axes, lines))
        for axes, lines in drawn:  # all limits are final now
            name_lines(axes, lines)
        save(figure, path)


def quality_plot(cells, versions, nodes, path):
    """Balance beside the time of a lookup, movement beside the time of a change: low and left is good."""
    balance, movement = [], []
    for module in COLOURS:
        if not versions.get(module) or any(cells.why_not(module, nodes, work) for work in ("quality", "one", "add")):
            continue
        found = cells.runs(module, nodes, "quality")[0]
        if found["keys"] < 100 * nodes:
            continue
        excess = 100 * (found["balance"] / found["balance_even"] - 1)
        balance.append((cells.least(module, nodes, "one"), excess, module))
        if "cannot" not in found["removal"]:
            change_ns = cells.least(module, nodes, "add") + cells.least(module, nodes, "remove")
            moved = found["removal"]["moved"] + found["addition"]["moved"]
            movement.append((change_ns, moved / (1 / nodes + 1 / (nodes + 1)), module))
    if not balance or not movement:
        return
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(2, 1, figsize=(8.2, 7.6), height_ratios=(3, 2))
        left.set_title(f"Balance: keys of the busiest of {nodes:,} nodes, beyond those an even hash would give it")
        left.set_xlabel("time of one str key")
        right.set_title("Movement: keys that one removal and one addition move, × the optimum")
        right.set_xlabel("time to add one node and remove it again")
        for axes, dots, told in ((left, balance, "{:+.0f} %"), (right, movement, "{:.1f}")):
            logarithmic(axes.xaxis, "x", in_time)
            axes.yaxis.set_major_formatter(told.format)
            for time_ns, percent, module in dots:
                axes.plot(time_ns, percent, "o", color=COLOURS[module], ms=9 if module in OURS else 6, zorder=3)
            axes.grid(visible=True, axis="both")
            axes.margins(x=0.2, y=0.12)
        right.axhline(1, color=GREY, lw=1, ls=(0, (4, 3)), zorder=1)
        right.set_ylim(0.5, max(1.5, *(1.1 * times for _, times, _ in movement)))
        figure.canvas.draw()
        name_dots(left, balance)
        name_dots(right, movement)
        save(figure, path)


def name_dots(axes, dots):
    """A name near each dot, where it covers no other dot and no other name."""
    points = {module: axes.transData.transform((x, y)) * 72 / axes.figure.dpi for x, y, module in dots}
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points.values()]
    left = axes.bbox.x0 * 72 / axes.figure.dpi
    for time_ns, percent, module in sorted(dots):
        x, y = points[module]
        label = adapter(module).label
        width = (6.1 if module in OURS else 5.2) * len(label)
        for dy in (0, 10, -10, 20, -20, 30, -30, 40, -40, 50):
            fits = [
                dx
                for dx in (9, -9 - width, -width / 2)
                if (dy or dx != -width / 2) and x + dx > left
                if not any(overlap(box_at(x + dx, y + dy, width), box) for box in taken)
            ]
            if fits:
                break
        dx = fits[0] if fits else 9
        taken.append(box_at(x + dx, y + dy, width))
        far = {"arrowprops": {"arrowstyle": "-", "color": COLOURS[module], "lw": 0.6}} if abs(dy) > 10 else {}
        axes.annotate(label, (time_ns, percent), xytext=(dx, dy), textcoords="offset points",
                      va="center", color=COLOURS[module], fontsize=8.5,
                      fontweight="bold" if module in OURS else "normal", **far)  # fmt: skip


def box_at(x, y, width):
    return (x, y - 5, x + width, y + 5)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def peers_plots(cells, versions, folder, suffix=".svg"):
    """All plots of docs/peers.md."""
    panels(cells, versions, {("one",): "One str key"}, folder / f"peers-one-key{suffix}", 8.2)
    columns = {("list",): "A list of str → nodes, a key", ("integers",): "An array of uint64 → nodes, a key"}
    panels(cells, versions, columns, folder / f"peers-columns{suffix}", 10.5)
    changes = {("build",): "Build", ("add", "remove"): "Add one node and remove it again"}
    panels(cells, versions, changes, folder / f"peers-changes{suffix}", 10.5)
    quality_plot(cells, versions, 100, folder / f"peers-quality{suffix}")


CACHE = "#c0392b"
GROWTH_COLOURS = ("#7fb2e5", "#3b8fe0", "#0b4fa0", "#052a5c")


def growth_plot(sizes, caches, lookup_bytes, path):
    """Time a key by nodes and by keys with the floor that memory sets; the memory that a ring holds."""
    nodes = tuple(int(n) for n in sizes)
    most = max(next(iter(sizes.values()))["keys"], key=int)
    with plt.rc_context(STYLE):
        figure, ((by_nodes, by_keys), (memory, tables)) = plt.subplots(2, 2, figsize=(10.5, 8), height_ratios=(3, 2))
        lines = [
            Line(call, colour, nodes, tuple(size["keys"][most][call] for size in sizes.values()), strong)
            for call, colour, strong in (("assign", "#0b4fa0", True), ("assign_hashes", "#3b8fe0", False))
        ]
        draw(by_nodes, lines, briefly)
        mark_caches(by_nodes, nodes, tuple(lookup_bytes.values()), caches)
        by_nodes.set_title(f"Time a key by nodes, {count(int(most))} keys")
        by_nodes.set_xlabel("nodes")
        ns = min(size["keys"][most]["copyto"] for size in sizes.values())
        by_nodes.set_ylim(ns / 2)
        floor(by_nodes, ns, "np.copyto of the keys")
        key_lines = growth_by_keys(by_keys, sizes)
        memory_panel(memory, nodes, sizes)
        table_panel(tables, nodes, lookup_bytes, caches)
        name_lines(by_nodes, lines)
        name_lines(by_keys, key_lines)
        save(figure, path)


def growth_by_keys(axes, sizes):
    """Time a key by keys, for a few numbers of nodes, and `np.copyto`, which is the limit."""
    shown = [n for n in (10, 1_000, 10_000, 100_000) if str(n) in sizes]
    lines = []
    for n, colour in zip(shown, GROWTH_COLOURS, strict=False):
        figures = sizes[str(n)]["keys"]
        times = tuple(figures[keys]["assign"] for keys in figures)
        lines.append(Line(f"{n:,} nodes", colour, tuple(map(int, figures)), times, strong=True))
    first = next(iter(sizes.values()))["keys"]
    copies = tuple(min(size["keys"][keys]["copyto"] for size in sizes.values()) for keys in first)
    lines.append(Line("np.copyto", GREY, tuple(map(int, first)), copies, dashed=True))
    draw(axes, lines, briefly)
    axes.set_title("assign, time a key by keys")
    axes.set_xlabel("keys in the column")
    return lines


def memory_panel(axes, nodes, sizes):
    """Bytes a point: the ring, and the direct table on top where there is one."""
    built = [size["built"] / size["points"] for size in sizes.values()]
    direct = [size["direct"] / size["points"] for size in sizes.values()]
    places = range(len(nodes))
    axes.bar(places, built, color="#3b8fe0", label="ring")
    axes.bar(places, direct, bottom=built, color="#b9d6f5", label="direct table")
    axes.set_xticks(places, [briefly(n) for n in nodes])
    axes.set_title("Memory, bytes a point (160 points a node)")
    axes.set_xlabel("nodes")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper right")
    axes.set_ylim(top=1.2 * max(map(sum, zip(built, direct, strict=True))))


def table_panel(axes, nodes, lookup_bytes, caches):
    """The bytes that the lookups of a column spread over, beside the caches."""
    line = Line("", "#0b4fa0", nodes, tuple(lookup_bytes.values()), strong=True)
    draw(axes, [line], briefly, in_bytes)
    axes.set_yticks([2**14, 2**17, 2**20, 2**23, 2**26, 2**29])
    for name, size in caches.items():
        axes.axhline(size, color=CACHE, lw=1, ls=(0, (4, 3)), zorder=1)
        axes.annotate(f"{name}, {in_bytes(size)}", (1, size), xycoords=("axes fraction", "data"), xytext=(6, 0),
                      textcoords="offset points", va="center", color=CACHE, fontsize=8.5)  # fmt: skip
    axes.set_title("What a column's lookups spread over, beside the caches")
    axes.set_xlabel("nodes")


def mark_caches(axes, nodes, table_bytes, caches):
    """Upright lines where the table outgrows a cache."""
    for name, size in caches.items():
        if not table_bytes[0] < size < table_bytes[-1]:
            continue
        place = math.exp(np.interp(math.log(size), np.log(table_bytes), np.log(nodes)))
        axes.axvline(place, color=CACHE, lw=1, ls=(0, (1, 2)), zorder=1)
        axes.annotate(f"> {name}", (place, 1), xycoords=("data", "axes fraction"), xytext=(2, -2),
                      textcoords="offset points", va="top", color=CACHE, fontsize=8)  # fmt: skip


def in_bytes(size):
    """Bytes as a person says them."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size:g} B"
