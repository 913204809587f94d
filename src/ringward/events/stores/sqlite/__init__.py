"""`SqliteStore`: events in one file. Needs the extra `events`."""

from ringward.events.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
