#include "api/grpc_stream.h"

#include "base/memory.h"
#include "base/num.h"

/* After the drain has come to closing: how long a stream without a message is taken for idle. */
static const uint64_t QUIET_NS = NS_PER_S / 2;

static uint64_t now_of(const struct grpc_stream *stream) {
    return clock_now(stream->call->loop->service->clock);
}

static void set_state(struct grpc_stream *stream, enum grpc_stream_state state) {
    CHECK(state > stream->state);
    stream->state = state;
}

static void deadline_passed(struct loop_timer *timer) {
    struct grpc_stream *stream = CONTAINER_OF(timer, struct grpc_stream, deadline);
    grpc_stream_fail(stream, ERR_DEADLINE, NULL);
    grpc_stream_turn(stream);
}

static bool quiet(const struct grpc_stream *stream) {
    return stream->in_flight == 0 && stream->waiting.used == 0 && stream->reader.prefix_used == 0;
}

/* A stream that is never quiet is served until drain.timeout. */
static void look_if_quiet(struct loop_timer *timer) {
    struct grpc_stream *stream = CONTAINER_OF(timer, struct grpc_stream, quiet);
    uint64_t now = now_of(stream);
    uint64_t end = (quiet(stream) ? stream->active_ns : now) + QUIET_NS;
    if (now < end) {
        loop_timer_start(stream->call->loop->loop, timer, end, look_if_quiet);
        return;
    }
    grpc_stream_fail(stream, ERR_SHUTTING_DOWN, NULL);
    grpc_stream_turn(stream);
}

static void begin_to_close(struct grpc_stream *stream) {
    if (stream->state != GRPC_STREAM_OPEN || stream->quiet.loop)
        return;
    if (stream->type->ends_in_drain)
        grpc_stream_fail(stream, ERR_SHUTTING_DOWN, NULL);
    else
        loop_timer_start(stream->call->loop->loop, &stream->quiet, now_of(stream) + QUIET_NS,
                         look_if_quiet);
}

void grpc_stream_open(struct call *call, const struct grpc_stream_type *type, void *own) {
    const struct service_options *options = &call->loop->service->options;
    struct grpc_stream *stream = mem_new(sizeof *stream);
    *stream = (struct grpc_stream){.call = call, .type = type, .own = own};
    stream->active_ns = now_of(stream);
    call->stream = stream;
    grpc_reader_init(&stream->reader, call->request_coding, grpc_message_max(call));
    buffer_init(&stream->waiting, 2 * options->stream_window_bytes);
    list_add_last(&call->loop->streams, &stream->node);
    if (call->timeout_ns < UINT64_MAX - call->started_ns)
        loop_timer_start(call->loop->loop, &stream->deadline, call->started_ns + call->timeout_ns,
                         deadline_passed);
    const struct http_header headers[] = {{STR("content-type"), STR("application/grpc")},
                                          {STR("x-request-id"), call->request_id}};
    http_stream_begin(call->exchange, headers, ARRAY_LEN(headers));
    if (call->loop->closing) {
        begin_to_close(stream);
        grpc_stream_turn(stream);
    }
}

void grpc_stream_free(struct grpc_stream **at) {
    struct grpc_stream *stream = *at;
    if (!stream)
        return;
    loop_timer_stop(&stream->deadline);
    loop_timer_stop(&stream->quiet);
    list_remove(&stream->node);
    if (stream->type->free)
        stream->type->free(stream);
    grpc_reader_done(&stream->reader);
    buffer_done(&stream->waiting);
    mem_free(at);
}

/* ---- Out ---- */

void grpc_stream_write(struct grpc_stream *stream, const struct str *parts, size_t part_count) {
    stream->active_ns = now_of(stream);
    if (stream->state == GRPC_STREAM_OPEN)
        stream->unsent = http_stream_write(stream->call->exchange, parts, part_count);
}

void grpc_stream_fail(struct grpc_stream *stream, enum err e, const struct err_text *text) {
    if (stream->state != GRPC_STREAM_OPEN)
        return;
    set_state(stream, GRPC_STREAM_ENDING);
    struct call *call = stream->call;
    call->err = e;
    call->reason = text ? arena_copy(call->arena, str_of(text->s)) : err_default_text(e);
    if (stream->type->cancel)
        stream->type->cancel(stream);
}

/* The stream may be gone after it. */
static void end(struct grpc_stream *stream) {
    set_state(stream, GRPC_STREAM_ENDED);
    loop_timer_stop(&stream->deadline);
    loop_timer_stop(&stream->quiet);
    struct call *call = stream->call;
    call->responded = true;
    struct http_header trailers[GRPC_TRAILERS_MAX];
    size_t count = grpc_trailers(call, trailers);
    http_stream_end(call->exchange, trailers, count);
}

/* ---- In ---- */

/* Of large messages there may be as many bytes in hand as one may have, and one message more. A
 * type that counts none (in_flight_bytes) has none in hand for long. */
static bool may_read(const struct grpc_stream *stream) {
    return stream->state == GRPC_STREAM_OPEN && stream->in_flight < GRPC_STREAM_IN_FLIGHT_MAX &&
           stream->in_flight_bytes <= grpc_message_max(stream->call) &&
           stream->unsent <= GRPC_STREAM_UNSENT_MAX;
}

/* Takes messages off *bytes as long as they may be taken; what was read is consumed. */
static void read_messages(struct grpc_stream *stream, struct str *bytes) {
    size_t before = bytes->n;
    while (may_read(stream)) {
        struct err_text text;
        struct buffer message;
        bool complete = false;
        enum err e = grpc_reader_feed(&stream->reader, bytes, &message, &complete, &text);
        if (e)
            grpc_stream_fail(stream, e, &text);
        if (e || !complete)
            break;
        stream->active_ns = now_of(stream);
        stream->type->message(stream, &message);
    }
    if (before > bytes->n && stream->state == GRPC_STREAM_OPEN)
        http_stream_consumed(stream->call->exchange, before - bytes->n);
}

static void read_waiting(struct grpc_stream *stream) {
    struct buffer *waiting = &stream->waiting;
    struct str bytes = {waiting->data + stream->waiting_from, waiting->used - stream->waiting_from};
    read_messages(stream, &bytes);
    if (bytes.n > 0) {
        stream->waiting_from = waiting->used - bytes.n;
        return;
    }
    buffer_clear(waiting);
    stream->waiting_from = 0;
}

static void check_end(struct grpc_stream *stream) {
    if (stream->state != GRPC_STREAM_OPEN || !stream->last || stream->waiting.used > 0)
        return;
    struct err_text text;
    enum err e = grpc_reader_end(&stream->reader, &text);
    if (e)
        grpc_stream_fail(stream, e, &text);
    else if (stream->in_flight == 0)
        set_state(stream, GRPC_STREAM_ENDING);
}

void grpc_stream_turn(struct grpc_stream *stream) {
    if (stream->turning || stream->state == GRPC_STREAM_ENDED)
        return;
    stream->turning = true;
    if (stream->waiting.used > 0)
        read_waiting(stream);
    check_end(stream);
    stream->turning = false;
    if (stream->state != GRPC_STREAM_OPEN && stream->in_flight == 0)
        end(stream);
}

/* The stream's window bounds what waits. What has been read stands before it until there is more of
 * that, so that each byte is moved about once: twice the window is enough. */
static void keep_waiting(struct grpc_stream *stream, struct str bytes) {
    struct buffer *waiting = &stream->waiting;
    size_t left = waiting->used - stream->waiting_from;
    if (stream->waiting_from >= left && left > 0) {
        memmove(waiting->data, waiting->data + stream->waiting_from, left);
        waiting->used = left;
        stream->waiting_from = 0;
    }
    buffer_add(waiting, bytes.p, bytes.n);
    if (waiting->full)
        grpc_stream_fail(stream, ERR_NO_MEMORY, NULL);
}

void grpc_stream_data(struct grpc_stream *stream, struct str bytes, bool last) {
    CHECK(!stream->turning);
    stream->last |= last;
    stream->turning = true;
    if (stream->waiting.used == 0)
        read_messages(stream, &bytes);
    if (bytes.n > 0 && stream->state == GRPC_STREAM_OPEN)
        keep_waiting(stream, bytes);
    stream->turning = false;
    grpc_stream_turn(stream);
}

void grpc_stream_writable(struct grpc_stream *stream) {
    stream->unsent = 0;
    grpc_stream_turn(stream);
}

void grpc_stream_cancelled(struct grpc_stream *stream) {
    if (stream->state == GRPC_STREAM_ENDED)
        return;
    if (stream->state == GRPC_STREAM_OPEN)
        grpc_stream_fail(stream, ERR_CANCELLED, NULL);
    if (stream->state == GRPC_STREAM_ENDING)
        set_state(stream, GRPC_STREAM_GONE);
    grpc_stream_turn(stream);
}

/* ---- The loop ---- */

void grpc_streams_tell(struct api_loop *loop) {
    struct list_node *next;
    for (struct list_node *node = list_first(&loop->streams); node; node = next) {
        struct grpc_stream *stream = CONTAINER_OF(node, struct grpc_stream, node);
        next = list_next(&loop->streams, node);
        if (stream->type->tell)
            stream->type->tell(stream);
        if (loop->closing)
            begin_to_close(stream);
        grpc_stream_turn(stream);
    }
}

void grpc_streams_drop(struct api_loop *loop) {
    struct list_node *node;
    while ((node = list_first(&loop->streams))) {
        struct grpc_stream *stream = CONTAINER_OF(node, struct grpc_stream, node);
        CHECK(stream->in_flight == 0);
        grpc_stream_free(&stream);
    }
}
