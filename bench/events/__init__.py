"""The event processor: publishing, handling, and what it costs, beside bare inserts and other queues."""
