/* JSON log lines on a file descriptor: one object a line. Each writing thread has a ring; one
 * writer thread drains them, so a slow or blocked reader never blocks serving: lines that find the
 * ring full are dropped and counted, and a line `log_lines_dropped` says so once the reader is
 * back. Values of inputs never come here.
 *
 * A line: {"time":"RFC3339","level":"info","event":"constant_name", fields...} */
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };

struct log;      /* process-wide */
struct log_ring; /* one thread's way in */

/* Starts the writer thread on `fd` (borrowed; its flags are left as they are, others may share it).
 */
struct log *log_new(int fd, enum log_level level, const struct clock *clock);
/* Writes what is left, waiting at most `patience_ns` (and 100 ms for a write under way) for
 * a stuck reader. No thread logs any more. NULL is accepted. */
void log_free(struct log **log, uint64_t patience_ns);
/* The same, but the memory stays: threads that cannot be stopped may go on logging into nothing
 * until _exit. Nothing but _exit may follow. */
void log_finish(struct log *log, uint64_t patience_ns);
void log_set_level(struct log *log, enum log_level level); /* Thread: any */
uint64_t log_dropped(const struct log *log);               /* lines dropped so far. Thread: any */
uint64_t log_written(const struct log *log);               /* lines written so far. Thread: any */

/* One ring a thread; freed with the log. Thread: any. */
struct log_ring *log_ring_new(struct log *log);

/* A line is at most LOG_LINE_MAX bytes: fields that do not fit are left out and "cut":true ends it.
 * A string is at most LOG_VALUE_MAX bytes as written, and ends with "..." when it was longer. */
enum { LOG_LINE_MAX = 4096, LOG_VALUE_MAX = 1024 };

/* A line being written, straight into its ring. On the caller's stack; log_begin .. log_end without
 * another line of the same ring between them, all on the ring's thread. */
struct log_line {
    struct log_ring *ring; /* NULL: level off or ring full, fields are ignored */
    char *start;
    char *at;
    char *limit; /* where fields must end */
    bool cut;
};

/* Keys and events are constants that need no escaping. */
void log_begin(struct log_line *line, struct log_ring *ring, enum log_level level,
               const char *event);
void log_str(struct log_line *line, const char *key, struct str value); /* p NULL: left out */
void log_c(struct log_line *line, const char *key, const char *value);  /* NULL: left out */
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
/* `decimals` 0..9; what is not a number is null. */
void log_f64(struct log_line *line, const char *key, double value, int decimals);
void log_bool(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);
