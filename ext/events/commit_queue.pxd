"""`Job` and `CommitQueue` for the code that leads, and the clock of both."""

cdef double clock() except? -1


cdef class Job:
    cdef object operation, otherwise, gate
    cdef readonly object thread
    cdef public object result, error
    cdef readonly bint sync, alone, leads, done
    cdef bint gone  # its thread has left
    cdef Job following  # in the queue
    cdef double until  # how long it waits for others
    cdef long long served_in  # the commit before, if its thread was in that: then it has come back


cdef class CommitQueue:
    cdef Job _first, _last
    cdef readonly Py_ssize_t waiting
    cdef Py_ssize_t _hasty, _served, _back  # who is in a hurry; who was in the commit before; who of them waits again
    cdef bint _led
    cdef object _led_by  # the thread
    cdef dict _commit_of  # thread → the number of its last commit
    cdef long long _number
    cdef double _began_at
    cdef public double served_at, commit_s  # when the last commit ended; what one takes
    cdef public int vain, resigned  # how many commits do not wait after the next wait in vain; how many of these are left

    cpdef bint join(self, Job job) except -1
    cdef bint _begin(self, Job job, double now) noexcept
    cdef double _patience_ends(self, Job job, double now) noexcept
    cpdef list collect(self, Job leader)
    cpdef object put_back(self, list jobs)
    cpdef object served(self, list jobs, Job leader, double took_s)
    cpdef object pass_on(self, Job leader)
    cdef object _append(self, Job job)
    cdef object _remove(self, Job job)
