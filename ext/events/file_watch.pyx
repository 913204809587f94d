"""`FileWatch`: whether the files of a database are still the ones under their paths, and whether this process's locks hold.

Compiled because it is asked before and after each commit: in Python it would take a tenth of what a commit takes.
"""
import os

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcmp, memcpy, memset
from .frame_writes cimport RW_PREAD, RW_PWRITE

cdef extern from *:
    """
    #if defined(__linux__) && defined(__LP64__)
    #define RW_OFD 1  /* open-file-description locks: they conflict with the POSIX locks of their own process */
    #else
    #define RW_OFD 0
    #endif
    #if !defined(_WIN32)
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdarg.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #if defined(STATX_INO) && defined(AT_EMPTY_PATH)
    #include <sys/sysmacros.h>
    #define RW_STATX 1
    #else
    #define RW_STATX 0
    #endif
    /* `shape` is the length, and the time of the last change: that is asked for where `timed` only. Since
       Linux 6.13 the next write of a file gets a time of its own when somebody has asked for the last one, and with that a
       sync takes half as long again: so who is about to write must not ask (`statx` can, `stat` always does). */
    enum { RW_SIZE, RW_CHANGED, RW_SHAPE };
    static int rw_stat(const char *path, int fd, int timed, unsigned long long *place, long long *shape)
    {
        struct stat got;
    #if RW_STATX
        struct statx some;
        if (!statx(fd >= 0 ? fd : AT_FDCWD, fd >= 0 ? "" : path, fd >= 0 ? AT_EMPTY_PATH : 0,
                   STATX_INO | STATX_SIZE | (timed ? STATX_MTIME : 0), &some)) {
            place[0] = (unsigned long long)makedev(some.stx_dev_major, some.stx_dev_minor);
            place[1] = some.stx_ino;
            shape[RW_SIZE] = (long long)some.stx_size;
            shape[RW_CHANGED] = timed ? some.stx_mtime.tv_sec * 1000000000LL + some.stx_mtime.tv_nsec : 0;
            return 0;
        }
        if (errno != ENOSYS && errno != EPERM) return -1; /* containers refuse what they do not know */
    #endif
        if (fd >= 0 ? fstat(fd, &got) : stat(path, &got)) return -1;
        place[0] = (unsigned long long)got.st_dev;
        place[1] = (unsigned long long)got.st_ino;
        shape[RW_SIZE] = (long long)got.st_size;
    #if defined(__APPLE__)
        shape[RW_CHANGED] = got.st_mtimespec.tv_sec * 1000000000LL + got.st_mtimespec.tv_nsec;
    #else
        shape[RW_CHANGED] = got.st_mtim.tv_sec * 1000000000LL + got.st_mtim.tv_nsec;
    #endif
        return 0;
    }
    static int rw_pread(int fd, void *to, size_t size, long long at)
    {
        return pread(fd, to, size, (off_t)at) == (ssize_t)size;
    }
    static const unsigned char *rw_map(int fd, size_t size)
    {
        void *got = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        return got == MAP_FAILED ? NULL : (const unsigned char *)got;
    }
    static void rw_unmap(const unsigned char *at, size_t size) { munmap((void *)at, size); }
    #else
    enum { RW_SIZE, RW_CHANGED, RW_SHAPE };
    static int rw_stat(const char *path, int fd, int timed, unsigned long long *place, long long *shape) { return -2; }
    static int rw_pread(int fd, void *to, size_t size, long long at) { return 0; }
    static const unsigned char *rw_map(int fd, size_t size) { return NULL; }
    static void rw_unmap(const unsigned char *at, size_t size) {}
    #endif
    #if RW_OFD
    #ifndef F_OFD_GETLK
    #define F_OFD_GETLK 36
    #define F_OFD_SETLK 37
    #define F_OFD_SETLKW 38
    #endif
    static int rw_lock(int fd, int own, int kind, long long at, long long size)
    {
        struct flock lock;
        memset(&lock, 0, sizeof lock);
        lock.l_type = (short)(kind == 0 ? F_UNLCK : kind == 1 ? F_RDLCK : F_WRLCK);
        lock.l_whence = SEEK_SET;
        lock.l_start = (off_t)at;
        lock.l_len = (off_t)size;
        return fcntl(fd, own ? F_OFD_SETLK : F_SETLK, &lock) == 0;
    }
    static int rw_locked(int fd, long long at, long long size)  /* by this process, as POSIX locks are */
    {
        struct flock lock;
        memset(&lock, 0, sizeof lock);
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = (off_t)at;
        lock.l_len = (off_t)size;
        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid == getpid();
    }
    static int rw_shared(int fd, long long at, long long size)  /* by whomever */
    {
        struct flock lock;
        memset(&lock, 0, sizeof lock);
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = (off_t)at;
        lock.l_len = (off_t)size;
        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    }
    /* What SQLite calls in place of fcntl, close, mmap and munmap: its locks in an -shm of ours, which are at these bytes,
       are taken as open-file-description locks. SQLite has one descriptor of an -shm in a process, so nothing else
       changes. But a description is shared with a child, as long as that has the descriptor, or what is mapped: so the
       child gets both anew, before anything runs in it. */
    #define RW_INDEX_LOCKS 120
    #define RW_INDEX_OPENED 128
    #define RW_DESCRIPTORS (1 << 20)
    #define RW_MAPPED 4096
    struct rw_file { char *path; int users; struct rw_file *next; };
    static struct rw_file *rw_ours;
    static struct rw_file *rw_index[RW_DESCRIPTORS];  /* whose -shm a descriptor is of, if it is of ours */
    static int rw_most = -1;                          /* the highest that ever was */
    static pthread_mutex_t rw_changing = PTHREAD_MUTEX_INITIALIZER;
    static struct { char *at; size_t size; int protection, flags, fd; off_t offset; } rw_mapped[RW_MAPPED];
    static int rw_unused(struct rw_file *file)
    {
        int fd;
        if (file->users) return 0;
        for (fd = 0; fd <= rw_most; fd++)
            if (rw_index[fd] == file) return 0;
        return 1;
    }
    static int rw_own(const char *path)
    {
        struct rw_file *file, *found = NULL;
        pthread_mutex_lock(&rw_changing);
        for (file = rw_ours; file && !found; file = file->next)
            if (file->path && !strcmp(file->path, path)) found = file;
        for (file = rw_ours; file && !found; file = file->next)
            if (rw_unused(file)) found = file;
        if (!found && (found = calloc(1, sizeof *found))) {
            found->next = rw_ours;
            rw_ours = found;
        }
        if (found && (!found->path || strcmp(found->path, path))) {
            free(found->path);
            found->path = strdup(path);
        }
        if (found && found->path) found->users++;
        pthread_mutex_unlock(&rw_changing);
        return found && found->path;
    }
    static void rw_disown(const char *path)
    {
        struct rw_file *file;
        pthread_mutex_lock(&rw_changing);
        for (file = rw_ours; file; file = file->next)
            if (file->users && file->path && !strcmp(file->path, path)) file->users--;
        pthread_mutex_unlock(&rw_changing);
    }
    static int rw_open(const char *path, int flags, int mode)
    {
        int fd = open(path, flags, mode);
        struct rw_file *file, *found = NULL;
        size_t size = strlen(path);
        pthread_mutex_lock(&rw_changing);
        if (size > 4 && !strcmp(path + size - 4, "-wal"))
            for (file = rw_ours; file && !found; file = file->next)
                if (file->users && strlen(file->path) == size && !strncmp(file->path, path, size - 4)) found = file;
        rw_log_is(fd, found);
        pthread_mutex_unlock(&rw_changing);
        return fd;
    }
    static void rw_opened(int fd)
    {
        struct rw_file *file, *found = NULL;
        unsigned long long there[2], here[2];
        long long shape[RW_SHAPE];
        pthread_mutex_lock(&rw_changing);
        if (!rw_stat("", fd, 0, here, shape))
            for (file = rw_ours; file && !found; file = file->next)
                if (file->users && !rw_stat(file->path, -1, 0, there, shape) && there[0] == here[0] && there[1] == here[1])
                    found = file;
        rw_index[fd] = found;
        if (found && fd > rw_most) rw_most = fd;
        pthread_mutex_unlock(&rw_changing);
    }
    static int rw_fcntl(int fd, int command, ...)
    {
        va_list more;
        void *given;
        va_start(more, command);
        given = va_arg(more, void *);
        va_end(more);
        if ((command == F_SETLK || command == F_GETLK || command == F_SETLKW) && fd >= 0 && fd < RW_DESCRIPTORS) {
            struct flock lock = *(struct flock *)given;
            if (lock.l_whence == SEEK_SET && lock.l_start >= RW_INDEX_LOCKS && lock.l_len > 0
                && lock.l_start + lock.l_len <= RW_INDEX_OPENED + 1) {
                if (command == F_GETLK && lock.l_start == RW_INDEX_OPENED) rw_opened(fd); /* it begins with that */
                if (rw_index[fd]) {
                    int done;
                    if (lock.l_type == F_UNLCK && lock.l_start == RW_INDEX_LOCKS) { /* the lock of who writes */
                        pthread_mutex_lock(&rw_changing);
                        rw_frames_dropped(rw_index[fd]);
                        pthread_mutex_unlock(&rw_changing);
                    }
                    lock.l_pid = 0;
                    done = fcntl(fd, command == F_SETLK ? F_OFD_SETLK : command == F_GETLK ? F_OFD_GETLK : F_OFD_SETLKW, &lock);
                    if (done == 0 || errno != EINVAL) {
                        if (command == F_GETLK) *(struct flock *)given = lock;
                        return done;
                    }
                    rw_index[fd] = NULL; /* a system without such locks */
                }
            }
        }
        return fcntl(fd, command, given);
    }
    static int rw_close(int fd)
    {
        if (fd >= 0 && fd < RW_DESCRIPTORS) rw_index[fd] = NULL;
        if (fd >= 0 && fd < RW_LOGS && rw_logs[fd]) {
            pthread_mutex_lock(&rw_changing);
            rw_log_is(fd, NULL);
            pthread_mutex_unlock(&rw_changing);
        }
        return close(fd);
    }
    static void *rw_mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
    {
        char *got = mmap(where, size, protection, flags, fd, offset);
        int at;
        if (got == MAP_FAILED || fd < 0 || fd >= RW_DESCRIPTORS || !rw_index[fd]) return got;
        pthread_mutex_lock(&rw_changing);
        for (at = 0; at < RW_MAPPED; at++)
            if (!rw_mapped[at].size) {
                rw_mapped[at].at = got;
                rw_mapped[at].protection = protection;
                rw_mapped[at].flags = flags;
                rw_mapped[at].fd = fd;
                rw_mapped[at].offset = offset;
                rw_mapped[at].size = size;
                madvise(got, size, MADV_DONTFORK);
                break;
            }
        pthread_mutex_unlock(&rw_changing);
        return got;
    }
    static int rw_munmap(void *where, size_t size)
    {
        int at;
        pthread_mutex_lock(&rw_changing);
        for (at = 0; at < RW_MAPPED; at++)
            if (rw_mapped[at].size && rw_mapped[at].at == (char *)where) rw_mapped[at].size = 0;
        pthread_mutex_unlock(&rw_changing);
        return munmap(where, size);
    }
    static void rw_child(void)  /* right after a fork: nothing but system calls */
    {
        unsigned long long before[2], after[2];
        long long shape[RW_SHAPE];
        int fd, at;
        pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
        rw_frames_dropped(NULL);  /* a thread of the parent writes them */
        for (fd = 0; fd <= rw_most; fd++) {
            int anew;
            if (!rw_index[fd]) continue;
            anew = open(rw_index[fd]->path, O_RDWR | O_CLOEXEC);
            if (anew < 0 || rw_stat("", fd, 0, before, shape) || rw_stat("", anew, 0, after, shape)
                || before[0] != after[0] || before[1] != after[1]) {  /* it was replaced: then it serves for nothing */
                if (anew >= 0) close(anew);
                anew = open("/dev/zero", O_RDWR | O_CLOEXEC);
            }
            dup2(anew, fd);
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            if (anew != fd) close(anew);
            rw_lock(fd, 1, 1, RW_INDEX_OPENED, 1);
        }
        for (at = 0; at < RW_MAPPED; at++)
            if (rw_mapped[at].size) {
                mmap(rw_mapped[at].at, rw_mapped[at].size, rw_mapped[at].protection, rw_mapped[at].flags | MAP_FIXED,
                     rw_mapped[at].fd, rw_mapped[at].offset);
                madvise(rw_mapped[at].at, rw_mapped[at].size, MADV_DONTFORK);
            }
        rw_changing = fresh;
    }
    static void rw_before_fork(void) { pthread_mutex_lock(&rw_changing); }
    static void rw_after_fork(void) { pthread_mutex_unlock(&rw_changing); }
    static void rw_watch_forks(void)
    {
        static int watched = 0;
        if (!watched) watched = !pthread_atfork(rw_before_fork, rw_after_fork, rw_child);
    }
    static int rw_kept(unsigned long long *place)  /* whether the -shm that lies there is locked so */
    {
        unsigned long long found[2];
        long long shape[RW_SHAPE];
        int fd;
        for (fd = 0; fd <= rw_most; fd++)
            if (rw_index[fd] && !rw_stat("", fd, 0, found, shape) && found[0] == place[0] && found[1] == place[1]) return 1;
        return 0;
    }
    #define RW_OPEN ((size_t)(void *)rw_open)
    #define RW_FCNTL ((size_t)(void *)rw_fcntl)
    #define RW_CLOSE ((size_t)(void *)rw_close)
    #define RW_MMAP ((size_t)(void *)rw_mmap)
    #define RW_MUNMAP ((size_t)(void *)rw_munmap)
    #else
    static int rw_shared(int fd, long long at, long long size) { return 0; }
    static int rw_lock(int fd, int own, int kind, long long at, long long size) { return 0; }
    static int rw_locked(int fd, long long at, long long size) { return 1; }
    static int rw_own(const char *path) { return 1; }
    static void rw_disown(const char *path) {}
    static int rw_kept(unsigned long long *place) { return 0; }
    static void rw_watch_forks(void) {}
    #define RW_OPEN 0
    #define RW_FCNTL 0
    #define RW_CLOSE 0
    #define RW_MMAP 0
    #define RW_MUNMAP 0
    #endif
    """
    size_t RW_OPEN, RW_FCNTL, RW_CLOSE, RW_MMAP, RW_MUNMAP
    bint rw_own(const char *path) nogil
    void rw_disown(const char *path) nogil
    bint rw_kept(unsigned long long *place) nogil
    void rw_watch_forks() nogil
    bint RW_OFD
    enum: RW_SIZE, RW_CHANGED, RW_SHAPE
    int rw_stat(const char *path, int fd, bint timed, unsigned long long *place, long long *shape) nogil
    bint rw_pread(int fd, void *to, size_t size, long long at) nogil
    const unsigned char *rw_map(int fd, size_t size) nogil
    void rw_unmap(const unsigned char *at, size_t size) nogil
    bint rw_lock(int fd, int own, int kind, long long at, long long size) nogil
    bint rw_locked(int fd, long long at, long long size) nogil
    bint rw_shared(int fd, long long at, long long size) nogil

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
