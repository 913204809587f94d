"""The plots of docs/peers.md.

Colours say what a peer is: blue is ringward, red native rings, green and gold array tools, greys Python rings, browns
rendezvous, purple jump hash.
"""

from __future__ import annotations

from harness.plotting import GREY, STYLE, Line, draw, floor, in_time, logarithmic, name_lines, plt, save

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
FLOORS = {"one": "dict lookup", "integers": "np.copyto"}


def peer_lines(cells, works):
    """A line for each peer that has figures for the works, which are added up."""
    lines = []
    for module, colour in COLOURS.items():
        sizes = [
            n
            for n in cells.sizes
            if module in cells.versions and not any(cells.why_not(module, n, work) for work in works)
        ]
        if sizes:
            least = tuple(sum(cells.least(module, n, work) for work in works) for n in sizes)
            peer = adapter(module)
            uncounted = bool(peer.changes_uncounted) and works[0] in CHANGES
            label = f"{peer.label} †" if uncounted else peer.label
            lines.append(Line(label, colour, tuple(sizes), least, module in OURS, uncounted))
    return lines


def panels(cells, titles, path, width):
    """One panel for each `works` → title, side by side, nodes on the x axis."""
    with plt.rc_context(STYLE):
        figure, row = plt.subplots(1, len(titles), figsize=(width, 4.8), squeeze=False)
        drawn = []
        for axes, (works, title) in zip(row[0], titles.items(), strict=True):
            lines = peer_lines(cells, works)
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


def quality_plot(cells, nodes, path):
    """Balance beside the time of a lookup, movement beside the time of a change: low and left is good."""
    balance, movement = [], []
    for module in COLOURS:
        if module not in cells.versions or any(
            cells.why_not(module, nodes, work) for work in ("quality", "one", "add")
        ):
            continue
        found = cells.runs(module, nodes, "quality")[0]
        if found["keys"] < 100 * nodes:
            continue
        excess = 100 * (found["balance"] / found["balance_even"] - 1)
        balance.append((cells.least(module, nodes, "one"), excess, module))
        addition, removal = (cells.runs(module, nodes, change)[0] for change in ("addition", "removal"))
        if "cannot" not in removal:
            change_ns = cells.least(module, nodes, "add") + cells.least(module, nodes, "remove")
            moved = removal["moved"] + addition["moved"]
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


def peers_plots(cells, folder, suffix=".svg"):
    """All plots of docs/peers.md."""
    panels(cells, {("one",): "One str key"}, folder / f"peers-one-key{suffix}", 8.2)
    columns = {("list",): "A list of str → nodes, a key", ("integers",): "An array of uint64 → nodes, a key"}
    panels(cells, columns, folder / f"peers-columns{suffix}", 10.5)
    changes = {("build",): "Build", ("add", "remove"): "Add one node and remove it again"}
    panels(cells, changes, folder / f"peers-changes{suffix}", 10.5)
    quality_plot(cells, 100, folder / f"peers-quality{suffix}")
