"""What SQLite calls in place of open, pread and pwrite: a commit's frames go into the write-ahead log in one write.

SQLite writes each frame of its log in two pieces, a header of 24 bytes and a page, and each piece costs a system call and a
look at the file's pages. Here the frames of one transaction wait in memory, up to the one that commits it, or until there
are `RW_FRAMES_ROOM` bytes of them. SQLite makes the log durable, and tells others of the frames, only after that one, so
nobody can miss what waits. What waits is written before anything is read through the same descriptor; and is dropped when
the lock for writing is given up, since then it was of a transaction that was undone.
"""

cdef extern from *:
    """
    #if defined(__linux__) && defined(__LP64__)
    #include <errno.h>
    #include <fcntl.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    #define RW_FRAME_HEAD 24
    #define RW_LOG_HEAD 32
    #define RW_FRAMES_ROOM (1 << 17)
    #define RW_PAGE_MOST (1 << 16)
    #define RW_LOGS (1 << 16)  /* descriptors */
    struct rw_log {
        const void *file;   /* whose log it is */
        off_t at;           /* where what waits belongs */
        size_t size;        /* of what waits */
        off_t next;         /* where the next frame begins, if it goes on from the last one that was written here */
        off_t head_at;      /* where the last header went that did not wait */
        int commits;        /* whether the last header was of a frame that commits */
        int page_due;       /* whether what waits ends with a header */
        unsigned char *data;
    };
    static struct rw_log *rw_logs[RW_LOGS];  /* by descriptor */
    static int rw_logs_most = -1;
    static int rw_written(int fd, const unsigned char *from, size_t size, off_t at)
    {
        while (size) {
            ssize_t done = pwrite(fd, from, size, at);
            if (done < 0 && errno == EINTR) continue;
            if (done <= 0) {
                if (done == 0) errno = ENOSPC;
                return 0;
            }
            from += done;
            size -= (size_t)done;
            at += done;
        }
        return 1;
    }
    static int rw_frames_flushed(struct rw_log *log, int fd)
    {
        size_t size = log->size;
        log->size = 0;
        log->page_due = 0;
        return !size || rw_written(fd, log->data, size, log->at);
    }
    static void rw_frames_dropped(const void *file)  /* of one file; of all where it is NULL */
    {
        int fd;
        for (fd = 0; fd <= rw_logs_most; fd++)
            if (rw_logs[fd] && (!file || rw_logs[fd]->file == file)) rw_logs[fd]->size = 0, rw_logs[fd]->page_due = 0;
    }
    static void rw_log_is(int fd, const void *file)  /* SQLite has opened a descriptor: of a log whose, or of no log of ours */
    {
        if (fd < 0 || fd >= RW_LOGS) return;
        if (rw_logs[fd]) free(rw_logs[fd]->data);
        free(rw_logs[fd]);
        rw_logs[fd] = NULL;
        if (!file || !(rw_logs[fd] = (struct rw_log *)calloc(1, sizeof(struct rw_log)))) return;
        rw_logs[fd]->file = file;
        rw_logs[fd]->head_at = -1;
        if (fd > rw_logs_most) rw_logs_most = fd;
    }
    static ssize_t rw_pwrite(int fd, const void *from, size_t size, off_t at)
    {
        struct rw_log *log = fd >= 0 && fd < RW_LOGS ? rw_logs[fd] : NULL;
        const unsigned char *bytes = (const unsigned char *)from;
        ssize_t done;
        if (!log) return pwrite(fd, from, size, at);
        if (log->size && at == log->at + (off_t)log->size && size <= RW_PAGE_MOST
            && (log->page_due ? size > RW_FRAME_HEAD : size == RW_FRAME_HEAD)) {  /* it goes on */
        } else if (!log->size && size == RW_FRAME_HEAD && at == log->next && at
                   && (log->data || (log->data = (unsigned char *)malloc(RW_FRAMES_ROOM + RW_FRAME_HEAD + RW_PAGE_MOST)))) {
            log->at = at;
        } else {
            if (!rw_frames_flushed(log, fd)) return -1;
            done = pwrite(fd, from, size, at);
            if (at == 0) log->next = done == RW_LOG_HEAD ? RW_LOG_HEAD : 0;  /* the log begins anew */
            else if (size == RW_FRAME_HEAD) log->head_at = at;
            else if (log->head_at >= 0 && at == log->head_at + RW_FRAME_HEAD) log->next = at + done;
            return done;
        }
        memcpy(log->data + log->size, bytes, size);
        log->size += size;
        if (!log->page_due) {
            log->page_due = 1;
            log->commits = bytes[4] || bytes[5] || bytes[6] || bytes[7];  /* the pages of the file after a commit */
            return (ssize_t)size;
        }
        log->page_due = 0;
        log->head_at = -1;
        log->next = at + (off_t)size;
        if ((log->commits || log->size >= RW_FRAMES_ROOM) && !rw_frames_flushed(log, fd)) return -1;
        return (ssize_t)size;
    }
    static ssize_t rw_pread_all(int fd, void *to, size_t size, off_t at)
    {
        struct rw_log *log = fd >= 0 && fd < RW_LOGS ? rw_logs[fd] : NULL;
        if (log && log->size && !rw_frames_flushed(log, fd)) return -1;
        return pread(fd, to, size, at);
    }
    #define RW_PWRITE ((size_t)(void *)rw_pwrite)
    #define RW_PREAD ((size_t)(void *)rw_pread_all)
    #else
    #define RW_PWRITE 0
    #define RW_PREAD 0
    #endif
    """
    size_t RW_PWRITE, RW_PREAD
