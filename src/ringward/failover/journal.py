"""`Journal`: the decisions of late, and who is told of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ringward.failover.decision import Decision
from ringward.texts import bounded, error_text

__all__ = ["Journal"]

_ENTRIES_MOST = 1000
_TRANSFERS_MOST = 16  # each holds two states of a router


class Journal:
    """The decisions of late, bounded, and the hooks that hear of each.

    Attributes
    ----------
    hooks : tuple of callable
    """

    def __init__(self) -> None:
        self.hooks: tuple[Callable[[Decision], object], ...] = ()
        self._entries: deque[Decision] = deque(maxlen=_ENTRIES_MOST)
        self._troubles: dict[str, str] = {}

    def copy(self) -> Journal:
        """The same decisions, without transfers and hooks."""
        other = Journal()
        other._entries.extend(replace(entry, transfer=None) for entry in self._entries)
        return other

    def entries(self) -> list[Decision]:
        """All of them, the oldest first."""
        return list(self._entries)

    def note(self, decision: Decision) -> None:
        """Keep a decision."""
        self._entries.append(decision)
        old = len(self._entries) - _TRANSFERS_MOST - 1
        if old >= 0 and self._entries[old].transfer is not None:
            self._entries[old] = replace(self._entries[old], transfer=None)

    def troubled(self, now_s: float, troubles: Mapping[str, str]) -> list[Decision]:
        """What detectors raised, told once for as long as it stays the same."""
        fresh = {name: text for name, text in troubles.items() if self._troubles.get(name) != text}
        self._troubles = dict(troubles)
        nodes: dict[str, list[str]] = {}
        for name, text in fresh.items():
            nodes.setdefault(text, []).append(name)
        return [Decision(now_s, "error", tuple(names), bounded(text)) for text, names in nodes.items()]

    def call_hooks(self, decisions: Sequence[Decision], now_s: float) -> list[Decision]:
        """Tell the hooks; what they raise becomes decisions of kind "error", of which hooks hear nothing."""
        errors = []
        for hook in self.hooks:
            for decision in decisions:
                try:
                    hook(decision)
                except Exception as error:  # noqa: BLE001 - it is somebody else's code, and routing goes on
                    text = bounded(f"a hook raised {error_text(error)}")
                    errors.append(Decision(now_s, "error", decision.nodes, text))
        for told in errors:
            self.note(told)
        return errors
