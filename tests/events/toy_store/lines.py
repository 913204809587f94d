"""`Lines`: all that the processes of a toy store share: a list that grows by one text at a time, and who is connected."""

from __future__ import annotations

import threading


class Lines:
    """The server, if there were one."""

    def __init__(self):
        self.lines = []
        self.lock = threading.Lock()
        self.sessions = {}  # process → its session, while it has one
        self.known = set()  # who ever had one

    def add(self, line):
        """Put a line behind all others; how many there are then."""
        with self.lock:
            self.lines.append(line)
            return len(self.lines)

    def connect(self, process):
        """Give a process a session."""
        self.known.add(process)
        return self.sessions.setdefault(process, object())

    def sever(self):
        """Lose all sessions, as when a server fails over: nobody has died."""
        self.sessions.clear()
