/* Large messages are read and written aside, on the workers, so that the loop's other connections
 * and its health checks do not wait for them. The call, its arena and its body are the worker's
 * meanwhile; only the deadline and the peer may end the wait for a worker. Thread: the call's loop.
 */
#pragma once

#include "api/call.h"

struct aside;

/* Is the request, or the answer, too large for the loop? (limits.loop_parse_max) */
bool aside_reads(const struct call *call);
bool aside_writes(const struct call *call, const struct v2_infer_response *response);

/* call->codec->infer_read, and then over(), on the loop: with ERR_CANCELLED (and no text) when the
 * peer went away meanwhile. */
void aside_read(struct call *call, struct v2_infer_request *ret,
                void (*over)(struct call *call, enum err e, const struct err_text *text));
/* call->codec->infer_write, and then over(), likewise. `response` is copied; what it points to
 * lives as long as the call. */
void aside_write(struct call *call, const struct v2_infer_response *response,
                 void (*over)(struct call *call, enum err e, const struct answer *answer,
                              const struct err_text *text));

/* True: nothing is aside any more, and over() will not be called. False: a worker is at it; over()
 * comes. */
bool aside_withdraw(struct call *call);
