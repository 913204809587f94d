"""Lines on logarithmic axes, with their names at their right end, as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib as mpl

mpl.use("agg")  # no screen

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

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


def in_bytes(size):
    """Bytes as a person says them."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size:g} B"
