"""The part of `ringward demo` that streams events."""

from __future__ import annotations

import re

import pytest
from command import fails, run_json

from ringward.cli.demo import stream


def test_the_demo_kills_a_process_and_loses_nothing():
    """All that was published is handled once and in order; the victim did a part, the others the rest."""
    demo = run_json("demo")
    stream = demo["stream"]
    assert demo["passed"] is True
    assert len(stream["checks"]) == 8
    assert all(stream["checks"].values())
    assert stream["events"] == sum(stream["handled"].values()) == 28_868
    assert all(stream["handled"].values())
    assert sum(stream["partitions"].values()) == 256
    assert stream["after"] == 14_500
    assert 0 < stream["takeover_ms"] < 10_000


@pytest.mark.parametrize("spoil", ["lost", "twice", "order", "other", "late"])
def test_the_demo_finds_out_what_went_wrong(spoil):
    """Each check fails on rows that are not as they should be."""
    keys = ["a", "b", "a", "b", "a", "b"]
    rows = [stream._Row(seq, keys[seq - 1], seq % 2, 1, 1 if seq % 2 else 2, seq) for seq in range(1, 7)]
    rows[4] = rows[4]._replace(pid=2, epoch=2, at_ns=50)
    names = {
        "lost": "every event was handled",
        "twice": "none was handled twice",
        "order": "the events of each aircraft were handled in order",
        "other": "each is the one that was published",
        "late": "node2 wrote nothing after it was taken over",
    }
    good = stream.Streamed("node2", 6)
    stream._check(good, rows, keys, 1, 10)
    assert all(good.checks.values()), good.checks
    assert good.takeover_ms == 0.0
    spoiled = {
        "lost": rows[:-1],
        "twice": [*rows, rows[-1]],
        "order": [rows[1], rows[0], rows[3], rows[2], rows[5], rows[4]][::-1],
        "other": [rows[0]._replace(key="b"), *rows[1:]],
        "late": [*rows, rows[0]._replace(seq=7, at_ns=99)],
    }[spoil]
    outcome = stream.Streamed("node2", 6)
    stream._check(outcome, spoiled, [*keys, "a"] if spoil == "late" else keys, 1, 10)
    assert outcome.checks[names[spoil]] is False


def test_a_worker_of_the_demo_that_ends_is_one_line_of_error(monkeypatch):
    """What it said last is told."""
    monkeypatch.setattr(stream.logbook, "__name__", "no_such_module")
    message = fails("demo", "--json")
    assert re.match(r"the worker node\d ended: ", message)
    assert "no_such_module" in message
