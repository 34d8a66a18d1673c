#include "load/client.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { READ_SIZE = 256 << 10, PAUSE_MS = 100 };

enum client_state { CLIENT_CONNECTING, CLIENT_OPEN, CLIENT_CLOSING, CLIENT_PAUSED };

struct client {
    struct client_options options;
    enum client_state state;
    uv_tcp_t socket;
    uv_timer_t pause;
    uv_connect_t connect;
    uv_write_t write;
    struct wire *wire;
    struct client_slot *slots;
    unsigned in_flight;
    uint64_t connections;
    bool writing;     /* the wire's output is not all out */
    bool feeding;     /* inside wire_feed: what begins is written when it returns */
    bool pausing;     /* after the close */
    bool closed;      /* for good */
    unsigned handles; /* still open once closed for good */
};

static void open_connection(struct client *client);

/* One buffer serves all connections of a thread: what is read is used up within the callback. */
static _Thread_local char read_buffer[READ_SIZE];

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *ret) {
    (void)handle;
    (void)size;
    *ret = uv_buf_init(read_buffer, READ_SIZE);
}

static void on_pause_over(uv_timer_t *timer) {
    open_connection(timer->data);
}

static void forget(struct client *client) {
    if (--client->handles > 0)
        return;
    wire_free(&client->wire);
    mem_free(&client->slots);
    mem_free(&client);
}

static void on_handle_closed(uv_handle_t *handle) {
    forget(handle->data);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct client *client = handle->data;
    if (client->closed) {
        forget(client);
        return;
    }
    wire_free(&client->wire);
    client->writing = false;
    if (!client->pausing) {
        open_connection(client);
        return;
    }
    client->pausing = false;
    client->state = CLIENT_PAUSED;
    CHECK(uv_timer_start(&client->pause, on_pause_over, PAUSE_MS, 0) == 0);
}

/* Ends the connection; what is in flight fails. */
static void end_connection(struct client *client, enum failure failure, const char *why) {
    if (client->state == CLIENT_CLOSING)
        return;
    client->state = CLIENT_CLOSING;
    uv_close((uv_handle_t *)&client->socket, on_socket_closed);
    for (unsigned i = 0; i < client->options.streams; i++) {
        struct client_slot *slot = &client->slots[i];
        if (!slot->busy || (slot->again && !client->closed))
            continue;
        slot->busy = false;
        client->in_flight--;
        if (!client->closed)
            client->options.failed(client->options.context, slot, failure, why);
    }
}

static void flush(struct client *client);

static void on_written(uv_write_t *write, int status) {
    struct client *client = write->data;
    client->writing = false;
    if (status < 0)
        end_connection(client, FAILURE_CLOSED, uv_strerror(status));
    else
        flush(client);
}

/* Writes what the wire has; what the socket does not take at once follows. */
static void flush(struct client *client) {
    struct str output;
    while (client->state == CLIENT_OPEN && !client->writing &&
           (output = wire_output(client->wire)).n > 0) {
        /* libuv does not write to it. */
        uv_buf_t rest = uv_buf_init((char *)(uintptr_t)output.p, (unsigned)output.n);
        int n = uv_try_write((uv_stream_t *)&client->socket, &rest, 1);
        if (n < 0 && n != UV_EAGAIN) {
            end_connection(client, FAILURE_CLOSED, uv_strerror(n));
            return;
        }
        size_t done = n > 0 ? (size_t)n : 0;
        if (done == output.n)
            continue;
        rest = uv_buf_init(rest.base + done, (unsigned)(output.n - done));
        client->write.data = client;
        client->writing = true;
        n = uv_write(&client->write, (uv_stream_t *)&client->socket, &rest, 1, on_written);
        if (n < 0)
            end_connection(client, FAILURE_CLOSED, uv_strerror(n));
    }
}

static bool is_quiet(const struct client *client) {
    for (unsigned i = 0; i < client->options.streams; i++)
        if (client->slots[i].busy && !client->slots[i].again)
            return false;
    return true;
}

static void settle(struct client *client) {
    if (client->state == CLIENT_OPEN && !wire_is_open(client->wire) && is_quiet(client))
        end_connection(client, FAILURE_CLOSED, "closed");
    else
        flush(client);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    struct client *client = stream->data;
    if (n == 0 || client->state != CLIENT_OPEN)
        return;
    if (n < 0) {
        client->feeding = true;
        if (n == UV_EOF)
            wire_end(client->wire);
        client->feeding = false;
        end_connection(client, FAILURE_CLOSED, uv_strerror((int)n));
        return;
    }
    struct err_text text;
    client->feeding = true;
    enum err e = wire_feed(client->wire, buffer->base, (size_t)n, &text);
    client->feeding = false;
    if (e)
        end_connection(client, FAILURE_MALFORMED, text.s);
    else
        settle(client);
}

static void on_answered(void *context, void *tag, const struct wire_answer *answer) {
    struct client *client = context;
    struct client_slot slot = *(struct client_slot *)tag;
    ((struct client_slot *)tag)->busy = false;
    client->in_flight--;
    if (!client->closed)
        client->options.answered(client->options.context, &slot, answer);
}

static void on_refused(void *context, void *tag, const char *why) {
    struct client *client = context;
    struct client_slot slot = *(struct client_slot *)tag;
    ((struct client_slot *)tag)->busy = false;
    client->in_flight--;
    if (!client->closed)
        client->options.failed(client->options.context, &slot, FAILURE_CLOSED, why);
}

static void on_untouched(void *context, void *tag) {
    (void)context;
    ((struct client_slot *)tag)->again = true;
}

static void send_again(struct client *client) {
    for (unsigned i = 0; i < client->options.streams && wire_is_open(client->wire); i++) {
        struct client_slot *slot = &client->slots[i];
        if (!slot->busy || !slot->again)
            continue;
        slot->again = false;
        wire_begin(client->wire, slot, slot->request);
    }
}

static void on_connected(uv_connect_t *connect, int status) {
    struct client *client = connect->data;
    if (client->state != CLIENT_CONNECTING)
        return;
    if (status < 0) {
        client->pausing = true;
        end_connection(client, FAILURE_CONNECT, "");
        client->options.failed(client->options.context, NULL, FAILURE_CONNECT, uv_strerror(status));
        return;
    }
    struct wire_options options = {.streams = client->options.streams,
                                   .keep_bodies = client->options.keep_bodies,
                                   .context = client,
                                   .answered = on_answered,
                                   .refused = on_refused,
                                   .untouched = on_untouched};
    client->wire = client->options.http2 ? wire2_new(&options) : wire1_new(&options);
    client->state = CLIENT_OPEN;
    client->connections++;
    (void)uv_tcp_nodelay(&client->socket, 1);
    CHECK(uv_read_start((uv_stream_t *)&client->socket, give_buffer, on_read) == 0);
    send_again(client);
    flush(client);
    if (client->state == CLIENT_OPEN)
        client->options.ready(client->options.context);
}

static void open_connection(struct client *client) {
    client->state = CLIENT_CONNECTING;
    CHECK(uv_tcp_init(client->options.loop, &client->socket) == 0);
    client->socket.data = client;
    client->connect.data = client;
    int e =
        uv_tcp_connect(&client->connect, &client->socket, client->options.address, on_connected);
    if (e)
        on_connected(&client->connect, e);
}

struct client *client_new(const struct client_options *options) {
    struct client *client = mem_new(sizeof *client);
    client->options = *options;
    client->slots = mem_new_array(options->streams, sizeof *client->slots);
    CHECK(uv_timer_init(options->loop, &client->pause) == 0);
    client->pause.data = client;
    open_connection(client);
    return client;
}

void client_close(struct client **client_at) {
    struct client *client = *client_at;
    *client_at = NULL;
    if (!client)
        return;
    client->closed = true;
    client->handles = 1;
    uv_close((uv_handle_t *)&client->pause, on_handle_closed);
    if (client->state == CLIENT_PAUSED)
        return;
    client->handles = 2;
    end_connection(client, FAILURE_CLOSED, ""); /* or the close that is under way ends it */
}

bool client_can_begin(const struct client *client) {
    return client->state == CLIENT_OPEN && client->in_flight < client->options.streams &&
           wire_is_open(client->wire);
}

void client_begin(struct client *client, const struct wire_request *request,
                  struct client_slot what) {
    CHECK(client_can_begin(client));
    struct client_slot *slot = client->slots;
    while (slot->busy)
        slot++;
    *slot = what;
    slot->busy = true;
    slot->again = false;
    slot->request = request;
    slot->client = client;
    client->in_flight++;
    wire_begin(client->wire, slot, request);
    if (!client->feeding)
        flush(client);
}

void client_time_out(struct client *client, uint64_t before_ns) {
    for (unsigned i = 0; i < client->options.streams && client->in_flight > 0; i++) {
        struct client_slot *slot = &client->slots[i];
        if (!slot->busy || slot->sent_ns >= before_ns)
            continue;
        slot->busy = false;
        client->in_flight--;
        if (!slot->again)
            wire_cancel(client->wire, slot);
        client->options.failed(client->options.context, slot, FAILURE_TIMEOUT, "no answer in time");
    }
    settle(client);
}

unsigned client_in_flight(const struct client *client) {
    return client->in_flight;
}

uint64_t client_reconnects(const struct client *client) {
    return client->connections > 0 ? client->connections - 1 : 0;
}
