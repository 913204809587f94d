"""Tables and prose in the width of a terminal: words are not cut where they fit at all."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

__all__ = ["GAP", "paragraph", "screen_width", "table_lines"]

GAP = "  "
_WIDTH_LEAST = 20
_PROSE_MOST = 100  # longer lines are hard to read
_WORD_MOST = 30  # longer ones, such as names of hundreds of characters, are cut
_RULE = "─"


def screen_width() -> int:
    """The columns of the terminal; 80 where there is none."""
    return max(shutil.get_terminal_size().columns, _WIDTH_LEAST)


def paragraph(text: str) -> str:
    """Prose, broken between words."""
    return textwrap.fill(" ".join(text.split()), min(screen_width(), _PROSE_MOST), break_on_hyphens=False)


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str], width: int | None
) -> list[str]:
    """The lines of a table.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence of str
        Cells.
    left : sequence of str
        Headings of columns of text, set to the left; numbers stand to the right.
    width : int or None
        What there is room for. Cells are broken between words then; where a word does not fit, each row is a list of
        its cells. None: any width will do, and there is no rule.
    """
    cells = [[*columns], *map(list, rows)]
    natural = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    aligned = [column in left for column in columns]
    widths = natural if width is None else _fitted(cells, natural, aligned, width)
    if widths is None:
        return _records(columns, rows, width or 0)
    lines = [line for row in cells for line in _row_lines(row, widths, aligned)]
    if width is not None:
        heading = len(_row_lines(cells[0], widths, aligned))
        lines.insert(heading, GAP.join(_RULE * each for each in widths))
    return lines


def _fitted(cells: list[list[str]], natural: list[int], aligned: list[bool], width: int) -> list[int] | None:
    """Widths that fit, the widest columns made narrower first; None where a longest word or a figure is in the way."""
    least = [
        min(max(cell_len(word) for cell in column for word in (cell.split(" ") if is_text else [cell])), _WORD_MOST)
        for column, is_text in zip(zip(*cells[1:], strict=True), aligned, strict=True)
    ] or [0] * len(natural)
    headings = [max(map(cell_len, heading.split(" "))) for heading in cells[0]]
    least = [max(pair) for pair in zip(least, headings, strict=True)]
    widths = [min(each, width) for each in natural]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        spare = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not spare:
            return None
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int], aligned: Sequence[bool]) -> list[str]:
    parts = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, parts))):
        line = []
        for part, width, is_left in zip(parts, widths, aligned, strict=True):
            text = part[number] if number < len(part) else ""
            pad = " " * (width - cell_len(text))
            line.append(text + pad if is_left else pad + text)
        lines.append(GAP.join(line).rstrip())
    return lines


def _wrapped(cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    if cell_len(cell) > len(cell):  # wide characters, as of Chinese, may be broken anywhere
        return chop_cells(cell, width)
    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
            if cell:
                indent = GAP if i else ""
                lines += textwrap.wrap(f"{column}: {cell}", width, initial_indent=indent, subsequent_indent=GAP * 2)
    return lines
