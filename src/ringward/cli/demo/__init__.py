"""`ringward demo`: the whole job on real events, with every claim checked."""
