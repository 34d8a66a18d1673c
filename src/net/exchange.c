/* Exchanges: taken when a request begins, given back when its answer is with the socket or dropped;
 * and the answers over HTTP/1.1. Spare ones are kept by the loop with their arena's first block and
 * their codec, so that a steady load allocates nothing. Invariant: a delivered exchange ends by
 * exactly one finished(). */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "net/http1_response.h"

static void respond_http1(struct exchange *exchange, const struct http_response *response);

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
    const struct http_limits *limits = &connection->listener->options.limits;
    http1_start(&exchange->codec, &(struct http1_limits){
                                      .body_bytes_max = limits->body_bytes_max,
                                      .header_bytes_max = limits->header_bytes_max,
                                      .header_count_max = limits->header_count_max,
                                      .target_bytes_max = limits->target_bytes_max,
                                  });
    struct arena arena = exchange->http.arena;
    exchange->http = (struct http_exchange){
        .arena = arena,
        .loop = loop,
        .listener = connection->listener,
        .started_ns = connection->in_since_ns,
    };
    exchange->connection = connection;
    exchange->respond = respond_http1;
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

void exchange_end(struct exchange *exchange, bool complete) {
    struct connection *connection = exchange->connection;
    const struct listener_options *options = &connection->listener->options;
    exchange->sent.complete = complete;
    if (exchange->held && !connection->listener->freed) {
        exchange->ended = true;
        if (connection->state != CONNECTION_CLOSED)
            connection_set_state(connection, CONNECTION_HELD);
        return;
    }
    if (exchange->delivered && !connection->listener->freed)
        options->handler->finished(options->handler_context, &exchange->http, &exchange->sent);
    exchange_drop(exchange);
    connection_exchange_over(connection);
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

void exchange_sent(struct exchange *exchange, bool complete) {
    if (!complete)
        exchange->sent.bytes_out = 0; /* how much of it came across is not known */
    exchange_end(exchange, complete);
}

/* Sends head and parts; `parts` live until the exchange ends. */
static void send_answer(struct exchange *exchange, struct http1_head *head, const struct str *parts,
                        size_t part_count) {
    struct connection *connection = exchange->connection;
    struct buffer *text = &connection->loop->head;
    CHECK(part_count <= HTTP_RESPONSE_PARTS_MAX);
    for (size_t i = 0; i < part_count; i++)
        head->body_length += parts[i].n;
    buffer_clear(text);
    http1_write_head(text, head);
    if (ANOMALY(text->full)) { /* headers beyond a megabyte: the handler's fault */
        *head = (struct http1_head){.status = 500, .minor_version = 1, .close = true};
        connection->close_after = true;
        part_count = 0;
        buffer_clear(text);
        http1_write_head(text, head);
    }
    uv_buf_t buffers[1 + HTTP_RESPONSE_PARTS_MAX];
    size_t count = 0;
    buffers[count++] = (uv_buf_t){.base = text->data, .len = text->used};
    exchange->sent.status = head->status;
    exchange->sent.bytes_out = text->used;
    bool body = http1_status_has_body(head->status) && exchange->http.request.method != HTTP_HEAD;
    for (size_t i = 0; body && i < part_count; i++) {
        if (parts[i].n > 0) {
            /* libuv's buffers are not const, but are only read. */
            memcpy(&buffers[count].base, &parts[i].p, sizeof parts[i].p);
            buffers[count++].len = parts[i].n;
            exchange->sent.bytes_out += parts[i].n;
        }
    }
    switch (transport_send(connection, buffers, count)) {
    case TRANSPORT_SENT:
        exchange_sent(exchange, true);
        break;
    case TRANSPORT_PENDING:
        connection_set_state(connection, CONNECTION_WRITE);
        break;
    case TRANSPORT_FAILED:
        connection_close(connection);
        exchange_sent(exchange, false);
        break;
    }
}

static void respond_http1(struct exchange *exchange, const struct http_response *response) {
    struct connection *connection = exchange->connection;
    if (exchange->http.cancelled) {
        exchange->sent.status = response->status;
        exchange_end(exchange, false);
        return;
    }
    CHECK(connection->state == CONNECTION_HANDLER);
    if (response->close || connection->listener->draining)
        connection->close_after = true;
    struct http1_head head = {
        .status = response->status,
        .headers = response->headers,
        .header_count = response->header_count,
        .minor_version = exchange->codec.minor_version,
        .close = connection->close_after,
    };
    send_answer(exchange, &head, response->parts, response->part_count);
}

void http_respond(struct http_exchange *http, const struct http_response *response) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    CHECK(exchange->delivered && !exchange->responded);
    exchange->responded = true;
    exchange->respond(exchange, response);
}

/* The rest of a refused request's body is read and thrown away when it is short, its end is known,
 * and the client is not waiting for 100 (then it may or may not send it): so the connection stays
 * usable. */
static bool can_go_on(const struct connection *connection, const struct http1 *codec,
                      enum err error) {
    return error != ERR_SLOW_REQUEST && error != ERR_INTERNAL && !codec->framing_lost &&
           codec->head_bytes > 0 && codec->keep_alive && !codec->expect_continue &&
           codec->body_expected <= CONNECTION_SKIP_BYTES_MAX && !connection->listener->draining;
}

static enum http_refusal_reason reason_of(enum err error) {
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

/* The request as far as it came and was understood. */
static void describe(const struct exchange *exchange, struct http_refusal *refusal) {
    const struct http1 *codec = &exchange->codec;
    const struct connection *connection = exchange->connection;
    const char *data = connection->in.data;
    refusal->bytes_in = MAX(codec->wire_bytes, (uint64_t)connection->in.used);
    refusal->duration_ns = loop_now_ns(connection->loop) - exchange->http.started_ns;
    refusal->method = (struct str){data + codec->method.at, codec->method.n};
    struct str target = {data + codec->target.at, codec->target.n};
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    refusal->path = (struct str){target.p, mark ? (size_t)(mark - target.p) : target.n};
}

/* The text, with the limit that was passed. */
static const char *with_limit(struct exchange *exchange, enum err error, const char *text) {
    const struct http1_limits *limits = &exchange->codec.limits;
    uint64_t limit = error == ERR_BODY_TOO_LARGE    ? limits->body_bytes_max
                     : error == ERR_TARGET_TOO_LONG ? limits->target_bytes_max
                                                    : limits->header_bytes_max;
    return str_ends(str_of(text), STR("than the limit"))
               ? arena_format(&exchange->http.arena, "%s of %llu bytes", text,
                              (unsigned long long)limit)
               : text;
}

void exchange_refuse(struct exchange *exchange, enum err error, const char *text) {
    text = with_limit(exchange, error, text);
    struct connection *connection = exchange->connection;
    struct http1 *codec = &exchange->codec;
    struct http_refusal refusal = {
        .err = error, .reason = reason_of(error), .text = text, .answered = true};
    describe(exchange, &refusal);
    listener_refused(connection->listener, &refusal);
    exchange->http.request.method = str_eq(refusal.method, STR("HEAD")) ? HTTP_HEAD : HTTP_OTHER;
    connection->close_after = !can_go_on(connection, codec, error);
    if (!connection->close_after) {
        struct block *in = &connection->in;
        connection->skip_bytes = codec->body_expected;
        in->used -= codec->head_bytes;
        memmove(in->data, in->data + codec->head_bytes, in->used);
    }

    struct buffer json;
    buffer_init(&json, HTTP1_ERROR_BYTES_MAX);
    http1_write_error(&json, text);
    struct str part = {arena_copy(&exchange->http.arena, buffer_str(&json)), json.used};
    buffer_done(&json);
    struct http_header headers[HTTP1_REFUSAL_HEADERS_MAX];
    struct http1_head head = {
        .status = err_http_status(error),
        .headers = headers,
        .header_count = http1_refusal_headers(&refusal, headers),
        .minor_version = 1,
        .close = connection->close_after,
    };
    exchange->responded = true;
    send_answer(exchange, &head, &part, 1);
}
