/* Who may call (tokens, CORS) and what is written down about it (the access line). Thread: the
 * call's loop. */
#pragma once

#include "api/call.h"

/* The token that the route needs. ERR_UNAUTHENTICATED, or ERR_FORBIDDEN when no token is
 * configured. */
enum err access_check(const struct call *call, struct err_text *text) MUST_CHECK;

/* Sets call->origin when the request's Origin is one of those configured; data listener only. */
void access_read_origin(struct call *call);
/* OPTIONS on a path that exists: Allow, and the CORS preflight's headers when the origin may. */
void access_respond_options(struct call *call);

void access_log_request(struct call *call, const struct http_sent *sent);
void access_log_refusal(struct api_loop *loop, const struct http_refusal *refusal);
