/* JSON log lines on a file descriptor: one object a line. Each writing thread has a ring; one writer thread
 * drains them, so a slow or blocked reader never blocks serving: lines that find the ring full are dropped and
 * counted. Values of inputs never come here.
 *
 * A line: {"time":"RFC3339","level":"info","event":"constant_name", fields...} */
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };
bool log_level_from_name(struct str name, enum log_level *ret);

struct log;      /* process-wide */
struct log_ring; /* one thread's way in */

/* Starts the writer thread on `fd` (borrowed). */
struct log *log_new(int fd, enum log_level level, const struct clock *clock);
/* Writes what is left, waiting at most `patience_ns` for a stuck reader. */
void log_free(struct log **log, uint64_t patience_ns);
void log_set_level(struct log *log, enum log_level level); /* Thread: any */
uint64_t log_dropped(const struct log *log);               /* lines dropped so far. Thread: any */
uint64_t log_written(const struct log *log);

/* One ring a thread; freed with the log. */
struct log_ring *log_ring_new(struct log *log);

/* A line being written: lives on the caller's stack; log_begin .. log_end, or nothing when the level is off. */
enum { LOG_LINE_MAX = 4096 };
struct log_line {
    struct log_ring *ring; /* NULL: level off, fields are ignored */
    size_t used;
    bool cut;
    char data[LOG_LINE_MAX];
};

void log_begin(struct log_line *line, struct log_ring *ring, enum log_level level, const char *event);
void log_str(struct log_line *line, const char *key, struct str value); /* long values are cut, with "..." */
void log_c(struct log_line *line, const char *key, const char *value);  /* NULL: the field is left out */
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
void log_f64(struct log_line *line, const char *key, double value, int decimals);
void log_bool(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);
