/* Answers over HTTP/1.1: the handler's, and net's own to what it refuses. Head and body go to the
 * socket with one call. Thread: the loop's. */
#include "net/connection.h"

#include "base/check.h"
#include "base/num.h"
#include "net/http1_response.h"

static void sent(struct exchange *exchange, bool complete) {
    if (!complete)
        exchange->sent.bytes_out = 0; /* how much of it came across is not known */
    exchange_end(exchange, complete);
}

void http1_written(struct connection *connection, bool ok) {
    struct exchange *exchange = connection->exchange;
    if (!ok)
        connection_close(connection);
    if (exchange && exchange->responded && !exchange->ended)
        sent(exchange, ok);
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
        sent(exchange, true);
        break;
    case TRANSPORT_PENDING:
        connection_set_state(connection, CONNECTION_WRITE);
        break;
    case TRANSPORT_FAILED:
        connection_close(connection);
        sent(exchange, false);
        break;
    }
}

void http1_respond(struct exchange *exchange, const struct http_response *response) {
    struct connection *connection = exchange->connection;
    if (exchange->http.cancelled) {
        exchange->sent.status = response->status;
        exchange_end(exchange, false);
        return;
    }
    CHECK(connection->state == CONNECTION_HANDLER);
    if (response->close || connection->listener->draining || connection_retires(connection))
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

/* The rest of a refused request's body is read and thrown away when it is short, its end is known,
 * and the client is not waiting for 100 (then it may or may not send it): so the connection stays
 * usable. */
static bool can_go_on(const struct connection *connection, const struct http1 *codec,
                      enum err error) {
    return error != ERR_SLOW_REQUEST && error != ERR_INTERNAL && !codec->framing_lost &&
           codec->head_bytes > 0 && codec->keep_alive && !codec->expect_continue &&
           codec->body_expected <= CONNECTION_SKIP_BYTES_MAX && !connection->listener->draining;
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

void http1_refuse(struct exchange *exchange, enum err error, const char *text) {
    text = exchange_refusal_text(exchange, error, text);
    struct connection *connection = exchange->connection;
    struct http1 *codec = &exchange->codec;
    struct http_refusal refusal = {
        .err = error, .reason = exchange_refusal_reason(error), .text = text, .answered = true};
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
