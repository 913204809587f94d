"""Failure detectors: heartbeats, statuses, memory."""
