"""Loops over columns, shared by threads that live as long as the call.

There is no pool: a call starts its helpers, works beside them and returns
when the last one has left, so it is safe from many threads, beside a fork and in the child.
Each thread takes the next chunk until none is left, so a busy core delays nobody for long.
"""
import atexit
import os
from operator import index
from sys import is_finalizing
from time import monotonic, sleep

import numpy as np

from ringward.errors import ArgumentError, ArgumentTypeError, RingwardError

from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock)
from .pause cimport pause

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define rw_fetch_add(p, x) _InterlockedExchangeAdd64((p), (x))
    #else
    #define rw_fetch_add(p, x) __atomic_fetch_add((p), (x), __ATOMIC_RELAXED)
    #endif
    /* The type of its result has changed between versions of Python. */
    #define rw_start_thread(f, x) (PyThread_start_new_thread((f), (x)) != (unsigned long)-1)
    """
    int64_t rw_fetch_add(int64_t *p, int64_t x) noexcept nogil
    bint rw_start_thread(void (*function)(void *) noexcept, void *argument)

cdef enum:
    CHUNK_MIN = 1024
    CHUNK_MAX = 1 << 17  # keys a thread takes at a time; smaller ones begin cold too often, larger ones let others wait
    CHUNKS_PER_THREAD = 8
    THREADS_MAX = 1024
    KEYS_PER_THREAD = 1 << 16  # what it costs to start one, about 30 us, is then less than what it saves

cdef Py_ssize_t beginning = 0  # helpers that were started and do not have the GIL yet; guarded by it
cdef bint closed = False  # whether the interpreter is about to end


def _close():
    """Let no helper begin any more, and wait for those that are about to.

    A thread that is new to an interpreter which ends, crashes it when it asks for the GIL; one that had it before does not.
    """
    global closed
    closed = True
    deadline = monotonic() + 5
    while beginning and monotonic() < deadline:
        sleep(0.0005)


def _forked():
    """In the child of a fork, helpers of other threads never begin."""
    global beginning
    beginning = 0


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


cdef Py_ssize_t checked_threads(threads, Py_ssize_t size, Py_ssize_t speed=1) except -1:
    """How many threads to loop over `size` keys in, as the argument `threads` has it.

    `speed`: how many times as many keys the loop must have as `assign`, for helpers to pay.
    """
    cdef Py_ssize_t shares = size // (speed * KEYS_PER_THREAD)
    if threads is None:
        return 1 if shares < 2 else min(<Py_ssize_t>usable_cores(), shares)
    if isinstance(threads, (bool, np.bool_)) or not hasattr(threads, "__index__"):
        raise ArgumentTypeError("threads", "an int or None", threads)
    number = index(threads)
    if not 1 <= number <= THREADS_MAX:
        raise ArgumentError("threads", f"at least 1 and at most {THREADS_MAX}", number)
    return number


def usable_cores():
    """How many cores this process may run on."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13: affinity, unless PYTHON_CPU_COUNT says otherwise
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


cdef inline Py_ssize_t ceiling(Py_ssize_t x, Py_ssize_t divisor) noexcept nogil:
    return (x + divisor - 1) // divisor


cdef class Loop:
    """Work over `size` keys that needs no GIL; subclasses say what to `run` over a chunk of them.

    `run` is called from several threads at once; each chunk is taken once, in rising order.
    """

    cdef int run(self, Py_ssize_t start, Py_ssize_t count) except -1 nogil:
        return 0

    cdef int listen(self, int64_t *last) except -1 nogil:
        """Let signals be served; called every few milliseconds, `last` as for `pause`. 1: the rest is not needed."""
        if not self.deaf:
            pause(last)
        return self.stopped

    cdef int plan(self, Py_ssize_t size, Py_ssize_t threads) except -1:
        """Cut `size` keys into chunks for up to so many threads, the calling one among them."""
        cdef Py_ssize_t each = max(<Py_ssize_t>CHUNKS_PER_THREAD, ceiling(size, CHUNK_MAX * threads))
        self.size = size
        # As many for each thread: with one more than that, all but one would wait for it.
        self.chunk = max(<Py_ssize_t>1, ceiling(ceiling(size, each * threads), CHUNK_MIN)) * CHUNK_MIN
        self.threads = min(threads, ceiling(size, self.chunk))
        if self.threads <= 1 or is_finalizing():  # an interpreter that ends lets no new thread in
            self.threads = 1
            self.chunk = max(<Py_ssize_t>1, size)
        return 0

    cdef int go(self) except -1:
        """Run over all chunks; of several errors the first in the order of keys is raised."""
        if self.threads > 1:
            return self.share()
        with nogil:
            return self.run(0, self.size)

    cdef int share(self) except -1:
        global beginning
        cdef bint helped
        self.next = 0
        self.stopped = False
        self.error = None
        self.all_left = PyThread_allocate_lock()
        if self.all_left == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.all_left, NOWAIT_LOCK)
        self.helpers = 0
        # The GIL is held, so none begins, let alone leaves, before all are counted. Threads of the
        # operating system: none of the substitutes that some frameworks put in place of Python's.
        while not closed and self.helpers < self.threads - 1 and rw_start_thread(help_with, <void *>self):
            self.helpers += 1
            beginning += 1
        helped = self.helpers > 0  # the system may have no more threads: fewer will do
        self.take_chunks()
        if helped:
            with nogil:
                PyThread_acquire_lock(self.all_left, WAIT_LOCK)  # no signal ends this
        PyThread_release_lock(self.all_left)
        PyThread_free_lock(self.all_left)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return 0

    cdef void take_chunks(self) noexcept:
        cdef Py_ssize_t start = 0
        try:
            with nogil:
                self.next_chunks(&start)
        except BaseException as error:
            # Chunks are taken in order, so those before this one are done or will be: with the
            # least position of all errors, this is what one thread would have met first.
            rw_fetch_add(&self.next, self.size)
            self.stopped = not isinstance(error, (RingwardError, MemoryError))
            if self.error is None or start < self.error_start:
                self.error = error
                self.error_start = start

    cdef int next_chunks(self, Py_ssize_t *start) except -1 nogil:
        cdef int64_t last = 0
        while not self.listen(&last):
            start[0] = <Py_ssize_t>rw_fetch_add(&self.next, self.chunk)
            if start[0] >= self.size:
                return 0
            self.run(start[0], min(self.chunk, self.size - start[0]))
        return 0

    cdef void leave(self) noexcept:
        # The caller cannot go on before it has the GIL, and this thread keeps it to its very end.
        self.helpers -= 1
        if self.helpers == 0:
            PyThread_release_lock(self.all_left)


cdef void help_with(void *loop) noexcept with gil:
    global beginning
    beginning -= 1
    (<Loop>loop).take_chunks()
    (<Loop>loop).leave()
