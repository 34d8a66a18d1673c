/* One request on its way through the service: from route to access line. It is an HTTP exchange, or
 * one message of a gRPC stream (grpc_infer_stream.c), and knows of its protocol only the codec:
 * finding the model, admission, deadline, batching, metrics and the access line are the same for
 * all. Memory: the call's arena. Thread: the loop of its exchange. */
#pragma once

#include "api/router.h"
#include "api/service.h"
#include "observe/trace.h"
#include "protocol/coding.h"

struct aside;
struct call;
struct http_sent;
struct v2_proto_infer;
struct grpc_stream;

/* A heap buffer for one response; kept by the loop for the next. */
struct body_buffer {
    struct buffer buffer;
    struct body_buffer *next;
};

enum { REQUEST_ID_MAX = 128, BODY_BUFFER_KEEP_MAX = 65536, SPARE_BUFFERS_MAX = 64 };

/* An inference's answer as pieces: views of outputs, arena memory, or call_body's. */
struct answer {
    struct str parts[HTTP_RESPONSE_PARTS_MAX];
    size_t count;
};

/* What differs between the protocols. */
struct call_codec {
    const char *protocol; /* in the access line; NULL: HTTP, with its version */
    bool grpc;            /* counted by gRPC's codes too */
    /* Answers call->err with call->reason. */
    void (*fail)(struct call *call);
    /* Answers that it is done: an order's success. */
    void (*succeed)(struct call *call);
    /* Names the model: fills call->match.model and .version. */
    MUST_CHECK enum err (*infer_open)(struct call *call, struct err_text *text);
    /* The rest of the request, against call->version's signature. */
    MUST_CHECK enum err (*infer_read)(struct call *call, struct v2_infer_request *ret,
                                      struct err_text *text);
    MUST_CHECK enum err (*infer_write)(struct call *call, const struct v2_infer_response *response,
                                       struct answer *ret, struct err_text *text);
    /* Bytes that the two above have to walk through, about. NULL: few. */
    uint64_t (*infer_read_size)(const struct call *call);
    uint64_t (*infer_write_size)(const struct call *call, const struct v2_infer_response *response);
    /* Nothing of the call may be touched after it. */
    void (*infer_send)(struct call *call, const struct answer *answer);
    /* Keeps the call past its answer, while a model run still reads the inputs. */
    void (*hold)(struct call *call);
    void (*release)(struct call *call);
};

struct call {
    struct http_exchange *exchange; /* of a stream's message: the stream's */
    struct arena *arena;            /* dies with the call */
    struct api_loop *loop;
    enum door door;
    const struct call_codec *codec;
    struct route_match match; /* route == NULL: none fitted */
    struct str request_id;
    char request_id_made[ID_SIZE];
    bool traced;
    struct trace_context trace;
    uint64_t started_ns;
    uint64_t timeout_ns; /* from started_ns, as the transport says; UINT64_MAX: none */
    uint64_t bytes_in;
    struct body_buffer *body;      /* the response's; NULL until call_body */
    struct buffer inflated;        /* the request's body, when it came compressed */
    struct buffer deflated;        /* the answer, when it goes compressed */
    enum coding answer_coding;     /* that it was compressed with */
    struct model_version *version; /* counted; NULL when none was found */
    int64_t rows;                  /* rows asked for; 0 when it did not get that far */
    uint64_t queue_ns, compute_ns;
    const char *cache; /* "hit", "miss"; NULL without a response cache */
    enum err err;
    const char *reason; /* of a failure, as answered; NULL without */
    bool responded;
    struct infer *infer; /* the inference's state (infer.c) */
    struct aside *aside; /* not NULL: a worker has the call, or will have it (aside.h) */

    /* REST */
    struct str origin;            /* CORS: the origin to allow; p == NULL: none */
    const char *allow;            /* header Allow, or NULL */
    const char *inference_header; /* response header Inference-Header-Content-Length, or NULL */

    /* gRPC */
    struct str message;          /* the request's; followed by GRPC_MESSAGE_SPARE bytes */
    enum coding request_coding;  /* grpc-encoding */
    struct v2_proto_infer *open; /* between infer_open and infer_read */
    struct grpc_stream *stream;  /* NULL: a call with one request and one answer */
};

/* The response's buffer, from the loop's spares. */
struct buffer *call_body(struct call *call);
/* ERR_INTERNAL when it is full: larger than limits.response_max. */
enum err call_check_body(const struct buffer *body, struct err_text *text) MUST_CHECK;

/* Sets call->err and answers with it. text == NULL: the error's default. */
void call_fail(struct call *call, enum err e, const struct err_text *text);
/* The status that metrics and the access line show: the error's row, whatever the protocol. */
int call_status(const struct call *call, const struct http_sent *sent);
/* A request id from the client, when it is usable (visible ASCII, not too long); else one of ours.
 */
void call_take_request_id(struct call *call, struct str given);
/* Counts, writes the access line, and lets go of everything but the arena. */
void call_finish(struct call *call, const struct http_sent *sent);

struct call *call_of(struct http_exchange *exchange);
