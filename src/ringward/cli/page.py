"""One page of HTML that holds everything: figures, tables, and nothing from a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import click

from ringward import markup, plots
from ringward.cli.output_file import output_file
from ringward.markup import escaped

__all__ = ["checked_page_path", "checked_plot_path", "write_page", "write_plot"]

_STYLE = (
    "body{font-family:sans-serif;max-width:80em;margin:2em auto;padding:0 1em;background:#fff;color:#111}"
    "img{max-width:100%;display:block;margin:1em 0}table{font-size:95%}"
)


def checked_page_path(_ctx: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    """A callback that looks for what draws the figures before anything runs for long."""
    if path is not None:
        plots.needed()
    return path


def checked_plot_path(ctx: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """A callback that refuses a file whose name says no format that is drawn."""
    if path is not None and path.rpartition(".")[2].lower() not in {"png", "svg", "pdf"}:
        raise click.BadParameter(f"must end in .png, .svg or .pdf (was {path})")
    return checked_page_path(ctx, option, path)


def write_plot(path: str, figure: plots.Figure) -> None:
    """A figure in a file, which takes its place once all is written."""
    data = plots.drawn(figure, path.rpartition(".")[2].lower())
    with output_file(path) as target:
        target.write(data)


def write_page(
    path: str,
    title: str,
    texts: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    *,
    left: Sequence[str],
    figures: Sequence[tuple[str, plots.Figure]],
) -> None:
    """A page of paragraphs, figures with what they show, and a table: rows by heading; columns `left` are of text."""
    parts = [f"<h1>{escaped(title)}</h1>", *(f"<p>{escaped(text, 2000)}</p>" for text in texts)]
    for shows, figure in figures:
        data = base64.b64encode(plots.drawn(figure, "svg")).decode()
        parts.append(f'<img alt="{escaped(shows, 300)}" src="data:image/svg+xml;base64,{data}">')
    columns = [escaped(column) for column in rows[0]]
    cells = [[escaped(cell) for cell in row.values()] for row in rows]
    parts.append(markup.table(columns, cells, [column for column in columns if column not in left]))
    head = f'<meta charset="utf-8"><title>{escaped(title)}</title><style>{_STYLE}</style>'
    with output_file(path) as target:
        target.write(
            f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'.encode()
        )
