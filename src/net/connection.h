/* A connection and the exchange it carries, shared by the files connection.c (life, states,
 * timeouts), transport.c (bytes in and out, plain or TLS), http1_connection.c (bytes to exchanges)
 * and exchange.c (answers). Thread: the loop's, for everything here. */
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

/* One request and its answer. `http` is first: handlers see only that. */
struct exchange {
    struct http_exchange http;
    struct connection *connection;
    struct list_node spare;
    void (*respond)(struct exchange *exchange, const struct http_response *response);
    struct http1 codec;
    struct block in; /* head and body, from delivery on */
    char no_body[CONNECTION_SPARE_BYTES];
    struct http_sent sent;
    uint64_t body_started_ns;
    bool delivered; /* the handler knows of it: finished() is owed */
    bool responded;
    bool held;  /* by http_exchange_hold */
    bool ended; /* the answer is out or dropped, but the exchange is held; sent.complete says which
                 */
};

struct connection {
    uv_tcp_t tcp;
    struct listener *listener;
    struct loop *loop;
    enum connection_state state;
    struct list_node of_listener;
    struct list_node timed; /* in listener->timeouts[...] */
    uint64_t deadline_ns;
    struct loop_ready ready;

    struct block in;           /* bytes that belong to no delivered exchange yet */
    uint64_t in_since_ns;      /* when the first of them came */
    struct exchange *exchange; /* the one being read or answered */
    uint64_t skip_bytes;       /* SKIP: still to come; LINGER: thrown away so far */

    struct tls_session *tls; /* NULL: plain */
    uv_write_t write;
    uv_buf_t *out; /* WRITE: what is not yet given to the socket; in the exchange's arena */
    size_t out_count;
    size_t write_queue_seen; /* at the start of the write timeout */

    bool counted; /* in the listener's connections */
    bool refused; /* in the listener's lingering refused ones */
    bool reading;
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
void connection_timed_out(struct connection *connection);
void connection_eof(struct connection *connection);
/* The exchange is over and recycled: decides what comes next. */
void connection_exchange_over(struct connection *connection);
/* listener_free: the handler will not answer any more. */
void connection_abandon(struct connection *connection);
void connection_free_if_done(struct connection *connection);

/* transport.c */
void transport_start_reading(struct connection *connection);
void transport_stop_reading(struct connection *connection);
/* Reads, unless enough is there already that comes after the request being answered. */
void transport_adjust_reading(struct connection *connection);
enum transport_status { TRANSPORT_SENT, TRANSPORT_PENDING, TRANSPORT_FAILED };
/* Sends all, or what the socket takes now; the rest follows, then exchange_sent is called. The
 * first buffer is copied when it does not fit (response heads are built in shared memory); the
 * others must live until then. */
enum transport_status transport_send(struct connection *connection, uv_buf_t *buffers,
                                     size_t count);
/* A few bytes between requests and answers (100 Continue). False: the connection is of no use. */
bool transport_send_now(struct connection *connection, struct str bytes);
/* TLS's close_notify, then the end of our side. */
void transport_goodbye(struct connection *connection);
int transport_fd(const struct connection *connection);

/* http1_connection.c */
void http1_connection_run(struct connection *connection); /* handles what lies in connection->in */

/* exchange.c */
struct exchange *exchange_take(struct connection *connection);
/* finished(), then everything of it is given back. */
void exchange_end(struct exchange *exchange, bool complete);
void exchange_drop(struct exchange *exchange); /* without finished() */
void exchange_sent(struct exchange *exchange, bool complete);
/* net's own answer {"error": text}; tells refused(). */
void exchange_refuse(struct exchange *exchange, enum err error, const char *text);
