"""Ctrl-C at any moment: no lock stays locked, whatever the version of Python looks for signals at."""

from __future__ import annotations

import ast
import dis
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

import ringward
from ringward.mutex import Mutex

INTERRUPTS = 1000
LOCKS = {"lock", "_lock", "_reading", "_ending"}


def once(mutex: Mutex) -> None:
    """Take it."""
    with mutex:
        len("")


def twice(mutex: Mutex) -> None:
    """Take it twice."""
    with mutex, mutex:
        len("")


class Interrupt:
    """What Ctrl-C does, once for each time that it is armed."""

    armed = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


def interrupted(take: Callable[[Mutex], None], mutex: Mutex, interrupt: Interrupt, seconds: float) -> None:
    """Take a mutex until the interrupt comes. A call of its own: at a jump back no `try` around it holds in CPython 3.13."""
    interrupt.armed = True
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.002)  # CPython 3.11 loses some
    while interrupt.armed:
        take(mutex)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no signals by time")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where one hits the garbage collector
@pytest.mark.parametrize("take", [once, twice])
def test_an_interrupt_never_leaves_a_mutex_locked(take: Callable[[Mutex], None]) -> None:
    """In CPython 3.14 one of five leaves a `threading.Lock` locked."""
    chance, mutex, interrupt = random.Random(1), Mutex(), Interrupt()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(INTERRUPTS):
            try:
                interrupted(take, mutex, interrupt, 5e-5 * (1 + chance.random()))
            except KeyboardInterrupt:
                assert not mutex._is_owned()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def codes(code: CodeType) -> Iterator[CodeType]:
    """A compiled module and all that is in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def named(node: ast.AST) -> str | None:
    """The last part of a name."""
    return getattr(node, "attr", getattr(node, "id", None))


def holds_a_lock(statement: ast.With) -> bool:
    """Whether a `with` takes one."""
    return any(named(item.context_expr) in LOCKS for item in statement.items)


def escapes(source: str, name: str) -> list[str]:
    """Where an interrupt leaves the block of a lock without its end: jumps back that its exception table leaves out."""
    blocks = [
        (statement.body[0].lineno, statement.body[-1].end_lineno or 0)
        for statement in ast.walk(ast.parse(source))
        if isinstance(statement, ast.With) and holds_a_lock(statement)
    ]
    found = []
    for code in codes(compile(source, name, "exec")):
        guarded = list(dis.Bytecode(code).exception_entries)
        for step in dis.get_instructions(code):
            where = step.positions
            if step.opname != "JUMP_BACKWARD" or where is None or where.lineno is None:
                continue
            inside = any(code.co_firstlineno < first <= where.lineno <= last for first, last in blocks)
            if inside and not any(entry.start <= step.offset < entry.end for entry in guarded):
                found.append(f"{name}:{where.lineno}: {code.co_qualname}")
    return found


def test_no_block_of_a_lock_can_be_left_without_its_end() -> None:
    """No jump back, where CPython looks for signals, lies outside of what the `with` guards."""
    root = Path(ringward.__file__).parent
    places = [place for path in sorted(root.rglob("*.py")) for place in escapes(path.read_text("utf-8"), str(path))]
    assert places == []


def plain_locks(tree: ast.Module) -> set[str]:
    """The names of locks of the standard library that a `with` takes."""
    made = {
        named(target)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call)
        if named(statement.value.func) in {"Lock", "RLock", "Condition", "Semaphore"}
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    }
    taken = {
        named(item.context_expr)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.With)
        for item in statement.items
    }
    return {name for name in made & taken if name}


def test_every_lock_that_a_with_takes_is_a_mutex() -> None:
    """Others stay locked where an interrupt comes in CPython 3.14; a `Condition` anywhere, its `__exit__` is in Python."""
    root = Path(ringward.__file__).parent
    found = {str(path): plain_locks(ast.parse(path.read_text("utf-8"))) for path in root.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.skipif(sys.version_info[:2] != (3, 14), reason="CPython 3.14 compiles it so; others may not")
@pytest.mark.parametrize(
    "body",
    ["return [item for item in items if item]", "for item in items:\n            if item: item()\n        return 1"],
)
def test_such_places_are_found(body: str) -> None:
    """The test above is none without it."""
    assert len(escapes(f"def work(lock, items):\n    with lock:\n        {body}\n", "work.py")) == 1
