"""What may hold a column of keys, and which source reads it."""
import sys

import numpy as np

from ringward import advice
from ringward._core.arrow_source import arrow_source
from ringward._core.objects import ObjectArraySource, SequenceSource
from ringward._core.sources import BytesSource, IntSource
from ringward._core.text import StringSource, TextSource
from ringward.errors import KeyTypeError, RingwardError

from .sources cimport dtype_of

cimport numpy as cnp

cnp.import_array()

cdef dict ARRAY_SOURCES = {"i": IntSource, "u": IntSource, "S": BytesSource, "U": TextSource,
                           "O": ObjectArraySource, "T": StringSource}


cpdef KeySource key_source(object keys):
    """The source for a container of keys; KeyTypeError when it is no such container."""
    if isinstance(keys, (list, tuple)):
        return SequenceSource(keys)
    if isinstance(keys, cnp.ndarray):
        return array_source(keys)
    kind = type(keys)  # attributes of the class: those of a frame or a Series may be its columns or labels
    refuse_queries(keys)
    if hasattr(kind, "columns"):
        raise KeyTypeError(f"keys must be one column: pass a column of this {kind.__name__}, not the whole")
    has_array = hasattr(kind, "to_numpy") and hasattr(kind, "dtype")
    if has_array and (isinstance(keys.dtype, np.dtype) or str(keys.dtype) == "Object"):
        # Backed by NumPy: read in place. Objects of Polars: its Arrow has their addresses instead.
        return array_source(converted(keys))
    if has_array and not hasattr(kind, "__arrow_c_stream__") and str(kind.__module__).partition(".")[0] == "pandas":
        # An Index, or an array on its own: as a NumPy array it would have floats or NaN for what is missing.
        keys = sys.modules["pandas"].Series(keys)
        kind = type(keys)
    if hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__"):
        try:
            return arrow_source(keys)
        except (RingwardError, MemoryError):
            raise
        except Exception as error:  # pandas raises ImportError where there is no pyarrow
            if not has_array:
                raise KeyTypeError(f"keys must export an Arrow column ({type(error).__name__}: {error})") from error
    if has_array:
        return array_source(converted(keys))
    raise KeyTypeError(f"keys must be {advice.KIND_OF_COLUMN} (was {kind.__name__})")


cpdef int refuse_queries(object keys) except -1:
    """KeyTypeError that says what to do with what stands for keys, or for a frame, and has no rows yet."""
    what = advice.advice_on(keys)
    if what is not None:
        raise KeyTypeError(f"keys must be here, but {what}")
    return 0


cdef object converted(keys):
    array = keys.to_numpy()
    if not isinstance(array, cnp.ndarray):
        raise KeyTypeError(f"keys must give a NumPy array (to_numpy() gave {type(array).__name__})")
    return array


cdef KeySource array_source(cnp.ndarray keys):
    # What is trusted is asked of NumPy's own code: attributes of a subclass may say anything.
    dtype = dtype_of(keys)
    if isinstance(keys, np.ma.MaskedArray):
        raise KeyTypeError("keys must have no mask, which says that some are not there: "
                           "compressed() has the others, filled() puts one key in the place of those")
    if cnp.PyArray_NDIM(keys) != 1:
        raise KeyTypeError(f"keys must have 1 dimension (had {cnp.PyArray_NDIM(keys)})")
    if cnp.PyArray_DIM(keys, 0) == 0 and dtype == np.float64:
        return SequenceSource(())  # what NumPy makes of an empty list
    source = ARRAY_SOURCES.get(dtype.kind)
    if source is None:
        raise KeyTypeError(f"keys must be integers, bytes, text or objects (dtype was {dtype}); "
                           f"{advice.advice_for_type(dtype.name)}")
    return source(keys)
