"""Group commit, on a connection that only takes notes."""

from __future__ import annotations

import threading
import time

import pytest

from ringward._core import GroupCommit


class Connection:
    """What was committed, in which transactions."""

    def __init__(self):
        self.statements = []
        self.in_transaction = False

    def execute(self, sql):
        """Note a statement."""
        self.statements.append(sql)
        self.in_transaction = sql.startswith(("BEGIN", "SAVEPOINT")) or (
            self.in_transaction and sql not in ("COMMIT", "ROLLBACK")
        )


class Nothing:
    """A turnstile and headroom that do nothing."""

    failed = False

    def enter(self):
        """Pass."""

    leave = keep = enter


class Writer(GroupCommit):
    """Shows errors as they are."""

    def failure(self, error):
        """As it is."""
        return error


@pytest.fixture
def writer():
    nothing = Nothing()
    return Writer(Connection(), nothing, nothing, lambda _: None)


def until(holds):
    """Wait for another thread."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.0005)


def raising(error):
    """An operation that fails."""

    def operation():
        raise error

    return operation


def together(writer, first, others):
    """Run operations in one transaction, the first in this thread, which leads; results or errors of the others."""
    before, results = writer.admitted(), {}

    def run(number):
        try:
            results[number] = writer.run(others[number])
        except BaseException as error:  # noqa: BLE001 - what it was is what is looked at
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(others))]

    def begin():
        until(lambda: writer.lead.waiting == 1)
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda number=number: writer.lead.waiting == 2 + number)
        writer.lead.pass_on(before)

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
    assert writer.lead.waiting == 0


def test_who_cannot_say_what_went_wrong_keeps_nobody_waiting(writer, monkeypatch):
    interrupt = KeyboardInterrupt()
    times = [0]

    def failure(self, error):
        times[0] += 1
        if times[0] == 1:
            raise interrupt
        return error

    monkeypatch.setattr(Writer, "failure", failure)
    monkeypatch.setattr(Nothing, "keep", lambda _: raising(ValueError("no"))())
    first, others = together(writer, lambda: "first", [lambda: "second"])
    assert first is interrupt
    assert isinstance(others[0], ValueError)
