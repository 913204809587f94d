"""Which instruction set the kernels use: picked once, when this module is imported."""
import os
from dataclasses import dataclass
from importlib import import_module

from ringward.errors import ArgumentError

from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__)
    /* These ask the operating system too, whether it saves the wide registers. */
    static int rw_cpu_level(void) {
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")
            || !__builtin_cpu_supports("popcnt")) return 0;
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512cd")
            || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq")
            || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vbmi2")) return 1;
        return 2;
    }
    #elif defined(_M_X64)
    #include <intrin.h>
    #include <immintrin.h>
    static int rw_cpu_level(void) {
        int r[4];
        unsigned long long saved;
        unsigned b, c;
        __cpuid(r, 0);
        if (r[0] < 7) return 0;
        __cpuid(r, 1);
        if (!(r[2] >> 27 & 1) || !(r[2] >> 23 & 1)) return 0;  /* OSXSAVE, POPCNT */
        saved = _xgetbv(0);
        __cpuidex(r, 7, 0);
        b = (unsigned)r[1];
        c = (unsigned)r[2];
        if ((saved & 0x06) != 0x06 || !(b >> 5 & 1) || !(b >> 3 & 1) || !(b >> 8 & 1)) return 0;  /* AVX2, BMI1, BMI2 */
        if ((saved & 0xE6) != 0xE6 || !(b >> 16 & 1) || !(b >> 17 & 1) || !(b >> 28 & 1) || !(b >> 30 & 1)
            || !(b >> 31 & 1) || !(c >> 6 & 1)) return 1;  /* F, DQ, CD, BW, VL, VBMI2 */
        return 2;
    }
    #else
    static int rw_cpu_level(void) { return 0; }
    #endif
    """
    int rw_cpu_level()

cdef str VARIABLE = "RINGWARD_CPU"
cdef tuple LEVELS = ("baseline", "avx2", "avx512")


@dataclass(frozen=True, slots=True)
class Cpu:
    """What `ringward.cpu()` tells.

    Attributes
    ----------
    level : str
        The instruction set in use: "baseline", "avx2" or "avx512".
    levels : tuple of str
        All that this machine and this build have, the widest last.
    """

    level: str
    levels: tuple


cdef object kernel_module(str level):
    return import_module(f"{__name__.rpartition('.')[0]}.kernels_{level}")


cdef tuple available():
    """The levels that this machine has and this build was compiled for."""
    found = []
    for level in LEVELS[:rw_cpu_level() + 1]:
        try:
            kernel_module(level)
        except ModuleNotFoundError:  # built for another processor
            break
        found.append(level)
    return tuple(found)


cdef str chosen(tuple levels):
    """The widest level, or the one that the environment asks for."""
    wanted = os.environ.get(VARIABLE) or max(levels, key=LEVELS.index)
    if wanted not in levels:
        raise ArgumentError(f"the environment variable {VARIABLE}", f"one of {', '.join(levels)}", wanted)
    return wanted


cdef object CPU = Cpu(chosen(available()), available())
kernels = <const Kernels *>PyCapsule_GetPointer(kernel_module(CPU.level).KERNELS, b"ringward kernels")


def cpu():
    """Which instruction set ringward's loops use here.

    The widest that the processor has is picked once, at import. The environment variable
    RINGWARD_CPU forces a lower one; every level computes the same bits.

    Returns
    -------
    Cpu

    Raises
    ------
    ArgumentError
        At import, when RINGWARD_CPU names a level that this machine or this build has not.

    Examples
    --------
    >>> import ringward as rw
    >>> rw.cpu().level in rw.cpu().levels
    True
    """
    return CPU
