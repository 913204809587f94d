"""What a group is told of what was appended in its process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ringward.events import MemoryStore
from ringward.events.engine.tail import Tail
from ringward.mutex import Mutex


class Fetcher:
    """Notes what it is told."""

    def __init__(self):
        self.heads = []
        self.rows = []
        self.calls = 0

    def appended(self, heads):
        """Take heads without rows."""
        self.calls += 1
        self.heads += heads

    def accepted(self, rows):
        """Take rows."""
        self.calls += 1
        self.rows += rows


@pytest.fixture
def told():
    """A tail, and whom it tells."""
    fetcher = Fetcher()
    return Tail(MemoryStore(), SimpleNamespace(fetcher=fetcher), Mutex()), fetcher


def row_of(seq):
    return (seq, seq % 7, 0, b"k", None, b"payload", None, 0)


@pytest.mark.parametrize("count", [1, 256, 257, 1000])
def test_nothing_that_was_appended_is_left_out(told, count):
    """However long nobody listened; of many calls it is told at once."""
    tail, fetcher = told
    for seq in range(1, count + 1):
        tail.appended([(seq, seq % 7)], row_of(seq))
    tail.hear()
    assert not tail.news
    heard = fetcher.heads or [row[:2] for row in fetcher.rows]
    assert heard == [(seq, seq % 7) for seq in range(1, count + 1)]
    assert fetcher.calls == (1 if count > 256 else count)
    tail.appended([(count + 1, 3)], row_of(count + 1))  # the next one goes on from there
    tail.hear()
    assert fetcher.rows[-1] == row_of(count + 1)


def test_threads_that_append_in_another_order_are_told_of_in_order(told):
    """Sorted, their seqs have no gap: so nothing is looked for in the store."""
    tail, fetcher = told
    for seq in range(600, 0, -1):
        tail.appended([(seq, 0)], row_of(seq))
    tail.hear()
    assert [seq for seq, _ in fetcher.heads] == list(range(1, 601))
    tail.appended([(601, 0)], row_of(601))
    tail.hear()
    assert fetcher.rows == [row_of(601)]


def test_behind_a_gap_rows_are_not_taken(told):
    """Another process may have appended what lies between."""
    tail, fetcher = told
    for seq in (*range(1, 300), *range(301, 310)):
        tail.appended([(seq, 0)], row_of(seq))
    tail.hear()
    tail.appended([(310, 0)], row_of(310))
    tail.hear()
    assert fetcher.rows == []
    assert len(fetcher.heads) == 299 + 9 + 1


@pytest.mark.parametrize("earlier", [0, 300])
def test_a_repeated_id_hides_no_gap(earlier):
    """The seq of an id that is repeated comes twice: as many heads as seqs do not say that none is missing."""
    stored = [(seq, 0) for seq in range(1, earlier + 4)]
    store = SimpleNamespace(
        totals=lambda: SimpleNamespace(tail=0), heads=lambda after, limit: [head for head in stored if head[0] > after]
    )
    fetcher = Fetcher()
    tail = Tail(store, SimpleNamespace(fetcher=fetcher), Mutex())
    for seq in range(1, earlier + 1):
        tail.appended([(seq, 0)])
    tail.appended([(earlier + 1, 0), (earlier + 3, 0), (earlier + 3, 0)])
    tail.catch_up()
    assert {seq for seq, _ in fetcher.heads} == set(range(1, earlier + 4))
