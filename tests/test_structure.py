"""What the layout of the code promises."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import itertools
import pydoc
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import ringward as rw
import ringward.events
import ringward.failover
import ringward.health.probes

SOURCE = Path(__file__).parent.parent / "src" / "ringward"
BENCH = SOURCE.parents[1] / "bench"
EXT = SOURCE.parents[1] / "ext"
FOLDERS = (
    "base",
    "hash",
    "kernels",
    "keys",
    "tables",
    "balance",
    "routing",
    "events",
)  # each builds on those before it


def test_exports_are_all_there_and_sorted_once() -> None:
    """Every name of __all__ exists, none is named twice, and nothing public is left out."""
    assert len(set(rw.__all__)) == len(rw.__all__)
    assert all(hasattr(rw, name) for name in rw.__all__)
    errors = {name for name, value in vars(rw.errors).items() if isinstance(value, type) and not name.startswith("_")}
    assert errors == set(rw.errors.__all__) <= set(rw.__all__)


def test_every_error_is_also_a_builtin() -> None:
    """Whoever catches ValueError, TypeError, LookupError or RuntimeError catches ours."""
    for name in rw.errors.__all__:
        error = getattr(rw.errors, name)
        assert issubclass(error, rw.RingwardError)
        builtin = (ValueError, TypeError, LookupError, RuntimeError, OSError)
        assert error is rw.RingwardError or issubclass(error, builtin)


def public() -> Iterator[tuple[str, Any]]:
    """What users call: everything public of the packages, and the methods of their classes."""
    for package in (rw, ringward.events, ringward.failover, ringward.health):
        for name in package.__all__:
            value = getattr(package, name)
            if callable(value):
                yield f"{package.__name__}.{name}", value
            if isinstance(value, type):
                foreign = {*dir(BaseException), *dir(int), *dir(str), *dir(tuple), *dir(dict), *dir(list)}
                for member in set(dir(value)) - foreign:
                    if not member.startswith("_") and callable(getattr(value, member)):
                        yield f"{package.__name__}.{name}.{member}", getattr(value, member)


PUBLIC = dict(public())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_everything_public_has_a_signature_and_help(name: str) -> None:
    """Compiled methods once had neither for `inspect`, and their help began with the name of an inner class."""
    signature = inspect.signature(PUBLIC[name])
    described = pydoc.plain(pydoc.render_doc(PUBLIC[name]))
    assert "Reader." not in described.partition("\n\n")[2].partition("\n")[0]
    if not isinstance(PUBLIC[name], type):
        assert all(parameter in described for parameter in signature.parameters)
        assert inspect.getdoc(PUBLIC[name]), "says nothing"


def test_compiled_methods_have_the_signatures_that_type_checkers_see() -> None:
    """Of classes and of instances, and with the defaults; stubtest compares the rest with the stubs."""
    nodes = ["node1"]
    for router in (rw.HashRing(nodes), rw.PartitionTable(nodes), rw.HashRing(nodes).snapshot()):
        assert str(inspect.signature(router.route)) == "(key, /)"
        assert str(inspect.signature(type(router).route)) == "(self, key, /)"
        assert inspect.signature(router.candidates).parameters["count"].default is None
        assign = inspect.signature(router.assign).parameters
        assert assign["nulls"].default == "raise"
        assert {name for name, each in assign.items() if each.kind is each.KEYWORD_ONLY} >= {"count", "out", "threads"}


HEAVY = (
    "importlib.metadata",
    "email",
    "zipfile",
    "csv",
    "socket",
    "asyncio",
    "logging",
    "inspect",
    "typing_extensions",
)
HEAVY += (
    "subprocess",
    "multiprocessing",
    "sqlite3",
    "ssl",
    "http",
    "urllib",
    "tempfile",
    "unittest",
    "decimal",
    "doctest",
)
HEAVY += ("apsw", "click", "rich", "pandas", "polars", "pyarrow", "duckdb", "msgspec", "opentelemetry", "dask")


def test_the_import_costs_little_over_that_of_numpy() -> None:
    """`importlib.metadata` alone, for the version, took half of the time, and brought `email`, `csv` and `zipfile`."""
    code = "import sys, numpy; before = set(sys.modules); import ringward; print(*set(sys.modules) - before)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fresh = set(child.stdout.split())
    assert "ringward.router" in fresh
    assert not fresh & set(HEAVY)
    assert len({name for name in fresh if not name.startswith("ringward")}) < 40
    assert "ringward.events" not in fresh
    assert "ringward.failover" not in fresh
    assert "ringward.health" not in fresh
    assert "ringward.cli" not in fresh


def test_the_version_is_that_of_the_metadata() -> None:
    """It stands once, in the code, and what builds the package reads it there."""
    assert importlib.metadata.version("ringward") == rw.__version__


def test_compiled_code_has_one_door() -> None:
    """Outside _core, nothing imports a compiled module by its own name."""
    files = [path for path in SOURCE.rglob("*.py") if "_core" not in path.parts]
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("ringward._core."), path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("ringward._core.") for alias in node.names), path


def test_compiled_modules_build_on_folders_before_their_own() -> None:
    """Keys and tables know nothing of each other, and events nothing of routing."""
    sources = [path for path in EXT.rglob("*.p*") if path.suffix in {".pyx", ".pxd"}]
    folder_of = {path.stem: path.parent.name for path in sources}
    assert {*folder_of.values()} == {*FOLDERS}
    used: dict[str, set[str]] = {folder: set() for folder in FOLDERS}
    for path in sources:
        for match in re.finditer(
            r"^from (?:\.|ringward\._core\.)(\w+) c?import", path.read_text("utf-8"), re.MULTILINE
        ):
            used[path.parent.name].add(folder_of[match[1]])
    for place, folder in enumerate(FOLDERS):
        assert used[folder] <= {*FOLDERS[: place + 1]}, folder
    assert "keys" not in used["tables"]
    assert used["events"] <= {"base", "hash", "events"}


def test_every_compiled_source_is_listed_under_its_folder() -> None:
    """What is not listed is not compiled, or not rebuilt when it changes."""
    sources = [path for path in EXT.rglob("*.p*") if path.suffix in {".pyx", ".pxd"}]
    listed = {*re.findall(r"\b(\w+/\w+)\b", (EXT / "CMakeLists.txt").read_text("utf-8"))}
    assert {f"{path.parent.name}/{path.stem}" for path in sources} <= listed


def test_subclasses_have_the_compiled_methods_as_their_own() -> None:
    """The fast call needs a descriptor of the very class; what a class defines itself stays."""

    class Mine(rw.HashRing):
        __slots__ = ()

        def candidates(self, key: str, count: int | None = None) -> list[str]:
            return ["mine", *super().candidates(key, count)]

    assert Mine.__dict__["route"].__objclass__ is Mine
    assert rw.HashRing.__dict__["route"].__objclass__ is rw.HashRing
    ring = Mine(["a", "b"])
    assert ring.route("event1") == rw.HashRing(["a", "b"]).route("event1")
    assert ring.candidates("event1")[0] == "mine"
    with pytest.raises(TypeError):
        rw.HashRing.__dict__["route"](rw.PrimaryBackup(["a"]), "event1")


def test_what_a_class_overrides_its_subclasses_have_too() -> None:
    """The compiled methods once came back in a subclass of a subclass, and before those of a mixin."""

    class Loud(rw.HashRing):
        __slots__ = ()

        def route(self, key: str, /) -> str:
            return super().route(key).upper()

    class Louder(Loud):
        __slots__ = ()

    class Mixin:
        __slots__ = ()

        def assign(self, keys: list[str]) -> list[str]:
            return [self.route(key) for key in keys]

    class Mixed(Mixin, rw.HashRing):
        __slots__ = ()

    class Both(Mixin, Louder):
        __slots__ = ()

    assert Louder(["a"]).route("event1") == "A"
    assert Mixed(["a"]).assign(["event1"]) == ["a"]
    assert Both(["a"]).assign(["event1"]) == ["A"]
    assert Louder.__dict__["assign"].__objclass__ is Louder
    assert Mixed.__dict__["route"].__objclass__ is Mixed


def test_a_reader_that_was_never_initialised_has_no_nodes() -> None:
    """An object made past __init__ answers like an empty router instead of crashing."""
    bare = rw.HashRing.__new__(rw.HashRing)
    with pytest.raises(rw.NoNodeError):
        bare.route("event1")
    assert bare.candidates("event1") == []


def defined(path: Path) -> set[str]:
    """The names at the top level of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return names


def test_what_benchmarks_import_of_each_other_is_there() -> None:
    """They need packages that are not installed for the tests, so not all of them can be run."""
    modules = {path.relative_to(BENCH).with_suffix("").parts: path for path in BENCH.rglob("*.py")}
    checked = 0
    for place, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            parts = tuple(node.module.split("."))
            source = modules.get(parts) or modules.get((*place[:-1], *parts))
            if source is not None:
                missing = {alias.name for alias in node.names} - defined(source)
                assert not missing, f"{path.name} imports {missing} of {source.name}"
                checked += 1
    assert checked > 50


def test_tests_do_not_import_tests() -> None:
    """What several tests need has a module of its own, so that a test can be moved or split by itself."""
    tests = Path(__file__).parent
    importing = re.compile(r"^ *(?:from|import) (?:[\w.]*\.)?test_\w+", re.MULTILINE)
    found = [
        str(file.relative_to(tests))
        for file in sorted(tests.rglob("*.py"))
        if importing.search(file.read_text("utf-8"))
    ]
    assert found == []


ARCHITECTURE = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the table in docs/architecture.md whose first heading this is."""
    lines = ARCHITECTURE.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_list_of_rooms_is_that_of_the_folders() -> None:
    """Every module and folder of the package stands in one row, in the order that the import contract holds."""
    rows = [named(row[0]) for row in rows_under("room in `src/ringward/`")]
    listed = [name for row in rows for name in row]
    there = {path.name + "/" * path.is_dir() for path in SOURCE.iterdir()}
    there -= {"__init__.py", "__pycache__/", "py.typed", "engines/"}
    there |= {f"engines/{path.name}" for path in (SOURCE / "engines").glob("*.py") if path.name != "__init__.py"}
    assert sorted(listed) == sorted(there)
    contracts = tomllib.loads((EXT.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"[\w.]+", layer) for layer in reversed(contracts[0]["layers"])]
    level = {module.removeprefix("ringward."): i for i, layer in enumerate(layers) for module in layer}
    levels = [{level[name.removesuffix("/").removesuffix(".py").replace("/", ".")] for name in row if name != "data/"}
              for row in rows]  # fmt: skip
    assert all(max(below) < min(above) for below, above in itertools.pairwise(levels))
    assert set().union(*levels) == set(level.values())


def test_the_list_of_compiled_folders_is_that_of_the_sources() -> None:
    """Each folder stands there in the order in which they build on one another, with all its files."""
    rows = rows_under("folder in `ext/`")
    assert [named(folder) for folder, _ in rows] == [[f"{folder}/"] for folder in FOLDERS]
    for folder, told in zip(FOLDERS, (row[1] for row in rows), strict=True):
        assert {*named(told)} == {path.stem for path in (EXT / folder).iterdir()}, folder


def test_room_is_left_where_the_architecture_says_so() -> None:
    """Once something is there, it belongs into the list of rooms."""
    for name, _, above in rows_under("name in `src/ringward/`"):
        assert not (SOURCE / named(name)[0]).exists()
        assert named(above)


def test_what_the_architecture_names_is_there() -> None:
    """Paths of files in docs/architecture.md, relative to the repository, the package or its parent."""
    left = {named(row[0])[0] for row in rows_under("name in `src/ringward/`")} | {"probes/"}
    prose = re.sub(r"^```.*?^```", "", ARCHITECTURE, flags=re.MULTILINE | re.DOTALL)
    paths = {name for name in named(prose) if re.fullmatch(r"[\w./*]+(/|\.(py|pyx|pxd|toml|md|json))", name)}
    assert len(paths) > 50
    roots = (EXT.parent, SOURCE, SOURCE.parent, EXT)
    missing = [path for path in paths - left if not any([*root.glob(path)] for root in roots)]
    assert missing == []


def test_the_page_on_the_event_processor_names_every_module() -> None:
    """A new file of `events/` has its line there."""
    page = (SOURCE.parents[1] / "docs" / "events-internals.md").read_text(encoding="utf-8")
    rooms = page[page.index("## The rooms") : page.index("## What is stored")]
    folders = {"memory": "`memory/`"}  # named as a whole
    modules = [file.relative_to(SOURCE / "events") for file in sorted((SOURCE / "events").rglob("*.py"))]
    missing = [
        str(module)
        for module in modules
        if module.name != "__init__.py" and folders.get(module.parent.name, f"{module.name}`") not in rooms
    ]
    assert missing == []


def test_annotations_of_what_is_public_can_be_read_at_run_time() -> None:
    """Tools that document, check or inject by them do."""
    rooms = (rw, ringward.events, ringward.health, ringward.health.probes, ringward.failover)
    classes = {each for room in rooms for name in room.__all__ if inspect.isclass(each := getattr(room, name))}
    assert len(classes) > 50
    for each in classes:
        for name, member in inspect.getmembers(each):
            function = member.fget if isinstance(member, property) else member
            plain = inspect.isfunction(function) or inspect.ismethod(function)
            if plain and (name == "__init__" or not name.startswith("_")):
                get_type_hints(function)
