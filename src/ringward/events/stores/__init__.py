"""Places that keep events."""

from ringward.events.stores.protocol import (
    Abilities,
    GroupState,
    Retention,
    Settings,
    Settlement,
    Store,
    Totals,
    Transaction,
    Turn,
)

__all__ = [
    "Abilities",
    "GroupState",
    "Retention",
    "Settings",
    "Settlement",
    "Store",
    "Totals",
    "Transaction",
    "Turn",
]
