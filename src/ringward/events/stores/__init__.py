"""Places that keep events: a folder each."""
