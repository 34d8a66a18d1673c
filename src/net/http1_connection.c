/* From the bytes of a connection to its exchanges, one at a time and in order: what a pipelining
 * client sent ahead waits in the connection's input until the answer before it is out. The loop
 * here is flat: a handler that answers from within request() returns here, and the next request is
 * taken up; http1_connection_run never enters itself. */
#include "net/connection.h"

#include "base/check.h"
#include "base/num.h"

static const struct {
    struct str text;
    enum http_method method;
} methods[] = {
    {{"GET", 3}, HTTP_GET}, {{"POST", 4}, HTTP_POST},     {{"HEAD", 4}, HTTP_HEAD},
    {{"PUT", 3}, HTTP_PUT}, {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS},
};

static enum http_method method_of(struct str text) {
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(text, methods[i].text))
            return methods[i].method;
    return HTTP_OTHER;
}

static struct str view(const struct exchange *exchange, struct http1_span span) {
    return (struct str){exchange->in.data + span.at, span.n};
}

/* Origin form "/path?query", absolute form "http://host/path?query", or "*" (RFC 9112, 3.2). */
static void split_target(struct http_request *request, struct str target) {
    if (target.p[0] != '/') {
        const char *authority = memmem(target.p, target.n, "://", 3);
        const char *end = target.p + target.n;
        const char *path = authority ? authority + 3 : end;
        while (path < end && *path != '/' && *path != '?')
            path++;
        target = (struct str){path, (size_t)(end - path)};
    }
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark ? (size_t)(mark - target.p) : target.n;
    request->path = n ? (struct str){target.p, n} : STR("/");
    request->query = mark ? (struct str){mark + 1, target.n - n - 1} : STR("");
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
    request->method = method_of(request->method_text);
    split_target(request, view(exchange, codec->target));
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
    const struct listener_options *options = &connection->listener->options;
    connection->close_after = !exchange->codec.keep_alive;
    split_input(connection, exchange);
    fill_request(exchange);
    connection_set_state(connection, CONNECTION_HANDLER);
    exchange->delivered = true;
    listener_count(&connection->listener->active_count, 1);
    options->handler->request(options->handler_context, &exchange->http);
}

/* Has the body taken longer than the timeout plus what the slowest allowed client needs for the
 * bytes that came? What is only promised buys no time. */
static bool too_slow(const struct connection *connection) {
    const struct exchange *exchange = connection->exchange;
    const struct http_limits *limits = &connection->listener->options.limits;
    const struct http1 *codec = &exchange->codec;
    if (limits->body_bytes_per_s_min == 0 || limits->body_timeout_ns == 0)
        return false;
    double allowed_ns = (double)limits->body_timeout_ns + (double)codec->body_length * NS_PER_S /
                                                              (double)limits->body_bytes_per_s_min;
    uint64_t taken_ns = loop_now_ns(connection->loop) - exchange->body_started_ns;
    return (double)taken_ns > allowed_ns;
}

/* More bytes are needed: which of the timeouts runs now? */
static void wait_for_more(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (exchange->codec.head_bytes == 0) {
        if (connection->state != CONNECTION_HEAD)
            connection_set_state(connection, CONNECTION_HEAD);
        return;
    }
    if (connection->state == CONNECTION_BODY && too_slow(connection)) {
        exchange_refuse(exchange, ERR_SLOW_REQUEST, "the request's body arrives too slowly");
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
        exchange_refuse(exchange, exchange->codec.error, exchange->codec.error_text);
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
    connection->exchange = exchange_take(connection);
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
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        return false;
    }
    return false;
}

void http1_connection_run(struct connection *connection) {
    if (connection->running)
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
