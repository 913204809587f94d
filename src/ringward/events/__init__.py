"""An event processor on top of the routers: nothing accepted is lost, keys keep their order, takeovers are fenced."""

from typing import TYPE_CHECKING, Any

from ringward.events.core.options import Options, Retry
from ringward.events.core.outcomes import GiveBack
from ringward.events.health import GroupHealth, Health, Reason, health_of
from ringward.events.hooks import Hooks
from ringward.events.model.codecs import Codec, JsonCodec, MsgspecCodec
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Event, Receipt
from ringward.events.model.membership import Member, Membership
from ringward.events.model.notifications import Claimed, Died, Fenced, Released, Retried
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Abilities, Retention, Settings, Store, Totals
from ringward.events.model.stream import Stream
from ringward.events.processor import Processor
from ringward.events.reports import DeadEvent, GroupStats, Stats
from ringward.events.stores.memory.store import MemoryStore
from ringward.events.stores.opening import open_store, register_scheme, sqlite_store

if TYPE_CHECKING:
    from ringward.events.stores.sqlite.store import SqliteStore

__all__ = [
    "Abilities",
    "Claimed",
    "Codec",
    "DeadEvent",
    "DeadLetter",
    "Died",
    "Event",
    "Fenced",
    "GiveBack",
    "GroupHealth",
    "GroupStats",
    "Health",
    "Hooks",
    "JsonCodec",
    "Member",
    "Membership",
    "MemoryStore",
    "MsgspecCodec",
    "Options",
    "PartitionState",
    "Processor",
    "Reason",
    "Receipt",
    "Released",
    "Retention",
    "Retried",
    "Retry",
    "Settings",
    "SqliteStore",
    "Stats",
    "Store",
    "Stream",
    "Totals",
    "health_of",
    "open_store",
    "register_scheme",
]


def __getattr__(name: str) -> Any:
    """Import what needs apsw when it is asked for: the rest works without the extra."""
    if name == "SqliteStore":
        return sqlite_store()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
