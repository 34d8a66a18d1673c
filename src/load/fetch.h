/* One request, one answer, on a connection of its own: for what is asked before a round.
 * Thread: any; blocks. */
#pragma once

#include "load/wire.h"

#include <stdatomic.h>
#include <sys/socket.h>

struct fetch_options {
    const struct sockaddr *address;
    bool http2;
    uint64_t timeout_ns;
    const atomic_bool *stop;
};

/* *ret_answer's body is what is appended to `body`. ERR_NOT_READY: no connection, ERR_DEADLINE: no
 * answer in time, ERR_INVALID: not one of the protocol; statuses are the caller's to judge. */
enum err fetch(const struct fetch_options *options, const struct wire_request *request,
               struct buffer *body, struct wire_answer *ret_answer,
               struct err_text *text) MUST_CHECK;
