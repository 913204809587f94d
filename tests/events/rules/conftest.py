"""Rules are tested on the real state machines and stores, without threads and clocks."""

from __future__ import annotations

import pytest
from events.stepwise import World


@pytest.fixture
def world(make):
    return World(make)
