"""Deliberate bugs of the policy: each replaces something real by something that is nearly right."""

from __future__ import annotations

import math
from dataclasses import replace

from failover.world import run
from mutation import Mutants

import ringward as rw
from ringward.failover import adaptive
from ringward.failover.damping import Penalty
from ringward.failover.decision import Wish
from ringward.failover.judge import Judge
from ringward.failover.limits import Limits
from ringward.failover.record import Record

SEEDS_MOST = 100  # within so many a bug must be noticed
MUTANTS = Mutants()
mutant = MUTANTS.of


def kill(name):
    """The seed of the first history in which a bug is noticed; None when it survives."""
    with MUTANTS.switched_on(name):
        for seed in range(SEEDS_MOST):
            try:
                run(seed)
            except (AssertionError, rw.RingwardError, LookupError, TypeError):
                return seed
    return None


# --- what is remembered of a node


@mutant(Record, "may_return")
def returns_at_once(right):
    """A node comes back as soon as it is well."""
    return lambda self, now_s, policy: self.out_s is not None and self.well_s is not None


@mutant(Record, "may_return")
def returns_by_the_time_it_was_out(right):
    """How long it has been well does not count."""

    def may_return(self, now_s, policy):
        if self.out_s is None or self.well_s is None or self.penalty.suppressed:
            return False
        return now_s - self.out_s >= policy.hold_down_s

    return may_return


@mutant(Record, "may_return")
def returns_while_it_flaps(right):
    """The penalty holds nobody down."""
    return lambda self, now_s, policy: (
        self.out_s is not None and min(self.well_for(now_s), now_s - self.out_s) >= policy.hold_down_s
    )


@mutant(Record, "may_return")
def returns_never(right):
    """Who is out stays out."""
    return lambda self, now_s, policy: False


@mutant(Record, "_is_well")
def an_outage_ends_with_the_first_good_news(right):
    """Each report of one outage is counted."""

    def is_well(self, now_s, policy):
        right(self, now_s, policy)
        self.outage = False

    return is_well


@mutant(Record, "_is_well")
def an_outage_never_ends(right):
    """Only the first outage is counted."""

    def is_well(self, now_s, policy):
        was = self.outage
        right(self, now_s, policy)
        self.outage = was

    return is_well


@mutant(Record, "_is_well")
def a_pardon_lasts(right):
    """A node that was marked up by hand is never marked down again."""

    def is_well(self, now_s, policy):
        was = self.pardoned
        right(self, now_s, policy)
        self.pardoned = was

    return is_well


@mutant(Record, "_is_dead")
def suspicion_begins_anew_with_each_report(right):
    """A panic never ends."""

    def is_dead(self, now_s):
        right(self, now_s)
        self.dead_s = now_s

    return is_dead


@mutant(Record, "pardon")
def a_pardon_forgives_nothing(right):
    """The node that an operator marked up is marked down again at once."""
    return Record.let_go


@mutant(Record, "let_go")
def a_lowered_share_stays(right):
    """Of a node that its operator marked down."""

    def let_go(self):
        self.out_s, self.told = None, ""

    return let_go


@mutant(Record, "slow_for")
def slow_counts_at_once(right):
    """However short it was."""
    return lambda self, now_s: math.inf


@mutant(Record, "is_idle")
def forgotten_while_it_is_held(right):
    """A well node is forgotten, whatever was done to it."""
    return lambda self, now_s, policy: self.well_s is not None and self.well_for(now_s) > 0


@mutant(Record, "is_idle")
def never_forgotten(right):
    """Every node that ever had trouble is remembered for good."""
    return lambda self, now_s, policy: False


# --- damping


@mutant(Penalty, "failed")
def the_penalty_does_not_decay(right):
    """Outages of last year count like those of today."""
    return lambda self, now_s, policy: right(replace(self, at_s=now_s), now_s, policy)


@mutant(Penalty, "failed")
def the_penalty_does_not_grow(right):
    """Each outage is the first."""
    return lambda self, now_s, policy: right(Penalty(), now_s, policy)


@mutant(Penalty, "left_s")
def held_down_for_ever(right):
    """Who flapped once never comes back."""
    return lambda self, now_s, policy: math.inf if self.suppressed else 0.0


@mutant(Penalty, "left_s")
def held_down_until_it_stops_being_too_much(right):
    """The limit of reuse is that of suppression."""
    return lambda self, now_s, policy: max(0.0, right(self, now_s, policy) - policy.half_life_s)


# --- limits


@mutant(Limits, "may_change")
def changes_without_limit(right):
    """As many a minute as there are."""
    return lambda self, *, dead: True


@mutant(Limits, "may_change")
def returns_take_all_changes(right):
    """Nothing is kept for dead owners."""
    return lambda self, *, dead: right(self, dead=True)


@mutant(Limits, "may_move")
def movement_without_a_budget(right):
    """Returns never wait."""
    return lambda self, share: True


@mutant(Limits, "at")
def an_unused_budget_is_saved_up(right):
    """A quiet day pays for a storm."""

    def at(self, now_s):
        budget, elapsed_s = self._budget, now_s - self._at_s
        right(self, now_s)
        self._budget = budget + elapsed_s * self._policy.moved_a_minute / 60

    return at


@mutant(Limits, "changed")
def dead_owners_move_free_of_charge(right):
    """What they move is not in the budget."""

    def changed(self, moved):
        budget = self._budget
        right(self, moved)
        self._budget = max(budget - 0.01, self._budget)

    return changed


# --- what is wanted


@mutant(Judge, "_room")
def one_more_than_allowed(right):
    """May be out at once."""
    return lambda self: right(self) + 1


@mutant(Judge, "_room")
def none_may_be_out_of_few(right):
    """One of two nodes is more than a third."""
    return lambda self: int(self.policy.out_most * len(self._able))


@mutant(Judge, "_last_resort")
def no_last_resort(right):
    """Who is well waits for its time although nobody in use is."""
    return lambda self: iter(())


@mutant(Judge, "_live")
def everybody_may_go(right):
    """The last node in use is like the others."""
    return lambda self: len(self._able) + 1


@mutant(Judge, "_fell")
def a_zone_falls_with_its_first_nodes(right):
    """Half of it is enough."""

    def fell(self, zone):
        names = self._zones.get(zone, [])
        dead = [name for name in names if self._is_dead(name)]
        return "2 nodes fell" if len(names) > 1 and 2 * len(dead) >= len(names) else ""

    return fell


@mutant(Judge, "_raised")
def the_share_comes_back_in_one_step(right):
    """No slow start."""

    def raised(self):
        for wish in right(self):
            yield replace(wish, factors=dict.fromkeys(wish.factors, 1.0))

    return raised


@mutant(Judge, "_raised")
def the_share_stays_lowered(right):
    """It never comes back."""
    return lambda self: iter(())


@mutant(Judge, "_tell")
def nothing_is_told(right):
    """Of what does not happen."""
    return lambda self, kind, reasons: iter(())


@mutant(Judge, "_why_down")
def no_reason_is_given(right):
    """It is down because it is down."""
    return lambda self, name, zone="": ""


@mutant(Judge, "forget")
def who_left_is_remembered(right):
    """Under the same name comes another node."""
    return lambda self, names: None


@mutant(Judge, "wishes")
def balance_comes_first(right):
    """Shares are returned before dead owners are relieved."""

    def wishes(self):
        yield from self._raised() if self._lowers else ()
        yield from self._ups()
        yield from right(self)

    return wishes


@mutant(Judge, "look")
def a_clock_that_goes_back_takes_time_with_it(right):
    """Hold-downs last until the clock is there again."""

    def look(self, now_s, cluster, statuses):
        own = max(self._now_s, now_s - 1000.0)
        right(self, now_s, cluster, statuses)
        self._now_s = own

    return look


@mutant(Judge, "done")
def the_penalty_counts_reports_and_not_outages(right):
    """Every wish that names a node is held against it."""

    def done(self, wish, moved):
        right(self, wish, moved)
        for name in wish.reasons:
            self.records[name].penalty = self.records[name].penalty.failed(self._now_s, self.policy)

    return done


@mutant(Judge, "pardon")
def marks_by_hand_are_not_respected(right):
    """Operators are told nothing."""
    return lambda self, names: None


# --- how it is laid over the router inside


@mutant(adaptive, "overlaid")
def marks_by_hand_are_lost(right):
    """Only those of the policy count."""

    def overlaid(own, base, out, factors):
        return right(own, base, out, factors)._with(down=out & base.members.keys())

    return overlaid


@mutant(adaptive, "overlaid")
def weights_are_lost(right):
    """A lowered share is one of 1, whatever the weight was."""

    def overlaid(own, base, out, factors):
        return right(own, base, out, {name: factor / base.members[name].weight for name, factor in factors.items()})

    return overlaid


@mutant(Wish, "reason")
def reasons_are_left_out(right):
    """A decision without a word."""
    return property(lambda self: "")
