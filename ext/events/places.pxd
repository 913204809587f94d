"""Where a file lies and what shape it has, and a look at what is in it, without the interpreter's lock.

On Windows nothing of it is there: `rw_stat` returns -2, and whoever calls asks Python.
"""

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
    """
    bint RW_OFD
    enum: RW_SIZE, RW_CHANGED, RW_SHAPE
    int rw_stat(const char *path, int fd, bint timed, unsigned long long *place, long long *shape) nogil
    bint rw_pread(int fd, void *to, size_t size, long long at) nogil
    const unsigned char *rw_map(int fd, size_t size) nogil
    void rw_unmap(const unsigned char *at, size_t size) nogil
