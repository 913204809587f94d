"""`FileWatch`: whether the files of a database are still the ones under their paths, and whether this process's locks hold.

Compiled because it is asked before and after each commit: in Python it would take a tenth of what a commit takes.
"""
import os

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcmp, memcpy, memset
from .frame_writes cimport RW_PREAD, RW_PWRITE
from .kept_locks cimport (
    RW_CLOSE, RW_FCNTL, RW_MMAP, RW_MUNMAP, RW_OPEN, rw_disown, rw_kept, rw_lock, rw_locked, rw_own, rw_shared,
    rw_watch_forks,
)
from .places cimport RW_CHANGED, RW_OFD, RW_SHAPE, RW_SIZE, rw_map, rw_pread, rw_stat, rw_unmap

cdef enum:
    MAIN, WAL, SHM  # which file
    FRAME_HEADER = 24
    WAL_HEADER = 32
    INDEX = 136  # bytes of the index: two headers, and how far it was checkpointed
    HEAD = 48  # bytes of the first of its headers
    COMMITS = 8  # where the number is in it that rises with each commit
    CHANGES = 12  # bytes of one, up to the number that rises with each commit; what follows may change before
    COUNTERS = 96  # where that is in it
    TRIED = 128  # and how far somebody meant to
    PAGE_HEAD = 100  # bytes of the header of the main file

# Where SQLite locks: "File Locking And Concurrency" and "WAL-mode File Format".
cdef long long SHARED_AT = 0x40000002
cdef long long SHARED_SIZE = 510
cdef long long MAPPED_AT = 128


def system_calls():
    """What SQLite should call in place of the system's: name → address; nothing where there are no such locks.

    POSIX locks belong to the process, and closing any descriptor of a file drops them all: another SQLite in the process,
    or whoever reads the file, would let others write beside our transactions. With these calls the locks in each -shm that
    was given to `own` belong to SQLite's own descriptor, and conflict with those of another SQLite in the same process.
    """
    if not RW_OFD:
        return {}
    rw_watch_forks()
    return {
        "open": RW_OPEN, "fcntl": RW_FCNTL, "close": RW_CLOSE, "mmap": RW_MMAP, "munmap": RW_MUNMAP,
        "pread": RW_PREAD, "pread64": RW_PREAD, "pwrite": RW_PWRITE, "pwrite64": RW_PWRITE,
    }


def own(bytes path):
    """Let an -shm be ours, before it is opened: see `system_calls`; `disown` is to follow."""
    if not rw_own(path):
        raise MemoryError


def disown(bytes path):
    """One user less has an -shm for ours."""
    rw_disown(path)


cdef class FileWatch:
    """One for a file and process; whoever has several connections to the file shares it.

    Parameters
    ----------
    paths : sequence of bytes
        Of the main file, its -wal and its -shm.

    Attributes
    ----------
    locks : bool
        Whether the platform has open-file-description locks, and this holds them. Otherwise `writing` is true.
    kept : bool
        Whether nothing in this process can drop SQLite's locks in the -shm: see `system_calls`.
    writing_thread : int or None
        The thread that is in a handler's transaction on the file, through whichever of its connections.
    log_size : int
        How long the -wal was when a transaction began.
    """
    cdef public object writing_thread
    cdef readonly tuple paths
    cdef readonly bint locks, kept
    cdef bint _held
    cdef unsigned long long[3][2] _places
    cdef long long[RW_SHAPE] _shape  # of the main file
    cdef int[3] _fds
    cdef readonly long long log_size
    cdef const unsigned char *_shared  # the index as it is: SQLite has it in its memory as well
    cdef unsigned char[INDEX] _index  # as it was when the transaction began
    cdef unsigned char[PAGE_HEAD] _head

    def __cinit__(self, paths):
        self.paths = tuple(paths)
        self._fds[MAIN] = self._fds[WAL] = self._fds[SHM] = -1

    def __dealloc__(self):
        self._unmap()

    def open_main(self):
        """Open the main file, where there is a use for that; to be called before SQLite has it open."""
        cdef long long[RW_SHAPE] shape
        if RW_OFD and self._fds[MAIN] < 0:
            self._fds[MAIN] = os.open(self.paths[MAIN], os.O_RDONLY | os.O_CLOEXEC)
        self._look(MAIN, self._places[MAIN], shape)
        return self._places[MAIN][0], self._places[MAIN][1]

    def hold(self):
        """SQLite has the files open: from now on they are watched, and locked in a way that only this can undo."""
        cdef long long[RW_SHAPE] shape
        if self._held:
            return
        self._held = True
        if RW_OFD:
            self._open_beside(WAL)
            self._open_beside(SHM)
            self.locks = (
                rw_lock(self._fds[MAIN], True, 1, SHARED_AT, SHARED_SIZE)
                and rw_lock(self._fds[SHM], True, 1, MAPPED_AT, 1)
            )
        for which in (WAL, SHM):
            self._look(which, self._places[which], shape)
        self.kept = self.locks and rw_kept(self._places[SHM])
        if self.locks:
            self._unmap()
            self._shared = rw_map(self._fds[SHM], INDEX)
            if self._shared is NULL:
                raise MemoryError
            self._look(MAIN, self._places[MAIN], self._shape)
            memcpy(self._index, self._shared, INDEX)
            rw_pread(self._fds[MAIN], self._head, PAGE_HEAD, 0)

    cdef void _unmap(self) noexcept:
        if self._shared is not NULL:
            rw_unmap(self._shared, INDEX)
            self._shared = NULL

    cdef object _open_beside(self, int which):
        """Open a file that SQLite has open, unless that is done already."""
        if self._fds[which] >= 0:
            if os.path.samestat(os.fstat(self._fds[which]), os.stat(self.paths[which])):
                return
            os.close(self._fds[which])
            self._fds[which] = -1
        self._fds[which] = os.open(self.paths[which], os.O_RDWR | os.O_CLOEXEC)

    def let_go(self):
        """Let go of the locks, so that SQLite can end with the file in its own way."""
        if self.locks:
            rw_lock(self._fds[MAIN], True, 0, SHARED_AT, SHARED_SIZE)
            rw_lock(self._fds[SHM], True, 0, MAPPED_AT, 1)
        self.locks = self._held = False

    def close(self):
        """Let go of the files; this drops all POSIX locks that the process still has on them."""
        self.locks = False
        self._unmap()
        for which in (MAIN, WAL, SHM):
            if self._fds[which] >= 0:
                os.close(self._fds[which])
                self._fds[which] = -1

    def others_here(self):
        """Whether something else in this process still has SQLite's lock on the main file."""
        return self._fds[MAIN] >= 0 and rw_locked(self._fds[MAIN], SHARED_AT, SHARED_SIZE)

    def shared(self):
        """Whether somebody has SQLite's lock on the main file, in whatever process."""
        return self._fds[MAIN] >= 0 and rw_shared(self._fds[MAIN], SHARED_AT, SHARED_SIZE)

    cdef int _look(self, int which, unsigned long long *place, long long *shape) except -3:
        """Where what has a path lies now; 0 when that can be told."""
        cdef bytes path = self.paths[which]
        cdef int found = rw_stat(path, -1, which == MAIN, place, shape)
        if found == -2:
            try:
                got = os.stat(os.fsdecode(path))
            except OSError:
                return -1
            place[0], place[1] = got.st_dev, got.st_ino
            shape[RW_SIZE], shape[RW_CHANGED] = got.st_size, got.st_mtime_ns
            return 0
        return found

    cdef bint _elsewhere(self, int which, long long *shape) except -1:
        """Whether a file is not the one under its path any more."""
        cdef unsigned long long[2] place
        return (
            self._look(which, place, shape) != 0
            or place[0] != self._places[which][0]
            or place[1] != self._places[which][1]
        )

    cpdef int displaced(self) except -3:
        """Which file is not the one under its path any more: 1 the main file, 2 -wal, 3 -shm; 0 if all are."""
        cdef long long[RW_SHAPE] shape
        for which in (MAIN, WAL, SHM):
            if self._elsewhere(which, shape):
                return which + 1
        return 0

    cpdef int begun(self) except -3:
        """A transaction has begun: what is wrong with the files, in a number.

        As `displaced`; 4 when the -wal is shorter than what was committed to it, 5 when it is another's, 6 when the main
        file was written over. Only whoever may write to the file is to ask.
        """
        cdef long long[RW_SHAPE] main, log
        cdef unsigned char[INDEX] index
        cdef unsigned char[8] salt
        cdef unsigned int frames
        cdef unsigned short page
        if not self.locks:
            self.log_size = 0 if self._elsewhere(WAL, log) else log[RW_SIZE]
            return self.displaced()
        if self._elsewhere(MAIN, main):
            return MAIN + 1
        for which in (SHM, WAL):
            if self._elsewhere(which, log) or (which == SHM and log[RW_SIZE] < INDEX):
                return which + 1
        self.log_size = log[RW_SIZE]
        memcpy(index, self._shared, INDEX)
        if not self._unchanged(main) and not self._checkpointed(index):
            return 6
        memcpy(&frames, index + 16, 4)
        memcpy(&page, index + 14, 2)
        if frames:
            if self.log_size < WAL_HEADER + frames * <long long>(FRAME_HEADER + (65536 if page == 1 else page)):
                return 4
            if not (rw_pread(self._fds[WAL], salt, 8, 16) and memcmp(salt, index + 32, 8) == 0):
                return 5
        memcpy(self._index, index, INDEX)
        return 0

    cdef bint _unchanged(self, long long *shape) noexcept:
        return shape[RW_SIZE] == self._shape[RW_SIZE] and shape[RW_CHANGED] == self._shape[RW_CHANGED]

    cdef bint _checkpointed(self, unsigned char *index) except -1:
        """Whether what has changed the main file was a checkpoint, which leaves its mark in the index, or nothing."""
        cdef unsigned long long[2] place
        cdef long long[RW_SHAPE] shape
        cdef unsigned char[PAGE_HEAD] head
        cdef bint marked = (
            memcmp(index + 32, self._index + 32, 8) != 0
            or memcmp(index + COUNTERS, self._index + COUNTERS, 4) != 0
            or memcmp(index + TRIED, self._index + TRIED, 4) != 0
            or memcmp(index + TRIED, index + COUNTERS, 4) != 0  # it is under way: other programs need no turn for that
        )
        if self._look(MAIN, place, shape) or not rw_pread(self._fds[MAIN], head, PAGE_HEAD, 0):
            return False
        if not marked and (shape[RW_SIZE] != self._shape[RW_SIZE] or memcmp(head, self._head, PAGE_HEAD) != 0):
            return False
        memcpy(self._head, head, PAGE_HEAD)
        memcpy(self._shape, shape, sizeof(self._shape))
        return True

    def committed(self, bint wrote):
        """After a commit of the transaction of which `begun` was told: the head of the index, if that is its work alone.

        `wrote` says whether the transaction has changed a row: then the number of commits has risen for it.
        """
        cdef unsigned int before, after
        cdef unsigned char[HEAD] head
        if not self.locks:
            return None
        memcpy(head, self._shared, HEAD)
        memcpy(&before, self._index + COMMITS, 4)
        memcpy(&after, head + COMMITS, 4)
        return head[:HEAD] if after == before + wrote else None

    def stands(self, bytes head or None):
        """Whether nobody has committed since the head of the index was this; never for None."""
        return head is not None and self.locks and memcmp(self._shared, PyBytes_AS_STRING(head), HEAD) == 0

    cpdef bint writing(self) noexcept:
        """Whether nobody but this process has written since `begun`."""
        return not self.locks or memcmp(self._shared, self._index, CHANGES) == 0
