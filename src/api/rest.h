/* REST's side of a call: requests from the path and a JSON or binary body, answers as HTTP
 * responses. Thread: the call's loop. */
#pragma once

#include "api/call.h"

extern const struct call_codec rest_codec;

/* Answers with what call_body holds; ERR_INTERNAL when it did not fit limits.response_max.
 * `content_type` e.g. "application/json". */
void rest_respond(struct call *call, int status, const char *content_type);
