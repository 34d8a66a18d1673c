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

/* call->codec->infer_read, and then over(), on the loop. A call whose peer went away meanwhile
 * fails with ERR_CANCELLED instead. */
void aside_read(struct call *call, struct v2_infer_request *ret,
                void (*over)(struct call *call, enum err e, const struct err_text *text));
/* call->codec->infer_write, and then infer_send, or the failure. `response` is copied, but not what
 * it points to, except for its outputs. */
void aside_write(struct call *call, const struct v2_infer_response *response,
                 void (*over)(struct call *call, enum err e, const struct answer *answer,
                              const struct err_text *text));

/* True: nothing is aside any more, and over() will not be called. False: a worker is at it; over()
 * comes, or the failure. */
bool aside_withdraw(struct call *call);
