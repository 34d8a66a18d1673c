/* The log: its life, its rings, and the thread that writes them out.
 *
 * The writer goes round: write out all rings, then doze ROUND_MS so that a loaded server costs a
 * write each round and not each line; a round that found nothing sleeps until the first line wakes
 * it. A ring half full ends a doze early. Only the writer waits for the reader, and only in poll(),
 * which log_free can end. O_NONBLOCK would be seen by everyone who shares the descriptor's open
 * file, so pipes and terminals are opened once more for ourselves; where that is refused a write
 * follows a poll() and is at most PIPE_BUF bytes, which a pipe that polls writable takes whole.
 * Thread: log_new and log_free the owner's; the rest of the public functions any. */
#include "observe/log_ring.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROUND_MS = 10,
    WRITE_MAX = 64 * 1024,      /* where a write does not block for long */
    REPORT_EVERY_NS = NS_PER_S, /* log_lines_dropped, under lasting pressure */
    LAST_WRITE_NS =
        100 * NS_PER_MS /* log_free: patience beyond the deadline, for a write under way */
};

struct log_writer {
    struct log *log;
    pthread_t thread;
    struct log_ring *ring; /* for its own lines; in no list */
    uint64_t deadline_ns;  /* set before `stopping` */
    uint64_t reported;     /* dropped lines that the log has told of */
    uint64_t reported_at_ns;
    enum { REGULAR, NON_BLOCKING, SOCKET, BLOCKING } kind;
    int fd;    /* the log's, or our own opening of the same */
    bool torn; /* the descriptor refused the rest of a line: end it before the next */
};

static uint64_t now_ns(void) {
    return clock_now(&clock_real);
}

static void signal_fd(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void clear_fd(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

/* One wake a nap: whoever moves the state to AWAKE writes the event. */
void log_wake(struct log *log) {
    if (atomic_exchange_explicit(&log->state, LOG_WRITER_AWAKE, memory_order_seq_cst) !=
        LOG_WRITER_AWAKE)
        signal_fd(log->wake_fd);
}

static bool stopping(const struct log *log) {
    return atomic_load_explicit(&log->stopping, memory_order_acquire);
}

static struct log_ring *ring_make(struct log *log) {
    struct log_ring *ring = aligned_alloc(alignof(struct log_ring), sizeof *ring);
    CHECK(ring);
    memset(ring, 0, offsetof(struct log_ring, data));
    ring->log = log;
    return ring;
}

struct log_ring *log_ring_new(struct log *log) {
    struct log_ring *ring = ring_make(log);
    struct log_ring *first = atomic_load_explicit(&log->rings, memory_order_relaxed);
    do {
        ring->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&log->rings, &first, ring, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return ring;
}

/* Milliseconds for poll(): until the deadline when stopping, else for ever; never 0 before it. */
static int patience_ms(const struct log_writer *writer) {
    if (!stopping(writer->log))
        return -1;
    uint64_t now = now_ns();
    if (now >= writer->deadline_ns)
        return 0;
    return (int)MIN((writer->deadline_ns - now) / NS_PER_MS + 1, (uint64_t)INT_MAX);
}

/* Waits until the descriptor takes bytes. False: the deadline of log_free passed first. */
static bool wait_writable(struct log_writer *writer) {
    for (;;) {
        struct pollfd fds[2] = {{.fd = writer->fd, .events = POLLOUT},
                                {.fd = writer->log->wake_fd, .events = POLLIN}};
        int timeout = patience_ms(writer);
        int n = poll(fds, 2, timeout);
        if (fds[0].revents)
            return true; /* errors too: write() says which */
        if (n == 0 && timeout >= 0)
            return false;
        if (fds[1].revents)
            clear_fd(writer->log->wake_fd);
    }
}

static ssize_t write_some(const struct log_writer *writer, const char *p, size_t n) {
    n = MIN(n, (size_t)(writer->kind == BLOCKING ? PIPE_BUF : WRITE_MAX));
    if (writer->kind == SOCKET)
        return send(writer->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(writer->fd, p, n);
}

/* Lines that end in the `n` bytes. */
static uint64_t count_lines(const char *p, size_t n) {
    uint64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

enum outcome { WROTE, REFUSED, GAVE_UP };

/* Writes some of the `n` bytes. WROTE: *ret_done of them, perhaps none yet. REFUSED: the descriptor
 * does not take them (reader gone, disk full). GAVE_UP: the patience of log_free is over. */
static enum outcome write_piece(struct log_writer *writer, const char *p, size_t n,
                                size_t *ret_done) {
    struct log *log = writer->log;
    if (writer->kind != REGULAR && !wait_writable(writer))
        return GAVE_UP;
    if (writer->torn) {
        p = "\n";
        n = 1;
    }
    ssize_t done = write_some(writer, p, n);
    if (done < 0 && errno != EINTR && errno != EAGAIN)
        return REFUSED;
    *ret_done = done < 0 || writer->torn ? 0 : (size_t)done;
    if (done > 0 && writer->torn)
        writer->torn = false;
    else if (done > 0)
        atomic_fetch_add_explicit(&log->written, count_lines(p, (size_t)done),
                                  memory_order_relaxed);
    return WROTE;
}

/* The stretch of a ring's text at `tail` that lies together in memory. */
static struct str ring_text(const struct log_ring *ring, uint64_t tail, uint64_t head) {
    size_t from = tail % LOG_RING_BYTES;
    return (struct str){ring->data + from, (size_t)MIN(head - tail, LOG_RING_BYTES - from)};
}

/* Takes all lines in [tail, head) as lost. A line of which a part is out stays torn. */
static void lose(struct log_writer *writer, struct log_ring *ring, uint64_t tail, uint64_t head) {
    writer->torn |= tail > 0 && ring->data[(tail - 1) % LOG_RING_BYTES] != '\n';
    uint64_t lines = 0;
    while (tail < head) {
        struct str text = ring_text(ring, tail, head);
        lines += count_lines(text.p, text.n);
        tail += text.n;
    }
    atomic_fetch_add_explicit(&writer->log->lost, lines, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, head, memory_order_release);
}

/* Writes out what the ring holds now: whole lines, so no other ring's come between. True when there
 * was something. `tail` is given back as bytes are written, so the producer has room at once. */
static bool drain_ring(struct log_writer *writer, struct log_ring *ring) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == head)
        return false;
    while (tail < head) {
        struct str text = ring_text(ring, tail, head);
        size_t done = 0;
        if (write_piece(writer, text.p, text.n, &done) != WROTE) {
            lose(writer, ring, tail, head);
            break;
        }
        tail += done;
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return true;
}

static bool drain_all(struct log_writer *writer) {
    bool any = false;
    struct log_ring *ring = atomic_load_explicit(&writer->log->rings, memory_order_acquire);
    for (; ring; ring = ring->next)
        any |= drain_ring(writer, ring);
    return any;
}

/* Tells of dropped lines: soon after they were, then at most each REPORT_EVERY_NS while rounds find
 * lines to write. */
static void report_dropped(struct log_writer *writer, bool idle) {
    struct log *log = writer->log;
    uint64_t dropped = log_dropped(log);
    uint64_t now = now_ns();
    if (dropped == writer->reported)
        return;
    if (!idle && writer->reported_at_ns && now - writer->reported_at_ns < REPORT_EVERY_NS)
        return;
    struct log_line line;
    log_begin(&line, writer->ring, LOG_WARN, "log_lines_dropped");
    log_u64(&line, "lines", dropped - writer->reported);
    log_u64(&line, "lines_total", dropped);
    log_end(&line);
    drain_ring(writer, writer->ring);
    writer->reported = log_dropped(log);
    writer->reported_at_ns = now;
}

/* Has any ring more than `bytes` to write? Order: see log_end. */
static bool rings_hold(struct log *log, uint64_t bytes) {
    struct log_ring *ring = atomic_load_explicit(&log->rings, memory_order_seq_cst);
    for (; ring; ring = ring->next) {
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_seq_cst);
        if (head - atomic_load_explicit(&ring->tail, memory_order_relaxed) > bytes)
            return true;
    }
    return false;
}

/* Waits for a wake, at most `timeout_ms` (-1: for ever); not at all when there is work already. */
static void nap(struct log *log, enum log_writer_state state, int timeout_ms) {
    atomic_store_explicit(&log->state, state, memory_order_seq_cst);
    uint64_t enough = state == LOG_WRITER_SLEEPING ? 0 : LOG_RING_BYTES / 2;
    if (!rings_hold(log, enough) && !stopping(log)) {
        struct pollfd fd = {.fd = log->wake_fd, .events = POLLIN};
        poll(&fd, 1, timeout_ms);
    }
    atomic_store_explicit(&log->state, LOG_WRITER_AWAKE, memory_order_seq_cst);
    clear_fd(log->wake_fd);
}

static void *writer_run(void *context) {
    struct log_writer *writer = context;
    struct log *log = writer->log;
    for (;;) {
        bool last = stopping(log); /* read first: then the round sees every line before log_free */
        bool any = drain_all(writer);
        report_dropped(writer, last || !any);
        if (last)
            break;
        if (any)
            nap(log, LOG_WRITER_DOZING, ROUND_MS);
        else
            nap(log, LOG_WRITER_SLEEPING, -1);
    }
    signal_fd(log->done_fd);
    return NULL;
}

/* Signals go to other threads; a reader that went away is an error of write(), not SIGPIPE. */
static void start_writer(struct log_writer *writer) {
    sigset_t all, old;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    CHECK(pthread_create(&writer->thread, NULL, writer_run, writer) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    pthread_setname_np(writer->thread, "log");
}

/* How to write to the descriptor without being kept there. */
static void choose_way(struct log_writer *writer) {
    struct stat status;
    writer->fd = writer->log->fd;
    writer->kind = REGULAR;
    if (fstat(writer->fd, &status) != 0 || S_ISREG(status.st_mode))
        return;
    if (S_ISSOCK(status.st_mode)) {
        writer->kind = SOCKET;
    } else if (S_ISFIFO(status.st_mode) || isatty(writer->fd)) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", writer->fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        writer->kind = own >= 0 ? NON_BLOCKING : BLOCKING;
        writer->fd = own >= 0 ? own : writer->fd;
    }
}

struct log *log_new(int fd, enum log_level level, const struct clock *clock) {
    struct log *log = mem_new(sizeof *log);
    log->fd = fd;
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(log->wake_fd >= 0 && log->done_fd >= 0);
    log->clock = clock;
    log_set_level(log, level);
    log->writer = mem_new(sizeof *log->writer);
    log->writer->log = log;
    log->writer->ring = ring_make(log);
    choose_way(log->writer);
    start_writer(log->writer);
    return log;
}

/* False: the writer hangs in a write that nothing ends. */
static bool join_writer(struct log *log, uint64_t patience_ns) {
    uint64_t wait_ms = MIN((patience_ns + LAST_WRITE_NS) / NS_PER_MS, (uint64_t)INT_MAX);
    log->writer->deadline_ns = now_ns() + patience_ns;
    atomic_store_explicit(&log->stopping, true, memory_order_release);
    signal_fd(log->wake_fd);
    struct pollfd done = {.fd = log->done_fd, .events = POLLIN};
    int n;
    do {
        n = poll(&done, 1, (int)wait_ms);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        CHECK(pthread_detach(log->writer->thread) == 0);
        return false;
    }
    CHECK(pthread_join(log->writer->thread, NULL) == 0);
    return true;
}

void log_free(struct log **at, uint64_t patience_ns) {
    struct log *log = *at;
    *at = NULL;
    if (!log || !join_writer(log, patience_ns))
        return; /* a thread that hangs keeps its memory until the process ends */
    struct log_ring *ring = atomic_load_explicit(&log->rings, memory_order_acquire);
    while (ring) {
        struct log_ring *next = ring->next;
        mem_free(&ring);
        ring = next;
    }
    if (log->writer->fd != log->fd)
        close(log->writer->fd);
    mem_free(&log->writer->ring);
    mem_free(&log->writer);
    close(log->wake_fd);
    close(log->done_fd);
    mem_free(&log);
}

void log_finish(struct log *log, uint64_t patience_ns) {
    (void)join_writer(log, patience_ns); /* what could not be written is lost with the process */
}

void log_set_level(struct log *log, enum log_level level) {
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

uint64_t log_dropped(const struct log *log) {
    uint64_t dropped = atomic_load_explicit(&log->lost, memory_order_relaxed);
    struct log_ring *ring = atomic_load_explicit(&log->rings, memory_order_acquire);
    for (; ring; ring = ring->next)
        dropped += atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    return dropped;
}

uint64_t log_written(const struct log *log) {
    return atomic_load_explicit(&log->written, memory_order_relaxed);
}
