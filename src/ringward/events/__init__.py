"""An event processor on top of the routers: nothing accepted is lost, keys keep their order, takeovers are fenced."""

from ringward.events.document import Document, Letter, Member, View
from ringward.events.effects import Options, Retry
from ringward.events.event import Event, Receipt
from ringward.events.stores.protocol import Abilities, Store
from ringward.events.stream import Stream

__all__ = [
    "Abilities",
    "Document",
    "Event",
    "Letter",
    "Member",
    "Options",
    "Receipt",
    "Retry",
    "Store",
    "Stream",
    "View",
]
