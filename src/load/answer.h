/* Is an answer one to the request? Checked once, before the load; under load only statuses are.
 * Pure. */
#pragma once

#include "load/payload.h"

/* ERR_INVALID says what is wrong: a status that is no success (with the server's own words), an
 * output that is missing, of another datatype, a shape that the model does not have, or data that
 * are not as many as the shape says. get and post: only the status. `signature` may be NULL then.
 */
enum err answer_check(enum payload_protocol protocol, const struct wire_answer *answer,
                      const struct signature *signature, struct err_text *text) MUST_CHECK;

/* The message of a unary gRPC answer, which `answer` must be; a view. */
enum err answer_grpc_message(const struct wire_answer *answer, struct str *ret,
                             struct err_text *text) MUST_CHECK;
