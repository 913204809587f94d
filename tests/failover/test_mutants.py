"""Every deliberate bug is noticed."""

from __future__ import annotations

import pytest
from failover.mutants import MUTANTS, kill


@pytest.mark.parametrize("name", MUTANTS)
def test_the_witness_notices(name) -> None:
    """Within the histories that the right policy passes."""
    assert kill(name) is not None, f"{name} survives: {MUTANTS[name].says}"
