"""What a process remembers of the log between its commits holds as long as nobody else writes and nothing is undone."""

import contextlib
import random
import sqlite3

import pytest

from ringward._core import system_calls
from ringward.events import Processor, Retention, SqliteStore
from ringward.events.stores.sqlite import log


def append(store, *numbers):
    """Append events with these numbers as ids; their seqs."""
    return [receipt.seq for receipt in store.append("p", [store.stream.entry("k", b"x", n, None) for n in numbers])]


@pytest.mark.skipif(not system_calls(), reason="no locks on this platform that show whether somebody else writes")
def test_an_append_after_one_of_its_own_reads_nothing(tmp_path):
    """Where the log ends, and the producer's number, were read before each."""
    with contextlib.closing(SqliteStore(tmp_path / "a.db")) as store:
        append(store, 1)
        said = []
        store._writer.connection.exec_trace = lambda _, sql, __: not said.append(sql.split()[0])
        append(store, 2)
        assert "SELECT" not in said
        with contextlib.closing(SqliteStore(tmp_path / "a.db")) as other:
            append(other, 3)
        append(store, 4)
        assert "SELECT" in said
        store._writer.connection.exec_trace = None


def test_appends_of_several_stores_go_on_from_each_other(tmp_path):
    """Undone ones between, some in one commit, and other programs that write to the file."""
    path, chance, number, stored = tmp_path / "a.db", random.Random(2), 0, 0
    fails = False

    def fault(point):
        if fails and point == fails:
            raise ValueError("undone")

    with (
        contextlib.closing(SqliteStore(path)) as one,
        contextlib.closing(SqliteStore(path)) as two,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as program,
    ):
        one._writer.faults = fault
        program.execute("CREATE TABLE theirs (x)")
        for _ in range(200):
            store = chance.choice((one, one, one, two))
            fails = chance.choice((False, False, "appended", "commit")) if store is one else False
            count = chance.choice((1, 1, 3))
            numbers = range(number + 1, number + count + 1)
            if fails:
                with pytest.raises(ValueError, match="undone"):
                    append(store, *numbers)
            else:
                assert append(store, *numbers) == list(range(stored + 1, stored + count + 1))
                number, stored = number + count, stored + count
            if chance.random() < 0.1:
                program.execute("INSERT INTO theirs VALUES (1)")
            fails = False
            if chance.random() < 0.05:
                store.configure(retention=Retention(age_s=None, count=chance.choice((0, 5))))
                store.prune(1000)
        assert not one.verify()


def test_what_a_handler_undoes_is_not_remembered(tmp_path):
    """Its publish is gone with its transaction, and the next event gets that seq."""
    with Processor(tmp_path / "a.db") as p:
        tried = []

        @p.consumer("g")
        def handle(event):
            if event.key == "first":
                event.transaction.execute("SELECT 1")
                tried.append(p.publish("second", b"").seq)
                if len(tried) == 1:
                    raise ValueError("undone")

        p.publish("first", b"")
        assert p.run(until="idle")
        assert tried == [2, 2]
        assert p.publish("third", b"").seq == 3
        assert not p.store.verify()


def test_no_name_of_a_producer_is_taken_for_where_the_log_ends(tmp_path):
    """Both are remembered side by side, and the latter had a text for its name."""
    with contextlib.closing(SqliteStore(tmp_path / "a.db")) as store:
        for number in (1, 2, 3):
            entry = store.stream.entry("k", b"x", number, None)
            assert [receipt.seq for receipt in store.append(log._TAIL, [entry])] == [number]
        assert not store.verify()
