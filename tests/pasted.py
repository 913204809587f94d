"""Examples of pages, run as a reader pastes them at Python's prompt, and their results checked.

`# -> ` after a statement, or below it, begins what it shows: what it prints, and its value as the prompt displays it. Comments
indented by four go on with that. What prints has to tell so; a value may go untold.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from codeop import CommandCompiler
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

__all__ = ["failures", "is_file"]

_BEGINS = re.compile(r"(?:^|  )# -> (.*)$")
_GOES_ON = re.compile(r"^#    (.*)$")


@dataclass(frozen=True)
class _Statement:
    code: CodeType
    line: int
    lines: list[str]  # with the comments below it

    @property
    def told(self) -> str:
        told: list[str] = []
        within = False
        for line in self.lines:
            found = _BEGINS.search(line) or (_GOES_ON.match(line) if within else None)
            within = found is not None
            if found:
                told.append(found[1].rstrip())
        return "\n".join(told)


def is_file(block: str) -> bool:
    """Whether a block is a module to save, which begins with its docstring, and not to be pasted."""
    return block.startswith('"""')


def _statements(block: str, page: str, first: int) -> list[_Statement]:
    """The statements as the prompt takes them, line by line; a body ends at a blank line."""
    compiled = CommandCompiler()
    found: list[_Statement] = []
    pending: list[str] = []
    for number, line in enumerate([*block.rstrip("\n").split("\n"), ""], first):
        if not pending and (not line or line.startswith("#")):
            if found:
                found[-1].lines.append(line)
            continue
        pending.append(line)
        try:
            code = compiled("\n".join(pending), f"{page}:{number}", "single")
        except SyntaxError as error:
            error.add_note(f"line {number}: the prompt takes no blank line inside of a body, and needs one after it")
            raise
        if code is not None:
            found.append(_Statement(code, number, pending))
            pending = []
    assert not pending, f"{page}: the block beginning at line {first} ends inside of a statement"
    return found


@contextlib.contextmanager
def _prompt() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Catch what is shown, and of that what is the display of a value."""
    shown, values = io.StringIO(), io.StringIO()

    def display(value: object) -> None:
        if value is not None:
            for stream in (shown, values):
                print(repr(value), file=stream)

    before, sys.displayhook = sys.displayhook, display
    try:
        with contextlib.redirect_stdout(shown):
            yield shown, values
    finally:
        sys.displayhook = before


def failures(block: str, page: str, first: int, globs: dict[str, Any]) -> list[str]:
    """Run a block that begins at line `first` of a page in `globs`, and return where it shows something else than it tells."""
    wrong: list[str] = []
    for statement in _statements(block, page, first):
        with _prompt() as (shown, values):
            exec(statement.code, globs)  # noqa: S102 - our own examples
        got = "\n".join(line.rstrip() for line in shown.getvalue().rstrip("\n").split("\n"))
        if got != statement.told and (statement.told or shown.getvalue() != values.getvalue()):
            wrong.append(f"{page}:{statement.line}: told\n{statement.told}\nbut shows\n{got}")
    return wrong
