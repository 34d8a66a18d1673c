/* What a measurement counted, and what may be said of it. A request belongs to the measurement when
 * it was due within its window, whenever its answer came; throughput counts the answers that came
 * within the window. Pure. Thread: one at a time. */
#pragma once

#include "base/buffer.h"
#include "load/histogram.h"

enum failure {
#define FAILURE(name, text, meaning) FAILURE_##name,
#include "load/failure.def"
#undef FAILURE
    FAILURE_COUNT
};

const char *failure_name(enum failure failure);

enum {
    RESULT_STATUS_MAX = 599, /* HTTP */
    RESULT_GRPC_MAX = 17,    /* gRPC has 0 to 16; 17 stands for any other */
    RESULT_TEXT_SIZE = 400,
};

struct result {
    double seconds;     /* the windows' length */
    uint64_t answers;   /* that came in the window, whatever they said */
    uint64_t successes; /* of these, the good ones */
    uint64_t requests;  /* due in the window, and answered or failed since */
    uint64_t unsent;    /* due in the window, but no connection was free for them */
    uint64_t warmup_requests, warmup_failed;
    uint64_t reconnects;
    uint64_t failures[FAILURE_COUNT]; /* these three: of `requests` */
    uint64_t http[RESULT_STATUS_MAX + 1];
    uint64_t grpc[RESULT_GRPC_MAX + 1];
    /* Of good answers; and, as a lower bound, what requests that timed out or were never sent have
     * waited. ns. */
    struct histogram latency;
    double client_cpu_s, server_cpu_s; /* in the window */
    bool has_server_cpu;
    bool interrupted;
    char first_failure[RESULT_TEXT_SIZE]; /* what the first one said; "" without */
};

struct result *result_new(void);
void result_free(struct result **result);
void result_merge(struct result *into, const struct result *from);

/* How a request ended: true when that is a success. `grpc` is -1 when the answer had none. */
bool result_count_answer(struct result *result, int http, int grpc, bool is_grpc);
void result_count_failure(struct result *result, enum failure failure);

uint64_t result_failed(const struct result *result);
double result_throughput(const struct result *result);   /* good answers a second */
double result_client_share(const struct result *result); /* of one core, 0..1 */
/* Is what was measured rather the load generator? Its core was busy for more than 90 %. */
bool result_is_client_bound(const struct result *result);
/* False: requests of the warm-up failed, and the measurement has none of its own. */
bool result_measured(const struct result *result);
/* Open loop: was all but 1 % of what was due sent? */
bool result_met_rate(const struct result *result);
/* µs of CPU the server spent on an answer; negative when not measured. */
double result_server_us(const struct result *result);

/* The kinds of failure with their counts: "429", "grpc-8", "connect". Returns false at the end;
 * *position begins with 0. */
enum { RESULT_KIND_SIZE = 32 };
bool result_next_kind(const struct result *result, size_t *position, char kind[RESULT_KIND_SIZE],
                      uint64_t *ret_count);
/* Could a failure be of this kind? "all" is one too. */
bool result_is_kind(struct str kind);
/* Failures of kinds that are not among `allowed`. */
uint64_t result_failed_beyond(const struct result *result, char *const *allowed, size_t count);
