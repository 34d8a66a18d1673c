/* A measurement's result, for people and for programs. A percentile that too few samples lie beyond
 * is not written: "-" in the table, null in JSON. Pure. */
#pragma once

#include "load/result.h"

struct report_step {
    unsigned connections;
    double rate; /* 0: closed loop */
    struct result *total;
    struct result *const *rounds;
    size_t round_count;
};

struct report {
    const char *url;
    const char *protocol; /* "rest", ... */
    const char *http;     /* "1.1", "2" */
    const char *what;     /* the model, or the path */
    const char *started;  /* RFC 3339 */
    const char *version;  /* of this program */
    unsigned streams;
    size_t request_bytes, answer_bytes;
    double warmup_s, duration_s;
    const struct report_step *steps;
    size_t step_count;
};

enum { REPORT_BYTES_MAX = 16 << 20 };

/* The percentiles that are reported. */
struct report_quantile {
    double quantile;
    const char *name; /* "p99.9" */
    const char *key;  /* "p99_9" */
};
enum { REPORT_QUANTILES = 4 };
extern const struct report_quantile report_quantiles[REPORT_QUANTILES];

void report_write_table(const struct report *report, struct buffer *out);
void report_write_json(const struct report *report, struct buffer *out);

/* A time as people read it: "834 ns", "12.3 us", "4.56 ms", "1.20 s". */
enum { REPORT_TIME_SIZE = 24 };
const char *report_time(double ns, char out[REPORT_TIME_SIZE]);
