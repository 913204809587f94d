"""An event processor on top of the routers: nothing accepted is lost, keys keep their order, takeovers are fenced."""

from typing import TYPE_CHECKING, Any

from ringward.events.codecs import Codec, JsonCodec, MsgspecCodec
from ringward.events.document import Document, Letter, Member, View
from ringward.events.effects import GiveBack, Options, Retry
from ringward.events.event import Event, Receipt
from ringward.events.health import GroupHealth, Health, Reason, health_of
from ringward.events.hooks import Hooks
from ringward.events.notices import Claimed, Died, Fenced, Released, Retried
from ringward.events.processor import Processor
from ringward.events.reports import DeadEvent, GroupStats, Stats
from ringward.events.stores.memory import MemoryStore
from ringward.events.stores.protocol import Abilities, Retention, Settings, Store, Totals
from ringward.events.stream import Stream

if TYPE_CHECKING:
    from ringward.events.stores.sqlite import SqliteStore

__all__ = [
    "Abilities",
    "Claimed",
    "Codec",
    "DeadEvent",
    "Died",
    "Document",
    "Event",
    "Fenced",
    "GiveBack",
    "GroupHealth",
    "GroupStats",
    "Health",
    "Hooks",
    "JsonCodec",
    "Letter",
    "Member",
    "MemoryStore",
    "MsgspecCodec",
    "Options",
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
    "View",
    "health_of",
]


def __getattr__(name: str) -> Any:
    """Import what needs apsw when it is asked for: the rest works without the extra."""
    if name == "SqliteStore":
        try:
            from ringward.events.stores.sqlite import SqliteStore  # noqa: PLC0415 - see above
        except ModuleNotFoundError as error:
            raise ImportError("SqliteStore needs apsw: pip install 'ringward[events]'") from error
        return SqliteStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
