"""Every deliberate bug is noticed."""

from __future__ import annotations

import pytest
from events.worlds.mutants import MUTANTS, kill


@pytest.mark.parametrize("name", MUTANTS)
def test_the_simulation_notices(name):
    killed = kill(name)
    assert killed is not None, f"{name} survives: {MUTANTS[name].says}"
