"""What the layout of the code promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ringward as rw

SOURCE = Path(__file__).parent.parent / "src" / "ringward"
BENCH = SOURCE.parents[1] / "bench"


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
