"""The state machines of a group: pure, without I/O, clocks or threads."""
