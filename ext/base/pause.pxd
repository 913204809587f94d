"""Long loops without the GIL, and signals: Ctrl-C is to be served within 0.2 s."""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <time.h>
    static long long rw_clock_ms(void)
    {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    """
    int64_t rw_clock_ms() noexcept nogil

cdef enum:
    PAUSE_MS = 50
    PATIENCE_MS = 6


cdef inline int pause(int64_t *last) except -1 nogil:
    """Called every few milliseconds, or less, of a loop; now and then it lets the handlers of signals run, which may raise.

    `last` is 0 at first.
    """
    cdef int64_t now = rw_clock_ms()
    if 0 <= now - last[0] < PAUSE_MS:  # whatever the clock does, a pause too many does no harm
        return 0
    if last[0]:
        with gil:
            PyErr_CheckSignals()
        now = rw_clock_ms()
    last[0] = now
    return 0


cdef inline void let_others_in(int64_t *since) noexcept nogil:
    """Called now and then by a thread that holds the GIL, which it lets go of for a moment; `since`: when it last did.

    CPython hands it over only to a thread that has waited for the switch interval, 5 ms, and that begins to wait anew
    whenever it is let go and taken back: done more often than that, nobody would ever get it.
    """
    if 0 <= rw_clock_ms() - since[0] < PATIENCE_MS:
        return
    with gil:
        with nogil:
            pass
    since[0] = rw_clock_ms()
