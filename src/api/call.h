/* One request on its way through the service: from route to access line. Lives in the exchange's
 * arena. Thread: the loop of its exchange. */
#pragma once

#include "api/router.h"
#include "api/service.h"
#include "observe/trace.h"

/* A heap buffer for one response's JSON; kept by the loop for the next. */
struct body_buffer {
    struct buffer buffer;
    struct body_buffer *next;
};

enum { REQUEST_ID_MAX = 128, BODY_BUFFER_KEEP_MAX = 65536, SPARE_BUFFERS_MAX = 64 };

struct call {
    struct http_exchange *exchange;
    struct api_loop *loop;
    struct route_match match; /* route == NULL: none fitted */
    struct str request_id;
    char request_id_made[ID_SIZE];
    bool traced;
    struct trace_context trace;
    struct body_buffer *body;      /* the response's; NULL until call_body */
    struct buffer inflated;        /* the request's body, when it came compressed */
    struct buffer deflated;        /* the answer, when it goes compressed */
    struct str origin;             /* CORS: the origin to allow; p == NULL: none */
    struct model_version *version; /* counted; NULL when none was found */
    int64_t rows;                  /* rows asked for; 0 when it did not get that far */
    uint64_t queue_ns, compute_ns;
    const char *cache; /* "hit", "miss"; NULL without a response cache */
    enum err err;
    const char *reason; /* of a failure, as answered; NULL without */
    bool responded;
    const char *allow;            /* header Allow, or NULL */
    struct infer *infer;          /* the inference's state (infer.c) */
    const char *inference_header; /* response header Inference-Header-Content-Length, or NULL */
};

/* The response's buffer, from the loop's spares. */
struct buffer *call_body(struct call *call);

/* Answers with what call_body holds; ERR_INTERNAL when it did not fit limits.response_max.
 * `content_type` e.g. "application/json". */
void call_respond(struct call *call, int status, const char *content_type);
/* The same, with `blobs` after the buffer's bytes; compresses when the client asked and it pays. */
void call_respond_parts(struct call *call, int status, const char *content_type,
                        const struct str *blobs, size_t blob_count);
/* Answers {"error": text}. Sets call->err. text == NULL: the error's default. */
void call_fail(struct call *call, enum err e, const struct err_text *text);

struct call *call_of(struct http_exchange *exchange);
