"""Names of members that come once and never again: what is remembered of them has a bound."""

from ringward.events.core import members, routing
from ringward.events.core.members import Members
from ringward.events.core.options import Options
from ringward.events.model.stream import Stream

MOST = 50


def test_who_is_long_gone_is_forgotten_and_begins_above_all_its_leases_when_it_comes_back(monkeypatch):
    """Each restart of a container left a name in the membership and in the router for ever."""
    for module in (members, routing):
        monkeypatch.setattr(module, "NAMES_MOST", MOST)
    membership, incarnations = None, {}
    for number in range(400):
        name, process = f"pod-{number % 150}", f"p{number}"
        here = Members(process, Stream(partitions=16).middles(), None, Options())
        here.join([name])
        hints = dict.fromkeys((f"p{before}" for before in range(number)), "gone")
        while (change := here.tick(float(number * 10), membership, {}, hints)) is not None:
            membership = change.membership
            here.shown(membership)
        assert set(here.owners) == {name}
        assert here.members[name].incarnation > incarnations.get(name, 0)
        incarnations[name] = here.members[name].incarnation
        assert len(membership.members) <= MOST
        assert len(here.routing._router) <= MOST
        assert len(here.routing._router.names) <= 4 * MOST + 1
    assert len(incarnations) == 150
