"""What a producer of Arrow data handed over, and its release."""
from .arrow_abi cimport ArrowArray, ArrowSchema


cdef class OwnedSchema:
    cdef ArrowSchema schema


cdef class OwnedArray:
    cdef ArrowArray array
