/* A connection and the exchanges it carries, shared by the files connection.c (life, states,
 * timeouts), transport.c (bytes in and out, plain or TLS), exchange.c (what both protocols share of
 * an exchange) and those of a protocol: http1_connection.c and http1_answer.c, http2_*.c. Thread:
 * the loop's, for everything here. */
#pragma once

#include "net/block.h"
#include "net/http1.h"
#include "net/listener_private.h"
#include "net/loop_private.h"
#include "net/tls_session.h"

struct connection;

/* The states' table: name, which timeout runs in it. See connection.c for the diagram. */
#define CONNECTION_STATES(STATE)                                                                   \
    STATE(OPEN, HEADER)                                                                            \
    STATE(HANDSHAKE, HANDSHAKE)                                                                    \
    STATE(IDLE, IDLE)                                                                              \
    STATE(QUIET, QUIET)                                                                            \
    STATE(HEAD, HEADER)                                                                            \
    STATE(BODY, BODY)                                                                              \
    STATE(HANDLER, NONE)                                                                           \
    STATE(HELD, NONE)                                                                              \
    STATE(WRITE, WRITE)                                                                            \
    STATE(SKIP, BODY)                                                                              \
    STATE(H2_IDLE, IDLE)                                                                           \
    STATE(H2_STREAMS, NONE)                                                                        \
    STATE(H2_WRITE, WRITE)                                                                         \
    STATE(LINGER, LINGER)                                                                          \
    STATE(CLOSED, NONE)

enum connection_state {
#define STATE(name, timeout) CONNECTION_##name,
    CONNECTION_STATES(STATE)
#undef STATE
};

enum {
    CONNECTION_AHEAD_BYTES_MAX =
        16384, /* read while a request is being answered; then reading stops */
    CONNECTION_SKIP_BYTES_MAX =
        65536, /* rest of a refused body that is read to keep the connection */
    CONNECTION_LINGER_BYTES_MAX = 16 << 20, /* thrown away so that the peer reads our last answer */
    CONNECTION_SPARE_BYTES = 16,            /* after a body: http.h promises them */
    CONNECTION_LINGERING_MAX = 256, /* refused connections of a listener that linger at once */
};

/* What an exchange over HTTP/2 has besides. Written by http2_*.c only; zeroed for each exchange. */
struct http2_stream {
    struct http2 *h2; /* NULL: the exchange is HTTP/1.1's */
    int32_t id;
    struct list_node node; /* in one of struct http2's lists */
    struct timed timed;    /* the stream's own timeout */
    bool open;             /* nghttp2 still knows the stream */
    bool headed;           /* its request's head is there */
    bool request_ended;    /* nothing more of the request comes */
    bool streaming;        /* handler->streams said so */
    bool paused;           /* the peer is not told that it may send more of the body */
    bool begun;            /* the answer's head was given to nghttp2 */
    bool answer_ended;     /* what waits is all that is left of the answer */
    bool deferred;         /* nghttp2 asks for nothing until it is told of more */
    bool full;             /* the handler waits for writable() */
    enum err refused;      /* found in the head while it came: 431 or 414 */
    uint32_t header_count;
    uint64_t header_bytes;  /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    uint64_t body_expected; /* Content-Length, when the request has one */
    uint64_t body_started_ns;

    struct str *parts; /* of the answer; what is given to nghttp2 is cut off the front */
    size_t part_count;
    struct block out; /* a stream's answer */
    size_t out_at;
    size_t paused_bytes;
    uint64_t waiting; /* bytes of parts or out */
    struct http_header *trailers;
    size_t trailer_count;
};

/* One request and its answer. `http` is first: handlers see only that. */
struct exchange {
    struct http_exchange http;
    struct connection *connection;
    struct list_node spare;
    void (*respond)(struct exchange *exchange, const struct http_response *response);
    struct http1 codec;
    struct http2_stream h2;
    struct block in; /* head and body, from delivery on; HTTP/2: the body */
    char no_body[CONNECTION_SPARE_BYTES];
    struct http_sent sent;
    uint64_t body_started_ns;
    bool delivered; /* the handler knows of it: finished() is owed */
    bool responded;
    bool held;  /* by http_exchange_hold */
    bool ended; /* the answer is out or dropped, but the exchange is held; sent.complete says which
                 */
};

/* What HTTP/1.1 and HTTP/2 do differently for the files they share. */
struct connection_protocol {
    void (*run)(struct connection *connection);   /* handles what lies in connection->in */
    void (*ready)(struct connection *connection); /* loop_ready: the turn is over */
    /* What transport_send left pending is with the socket, or lost. */
    void (*written)(struct connection *connection, bool ok);
    void (*timed_out)(struct connection *connection); /* the state's time is over */
    void (*eof)(struct connection *connection);
    void (*drain)(struct connection *connection);
    void (*held)(struct exchange *exchange);              /* ended, but the handler holds it */
    void (*exchange_over)(struct connection *connection); /* one exchange less */
    void (*cancel)(struct connection *connection);  /* closed: its exchanges end or are cancelled */
    void (*abandon)(struct connection *connection); /* their handler is gone */
};
extern const struct connection_protocol http1_protocol;
extern const struct connection_protocol http2_protocol;

struct connection {
    uv_tcp_t tcp;
    struct listener *listener;
    struct loop *loop;
    const struct connection_protocol *protocol;
    struct http2 *h2; /* NULL: HTTP/1.1, or not known yet */
    enum connection_state state;
    struct list_node of_listener;
    struct timed timed;
    struct loop_ready ready;
    uint64_t retire_ns; /* its age is reached then; 0: never */

    struct block in;           /* bytes that belong to no delivered exchange yet */
    uint64_t in_since_ns;      /* when the first of them came */
    struct exchange *exchange; /* HTTP/1.1: the one being read or answered */
    uint32_t exchange_count;   /* taken and not given back */
    uint64_t skip_bytes;       /* SKIP: still to come; LINGER: thrown away so far */

    struct tls_session *tls; /* NULL: plain */
    uv_write_t write;
    uv_buf_t *out; /* WRITE: not yet given to the socket or to TLS; in the exchange's arena */
    size_t out_count;
    size_t write_queue_seen; /* at the start of the write timeout */

    bool counted; /* in the listener's connections */
    bool refused; /* in the listener's lingering refused ones */
    bool reading;
    bool known;       /* HTTP/1.1 or HTTP/2: decided */
    bool running;     /* inside http1_connection_run */
    bool close_after; /* this exchange's answer is the last */
    bool eof;         /* the peer has closed its side */
    bool closed;      /* the handle is gone; the memory waits for the exchange */
};

/* connection.c */
void connection_accept(struct listener *listener, int fd);
void connection_refuse(struct listener *listener, int fd); /* one too many */
void connection_set_state(struct connection *connection, enum connection_state state);
/* No byte of a request is there: OPEN, or where a drain puts such connections. */
void connection_set_open(struct connection *connection);
/* Drops the connection now; a request with the handler is cancelled. */
void connection_close(struct connection *connection);
/* After the last answer: shuts our side down and waits for the peer to close. */
void connection_linger(struct connection *connection);
/* Closes an idle connection unless a request is already in the socket's buffer. */
void connection_close_idle(struct connection *connection);
/* No request has come, or none after the last: what both protocols do. */
void connection_timed_out(struct connection *connection);
void connection_eof(struct connection *connection);
/* Is it old enough to be given up between requests? */
bool connection_retires(const struct connection *connection);
/* listener_free: the handler will not answer any more. */
void connection_abandon(struct connection *connection);
void connection_free_if_done(struct connection *connection);

/* transport.c */
void transport_start_reading(struct connection *connection);
void transport_stop_reading(struct connection *connection);
/* Reads, unless enough is there already that comes after the request being answered. */
void transport_adjust_reading(struct connection *connection);
enum transport_status { TRANSPORT_SENT, TRANSPORT_PENDING, TRANSPORT_FAILED };
/* Sends all, or what the socket takes now; the rest follows, then protocol->written is called. The
 * first buffer is copied when it does not fit (response heads are built in shared memory); the
 * others must live until then. For the sole exchange of a connection. */
enum transport_status transport_send(struct connection *connection, uv_buf_t *buffers,
                                     size_t count);
/* The same for a part of many answers: what the socket does not take is copied. */
enum transport_status transport_send_copied(struct connection *connection, uv_buf_t *buffers,
                                            size_t count);
/* A few bytes between requests and answers (100 Continue). False: the connection is of no use. */
bool transport_send_now(struct connection *connection, struct str bytes);
/* TLS's close_notify, then the end of our side. */
void transport_goodbye(struct connection *connection);
int transport_fd(const struct connection *connection);

/* http1_connection.c */
void http1_connection_run(struct connection *connection);

/* http1_answer.c */
void http1_respond(struct exchange *exchange, const struct http_response *response);
void http1_written(struct connection *connection, bool ok);
/* net's own answer {"error": text}; tells refused(). */
void http1_refuse(struct exchange *exchange, enum err error, const char *text);

/* exchange.c */
struct exchange *exchange_take(struct connection *connection);
/* To the handler: request(). */
void exchange_deliver(struct exchange *exchange);
/* The peer is gone: cancelled(), if the handler still owes an answer. */
void exchange_cancel(struct exchange *exchange);
/* finished(), then everything of it is given back. */
void exchange_end(struct exchange *exchange, bool complete);
void exchange_drop(struct exchange *exchange); /* without finished() */
/* Has the body taken longer than the timeout plus what the slowest allowed client needs for the
 * `length` bytes that came? What is only promised buys no time. */
bool exchange_too_slow(const struct exchange *exchange, uint64_t started_ns, uint64_t length);
/* http2_*.c: see there. */
bool http2_takes(struct connection *connection, bool *ret_more);
void http2_begin(struct connection *connection);
void http2_end(struct connection *connection);
void http2_input(struct connection *connection, const char *bytes, size_t n);
void http2_stream_done(struct exchange *exchange);
bool http2_reads(const struct connection *connection); /* does it take more input? */

enum http_refusal_reason exchange_refusal_reason(enum err error);
/* The text, with the limit that was passed. */
const char *exchange_refusal_text(struct exchange *exchange, enum err error, const char *text);
