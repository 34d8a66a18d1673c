/* The life of an HTTP/2 session: how it is told from HTTP/1.1, its limits, GOAWAY, its end.
 *
 * GOAWAY comes twice (RFC 9113, 6.8): the first names no stream, so that requests on their way are
 * still served; half a second later the second names the last stream that is. When those are done
 * the connection is closed. Reasons: a drain, the connection's age, a long idle time. A stream's
 * memory is bounded by its window until the server takes its bytes, and a connection's by
 * streams_max windows and twice the largest body (http2_request.c). A peer that is gone without a
 * word is found by TCP's keep-alive, because a stream may rightly be silent for hours. */
#include "net/http2.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <pthread.h>
#include <stdio.h>

enum { KEEPALIVE_S = 60 };

static const char preface[] = NGHTTP2_CLIENT_MAGIC;

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *option;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_shared(void) {
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    http2_request_callbacks(callbacks);
    http2_answer_callbacks(callbacks);
    http2_output_callbacks(callbacks);
    nghttp2_option_set_no_auto_window_update(option, 1);
    /* Our own limit is an option, and says why it ends the connection (http2_count_reset). */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
}

bool http2_takes(struct connection *connection, bool *ret_more) {
    if (connection->tls)
        return tls_session_http2(connection->tls);
    size_t n = MIN(connection->in.used, sizeof preface - 1);
    if (memcmp(connection->in.data, preface, n) != 0)
        return false;
    *ret_more = n < sizeof preface - 1;
    return !*ret_more;
}

static void on_timer(struct loop_timer *timer) {
    struct http2 *h2 = CONTAINER_OF(timer, struct http2, timer);
    if (h2->phase == HTTP2_NOTICED) {
        h2->phase = HTTP2_RETIRED;
        nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h2->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
        http2_schedule(h2);
    } else {
        http2_retire(h2);
    }
}

static void start_timer(struct http2 *h2, uint64_t at_ns) {
    loop_timer_start(h2->connection->loop, &h2->timer, at_ns, on_timer);
}

void http2_retire(struct http2 *h2) {
    if (h2->phase != HTTP2_SERVES)
        return;
    h2->phase = HTTP2_NOTICED;
    nghttp2_submit_shutdown_notice(h2->session);
    start_timer(h2, loop_now_ns(h2->connection->loop) + LISTENER_QUIET_NS);
    http2_schedule(h2);
}

void http2_begin(struct connection *connection) {
    pthread_once(&once, make_shared);
    const struct http_limits *limits = &connection->listener->options.limits;
    struct http2 *h2 = mem_new(sizeof *h2);
    h2->connection = connection;
    list_init(&h2->open);
    list_init(&h2->sent);
    list_init(&h2->lost);
    list_init(&h2->orphans);
    connection->h2 = h2;
    connection->protocol = &http2_protocol;
    connection->in_since_ns = 0;
    CHECK(nghttp2_session_server_new2(&h2->session, callbacks, h2, option) == 0);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes_max},
    };
    CHECK(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ==
          0);
    CHECK(nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                HTTP2_CONNECTION_WINDOW_BYTES) == 0);
    uv_tcp_keepalive(&connection->tcp, 1, KEEPALIVE_S);
    connection_set_state(connection, CONNECTION_H2_IDLE);
    if (connection->listener->draining)
        http2_retire(h2);
    else if (connection->retire_ns)
        start_timer(h2, connection->retire_ns);
    connection->protocol->run(connection);
}

void http2_end(struct connection *connection) {
    struct http2 *h2 = connection->h2;
    if (!h2)
        return;
    loop_timer_stop(&h2->timer);
    nghttp2_session_del(h2->session);
    mem_free(&h2->fields);
    mem_free(&connection->h2);
}

void http2_schedule(struct http2 *h2) {
    if (h2->connection->state != CONNECTION_CLOSED)
        loop_ready_add(h2->connection->loop, &h2->connection->ready);
}

void http2_move(struct exchange *exchange, struct list *to) {
    if (list_linked(&exchange->h2.node))
        list_remove(&exchange->h2.node);
    if (to)
        list_add_last(to, &exchange->h2.node);
}

void http2_count_reset(struct http2 *h2) {
    const struct http_limits *limits = &h2->connection->listener->options.limits;
    uint64_t now = loop_now_ns(h2->connection->loop);
    if (now - h2->resets_since_ns > HTTP2_RESETS_SECONDS * (uint64_t)NS_PER_S) {
        h2->resets_since_ns = now;
        h2->resets = 0;
    }
    if (++h2->resets > limits->resets_max && limits->resets_max > 0)
        nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

void http2_stream_lost(struct exchange *exchange) {
    struct connection *connection = exchange->connection;
    listener_time(connection->listener, &exchange->h2.timed, TIMEOUT_NONE);
    exchange->h2.open = false;
    http2_move(exchange, &exchange->h2.h2->orphans);
    if (exchange->ended)
        return;
    if (exchange->responded || !exchange->delivered) {
        exchange->sent.bytes_out = 0;
        exchange_end(exchange, false);
    } else {
        exchange_cancel(exchange);
    }
}

static void end_list(struct list *list, bool complete) {
    for (struct list_node *node; (node = list_take_first(list));) {
        struct exchange *exchange = http2_exchange_of(node);
        exchange_end(exchange, complete);
    }
}

void http2_cancel(struct connection *connection) {
    struct http2 *h2 = connection->h2;
    end_list(&h2->sent, false);
    for (struct list_node *node; (node = list_first(&h2->lost)) || (node = list_first(&h2->open));)
        http2_stream_lost(http2_exchange_of(node));
}

static void abandon(struct connection *connection) {
    struct http2 *h2 = connection->h2;
    struct list *lists[] = {&h2->open, &h2->sent, &h2->lost, &h2->orphans};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (struct list_node *node; (node = list_first(lists[i]));)
            exchange_drop(http2_exchange_of(node));
}

void http2_stream_done(struct exchange *exchange) {
    struct http2 *h2 = exchange->h2.h2;
    listener_time(exchange->connection->listener, &exchange->h2.timed, TIMEOUT_NONE);
    http2_move(exchange, NULL);
    block_give(&exchange->connection->loop->blocks, &exchange->h2.out);
    h2->body_bytes -= exchange->in.used;
    h2->paused_count -= exchange->h2.paused;
    h2->full_count -= exchange->h2.full;
    if (h2->heading == exchange)
        h2->heading = NULL;
    exchange->h2 = (struct http2_stream){0};
    if (h2->paused_count > 0 && exchange->connection->state != CONNECTION_CLOSED)
        http2_resume_bodies(h2);
}

static void held(struct exchange *exchange) {
    http2_move(exchange, &exchange->h2.h2->orphans);
}

static void exchange_over(struct connection *connection) {
    if (connection->state == CONNECTION_CLOSED)
        connection_free_if_done(connection);
    else if (connection->exchange_count == 0)
        http2_schedule(connection->h2);
}

void http2_tell_broken(struct connection *connection, const char *why) {
    char text[128];
    snprintf(text, sizeof text, "HTTP/2: the connection was ended: %s", why);
    listener_refused(connection->listener, &(struct http_refusal){
                                               .err = ERR_INVALID,
                                               .reason = HTTP_REFUSED_MALFORMED,
                                               .text = text,
                                           });
}

void http2_input(struct connection *connection, const char *bytes, size_t n) {
    struct http2 *h2 = connection->h2;
    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_LINGER)
        return;
    h2->receiving = true;
    ssize_t got = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, n);
    h2->receiving = false;
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (got < 0) {
        http2_tell_broken(connection, nghttp2_strerror((int)got));
        connection_close(connection);
        return;
    }
    struct exchange *heading = h2->heading;
    if (heading && !list_linked(&heading->h2.timed.node))
        listener_time(connection->listener, &heading->h2.timed, TIMEOUT_HEADER);
    http2_schedule(h2);
    if (!http2_reads(connection))
        transport_stop_reading(connection);
}

bool http2_reads(const struct connection *connection) {
    return connection->state != CONNECTION_H2_WRITE ||
           nghttp2_session_get_outbound_queue_size(connection->h2->session) < HTTP2_QUEUE_MAX;
}

static void run(struct connection *connection) {
    struct block *in = &connection->in;
    size_t n = in->used;
    in->used = 0;
    connection->in_since_ns = 0;
    if (n > 0)
        http2_input(connection, in->data, n);
}

static void timed_out(struct connection *connection) {
    if (connection->state == CONNECTION_H2_IDLE)
        http2_retire(connection->h2);
    else
        connection_timed_out(connection);
}

/* What waits for the socket still goes out: the peer may only have closed its own side. */
static void eof(struct connection *connection) {
    connection->eof = true;
    if (connection->state == CONNECTION_H2_WRITE)
        transport_stop_reading(connection);
    else
        connection_close(connection);
}

static void drain(struct connection *connection) {
    http2_retire(connection->h2);
}

const struct connection_protocol http2_protocol = {
    .run = run,
    .ready = http2_flush,
    .written = http2_written,
    .timed_out = timed_out,
    .eof = eof,
    .drain = drain,
    .held = held,
    .exchange_over = exchange_over,
    .cancel = http2_cancel,
    .abandon = abandon,
};
