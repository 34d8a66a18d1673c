/* W3C Trace Context, level 1: reading `traceparent`. Pure. */
#pragma once

#include "base/str.h"

struct trace_context {
    char trace_id[33]; /* 32 lower-case hex digits */
    char parent_id[17];
    uint8_t flags;
};

/* False when malformed (then no trace came, by section 3.2.2). Accepts higher versions by its rule
 * for them. */
bool trace_context_read(struct str traceparent, struct trace_context *ret);
