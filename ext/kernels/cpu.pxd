"""The kernels of the instruction set in use."""
from .kernels cimport Kernels

cdef const Kernels *kernels
