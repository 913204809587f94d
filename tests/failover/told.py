"""`Told`: a detector that says what a test tells it."""

from __future__ import annotations

from typing import ClassVar

from ringward.health import Status

WELL = Status(0.0, suspected=False, reason="", trouble=None)


class Told:
    """Whoever was told to be in trouble is."""

    REASONS: ClassVar = {"silent": "silent for 5 s", "failing": "9 errors in 2 s", "slow": "p50 of 80 ms beside 10 ms"}

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self.forgotten: list[str] = []
        self.raising: dict[str, Exception] = {}

    def heard(self, node, now_s):
        """All is well."""
        self.troubles.pop(node, None)

    def failed(self, node, now_s):
        """It fails."""
        self.troubles[node] = "failing"

    def answered(self, node, now_s, latency_s):
        """It answers late, or well."""
        if latency_s > 1:
            self.troubles[node] = "slow"
        else:
            self.troubles.pop(node, None)

    def status(self, node, now_s):
        """As told."""
        if node in self.raising:
            raise self.raising[node]
        trouble = self.troubles.get(node)
        return Status(2.0, suspected=True, reason=self.REASONS[trouble], trouble=trouble) if trouble else WELL

    def forget(self, node):
        """It left."""
        self.forgotten.append(node)
        self.troubles.pop(node, None)

    def say(self, *nodes, trouble="silent"):
        """Put nodes into trouble; None ends it."""
        for node in nodes:
            if trouble is None:
                self.troubles.pop(node, None)
            else:
                self.troubles[node] = trouble
