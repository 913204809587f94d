"""Locks on parts of files that nobody else in the process can drop, and what SQLite calls so that its own are such ones.

POSIX locks belong to the process. Whoever closes any descriptor of a file drops them all.
"""
from .frame_writes cimport RW_PREAD  # what is written later is dropped with the lock
from .places cimport RW_OFD

cdef extern from *:
    """
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
    bint rw_lock(int fd, int own, int kind, long long at, long long size) nogil
    bint rw_locked(int fd, long long at, long long size) nogil
    bint rw_shared(int fd, long long at, long long size) nogil
