/* A listening address: each loop has a listener of its own on the same port (SO_REUSEPORT). It owns
 * its connections. Opened before the loop's thread starts, or on it. */
#pragma once

#include "net/http.h"
#include "net/loop.h"

#include <stdatomic.h>

struct tls;

/* What happens beyond a limit stands beside it. A timeout of 0 is off. */
struct http_limits {
    uint64_t body_bytes_max;   /* 413 */
    uint32_t header_bytes_max; /* request line and headers: 431, or 414 if in the target already */
    uint32_t header_count_max; /* 431; also of a chunked body's trailers */
    uint32_t target_bytes_max; /* 414 */
    uint32_t connections_max;  /* of this listener: 503, Retry-After and close */

    /* From a request's first byte (a connection's first request: from accept, TLS handshake too)
     * to the end of its headers: 408. Without any byte: closed silently. */
    uint64_t header_timeout_ns;
    uint64_t body_timeout_ns; /* between two arrivals of body bytes: 408 */
    /* The whole body must arrive in body_timeout + length / this: 408. 0: off. */
    uint64_t body_bytes_per_s_min;
    uint64_t idle_timeout_ns;  /* keep-alive without a request: closed silently */
    uint64_t write_timeout_ns; /* a response that makes no progress: dropped */
    /* An older connection takes no more requests than those under way (HTTP/1.1: Connection: close
     * on the next response; HTTP/2: GOAWAY), so that clients spread over servers that came later.
     * Each connection's own age is up to a tenth more or less. 0: none. */
    uint64_t age_ns_max;

    /* HTTP/2. */
    uint32_t streams_max;         /* at once, of one connection: REFUSED_STREAM, or its end */
    uint32_t stream_window_bytes; /* of a body on its way before the server takes it */
    /* Streams that the client opens and then resets, or makes the server reset, and frames without
     * a purpose, within ten seconds: GOAWAY with ENHANCE_YOUR_CALM. 0: any. */
    uint32_t resets_max;
};

struct listener_options {
    const char *name; /* "data", "management": copied */
    const char *host; /* numeric or name; "::" listens on both families */
    uint16_t port;    /* 0: any, see listener_port */
    bool reuse_port;  /* several loops share the port */
    int backlog;      /* 0: the system's largest */
    struct http_limits limits;
    /* Connections of all listeners that share the port, for connections_max; the caller's, and
     * outlives them. NULL: this listener stands alone. */
    _Atomic(uint32_t) *connection_total;
    struct tls *tls; /* NULL: plain. Counted by the listener */
    const struct http_handler *handler;
    void *handler_context;
};

/* ERR_INVALID with the reason ("data listener: 127.0.0.1:8080: Address already in use"). When
 * reuse_port, the first listener of a process is opened with `probe` semantics: a port that another
 * process serves is refused. */
enum err listener_open(struct loop *loop, const struct listener_options *options, bool probe,
                       struct listener **ret, struct err_text *text) MUST_CHECK;
uint16_t listener_port(const struct listener *listener);
const char *listener_name(const struct listener *listener);
/* Open connections, without those being refused. Thread: any (relaxed). */
uint32_t listener_connections(const struct listener *listener);
/* Exchanges in flight. Thread: any (relaxed). */
uint32_t listener_active(const struct listener *listener);

/* Thread: loop. From now on every response says Connection: close. Connections idle for more than
 * half a second are closed at once, others when they have been silent for so long: the next request
 * may be on its way, and is still served. HTTP/2: GOAWAY naming no stream, half a second later one
 * that names the last; the streams up to it are served, then the connection is closed. Accepting
 * goes on. */
void listener_drain(struct listener *listener);
/* Thread: loop. Stops accepting: new SYNs are dropped by a socket filter, what was already
 * connected is accepted, then the socket closes; connections that are accepted finish their
 * requests. */
void listener_stop_accepting(struct listener *listener);
/* Has listener_stop_accepting ended: the socket is closed. Thread: any. */
bool listener_closed(const struct listener *listener);
/* Thread: loop. Drops every connection; requests with the handler are cancelled. */
void listener_close_connections(struct listener *listener);
/* Frees a listener; its loop is not running any more, and loop_free comes after. Requests that the
 * handler has not answered are dropped without finished(). NULL is accepted. */
void listener_free(struct listener **listener);
