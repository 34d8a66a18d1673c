#include "http2_support.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct h2_stream *find(struct h2_client *client, int32_t id) {
    for (size_t i = 0; i < H2_STREAMS; i++)
        if (client->streams[i].id == id)
            return &client->streams[i];
    return NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *context) {
    (void)session;
    (void)flags;
    struct h2_client *client = context;
    struct h2_stream *stream = find(client, frame->hd.stream_id);
    if (!stream)
        return 0;
    char text[20] = "";
    if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
        memcpy(text, value, MIN(value_n, sizeof text - 1));
        stream->status = atoi(text);
        client->continues += stream->status == 100;
        return 0;
    }
    size_t used = strlen(stream->headers);
    snprintf(stream->headers + used, sizeof stream->headers - used, "%.*s: %.*s\n", (int)name_n,
             (const char *)name, (int)value_n, (const char *)value);
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)session;
    struct h2_stream *stream = find(context, frame->hd.stream_id);
    if (stream && stream->headers[0])
        strcat(stream->headers, "--\n");
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *context) {
    (void)session;
    (void)flags;
    struct h2_stream *stream = find(context, id);
    if (stream)
        buffer_add(&stream->body, bytes, n);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)session;
    struct h2_client *client = context;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->goaway_last[client->goaways > 0] = frame->goaway.last_stream_id;
        client->goaway_error = frame->goaway.error_code;
        client->goaways++;
    }
    struct h2_stream *stream = find(client, frame->hd.stream_id);
    bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (stream && carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        stream->ended = true;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *context) {
    (void)session;
    struct h2_stream *stream = find(context, id);
    if (stream) {
        stream->closed = true;
        stream->error_code = code;
    }
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t n, int flags,
                       void *context) {
    (void)session;
    (void)flags;
    struct h2_client *client = context;
    ssize_t sent = send(client->client.fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? NGHTTP2_ERR_WOULDBLOCK : sent;
}

struct h2_client *h2_client_new(uint16_t port, const struct h2_options *options) {
    struct h2_client *client = mem_new(sizeof *client);
    client->client = client_new(port);
    for (size_t i = 0; i < H2_STREAMS; i++)
        buffer_init(&client->streams[i].body, 1 << 28);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_option_set_no_auto_window_update(option, options && options->manual_windows);
    assert_int_equal(nghttp2_session_client_new2(&client->session, callbacks, client, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                           options ? options->window : 0};
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, &window, window.value > 0);
    return client;
}

void h2_client_free(struct h2_client **client_at) {
    struct h2_client *client = *client_at;
    nghttp2_session_del(client->session);
    for (size_t i = 0; i < H2_STREAMS; i++)
        buffer_done(&client->streams[i].body);
    client_done(&client->client);
    mem_free(client_at);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *context) {
    (void)session;
    (void)id;
    (void)context;
    struct h2_stream *stream = source->ptr;
    size_t n = MIN(room, stream->out_n);
    if (n == 0 && stream->out_open)
        return NGHTTP2_ERR_DEFERRED;
    if (n > 0)
        memcpy(to, stream->out, n);
    stream->out += n;
    stream->out_n -= n;
    if (stream->out_n == 0 && !stream->out_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static struct h2_stream *submit(struct h2_client *client, const nghttp2_nv *head, size_t n,
                                const struct h2_stream *body) {
    struct h2_stream *stream = find(client, 0);
    assert_non_null(stream);
    stream->out = body->out;
    stream->out_n = body->out_n;
    stream->out_open = body->out_open;
    const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read};
    bool has_body = stream->out_n > 0 || stream->out_open;
    stream->id =
        nghttp2_submit_request(client->session, NULL, head, n, has_body ? &provider : NULL, NULL);
    assert_true(stream->id > 0);
    return stream;
}

struct h2_stream *h2_request(struct h2_client *client, const char *method, const char *path,
                             const char *body, size_t n) {
    const nghttp2_nv head[] = {nv(":method", method), nv(":scheme", "http"), nv(":authority", "h"),
                               nv(":path", path)};
    return submit(client, head, ARRAY_LEN(head), &(struct h2_stream){.out = body, .out_n = n});
}

struct h2_stream *h2_request_with(struct h2_client *client, const char *path, const char *name,
                                  const char *value, bool open) {
    const nghttp2_nv head[] = {nv(":method", "POST"), nv(":scheme", "http"), nv(":authority", "h"),
                               nv(":path", path), nv(name, value)};
    return submit(client, head, ARRAY_LEN(head), &(struct h2_stream){.out_open = open});
}

void h2_add(struct h2_client *client, struct h2_stream *stream, const char *body, size_t n,
            bool last) {
    stream->out = body;
    stream->out_n = n;
    stream->out_open = !last;
    nghttp2_session_resume_data(client->session, stream->id);
}

void h2_reset(struct h2_client *client, struct h2_stream *stream) {
    nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
}

bool h2_turn(struct h2_client *client, int ms) {
    nghttp2_session_send(client->session);
    struct pollfd one = {.fd = client->client.fd, .events = POLLIN};
    if (client->ended || poll(&one, 1, ms) <= 0)
        return false;
    uint8_t bytes[16384];
    ssize_t n = recv(client->client.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) {
        client->ended = true;
        return false;
    }
    assert_int_equal(nghttp2_session_mem_recv(client->session, bytes, (size_t)n), n);
    nghttp2_session_send(client->session);
    return true;
}

void h2_finish(struct h2_client *client, struct h2_stream *stream) {
    H2_UNTIL(client, stream->closed || client->ended);
}

void h2_send_frame(struct h2_client *client, uint8_t type, uint8_t flags, uint32_t id,
                   const void *payload, size_t n) {
    uint8_t head[H2_HEAD_BYTES] = {
        (uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
        (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    (void)client_try_send_n(&client->client, head, sizeof head);
    if (n > 0)
        (void)client_try_send_n(&client->client, payload, n);
}

void h2_send_preface(struct client *client) {
    static const char settings[H2_HEAD_BYTES] = {0, 0, 0, 4};
    client_send_n(client, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    client_send_n(client, settings, sizeof settings);
}

size_t h2_hold_head(uint8_t to[64]) {
    static const char head[] = "\x82\x86\x04\x05/hold\x01\x01h";
    memcpy(to, head, sizeof head - 1);
    return sizeof head - 1;
}

/* RFC 7541: 0x82 :method GET, 0x86 :scheme http, 0x04 :path literal, 0x01 :authority literal. */
size_t h2_plain_head(uint8_t to[64]) {
    static const char head[] = "\x82\x86\x04\x04/now\x01\x01h";
    memcpy(to, head, sizeof head - 1);
    return sizeof head - 1;
}
