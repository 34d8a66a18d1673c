/* One round of load: connections are opened, a warm-up runs, a window is measured, and what is
 * still in flight may end. Closed loop: a connection sends when it has its answer. Open loop:
 * requests are due at random times (arrival.h) and latency counts from then, so a server that
 * stalls cannot hide the requests that it kept from being sent.
 *
 *   CONNECT --all tried--> WARMUP --warmup_ns--> MEASURE --duration_ns--> DRAIN --all ended--> DONE
 * MEASURE ends early by `requests_max` or *stop; DRAIN lasts as long as a request may.
 * Thread: the caller's; returns when the round is over. */
#pragma once

#include "load/result.h"
#include "load/wire.h"

#include <stdatomic.h>
#include <sys/socket.h>

struct round_progress {
    bool is_warmup;
    double elapsed_s, duration_s; /* of the warm-up or window */
    double throughput;            /* good answers a second, lately */
    uint64_t failed;
    const struct histogram *latency;
};

struct round_options {
    const struct sockaddr *address;
    bool http2, is_grpc;
    const struct wire_request *requests; /* sent in turn */
    size_t request_count;
    unsigned connections;
    unsigned streams;
    double rate; /* 0: closed loop */
    uint64_t seed;
    uint64_t duration_ns, warmup_ns, timeout_ns;
    uint64_t requests_max; /* 0: no limit */
    const int64_t *server_pids;
    size_t server_pid_count;
    const atomic_bool *stop; /* set by a signal: ends the round */
    void *context;
    void (*progress)(void *context, const struct round_progress *progress); /* or NULL */
};

/* What happened in the round, also when it failed, goes to *ret. ERR_NOT_READY when no connection
 * came about; ERR_NOT_FOUND for a server process that is not there. */
enum err round_run(const struct round_options *options, struct result *ret,
                   struct err_text *text) MUST_CHECK;
