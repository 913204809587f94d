"""Detectors from text."""

from __future__ import annotations

import pytest

import ringward as rw
from ringward.health import Deadline, Detector, PhiAccrual, detector_named
from ringward.health.naming import DETECTORS


@pytest.mark.parametrize("name", DETECTORS)
def test_each_name_is_a_detector(name: str) -> None:
    detector = detector_named(name)
    assert isinstance(detector, Detector)
    detector.answered("a", 1.0, 0.1)
    assert not detector.status("a", 1.5).suspected


def test_options_are_those_of_the_constructor() -> None:
    assert repr(detector_named("deadline:after_s=2.5")) == repr(Deadline(after_s=2.5))
    told = "phi:threshold=5,form=exponential,window=10,pause_s=1"
    assert repr(detector_named(told)) == repr(PhiAccrual(threshold=5, form="exponential", window=10, pause_s=1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "detector must be a non-empty str"),
        ("psi", r"detector must be one of deadline, phi.* \(was 'psi'\)"),
        ("phi:treshold=8", r"phi with options of deviation_least_s, form, .* \(was 'treshold'\)"),
        ("phi:threshold", "NAME:option=value"),
        ("phi:threshold=8,threshold=9", "each option once"),
        ("phi:threshold=8,", "NAME:option=value"),
        ("phi:threshold=", "threshold must be a number"),
        ("phi:threshold=nan", "threshold must be finite"),
        ("phi:window=1.5", "window must be an int"),
        ("phi:form=gamma", "form must be"),
        ("deadline:after_s=0", "after_s must be"),
        ("local:inside=local,inside=phi", "each option once"),
        ("local:inside=psi", "detector must be one of"),
        ("local:inside=5", "detector must be one of"),
        ("local:after_s=3", "phi with options"),
        (None, "detector must be a str"),
    ],
)
def test_what_is_no_detector_is_told(text: object, told: str) -> None:
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match=told):
        detector_named(text)
