/* A gRPC call whose messages come and go one by one. The stream reads messages, paces them and ends
 * the call; what a message means is its type's.
 *
 *   OPEN --fails, or the client has said all--> ENDING --nothing runs any more--> ended
 *     \--the client goes away--> GONE --nothing runs any more--> ended
 *
 * 1. Only grpc_stream_turn moves a stream on; every event comes to it last, and nobody touches the
 *    stream after it: it may be gone.
 * 2. While the type has as much in hand as it takes (in_flight, in_flight_bytes), or the client
 *    reads too slowly, messages stay where they are and the client's window shrinks: only bytes
 *    that were read count as consumed.
 * 3. The call is answered with its status when in_flight is 0.
 * Memory: heap, freed when the exchange has finished. Thread: the call's loop. */
#pragma once

#include "api/grpc.h"

enum { GRPC_STREAM_IN_FLIGHT_MAX = 64, GRPC_STREAM_UNSENT_MAX = 1 << 20 };

struct grpc_stream_type {
    /* A whole message, the callee's to free. */
    void (*message)(struct grpc_stream *stream, struct buffer *message);
    /* The stream fails, or its client has gone: what is in flight is let go of when it can be.
     * May be NULL. */
    void (*cancel)(struct grpc_stream *stream);
    /* The catalog or the drain has changed. May be NULL. */
    void (*tell)(struct grpc_stream *stream);
    void (*free)(struct grpc_stream *stream); /* the type's state. May be NULL */
    bool ends_in_drain;                       /* at once, without waiting for a quiet moment */
};

enum grpc_stream_state {
    GRPC_STREAM_OPEN,
    GRPC_STREAM_ENDING,
    GRPC_STREAM_GONE,
    GRPC_STREAM_ENDED
};

struct grpc_stream {
    struct call *call;
    const struct grpc_stream_type *type;
    void *own; /* the type's state */
    enum grpc_stream_state state;
    struct list_node node; /* loop->streams */
    struct grpc_reader reader;
    struct buffer waiting; /* from waiting_from on: bytes that were not read yet */
    size_t waiting_from;
    bool last;                /* the client has sent all */
    bool turning;             /* inside grpc_stream_turn */
    uint32_t in_flight;       /* messages that are not answered */
    uint64_t in_flight_bytes; /* theirs */
    size_t unsent;            /* bytes of answers that the client has not taken */
    uint64_t active_ns;       /* when the last message came or was answered */
    struct loop_timer deadline, quiet;
};

/* Opens call->stream; the answer's head goes out. */
void grpc_stream_open(struct call *call, const struct grpc_stream_type *type, void *own);
/* From net. */
void grpc_stream_data(struct grpc_stream *stream, struct str bytes, bool last);
void grpc_stream_writable(struct grpc_stream *stream);
void grpc_stream_cancelled(struct grpc_stream *stream);
/* NULL is accepted. */
void grpc_stream_free(struct grpc_stream **stream);

/* For types. Sends one message, as pieces with its prefix. Nothing is sent once it is ending. */
void grpc_stream_write(struct grpc_stream *stream, const struct str *parts, size_t part_count);
/* Ends the stream with that error, once nothing is in flight. The caller's event comes to
 * grpc_stream_turn. */
void grpc_stream_fail(struct grpc_stream *stream, enum err e, const struct err_text *text);
void grpc_stream_turn(struct grpc_stream *stream);

/* The catalog or the drain has changed. */
void grpc_streams_tell(struct api_loop *loop);
/* The loop does not run any more and its exchanges are gone. */
void grpc_streams_drop(struct api_loop *loop);
