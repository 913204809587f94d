"""Errors, and what routers print, stay short and on one line, whatever names and keys hold; their data is whole."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringward as rw
from ringward.texts import bounded, brief

LONG = "x" * 1_000_000
ESCAPE = "\x1b]0;owned\x07\u202e\n"


class Loud:
    """Something whose own words are long and steer a terminal."""

    def __repr__(self):
        return (ESCAPE + LONG)[:1_000_000]

    def __arrow_c_array__(self, requested_schema=None):
        raise ValueError(repr(self))


class Broken:
    """Something whose own words raise."""

    def __repr__(self):
        raise RuntimeError("no words")


HOSTILE = type((ESCAPE + LONG).replace("\0", ""), (), {})

CALLS = {
    "unknown name": lambda ring, text: ring.mark_down(text),
    "removed name": lambda ring, text: ring.remove(text),
    "known name": lambda ring, text: (ring.add(text), ring.add(text)),
    "name twice": lambda ring, text: rw.HashRing([text, text]),
    "weight": lambda ring, text: rw.HashRing([rw.Node(text, 1e-9)]),
    "name of bytes": lambda ring, text: rw.Node(text.encode()),
    "zone of a list": lambda ring, text: rw.Node("a", zone=[text]),
    "surrogate": lambda ring, text: rw.Node(text + "\udcff"),
    "key with a surrogate": lambda ring, text: ring.route(text + "\udcff"),
    "key of a list": lambda ring, text: ring.route([text]),
    "keys of lists": lambda ring, text: ring.assign([[text]]),
    "long integer": lambda ring, text: ring.route(10**5_000),
    "long integers": lambda ring, text: ring.assign([10**5_000]),
    "loud key": lambda ring, text: ring.route(Loud()),
    "broken key": lambda ring, text: ring.route(Broken()),
    "loud column": lambda ring, text: ring.assign(Loud()),
    "class": lambda ring, text: ring.assign(HOSTILE()),
    "option": lambda ring, text: rw.HashRing(["a"], spread=text),
    "fallback": lambda ring, text: rw.HashRing(["a"], on_empty=text),
    "hash": lambda ring, text: rw.HashRing(["a"], hash=text),
    "form": lambda ring, text: rw.assign_batch(ring, form=text),
    "column": lambda ring, text: rw.assign_batch(ring, text)({f"{text[:1_000]}{i}": [] for i in range(1_000)}),
    "owner": lambda ring, text: rw.assign_batch(ring, text, owner=text)({text: ["a"]}),
    "extension": lambda ring, text: ring.assign(pa.array([1.5])),
    "arrow table": lambda ring, text: ring.assign(pa.table({f"{text[:1_000]}{i}": [1] for i in range(100)})),
    "snapshot": lambda ring, text: rw.Snapshot.from_bytes(text.encode()),
    "out": lambda ring, text: ring.assign(["a"], out=np.empty(1, f"U{len(text) % 1_000 + 1}")),
}  # fmt: skip


@pytest.mark.parametrize("text", [LONG, ESCAPE, ESCAPE + LONG], ids=["long", "escapes", "both"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_error_is_long_or_steers_a_terminal(call, text):
    """Some had all of a name, of a key or of a list of columns: 7.9 MB; a few raised what a repr raised."""
    ring = rw.HashRing(["node1", "node2"])
    with pytest.raises(rw.RingwardError) as raised:
        call(ring, text)
    message = str(raised.value)
    assert len(message) <= 4_100
    assert message.isprintable()
    assert str(pickle.loads(pickle.dumps(rw.UnknownNodeError(text)))) == str(rw.UnknownNodeError(text))


def test_the_data_of_an_error_is_whole():
    """Only its text is short."""
    error = rw.UnknownNodeError(LONG)
    assert error.node == LONG
    assert rw.ArgumentError("argument", "small", LONG).value == LONG


@pytest.mark.parametrize("name", [LONG, ESCAPE, ESCAPE + LONG], ids=["long", "escapes", "both"])
def test_what_routers_print_is_short_and_neutral(name):
    """Reports, transfers and explanations have names, zones and keys."""
    ring = rw.HashRing([rw.Node(name, zone=name), rw.Node("b")], spread="zone")
    texts = [str(ring.report()), str(ring.explain(name)), str(ring.mark_down(name)), repr(ring), repr(ring.snapshot())]
    texts += [repr(rw.HashRing([name, "a"]).explain(name)), repr(rw.HashRing([name, "a"]).report())]
    for text in texts:
        assert len(text) < 3_000
        assert text.replace("\n", "").isprintable()
    assert ring.report().nodes[0].name in {name, "b"}


@given(st.text(), st.integers(1, 50))
def test_bounded_text_is_neutral_and_keeps_both_ends(text, most):
    """Short printable text stays as it is."""
    told = bounded(text, most)
    assert told.isprintable()
    assert len(told) <= 2 * most + 3
    if text.isprintable() and len(text) <= most:
        assert told == text
    assert brief(text).isprintable()
    assert len(brief(text)) <= 900
