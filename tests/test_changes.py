"""Changes of a ring that are not compiled yet: single keys, then columns, as on a ring made anew."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from oracle import COLLIDING

import ringward as rw
from ringward.cluster import Cluster
from ringward.placement import points

NAMES = [f"node{i}" for i in range(8)] + list(COLLIDING)
KEYS = [f"event{i}" for i in range(40)]
WEIGHTS = (0.0, 0.5, 1.0, 3.0)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "mark_down", "mark_up", "reweigh"]), st.sampled_from(NAMES),
              st.sampled_from(WEIGHTS)),
    max_size=12,
)  # fmt: skip


def label(name: str, i: int) -> bytes:
    """A key that falls exactly on point i of a node."""
    encoded = name.encode()
    return len(encoded).to_bytes(8, "little") + encoded + i.to_bytes(8, "little")


EDGES = [label(name, i) for name in NAMES for i in range(4)]


def perform(ring: rw.HashRing, kind: str, name: str, weight: float) -> None:
    """The change, or nothing where it does not apply."""
    if kind == "add" and name not in ring:
        ring.add(rw.Node(name, weight))
    elif kind == "reweigh" and name in ring:
        ring.reweigh(name, weight)
    elif kind in ("remove", "mark_down", "mark_up") and name in ring:
        getattr(ring, kind)(name)


def made_anew(ring: rw.HashRing, points: int) -> rw.HashRing:
    """A ring of the same members and marks without a history."""
    other = rw.HashRing(ring.nodes, points_per_node=points)
    if ring.down:
        other.mark_down(*ring.down)

    return other


def any_live(ring: rw.HashRing) -> bool:
    return any(node.weight and node.name not in ring.down for node in ring.nodes)


def owners_of(ring: rw.HashRing, keys: list) -> list:
    """One key at a time."""
    result = []
    for key in keys:
        try:
            result.append(ring.route(key))
        except rw.NoNodeError:
            result.append(None)
    return result


@given(
    first=st.lists(st.sampled_from(NAMES), unique=True, max_size=8),
    points=st.sampled_from([2, 40]),
    changes=CHANGES,
)
def test_after_every_change_each_key_is_where_a_new_ring_has_it(first: list, points: int, changes: list) -> None:
    """Nothing but single lookups in between, so that changes pile up on what was compiled first."""
    ring = rw.HashRing(first, points_per_node=points)
    for change in changes:
        perform(ring, *change)
        assert owners_of(ring, EDGES[::3]) == owners_of(made_anew(ring, points), EDGES[::3])


@given(
    first=st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=8),
    points=st.sampled_from([2, 40]),
    changes=CHANGES,
)
def test_what_is_compiled_later_is_what_a_new_ring_compiles(first: list, points: int, changes: list) -> None:
    ring = rw.HashRing(first, points_per_node=points)
    for change in changes:
        perform(ring, *change)
    other = made_anew(ring, points)
    single = owners_of(ring, EDGES[:5])
    if any_live(ring):
        assert list(ring.names[ring.assign(EDGES + KEYS)]) == owners_of(other, EDGES + KEYS)
        assert [ring.candidates(key) for key in EDGES] == [other.candidates(key) for key in EDGES]
    assert owners_of(ring, EDGES) == owners_of(other, EDGES)
    assert single == owners_of(other, EDGES[:5])
    assert not rw.Transfer.between(ring, other)


@pytest.mark.parametrize("first_read", ["candidates", "report", "to_bytes", "copy", "arcs", "explain"])
def test_whatever_reads_first_sees_the_change(first_read: str) -> None:
    ring = rw.HashRing(NAMES)
    ring.assign(KEYS)
    ring.remove("node1")
    transfer = ring.add("node-new")
    other = rw.HashRing(ring.nodes)
    reads = {
        "candidates": lambda r: [r.candidates(key) for key in KEYS],
        "report": lambda r: {node.name: node.share for node in r.report().nodes},
        "to_bytes": lambda r: rw.Snapshot.from_bytes(r.snapshot().to_bytes()).report().balance_max,
        "copy": lambda r: owners_of(r.copy(), KEYS),
        "arcs": lambda r: bool(rw.Transfer.between(r, other)) or set(transfer.arrivals) == {"node-new"},
        "explain": lambda r: str(r.explain("event1")).splitlines()[1:],
    }
    read = reads[first_read]
    assert read(ring) == read(other)


def test_of_points_that_collide_the_lower_name_owns_whichever_came_first() -> None:
    """On the very point, where only the names decide."""
    low, high = sorted(COLLIDING)
    assert xxhash.xxh3_64_intdigest(label(low, 0)) == xxhash.xxh3_64_intdigest(label(high, 0))
    for first, second in ((low, high), (high, low)):
        ring = rw.HashRing([first, "node1"], points_per_node=1)
        ring.add(second)
        assert ring.route(label(low, 0)) == low
        ring.mark_down(low)
        assert ring.route(label(low, 0)) == high


def test_many_single_lookups_compile_a_change() -> None:
    """Before and after that, the owners are the same."""
    ring = rw.HashRing(NAMES)
    ring.remove("node3")
    ring.add("node-new")
    first = [ring.route(key) for key in KEYS]
    for _ in range(500):
        assert [ring.route(key) for key in KEYS] == first


def test_a_ring_whose_nodes_are_nearly_all_down_still_answers() -> None:
    """Single lookups pass over the dead nodes' points, more of them than it takes to compile."""
    ring = rw.HashRing([f"node{i}" for i in range(100)])
    for i in range(99):
        ring.mark_down(f"node{i}")
        assert ring.route("event1") == made_anew(ring, 160).route("event1")


def test_a_ring_that_shrinks_and_grows_one_by_one_ends_where_it_began() -> None:
    names = [f"node{i}" for i in range(200)]
    ring = rw.HashRing(names)
    before = ring.assign(KEYS)
    for name in names[:-1]:
        ring.remove(name)
    assert {ring.route(key) for key in KEYS} == {names[-1]}
    for name in names[:-1]:
        ring.add(name)
        assert ring.route(label(name, 0)) == name
    assert ring.assign(KEYS).tolist() == before.tolist()


def test_readers_in_threads_may_be_the_first_to_read_a_change() -> None:
    """Some compile it by asking for a column while others look single keys up."""
    ring = rw.HashRing([f"node{i}" for i in range(50)])
    errors = []

    def read(column: bool) -> None:
        snapshot = ring.snapshot()
        expected = rw.Snapshot.from_bytes(snapshot.to_bytes())
        for _ in range(20):
            given = list(snapshot.names[snapshot.assign(KEYS)]) if column else [snapshot.route(key) for key in KEYS]
            if given != [expected.route(key) for key in KEYS]:
                errors.append(given)

    for i in range(20):
        ring.remove(f"node{i}")
        ring.add(f"node-new{i}")
        threads = [threading.Thread(target=read, args=(k % 2 == 0,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.parametrize("first", ["remove", "add"])
@pytest.mark.parametrize("second", ["remove", "add", "mark_down"])
def test_a_reader_may_settle_a_table_while_the_next_change_starts_from_it(
    first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that another thread routes in the middle of a change compiles what that change starts from."""
    names = [f"node{i}" for i in range(50)]
    ring = rw.HashRing([name for name in names if first == "remove" or name != "node7"])
    perform(ring, first, "node7", 1.0)
    point_count = points.point_count

    def disturbed(*args: Any) -> int:
        ring.assign(KEYS)
        return point_count(*args)

    def disturbed_alive(cluster: Cluster) -> Any:
        ring.assign(KEYS)
        return alive(cluster)

    alive = Cluster.alive.fget
    monkeypatch.setattr(points, "point_count", disturbed)
    monkeypatch.setattr(Cluster, "alive", property(disturbed_alive))
    perform(ring, second, "node7", 1.0)
    monkeypatch.undo()
    anew = made_anew(ring, 160)
    assert [ring.route(key) for key in KEYS] == [anew.route(key) for key in KEYS]
    assert ring.names[ring.assign(KEYS * 20)].tolist() == anew.names[anew.assign(KEYS * 20)].tolist()
    assert ring.report().balance_max == pytest.approx(anew.report().balance_max)


OPERATIONS: dict[str, Any] = {
    "add": lambda change: change.add("c"),
    "remove": lambda change: change.remove("a"),
    "mark_down": lambda change: change.mark_down("a"),
    "mark_up": lambda change: change.mark_up("a"),
    "reweigh": lambda change: change.reweigh("a", 2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_change_takes_nothing_outside_its_block(name: str) -> None:
    """Before it and after it, what was told was recorded and never done, without a word."""
    ring = rw.HashRing(["a", "b"])
    operation = OPERATIONS[name]
    with pytest.raises(rw.ChangeError, match="inside its with block"):
        operation(ring.change())
    with ring.change() as change:
        change.mark_down("b")
    with pytest.raises(rw.ChangeError, match="inside its with block"):
        operation(change)
    change = ring.change()
    with pytest.raises(KeyError), change:
        raise KeyError
    with pytest.raises(rw.ChangeError, match="inside its with block"):
        operation(change)
    assert (ring.epoch, [*ring], ring.down) == (1, ["a", "b"], {"b"})


def test_the_bytes_of_a_snapshot_do_not_depend_on_the_order_of_the_nodes() -> None:
    """A set has another order in every process: the same ring had other bytes there."""
    nodes = [rw.Node(f"node{i}", weight=1 + i % 3, zone="abc"[i % 3]) for i in range(12)]
    makers: list[Any] = [
        rw.HashRing,
        lambda given: rw.PartitionedRing(given, part_size=5),
        lambda given: rw.PartitionTable(given, replicas=2, partitions=64),
    ]
    for make in makers:
        forth, back = make(nodes), make(nodes[::-1])
        for router, fresh in ((forth, ["x", "y"]), (back, ["y", "x"])):
            router.add(*fresh)
            router.remove("node3", "node4") if router is forth else router.remove("node4", "node3")
        assert forth.snapshot().to_bytes() == back.snapshot().to_bytes()
    backups = [rw.PrimaryBackup(given).snapshot().to_bytes() for given in (nodes, nodes[::-1])]
    assert backups[0] != backups[1]  # there the order is the priority
