/* HTTP/2 on a connection, shared by http2_connection.c (the session's life), http2_request.c
 * (streams to exchanges), http2_answer.c (answers to frames) and http2_output.c (frames to the
 * socket). nghttp2 keeps the protocol's rules, and owns no byte of a body. A stream is an exchange,
 * which is in one of these lists:
 *   open      its answer is not yet all written into frames
 *   sent      its answer is in frames that the socket takes now or has not yet taken
 *   lost      the stream went while frames were made: seen to when these are out
 *   orphans   the stream is gone; the handler still owes an answer or holds the exchange
 *
 * Invariants: nghttp2's user data of a stream is its exchange while that is in `open`, else NULL;
 * nothing of an exchange is told to its handler while nghttp2 makes frames; frames are made only
 * while the socket takes them, so what waits in memory for a slow peer is one round and the answers
 * themselves. Thread: the loop's. */
#pragma once

#include "net/connection.h"

#include <nghttp2/nghttp2.h>

enum {
    /* Handed back as bytes arrive: the streams' windows are the brake. */
    HTTP2_CONNECTION_WINDOW_BYTES = 16 << 20,
    HTTP2_ROUND_BYTES = 262144,
    HTTP2_ROUND_BUFFERS = 512,
    HTTP2_FRAME_BYTES_MAX = 65536, /* of DATA that we send, when the peer takes so much */
    HTTP2_COPY_BYTES_MAX = 2048,   /* shorter pieces are copied: cheaper than a vector's entry */
    HTTP2_STREAM_FULL_BYTES = 524288,
    HTTP2_RESETS_SECONDS = 10,
    HTTP2_QUEUE_MAX = 256, /* frames that wait for the socket: then nothing more is read */
};

struct http2_round;

struct http2 {
    struct connection *connection;
    nghttp2_session *session;
    struct list open, sent, lost, orphans;

    struct exchange *heading; /* whose head is being read: heads do not interleave */
    struct http_header *fields;
    uint32_t field_count;
    uint32_t field_capacity;

    uint64_t body_bytes;   /* of request bodies held by all exchanges */
    uint32_t paused_count; /* streams whose peer is kept waiting because of that */
    uint32_t full_count;   /* streams whose handler waits for writable() */

    enum { HTTP2_SERVES, HTTP2_NOTICED, HTTP2_RETIRED } phase; /* GOAWAY: none, first, last */
    struct loop_timer timer;                                   /* the phase's end */
    uint64_t resets_since_ns;
    uint32_t resets;

    struct http2_round *round; /* frames are being made */
    bool receiving;            /* inside nghttp2_session_mem_recv */
};

static inline struct exchange *http2_exchange_of(struct list_node *node) {
    return CONTAINER_OF(node, struct exchange, h2.node);
}

static inline struct exchange *http2_stream(struct http2 *h2, int32_t id) {
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

/* http2_connection.c */
void http2_schedule(struct http2 *h2);    /* there is something to write at the end of the turn */
void http2_retire(struct http2 *h2);      /* GOAWAY; ends when the streams are done */
void http2_count_reset(struct http2 *h2); /* or what is as wearisome; ends the connection */
/* The stream is gone; what is owed to the handler is given. */
void http2_stream_lost(struct exchange *exchange);
void http2_move(struct exchange *exchange, struct list *to);
void http2_cancel(struct connection *connection);
/* The peer broke the protocol, or floods: tells refused(). */
void http2_tell_broken(struct connection *connection, const char *why);

/* http2_request.c */
void http2_request_callbacks(nghttp2_session_callbacks *callbacks);
void http2_stream_timed_out(struct timed *timed);
void http2_resume_bodies(struct http2 *h2);

/* http2_answer.c */
void http2_answer_callbacks(nghttp2_session_callbacks *callbacks);
void http2_respond(struct exchange *exchange, const struct http_response *response);
/* net's own answer; tells refused(). */
void http2_refuse(struct exchange *exchange, enum err error, const char *text);

/* http2_output.c */
void http2_output_callbacks(nghttp2_session_callbacks *callbacks);
void http2_flush(struct connection *connection);
void http2_written(struct connection *connection, bool ok);
