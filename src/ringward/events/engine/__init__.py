"""What takes a group through a store and runs its handlers: threads, time and order of calls."""
