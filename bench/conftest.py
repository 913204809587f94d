"""Leaves of a session what `run.py` chose; without it, all that was collected."""

from __future__ import annotations

import json
import os

from harness.processes import CHOSEN


def pytest_collection_modifyitems(items):
    if chosen := json.loads(os.environ.get(CHOSEN, "[]")):
        items[:] = [item for item in items if item.nodeid in chosen]
