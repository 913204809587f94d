"""Group commit, on a connection that only takes notes."""

from __future__ import annotations

import signal
import sys
import threading

import apsw
import pytest
from waiting import until

import ringward as rw
from ringward._core import GroupCommit, Job


class Connection:
    """What was committed, in which transactions."""

    def __init__(self):
        self.statements = []
        self.in_transaction = False

    def cursor(self):
        """What executes statements."""
        return self

    executemany = None

    def execute(self, sql):
        """Note a statement."""
        self.statements.append(sql)
        self.in_transaction = sql.startswith(("BEGIN", "SAVEPOINT")) or (
            self.in_transaction and sql not in ("COMMIT", "ROLLBACK")
        )


class Nothing:
    """A write lock that does nothing."""

    failed = False

    def enter(self):
        """Pass."""

    leave = enter


class Writer(GroupCommit):
    """Shows errors as they are."""

    database = apsw

    def failure(self, error):
        """As it is."""
        return error


@pytest.fixture
def writer():
    nothing = Nothing()
    return Writer(Connection(), nothing, nothing, lambda _: None)


def held(writer):
    """Let another thread have the connection; what `pass_on` takes."""
    job = Job(None, alone=True, thread=-1)
    assert writer.queue.join(job)
    assert writer.queue.collect(job) == [job]
    return job


def raising(error):
    """An operation that fails."""

    def operation():
        raise error

    return operation


def together(writer, first, others):
    """Run operations in one transaction, the first in this thread, which leads; results or errors of the others."""
    before, results = held(writer), {}

    def run(number):
        try:
            results[number] = writer.run(others[number])
        except BaseException as error:  # noqa: BLE001 - what it was is what is looked at
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(others))]

    def begin():
        until(lambda: writer.queue.waiting == 1)
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda number=number: writer.queue.waiting == 2 + number)
        writer.queue.pass_on(before)

    beginning = threading.Thread(target=begin, daemon=True)
    beginning.start()
    try:
        return writer.run(first), results
    except BaseException as error:  # noqa: BLE001 - as above
        return error, results
    finally:
        for thread in (beginning, *threads):
            thread.join(10)
            assert not thread.is_alive()


def test_what_waits_at_once_is_one_transaction(writer):
    found = together(writer, lambda: "first", [lambda: "second", lambda: "third"])
    assert found == ("first", {0: "second", 1: "third"})
    assert writer.connection.statements == ["BEGIN IMMEDIATE", "COMMIT"]


def test_who_fails_fails_alone(writer):
    error = ValueError("no")
    found = together(writer, lambda: "first", [raising(error), lambda: "third"])
    assert found == ("first", {0: error, 1: "third"})
    statements = writer.connection.statements
    assert statements[:3] == ["BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE"]
    assert statements.count("SAVEPOINT job") == statements.count("RELEASE job") == 3
    assert statements.count("ROLLBACK TO job") == 1
    assert statements[-1] == "COMMIT"


def test_a_leader_that_is_interrupted_leaves_the_others_what_they_wanted(writer):
    # They got its interrupt, in whatever thread they were.
    interrupt = KeyboardInterrupt()
    found = together(writer, raising(interrupt), [lambda: "second", lambda: "third"])
    assert found == (interrupt, {0: "second", 1: "third"})
    assert writer.connection.statements == ["BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE", "COMMIT"]
    assert writer.run(lambda: "after") == "after"


def test_a_leader_that_is_interrupted_by_the_operation_of_another_is_alone_with_that(writer):
    interrupts = [KeyboardInterrupt()]

    def second():
        if interrupts:
            raise interrupts.pop()
        return "second"

    interrupt = interrupts[0]
    assert together(writer, lambda: "first", [second]) == (interrupt, {0: "second"})


def test_a_leader_that_is_interrupted_after_the_commit_has_committed_for_the_others(writer):
    interrupt = KeyboardInterrupt()
    writer.faults = lambda point: point == "committed" and raising(interrupt)()
    found = together(writer, lambda: "first", [lambda: "second"])
    assert found == (interrupt, {0: "second"})
    assert writer.connection.statements == ["BEGIN IMMEDIATE", "COMMIT"]
    writer.faults = lambda _: None
    assert writer.run(lambda: "after") == "after"
    assert writer.queue.waiting == 0


def test_who_cannot_say_what_went_wrong_keeps_nobody_waiting(writer, monkeypatch):
    interrupt = KeyboardInterrupt()
    times = [0]

    def failure(self, error):
        times[0] += 1
        if times[0] == 1:
            raise interrupt
        return error

    monkeypatch.setattr(Writer, "failure", failure)
    monkeypatch.setattr(Nothing, "enter", lambda _: raising(ValueError("no"))())
    first, others = together(writer, lambda: "first", [lambda: "second"])
    assert first is interrupt
    assert isinstance(others[0], ValueError)


def test_an_error_that_was_undone_is_forgotten(writer):
    # The second failed apart; the leader was interrupted, and the second was repeated: it kept its error.
    interrupt, attempts = KeyboardInterrupt(), []

    def second():
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise ValueError("no")
        return "second"

    def faults(point):
        if point == "commit" and len(attempts) == 2:
            raise interrupt

    writer.faults = faults
    assert together(writer, lambda: "first", [second]) == (interrupt, {0: "second"})


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals for threads")
def test_who_has_left_is_not_put_back(writer):
    # It was to lead next, and was not there.
    before, inside, gone = held(writer), threading.Event(), threading.Event()

    def operation():
        inside.set()
        assert gone.wait(10)
        raise SystemExit

    def lead():
        with pytest.raises(SystemExit):
            writer.run(operation)

    def release():
        until(lambda: writer.queue.waiting == 2)
        writer.queue.pass_on(before)
        assert inside.wait(10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    threads = [threading.Thread(target=lead, daemon=True), threading.Thread(target=release, daemon=True)]
    threads[0].start()
    until(lambda: writer.queue.waiting == 1)
    handler = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        threads[1].start()
        with pytest.raises(KeyboardInterrupt):
            writer.run(lambda: "of the one that leaves")
    finally:
        signal.signal(signal.SIGUSR1, handler)
    gone.set()
    for thread in threads:
        thread.join(10)
    other = threading.Thread(target=writer.run, args=(lambda: "other",), daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()


def test_what_a_handler_of_a_signal_raises_reaches_the_thread_that_ran_it(writer):
    # It looked as if an operation had failed: all were repeated, and it was lost.
    errors = [LookupError("of a handler")]
    error = errors[0]

    def second():
        if errors:
            raise errors.pop()
        return "second"

    assert together(writer, lambda: "first", [second]) == (error, {0: "second"})
    assert writer.connection.statements[-1] == "COMMIT"


def test_a_rollback_that_is_interrupted_is_repeated(writer, monkeypatch):
    # The transaction stayed open, and the next could not begin.
    interrupts = [KeyboardInterrupt()]
    execute = Connection.execute

    def interrupted(self, sql):
        if sql == "ROLLBACK" and interrupts:
            raise interrupts.pop()
        execute(self, sql)

    monkeypatch.setattr(Connection, "execute", interrupted)
    interrupted_writer = Writer(Connection(), writer.write_lock, writer.write_lock, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        interrupted_writer.run(raising(ValueError("no")))
    assert not interrupted_writer.connection.in_transaction


def test_a_turn_that_another_thread_has_cancelled_takes_nothing_more(writer):
    lock = threading.RLock()
    writer.take(lock)
    assert writer.run(lambda: "inside", joins=True) == "inside"
    with pytest.raises(rw.TransactionError, match="nothing but publish"):
        writer.run(lambda: "inside")
    cancelling = threading.Thread(target=writer.cancel_taken)
    cancelling.start()
    cancelling.join()
    with pytest.raises(rw.TransactionError, match="took too long"):
        writer.run(lambda: "late", joins=True)
    writer.lost()
    assert writer.run(lambda: "after", joins=True) == "after"
