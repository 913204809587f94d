"""What the pages on events say that can be compared with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from ringward.events import Options, Processor, Retention, Retry, SqliteStore, aio

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OPTION = re.compile(r"^\| `(\w+)\.(\w+)` \| `([^`]+)` \|", re.MULTILINE)
FOR_TESTS = {"store", "path", "now", "chance", "clock", "faults"}  # what is not an option


def defaults(kind):
    """The options of a class with their defaults."""
    parameters = inspect.signature(kind).parameters
    return {
        name: parameter.default
        if parameter.default.__class__.__name__ != "_HAS_DEFAULT_FACTORY_CLASS"
        else getattr(kind(), name)
        for name, parameter in parameters.items()
        if name not in FOR_TESTS
    }


@pytest.mark.parametrize("kind", [Processor, Retention, SqliteStore, Options, Retry])
def test_the_table_of_options_has_every_option_and_its_default(kind):
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    told = {name: default for owner, name, default in OPTION.findall(text) if owner == kind.__name__}
    own = {"Retry": Retry(), "Retention": Retention()}
    made = {
        name: f"{type(value).__name__}()" if value in own.values() else repr(value)
        for name, value in defaults(kind).items()
    }
    assert told == made


def test_the_table_of_options_has_what_asyncio_alone_has():
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    assert f"| `aio.Processor.concurrency` | `{defaults(aio.Processor)['concurrency']}` |" in text


@pytest.mark.parametrize("page", ["what-happens-when.md", "reliability.md"])
def test_the_tests_that_a_page_names_exist(page):
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text(encoding="utf-8")))
    assert named <= defined, named - defined


def test_every_row_of_what_happens_when_names_a_test():
    text = (DOCS / "what-happens-when.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and not re.match(r"\| (when it dies|what) \|", line)
    ]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"`test_\w+`(, `test_\w+`)* \|$", row)] == []
