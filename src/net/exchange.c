/* Exchanges: taken when a request begins, given back when its answer is with the socket or dropped.
 * Spare ones are kept by the loop with their arena's first block and their codec, so that a steady
 * load allocates nothing. Invariant: a delivered exchange ends by exactly one finished(). How a
 * request is read and answered is the protocol's. Thread: the loop's. */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

static void exchange_free(struct list_node *spare) {
    struct exchange *exchange = CONTAINER_OF(spare, struct exchange, spare);
    arena_done(&exchange->http.arena);
    http1_done(&exchange->codec);
    mem_free(&exchange);
}

struct exchange *exchange_take(struct connection *connection) {
    struct loop *loop = connection->loop;
    struct list_node *spare = list_take_first(&loop->exchanges);
    struct exchange *exchange;
    if (spare) {
        loop->exchange_count--;
        exchange = CONTAINER_OF(spare, struct exchange, spare);
    } else {
        exchange = mem_new(sizeof *exchange);
        arena_init(&exchange->http.arena);
        http1_init(&exchange->codec);
        loop->exchange_free = exchange_free;
    }
    struct arena arena = exchange->http.arena;
    exchange->http = (struct http_exchange){
        .arena = arena,
        .loop = loop,
        .listener = connection->listener,
    };
    connection->exchange_count++;
    exchange->connection = connection;
    exchange->sent = (struct http_sent){0};
    exchange->delivered = exchange->responded = false;
    exchange->held = exchange->ended = false;
    return exchange;
}

void exchange_drop(struct exchange *exchange) {
    struct connection *connection = exchange->connection;
    struct loop *loop = connection->loop;
    if (exchange->delivered)
        listener_count(&connection->listener->active_count, -1);
    connection->exchange = NULL;
    connection->exchange_count--;
    if (exchange->h2.h2)
        http2_stream_done(exchange);
    exchange->connection = NULL;
    block_give(&loop->blocks, &exchange->in);
    if (!NET_KEEPS_MEMORY || loop->exchange_count >= LOOP_EXCHANGES_KEPT) {
        exchange_free(&exchange->spare);
        return;
    }
    arena_reset(&exchange->http.arena);
    loop->exchange_count++;
    list_add_last(&loop->exchanges, &exchange->spare);
}

void exchange_deliver(struct exchange *exchange) {
    struct listener *listener = exchange->connection->listener;
    const struct listener_options *options = &listener->options;
    exchange->delivered = true;
    listener_count(&listener->active_count, 1);
    options->handler->request(options->handler_context, &exchange->http);
}

void exchange_cancel(struct exchange *exchange) {
    struct listener *listener = exchange->connection->listener;
    const struct listener_options *options = &listener->options;
    if (!exchange->delivered || exchange->responded)
        return;
    exchange->http.cancelled = true;
    if (!listener->freed)
        options->handler->cancelled(options->handler_context, &exchange->http);
}

void exchange_end(struct exchange *exchange, bool complete) {
    struct connection *connection = exchange->connection;
    const struct listener_options *options = &connection->listener->options;
    exchange->sent.complete = complete;
    if (exchange->held && !connection->listener->freed) {
        exchange->ended = true;
        connection->protocol->held(exchange);
        return;
    }
    if (exchange->delivered && !connection->listener->freed)
        options->handler->finished(options->handler_context, &exchange->http, &exchange->sent);
    exchange_drop(exchange);
    connection->protocol->exchange_over(connection);
}

void http_exchange_hold(struct http_exchange *http) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    CHECK(exchange->delivered && !exchange->held && !exchange->responded);
    exchange->held = true;
}

void http_exchange_release(struct http_exchange *http) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    CHECK(exchange->held);
    exchange->held = false;
    if (exchange->ended)
        exchange_end(exchange, exchange->sent.complete);
}

void http_respond(struct http_exchange *http, const struct http_response *response) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    CHECK(exchange->delivered && !exchange->responded);
    exchange->responded = true;
    exchange->respond(exchange, response);
}

bool exchange_too_slow(const struct exchange *exchange, uint64_t started_ns, uint64_t length) {
    const struct http_limits *limits = &exchange->connection->listener->options.limits;
    if (limits->body_bytes_per_s_min == 0 || limits->body_timeout_ns == 0)
        return false;
    double allowed_ns = (double)limits->body_timeout_ns +
                        (double)length * NS_PER_S / (double)limits->body_bytes_per_s_min;
    uint64_t taken_ns = loop_now_ns(exchange->connection->loop) - started_ns;
    return (double)taken_ns > allowed_ns;
}

enum http_refusal_reason exchange_refusal_reason(enum err error) {
    switch (error) {
    case ERR_SLOW_REQUEST:
        return HTTP_REFUSED_TIMEOUT;
    case ERR_BODY_TOO_LARGE:
    case ERR_HEADERS_TOO_LARGE:
    case ERR_TARGET_TOO_LONG:
        return HTTP_REFUSED_TOO_LARGE;
    default:
        return HTTP_REFUSED_MALFORMED;
    }
}

const char *exchange_refusal_text(struct exchange *exchange, enum err error, const char *text) {
    const struct http_limits *limits = &exchange->connection->listener->options.limits;
    uint64_t limit = error == ERR_BODY_TOO_LARGE    ? limits->body_bytes_max
                     : error == ERR_TARGET_TOO_LONG ? limits->target_bytes_max
                                                    : limits->header_bytes_max;
    return str_ends(str_of(text), STR("than the limit"))
               ? arena_format(&exchange->http.arena, "%s of %llu bytes", text,
                              (unsigned long long)limit)
               : text;
}
