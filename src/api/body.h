/* Request bodies as handlers want them; asked for once a call. Thread: the call's loop. */
#pragma once

#include "api/call.h"

struct yyjson_doc;

/* The body without its content coding, followed by V2_BODY_SPARE bytes that may be overwritten. It
 * is the exchange's own memory, or (inflated) call->inflated's. ERR_BAD_CODING, ERR_BODY_TOO_LARGE,
 * ERR_INVALID when damaged. */
enum err call_plain_body(struct call *call, char **ret_body, size_t *ret_length,
                         struct err_text *text) MUST_CHECK;

/* The body as a JSON object; *ret is NULL when the body is empty. The caller frees it with
 * yyjson_doc_free. `what` names the request in error texts. */
enum err call_json_body(struct call *call, const char *what, struct yyjson_doc **ret,
                        struct err_text *text) MUST_CHECK;
