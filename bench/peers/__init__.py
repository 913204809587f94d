"""ringward beside the packages that do the same work: `python bench/peers/run.py`.

`adapters/` has one file a peer. A peer that is not installed is reported as such.
"""
