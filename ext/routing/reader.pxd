from .hashing cimport Hasher
from .table cimport Table


cdef class State:
    cdef readonly object names
    cdef readonly tuple name_tuple
    cdef readonly Table table
    cdef readonly Hasher hasher
    cdef readonly object epoch
    cdef readonly object cluster
    cdef readonly object own


cdef class Reader:
    cdef State state
