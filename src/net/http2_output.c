/* Frames to the socket: at the end of the loop's turn, everything that all streams of a connection
 * have to say goes out with one call, or in rounds of HTTP2_ROUND_BYTES. Heads and short pieces are
 * joined in the loop's shared text; bodies are pointed to where they lie. What the socket does not
 * take is copied, and no frame is made until it is gone. */
#include "net/http2.h"

#include "base/check.h"
#include "base/num.h"

/* Buffers without a base are the text's bytes, in order: the text moves while it grows. */
struct http2_round {
    struct buffer *text;
    uv_buf_t buffers[HTTP2_ROUND_BUFFERS];
    size_t count;
    size_t bytes;
};

enum {
    FRAME_HEAD_BYTES = 9,
    BUFFERS_OF_A_FRAME = 2 + 2 * HTTP2_FRAME_BYTES_MAX / HTTP2_COPY_BYTES_MAX
};

static bool round_full(const struct http2_round *round) {
    return round->bytes >= HTTP2_ROUND_BYTES ||
           round->count + BUFFERS_OF_A_FRAME > HTTP2_ROUND_BUFFERS;
}

static void add_text(struct http2_round *round, const void *p, size_t n) {
    buffer_add(round->text, p, n);
    round->bytes += n;
    if (round->count > 0 && !round->buffers[round->count - 1].base)
        round->buffers[round->count - 1].len += n;
    else
        round->buffers[round->count++] = (uv_buf_t){.len = n};
}

static void add_view(struct http2_round *round, const char *p, size_t n) {
    if (n <= HTTP2_COPY_BYTES_MAX) {
        add_text(round, p, n);
        return;
    }
    CHECK(round->count < HTTP2_ROUND_BUFFERS);
    uv_buf_t *buffer = &round->buffers[round->count++];
    memcpy(&buffer->base, &p, sizeof p); /* libuv's buffers are not const, but are only read */
    buffer->len = n;
    round->bytes += n;
}

static void add_parts(struct http2_round *round, struct http2_stream *stream, size_t n) {
    while (n > 0) {
        CHECK(stream->part_count > 0);
        struct str *part = stream->parts;
        size_t take = MIN(n, part->n);
        if (take > 0)
            add_view(round, part->p, take);
        part->p += take;
        part->n -= take;
        n -= take;
        if (part->n == 0) {
            stream->parts++;
            stream->part_count--;
        }
    }
}

/* One DATA frame, whose bytes on_read (http2_answer.c) has counted out. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t n, nghttp2_data_source *source, void *user_data) {
    (void)session;
    (void)frame;
    struct http2 *h2 = user_data;
    struct http2_round *round = h2->round;
    struct exchange *exchange = source->ptr;
    struct http2_stream *stream = &exchange->h2;
    if (round_full(round))
        return NGHTTP2_ERR_WOULDBLOCK;
    CHECK(frame->data.padlen == 0 && n <= stream->waiting);
    add_text(round, head, FRAME_HEAD_BYTES);
    if (stream->out.data) {
        add_view(round, stream->out.data + stream->out_at, n);
        stream->out_at += n;
    } else {
        add_parts(round, stream, n);
    }
    stream->waiting -= n;
    exchange->sent.bytes_out += n + FRAME_HEAD_BYTES;
    struct listener *listener = h2->connection->listener;
    listener_time(listener, &stream->timed, stream->waiting ? TIMEOUT_WRITE : TIMEOUT_NONE);
    return 0;
}

static void answer_complete(struct http2 *h2, struct exchange *exchange) {
    listener_time(h2->connection->listener, &exchange->h2.timed, TIMEOUT_NONE);
    http2_move(exchange, &h2->sent);
    nghttp2_session_set_stream_user_data(h2->session, exchange->h2.id, NULL);
    if (!exchange->h2.request_ended) /* the answer does not need the rest of the request */
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, exchange->h2.id,
                                  NGHTTP2_NO_ERROR);
}

static bool our_decision(uint32_t code) {
    return code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL || code == NGHTTP2_REFUSED_STREAM;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) {
    struct http2 *h2 = user_data;
    const nghttp2_frame_hd *head = &frame->hd;
    if (head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_DATA) {
        struct exchange *exchange = nghttp2_session_get_stream_user_data(session, head->stream_id);
        if (!exchange)
            return 0;
        if (head->type == NGHTTP2_HEADERS)
            exchange->sent.bytes_out += head->length + FRAME_HEAD_BYTES;
        if (head->flags & NGHTTP2_FLAG_END_STREAM)
            answer_complete(h2, exchange);
    } else if (head->type == NGHTTP2_RST_STREAM && !our_decision(frame->rst_stream.error_code)) {
        http2_count_reset(h2); /* what the client made us reset costs as much as its own resets */
    } else if (head->type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        http2_tell_broken(h2->connection, nghttp2_http2_strerror(frame->goaway.error_code));
    }
    return 0;
}

void http2_output_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

/* False: the session is of no use. */
static bool make_frames(struct http2 *h2, struct http2_round *round) {
    round->text = &h2->connection->loop->head;
    round->count = round->bytes = 0;
    buffer_clear(round->text);
    h2->round = round;
    ssize_t n = 0;
    do {
        const uint8_t *bytes = NULL;
        n = nghttp2_session_mem_send(h2->session, &bytes);
        if (n > 0)
            add_text(round, bytes, (size_t)n);
    } while (n > 0 && !round_full(round));
    h2->round = NULL;
    if (n < 0 || ANOMALY(round->text->full))
        return false;
    const char *text = round->text->data;
    for (size_t i = 0; i < round->count; i++) {
        if (!round->buffers[i].base) {
            memcpy(&round->buffers[i].base, &text, sizeof text);
            text += round->buffers[i].len;
        }
    }
    return true;
}

/* The last round is with the socket, or copied. */
static void tell_handlers(struct http2 *h2, bool sent) {
    for (struct list_node *node; (node = list_first(&h2->lost));)
        http2_stream_lost(http2_exchange_of(node));
    for (struct list_node *node; sent && (node = list_take_first(&h2->sent));)
        exchange_end(http2_exchange_of(node), true);
    struct connection *connection = h2->connection;
    const struct listener_options *options = &connection->listener->options;
    struct list_node *next = NULL;
    for (struct list_node *node = list_first(&h2->open); node && h2->full_count > 0; node = next) {
        next = list_next(&h2->open, node);
        struct exchange *exchange = http2_exchange_of(node);
        if (!exchange->h2.full || exchange->h2.waiting >= HTTP2_STREAM_FULL_BYTES)
            continue;
        exchange->h2.full = false;
        h2->full_count--;
        if (!exchange->responded && options->handler->writable && !connection->listener->freed)
            options->handler->writable(options->handler_context, &exchange->http);
        next = list_first(&h2->open); /* it may have ended any of them */
    }
}

static bool may_write(const struct connection *connection) {
    return connection->state == CONNECTION_H2_IDLE || connection->state == CONNECTION_H2_STREAMS;
}

static void settle(struct connection *connection) {
    struct http2 *h2 = connection->h2;
    if (!may_write(connection))
        return;
    bool over = !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
    if (over || connection->eof) {
        http2_cancel(connection);
        connection_linger(connection);
        return;
    }
    enum connection_state state =
        connection->exchange_count > 0 ? CONNECTION_H2_STREAMS : CONNECTION_H2_IDLE;
    if (connection->state != state)
        connection_set_state(connection, state);
}

void http2_flush(struct connection *connection) {
    struct http2 *h2 = connection->h2;
    struct http2_round round;
    CHECK(!h2->receiving && !h2->round);
    while (may_write(connection)) {
        if (!make_frames(h2, &round)) {
            connection_close(connection);
            return;
        }
        if (round.count == 0)
            break;
        enum transport_status status =
            transport_send_copied(connection, round.buffers, round.count);
        if (status == TRANSPORT_FAILED) {
            connection_close(connection);
            return;
        }
        if (status == TRANSPORT_PENDING) {
            connection_set_state(connection, CONNECTION_H2_WRITE);
            transport_adjust_reading(connection);
        }
        tell_handlers(h2, status == TRANSPORT_SENT);
    }
    if (!list_empty(&h2->lost))
        tell_handlers(h2, false);
    settle(connection);
}

void http2_written(struct connection *connection, bool ok) {
    if (!ok) {
        connection_close(connection);
        return;
    }
    if (connection->state != CONNECTION_H2_WRITE)
        return;
    connection_set_state(connection, CONNECTION_H2_STREAMS);
    tell_handlers(connection->h2, true);
    if (connection->state == CONNECTION_H2_STREAMS) {
        transport_adjust_reading(connection);
        http2_flush(connection);
    }
}
