"""`FairWriteLock`: the locks of files by which processes write one after the other.

Compiled as `GroupCommit` is: an interrupt between two steps would leave a lock behind.
"""
from .commit_queue cimport clock

cdef extern from *:
    """
    #include <sys/stat.h>
    static long long rw_length(int fd)  /* of an open file; -1 when it was deleted */
    {
    #if defined(_WIN32)
        struct _stat64 got;
        return _fstat64(fd, &got) ? -1 : (long long)got.st_size;
    #else
        struct stat got;
        return fstat(fd, &got) || got.st_nlink == 0 ? -1 : (long long)got.st_size;
    #endif
    }
    """
    long long rw_length(int fd) nogil

# How often a passage is looked at closely.
cdef double LOOK_S = 1.0


cdef class FairWriteLock:
    """Two locks of files that processes pass one after the other.

    Who passes again and again waits at the first like everybody else, so nobody starves at the second. The length of the
    second is the sign that the store has failed: setting it needs no space.

    Parameters
    ----------
    flock : callable
        As `fcntl.flock`.
    lock, unlock : int
        What it takes.
    first, second : FileLock
    """
    cdef object _flock, _lock, _unlock, _first, _second
    cdef public double looked_at  # when it was looked at closely

    def __init__(self, flock, lock, unlock, first, second):
        self._flock, self._lock, self._unlock = flock, lock, unlock
        self._first, self._second = first, second
        self.looked_at = clock()

    @property
    def failed(self):
        """Whether some process saw a commit or a sync fail; to be asked in the turn."""
        cdef double now = clock()
        cdef bint due = now - self.looked_at > LOOK_S
        if not due and rw_length(self._second.fd) == 0:
            return False
        if due:
            self.looked_at = now
        return self.troubled(due)

    def troubled(self, bint due):
        """Look closely at whether it has failed, and see to the files where that is due."""
        return rw_length(self._second.fd) > 0

    def enter(self):
        """Wait for the turn."""
        following = self._first.fd
        self._flock(following, self._lock)
        try:
            self._flock(self._second.fd, self._lock)
        except BaseException:  # where `flock` is bytecode it may be locked
            self.leave()
            raise
        finally:
            self._flock(following, self._unlock)

    def leave(self):
        """End the turn."""
        self._flock(self._second.fd, self._unlock)
