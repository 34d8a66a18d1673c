/* From the bytes of a connection to its exchanges, one at a time and in order: what a pipelining
 * client sent ahead waits in the connection's input until the answer before it is out. The loop
 * here is flat: a handler that answers from within request() returns here, and the next request is
 * taken up; http1_connection_run never enters itself. */
#include "net/connection.h"

#include "base/check.h"
#include "base/num.h"
#include "net/http_parts.h"

static struct str view(const struct exchange *exchange, struct http1_span span) {
    return (struct str){exchange->in.data + span.at, span.n};
}

static void fill_request(struct exchange *exchange) {
    const struct http1 *codec = &exchange->codec;
    struct http_request *request = &exchange->http.request;
    struct http_header *headers =
        arena_new(&exchange->http.arena, (codec->field_count + 1) * sizeof *headers);
    for (uint32_t i = 0; i < codec->field_count; i++) {
        headers[i].name = view(exchange, codec->fields[i].name);
        headers[i].value = view(exchange, codec->fields[i].value);
    }
    request->headers = headers;
    request->header_count = codec->field_count;
    request->method_text = view(exchange, codec->method);
    request->method = http_method_of(request->method_text);
    http_split_target(request, view(exchange, codec->target));
    request->body = codec->body_length ? exchange->in.data + codec->head_bytes : exchange->no_body;
    request->body_length = codec->body_length;
    exchange->http.wire_bytes_in = codec->wire_bytes;
}

/* The message's bytes go with the exchange; what came behind them stays with the connection, in a
 * block of its own (the handler may write behind the body). */
static void split_input(struct connection *connection, struct exchange *exchange) {
    size_t end = exchange->codec.end;
    size_t rest = connection->in.used - end;
    exchange->in = connection->in;
    exchange->in.used = end;
    connection->in = (struct block){0};
    connection->in_since_ns = 0;
    CHECK(exchange->in.capacity - end >= CONNECTION_SPARE_BYTES ||
          exchange->codec.body_length == 0);
    if (rest == 0)
        return;
    if (!block_try_grow(&connection->loop->blocks, &connection->in,
                        rest + CONNECTION_SPARE_BYTES)) {
        connection->close_after = true;
        return;
    }
    memcpy(connection->in.data, exchange->in.data + end, rest);
    connection->in.used = rest;
    connection->in_since_ns = loop_now_ns(connection->loop);
}

static void deliver(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    connection->close_after = !exchange->codec.keep_alive;
    split_input(connection, exchange);
    fill_request(exchange);
    connection_set_state(connection, CONNECTION_HANDLER);
    exchange_deliver(exchange);
}

/* More bytes are needed: which of the timeouts runs now? */
static void wait_for_more(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (exchange->codec.head_bytes == 0) {
        if (connection->state != CONNECTION_HEAD)
            connection_set_state(connection, CONNECTION_HEAD);
        return;
    }
    if (connection->state == CONNECTION_BODY &&
        exchange_too_slow(exchange, exchange->body_started_ns, exchange->codec.body_length)) {
        http1_refuse(exchange, ERR_SLOW_REQUEST, "the request's body arrives too slowly");
        return;
    }
    connection_set_state(connection, CONNECTION_BODY);
}

static void begin_body(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    const struct http1 *codec = &exchange->codec;
    connection_set_state(connection, CONNECTION_BODY);
    exchange->body_started_ns = loop_now_ns(connection->loop);
    bool begun = codec->wire_bytes > codec->head_bytes;
    if (codec->expect_continue && !begun &&
        !transport_send_now(connection, STR("HTTP/1.1 100 Continue\r\n\r\n"))) {
        connection_close(connection);
    }
}

/* True: there may be more to do. */
static bool feed(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    struct block *in = &connection->in;
    switch (http1_feed(&exchange->codec, in->data, &in->used)) {
    case HTTP1_MORE:
        wait_for_more(connection);
        return false;
    case HTTP1_HEAD:
        begin_body(connection);
        return false;
    case HTTP1_REQUEST:
        deliver(connection);
        return true;
    case HTTP1_ERROR:
        http1_refuse(exchange, exchange->codec.error, exchange->codec.error_text);
        return true;
    }
    return false;
}

static void take_off_front(struct block *in, size_t n) {
    in->used -= n;
    memmove(in->data, in->data + n, in->used);
}

/* Empty lines before a request are ignored (RFC 9112, 2.2) and start no timeout. */
static bool begin(struct connection *connection) {
    struct block *in = &connection->in;
    size_t blank = 0;
    while (blank < in->used && (in->data[blank] == '\r' || in->data[blank] == '\n'))
        blank++;
    if (blank > 0)
        take_off_front(in, blank);
    if (in->used == 0) {
        connection->in_since_ns = 0;
        return false;
    }
    struct exchange *exchange = exchange_take(connection);
    const struct http_limits *limits = &connection->listener->options.limits;
    http1_start(&exchange->codec, &(struct http1_limits){
                                      .body_bytes_max = limits->body_bytes_max,
                                      .header_bytes_max = limits->header_bytes_max,
                                      .header_count_max = limits->header_count_max,
                                      .target_bytes_max = limits->target_bytes_max,
                                  });
    exchange->http.started_ns = connection->in_since_ns;
    exchange->respond = http1_respond;
    connection->exchange = exchange;
    return feed(connection);
}

static bool skip(struct connection *connection) {
    size_t n = (size_t)MIN((uint64_t)connection->in.used, connection->skip_bytes);
    take_off_front(&connection->in, n);
    connection->skip_bytes -= n;
    if (connection->skip_bytes > 0)
        return false; /* the timeout is for all of it: a trickle does not hold the connection */
    connection_set_state(connection,
                         connection->listener->draining ? CONNECTION_QUIET : CONNECTION_IDLE);
    return true;
}

static bool step(struct connection *connection) {
    if (connection->in.used == 0)
        return false;
    switch (connection->state) {
    case CONNECTION_OPEN:
    case CONNECTION_HANDSHAKE:
    case CONNECTION_IDLE:
    case CONNECTION_QUIET:
        return begin(connection);
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        return feed(connection);
    case CONNECTION_SKIP:
        return skip(connection);
    case CONNECTION_HANDLER:
    case CONNECTION_HELD:
    case CONNECTION_WRITE:
    case CONNECTION_H2_IDLE:
    case CONNECTION_H2_STREAMS:
    case CONNECTION_H2_WRITE:
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        return false;
    }
    return false;
}

/* The first bytes say which protocol it is. True: HTTP/1.1. */
static bool is_http1(struct connection *connection) {
    if (connection->known || connection->in.used == 0)
        return true;
    bool more = false;
    if (http2_takes(connection, &more)) {
        connection->known = true;
        http2_begin(connection);
        return false;
    }
    connection->known = !more;
    return !more;
}

void http1_connection_run(struct connection *connection) {
    if (connection->running || !is_http1(connection))
        return;
    connection->running = true;
    while (step(connection)) {
    }
    connection->running = false;
    if (connection->in.used == 0 || connection->state == CONNECTION_CLOSED) {
        block_give(&connection->loop->blocks, &connection->in);
        connection->in_since_ns = 0;
    }
    transport_adjust_reading(connection);
}

static void exchange_over(struct connection *connection) {
    if (connection->state == CONNECTION_CLOSED) {
        connection_free_if_done(connection);
        return;
    }
    if (connection->close_after) {
        connection_linger(connection);
        return;
    }
    connection_set_state(connection, connection->skip_bytes           ? CONNECTION_SKIP
                                     : connection->listener->draining ? CONNECTION_QUIET
                                                                      : CONNECTION_IDLE);
    if (connection->running)
        return;
    transport_adjust_reading(connection);
    if (connection->in.used > 0)
        loop_ready_add(connection->loop, &connection->ready);
}

static void held(struct exchange *exchange) {
    if (exchange->connection->state != CONNECTION_CLOSED)
        connection_set_state(exchange->connection, CONNECTION_HELD);
}

static void timed_out(struct connection *connection) {
    switch (connection->state) {
    case CONNECTION_HEAD:
        http1_refuse(connection->exchange, ERR_SLOW_REQUEST,
                     "the request's headers did not arrive in time");
        break;
    case CONNECTION_BODY:
        http1_refuse(connection->exchange, ERR_SLOW_REQUEST,
                     "the request's body did not arrive in time");
        break;
    default:
        connection_timed_out(connection);
        break;
    }
}

/* Idle for long: closed now. Idle for a moment, or just connected: a request may be on its way. */
static void drain(struct connection *connection) {
    struct listener *listener = connection->listener;
    if (connection->state == CONNECTION_IDLE) {
        uint64_t idle_ns = listener->timeout_ns[TIMEOUT_IDLE];
        uint64_t now = loop_now_ns(listener->loop);
        if (idle_ns && now >= connection->timed.deadline_ns - idle_ns + LISTENER_QUIET_NS)
            connection_close_idle(connection);
        else
            connection_set_state(connection, CONNECTION_QUIET);
    } else if (connection->state == CONNECTION_OPEN) {
        connection_set_open(connection);
    }
}

static void cancel(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (!exchange)
        return;
    if (!exchange->delivered && !exchange->responded)
        exchange_drop(exchange);
    else
        exchange_cancel(exchange);
}

static void abandon(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (exchange && (!exchange->responded || exchange->ended))
        exchange_drop(exchange);
}

const struct connection_protocol http1_protocol = {
    .run = http1_connection_run,
    .ready = http1_connection_run,
    .written = http1_written,
    .timed_out = timed_out,
    .eof = connection_eof,
    .drain = drain,
    .held = held,
    .exchange_over = exchange_over,
    .cancel = cancel,
    .abandon = abandon,
};
