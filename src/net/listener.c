/* Listening, accepting, and ending without losing a connection. The loop accepts at most
 * ACCEPTS_PER_TURN connections a turn, so that a storm of connections does not starve the requests
 * of those that are there.
 *
 * The end: listener_stop_accepting makes the kernel drop new SYNs (the clients try again, and by
 * then are refused), goes on accepting for STOP_NS so that handshakes under way come through, then
 * closes. Without the filter, a connection completed between our last accept and close would be
 * reset. Thread: the loop's. */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    ACCEPTS_AT_END = 65536,
    STOP_NS = 50 * NS_PER_MS,
    HANDSHAKE_NS = 1000 * NS_PER_MS, /* drain: TLS handshake and the request behind it */
};
static const uint64_t linger_ns = 2 * (uint64_t)NS_PER_S;

void listener_refused(struct listener *listener, struct http_refusal *refusal) {
    const struct listener_options *options = &listener->options;
    if (!listener->freed && options->handler->refused)
        options->handler->refused(options->handler_context, listener->loop, refusal);
}

/* Out of descriptors: one is kept in reserve, so that a waiting connection can be taken and closed.
 * Otherwise it would stay in the backlog and wake the loop for ever. */
static bool turn_away(struct listener *listener) {
    close(listener->reserve_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* the kernel looks for a descriptor before it looks for a connection */
        return false;
    listener_refused(listener, &(struct http_refusal){.err = ERR_TOO_MANY_CONNECTIONS,
                                                      .reason = HTTP_REFUSED_CONNECTIONS,
                                                      .text = "out of file descriptors"});
    return true;
}

void listener_connected(struct listener *listener, int by) {
    listener_count(&listener->connection_count, by);
    if (listener->options.connection_total) {
        atomic_fetch_add_explicit(listener->options.connection_total, (uint32_t)by,
                                  memory_order_relaxed);
    }
}

static uint32_t connections_of_port(const struct listener *listener) {
    const _Atomic(uint32_t) *total = listener->options.connection_total;
    return total ? atomic_load_explicit(total, memory_order_relaxed)
                 : listener_connections(listener);
}

/* False: nobody is waiting. */
static bool accept_one(struct listener *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            return turn_away(listener);
        /* Others are the peer's (ECONNABORTED, network errors): the next one may be fine. */
        return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINVAL && errno != EBADF;
    }
    if (connections_of_port(listener) >= listener->options.limits.connections_max)
        connection_refuse(listener, fd);
    else
        connection_accept(listener, fd);
    return true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
    struct listener *listener = poll->data;
    (void)events;
    (void)status;
    for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(listener); i++) {
    }
}

static void arm_tick(struct listener *listener, uint64_t at_ns);

/* What has run out of time, list by list, in order of time. */
static void on_tick(struct loop_timer *timer) {
    struct listener *listener = CONTAINER_OF(timer, struct listener, tick);
    uint64_t now = loop_now_ns(listener->loop);
    uint64_t next = UINT64_MAX;
    for (int kind = 0; kind < TIMEOUT_NONE; kind++) {
        struct list *list = &listener->timeouts[kind];
        struct list_node *node;
        while ((node = list_first(list))) {
            struct timed *timed = CONTAINER_OF(node, struct timed, node);
            if (timed->deadline_ns > now) {
                next = MIN(next, timed->deadline_ns);
                break;
            }
            list_remove(node);
            timed->fire(timed);
        }
    }
    if (next != UINT64_MAX)
        arm_tick(listener, next);
}

static void arm_tick(struct listener *listener, uint64_t at_ns) {
    if (!listener->tick.loop || at_ns < listener->tick.at_ns)
        loop_timer_start(listener->loop, &listener->tick, at_ns, on_tick);
}

void listener_time(struct listener *listener, struct timed *timed, enum timeout_kind kind) {
    if (list_linked(&timed->node))
        list_remove(&timed->node);
    if (kind == TIMEOUT_NONE || listener->timeout_ns[kind] == 0)
        return;
    timed->deadline_ns = loop_now_ns(listener->loop) + listener->timeout_ns[kind];
    list_add_last(&listener->timeouts[kind], &timed->node);
    arm_tick(listener, timed->deadline_ns);
}

void listener_release(struct listener *listener) {
    CHECK(listener->handle_count > 0);
    if (--listener->handle_count > 0 || !listener->freed)
        return;
    tls_unref(&listener->options.tls);
    close(listener->reserve_fd);
    mem_free(&listener->name);
    mem_free(&listener);
}

static void on_socket_closed(uv_handle_t *handle) {
    listener_release(handle->data);
}

static void close_socket(struct listener *listener) {
    atomic_store_explicit(&listener->closed, true, memory_order_relaxed);
    if (!listener->polling)
        return;
    listener->polling = false;
    uv_poll_stop(&listener->poll);
    uv_close((uv_handle_t *)&listener->poll, on_socket_closed);
    close(listener->fd);
    listener->fd = -1;
}

enum err listener_open(struct loop *loop, const struct listener_options *options, bool probe,
                       struct listener **ret, struct err_text *text) {
    loop_check_thread(loop);
    int fd = -1;
    enum err e = socket_listen(options, probe, &fd, text);
    if (e != ERR_OK)
        return e;
    struct listener *listener = mem_new(sizeof *listener);
    listener->loop = loop;
    listener->options = *options;
    listener->name = mem_copy_c(options->name);
    listener->options.name = listener->name;
    listener->options.host = NULL;
    listener->fd = fd;
    listener->port = socket_port(fd);
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (options->tls)
        tls_ref(options->tls);
    list_init(&listener->connections);
    for (int kind = 0; kind < TIMEOUT_NONE; kind++)
        list_init(&listener->timeouts[kind]);
    listener->timeout_ns[TIMEOUT_HEADER] = options->limits.header_timeout_ns;
    listener->timeout_ns[TIMEOUT_BODY] = options->limits.body_timeout_ns;
    listener->timeout_ns[TIMEOUT_IDLE] = options->limits.idle_timeout_ns;
    listener->timeout_ns[TIMEOUT_QUIET] = LISTENER_QUIET_NS;
    listener->timeout_ns[TIMEOUT_HANDSHAKE] = HANDSHAKE_NS;
    listener->timeout_ns[TIMEOUT_WRITE] = options->limits.write_timeout_ns;
    listener->timeout_ns[TIMEOUT_LINGER] = linger_ns;
    CHECK(uv_poll_init(&loop->uv, &listener->poll, fd) == 0);
    listener->poll.data = listener;
    CHECK(uv_poll_start(&listener->poll, UV_READABLE, on_acceptable) == 0);
    listener->polling = true;
    listener->handle_count = 1;
    *ret = listener;
    return ERR_OK;
}

bool listener_closed(const struct listener *listener) {
    return atomic_load_explicit(&listener->closed, memory_order_relaxed);
}

uint16_t listener_port(const struct listener *listener) {
    return listener->port;
}

const char *listener_name(const struct listener *listener) {
    return listener->name;
}

uint32_t listener_connections(const struct listener *listener) {
    return atomic_load_explicit(&listener->connection_count, memory_order_relaxed);
}

uint32_t listener_active(const struct listener *listener) {
    return atomic_load_explicit(&listener->active_count, memory_order_relaxed);
}

void listener_drain(struct listener *listener) {
    loop_check_thread(listener->loop);
    listener->draining = true;
    struct list_node *next = NULL;
    for (struct list_node *node = list_first(&listener->connections); node; node = next) {
        next = list_next(&listener->connections, node);
        struct connection *connection = CONTAINER_OF(node, struct connection, of_listener);
        connection->protocol->drain(connection);
    }
}

static void on_stopped(struct loop_timer *timer) {
    struct listener *listener = CONTAINER_OF(timer, struct listener, stop_timer);
    for (int i = 0; i < ACCEPTS_AT_END && accept_one(listener); i++) {
    }
    close_socket(listener);
}

void listener_stop_accepting(struct listener *listener) {
    loop_check_thread(listener->loop);
    if (listener->stopping || !listener->polling)
        return;
    listener->stopping = true;
    if (socket_drop_syns(listener->fd)) {
        loop_timer_start(listener->loop, &listener->stop_timer,
                         loop_now_ns(listener->loop) + STOP_NS, on_stopped);
    } else {
        on_stopped(&listener->stop_timer);
    }
}

void listener_close_connections(struct listener *listener) {
    loop_check_thread(listener->loop);
    struct list_node *next = NULL;
    for (struct list_node *node = list_first(&listener->connections); node; node = next) {
        next = list_next(&listener->connections, node);
        connection_close(CONTAINER_OF(node, struct connection, of_listener));
    }
}

void listener_free(struct listener **listener_at) {
    struct listener *listener = *listener_at;
    *listener_at = NULL;
    if (!listener)
        return;
    CHECK(!atomic_load_explicit(&listener->loop->running, memory_order_acquire));
    listener->freed = true;
    listener->handle_count++; /* keeps it until the end of this function */
    loop_timer_stop(&listener->tick);
    loop_timer_stop(&listener->stop_timer);
    struct list_node *next = NULL;
    for (struct list_node *node = list_first(&listener->connections); node; node = next) {
        next = list_next(&listener->connections, node);
        connection_abandon(CONTAINER_OF(node, struct connection, of_listener));
    }
    loop_timer_stop(&listener->tick);
    close_socket(listener);
    listener_release(listener);
}
