"""Rule 18: presence is a hint, and silence of others counts only while our own heartbeats return."""

from __future__ import annotations

import pytest
from events.stepwise import pair

import ringward as rw
from ringward.events.core.absences import REPEAT_S, Absences

GONE, HERE = {"other": "gone"}, {"other": "here"}


def ups(store):
    return {name: member.up for name, member in store.membership("g").members}


def deaths(store):
    return sum(member.deaths for _, member in store.membership("g").members)


def test_rule_18_a_proof_counts_at_once():
    assert Absences("proof", 5.0).gone(0.0, GONE, 0) == {"other"}


def test_rule_18_where_presence_says_nothing_only_leases_tell():
    absences = Absences(None, 5.0)
    assert not any(absences.gone(float(now), GONE, 0) for now in range(20))


def test_rule_18_a_hint_counts_when_it_is_repeated():
    absences = Absences("hint", 5.0)
    assert absences.gone(0.0, HERE, 1) == set()
    assert absences.gone(10.0, GONE, 1) == set()
    assert absences.gone(10.1, HERE, 1) == set()  # it was a mistake
    assert absences.gone(10.3, GONE, 1) == set()
    assert absences.gone(10.4, {}, 1) == set()
    assert absences.gone(10.5, GONE, 1) == set()
    assert absences.gone(10.5 + REPEAT_S, GONE, 1) == {"other"}


def test_rule_18_a_hint_counts_when_our_own_session_has_stood_for_a_lease():
    absences = Absences("hint", 5.0)
    assert not any(absences.gone(now / 10, GONE, 1) for now in range(50))
    assert absences.gone(5.1, GONE, 1) == {"other"}
    assert not any(absences.gone(6.0 + now / 10, GONE, None) for now in range(100))  # none at all
    assert not any(absences.gone(16.0 + now / 10, GONE, 2) for now in range(50))  # another one
    assert absences.gone(21.1, GONE, 2) == {"other"}


@pytest.fixture
def both(world):
    """Two processes whose store gives hints that are no proof; they have been there for a while."""
    first, second = pair(world, presence="hint")
    for process in (first, second):
        process.store.hint = lambda _: "here"
    for _ in range(60):
        world.advance(0.1, first, second)
    return first, second


def test_rule_18_who_died_is_taken_over_by_hints_long_before_the_lease_ends(world, both):
    first, second = both
    second.store.hint = lambda process: "gone" if process == first.store.process else "here"
    world.advance(0.1, second)
    assert len(second.group.owned) < 8
    for _ in range(4):
        world.advance(0.1, second)
    assert set(second.group.owned) == set(range(8))


def test_rule_18_when_all_signs_are_lost_at_once_nobody_is_declared_dead(world, both):
    """With presence taken for proof, a failover of the server let members declare each other dead for ever."""
    for process in both:
        process.store.hint = lambda _: "gone"
        process.driver.store = Renewed(process.store)
    epochs = {p: state.epoch for p, state in both[0].store.states("g").items()}
    for _ in range(20):
        world.advance(0.1, *both)
    for process in both:
        process.store.hint = lambda _: "here"
    for _ in range(100):
        world.advance(0.1, *both)
    assert deaths(both[0].store) == 0
    assert {p: state.epoch for p, state in both[0].store.states("g").items()} == epochs


class Renewed:
    """A store whose session is another one than before."""

    def __init__(self, store):
        self._store = store
        self.session = object()

    def __getattr__(self, name):
        return getattr(self._store, name)


class Silent:
    """A store that stores no heartbeat while it is told so."""

    def __init__(self, store):
        self._store = store
        self.fails = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def heartbeat(self, group, heartbeats):
        """Fail if told so."""
        if self.fails:
            raise rw.StoreFullError("no space")
        self._store.heartbeat(group, heartbeats)


def tick(process):
    """Let a process notice the time, and whether its store let it."""
    try:
        process.tick()
    except rw.StoreFullError:
        return False
    return True


@pytest.mark.parametrize("every", [0.1, 0.7, 2.4])
def test_rule_18_silence_that_coincides_with_our_own_is_none(world, every):
    """A full disk kept all from raising their leases: who came first when there was room again declared the others dead."""
    first, second = pair(world)
    for process in (first, second):
        process.store.hint = lambda _: "unknown"
        process.driver.store = Silent(process.store)
    for _ in range(30):
        world.advance(0.1, first, second)
    epochs = {p: state.epoch for p, state in first.store.states("g").items()}
    for process in (first, second):
        process.driver.store.fails = True
    for _ in range(int(20 / every)):
        world.clock += every
        tick(first)
        tick(second)
    for process in (first, second):
        process.driver.store.fails = False
    for _ in range(10):
        world.advance(0.1, second)  # the first waits a little longer before it tries again
    for _ in range(20):
        world.advance(0.1, first, second)
    assert ups(first.store) == {"member-1": True, "member-2": True}
    assert deaths(first.store) == 0
    assert {p: state.epoch for p, state in first.store.states("g").items()} == epochs
    for _ in range(60):  # and who is silent alone is still noticed
        world.advance(0.1, second)
    assert not ups(first.store)["member-1"]


def test_rule_18_a_look_that_is_older_than_our_own_heartbeats_says_nothing_of_others(world):
    first, second = pair(world)
    for process in (first, second):
        process.store.hint = lambda _: "unknown"
    for _ in range(30):
        world.advance(0.1, first, second)
    stale = second.store.heartbeats("g")
    second.driver.store = Stale(second.store, stale)
    for _ in range(100):
        world.advance(0.1, first, second)
    assert deaths(first.store) == 0
    second.driver.store = second.store
    for _ in range(20):
        world.advance(0.1, first, second)
    assert deaths(first.store) == 0


class Stale:
    """A store that reads what was there a while ago."""

    def __init__(self, store, heartbeats):
        self._store = store
        self._heartbeats = heartbeats

    def __getattr__(self, name):
        return getattr(self._store, name)

    def heartbeats(self, group):
        """What was there then."""
        return self._heartbeats
