#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "http2_support.h"

#include <string.h>
#include <sys/socket.h>

static void assert_refused(struct server *server, const struct h2_stream *stream, int status,
                           const char *text) {
    assert_int_equal(stream->status, status);
    assert_true(stream->ended);
    assert_contains(server_counts(server).last_text, text);
    assert_non_null(memmem(stream->body.data, stream->body.used, text, strlen(text)));
    assert_contains(stream->headers, "x-request-id: refusal-");
}

static void assert_still_serves(struct h2_client *client) {
    struct h2_stream *stream = h2_request(client, "GET", "/now", NULL, 0);
    h2_finish(client, stream);
    assert_int_equal(stream->status, 200);
}

static void test_refuses_large_bodies_and_keeps_the_connection(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_bytes_max = 1000;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    char body[1001];
    memset(body, 'a', sizeof body);
    struct h2_stream *fits = h2_request(client, "POST", "/now", body, 1000);
    h2_finish(client, fits);
    assert_int_equal(fits->status, 200);
    struct h2_stream *over = h2_request(client, "POST", "/now", body, 1001);
    h2_finish(client, over);
    assert_refused(server, over, 413, "the body is larger than the limit of 1000 bytes");
    struct h2_stream *claimed = h2_request_with(client, "/now", "content-length", "1001", true);
    h2_finish(client, claimed); /* before any of it came */
    assert_refused(server, claimed, 413, "the body is larger than the limit of 1000 bytes");
    assert_int_equal(claimed->error_code, NGHTTP2_NO_ERROR);
    assert_int_equal(server_counts(server).last_reason, HTTP_REFUSED_TOO_LARGE);
    assert_still_serves(client);
    h2_client_free(&client);
    server_free(server);
}

static void test_lets_the_handler_say_it_to_grpc_clients(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_bytes_max = 1000;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    char body[1001];
    memset(body, 'a', sizeof body);
    struct h2_stream *over =
        h2_request_with(client, "/now", "content-type", "application/grpc", true);
    h2_add(client, over, body, sizeof body, true);
    h2_finish(client, over);
    assert_int_equal(over->status, 200);
    assert_int_equal(over->body.used, 0);
    assert_contains(over->headers, "grpc-status: 8\n");
    h2_client_free(&client);
    server_free(server);
}

static void test_refuses_large_heads(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    char *text = mem_new(9001);
    memset(text, 'v', 9000);
    struct h2_stream *stream = h2_request_with(client, "/now", "x-long", text, false);
    h2_finish(client, stream);
    assert_refused(server, stream, 431, "the headers are larger than the limit of 8192 bytes");
    text[1500] = '\0';
    text[0] = '/';
    struct h2_stream *target = h2_request(client, "GET", text, NULL, 0);
    h2_finish(client, target);
    assert_refused(server, target, 414, "the request target is longer than the limit of 1024");
    mem_free(&text);
    assert_still_serves(client);
    h2_client_free(&client);
    server_free(server);
}

/* A client that has not yet heard of the limit. One that has breaks the protocol. */
static void test_refuses_streams_beyond_the_limit(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    h2_send_preface(&client);
    uint8_t frame[128] = {0, 0, 0, NGHTTP2_HEADERS,
                          NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM};
    frame[2] = (uint8_t)h2_hold_head(frame + H2_HEAD_BYTES);
    for (int i = 0; i < 18; i++) {
        frame[8] = (uint8_t)(1 + 2 * i);
        client_send_n(&client, frame, (size_t)H2_HEAD_BYTES + frame[2]);
    }
    static const char refused[] = "\0\0\4\3\0\0\0\0\x23\0\0\0\7"; /* stream 35 */
    char bytes[8192];
    size_t used = 0;
    ssize_t n = 1;
    while (n > 0 && !memmem(bytes, used, refused, sizeof refused - 1)) {
        n = recv(client.fd, bytes + used, sizeof bytes - used, 0);
        used += n > 0 ? (size_t)n : 0;
    }
    assert_true(n > 0);
    assert_int_equal(server_counts(server).requests, 16);
    client_done(&client);
    SERVER_WAIT(server, cancelled, 16);
    server_free(server);
}

static void test_ends_connections_that_reset_rapidly(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (int i = 0; i < 20; i++) {
        struct h2_stream *stream = h2_request(client, "GET", "/hold", NULL, 0);
        nghttp2_session_send(client->session);
        h2_reset(client, stream);
        h2_finish(client, stream);
    }
    assert_still_serves(client);
    assert_int_equal(client->goaways, 0);
    struct h2_stream *stream = h2_request(client, "GET", "/hold", NULL, 0);
    nghttp2_session_send(client->session);
    h2_reset(client, stream);
    H2_UNTIL(client, client->ended);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    SERVER_WAIT(server, cancelled, 21);
    assert_contains(server_counts(server).last_text, "ENHANCE_YOUR_CALM");
    h2_client_free(&client);
    server_free(server);
}

/* What the server is made to reset counts too: here by a body longer than its content-length. */
static void test_ends_connections_that_make_it_reset_rapidly(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (int i = 0; i < 21; i++) {
        struct h2_stream *stream = h2_request_with(client, "/now", "content-length", "1", true);
        h2_add(client, stream, "too long", 8, true);
        h2_finish(client, stream);
    }
    H2_UNTIL(client, client->ended);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(server_counts(server).requests, 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_ends_floods_of_empty_frames(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request_with(client, "/now", "x-a", "1", true);
    nghttp2_session_send(client->session);
    for (int i = 0; i < 21; i++)
        h2_send_frame(client, NGHTTP2_DATA, 0, (uint32_t)stream->id, NULL, 0);
    H2_UNTIL(client, client->ended);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    h2_client_free(&client);
    server_free(server);
}

/* Streams that were reset hold their place until their handler has answered. */
static void test_resets_do_not_make_room_for_more_work(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.resets_max = 0;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (int i = 0; i < 40; i++) {
        struct h2_stream *stream = h2_request(client, "GET", "/late?2000", NULL, 0);
        nghttp2_session_send(client->session);
        h2_turn(client, 5);
        if (!stream->closed)
            h2_reset(client, stream);
        h2_finish(client, stream);
        struct server_counts now = server_counts(server);
        assert_true(now.requests - now.finished <= 32); /* twice streams_max */
    }
    h2_client_free(&client);
    SERVER_WAIT(server, finished, server_counts(server).requests);
    server_free(server);
}

static bool sends_until_closed(struct h2_client *client, uint8_t type, uint8_t flags, uint32_t id,
                               size_t n) {
    char payload[64] = {0};
    struct timeval patience = {.tv_sec = 20};
    setsockopt(client->client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    uint8_t frame[H2_HEAD_BYTES + sizeof payload] = {0, 0, (uint8_t)n, type,       flags,
                                                     0, 0, 0,          (uint8_t)id};
    for (int i = 0; i < 5000000; i++)
        if (!client_try_send_n(&client->client, frame, H2_HEAD_BYTES + n))
            return true;
    return false;
}

static void check_flood(uint8_t type, uint8_t flags, uint32_t id, size_t n) {
    struct http_limits limits = server_default_limits();
    limits.write_timeout_ns = 1000 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    nghttp2_session_send(client->session);
    assert_true(sends_until_closed(client, type, flags, id, n));
    for (int tries = 0; server_connections(server) > 0 && tries < 1000; tries++)
        test_sleep_ms(10);
    assert_int_equal(server_connections(server), 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_ends_floods_of_pings(void **state) {
    (void)state;
    check_flood(NGHTTP2_PING, 0, 0, 8);
}

static void test_ends_floods_of_settings(void **state) {
    (void)state;
    check_flood(NGHTTP2_SETTINGS, 0, 0, 0);
}

static void test_ends_floods_of_continuations(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    nghttp2_session_send(client->session);
    uint8_t head[64];
    size_t n = h2_plain_head(head);
    h2_send_frame(client, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, head, n);
    assert_true(sends_until_closed(client, NGHTTP2_CONTINUATION, 0, 1, 0));
    SERVER_WAIT(server, refused, 1);
    assert_int_equal(server_counts(server).requests, 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_ends_a_head_that_does_not_end_in_time(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.header_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    h2_send_preface(&client->client);
    uint8_t head[64];
    size_t n = h2_plain_head(head);
    h2_send_frame(client, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, head, n);
    SERVER_WAIT(server, refused, 1);
    assert_int_equal(server_counts(server).last_reason, HTTP_REFUSED_TIMEOUT);
    char bytes[4096];
    while (recv(client->client.fd, bytes, sizeof bytes, 0) > 0) { /* until it is closed */
    }
    h2_client_free(&client);
    server_free(server);
}

static void test_refuses_bodies_that_do_not_come(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *slow = h2_request_with(client, "/now", "x-a", "1", true);
    h2_finish(client, slow);
    assert_refused(server, slow, 408, "the request's body did not arrive in time");
    /* A stream's may come when it likes. */
    struct h2_stream *stream = h2_request_with(client, "/echo", "x-a", "1", true);
    H2_UNTIL(client, stream->status == 200);
    test_sleep_ms(300);
    h2_add(client, stream, "late", 4, true);
    h2_finish(client, stream);
    assert_int_equal(stream->body.used, 4);
    h2_client_free(&client);
    server_free(server);
}

static void test_refuses_bodies_that_trickle(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_timeout_ns = 400 * TEST_MS;
    limits.body_bytes_per_s_min = 100000;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *slow = h2_request_with(client, "/now", "x-a", "1", true);
    for (int i = 0; i < 2000 && !slow->closed; i++) {
        h2_add(client, slow, "a", 1, false);
        h2_turn(client, 10);
    }
    assert_refused(server, slow, 408, "the request's body ");
    h2_client_free(&client);
    server_free(server);
}

static void test_drops_answers_whose_window_stays_shut(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.write_timeout_ns = 200 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client =
        h2_client_new(server_port(server), &(struct h2_options){.manual_windows = true});
    struct h2_stream *big = h2_request(client, "GET", "/big?100000", NULL, 0);
    struct h2_stream *poured = h2_request(client, "GET", "/pour?1000000", NULL, 0);
    h2_finish(client, big);
    h2_finish(client, poured);
    assert_int_equal(big->error_code, NGHTTP2_CANCEL);
    SERVER_WAIT(server, finished, 2);
    assert_int_equal(server_counts(server).complete, 0);
    assert_false(client->ended);
    h2_client_free(&client);
    server_free(server);
}

static void test_drops_connections_whose_socket_stays_full(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.write_timeout_ns = 300 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client =
        h2_client_new(server_port(server), &(struct h2_options){.window = 1 << 30});
    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    for (int i = 0; i < 4; i++)
        h2_request(client, "GET", "/big?30000000", NULL, 0);
    nghttp2_session_send(client->session);
    SERVER_WAIT(server, finished, 4);
    assert_int_equal(server_counts(server).complete, 0);
    assert_int_equal(server_connections(server), 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_idle_connections_get_a_goaway(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.idle_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    assert_still_serves(client);
    H2_UNTIL(client, client->ended);
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    assert_int_equal(server_counts(server).refused, 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_bodies_beyond_the_memory_wait_for_the_oldest(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_bytes_max = 200000;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    char *body = mem_new(190000);
    memset(body, 'b', 190000);
    struct h2_stream *streams[10];
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        streams[i] = h2_request(client, "POST", "/now", body, 190000);
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        h2_finish(client, streams[i]);
        assert_int_equal(streams[i]->status, 200);
        assert_int_equal(streams[i]->body.used, strlen("POST /now  ") + 190000);
    }
    mem_free(&body);
    h2_client_free(&client);
    server_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_large_bodies_and_keeps_the_connection),
        cmocka_unit_test(test_lets_the_handler_say_it_to_grpc_clients),
        cmocka_unit_test(test_refuses_large_heads),
        cmocka_unit_test(test_refuses_streams_beyond_the_limit),
        cmocka_unit_test(test_ends_connections_that_reset_rapidly),
        cmocka_unit_test(test_ends_connections_that_make_it_reset_rapidly),
        cmocka_unit_test(test_ends_floods_of_empty_frames),
        cmocka_unit_test(test_resets_do_not_make_room_for_more_work),
        cmocka_unit_test(test_ends_floods_of_pings),
        cmocka_unit_test(test_ends_floods_of_settings),
        cmocka_unit_test(test_ends_floods_of_continuations),
        cmocka_unit_test(test_ends_a_head_that_does_not_end_in_time),
        cmocka_unit_test(test_refuses_bodies_that_do_not_come),
        cmocka_unit_test(test_refuses_bodies_that_trickle),
        cmocka_unit_test(test_drops_answers_whose_window_stays_shut),
        cmocka_unit_test(test_drops_connections_whose_socket_stays_full),
        cmocka_unit_test(test_idle_connections_get_a_goaway),
        cmocka_unit_test(test_bodies_beyond_the_memory_wait_for_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
