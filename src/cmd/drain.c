/* From SIGTERM to exit 0:
 *   1. at once: readiness turns 503; everything is still served for drain.delay, so that load
 * balancers notice;
 *   2. then: listeners accept what is connected and close, responses say Connection: close, idle
 * connections end;
 *   3. when no request is left, or drain.timeout after the signal, the loops stop.
 * A second signal skips the waiting. Thread: control loop. */
#include "cmd/server.h"

#include "base/num.h"

enum { LOOK_EVERY_MS = 10 };

static void drain_listener(struct listener *listener) {
    if (!listener)
        return;
    listener_drain(listener);
    listener_stop_accepting(listener);
}

static void drain_loop(struct message *message) {
    struct data_loop *data = CONTAINER_OF(message, struct data_loop, drain);
    drain_listener(data->listener);
    drain_listener(data->grpc);
}

static void close_connections(struct message *message) {
    struct data_loop *data = CONTAINER_OF(message, struct data_loop, close);
    listener_close_connections(data->listener);
    if (data->grpc)
        listener_close_connections(data->grpc);
}

/* Streams may wait for news for hours: they are told. */
static void tell_loops(struct server *server, bool closing) {
    for (uint32_t i = 0; i < server->data_loop_count; i++)
        api_loop_send_drain(&server->data_loops[i].api, closing);
    api_loop_send_drain(&server->control_api, closing);
}

static void close_listeners(struct server *server) {
    server->drain_closing = true;
    for (uint32_t i = 0; i < server->data_loop_count; i++) {
        struct data_loop *data = &server->data_loops[i];
        data->drain.receive = drain_loop;
        mailbox_send(loop_mailbox(data->loop), &data->drain);
    }
    tell_loops(server, true);
}

/* Connections, sockets that still listen, and requests whose connection is gone but whose run is
 * not. */
static uint32_t left_of(const struct listener *listener) {
    if (!listener)
        return 0;
    return listener_connections(listener) + listener_active(listener) + !listener_closed(listener);
}

static uint32_t connections_left(const struct server *server) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < server->data_loop_count; i++)
        left += left_of(server->data_loops[i].listener) + left_of(server->data_loops[i].grpc);
    return left;
}

static void end(struct server *server, uint32_t left) {
    uv_timer_stop(&server->drain_timer);
    server->drained = left == 0;
    struct log_line line;
    log_begin(&line, server->main_ring, left ? LOG_WARN : LOG_INFO, "drained");
    log_u64(&line, "left", left);
    log_u64(&line, "drain_ms", (clock_now(server->clock) - server->drain_began_ns) / NS_PER_MS);
    log_end(&line);
    for (uint32_t i = 0; left > 0 && i < server->data_loop_count; i++) {
        struct data_loop *data = &server->data_loops[i];
        data->close.receive = close_connections;
        mailbox_send(loop_mailbox(data->loop), &data->close);
    }
    loop_stop(server->control);
}

static void look(uv_timer_t *timer) {
    struct server *server = timer->data;
    uint64_t waited = clock_now(server->clock) - server->drain_began_ns;
    if (!server->drain_closing && waited >= server->config->drain_delay_ns)
        close_listeners(server);
    uint32_t left = connections_left(server);
    if ((server->drain_closing && left == 0) || waited >= server->config->drain_timeout_ns)
        end(server, left);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct server *server = handle->data;
    if (atomic_load_explicit(&server->service.draining, memory_order_relaxed)) {
        if (server->drain_closing)
            end(server, connections_left(server));
        else
            close_listeners(server);
        return;
    }
    /* release: pairs with the acquire in service_ready and handle_ready */
    atomic_store_explicit(&server->service.draining, true, memory_order_release);
    server->drain_began_ns = clock_now(server->clock);
    struct log_line line;
    log_begin(&line, server->main_ring, LOG_INFO, "draining");
    log_c(&line, "signal", number == SIGTERM ? "SIGTERM" : "SIGINT");
    log_u64(&line, "delay_ms", server->config->drain_delay_ns / NS_PER_MS);
    log_u64(&line, "timeout_ms", server->config->drain_timeout_ns / NS_PER_MS);
    log_end(&line);
    tell_loops(server, false);
    uv_timer_start(&server->drain_timer, look, 0, LOOK_EVERY_MS);
}

void server_watch_signals(struct server *server) {
    struct uv_loop_s *uv = loop_uv(server->control);
    uv_timer_init(uv, &server->drain_timer);
    server->drain_timer.data = server;
    uv_signal_init(uv, &server->on_term);
    uv_signal_init(uv, &server->on_int);
    server->on_term.data = server->on_int.data = server;
    uv_signal_start(&server->on_term, on_signal, SIGTERM);
    uv_signal_start(&server->on_int, on_signal, SIGINT);
}
