"""`MemoryStore`: events in the memory of one process."""

from ringward.events.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
