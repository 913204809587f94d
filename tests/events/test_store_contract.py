"""What every store does: one suite for all."""

from __future__ import annotations

import threading

import pytest
from events.stepwise import appended

import ringward as rw
from ringward.events import DeadLetter, Member, Membership, PartitionState, Receipt, Retention
from ringward.events.model.store import Settlement


def entries(store, count, first=0, **fixed):
    """Make entries of some keys, with ids unless `ids=False`."""
    with_ids = fixed.get("ids", True)
    return [
        store.stream.entry(f"key{i % 7}", fixed.get("payload", b"payload %d" % i), f"id{i}" if with_ids else None, None)
        for i in range(first, first + count)
    ]


def fill(store, count, **fixed):
    return appended(store, entries(store, count, **fixed))


def rows_of(store, partition, after=0, limit=1000):
    (rows,) = store.read([(partition, after, limit)], limit)
    return rows


def partition_of(store, key="key0"):
    return store.stream.partition_of(key)


def claimed(store, group="g", owner="m#1"):
    states = store.states(group)
    return store.claim(group, owner, {p: d.epoch for p, d in states.items()})


def replaced(state, **changes):
    return state._replace(revision=state.revision + 1, **changes)


# --- the log


def test_seqs_are_dense_from_one(store):
    assert [r.seq for r in fill(store, 5)] == [1, 2, 3, 4, 5]
    assert [r.seq for r in fill(store, 5, first=5)] == [6, 7, 8, 9, 10]
    assert store.totals()[:2] == (10, 1)


def test_a_row_comes_back_as_it_was_appended(store):
    keys = ["text", "", "ü\0", b"bytes", b"", 0, 42, -1, -(2**63), 2**64 - 1]
    made = [store.stream.entry(key, b"\0x" * i, None, {"n": str(i)}) for i, key in enumerate(keys)]
    receipts = store.append("p", made)
    rows = store.rows([r.seq for r in receipts])
    assert [row[1:7] for row in rows] == made
    assert [rw.events.model.event.key_from_bytes(row[2], row[3]) for row in rows] == keys
    assert {row[7] for row in rows} == {1_000_000_000}


@pytest.mark.parametrize("name", ["text", b"bytes", 7])
def test_an_id_comes_back_with_its_type(store, name):
    store.append("p", [store.stream.entry("k", b"", name, None)])
    (row,) = store.rows([1])
    assert row[4] == name
    assert type(row[4]) is type(name)


def test_reading_by_partition_gives_all_of_it_in_order_and_nothing_else(store):
    receipts = fill(store, 100)
    for partition in range(8):
        want = [r.seq for r in receipts if r.partition == partition]
        rows = rows_of(store, partition)
        assert [row[0] for row in rows] == want
        assert all(row[1] == partition for row in rows)
        if want:
            middle = want[len(want) // 2]
            assert [row[0] for row in rows_of(store, partition, middle, 2)] == [s for s in want if s > middle][:2]


def test_many_partitions_are_read_in_one_call_until_there_are_so_many_rows_or_bytes(store):
    fill(store, 100, payload=b"x" * 10)
    wanted = [(partition, 0, 5) for partition in range(8)]
    want = [rows_of(store, partition, 0, 5) for partition in range(8)]
    assert store.read(wanted, 1000) == want
    assert store.read(wanted, 1000, 10_000) == want
    assert store.read([], 5) == []
    full = next(p for p in range(8) if len(want[p]) == 5)
    some = [(full, 0, 5)] * 4
    assert store.read(some, 10) == [want[full]] * 2
    assert store.read(some, 11) == [want[full]] * 3
    assert store.read(some, 1000, 100) == [want[full]] * 2
    assert store.read(some, 1000, 71) == [want[full], want[full][:3]]
    assert store.read(some, 1000, 1) == [want[full][:1]]
    for limit in range(1, 40):
        rows = [row for part in store.read(wanted, 1000, 10 * limit - 5) for row in part]
        assert rows == [row for part in want for row in part][:limit]


def test_heads_tell_the_partitions_of_what_is_new(store):
    receipts = fill(store, 20)
    assert store.heads(0, 100) == [(r.seq, r.partition) for r in receipts]
    assert store.heads(15, 3) == [(r.seq, r.partition) for r in receipts[15:18]]
    assert store.heads(20, 3) == []


def test_rows_that_are_not_there_are_left_out(store):
    fill(store, 3)
    assert [row[0] for row in store.rows([9, 3, 1])] == [1, 3]


def test_an_empty_batch_is_nothing(store):
    assert store.append("p", []) == []
    assert store.totals().tail == 0


def test_the_time_of_events_never_falls(store, clock):
    fill(store, 1)
    clock.now -= 100
    fill(store, 1, first=1)
    clock.now += 300
    fill(store, 1, first=2)
    assert [row[7] for row in store.rows([1, 2, 3])] == [1_000_000_000, 1_000_000_000, 1_000_200_000]
    assert store.seq_at(1_000_000_000) == 0
    assert store.seq_at(1_000_000_001) == 2
    assert store.seq_at(9_000_000_000) == 3


def test_volume_is_the_bytes_of_payloads(store):
    for size in (10, 0, 5):
        store.append("p", [store.stream.entry("k", b"x" * size, None, None)])
    assert store.totals().bytes == 15
    assert store.volume_between(0, 3) == 15
    assert store.volume_between(1, 3) == 5
    assert store.volume_between(3, 3) == 0


# --- ids


def test_a_repeated_id_gets_the_receipt_of_then(store):
    first = fill(store, 10)
    again = fill(store, 12)
    assert again[:10] == [Receipt(r.seq, r.partition, duplicate=True) for r in first]
    assert [(r.seq, r.duplicate) for r in again[10:]] == [(11, False), (12, False)]


def test_an_id_twice_in_one_batch_is_one_event(store):
    entry = store.stream.entry("k", b"x", "same", None)
    other = store.stream.entry("k", b"y", None, None)
    receipts = store.append("p", [entry, other, entry])
    assert [(r.seq, r.duplicate) for r in receipts] == [(1, False), (2, False), (1, True)]
    assert store.totals().tail == 2


@pytest.mark.parametrize("change", ["key", "payload", "headers"])
def test_the_same_id_with_another_body_is_a_conflict_and_appends_nothing(store, change):
    body = {"key": "k", "payload": b"x", "id": "a", "headers": {"h": "1"}}
    store.append("p", [store.stream.entry(**body)])
    other = {**body, change: {"key": b"k2", "payload": b"y", "headers": {"h": "2"}}[change]}
    fine = store.stream.entry("k", b"", "b", None)
    with pytest.raises(rw.ConflictError) as caught:
        store.append("p", [fine, store.stream.entry(**other)])
    assert (caught.value.id, caught.value.seq) == ("a", 1)
    assert store.totals().tail == 1
    assert store.append("p", [fine])[0].seq == 2


def test_a_conflict_within_a_batch_appends_nothing(store):
    batch = [store.stream.entry("k", payload, "same", None) for payload in (b"x", b"y")]
    with pytest.raises(rw.ConflictError):
        store.append("p", batch)
    assert store.totals().tail == 0


def test_ids_belong_to_their_producer_and_type(store):
    made = [store.stream.entry("k", b"x", name, None) for name in ("1", b"1", 1)]
    assert [r.seq for r in store.append("p", made)] == [1, 2, 3]
    assert [r.seq for r in store.append("q", made)] == [4, 5, 6]


def test_integer_ids_rise_and_a_forgotten_one_is_an_error(make, clock, prune):
    store = make(id_window_s=10)
    numbered = [store.stream.entry("k", b"%d" % i, i, None) for i in range(20)]
    assert [r.seq for r in store.append("p", numbered[:10])] == list(range(1, 11))
    assert store.append("p", [numbered[4]]) == [Receipt(5, numbered[4][0], duplicate=True)]
    clock.now += 11
    assert prune(store, Retention(age_s=5), 100) == 10
    with pytest.raises(rw.DeduplicationExpiredError) as caught:
        store.append("p", [numbered[12], numbered[4]])
    assert (caught.value.id, caught.value.highest) == (4, 12)
    assert store.totals().tail == 10
    assert [r.seq for r in store.append("p", numbered[15:])] == [11, 12, 13, 14, 15]
    with pytest.raises(rw.DeduplicationExpiredError):
        store.append("p", [numbered[14]])


def test_text_ids_are_remembered_for_the_window_also_when_pruned(make, clock, prune):
    store = make(id_window_s=100)
    fill(store, 10)
    clock.now += 50
    assert prune(store, Retention(age_s=10), 100) == 10
    assert [(r.seq, r.duplicate) for r in fill(store, 10)] == [(i, True) for i in range(1, 11)]
    changed = store.stream.entry("key0", b"another", "id0", None)
    with pytest.raises(rw.ConflictError):
        store.append("p", [changed])
    clock.now += 51
    prune(store, Retention(age_s=10), 100)
    assert [(r.seq, r.duplicate) for r in fill(store, 2)] == [(11, False), (12, False)]


def test_ids_are_remembered_until_pruned_even_after_the_window(make, clock):
    store = make(id_window_s=1)
    fill(store, 3)
    clock.now += 1000
    assert [r.duplicate for r in fill(store, 3)] == [True] * 3


# --- pruning


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Retention(age_s=None), 30),
        (Retention(age_s=None, count=7), 7),
        (Retention(age_s=None, bytes=50), 5),
        (Retention(age_s=None, bytes=59), 5),
        (Retention(age_s=None, bytes=0), 0),
        (Retention(age_s=15.0), 10),
        (Retention(age_s=15.0, count=3), 3),
    ],
)
def test_without_groups_the_limits_alone_decide_what_is_pruned(store, clock, keep, left, prune):
    for i in range(3):
        fill(store, 10, first=10 * i, payload=b"x" * 10)
        clock.now += 10
    assert prune(store, keep, 1000) == 30 - left
    assert store.totals() == (30, 31 - left, 10 * left)
    assert prune(store, keep, 1000) == 0
    assert [r.seq for r in fill(store, 1, first=30)] == [31]
    assert store.verify() == []


def test_pruning_goes_on_in_steps(store, clock, prune):
    fill(store, 10)
    clock.now += 10
    assert [prune(store, Retention(age_s=5), 4) for _ in range(4)] == [4, 4, 2, 0]


def test_seqs_go_on_when_all_is_pruned_and_the_last_had_no_id(store, clock, prune):
    """Of pruned rows those with ids stay; the highest of these was taken for the tail, and its successors came twice."""
    fill(store, 3)
    store.append("p", [store.stream.entry("key", b"without", None, None)])
    store.open_group("g", 4)
    clock.now += 10
    assert prune(store, Retention(age_s=5), 100) == 4
    assert store.totals() == (4, 5, 0)
    assert store.volume_between(0, 4) == 0
    assert store.lowest_unresolved("g") == 5
    assert [r.seq for r in fill(store, 4)] == [1, 2, 3, 5]
    assert store.totals()[:2] == (5, 5)
    assert store.verify() == []


def test_nothing_unresolved_is_pruned(store, clock, prune):
    fill(store, 20)
    store.open_group("g", 0)
    clock.now += 100
    assert prune(store, Retention(age_s=1), 100) == 0
    states = claimed(store)
    lowest = partition_of(store, "key3")
    done = [Settlement(p, replaced(d, cursor=20)) for p, d in states.items() if p != lowest]
    assert store.settle("g", done) == set()
    first = rows_of(store, lowest)[0][0]
    assert store.lowest_unresolved("g") == first
    assert prune(store, Retention(age_s=1), 100) == first - 1
    assert store.settle("g", [Settlement(lowest, replaced(states[lowest], cursor=20))]) == set()
    assert store.lowest_unresolved("g") == 21
    store.open_group("late", 3)
    assert store.lowest_unresolved("late") == max(4, first)
    store.delete_group("late")
    assert prune(store, Retention(age_s=1), 100) == 21 - first


# --- groups and claims


def test_a_group_is_opened_once(store):
    fill(store, 5)
    assert store.open_group("g", 2) == ("g", 2, 0)
    assert store.open_group("g", 0) == ("g", 2, 0)
    assert store.groups() == [("g", 2, 0)]
    assert store.states("g") == {p: PartitionState(cursor=2) for p in range(8)}


@pytest.mark.parametrize(
    "name", ["states", "dead_letters", "membership", "heartbeats", "delete_group", "lowest_unresolved"]
)
def test_an_unknown_group_is_an_error(store, name):
    with pytest.raises(rw.UnknownGroupError, match="'nobody'"):
        getattr(store, name)("nobody")


def test_a_claim_raises_the_epoch_and_only_the_first_gets_it(store):
    store.open_group("g", 0)
    assert store.claim("g", "a#1", {0: 0, 1: 0})[0] == PartitionState(1, 1, "a#1")
    assert set(store.claim("g", "b#1", {0: 0, 1: 1, 2: 0})) == {1, 2}
    states = store.states("g")
    assert [(states[p].epoch, states[p].owner) for p in range(4)] == [
        (1, "a#1"),
        (2, "b#1"),
        (1, "b#1"),
        (0, None),
    ]


def test_of_many_claims_at_once_one_wins(store):
    store.open_group("g", 0)
    won = []
    barrier = threading.Barrier(4)

    def claim(name):
        barrier.wait()
        won.extend((p, name) for p in store.claim("g", name, dict.fromkeys(range(8), 0)))

    threads = [threading.Thread(target=claim, args=(f"m{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p for p, _ in won) == list(range(8))
    assert {p: d.owner for p, d in store.states("g").items()} == dict(won)


def test_a_stale_epoch_writes_nothing_and_the_others_of_the_batch_do(store):
    fill(store, 30)
    store.open_group("g", 0)
    old = claimed(store, owner="a#1")
    store.claim("g", "b#1", {0: 1})
    before = store.states("g")[0]
    dead_letter = DeadLetter(next((row[0] for row in rows_of(store, 0)), 1), 0, b"k", "dead", "e", 1)
    stale = store.settle(
        "g",
        [
            Settlement(0, replaced(old[0], cursor=5), dead=(dead_letter,)),
            Settlement(1, replaced(old[1], cursor=5)),
        ],
    )
    assert stale == {0}
    assert store.states("g")[0] == before
    assert store.states("g")[1].cursor == 5
    assert store.dead_letters("g") == []
    assert store.mark("g", [(0, replaced(old[0], in_flight=((1, 2),)))]) == {0}


@pytest.mark.parametrize("stale", [0, 1, 2])
def test_acknowledgements_and_marks_in_one_call_are_each_on_their_own(store, stale):
    fill(store, 30)
    store.open_group("g", 0)
    old = claimed(store, owner="a#1")
    store.claim("g", "b#1", {stale: 1})
    before = store.states("g")
    written = [
        Settlement(0, replaced(old[0], cursor=5)),  # done
        Settlement(1, replaced(old[1], in_flight=((1, 9),))),  # begun
        Settlement(2, replaced(old[2], cursor=4, in_flight=((5, 9),))),  # both
    ]
    assert store.settle("g", written) == {stale}
    for settlement in written:
        partition = settlement.partition
        expected = before[partition] if partition == stale else settlement.state
        assert store.states("g")[partition] == expected


def test_a_revision_is_written_once(store):
    store.open_group("g", 0)
    state = claimed(store)[0]
    assert store.settle("g", [Settlement(0, replaced(state, cursor=1))]) == set()
    assert store.settle("g", [Settlement(0, replaced(state, cursor=2))]) == {0}


def test_a_cursor_never_falls(store):
    store.open_group("g", 0)
    state = replaced(claimed(store)[0], cursor=9)
    assert store.settle("g", [Settlement(0, state)]) == set()
    assert store.settle("g", [Settlement(0, replaced(state, cursor=8))]) == {0}


def test_a_document_comes_back_as_it_was(store):
    fill(store, 9)
    store.open_group("g", 0)
    state = replaced(
        claimed(store)[3],
        cursor=1,
        done=((2, 3), (7, 7)),
        attempts=((4, 1), (5, 3)),
        in_flight=((4, 4), (6, 9)),
        owner=None,
    )
    store.settle("g", [Settlement(3, state)])
    assert store.states("g")[3] == state
    assert [state.resolved(seq) for seq in range(1, 9)] == [True, True, True, False, False, False, True, False]


def test_unresolved_counts_what_is_neither_below_the_cursor_nor_done(store):
    fill(store, 70)
    store.open_group("g", 0)
    states = claimed(store)
    partition = partition_of(store)
    seqs = [row[0] for row in rows_of(store, partition)]
    others = {p: len(rows_of(store, p)) for p in range(8) if p != partition}
    state = replaced(states[partition], cursor=seqs[1], done=((seqs[3], seqs[4]),))
    store.settle("g", [Settlement(partition, state)])
    want = {p: n for p, n in {**others, partition: len(seqs) - 4}.items() if n}
    assert store.unresolved("g") == want


def test_epochs_survive_the_deletion_of_a_group(store):
    fill(store, 5)
    store.open_group("g", 0)
    old = claimed(store)
    store.delete_group("g")
    with pytest.raises(rw.UnknownGroupError):
        store.states("g")
    assert store.groups() == []
    assert store.open_group("g", 3).start == 3
    fresh = store.states("g")
    assert all(fresh[p].epoch > old[p].epoch and fresh[p].cursor == 3 for p in fresh)
    assert store.settle("g", [Settlement(0, replaced(old[0], cursor=4))]) == {0}


# --- dead letters


def dead_letter(store, seq, state="dead"):
    row = store.rows([seq])[0]
    return DeadLetter(seq, row[1], row[3], state, "boom" if state == "dead" else "", 2)


def with_letters(store):
    """Make a group with a dead event and two parked behind it, and everything else resolved."""
    fill(store, 30)
    store.open_group("g", 0)
    partition = partition_of(store)
    state = claimed(store)[partition]
    seqs = [row[0] for row in rows_of(store, partition) if row[3] == b"key0"][:3]
    dead, *parked = [dead_letter(store, seq, "parked" if at else "dead") for at, seq in enumerate(seqs)]
    state = replaced(state, cursor=30)
    assert store.settle("g", [Settlement(partition, state, (dead,), tuple(parked))]) == set()
    return partition, state, [dead, *parked]


def test_letters_keep_the_bodies_of_events_also_when_those_are_pruned(store, clock, prune):
    partition, _, dead_letters = with_letters(store)
    rows = store.rows([dead_letter.seq for dead_letter in dead_letters])
    assert store.dead_letters("g") == dead_letters
    assert store.dead_letters("g", [partition]) == dead_letters
    assert store.dead_letters("g", [partition + 1]) == []
    clock.now += 100
    store.settle("g", [Settlement(p, replaced(d, cursor=30)) for p, d in claimed(store).items()])
    assert prune(store, Retention(age_s=1), 100) == 30
    assert store.bodies("g", [dead_letter.seq for dead_letter in dead_letters]) == rows
    assert store.verify() == []


def test_making_a_letter_again_changes_nothing_but_what_is_said_of_it(store):
    partition, state, dead_letters = with_letters(store)
    again = dead_letters[0]._replace(error="again", attempts=7)
    rows = store.bodies("g", [again.seq])
    store.settle("g", [Settlement(partition, replaced(state), (again,))])
    assert store.dead_letters("g") == [again, *dead_letters[1:]]
    assert store.bodies("g", [again.seq]) == rows


def test_drained_letters_are_gone(store):
    partition, state, dead_letters = with_letters(store)
    store.settle("g", [Settlement(partition, replaced(state), drained=(dead_letters[0].seq,))])
    assert store.dead_letters("g") == dead_letters[1:]


def test_redrive_and_drop_raise_the_epoch_and_the_number_of_the_view(store):
    partition, state, dead_letters = with_letters(store)
    store.change_membership("g", Membership(1, (), b""))
    assert store.redrive("g", [dead_letters[0].seq, dead_letters[1].seq, 999]) == 1
    assert [dead_letter.state for dead_letter in store.dead_letters("g")] == ["redrive", "parked", "parked"]
    assert store.dead_letters("g")[0].attempts == 0
    stored = store.states("g")[partition]
    assert (stored.epoch, stored.owner) == (state.epoch + 1, None)
    assert store.membership("g").number == 2
    assert store.drop("g", [dead_letters[1].seq]) == 1
    assert [dead_letter.seq for dead_letter in store.dead_letters("g")] == [dead_letters[0].seq, dead_letters[2].seq]
    assert store.states("g")[partition].epoch == state.epoch + 2
    assert store.membership("g").number == 3
    assert store.settle("g", [Settlement(partition, replaced(state))]) == {partition}
    assert store.drop("g", [12345]) == 0
    assert store.membership("g").number == 3


def test_a_reset_starts_a_generation_and_fences_everybody(store):
    _, _, dead_letters = with_letters(store)
    old = store.states("g")
    store.change_membership("g", Membership(1, (), b""))
    assert store.reset("g", dead_letters[1].seq) == ("g", dead_letters[1].seq, 1)
    fresh = store.states("g")
    for p in fresh:
        assert fresh[p] == PartitionState(
            old[p].epoch + 1, old[p].revision + 1, None, dead_letters[1].seq, (), (), (), old[p].generation + 1
        )
    assert [dead_letter.seq for dead_letter in store.dead_letters("g")] == [
        dead_letter.seq for dead_letter in dead_letters[:2]
    ]
    assert store.membership("g").number == 2


# --- members


def test_a_view_is_replaced_by_the_next_number_only(store):
    store.open_group("g", 0)
    assert store.membership("g") is None
    first = Membership(1, (("a", Member(1, "p1", up=True)), ("b", Member(3, "p2", up=False, deaths=2))), b"\0router")
    assert not store.change_membership("g", first._replace(number=2))
    assert store.change_membership("g", first)
    assert not store.change_membership("g", first)
    assert store.membership("g") == first
    second = Membership(2, (), b"")
    assert store.change_membership("g", second)
    assert store.membership("g") == second
    assert not store.change_membership("g", first)


def test_beats_are_counters(store):
    store.open_group("g", 0)
    store.heartbeat("g", {"a#1": 1, "b#1": 5})
    store.heartbeat("g", {"a#1": 2})
    assert store.heartbeats("g") == {"a#1": 2, "b#1": 5}


def test_a_new_view_takes_the_counters_of_those_who_are_gone_away(store):
    """They grew with every restart, and each tick read them all."""
    store.open_group("g", 0)
    up, down = Member(2, "p1", up=True), Member(3, "p2", up=False)
    store.heartbeat("g", {"a#1@p0": 7, "a#2@p1": 1, "b#3@p2": 5})
    assert store.change_membership("g", Membership(1, (("a", up), ("b", down)), b""))
    assert store.heartbeats("g") == {"a#2@p1": 1}
    assert not store.change_membership("g", Membership(1, (), b""))
    assert store.heartbeats("g") == {"a#2@p1": 1}


def test_a_store_knows_that_its_own_process_lives(store):
    assert store.hint(store.process) == "here"
    assert store.hint("0" * 32) != "here"


# --- all of it


def test_a_closed_store_refuses(store):
    store.open_group("g", 0)
    store.close()
    with pytest.raises(rw.StoreClosedError):
        fill(store, 1)
    with pytest.raises(rw.StoreClosedError):
        store.states("g")
    store.close()


def test_many_threads_append_and_every_event_is_there_once(store):
    receipts = []

    def publish(name):
        for i in range(50):
            receipts.extend(store.append(name, entries(store, 3, first=3 * i)))

    threads = [threading.Thread(target=publish, args=(f"p{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.seq for r in receipts) == list(range(1, 601))
    assert store.totals().tail == 600
    assert store.verify() == []


def test_an_operation_that_fails_leaves_the_others_of_a_group_commit_alone(store):
    fill(store, 1)
    store.open_group("g", 0)
    repeats, conflicts, fresh = [], [], []

    def publish(i):
        body = b"other" if i % 2 else b"payload 0"
        try:
            repeats.extend(store.append("p", [store.stream.entry("key0", body, "id0", None)]))
        except rw.ConflictError as error:
            conflicts.append(error.seq)
        fresh.extend(store.append(f"q{i}", entries(store, 1)))

    threads = [threading.Thread(target=publish, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(r.seq, r.duplicate) for r in repeats] == [(1, True)] * 5
    assert conflicts == [1] * 5
    assert sorted(r.seq for r in fresh) == list(range(2, 12))
    assert store.totals().tail == 11


def test_seqs_go_on_after_a_prune_that_keeps_an_older_id(store, prune):
    """The highest row that was left, kept for its id, was taken for the tail: seqs were given twice."""
    named = store.append("p", [store.stream.entry("a", b"1", "id", None)])[0]
    store.append("p", [store.stream.entry("a", b"2", None, None)] * 2)
    assert prune(store, Retention(age_s=None, count=0), 100) == 3
    assert store.totals() == (3, 4, 0)
    store.open_group("g", 3)
    assert store.lowest_unresolved("g") == 4
    assert store.append("p", [store.stream.entry("a", b"1", "id", None)])[0] == (named.seq, named.partition, True)
    assert [r.seq for r in store.append("p", [store.stream.entry("a", b"44", None, None)] * 2)] == [4, 5]
    assert store.totals() == (5, 4, 4)
    assert store.volume_between(3, 4) == 2
    assert store.verify() == []
