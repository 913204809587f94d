"""The commands of docs/cli.md and docs/choosing.md print what the page says; those of a stream and `demo` have tests of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = {"A stream of events in a file", "Everything on real events"}

SHELL = shutil.which("bash")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt" or SHELL is None, reason="the page is for a Unix shell"),
]


def commands(page: str) -> list[tuple[str, str]]:
    """Each command and what it shall print."""
    found: list[tuple[str, str]] = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE):
        if section.partition("\n")[0] in ELSEWHERE:
            continue
        for kind, block in BLOCK.findall(section):
            if kind == "sh":
                found.append((block, ""))
                continue
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                found.append((command, printed))
    return found


LONG = pytest.mark.skipif("RINGWARD_LONG" not in os.environ, reason="one of the long runs")


@pytest.mark.parametrize(("page", "least"), [("cli.md", 10), pytest.param("choosing.md", 2, marks=LONG)])
def test_the_commands_of_the_page_print_what_it_says(page: str, least: int, tmp_path: Path) -> None:
    """In one folder, one after the other, from the lines that make the files."""
    tools, folder = tmp_path / "bin", tmp_path / "folder"
    tools.mkdir()
    folder.mkdir()
    for name, arguments in (("ringward", " -m ringward"), ("python", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"}
    environment.pop("FORCE_COLOR", None)
    wrong = []
    found = commands((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(found) > least
    for command, expected in found:
        run = subprocess.run(
            [str(SHELL), "-c", command], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        said = run.stdout + run.stderr
        if [line.rstrip() for line in said.splitlines()] != [line.rstrip() for line in expected.splitlines()]:
            wrong.append(f"$ {command}\n{said}instead of\n{expected}")
    assert not wrong, "\n".join(wrong)
