/* HTTP/2 by nghttp2, which keeps the streams; a stream's slot is found by its user data. Output is
 * gathered so that what one turn began leaves with one write. Owns: the session, the slots with the
 * bodies that are kept, the output. */
#include "load/wire.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

enum {
    OUTPUT_MAX = 256 << 10, /* stops gathering once beyond half of it */
    WINDOW_BYTES = 16 << 20,
    STATUS_DIGITS = 3,
    FRAME_TYPE_AT = 3, /* in a frame's head */
};

struct stream {
    void *tag; /* NULL: free, or cancelled while the stream is closing */
    struct stream *next_free;
    int32_t id;
    bool used;
    struct str rest; /* of the request's body */
    struct wire_answer answer;
    struct buffer body;
};

struct wire2 {
    struct wire wire; /* first */
    nghttp2_session *session;
    struct stream *streams; /* options.streams of them */
    struct stream *free;
    struct buffer output;
    size_t received; /* up to FRAME_TYPE_AT */
    bool goaway;     /* the server has sent one */
    bool failed;
};

static struct wire2 *wire2_of(struct wire *wire) {
    return (struct wire2 *)(void *)wire;
}

static struct stream *stream_of(nghttp2_session *session, int32_t id) {
    return nghttp2_session_get_stream_user_data(session, id);
}

static void read_field(struct wire_answer *answer, struct str name, struct str value) {
    uint64_t number;
    if (str_eq(name, STR(":status")) && value.n == STATUS_DIGITS && str_to_u64(value, &number)) {
        answer->status = (int)number;
    } else if (str_eq(name, STR("grpc-status")) && str_to_u64(value, &number) && number < 1000) {
        answer->grpc_status = (int)number;
    } else if (str_eq(name, STR("grpc-message"))) {
        snprintf(answer->grpc_message, sizeof answer->grpc_message, "%.*s", STR_ARG(value));
    } else if (str_eq(name, STR("inference-header-content-length")) && str_to_u64(value, &number) &&
               number <= INT64_MAX) {
        answer->json_length = (int64_t)number;
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *context) {
    (void)flags;
    (void)context;
    struct stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream)
        read_field(&stream->answer, (struct str){(const char *)name, name_length},
                   (struct str){(const char *)value, value_length});
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *context) {
    (void)flags;
    struct wire2 *wire = context;
    struct stream *stream = stream_of(session, id);
    if (!stream)
        return 0;
    stream->answer.body_bytes += n;
    if (wire->wire.options.keep_bodies || stream->answer.status / 100 != 2)
        buffer_add(&stream->body, data, n);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)session;
    struct wire2 *wire = context;
    wire->goaway = wire->goaway || frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static void release(struct wire2 *wire, struct stream *stream) {
    stream->used = false;
    stream->tag = NULL;
    stream->next_free = wire->free;
    wire->free = stream;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context) {
    struct wire2 *wire = context;
    struct stream *stream = stream_of(session, id);
    if (!stream)
        return 0;
    const struct wire_options *options = &wire->wire.options;
    struct wire_answer answer = stream->answer;
    void *tag = stream->tag;
    answer.body = buffer_str(&stream->body);
    /* A server may refuse a request with a whole answer and NO_ERROR, without reading it all. */
    bool is_whole = error == NGHTTP2_NO_ERROR && answer.status != 0;
    release(wire, stream);
    if (tag && is_whole)
        options->answered(options->context, tag, &answer);
    else if (tag && wire->goaway && error == NGHTTP2_REFUSED_STREAM)
        options->untouched(options->context, tag);
    else if (tag)
        options->refused(options->context, tag, nghttp2_http2_strerror(error));
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *context) {
    (void)session;
    (void)id;
    (void)context;
    struct stream *stream = source->ptr;
    size_t n = MIN(room, stream->rest.n);
    if (n > 0)
        memcpy(out, stream->rest.p, n);
    stream->rest = (struct str){stream->rest.p + n, stream->rest.n - n};
    if (stream->rest.n == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv_of(const struct wire_field *field) {
    /* nghttp2 does not write to them; the caller keeps them alive. */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)field->name.p,
                        .value = (uint8_t *)(uintptr_t)field->value.p,
                        .namelen = field->name.n,
                        .valuelen = field->value.n,
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static void wire2_begin(struct wire *base, void *tag, const struct wire_request *request) {
    struct wire2 *wire = wire2_of(base);
    struct stream *stream = wire->free;
    CHECK(stream);
    CHECK(tag);
    wire->free = stream->next_free;
    stream->used = true;
    stream->tag = tag;
    stream->rest = request->body;
    stream->answer = (struct wire_answer){.grpc_status = WIRE_NO_GRPC_STATUS,
                                          .json_length = WIRE_NO_JSON_LENGTH};
    buffer_clear(&stream->body);
    nghttp2_nv fields[WIRE_FIELDS_MAX];
    for (size_t i = 0; i < request->field_count; i++)
        fields[i] = nv_of(&request->fields[i]);
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    stream->id = nghttp2_submit_request(wire->session, NULL, fields, request->field_count,
                                        request->body.n ? &body : NULL, stream);
    CHECK(stream->id > 0); /* only memory, and streams beyond 2^30, which is_open excludes */
}

static void wire2_cancel(struct wire *base, void *tag) {
    struct wire2 *wire = wire2_of(base);
    for (unsigned i = 0; i < base->options.streams; i++) {
        struct stream *stream = &wire->streams[i];
        if (stream->tag != tag)
            continue;
        /* The stream closes, and its slot becomes free, when the reset is on its way. */
        stream->tag = NULL;
        CHECK(nghttp2_submit_rst_stream(wire->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_CANCEL) == 0);
        return;
    }
    check_failed("the tag of a request in flight", __FILE__, __LINE__);
}

/* RFC 9113, 3.4. What else a server says, an answer of HTTP/1.1 say, would be a frame whose end
 * never comes. */
static bool is_settings_first(struct wire2 *wire, const char *data, size_t n) {
    if (wire->received > FRAME_TYPE_AT)
        return true;
    size_t at = FRAME_TYPE_AT - wire->received;
    wire->received = at < n ? FRAME_TYPE_AT + 1 : wire->received + n;
    return at >= n || data[at] == NGHTTP2_SETTINGS;
}

/* nghttp2 ends the session by itself then, and ignores whatever follows. */
static bool is_ending(const struct wire2 *wire) {
    return !wire->goaway && !nghttp2_session_check_request_allowed(wire->session) &&
           nghttp2_session_get_next_stream_id(wire->session) <= INT32_MAX;
}

static enum err wire2_feed(struct wire *base, const char *data, size_t n, struct err_text *text) {
    struct wire2 *wire = wire2_of(base);
    if (n > 0 && !is_settings_first(wire, data, n)) {
        wire->failed = true;
        return err_set(text, ERR_INVALID, "not HTTP/2: the server does not begin with SETTINGS");
    }
    ssize_t used = nghttp2_session_mem_recv(wire->session, (const uint8_t *)data, n);
    if (used >= 0 && !is_ending(wire))
        return ERR_OK;
    wire->failed = true;
    return err_set(text, ERR_INVALID, "not HTTP/2: %s",
                   used < 0 ? nghttp2_strerror((int)used) : "a frame breaks its rules");
}

static void wire2_end(struct wire *base) {
    wire2_of(base)->failed = true;
}

static struct str wire2_output(struct wire *base) {
    struct wire2 *wire = wire2_of(base);
    buffer_clear(&wire->output);
    while (wire->output.used < OUTPUT_MAX / 2) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(wire->session, &data);
        if (n <= 0) {
            wire->failed = wire->failed || n < 0;
            break;
        }
        buffer_add(&wire->output, data, (size_t)n);
    }
    CHECK(!wire->output.full);
    return buffer_str(&wire->output);
}

static bool wire2_is_open(const struct wire *base) {
    const struct wire2 *wire = (const struct wire2 *)(const void *)base;
    return !wire->failed && wire->free && nghttp2_session_check_request_allowed(wire->session);
}

static void wire2_free(struct wire *base) {
    struct wire2 *wire = wire2_of(base);
    /* Closing the session reports every stream that is left: nobody is interested any more. */
    for (unsigned i = 0; i < base->options.streams; i++)
        wire->streams[i].tag = NULL;
    nghttp2_session_del(wire->session);
    for (unsigned i = 0; i < base->options.streams; i++)
        buffer_done(&wire->streams[i].body);
    mem_free(&wire->streams);
    buffer_done(&wire->output);
    mem_free(&wire);
}

static const struct wire_kind wire2_kind = {
    .free = wire2_free,
    .begin = wire2_begin,
    .cancel = wire2_cancel,
    .feed = wire2_feed,
    .end = wire2_end,
    .output = wire2_output,
    .is_open = wire2_is_open,
};

static void open_session(struct wire2 *wire) {
    nghttp2_session_callbacks *callbacks;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    CHECK(nghttp2_session_client_new(&wire->session, callbacks, wire) == 0);
    nghttp2_session_callbacks_del(callbacks);
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
    };
    CHECK(nghttp2_submit_settings(wire->session, NGHTTP2_FLAG_NONE, settings,
                                  ARRAY_LEN(settings)) == 0);
    CHECK(nghttp2_session_set_local_window_size(wire->session, NGHTTP2_FLAG_NONE, 0,
                                                WINDOW_BYTES) == 0);
}

struct wire *wire2_new(const struct wire_options *options) {
    struct wire2 *wire = mem_new(sizeof *wire);
    wire->wire = (struct wire){&wire2_kind, *options};
    wire->streams = mem_new_array(options->streams, sizeof *wire->streams);
    for (unsigned i = 0; i < options->streams; i++) {
        buffer_init(&wire->streams[i].body, WIRE_BODY_MAX);
        release(wire, &wire->streams[i]);
    }
    buffer_init(&wire->output, OUTPUT_MAX);
    open_session(wire);
    return &wire->wire;
}
