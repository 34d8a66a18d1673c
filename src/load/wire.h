/* One connection's side of HTTP as a client: requests to bytes, bytes to answers, without a socket,
 * clock or log. Two kinds: wire1 (HTTP/1.1, one request at a time) and wire2 (HTTP/2 with prior
 * knowledge, and gRPC over it).
 *
 * Use: wire_begin() while there is room, then write what wire_output() gives; what the server sends
 * goes to wire_feed(), which calls `answered` for every answer that is whole. `answered` may begin
 * the next request at once. Memory: a request must stay alive until its answer or the wire's end.
 * Thread: one at a time. */
#pragma once

#include "base/buffer.h"

struct wire_field {
    struct str name; /* lower case */
    struct str value;
};

enum { WIRE_FIELDS_MAX = 12 };

/* A request, ready for both kinds of wire. */
struct wire_request {
    struct str http1; /* the whole message */
    struct str body;
    struct wire_field fields[WIRE_FIELDS_MAX]; /* HTTP/2's, pseudo fields first */
    size_t field_count;
};

enum { WIRE_NO_GRPC_STATUS = -1, WIRE_NO_JSON_LENGTH = -1, WIRE_GRPC_MESSAGE_SIZE = 200 };

struct wire_answer {
    int status;          /* HTTP's */
    int grpc_status;     /* or WIRE_NO_GRPC_STATUS */
    int64_t json_length; /* Inference-Header-Content-Length, or WIRE_NO_JSON_LENGTH */
    uint64_t body_bytes;
    /* The body when it is kept: all of them with wire_options.keep_bodies, else those of answers
     * that are no success. Borrowed for the call. */
    struct str body;
    char grpc_message[WIRE_GRPC_MESSAGE_SIZE]; /* as sent: percent-encoded; cut */
};

struct wire_options {
    unsigned streams; /* requests at a time; wire1: 1 */
    bool keep_bodies;
    void *context;
    /* The request that began with `tag` has its answer. */
    void (*answered)(void *context, void *tag, const struct wire_answer *answer);
    /* The request that began with `tag` will have none (HTTP/2: the stream was reset). */
    void (*refused)(void *context, void *tag, const char *why);
    /* The server was about to end the connection and has not looked at the request that began with
     * `tag`: it may be sent again on another one (RFC 9113, 8.7). */
    void (*untouched)(void *context, void *tag);
};

enum { WIRE_BODY_MAX = 256 << 20 }; /* of a body that is kept; what comes beyond is cut */

struct wire {
    const struct wire_kind *kind;
    struct wire_options options;
};

struct wire_kind {
    void (*free)(struct wire *wire);
    void (*begin)(struct wire *wire, void *tag, const struct wire_request *request);
    void (*cancel)(struct wire *wire, void *tag);
    enum err (*feed)(struct wire *wire, const char *data, size_t n, struct err_text *text);
    void (*end)(struct wire *wire);
    struct str (*output)(struct wire *wire);
    bool (*is_open)(const struct wire *wire);
};

struct wire *wire1_new(const struct wire_options *options);
struct wire *wire2_new(const struct wire_options *options);

static inline void wire_free(struct wire **wire) {
    if (*wire)
        (*wire)->kind->free(*wire);
    *wire = NULL;
}

static inline void wire_begin(struct wire *wire, void *tag, const struct wire_request *request) {
    wire->kind->begin(wire, tag, request);
}

/* Gives a request up: neither `answered` nor `refused` will be called for it. A wire1 is closed
 * then. */
static inline void wire_cancel(struct wire *wire, void *tag) {
    wire->kind->cancel(wire, tag);
}

/* ERR_INVALID: the server does not speak the protocol; the connection is of no more use. */
MUST_CHECK static inline enum err wire_feed(struct wire *wire, const char *data, size_t n,
                                            struct err_text *text) {
    return wire->kind->feed(wire, data, n, text);
}

/* The server has ended the stream: completes an answer whose end that is. */
static inline void wire_end(struct wire *wire) {
    wire->kind->end(wire);
}

/* Bytes to write, all of them before the next call; borrowed until then. */
static inline struct str wire_output(struct wire *wire) {
    return wire->kind->output(wire);
}

/* May requests begin? When not, the connection should be closed once nothing is in flight. */
static inline bool wire_is_open(const struct wire *wire) {
    return wire->kind->is_open(wire);
}
