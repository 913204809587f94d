"""Routing inside engines: their frames and columns, and the owners of a batch. Nothing is imported here, since routers use `frames`."""
