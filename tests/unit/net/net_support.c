#include "net_support.h"

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/num.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 5000, STREAM_BYTES_MAX = 524288 };

struct server {
    struct loop *loop;
    struct listener *listener;
    pthread_mutex_t mutex;
    struct server_counts counts; /* under mutex */
    struct list held;            /* the loop's */
    struct list at_turn_end;     /* the loop's */
    bool in_callback;            /* the loop's: request() must never come inside another */
    char refusal_id[24];         /* the loop's */
};

/* What the handler keeps of a request, in its arena. */
struct note {
    struct list_node node;
    struct http_exchange *exchange;
    struct server *server;
    struct loop_timer timer;
    struct message message;
    char *big;
    bool streams;
    uint64_t to_pour;
};

static struct str after_space(struct http_exchange *exchange, struct str s) {
    return (struct str){arena_format(&exchange->arena, "%.*s ", STR_ARG(s)), s.n + 1};
}

static const struct http_header end_trailer = {{"X-End", 5}, {"done", 4}};

static void answer(struct note *note) {
    struct http_exchange *exchange = note->exchange;
    const struct http_request *request = &exchange->request;
    if (request->body) /* the spare bytes are ours */
        memset(request->body + request->body_length, '#', 16);
    struct str parts[4] = {after_space(exchange, request->method_text),
                           after_space(exchange, request->path),
                           after_space(exchange, request->query),
                           {request->body, request->body_length}};
    uint64_t big = 0;
    if (str_eq_c(request->path, "/big") && str_to_u64(request->query, &big)) {
        note->big = mem_new(big + 1);
        memset(note->big, 'x', big);
        parts[3] = (struct str){note->big, big};
    }
    struct http_header headers[] = {{STR("Content-Type"), STR("text/plain")},
                                    {STR("X-Count"), STR("1")}};
    struct http_response response = {
        .status = 200,
        .headers = headers,
        .header_count = 2,
        .parts = parts,
        .part_count = 4,
        .close = str_eq_c(request->path, "/close"),
        .trailers = &end_trailer,
        .trailer_count = str_eq_c(request->path, "/trailers"),
    };
    http_respond(exchange, &response);
}

static void on_message(struct message *message) {
    answer(CONTAINER_OF(message, struct note, message));
}

static void on_late(struct loop_timer *timer) {
    answer(CONTAINER_OF(timer, struct note, timer));
}

static void on_unheld(struct loop_timer *timer) {
    http_exchange_release(CONTAINER_OF(timer, struct note, timer)->exchange);
}

static bool on_streams(void *context, const struct http_request *request) {
    (void)context;
    return str_eq_c(request->path, "/echo") || str_eq_c(request->path, "/pour") ||
           str_eq_c(request->path, "/early");
}

static void count(struct server *server, uint64_t *counter, uint64_t by) {
    pthread_mutex_lock(&server->mutex);
    *counter += by;
    pthread_mutex_unlock(&server->mutex);
}

static void pour(struct note *note) {
    static const char piece[30000];
    size_t waits = 0;
    while (note->to_pour > 0 && waits < STREAM_BYTES_MAX) {
        struct str part = {piece, MIN(sizeof piece, note->to_pour)};
        waits = http_stream_write(note->exchange, &part, 1);
        note->to_pour -= part.n;
        count(note->server, &note->server->counts.poured, part.n);
    }
    if (note->to_pour == 0)
        http_stream_end(note->exchange, NULL, 0);
}

static void begin_stream(struct note *note) {
    struct http_exchange *exchange = note->exchange;
    const struct http_header type = {STR("Content-Type"), STR("application/octet-stream")};
    note->streams = true;
    if (str_eq_c(exchange->request.path, "/early")) {
        answer(note);
        return;
    }
    http_stream_begin(exchange, &type, 1);
    if (str_to_u64(exchange->request.query, &note->to_pour))
        pour(note);
}

static void on_data(void *context, struct http_exchange *exchange, struct str bytes, bool last) {
    struct server *server = context;
    count(server, &server->counts.data_bytes, bytes.n);
    if (!str_eq_c(exchange->request.path, "/echo"))
        return;
    struct str parts[2] = {{bytes.p, bytes.n / 2}, {bytes.p + bytes.n / 2, bytes.n - bytes.n / 2}};
    http_stream_write(exchange, parts, 2);
    http_stream_consumed(exchange, bytes.n);
    if (last)
        http_stream_end(exchange, &end_trailer, 1);
}

static void on_writable(void *context, struct http_exchange *exchange) {
    struct server *server = context;
    struct note *note = exchange->user;
    pthread_mutex_lock(&server->mutex);
    server->counts.writable++;
    pthread_mutex_unlock(&server->mutex);
    if (note->to_pour > 0)
        pour(note);
}

static void on_request(void *context, struct http_exchange *exchange) {
    struct server *server = context;
    CHECK(!server->in_callback);
    pthread_mutex_lock(&server->mutex);
    server->counts.requests++;
    pthread_mutex_unlock(&server->mutex);
    struct note *note = arena_new_zero(&exchange->arena, sizeof *note);
    note->exchange = exchange;
    note->server = server;
    exchange->user = note;
    uint64_t ms = 0;
    struct str path = exchange->request.path;
    if (on_streams(context, &exchange->request) && exchange->request.http2) {
        begin_stream(note);
    } else if (str_eq_c(path, "/turn")) {
        list_add_last(&server->at_turn_end, &note->node);
    } else if (str_eq_c(path, "/hold")) {
        list_add_last(&server->held, &note->node);
    } else if (str_eq_c(path, "/message")) {
        note->message.receive = on_message;
        mailbox_send(loop_mailbox(server->loop), &note->message);
    } else if (str_eq_c(path, "/late") && str_to_u64(exchange->request.query, &ms)) {
        loop_timer_start(server->loop, &note->timer, loop_now_ns(server->loop) + ms * TEST_MS,
                         on_late);
    } else if (str_eq_c(path, "/held") && str_to_u64(exchange->request.query, &ms)) {
        http_exchange_hold(exchange);
        loop_timer_start(server->loop, &note->timer, loop_now_ns(server->loop) + ms * TEST_MS,
                         on_unheld);
        answer(note);
    } else {
        answer(note);
    }
}

static void on_cancelled(void *context, struct http_exchange *exchange) {
    struct server *server = context;
    struct note *note = exchange->user;
    pthread_mutex_lock(&server->mutex);
    server->counts.cancelled++;
    pthread_mutex_unlock(&server->mutex);
    CHECK(exchange->cancelled);
    if (note->streams) {
        http_stream_end(exchange, NULL, 0);
        return;
    }
    if (list_linked(&note->node)) {
        list_remove(&note->node);
        answer(note);
    }
}

static void on_finished(void *context, struct http_exchange *exchange,
                        const struct http_sent *sent) {
    struct server *server = context;
    struct note *note = exchange->user;
    mem_free(&note->big);
    CHECK(sent->status == 200);
    pthread_mutex_lock(&server->mutex);
    server->counts.finished++;
    server->counts.complete += sent->complete;
    server->counts.bytes_out += sent->bytes_out;
    pthread_mutex_unlock(&server->mutex);
}

static void on_refused(void *context, struct loop *loop, struct http_refusal *refusal) {
    struct server *server = context;
    CHECK(loop == server->loop);
    pthread_mutex_lock(&server->mutex);
    struct server_counts *counts = &server->counts;
    counts->refused++;
    counts->last_refusal = refusal->err;
    counts->last_reason = refusal->reason;
    counts->last_answered = refusal->answered;
    counts->last_bytes_in = refusal->bytes_in;
    counts->last_duration_ns = refusal->duration_ns;
    snprintf(server->refusal_id, sizeof server->refusal_id, "refusal-%u", counts->refused);
    refusal->extra[refusal->extra_count++] =
        (struct http_header){STR("X-Request-Id"), str_of(server->refusal_id)};
    if (refusal->request && http_header_find(refusal->request, STR("content-type")).p) {
        refusal->status = 200;
        refusal->without_body = true;
        refusal->extra[refusal->extra_count++] = (struct http_header){STR("Grpc-Status"), STR("8")};
    }
    snprintf(counts->last_text, sizeof counts->last_text, "%s", refusal->text);
    snprintf(counts->last_path, sizeof counts->last_path, "%.*s", STR_ARG(refusal->path));
    pthread_mutex_unlock(&server->mutex);
}

static bool on_turn_end(void *context) {
    struct server *server = context;
    CHECK(!server->in_callback);
    server->in_callback = true;
    for (struct list_node *node; (node = list_take_first(&server->at_turn_end));)
        answer(CONTAINER_OF(node, struct note, node));
    server->in_callback = false;
    return false;
}

static const struct http_handler handler = {
    .request = on_request,
    .cancelled = on_cancelled,
    .finished = on_finished,
    .refused = on_refused,
    .streams = on_streams,
    .data = on_data,
    .writable = on_writable,
};

struct http_limits server_default_limits(void) {
    return (struct http_limits){
        .body_bytes_max = 4 << 20,
        .header_bytes_max = 8192,
        .header_count_max = 32,
        .target_bytes_max = 1024,
        .connections_max = 200,
        .header_timeout_ns = 10000 * TEST_MS,
        .body_timeout_ns = 10000 * TEST_MS,
        .idle_timeout_ns = 10000 * TEST_MS,
        .write_timeout_ns = 10000 * TEST_MS,
        .streams_max = 16,
        .stream_window_bytes = 65536,
        .resets_max = 20,
    };
}

struct server *server_new(const struct http_limits *limits, struct tls *tls) {
    struct server *server = mem_new(sizeof *server);
    pthread_mutex_init(&server->mutex, NULL);
    list_init(&server->held);
    list_init(&server->at_turn_end);
    server->loop = loop_new(&(struct loop_options){
        .name = "test-loop", .turn_end = on_turn_end, .context = server, .clock = &clock_real});
    struct listener_options options = {
        .name = "data",
        .host = "127.0.0.1",
        .reuse_port = true,
        .limits = limits ? *limits : server_default_limits(),
        .tls = tls,
        .handler = &handler,
        .handler_context = server,
    };
    struct err_text text;
    if (listener_open(server->loop, &options, true, &server->listener, &text) != ERR_OK)
        fail_msg("%s", text.s);
    loop_start(server->loop);
    return server;
}

void server_free(struct server *server) {
    server_call(server, listener_close_connections);
    loop_stop(server->loop);
    loop_join(server->loop);
    struct server_counts counts = server->counts;
    assert_int_equal(counts.requests, counts.finished);
    assert_int_equal(listener_connections(server->listener), 0);
    assert_int_equal(listener_active(server->listener), 0);
    listener_free(&server->listener);
    loop_free(&server->loop);
    pthread_mutex_destroy(&server->mutex);
    mem_free(&server);
}

uint16_t server_port(const struct server *server) {
    return listener_port(server->listener);
}

uint32_t server_connections(struct server *server) {
    return listener_connections(server->listener);
}

uint32_t server_active(struct server *server) {
    return listener_active(server->listener);
}

struct server_counts server_counts(struct server *server) {
    pthread_mutex_lock(&server->mutex);
    struct server_counts counts = server->counts;
    pthread_mutex_unlock(&server->mutex);
    return counts;
}

struct call {
    struct message message;
    void (*call)(struct listener *listener);
    struct server *server;
    _Atomic(bool) done;
};

static void on_call(struct message *message) {
    struct call *call = CONTAINER_OF(message, struct call, message);
    call->call(call->server->listener);
    atomic_store_explicit(&call->done, true, memory_order_release);
}

static void post(struct call *call) {
    mailbox_send(loop_mailbox(call->server->loop), &call->message);
    while (!atomic_load_explicit(&call->done, memory_order_acquire))
        test_sleep_ms(1);
}

void server_call(struct server *server, void (*call)(struct listener *listener)) {
    post(&(struct call){.message = {.receive = on_call}, .call = call, .server = server});
}

static void on_release(struct message *message) {
    struct call *call = CONTAINER_OF(message, struct call, message);
    struct server *server = call->server;
    for (struct list_node *node; (node = list_take_first(&server->held));)
        answer(CONTAINER_OF(node, struct note, node));
    atomic_store_explicit(&call->done, true, memory_order_release);
}

void server_release(struct server *server) {
    post(&(struct call){.message = {.receive = on_release}, .server = server});
}

struct client client_new(uint16_t port) {
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    buffer_init(&client.in, 1 << 28);
    buffer_init(&client.response, 1 << 28);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client.fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(client.fd);
        client.fd = -1;
    }
    return client;
}

void client_done(struct client *client) {
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buffer_done(&client->in);
    buffer_done(&client->response);
}

bool client_try_send_n(struct client *client, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        ssize_t sent = TEMP_FAILURE_RETRY(send(client->fd, at, n, MSG_NOSIGNAL));
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

void client_send_n(struct client *client, const void *p, size_t n) {
    (void)client_try_send_n(client, p, n); /* when the server closed, the test reads why */
}

void client_send(struct client *client, const char *text) {
    client_send_n(client, text, strlen(text));
}

/* More bytes: their number, 0 at the end, -1 when none came in time or on an error. */
static ssize_t client_read(struct client *client, int ms) {
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    if (TEMP_FAILURE_RETRY(poll(&poll_fd, 1, ms)) != 1) {
        errno = ETIMEDOUT;
        return -1;
    }
    char *to = buffer_reserve(&client->in, 65536);
    ssize_t n = recv(client->fd, to, 65536, 0);
    client->in.used += n > 0 ? (size_t)n : 0;
    return n;
}

/* Takes one whole response off what was received; NULL when it is not whole. */
static const char *take_response(struct client *client, bool head_only) {
    struct buffer *in = &client->in;
    const char *end = in->used ? memmem(in->data, in->used, "\r\n\r\n", 4) : NULL;
    if (!end)
        return NULL;
    size_t n = (size_t)(end - in->data) + 4;
    const char *length = memmem(in->data, n, "Content-Length: ", 16);
    if (length && !head_only)
        n += strtoul(length + 16, NULL, 10);
    if (in->used < n)
        return NULL;
    buffer_clear(&client->response);
    buffer_add(&client->response, in->data, n);
    buffer_add_char(&client->response, '\0');
    in->used -= n;
    memmove(in->data, in->data + n, in->used);
    return client->response.data;
}

const char *client_try_response(struct client *client, bool head_only) {
    for (;;) {
        const char *response = take_response(client, head_only);
        if (response || client_read(client, WAIT_MS) <= 0)
            return response;
    }
}

const char *client_response(struct client *client, bool head_only) {
    const char *response = client_try_response(client, head_only);
    if (!response)
        fail_msg("no whole response: \"%.*s\"", STR_ARG(buffer_str(&client->in)));
    return response;
}

bool client_sees_end(struct client *client, int ms) {
    return client->in.used == 0 && client_read(client, ms) == 0;
}

bool client_sees_nothing(struct client *client, int ms) {
    return client->in.used == 0 && client_read(client, ms) < 0 && errno == ETIMEDOUT;
}

void test_sleep_ms(int ms) {
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&wait, NULL);
}

uint64_t test_now_ms(void) {
    return clock_now(&clock_real) / NS_PER_MS;
}

void assert_starts(const char *text, const char *start) {
    if (!str_starts(str_of(text), str_of(start)))
        fail_msg("\"%.300s\" does not start with \"%s\"", text, start);
}

void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%.300s\" does not contain \"%s\"", text, part);
}
