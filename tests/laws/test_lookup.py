"""Lookup: one key, a column and the oracle agree."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws.cases import FIVE, KEYS, SPACE, every_kind
from strategies import (
    FEW,
    SOME,
    Kind,
    edges,
    hashes,
    keys,
    liveness,
    memberships,
    orders,
    owners,
)

import ringward as rw


@every_kind
@given(data=st.data(), members=memberships(), drawn=st.lists(keys, min_size=1, max_size=10))
@SOME
def test_scalar_bulk_and_oracle_agree(kind: Kind, data: st.DataObject, members: dict, drawn: list) -> None:
    """route, [], candidates, assign, assign_hashes and the oracle give the same answer."""
    down = data.draw(liveness(members, spare=1))
    assume(oracle.can_own(members, down))
    router = kind.make(members, down)
    reference = kind.oracle(router, kind.model(members, down))
    h = rw.hash_keys(drawn, router.hash)
    expected = [reference.owner(x) for x in h.tolist()]
    assert [router.route(key) for key in drawn] == expected
    assert [router[key] for key in drawn] == expected
    assert list(router.names[router.assign(drawn)]) == expected
    assert list(router.names[router.assign_hashes(h)]) == expected
    walks = [reference.candidates(x) for x in h.tolist()]
    assert [router.candidates(key) for key in drawn] == walks
    for count in range(1, len(router) + 1):
        table = router.assign(drawn, count=count)
        assert table.dtype == np.uint32
        assert table.shape == (len(drawn), count)
        assert table.tolist() == router.assign_hashes(h, count=count).tolist()
        for key, row, walk in zip(drawn, table.tolist(), walks, strict=True):
            named = [None if i == rw.NO_NODE else router.names[i] for i in row]
            assert named == (walk + [None] * count)[:count]
            assert router.candidates(key, count) == walk[:count]


@every_kind
@given(data=st.data(), members=memberships(), drawn=st.lists(hashes, max_size=20))
@SOME
def test_every_hash_agrees_with_the_oracle(kind: Kind, data: st.DataObject, members: dict, drawn: list) -> None:
    """Owners and orders agree on random hashes and beside the ends of every arc."""
    down = data.draw(liveness(members))
    router = kind.make(members, down)
    reference = kind.oracle(router, kind.model(members, down))
    h = np.concatenate([np.array(drawn, np.uint64), edges(reference)])
    assert owners(router, h) == [reference.owner(int(x)) for x in h]
    assert orders(router, h) == [reference.candidates(int(x)) for x in h]


@every_kind
@given(data=st.data(), members=memberships())
@FEW
def test_candidates_are_distinct_and_prefix_stable(kind: Kind, data: st.DataObject, members: dict) -> None:
    """All that can own are candidates, once each, and a shorter list is the start of a longer one."""
    down = data.draw(liveness(members, spare=1))
    able = oracle.can_own(members, down)
    assume(able)
    router = kind.make(members, down)
    for key in KEYS[:20]:
        everybody = router.candidates(key)
        assert sorted(everybody) == sorted(able)
        assert everybody[0] == router.route(key)
        for count in range(1, len(router) + 1):
            assert router.candidates(key, count) == everybody[:count]


@every_kind
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_out_is_filled_and_returned(kind: Kind, dtype: type) -> None:
    """out= of each dtype, contiguous or strided, one column or several, holds the ids."""
    router = kind.make(FIVE, ["a", "c"])
    expected, table = router.assign(KEYS), router.assign(KEYS, count=4)
    h = rw.hash_keys(KEYS)
    for step in (1, 3):
        out = np.full(len(KEYS) * step, 7, dtype)[::step]
        assert router.assign(KEYS, out=out) is out
        assert out.tolist() == expected.tolist()
        out[:] = 7
        assert router.assign_hashes(h, out=out) is out
        assert out.tolist() == expected.tolist()
        wide = np.full((len(KEYS), 4 * step), 7, dtype)[:, ::step]
        assert router.assign(KEYS, count=4, out=wide) is wide
        nobody = np.iinfo(dtype).max
        assert wide.tolist() == np.where(table == rw.NO_NODE, nobody, table.astype(np.int64)).tolist()
        assert (wide == nobody).any()


@every_kind
def test_hashes_in_any_layout_are_assigned_alike(kind: Kind) -> None:
    """Strided, backward and read-only arrays of hashes give what their copies give."""
    router = kind.make(FIVE)
    read_only = SPACE.copy()
    read_only.flags.writeable = False
    for h in (
        SPACE[::3],
        SPACE[::-1],
        read_only,
        np.repeat(SPACE, 2).reshape(-1, 2)[:, 1],
        SPACE[:0],
    ):
        assert router.assign_hashes(h).tolist() == router.assign_hashes(h.copy()).tolist()
        assert router.assign_hashes(h).tolist() == [int(router.id_of(n)) for n in owners(router, h)]


@every_kind
def test_out_may_be_the_memory_of_the_keys(kind: Kind) -> None:
    """Aliased arrays are right: keys that are overwritten while they are read, and shifted ones."""
    router = kind.make(FIVE)
    plain = np.arange(5000, dtype=np.int64) * 7919
    expected = router.assign(plain).tolist()
    same = plain.copy()
    router.assign(same, out=same)
    assert same.tolist() == expected
    for keys_at, out_at in ((slice(0, -1), slice(1, None)), (slice(1, None), slice(0, -1))):
        memory = np.empty(5001, np.int64)
        memory[keys_at] = plain
        router.assign(memory[keys_at], out=memory[out_at])
        assert memory[out_at].tolist() == expected
    h = rw.hash_keys(plain)
    halves = h.view(np.uint32)[::2]
    by_hash = router.assign_hashes(h.copy()).tolist()
    router.assign_hashes(h, out=halves)
    assert halves.tolist() == by_hash
