"""Names that are gone: remembered for long, then forgotten, so that nothing grows with the history."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW, KINDS, Kind

import ringward as rw
from ringward import cluster, snapshot

HASHES = np.arange(2_000, dtype=np.uint64) * np.uint64((2**64 - 1) // 1_999)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def replaced(router: rw.Router, old: str, new: str) -> rw.Transfer:
    with router.change() as change:
        change.remove(old)
        change.add(new)
    return change.transfer


@every_kind
@given(data=st.data())
@FEW
def test_whatever_is_forgotten_routers_answer_as_if_it_had_never_been(kind: Kind, data: st.DataObject) -> None:
    """Members keep their ids, columns kept up by transfers stay right, and what comes from bytes goes on alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "PAST_MIN", data.draw(st.integers(0, 3)))
        router = kind.strategy([f"n{i}" for i in range(4)], **kind.options)
        ids = router.assign_hashes(HASHES)
        number = 4
        for _ in range(data.draw(st.integers(4, 14))):
            members = sorted(router)
            kept = {name: router.id_of(name) for name in members}
            twin = type(router).resume(rw.Snapshot.from_bytes(router.snapshot().to_bytes()))
            before = router.snapshot()
            names = list(router.names)
            back = [name for name in names if name not in router]
            step = data.draw(st.sampled_from(["replace", "replace", "back", "down", "grow"]))
            for one in (router, twin):
                if step == "grow":
                    transfer = one.add(f"n{number}", f"n{number + 1}")
                elif step == "down":
                    transfer = one.mark_down(members[0]) if members[0] not in one.down else one.mark_up(members[0])
                elif step == "back" and back:
                    transfer = replaced(one, members[-1], back[0])
                else:
                    transfer = replaced(one, members[0], f"n{number}")
            number += 2
            assert list(twin.names) == list(router.names)
            assert {name: router.id_of(name) for name in members if name in router}.items() <= kept.items()
            assert [router.id_of(str(name)) for name in router.names] == list(range(len(router.names)))
            transfer.apply(ids, HASHES)
            assert (ids == router.assign_hashes(HASHES)).all()
            assert (ids == twin.assign_hashes(HASHES)).all()
            between = rw.Transfer.between(before, router)
            old, new = before.names[before.assign_hashes(HASHES)], router.names[ids]
            assert (between.moved(HASHES) == np.flatnonzero(old != new)).all()
            assert [between.names[i] for i in between.arcs["source"]] == [
                transfer.names[i] for i in transfer.arcs["source"]
            ]


def test_a_name_is_forgotten_after_as_many_as_there_are_members_and_at_least_256() -> None:
    """Until then it gets its old id back; who left first is forgotten first, and never in the change it leaves in."""
    ring = rw.HashRing(["a", "b"], points_per_node=4)
    for i in range(cluster.PAST_MIN):
        replaced(ring, "a" if i == 0 else f"pod-{i - 1}", f"pod-{i}")
    assert ring.id_of("a") == 0
    ring.add("a")
    ring.remove("a")
    replaced(ring, f"pod-{cluster.PAST_MIN - 1}", "one")  # now 257 are past, of which "pod-0" left first
    first = ring.id_of("pod-0")
    assert ring.add("two").names[first] == "two"
    assert ring.id_of("two") == first
    assert ring.id_of("b") == 1
    with pytest.raises(rw.UnknownNodeError):
        ring.id_of("pod-0")
    assert ring.id_of("a") == 0


@every_kind
def test_a_thousand_replacements_leave_a_router_as_large_as_hundreds_do(kind: Kind) -> None:
    """Names, snapshots and columns of 16 bits: all stay as they are."""
    router = kind.strategy([f"pod-{i:04}" for i in range(10)], **kind.options)
    sizes = []
    for i in range(10, 1_210):
        replaced(router, f"pod-{i - 10:04}", f"pod-{i:04}")
        if i in (400, 1_209):
            sizes.append((len(router.names), len(router.snapshot().to_bytes())))
    (names, size), (later_names, later_size) = sizes
    assert names == later_names == 10 + 1 + cluster.PAST_MIN
    assert abs(later_size - size) < 0.02 * size


def test_changes_and_marks_cost_the_same_after_ten_thousand_replacements() -> None:
    """They took six times as long after twenty thousand, since every name there ever was went along."""

    def seconds(ring: rw.HashRing, live: list[str], number: int) -> float:
        best = 1.0
        for i in range(number, number + 30):
            began = time.process_time()
            replaced(ring, live.pop(0), f"pod-{i}")
            live.append(f"pod-{i}")
            ring.mark_down(live[0])
            ring.mark_up(live[0])
            best = min(best, time.process_time() - began)
        return best

    ring = rw.HashRing([f"pod-{i}" for i in range(10)], points_per_node=4)
    live = list(ring)
    for i in range(10, 400):
        replaced(ring, live.pop(0), f"pod-{i}")
        live.append(f"pod-{i}")
    gc.collect()
    early = seconds(ring, live, 400)
    for i in range(430, 10_000):
        replaced(ring, live.pop(0), f"pod-{i}")
        live.append(f"pod-{i}")
    gc.collect()
    assert seconds(ring, live, 10_000) < 2 * early


@pytest.mark.parametrize("past", [[0], [2, 2], [2, 7], ["2"], [True], 5, None])
def test_the_past_of_a_snapshot_is_checked(past: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each id that is no member's, once."""
    ring = rw.HashRing(["a", "b", "c"], points_per_node=4)
    ring.remove("c")
    written = snapshot._json
    monkeypatch.setattr(snapshot, "_json", lambda header: written({**header, "past": past}))
    data = ring.snapshot().to_bytes()
    with pytest.raises(rw.SnapshotError):
        rw.Snapshot.from_bytes(data)


@given(data=st.data())
@FEW
def test_zones_have_the_numbers_that_a_history_leaves_no_mark_on(data: st.DataObject) -> None:
    """By the first name of each, whatever zones were there before; those of names that are gone are forgotten."""
    zones = st.sampled_from([None, "a", "b", "c"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "PAST_MIN", data.draw(st.integers(0, 3)))
        table = rw.PartitionTable([rw.Node(f"n{i}", zone=data.draw(zones)) for i in range(4)], partitions=8)
        for number in range(4, 12):
            table.remove(data.draw(st.sampled_from(sorted(table))))
            own = data.draw(st.sampled_from([f"own{number}", None]))
            table.add(rw.Node(f"n{number}", zone=own or data.draw(zones)))
            with table.change() as change:  # the same name in another zone
                moved = data.draw(st.sampled_from(sorted(table)))
                change.remove(moved)
                change.add(rw.Node(moved, zone=data.draw(zones)))
            now = table._state.cluster
            expected: dict[object, int] = {}
            for node in sorted(table.nodes, key=lambda node: node.name.encode()):
                label = node.zone if node.zone is not None else (node.name,)
                assert now.zone_ids[table.id_of(node.name)] == expected.setdefault(label, len(expected))
            assert now.member_ids.tolist() == [table.id_of(node.name) for node in table.nodes]
            assert len(now.zone_marks[0]) <= 2 * len(table) + cluster.PAST_MIN
