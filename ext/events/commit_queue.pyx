"""Whose turn it is to commit, of the threads that want to write, and how long it waits for the others.

Compiled because no step may be cut off from the next: Python raises `KeyboardInterrupt` where bytecode runs or something
waits, and between the steps here neither does. For the same reason the interpreter's lock is the lock of the queue: nothing
that changes it calls Python code, or makes an object that the garbage collector would count.
"""
from _thread import allocate_lock, get_ident
from time import perf_counter

from libc.math cimport INFINITY

from ringward.errors import TransactionError

cdef extern from *:
    """
    #if defined(__linux__)
    #include <time.h>
    static double rw_now(void)  /* what `time.perf_counter` tells there */
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    #define RW_NOW 1
    #else
    static double rw_now(void) { return 0; }
    #define RW_NOW 0
    #endif
    """
    double rw_now() noexcept nogil
    bint RW_NOW

cdef enum:
    RESIGNED_MOST = 63  # so many commits do not wait, at most, after some that waited for nobody
    REMEMBERED = 4096  # threads

# How long a commit waits at most for threads that the one before has served, as a share of what a commit takes.
cdef double PATIENCE = 0.75
# The weight of the newest in the average of what a commit takes.
cdef double NEWEST = 0.1

cdef object _get_ident = get_ident
cdef object _new_gate = allocate_lock


cdef double clock() except? -1:
    return rw_now() if RW_NOW else perf_counter()


cdef class Job:
    """One operation, and what became of it."""
    def __cinit__(self, *args, **kwargs):
        self.gate = _new_gate()  # locked while its thread waits
        self.gate.acquire()

    def __init__(self, operation, otherwise=None, *, bint sync=True, bint alone=False, thread=None):
        self.operation = operation
        self.otherwise = otherwise
        self.sync = sync
        self.alone = alone  # whether it is no part of a commit of several
        self.thread = _get_ident() if thread is None else thread


cdef inline bint hasty(Job job) noexcept:
    """Whether a job never waits for others."""
    return job.alone or not job.sync


cdef class CommitQueue:
    """Lets one thread after the other lead: it commits for all that wait.

    Threads whose jobs were in the commit before are likely to come again at once, so whoever comes first waits for
    them, and whoever comes last leads. The wait is a part of what a commit takes at most, and left out where it was in vain
    lately; a thread that nobody else writes beside never waits. Of those who come while somebody leads, the first
    leads next, after such a wait. Where one of those that wait is in a hurry, nobody waits for others.
    """
    def __cinit__(self):
        self._commit_of = {}

    cpdef bint join(self, Job job) except -1:
        """Wait until a job is done, or until its thread leads; whether it does. `pass_on` must follow then."""
        cdef double now = clock()
        if self._led and self._led_by == job.thread:
            raise TransactionError("this thread is writing already: what a signal or the garbage collector calls must not")
        self._append(job)
        if self._led:
            job.until = INFINITY if hasty(job) else self._began_at + (1 + PATIENCE) * self.commit_s
        else:
            job.until = self._patience_ends(job, now)
            if job.until <= now:
                return self._begin(job, now)
        try:
            if job.until == INFINITY:
                job.gate.acquire()
            elif not job.gate.acquire(timeout=max(0.0, job.until - now)):
                if not (self._led or job.done):
                    self.resigned = self.vain = min(2 * self.vain + 1, RESIGNED_MOST)
                    return self._begin(job, clock())
                job.until = 0  # or `pass_on` might take it for one that wakes by itself
                job.gate.acquire()
        except BaseException:  # an interrupt: nobody waits for this job any more
            job.gone = True
            if job.leads or not self._led:  # it might have been the one that the others count on
                self.pass_on(job)
            else:
                self._remove(job)
            raise
        return job.leads

    cdef bint _begin(self, Job job, double now) noexcept:
        self._led = job.leads = True
        self._led_by = job.thread
        self._began_at = now
        return True

    cdef double _patience_ends(self, Job job, double now) noexcept:
        """Until when a job waits for those who may come at once; a time that is over, if it does not."""
        cdef double end
        if self._hasty:
            return 0
        if self._back == self._served:
            if self.waiting > 1:
                self.vain = 0
            return 0
        end = self.served_at + PATIENCE * self.commit_s
        if self.resigned and end > now:
            self.resigned -= 1
            return 0
        return end

    cpdef list collect(self, Job leader):
        """Take the jobs that the leader is to commit: all up to one that wants to be alone."""
        cdef list jobs = []
        if leader.alone:
            self._remove(leader)
            return [leader]
        while self._first is not None and not self._first.alone:
            jobs.append(self._first)
            self._remove(self._first)
        return jobs

    cpdef object put_back(self, list jobs):
        """Let jobs that were collected wait again, before all others."""
        cdef Job job
        for job in reversed(jobs):
            if job.gone:
                continue
            job.result = job.error = None
            job.following = self._first
            self._first = job
            if self._last is None:
                self._last = job
            self.waiting += 1
            self._hasty += hasty(job)
            job.served_in = -1

    cpdef object served(self, list jobs, Job leader, double took_s):
        """Jobs are done; what a commit of them took, if it was one that is synced, or a negative number."""
        cdef Job job
        self.served_at = clock()
        self._number += 1
        self._served, self._back = len(jobs), 0
        if len(self._commit_of) > REMEMBERED:
            self._commit_of.clear()
        if took_s >= 0:
            self.commit_s += NEWEST * (took_s - self.commit_s)
        for job in jobs:
            self._commit_of[job.thread] = self._number
            job.done = True
            if job is not leader:
                job.gate.release()

    cpdef object pass_on(self, Job leader):
        """Lead no more: the first that waits does, if there is one, at once or when it has waited for others."""
        cdef Job first
        cdef double now = clock()
        if not leader.done:
            self._remove(leader)
        first = self._first
        self._led = False
        if first is not None and (first.until <= now or self._patience_ends(first, now) <= now):
            self._begin(first, now)
            first.gate.release()

    cdef object _append(self, Job job):
        if self._last is None:
            self._first = job
        else:
            self._last.following = job
        self._last = job
        self.waiting += 1
        self._hasty += hasty(job)
        job.served_in = self._commit_of.get(job.thread, -1)
        self._back += job.served_in == self._number

    cdef object _remove(self, Job job):
        """Take a job out of the queue, if it is there."""
        cdef Job before = None
        cdef Job each = self._first
        while each is not None and each is not job:
            before, each = each, each.following
        if each is None:
            return
        if before is None:
            self._first = job.following
        else:
            before.following = job.following
        if self._last is job:
            self._last = before
        job.following = None
        self.waiting -= 1
        self._hasty -= hasty(job)
        self._back -= job.served_in == self._number
