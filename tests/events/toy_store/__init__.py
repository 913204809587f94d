"""A store of one folder, written against the protocols alone: what it takes to add one, and that nothing else need be edited."""
