"""The routing core: single keys, columns, changes."""
