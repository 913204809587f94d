"""The routers of other packages: `adapters/` has one file a peer."""
