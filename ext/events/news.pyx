"""`News`: a counter that processes share, and a sleep that ends when it rises.

Compiled because whoever raises it must not pay for it where nobody sleeps, and whoever sleeps must not hold Python up: on
Linux it sleeps on the counter itself (a futex), elsewhere it looks again and again.
"""
import os

from libc.math cimport fmin
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_MSC_VER)
      #include <intrin.h>
      #define news_load(word) ((uint32_t)_InterlockedOr((volatile long *)(word), 0))
      #define news_add(word) ((void)_InterlockedIncrement((volatile long *)(word)))
      #define news_swap(word, value) ((uint32_t)_InterlockedExchange((volatile long *)(word), (long)(value)))
    #else
      #define news_load(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
      #define news_add(word) ((void)__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST))
      #define news_swap(word, value) __atomic_exchange_n(word, (uint32_t)(value), __ATOMIC_SEQ_CST)
    #endif
    #if defined(_WIN32)
      #define news_pread(fd, to) 0
      #define news_pwrite(fd, value) 0
      #define news_close(fd) ((void)(fd))
    #else
      #include <unistd.h>
      static int news_pread(int fd, uint32_t *to) { return pread(fd, to, 4, 0) == 4; }
      static int news_pwrite(int fd, uint32_t value) { return pwrite(fd, &value, 4, 0) == 4; }
      #define news_close(fd) ((void)close(fd))
    #endif
    #if defined(__linux__)
      #include <errno.h>
      #include <limits.h>
      #include <linux/futex.h>
      #include <sys/syscall.h>
      #include <time.h>
      #include <unistd.h>
    #endif
    #if defined(__linux__) && defined(SYS_futex)
      #define NEWS_SLEEPS 1
      /* The kernel's structure for this system call, whatever the C library's time_t is. */
      struct news_time { long seconds, nanoseconds; };
      static void news_sleep(uint32_t *word, int fd, uint32_t seen, uint32_t who, double seconds) {
        struct timespec now;
        (void)fd;
        struct news_time end;
        clock_gettime(CLOCK_MONOTONIC, &now);
        end.seconds = (long)now.tv_sec + (long)seconds;
        end.nanoseconds = (long)now.tv_nsec + (long)((seconds - (double)(long)seconds) * 1e9);
        if (end.nanoseconds >= 1000000000L) { end.seconds += 1; end.nanoseconds -= 1000000000L; }
        if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &end, 0, who) && errno == EFAULT) {
          struct timespec pause = { 0, seconds < 0.015 ? (long)(seconds * 1e9) : 15000000L };  /* the file was cut off */
          nanosleep(&pause, 0);
        }
      }
      static void news_wake(uint32_t *word, uint32_t who) {
        syscall(SYS_futex, word, FUTEX_WAKE_BITSET, INT_MAX, 0, 0, who);
      }
    #else
      #define NEWS_SLEEPS 0
      #if defined(_WIN32)
        #include <windows.h>
        static void news_pause(double seconds) { Sleep((DWORD)(seconds * 1000)); }
      #else
        #include <time.h>
        static void news_pause(double seconds) {
          struct timespec pause = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
          nanosleep(&pause, 0);
        }
      #endif
      static void news_sleep(uint32_t *word, int fd, uint32_t seen, uint32_t who, double seconds) {
        uint32_t now = seen;
        (void)who;
        while (seconds > 0 && (fd < 0 ? news_load(word) == seen : (!news_pread(fd, &now) || now == seen))) {
          double pause = seconds < 0.015 ? seconds : 0.015;
          news_pause(pause);
          seconds -= pause;
        }
      }
      static void news_wake(uint32_t *word, uint32_t who) { (void)word; (void)who; }
    #endif
    """
    uint32_t news_load(uint32_t *word) nogil
    void news_add(uint32_t *word) nogil
    uint32_t news_swap(uint32_t *word, uint32_t value) nogil
    bint news_pread(int fd, uint32_t *to) nogil
    bint news_pwrite(int fd, uint32_t value) nogil
    void news_close(int fd) nogil
    void news_sleep(uint32_t *word, int fd, uint32_t seen, uint32_t who, double seconds) nogil
    void news_wake(uint32_t *word, uint32_t who) nogil

cdef double _LONGEST_S = 3600.0
cdef uint32_t _ALL = 0xFFFFFFFF


cdef class News:
    """A counter that rises with each change that others may want to look at.

    Parameters
    ----------
    memory : writable buffer of at least 8 bytes, optional
        Where it stands, at the beginning: memory that processes share. None: this process has it for itself.
    who : int
        Any number, best another one for each process that shares the memory: `rouse` reaches those of the same.

    fd : int
        The descriptor of the file that the memory is of, which is closed in the end; -1: it is of no file, or of one that
        cannot be cut off, as on Windows. Memory behind the end of a file ends the process that touches it, so it is
        read and written as a file then, and the system alone looks at the memory, to sleep.

    Notes
    -----
    A process that dies in its sleep leaves the sign that somebody sleeps; the next `tell` takes it away.
    """
    cdef uint32_t _own[2]
    cdef uint32_t *_words  # the counter; and whether somebody may sleep
    cdef object _memory
    cdef uint32_t _who
    cdef uint32_t _next  # no other process writes the same: two that rise at once must not look as one
    cdef int _fd

    def __cinit__(self, memory=None, int who=0, int fd=-1):
        cdef unsigned char[::1] view
        memset(self._own, 0, sizeof(self._own))
        self._words = self._own
        self._fd = -1
        self._who = <uint32_t>1 << (who & 31)
        if memory is not None:
            view = memory
            if view.shape[0] < 8 or <size_t>&view[0] % sizeof(uint32_t):
                raise ValueError("memory must have 8 bytes at least, aligned to 4")
            self._memory = view  # it stays where it is as long as there is a view of it
            self._words = <uint32_t *>&view[0]
            self._fd = fd
            self._next = int.from_bytes(os.urandom(4), "little")

    def __dealloc__(self):
        if self._fd >= 0:
            news_close(self._fd)

    cdef uint32_t _count(self) noexcept nogil:
        cdef uint32_t found = self._own[0]
        if self._fd < 0:
            return news_load(self._words)
        news_pread(self._fd, &found)
        return found

    cdef void _rise(self) noexcept nogil:
        if self._fd < 0:
            news_add(self._words)
        else:
            self._next = self._next + <uint32_t>0x9E3779B9
            self._own[0] = self._next
            news_pwrite(self._fd, self._next)

    @property
    def shared(self):
        """Whether other processes may have it, too."""
        return self._memory is not None

    @property
    def count(self):
        """Another number each time that it rose."""
        return self._count()

    def tell(self):
        """Let it rise, and wake all that sleep, in whatever process."""
        self._rise()
        if self._fd >= 0:
            news_wake(self._words, _ALL)
        elif news_load(self._words + 1) and news_swap(self._words + 1, 0):
            news_wake(self._words, _ALL)

    def rouse(self):
        """Let it rise, and wake those that sleep in this process."""
        self._rise()  # or who is about to sleep would not notice
        news_wake(self._words, self._who)

    def wait(self, int64_t seen, double timeout_s):
        """Sleep until the counter is another than `seen`, or for so long; what it is now."""
        cdef uint32_t *words = self._words
        cdef uint32_t before = <uint32_t>seen
        cdef double left = fmin(timeout_s, _LONGEST_S)
        if not left > 0:
            return self._count()
        with nogil:
            if self._fd < 0:
                news_swap(words + 1, 1)
            if self._count() == before:
                news_sleep(words, self._fd, before, self._who, left)
        return self._count()
