"""The documentation: its examples run, its links lead somewhere, and no public name is missing."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pasted
import pytest

import ringward as rw

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
REPOSITORY = URLS["Repository"]
ON_MAIN = f"{REPOSITORY}/blob/main/"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
USED = re.compile(r"\[[^\]\n]+\](?:\[([^\]\n]+)\])")
DEFINED = re.compile(r"^\[([^\]\n]+)\]: (\S+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def failures(test: doctest.DocTest, globs: dict[str, Any]) -> str:
    """Run the examples of a docstring or block in `globs`, and return what went wrong."""
    said: list[str] = []
    test.globs = globs
    doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    return "".join(said)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where the pages are shown."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documented() -> Iterator[doctest.DocTest]:
    """Yield every docstring of the installed package that has examples, once.

    A router adopts the compiled methods, so their docstrings turn up at each class again. Cython lists them too, in `__test__`.
    """
    seen: set[str] = set()
    modules = [info.name for info in pkgutil.walk_packages(rw.__path__, "ringward.")]
    for name in ["ringward", *(name for name in modules if not name.endswith("__main__"))]:
        for test in doctest.DocTestFinder().find(importlib.import_module(name)):
            if test.examples and test.docstring not in seen and ".__test__." not in test.name:
                seen.add(test.docstring)
                yield test


DOCUMENTED = list(documented())


def test_the_pages_are_there() -> None:
    """These tests run from the checkout: without its pages they would check nothing."""
    names = {page.name for page in PAGES}
    assert names >= {"README.md", "CHANGELOG.md", "index.md", "tutorial.md", "howto.md", "reference.md"}
    assert names >= {"failover.md", "strategies.md", "architecture.md", "glossary.md", "contributing.md", "cli.md"}


@every_page
def test_the_examples_of_a_page_run(page: Path) -> None:
    """Blocks of a page run in one namespace, in order, as they are pasted; a module is run as a file."""
    text = page.read_text(encoding="utf-8")
    globs: dict[str, Any] = {"__name__": "__main__"}
    assert ">>>" not in text, "examples are pasted: no prompts, and `# ->` before what is shown (tests/pasted.py)"
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        if pasted.is_file(block[1]):
            exec(compile("\n" * line + block[1], str(page), "exec"), globs)  # noqa: S102 - our own examples
        else:
            assert not pasted.failures(block[1], page.name, line + 1, globs)


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("1 + 1  # -> 2\nprint('a')\n# -> a", 0),
        ("for i in range(2):\n    print(i)\n# -> 0\n#    1\n\ni  # -> 1", 0),
        ("1 + 1  # untold", 0),
        ("1 + 1  # -> 3", 1),
        ("print('a')", 1),
        ("x = 1  # -> 1", 1),
        ("print('a')\n# -> a\n#    b", 1),
        ("print('a\\nb')\n# -> a\n# b", 1),
    ],
)
def test_a_wrong_example_is_found(block: str, wrong: int) -> None:
    """What is told is what is shown, and what is printed is told."""
    assert len(pasted.failures(block, "page", 1, {})) == wrong


@pytest.mark.parametrize("block", ["for i in 'a':\n    i\ni", "def f():\n    a = 1\n\n    return a", "f(\n1"])
def test_what_the_prompt_does_not_take_is_found(block: str) -> None:
    """A body ends at the first blank line, and needs one, when it is pasted into Python 3.12 or older."""
    with pytest.raises((SyntaxError, AssertionError)):
        pasted.failures(block, "page", 1, {})


def links(page: Path) -> list[str]:
    """The links of a page; those to a file of the project under its public address as a path from the root."""
    text = CODE.sub("", FENCED.sub("", page.read_text(encoding="utf-8")))
    defined = dict(DEFINED.findall(text))
    assert set(USED.findall(text)) <= set(defined)
    return [re.sub(rf"^{re.escape(ON_MAIN)}", "/", link) for link in [*LINK.findall(text), *defined.values()]]


def resolved(page: Path, path: str) -> Path:
    """The file that the path of a link of a page leads to."""
    if not path:
        return page
    return (ROOT / path[1:] if path.startswith("/") else page.parent / path).resolve()


@every_page
def test_a_page_says_what_its_examples_need(page: Path) -> None:
    """What is neither Python's nor installed with ringward stands in a `pip install` of the page."""
    text = page.read_text(encoding="utf-8")
    nodes = [node for block in BLOCK.findall(text) for node in ast.walk(ast.parse(block))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    needed = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"ringward", "numpy", "xxhash"}
    told = " ".join(re.findall(r"pip install ([^`\n]+)", text))
    assert {name for name in needed if name not in told} == set()


@every_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Links into the repository name files that are there, and headings that these have."""
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = resolved(page, path)
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_a_page_can_be_reached_from_the_readme(page: Path) -> None:
    """Every page is linked from the README or from the map of the pages."""
    entries = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    linked = {resolved(entry, link.partition("#")[0]) for entry in entries for link in links(entry)}
    assert page in linked | {ROOT / "README.md"}


def test_the_links_of_the_readme_hold_on_a_package_index() -> None:
    """There, relative links lead nowhere, nor do anchors of the page; nor do images."""
    text = FENCED.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    targets = [*LINK.findall(text), *dict(DEFINED.findall(text)).values()]
    assert len(targets) > 10
    assert [link for link in targets if not link.startswith("https://")] == []
    assert not re.search(r"<(img|a)\b", text)
    assert {link for link in targets if link.startswith(REPOSITORY)} == {link for link in targets if ON_MAIN in link}


def test_the_metadata_says_where_the_project_is() -> None:
    """Under the labels that package indexes know; the files are there."""
    assert set(URLS) >= {"Documentation", "Repository", "Issues", "Changelog"}
    for url in URLS.values():
        assert url.startswith(REPOSITORY)
        if url.startswith(ON_MAIN):
            assert (ROOT / url.removeprefix(ON_MAIN)).is_file()


@pytest.mark.parametrize("name", rw.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """The reference lists `name` or `rw.name` as code."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert re.search(rf"`(rw\.)?{name}\b", text)


@pytest.mark.parametrize("name", rw.errors.__all__)
def test_the_table_of_errors_is_right(name: str) -> None:
    """Each error stands beside a built-in that it derives from."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \| `(\w+)` \|", text, re.MULTILINE)
    assert row, name
    assert row[1] in {base.__name__ for base in getattr(rw, name).__mro__[1:]}


def test_compiled_methods_have_examples() -> None:
    """The finder sees docstrings of compiled methods, which are no Python functions."""
    reader = {name.rpartition(".")[2] for name in (test.name for test in DOCUMENTED) if ".Reader." in name}
    assert reader >= {"route", "candidates", "assign", "assign_hashes"}


@pytest.mark.parametrize("test", DOCUMENTED, ids=[test.name for test in DOCUMENTED])
def test_the_examples_of_a_docstring_run(test: doctest.DocTest) -> None:
    """Examples in docstrings show what the code does."""
    assert not failures(test, {"__name__": "__main__"})
