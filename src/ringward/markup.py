"""Tables in HTML, for notebooks. Text from outside is neutral, short and escaped; styles are inline and suit light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ringward.texts import neutral, shortened

__all__ = ["ROWS_MOST", "bar", "document", "escaped", "table"]

ROWS_MOST = 50
_TEXT_MOST = 80
_FILL = "#5b8db8"  # told apart from white and from black

# Names may hold dollar signs, and notebooks would typeset what is between them as mathematics.
_ROOT = '<div class="tex2jax_ignore mathjax_ignore" style="font-family:sans-serif;font-size:90%">'
_TABLE = '<table style="border-collapse:collapse;border:none;margin:.4em 0">'
_CELL = "padding:.1em .8em .1em 0;border:none;vertical-align:middle;white-space:nowrap"
_BAR = "position:relative;width:12em;height:.9em"


def escaped(text: str, most: int = _TEXT_MOST) -> str:
    """A text as it may stand in HTML, between tags and in an attribute."""
    return html.escape(shortened(neutral(text), most))


def bar(share: float, full: float, mark: float | None = None) -> str:
    """A bar as long as `share` is of `full`, with a line at `mark`. The figure has to stand beside it, for who sees no bars."""

    def part(value: float) -> str:
        return f"{100 * min(max(value / full, 0.0), 1.0) if full > 0 else 0.0:.1f}%"

    line = (
        "" if mark is None else f'<div style="position:absolute;left:{part(mark)};top:-.1em;width:2px;height:1.1em;'
        'background:currentColor"></div>'
    )  # fmt: skip
    return f'<div aria-hidden="true" style="{_BAR}"><div style="width:{part(share)};height:100%;background:{_FILL}"></div>{line}</div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], figures: Sequence[str] = ()) -> str:
    """A table of cells that are HTML already; columns named in `figures` are set to the right."""
    sides = ["right" if column in figures else "left" for column in columns]

    def line(tag: str, cells: Sequence[str]) -> str:
        inner = (
            f'<{tag} style="{_CELL};text-align:{side}">{cell}</{tag}>' for side, cell in zip(sides, cells, strict=True)
        )
        return f'<tr style="background:none">{"".join(inner)}</tr>'

    body = "".join(line("td", row) for row in rows)
    return f"{_TABLE}<thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>"


def document(heading: str, *parts: str) -> str:
    """A heading and what follows it, all of it HTML already."""
    return f"{_ROOT}<div>{heading}</div>{''.join(parts)}</div>"
