"""The second part of `ringward demo`: a stream through four processes, one of which is killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import click

import ringward as rw
from ringward.cli.cleanup import cleaned_on_signals
from ringward.cli.demo import logbook
from ringward.events import Processor
from ringward.events.model.membership import member_of

__all__ = ["Streamed", "streamed"]

GROUP = "logbook"
_CHUNK = 500  # events a commit
_TIMEOUT_S = 60.0
_POLL_S = 0.02

Show = Callable[[int, dict[str, int]], None]  # events published, and handled by member


@dataclass
class Streamed:
    """What became of the stream.

    Attributes
    ----------
    killed : str
        The member whose process was killed.
    after : int
        Events published when it was.
    waiting : int
        Events of its partitions that were not handled then.
    takeover_ms : float
        From the kill to the first event of its partitions that another member handled.
    seconds : float
        From the first publish until all was handled.
    partitions, handled : dict of str to int
        Of each member; partitions as they were before the kill.
    checks : dict of str to bool
    """

    killed: str
    events: int
    after: int = 0
    waiting: int = 0
    takeover_ms: float = 0.0
    seconds: float = 0.0
    partitions: dict[str, int] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)


class _Row(NamedTuple):
    seq: int
    key: str
    partition: int
    epoch: int
    pid: int
    at_ns: int


class _Worker(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]
    errors: Path

    def check(self) -> None:
        """Raise when it has ended by itself."""
        if self.process.poll() is not None:
            said = self.errors.read_text(errors="replace").strip().splitlines() or ["nothing said"]
            raise click.ClickException(f"the worker {self.name} ended: {said[-1]}")


class _Run(NamedTuple):
    processor: Processor
    book: apsw.Connection
    workers: dict[str, _Worker]

    def handled(self) -> dict[str, int]:
        """How many events each member has handled."""
        rows: list[Any] = self.book.execute(logbook.COUNTS).fetchall()
        counts = dict(rows)
        return {name: counts.get(worker.process.pid, 0) for name, worker in self.workers.items()}


def streamed(
    keys: Sequence[str], payloads: Sequence[bytes], members: Sequence[str], killed: str, show: Show
) -> Streamed:
    """Publish events while processes handle them, kill one with -9 half-way, and check what is there in the end."""
    outcome = Streamed(killed, len(keys))
    with ExitStack() as cleaned:
        folder = Path(
            cleaned.enter_context(tempfile.TemporaryDirectory(prefix="ringward-", ignore_cleanup_errors=True))
        )
        file = folder / "flights.db"
        processor = cleaned.enter_context(Processor(file, producer="demo"))
        book = apsw.Connection(str(file))
        cleaned.callback(book.close)
        book.set_busy_timeout(5000)
        book.execute(logbook.TABLE)
        workers: dict[str, _Worker] = {}
        cleaned.enter_context(cleaned_on_signals(lambda: _given_up(workers, folder)))
        workers.update((name, cleaned.enter_context(_worker(name, file))) for name in members)
        _until(lambda: _joined(processor, members), workers.values())
        counts = Counter(_owners(processor).values())
        outcome.partitions = {name: counts[name] for name in members}
        run = _Run(processor, book, workers)
        died_ns = _stream(run, keys, payloads, outcome, show)
        rows: list[Any] = [_Row(*row) for row in book.execute(logbook.ROWS)]
        outcome.handled = run.handled()
        victim = workers[killed].process.pid
        _check(outcome, rows, keys, victim, died_ns)
        outcome.checks["nothing is in the dead-letter queue"] = not processor.store.dead_letters(GROUP)
        outcome.checks["the file is whole: digests, chain, SQLite's own check"] = not processor.verify()
    return outcome


def _given_up(workers: dict[str, _Worker], folder: Path) -> None:
    """Leave no process and no file behind."""
    for worker in workers.values():
        worker.process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _worker(name: str, file: Path) -> Iterator[_Worker]:
    """A process that runs `ringward events work`, ended in an orderly way where the platform has signals."""
    errors = file.with_name(f"{name}.err")
    command = [
        *(sys.executable, "-P", "-m", "ringward", "events", "work", str(file)),
        *("--group", GROUP, "--member", name, "--handler", f"{logbook.__name__}:{logbook.record.__name__}"),
    ]
    with (
        errors.open("wb") as said,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said) as process,  # noqa: S603 - our own command
    ):
        try:
            yield _Worker(name, process, errors)
        finally:
            process.terminate()
            try:
                process.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _until(so: Callable[[], bool], workers: Any) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not so():
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            raise click.ClickException(f"the workers were not ready within {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def _owners(processor: Processor) -> dict[int, str]:
    """Partition → member that has claimed it."""
    states = processor.store.states(GROUP)
    return {partition: member_of(state.owner) for partition, state in states.items() if state.owner is not None}


def _joined(processor: Processor, members: Sequence[str]) -> bool:
    try:
        owners = _owners(processor)
        membership = processor.store.membership(GROUP)
    except rw.UnknownGroupError:  # no worker has come so far
        return False
    up = set() if membership is None else {name for name, member in membership.members if member.up}
    return up == set(members) == set(owners.values()) and len(owners) == processor.store.stream.partitions


def _stream(run: _Run, keys: Sequence[str], payloads: Sequence[bytes], outcome: Streamed, show: Show) -> int:
    """Publish all, kill a worker half-way, and wait until all is handled; when it was killed."""
    began = time.monotonic()
    victim = run.workers[outcome.killed]
    others = [worker for worker in run.workers.values() if worker is not victim]
    died_ns = 0
    for first in range(0, len(keys), _CHUNK):
        run.processor.publish_many(keys[first : first + _CHUNK], payloads[first : first + _CHUNK])
        show(min(first + _CHUNK, len(keys)), run.handled())
        if not died_ns and first + _CHUNK >= len(keys) // 2:
            _until(lambda: run.handled()[outcome.killed] > 0, run.workers.values())
            died_ns = _kill(run.processor, victim, outcome)
            outcome.after = first + _CHUNK

    def done() -> bool:
        show(len(keys), run.handled())
        return not run.processor.store.unresolved(GROUP)

    _until(done, others)
    outcome.seconds = round(time.monotonic() - began, 3)
    return died_ns


def _kill(processor: Processor, victim: _Worker, outcome: Streamed) -> int:
    """Kill a worker with -9, or what the platform has for it; when."""
    mine = [partition for partition, name in _owners(processor).items() if name == outcome.killed]
    victim.process.kill()
    died_ns = time.time_ns()
    victim.process.wait()
    waiting = processor.store.unresolved(GROUP)
    outcome.waiting = sum(waiting.get(partition, 0) for partition in mine)
    return died_ns


def _check(outcome: Streamed, rows: Sequence[_Row], keys: Sequence[str], victim: int, died_ns: int) -> None:
    checks = outcome.checks
    seqs = [row.seq for row in rows]
    checks["every event was handled"] = set(seqs) == set(range(1, len(keys) + 1))
    checks["none was handled twice"] = len(set(seqs)) == len(seqs)
    checks["each is the one that was published"] = all(keys[row.seq - 1] == row.key for row in rows)
    last: defaultdict[str, int] = defaultdict(int)
    in_order = True
    for row in rows:
        in_order &= last[row.key] < row.seq
        last[row.key] = row.seq
    checks["the events of each aircraft were handled in order"] = in_order
    epochs: defaultdict[int, int] = defaultdict(int)
    rising = True
    heirs: dict[int, int] = {}  # partition of the dead member → when another first handled an event of it
    lost = {row.partition for row in rows if row.pid == victim}
    fenced = True
    for row in rows:
        rising &= epochs[row.partition] <= row.epoch
        epochs[row.partition] = row.epoch
        if row.pid != victim and row.at_ns > died_ns and row.partition in lost:
            heirs.setdefault(row.partition, row.at_ns)
        fenced &= row.pid != victim or row.partition not in heirs
    checks["no partition's epoch ever fell"] = rising
    checks[f"{outcome.killed} wrote nothing after it was taken over"] = fenced and bool(heirs)
    outcome.takeover_ms = round((min(heirs.values(), default=died_ns) - died_ns) / 1e6, 1)
