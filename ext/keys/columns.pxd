"""The source for a container of keys."""
from .sources cimport KeySource


cpdef KeySource key_source(object keys)
