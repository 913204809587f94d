"""Reports, explanations and reprs."""

from __future__ import annotations

import dataclasses

import pytest
from laws.cases import FIVE, KEYS, every_kind, of_rings, with_history
from strategies import (
    Kind,
    as_nodes,
    fingerprint,
)

import ringward as rw


@every_kind
def test_the_report_is_a_frozen_value_that_prints(kind: Kind) -> None:
    """report() is a frozen dataclass of the current liveness, with to_dict()."""
    router = with_history(kind)
    report = router.report()
    assert dataclasses.is_dataclass(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(report, dataclasses.fields(report)[0].name, None)
    assert isinstance(report.to_dict(), dict)
    assert str(report)
    assert report == router.report()
    router.mark_down("a", "d")
    assert report != router.report()


@every_kind
def test_explain_and_the_html_form_name_the_owner_and_the_members(kind: Kind) -> None:
    """explain(key) says who owns the key, and the HTML form escapes names."""
    router = with_history(kind)
    router.add("<script>")
    for key in KEYS[:5]:
        assert router.route(key) in str(router.explain(key))
    for reader in (router, router.snapshot()):
        assert isinstance(reader._repr_html_(), str)
        assert "<script>" not in reader._repr_html_()


def test_a_node_is_a_frozen_value() -> None:
    """Node has a name, a weight of 1.0 and no zone unless told, and cannot be changed."""
    node = rw.Node("a")
    assert (node.name, node.weight, node.zone) == ("a", 1.0, None)
    assert node == rw.Node("a", weight=1, zone=None)
    assert hash(node) == hash(rw.Node("a"))
    assert node != rw.Node("a", zone="z")
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.weight = 2.0


@of_rings
def test_nodes_of_a_router_can_make_the_same_router_again(kind: Kind) -> None:
    """router.nodes is in the form in which nodes are given."""
    router = kind.make(FIVE)
    again = kind.strategy(router.nodes, **kind.options)
    assert fingerprint(again) == fingerprint(router)
    assert again.nodes == tuple(as_nodes(dict(sorted(FIVE.items()))))
