"""The plot of the cost growth in docs/performance.md."""

from __future__ import annotations

import math

import numpy as np
from harness.plotting import GREY, STYLE, Line, briefly, count, draw, floor, in_bytes, name_lines, plt, save

CACHE = "#c0392b"
GROWTH_COLOURS = ("#7fb2e5", "#3b8fe0", "#0b4fa0", "#052a5c")


def growth_plot(sizes, caches, lookup_bytes, path):
    """Time a key by nodes and by keys with the floor that memory sets; the memory that a ring holds."""
    nodes = tuple(sizes)
    most = max(next(iter(sizes.values()))["keys"])
    with plt.rc_context(STYLE):
        figure, ((by_nodes, by_keys), (memory, tables)) = plt.subplots(2, 2, figsize=(10.5, 8), height_ratios=(3, 2))
        lines = [
            Line(call, colour, nodes, tuple(size["keys"][most][call] for size in sizes.values()), strong)
            for call, colour, strong in (("assign", "#0b4fa0", True), ("assign_hashes", "#3b8fe0", False))
        ]
        draw(by_nodes, lines, briefly)
        mark_caches(by_nodes, nodes, tuple(lookup_bytes.values()), caches)
        by_nodes.set_title(f"Time a key by nodes, {count(most)} keys")
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
    shown = [n for n in (10, 1_000, 10_000, 100_000) if n in sizes]
    lines = []
    for n, colour in zip(shown, GROWTH_COLOURS, strict=False):
        figures = sizes[n]["keys"]
        times = tuple(figures[keys]["assign"] for keys in figures)
        lines.append(Line(f"{n:,} nodes", colour, tuple(figures), times, strong=True))
    first = next(iter(sizes.values()))["keys"]
    copies = tuple(min(size["keys"][keys]["copyto"] for size in sizes.values()) for keys in first)
    lines.append(Line("np.copyto", GREY, tuple(first), copies, dashed=True))
    draw(axes, lines, briefly)
    axes.set_title("assign, time a key by keys")
    axes.set_xlabel("keys in the column")
    return lines


def memory_panel(axes, nodes, sizes):
    """Bytes a point: the ring, and the direct table on top where there is one."""
    built = [size["built_b"] / size["points"] for size in sizes.values()]
    direct = [size["direct_b"] / size["points"] for size in sizes.values()]
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
