/* Answers over HTTP/2: whole ones, whose body stays where the handler has it, and streams, whose
 * bytes are copied. nghttp2 asks on_read how much of a stream's answer goes into the next frame;
 * the bytes themselves are added by http2_output.c. Thread: the loop's. */
#include "net/http2.h"

#include "base/check.h"
#include "base/num.h"
#include "net/http1_response.h"

enum {
    NV_MAX = HTTP_RESPONSE_HEADERS_MAX + 4,
    VALUE_VARIES_BYTES = 24, /* longer values (ids, traces) seldom come again: not for the table */
    NUMBER_BYTES = 24,
};

struct nv_list {
    nghttp2_nv items[NV_MAX];
    size_t count;
};

/* nghttp2 copies both, and makes names lower case. */
static void add_nv(struct nv_list *list, struct str name, struct str value) {
    if (ANOMALY(list->count == NV_MAX))
        return;
    list->items[list->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.p,
        .value = (uint8_t *)(uintptr_t)value.p,
        .namelen = name.n,
        .valuelen = value.n,
        .flags = value.n > VALUE_VARIES_BYTES ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
    };
}

static bool is_break(char c) {
    return c == '\r' || c == '\n' || c == '\0';
}

/* CR, LF and NUL become blanks: whoever turns this into HTTP/1.1 must not see a header end. */
static struct str clean(struct exchange *exchange, struct str value) {
    size_t i = 0;
    while (i < value.n && !is_break(value.p[i]))
        i++;
    if (!ANOMALY(i < value.n))
        return value;
    char *to = arena_copy(&exchange->http.arena, value);
    for (; i < value.n; i++)
        if (is_break(to[i]))
            to[i] = ' ';
    return (struct str){to, value.n};
}

static void add_headers(struct nv_list *list, struct exchange *exchange,
                        const struct http_header *headers, size_t count) {
    for (size_t i = 0; i < count; i++)
        add_nv(list, headers[i].name, clean(exchange, headers[i].value));
}

static struct str number(uint64_t value, char to[NUMBER_BYTES]) {
    size_t at = NUMBER_BYTES;
    do
        to[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return (struct str){to + at, NUMBER_BYTES - at};
}

static void submit_trailers(nghttp2_session *session, struct exchange *exchange) {
    struct nv_list list;
    list.count = 0;
    add_headers(&list, exchange, exchange->h2.trailers, exchange->h2.trailer_count);
    nghttp2_submit_trailer(session, exchange->h2.id, list.items, list.count);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data) {
    (void)id;
    (void)to;
    (void)user_data;
    struct exchange *exchange = source->ptr;
    struct http2_stream *stream = &exchange->h2;
    size_t n = (size_t)MIN((uint64_t)room, stream->waiting);
    if (n == 0 && !stream->answer_ended) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == stream->waiting && stream->answer_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(session, exchange);
        }
    }
    return (ssize_t)n;
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t frame_type, int32_t id,
                              int32_t connection_window, int32_t stream_window, uint32_t frame_max,
                              void *user_data) {
    (void)session;
    (void)frame_type;
    (void)id;
    (void)user_data;
    ssize_t window = MIN(connection_window, stream_window);
    return MIN(window, (ssize_t)MIN(frame_max, (uint32_t)HTTP2_FRAME_BYTES_MAX));
}

void http2_answer_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
}

/* The head, and the body if one follows. */
static void submit(struct exchange *exchange, const struct nv_list *list, bool body) {
    struct http2 *h2 = exchange->h2.h2;
    const nghttp2_data_provider provider = {.source.ptr = exchange, .read_callback = on_read};
    exchange->h2.begun = true;
    int failed = nghttp2_submit_response(h2->session, exchange->h2.id, list->items, list->count,
                                         body ? &provider : NULL);
    if (ANOMALY(failed))
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, exchange->h2.id,
                                  NGHTTP2_INTERNAL_ERROR);
    bool peer_has_to_take = exchange->h2.waiting > 0 || exchange->h2.answer_ended;
    listener_time(h2->connection->listener, &exchange->h2.timed,
                  peer_has_to_take ? TIMEOUT_WRITE : TIMEOUT_NONE);
    http2_schedule(h2);
}

static void keep_trailers(struct exchange *exchange, const struct http_header *trailers,
                          size_t count) {
    struct arena *arena = &exchange->http.arena;
    CHECK(count <= HTTP_RESPONSE_HEADERS_MAX);
    exchange->h2.trailers = arena_new(arena, (count + 1) * sizeof *trailers);
    exchange->h2.trailer_count = count;
    for (size_t i = 0; i < count; i++) {
        exchange->h2.trailers[i].name =
            (struct str){arena_copy(arena, trailers[i].name), trailers[i].name.n};
        exchange->h2.trailers[i].value =
            (struct str){arena_copy(arena, trailers[i].value), trailers[i].value.n};
    }
}

static void keep_parts(struct exchange *exchange, const struct str *parts, size_t count) {
    struct http2_stream *stream = &exchange->h2;
    CHECK(count <= HTTP_RESPONSE_PARTS_MAX);
    stream->parts = arena_new(&exchange->http.arena, (count + 1) * sizeof *parts);
    stream->part_count = count;
    for (size_t i = 0; i < count; i++) {
        stream->parts[i] = parts[i];
        stream->waiting += parts[i].n;
    }
}

void http2_respond(struct exchange *exchange, const struct http_response *response) {
    exchange->sent.status = response->status;
    if (exchange->http.cancelled) {
        exchange_end(exchange, false);
        return;
    }
    CHECK(!exchange->h2.begun);
    if (response->close)
        http2_retire(exchange->h2.h2);
    bool has_body = http1_status_has_body(response->status);
    char status[NUMBER_BYTES], length[NUMBER_BYTES];
    struct nv_list list;
    list.count = 0;
    add_nv(&list, STR(":status"), number((uint64_t)response->status, status));
    add_headers(&list, exchange, response->headers, response->header_count);
    keep_parts(exchange, response->parts, response->part_count);
    if (has_body && response->trailer_count == 0)
        add_nv(&list, STR("content-length"), number(exchange->h2.waiting, length));
    if (!has_body || exchange->http.request.method == HTTP_HEAD)
        exchange->h2.waiting = 0;
    else if (response->trailer_count > 0)
        keep_trailers(exchange, response->trailers, response->trailer_count);
    exchange->h2.answer_ended = true;
    submit(exchange, &list, exchange->h2.waiting > 0 || exchange->h2.trailer_count > 0);
}

/* ---- Streams ---- */

static struct exchange *stream_of(struct http_exchange *http) {
    struct exchange *exchange = CONTAINER_OF(http, struct exchange, http);
    loop_check_thread(http->loop);
    CHECK(exchange->delivered && !exchange->responded && exchange->h2.h2);
    return exchange;
}

/* There is more to take. While there is nothing, a stream may be silent for long. */
static void resume(struct exchange *exchange) {
    struct http2 *h2 = exchange->h2.h2;
    struct timed *timed = &exchange->h2.timed;
    if (!list_linked(&timed->node))
        listener_time(h2->connection->listener, timed, TIMEOUT_WRITE);
    if (!exchange->h2.deferred)
        return;
    exchange->h2.deferred = false;
    nghttp2_session_resume_data(h2->session, exchange->h2.id);
    http2_schedule(h2);
}

void http_stream_begin(struct http_exchange *http, const struct http_header *headers,
                       size_t header_count) {
    struct exchange *exchange = stream_of(http);
    CHECK(exchange->h2.streaming && !exchange->h2.begun);
    exchange->sent.status = 200;
    if (http->cancelled) {
        exchange->h2.begun = true;
        return;
    }
    struct nv_list list;
    list.count = 0;
    add_nv(&list, STR(":status"), STR("200"));
    add_headers(&list, exchange, headers, header_count);
    submit(exchange, &list, true);
}

/* False: no memory. */
static bool append(struct exchange *exchange, const struct str *parts, size_t part_count) {
    struct block *out = &exchange->h2.out;
    size_t n = 0;
    for (size_t i = 0; i < part_count; i++)
        n += parts[i].n;
    if (exchange->h2.out_at > 0 && (exchange->h2.waiting == 0 || out->used + n > out->capacity)) {
        memmove(out->data, out->data + exchange->h2.out_at, (size_t)exchange->h2.waiting);
        out->used = (size_t)exchange->h2.waiting;
        exchange->h2.out_at = 0;
    }
    if (out->used + n > out->capacity &&
        !block_try_grow(&exchange->http.loop->blocks, out, MAX(out->used + n, out->capacity * 2)))
        return false;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].n > 0)
            memcpy(out->data + out->used, parts[i].p, parts[i].n);
        out->used += parts[i].n;
    }
    exchange->h2.waiting += n;
    return true;
}

size_t http_stream_write(struct http_exchange *http, const struct str *parts, size_t part_count) {
    struct exchange *exchange = stream_of(http);
    struct http2_stream *stream = &exchange->h2;
    CHECK(stream->begun);
    if (http->cancelled || !stream->open)
        return 0;
    if (!append(exchange, parts, part_count)) {
        nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_INTERNAL_ERROR);
        http2_schedule(stream->h2);
        return 0;
    }
    if (stream->waiting > 0)
        resume(exchange);
    if (stream->waiting >= HTTP2_STREAM_FULL_BYTES && !stream->full) {
        stream->full = true;
        stream->h2->full_count++;
    }
    return (size_t)stream->waiting;
}

void http_stream_end(struct http_exchange *http, const struct http_header *trailers,
                     size_t trailer_count) {
    struct exchange *exchange = stream_of(http);
    CHECK(exchange->h2.begun);
    exchange->responded = true;
    if (http->cancelled) {
        exchange_end(exchange, false);
        return;
    }
    keep_trailers(exchange, trailers, trailer_count);
    exchange->h2.answer_ended = true;
    resume(exchange);
}

/* ---- net's own answers ---- */

void http2_refuse(struct exchange *exchange, enum err error, const char *text) {
    struct connection *connection = exchange->connection;
    struct http_request *request = &exchange->http.request;
    request->body = exchange->in.data;
    request->body_length = exchange->in.used;
    text = exchange_refusal_text(exchange, error, text);
    struct http_refusal refusal = {
        .err = error,
        .reason = exchange_refusal_reason(error),
        .text = text,
        .method = request->method_text,
        .path = request->path,
        .bytes_in = exchange->http.wire_bytes_in,
        .duration_ns = loop_now_ns(connection->loop) - exchange->http.started_ns,
        .answered = true,
        .request = request,
        .status = err_http_status(error),
    };
    listener_refused(connection->listener, &refusal);
    exchange->responded = true;
    exchange->h2.h2->body_bytes -= exchange->in.used;
    block_give(&connection->loop->blocks, &exchange->in);

    struct http_response response = {.status = refusal.status};
    struct http_header headers[HTTP1_REFUSAL_HEADERS_MAX];
    struct str part;
    if (refusal.without_body) {
        response.headers = refusal.extra;
        response.header_count = refusal.extra_count;
    } else {
        struct buffer json;
        buffer_init(&json, HTTP1_ERROR_BYTES_MAX);
        http1_write_error(&json, text);
        part = (struct str){arena_copy(&exchange->http.arena, buffer_str(&json)), json.used};
        buffer_done(&json);
        response.headers = headers;
        response.header_count = http1_refusal_headers(&refusal, headers);
        response.parts = &part;
        response.part_count = 1;
    }
    http2_respond(exchange, &response);
}
