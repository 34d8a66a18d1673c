/* Streams to exchanges: heads, bodies, and the limits on them. A head is collected header by
 * header; a body in one block that grows as its bytes come. The connection's window is handed back
 * at once, so that one stream never holds up another; a stream's own window is the brake: once the
 * connection's exchanges hold as much as the largest body, only the oldest unfinished body is let
 * on, and the others wait until memory is given back. So there is always one that can finish. */
#include "net/http2.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "net/http_parts.h"

enum {
    FIELDS_BEGIN = 32,
    FRAME_HEAD_BYTES = 9,
    FIELD_OVERHEAD_BYTES = 32, /* RFC 9113, 6.5.2 */
    HEADERS_IGNORED = 4,       /* a head this many times too large is not even read to its end */
};

static const struct http_limits *limits_of(const struct http2 *h2) {
    return &h2->connection->listener->options.limits;
}

/* ---- Heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct http2 *h2 = user_data;
    struct connection *connection = h2->connection;
    h2->heading = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers: nobody asks for them */
    /* A stream that was reset counts until its handler has answered. */
    if (connection->exchange_count >= 2 * limits_of(h2)->streams_max) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct exchange *exchange = exchange_take(connection);
    exchange->http.started_ns = loop_now_ns(connection->loop);
    exchange->http.request.http2 = true;
    exchange->respond = http2_respond;
    exchange->h2 = (struct http2_stream){
        .h2 = h2, .id = frame->hd.stream_id, .open = true, .timed.fire = http2_stream_timed_out};
    http2_move(exchange, &h2->open);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, exchange);
    h2->heading = exchange;
    h2->field_count = 0;
    return 0;
}

static void add_field(struct http2 *h2, struct str name, struct str value) {
    if (h2->field_count == h2->field_capacity) {
        h2->field_capacity = MAX(h2->field_capacity * 2, (uint32_t)FIELDS_BEGIN);
        h2->fields = mem_resize(h2->fields, h2->field_capacity * sizeof *h2->fields);
    }
    h2->fields[h2->field_count++] = (struct http_header){name, value};
}

static struct str copy(struct exchange *exchange, struct str s) {
    char *to = arena_new(&exchange->http.arena, s.n);
    memcpy(to, s.p, s.n);
    return (struct str){to, s.n};
}

static void add_pseudo(struct http2 *h2, struct exchange *exchange, struct str name,
                       struct str value) {
    struct http_request *request = &exchange->http.request;
    if (str_eq(name, STR(":path"))) {
        if (value.n > limits_of(h2)->target_bytes_max && !exchange->h2.refused)
            exchange->h2.refused = ERR_TARGET_TOO_LONG;
        else
            http_split_target(request, copy(exchange, value));
    } else if (str_eq(name, STR(":method"))) {
        request->method_text = copy(exchange, value);
        request->method = http_method_of(request->method_text);
    } else if (str_eq(name, STR(":authority"))) {
        add_field(h2, STR("host"), copy(exchange, value));
    }
}

static bool has_host(const struct http2 *h2) {
    return h2->field_count > 0 && str_eq(h2->fields[0].name, STR("host"));
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_at,
                     size_t name_n, const uint8_t *value_at, size_t value_n, uint8_t flags,
                     void *user_data) {
    (void)session;
    (void)flags;
    struct http2 *h2 = user_data;
    struct exchange *exchange = h2->heading;
    if (!exchange || exchange->h2.id != frame->hd.stream_id)
        return 0;
    const struct http_limits *limits = limits_of(h2);
    struct str name = {(const char *)name_at, name_n};
    struct str value = {(const char *)value_at, value_n};
    struct http2_stream *stream = &exchange->h2;
    stream->header_bytes += name_n + value_n + FIELD_OVERHEAD_BYTES;
    stream->header_count += name.p[0] != ':';
    if (stream->header_bytes > (uint64_t)HEADERS_IGNORED * limits->header_bytes_max)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (stream->header_bytes > limits->header_bytes_max ||
        stream->header_count > limits->header_count_max) {
        if (!stream->refused)
            stream->refused = ERR_HEADERS_TOO_LARGE;
        return 0;
    }
    if (name.p[0] == ':') {
        add_pseudo(h2, exchange, name, value);
        return 0;
    }
    if (str_eq(name, STR("host")) && has_host(h2))
        return 0; /* :authority says it already */
    if (str_eq(name, STR("content-length")) && !str_to_u64(value, &stream->body_expected))
        stream->body_expected = UINT64_MAX;
    struct str both = {arena_new(&exchange->http.arena, name_n + value_n), name_n};
    char *to = (char *)(uintptr_t)both.p;
    memcpy(to, name_at, name_n);
    memcpy(to + name_n, value_at, value_n);
    add_field(h2, both, (struct str){to + name_n, value_n});
    return 0;
}

/* Not valid: the stream is reset (RFC 9113, 8.2.1). Without this nghttp2 would skip the header. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_n, const uint8_t *value,
                             size_t value_n, uint8_t flags, void *user_data) {
    (void)session;
    (void)frame;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    (void)user_data;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* ---- Requests ---- */

static void deliver(struct exchange *exchange) {
    struct http_request *request = &exchange->http.request;
    request->body = exchange->in.data ? exchange->in.data : exchange->no_body;
    request->body_length = exchange->in.used;
    exchange_deliver(exchange);
}

static void tell_data(struct exchange *exchange, struct str bytes, bool last) {
    const struct listener_options *options = &exchange->connection->listener->options;
    if (!exchange->responded)
        options->handler->data(options->handler_context, &exchange->http, bytes, last);
}

static void request_ended(struct exchange *exchange) {
    struct http2 *h2 = exchange->h2.h2;
    exchange->h2.request_ended = true;
    if (exchange->h2.streaming) {
        tell_data(exchange, STR(""), true);
    } else if (!exchange->responded && !exchange->delivered) {
        listener_time(exchange->connection->listener, &exchange->h2.timed, TIMEOUT_NONE);
        if (h2->paused_count > 0)
            http2_resume_bodies(h2);
        deliver(exchange);
    }
}

/* ERR_OK, or why it is not taken; *ret_continue: the client waits for 100 before the body. */
static enum err judge(const struct http2 *h2, const struct exchange *exchange, bool *ret_continue,
                      const char **ret_text) {
    const struct http2_stream *stream = &exchange->h2;
    *ret_text = stream->refused == ERR_TARGET_TOO_LONG
                    ? "the request target is longer than the limit"
                    : "the headers are larger than the limit";
    if (stream->refused)
        return stream->refused;
    struct str expect = http_header_find(&exchange->http.request, STR("expect"));
    *ret_continue = expect.p != NULL;
    if (expect.p && !str_eq_nocase(expect, STR("100-continue"))) {
        *ret_text = "the only expectation understood is 100-continue";
        return ERR_BAD_EXPECTATION;
    }
    *ret_text = "the body is larger than the limit";
    return stream->body_expected > limits_of(h2)->body_bytes_max ? ERR_BODY_TOO_LARGE : ERR_OK;
}

static void head_done(struct http2 *h2, struct exchange *exchange, bool last) {
    struct http_request *request = &exchange->http.request;
    const struct listener_options *options = &h2->connection->listener->options;
    struct http_header *headers =
        arena_new(&exchange->http.arena, (h2->field_count + 1) * sizeof *headers);
    memcpy(headers, h2->fields, h2->field_count * sizeof *headers);
    request->headers = headers;
    request->header_count = h2->field_count;
    request->body = exchange->no_body;
    if (!request->path.p) /* CONNECT has none */
        request->path = STR("/");
    h2->heading = NULL;
    exchange->h2.headed = true;
    exchange->h2.request_ended = last;
    listener_time(h2->connection->listener, &exchange->h2.timed, TIMEOUT_NONE);
    bool waits = false;
    const char *text = NULL;
    enum err e = judge(h2, exchange, &waits, &text);
    bool streams =
        options->handler->streams && options->handler->streams(options->handler_context, request);
    if (e == ERR_BODY_TOO_LARGE && streams)
        e = ERR_OK; /* the handler limits its messages */
    if (e != ERR_OK) {
        http2_refuse(exchange, e, text);
        return;
    }
    if (waits && !last) {
        nghttp2_nv status = {(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"100", 7, 3,
                             NGHTTP2_NV_FLAG_NONE};
        nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, exchange->h2.id, NULL, &status, 1,
                               NULL);
    }
    if (streams) {
        exchange->h2.streaming = true;
        exchange_deliver(exchange);
        if (last && http2_stream(h2, exchange->h2.id) == exchange)
            request_ended(exchange);
    } else if (last) {
        request_ended(exchange);
    } else {
        exchange->h2.body_started_ns = loop_now_ns(h2->connection->loop);
        listener_time(h2->connection->listener, &exchange->h2.timed, TIMEOUT_BODY);
    }
}

/* ---- Bodies ---- */

void http2_resume_bodies(struct http2 *h2) {
    bool first = true;
    for (struct list_node *node = list_first(&h2->open); node; node = list_next(&h2->open, node)) {
        struct exchange *exchange = http2_exchange_of(node);
        struct http2_stream *stream = &exchange->h2;
        if (!stream->headed || stream->request_ended || stream->streaming || exchange->responded)
            continue;
        if (stream->paused && (first || h2->body_bytes <= limits_of(h2)->body_bytes_max)) {
            stream->paused = false;
            h2->paused_count--;
            nghttp2_session_consume_stream(h2->session, stream->id, stream->paused_bytes);
            stream->paused_bytes = 0;
            stream->body_started_ns = loop_now_ns(h2->connection->loop);
            listener_time(h2->connection->listener, &stream->timed, TIMEOUT_BODY);
            http2_schedule(h2);
        }
        first = false;
    }
}

static bool is_oldest(struct http2 *h2, const struct exchange *exchange) {
    for (struct list_node *node = list_first(&h2->open); node; node = list_next(&h2->open, node)) {
        const struct exchange *other = http2_exchange_of(node);
        if (other == exchange)
            return true;
        if (other->h2.headed && !other->h2.request_ended && !other->h2.streaming &&
            !other->responded)
            return false;
    }
    return true;
}

/* Bytes that came: the peer may send as many more, or has to wait. */
static void let_on(struct http2 *h2, struct exchange *exchange, size_t n) {
    struct http2_stream *stream = &exchange->h2;
    if (h2->body_bytes > limits_of(h2)->body_bytes_max && !is_oldest(h2, exchange)) {
        h2->paused_count += !stream->paused;
        stream->paused = true;
    }
    if (stream->paused)
        stream->paused_bytes += n;
    else
        nghttp2_session_consume_stream(h2->session, stream->id, n);
}

/* False: no memory. */
static bool append(struct http2 *h2, struct exchange *exchange, const uint8_t *bytes, size_t n) {
    struct block *in = &exchange->in;
    size_t need = in->used + n + CONNECTION_SPARE_BYTES;
    if (need > in->capacity) {
        size_t wish = MAX(need, in->capacity * 2);
        uint64_t whole = exchange->h2.body_expected;
        if (whole >= in->used + n)
            wish = MIN(wish, (size_t)whole + CONNECTION_SPARE_BYTES);
        if (!block_try_grow(&h2->connection->loop->blocks, in, wish))
            return false;
    }
    memcpy(in->data + in->used, bytes, n);
    in->used += n;
    h2->body_bytes += n;
    return true;
}

static void body_bytes(struct http2 *h2, struct exchange *exchange, const uint8_t *bytes,
                       size_t n) {
    const struct http_limits *limits = limits_of(h2);
    if (n > limits->body_bytes_max - exchange->in.used) {
        http2_refuse(exchange, ERR_BODY_TOO_LARGE, "the body is larger than the limit");
        return;
    }
    if (!append(h2, exchange, bytes, n)) {
        http2_refuse(exchange, ERR_INTERNAL, "no memory for the request");
        return;
    }
    if (exchange_too_slow(exchange, exchange->h2.body_started_ns, exchange->in.used)) {
        http2_refuse(exchange, ERR_SLOW_REQUEST, "the request's body arrives too slowly");
        return;
    }
    let_on(h2, exchange, n);
    /* Who is kept waiting is not slow. */
    listener_time(h2->connection->listener, &exchange->h2.timed,
                  exchange->h2.paused ? TIMEOUT_NONE : TIMEOUT_BODY);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *user_data) {
    (void)flags;
    struct http2 *h2 = user_data;
    struct exchange *exchange = http2_stream(h2, id);
    nghttp2_session_consume_connection(session, n);
    if (!exchange)
        return 0;
    exchange->http.wire_bytes_in += n;
    if (exchange->h2.streaming)
        tell_data(exchange, (struct str){(const char *)bytes, n}, false);
    else if (!exchange->responded && !exchange->delivered)
        body_bytes(h2, exchange, bytes, n);
    return 0;
}

void http_stream_consumed(struct http_exchange *http, size_t n) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    if (n == 0 || !exchange->h2.open || exchange->h2.request_ended)
        return;
    nghttp2_session_consume_stream(exchange->h2.h2->session, exchange->h2.id, n);
    http2_schedule(exchange->h2.h2);
}

/* Resets, and frames that only cost time: PRIORITY (deprecated, RFC 9113, 5.3) and DATA without a
 * byte or an end. */
static bool is_wearisome(const nghttp2_frame *frame) {
    const nghttp2_frame_hd *head = &frame->hd;
    return head->type == NGHTTP2_RST_STREAM || head->type == NGHTTP2_PRIORITY ||
           (head->type == NGHTTP2_DATA && head->length == frame->data.padlen &&
            !(head->flags & NGHTTP2_FLAG_END_STREAM));
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct http2 *h2 = user_data;
    const nghttp2_frame_hd *head = &frame->hd;
    if (is_wearisome(frame))
        http2_count_reset(h2);
    if (head->type != NGHTTP2_HEADERS && head->type != NGHTTP2_DATA)
        return 0;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(session, head->stream_id);
    if (!exchange)
        return 0;
    bool last = head->flags & NGHTTP2_FLAG_END_STREAM;
    exchange->http.wire_bytes_in +=
        FRAME_HEAD_BYTES + (head->type == NGHTTP2_HEADERS ? head->length : 0);
    if (head->type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        head_done(h2, exchange, last);
    else if (last)
        request_ended(exchange);
    return 0;
}

/* ---- Ends ---- */

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data) {
    (void)code;
    struct http2 *h2 = user_data;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
    if (!exchange)
        return 0;
    exchange->h2.open = false;
    if (h2->heading == exchange)
        h2->heading = NULL;
    if (h2->round)
        http2_move(exchange, &h2->lost);
    else
        http2_stream_lost(exchange);
    return 0;
}

void http2_stream_timed_out(struct timed *timed) {
    struct exchange *exchange = CONTAINER_OF(timed, struct exchange, h2.timed);
    struct connection *connection = exchange->connection;
    struct http2 *h2 = exchange->h2.h2;
    if (!exchange->h2.headed) {
        /* The rest of the head may never come, and no other frame may come before it. */
        listener_refused(connection->listener,
                         &(struct http_refusal){
                             .err = ERR_SLOW_REQUEST,
                             .reason = HTTP_REFUSED_TIMEOUT,
                             .text = "the request's headers did not arrive in time",
                         });
        nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
    } else if (!exchange->responded && !exchange->h2.begun) {
        http2_refuse(exchange, ERR_SLOW_REQUEST, "the request's body did not arrive in time");
    } else if (connection->state == CONNECTION_H2_WRITE) {
        listener_time(connection->listener, timed, TIMEOUT_WRITE); /* the connection's own runs */
    } else {
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, exchange->h2.id, NGHTTP2_CANCEL);
    }
    http2_schedule(h2);
}

void http2_request_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
