/* A connection's life. connection_set_state is the one setter and checks the edge (next_states).
 *
 *   accept -> OPEN --+
 *                    +--> HEAD -> BODY -> HANDLER -> WRITE -> HELD --+--> IDLE
 *        +--> IDLE --+                                               |
 *        |                                                           |
 *        +-----------------------------------------------------------+
 *
 *   HEAD, BODY, HANDLER, WRITE, HELD may each be passed by: all bytes are there already, the
 *   socket takes the whole answer, nobody holds the exchange (http_exchange_hold).
 *
 *   OPEN .. BODY -> WRITE -> SKIP -> IDLE     refused by net; the rest of a short body is read and
 *                                             thrown away
 *   OPEN .. HELD, SKIP -> LINGER -> CLOSED    the last answer was given; what the peer still sends
 *                                             is thrown away, because closing with unread bytes
 *                                             resets the connection and loses our answer
 *   OPEN, accept -> HANDSHAKE                 drain, TLS not ready: bounded until the request comes
 *   OPEN, accept, IDLE -> QUIET               drain: closed after a moment without a request
 *   HANDSHAKE, QUIET -> HEAD ...              as from OPEN; afterwards QUIET in place of IDLE
 *   OPEN, HANDSHAKE, QUIET -> H2_IDLE         HTTP/2: the first bytes or ALPN said so
 *   H2_IDLE <-> H2_STREAMS                    no exchange, some; each stream has its own timeout
 *   H2_IDLE, H2_STREAMS <-> H2_WRITE          the socket is full: nothing is framed meanwhile
 *   H2_IDLE, H2_STREAMS -> LINGER             the last GOAWAY is out and its streams are done
 *   any -> CLOSED                             uv_close was called
 *
 * Invariants: `exchange` is NULL in OPEN, HANDSHAKE, IDLE, QUIET, SKIP, LINGER and all H2 states;
 * a connection is on the timeout list of its state and on no other; in CLOSED the memory stays
 * until the handle is closed and the handler has answered. */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "net/http1_response.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static const enum timeout_kind timeout_of[] = {
#define STATE(name, timeout) [CONNECTION_##name] = TIMEOUT_##timeout,
    CONNECTION_STATES(STATE)
#undef STATE
};

#define TO(name) (1u << CONNECTION_##name)
static const unsigned next_states[] = {
    [CONNECTION_OPEN] = TO(OPEN) | TO(HANDSHAKE) | TO(QUIET) | TO(HEAD) | TO(BODY) | TO(HANDLER) |
                        TO(WRITE) | TO(IDLE) | TO(SKIP) | TO(LINGER) | TO(H2_IDLE) | TO(CLOSED),
    [CONNECTION_HANDSHAKE] = TO(QUIET) | TO(HEAD) | TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(SKIP) |
                             TO(LINGER) | TO(H2_IDLE) | TO(CLOSED),
    [CONNECTION_IDLE] = TO(IDLE) | TO(QUIET) | TO(HEAD) | TO(BODY) | TO(HANDLER) | TO(WRITE) |
                        TO(SKIP) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_QUIET] = TO(QUIET) | TO(HEAD) | TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(SKIP) |
                         TO(LINGER) | TO(H2_IDLE) | TO(CLOSED),
    [CONNECTION_HEAD] = TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(IDLE) | TO(QUIET) | TO(SKIP) |
                        TO(LINGER) | TO(CLOSED),
    [CONNECTION_BODY] = TO(BODY) | TO(HANDLER) | TO(WRITE) | TO(IDLE) | TO(QUIET) | TO(SKIP) |
                        TO(LINGER) | TO(CLOSED),
    [CONNECTION_HANDLER] = TO(HELD) | TO(WRITE) | TO(IDLE) | TO(QUIET) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_HELD] = TO(IDLE) | TO(QUIET) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_WRITE] =
        TO(HELD) | TO(WRITE) | TO(IDLE) | TO(QUIET) | TO(SKIP) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_SKIP] = TO(IDLE) | TO(QUIET) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_H2_IDLE] = TO(H2_STREAMS) | TO(H2_WRITE) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_H2_STREAMS] = TO(H2_IDLE) | TO(H2_WRITE) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_H2_WRITE] = TO(H2_IDLE) | TO(H2_STREAMS) | TO(H2_WRITE) | TO(LINGER) | TO(CLOSED),
    [CONNECTION_LINGER] = TO(CLOSED),
    [CONNECTION_CLOSED] = 0,
};

void connection_set_state(struct connection *connection, enum connection_state state) {
    enum connection_state old = connection->state;
    CHECK(next_states[old] & (1u << state));
    connection->state = state;
    if (old == CONNECTION_OPEN && state == CONNECTION_HEAD)
        return; /* the header timeout of a first request runs from accept on */
    listener_time(connection->listener, &connection->timed, timeout_of[state]);
    if (state == CONNECTION_WRITE || state == CONNECTION_H2_WRITE) {
        connection->write_queue_seen =
            uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp);
    }
}

void connection_set_open(struct connection *connection) {
    if (!connection->listener->draining)
        connection_set_state(connection, CONNECTION_OPEN);
    else if (connection->tls && !tls_session_ready(connection->tls))
        connection_set_state(connection, CONNECTION_HANDSHAKE);
    else
        connection_set_state(connection, CONNECTION_QUIET);
}

static void run_ready(struct loop_ready *ready) {
    struct connection *connection = CONTAINER_OF(ready, struct connection, ready);
    connection->protocol->ready(connection);
}

static void run_out(struct timed *timed) {
    struct connection *connection = CONTAINER_OF(timed, struct connection, timed);
    connection->protocol->timed_out(connection);
}

/* Its own age: the limit, up to a tenth more or less, so that connections made together do not end
 * together. */
static uint64_t retire_time(const struct listener *listener) {
    uint64_t age = listener->options.limits.age_ns_max;
    if (age == 0)
        return 0;
    uint64_t random = 0;
    CHECK(uv_random(NULL, NULL, &random, sizeof random, 0, NULL) == 0);
    return loop_now_ns(listener->loop) + age - age / 10 + random % (age / 5 + 1);
}

static struct connection *connection_new(struct listener *listener, int fd) {
    struct connection *connection = mem_new(sizeof *connection);
    connection->listener = listener;
    connection->loop = listener->loop;
    connection->protocol = &http1_protocol;
    connection->ready.run = run_ready;
    connection->timed.fire = run_out;
    CHECK(uv_tcp_init(&listener->loop->uv, &connection->tcp) == 0);
    connection->tcp.data = connection;
    listener->handle_count++;
    list_add_last(&listener->connections, &connection->of_listener);
    connection->state = CONNECTION_OPEN;
    if (uv_tcp_open(&connection->tcp, fd) != 0) {
        close(fd);
        connection_close(connection);
        return NULL;
    }
    return connection;
}

void connection_accept(struct listener *listener, int fd) {
    struct connection *connection = connection_new(listener, fd);
    if (!connection)
        return;
    connection->counted = true;
    listener_connected(listener, 1);
    if (listener->options.tls)
        connection->tls = tls_session_new(listener->options.tls, &listener->loop->ciphertext);
    connection->retire_ns = retire_time(listener);
    connection_set_open(connection);
    transport_start_reading(connection);
}

/* The whole answer on a connection that has no state yet: a new socket takes it, or it is lost. */
static bool send_refusal(struct loop *loop, int fd, const struct http_refusal *refusal) {
    struct buffer json;
    buffer_init(&json, HTTP1_ERROR_BYTES_MAX);
    http1_write_error(&json, refusal->text);
    struct http_header headers[HTTP1_REFUSAL_HEADERS_MAX];
    struct http1_head head = {
        .status = err_http_status(refusal->err),
        .headers = headers,
        .header_count = http1_refusal_headers(refusal, headers),
        .body_length = json.used,
        .minor_version = 1,
        .close = true,
    };
    struct buffer *text = &loop->head;
    buffer_clear(text);
    http1_write_head(text, &head);
    buffer_add_str(text, buffer_str(&json));
    buffer_done(&json);
    return !text->full && send(fd, text->data, text->used, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

void connection_refuse(struct listener *listener, int fd) {
    struct http_refusal refusal = {
        .err = ERR_TOO_MANY_CONNECTIONS,
        .reason = HTTP_REFUSED_CONNECTIONS,
        .text = "too many connections",
        .answered =
            !listener->options.tls && listener->lingering_refused < CONNECTION_LINGERING_MAX,
    };
    listener_refused(listener, &refusal);
    if (!refusal.answered || !send_refusal(listener->loop, fd, &refusal)) {
        close(fd);
        return;
    }
    struct connection *connection = connection_new(listener, fd);
    if (connection) {
        connection->refused = true;
        listener->lingering_refused++;
        connection_linger(connection);
    }
}

void connection_free_if_done(struct connection *connection) {
    if (!connection->closed || connection->exchange_count > 0)
        return;
    struct listener *listener = connection->listener;
    list_remove(&connection->of_listener);
    http2_end(connection);
    tls_session_free(&connection->tls);
    mem_free(&connection);
    listener_release(listener);
}

static void on_closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    connection->closed = true;
    connection_free_if_done(connection);
}

void connection_close(struct connection *connection) {
    enum connection_state old = connection->state;
    if (old == CONNECTION_CLOSED)
        return;
    connection_set_state(connection, CONNECTION_CLOSED);
    loop_ready_remove(&connection->ready);
    if (connection->counted) {
        connection->counted = false;
        listener_connected(connection->listener, -1);
    }
    if (connection->refused) {
        connection->refused = false;
        connection->listener->lingering_refused--;
    }
    connection->reading = false;
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
    connection->protocol->cancel(connection);
    if (!connection->running)
        block_give(&connection->loop->blocks, &connection->in);
}

void connection_abandon(struct connection *connection) {
    connection_close(connection);
    connection->protocol->abandon(connection);
    connection_free_if_done(connection);
}

void connection_linger(struct connection *connection) {
    block_give(&connection->loop->blocks, &connection->in);
    if (connection->eof) {
        transport_goodbye(connection);
        connection_close(connection);
        return;
    }
    connection_set_state(connection, CONNECTION_LINGER);
    connection->skip_bytes = 0;
    transport_goodbye(connection);
    transport_start_reading(connection);
}

void connection_close_idle(struct connection *connection) {
    char byte;
    ssize_t n = recv(transport_fd(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) { /* a request crossed our decision: it is read in the next turn */
        connection_set_state(connection,
                             connection->listener->draining ? CONNECTION_QUIET : CONNECTION_IDLE);
        return;
    }
    transport_goodbye(connection);
    connection_close(connection);
}

void connection_eof(struct connection *connection) {
    connection->eof = true;
    if (connection->state == CONNECTION_WRITE) {
        /* It may only have closed its own side: our answer goes out, or the write fails. */
        connection->close_after = true;
        transport_stop_reading(connection);
        return;
    }
    connection_close(connection);
}

bool connection_retires(const struct connection *connection) {
    return connection->retire_ns && loop_now_ns(connection->loop) >= connection->retire_ns;
}

static void timed_out_open(struct connection *connection) {
    bool handshake = connection->tls && !tls_session_ready(connection->tls);
    listener_refused(connection->listener,
                     &(struct http_refusal){
                         .err = ERR_SLOW_REQUEST,
                         .reason = HTTP_REFUSED_TIMEOUT,
                         .text = handshake ? "TLS: the handshake did not finish in time"
                                           : "no request came in time",
                     });
    transport_goodbye(connection);
    connection_close(connection);
}

void connection_timed_out(struct connection *connection) {
    switch (connection->state) {
    case CONNECTION_OPEN:
        timed_out_open(connection);
        break;
    case CONNECTION_HANDSHAKE:
        if (!tls_session_ready(connection->tls)) {
            timed_out_open(connection);
            break;
        }
        connection_close_idle(connection);
        break;
    case CONNECTION_IDLE:
    case CONNECTION_QUIET:
        connection_close_idle(connection);
        break;
    case CONNECTION_SKIP:
        connection_linger(connection);
        break;
    case CONNECTION_WRITE:
    case CONNECTION_H2_WRITE:
        if (uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp) !=
            connection->write_queue_seen) {
            connection_set_state(connection, connection->state); /* slow, but moving */
            break;
        }
        connection_close(connection);
        break;
    case CONNECTION_LINGER:
    default:
        connection_close(connection);
        break;
    }
}
