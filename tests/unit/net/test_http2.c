#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "http2_support.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static char *long_body(size_t n) {
    char *body = mem_new(n + 1);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i * 7 % 23);
    return body;
}

static void assert_body(const struct h2_stream *stream, const char *expected) {
    assert_int_equal(stream->status, 200);
    assert_int_equal(stream->body.used, strlen(expected));
    assert_memory_equal(stream->body.data, expected, strlen(expected));
}

static void test_answers_on_the_port_of_http_1_1(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    static const char *const paths[] = {"/now", "/turn", "/message", "/late?5"};
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct h2_stream *stream = h2_request(client, "POST", paths[i], "hello", 5);
        h2_finish(client, stream);
        assert_true(stream->ended);
        char expected[60];
        bool query = strchr(paths[i], '?');
        snprintf(expected, sizeof expected, "POST %.*s %s hello", query ? 5 : 20, paths[i],
                 query ? "5" : "");
        assert_body(stream, expected);
        assert_contains(stream->headers, "content-type: text/plain\n");
        assert_contains(stream->headers, "content-length: ");
    }
    struct client other = client_new(server_port(server));
    client_send(&other, "GET /now HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_starts(client_response(&other, false), "HTTP/1.1 200 OK\r\n");
    client_done(&other);
    h2_client_free(&client);
    server_free(server);
}

static void test_answers_many_streams_at_once(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (int round = 0; round < 4; round++) {
        struct h2_stream *streams[12];
        for (size_t i = 0; i < ARRAY_LEN(streams); i++)
            streams[i] = h2_request(client, "GET", i % 2 ? "/now" : "/turn", NULL, 0);
        for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
            h2_finish(client, streams[i]);
            assert_body(streams[i], i % 2 ? "GET /now  " : "GET /turn  ");
        }
    }
    SERVER_WAIT(server, complete, 48);
    h2_client_free(&client);
    server_free(server);
}

static void test_reads_bytes_one_by_one(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    uint8_t bytes[256];
    size_t n = NGHTTP2_CLIENT_MAGIC_LEN;
    memcpy(bytes, NGHTTP2_CLIENT_MAGIC, n);
    memcpy(bytes + n, "\0\0\0\4\0\0\0\0\0", 9);
    n += 9;
    size_t head = h2_plain_head(bytes + n + 9);
    memcpy(bytes + n, "\0\0\0\1\5\0\0\0\1", 9);
    bytes[n + 2] = (uint8_t)head;
    n += 9 + head;
    for (size_t i = 0; i < n; i++) {
        client_send_n(&client, bytes + i, 1);
        test_sleep_ms(1);
    }
    SERVER_WAIT(server, complete, 1);
    client_done(&client);
    server_free(server);
}

static void test_reads_large_bodies_whole(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    enum { BYTES = 3000000 };
    char *body = long_body(BYTES);
    struct h2_stream *first = h2_request(client, "POST", "/now", body, BYTES);
    struct h2_stream *second = h2_request(client, "POST", "/turn", body, BYTES);
    struct h2_stream *streams[] = {first, second};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        h2_finish(client, streams[i]);
        size_t prefix = streams[i]->body.used - BYTES;
        assert_true(prefix < 20);
        assert_memory_equal(streams[i]->body.data + prefix, body, BYTES);
    }
    mem_free(&body);
    h2_client_free(&client);
    server_free(server);
}

static void test_writes_to_tiny_windows(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client =
        h2_client_new(server_port(server), &(struct h2_options){.window = 100});
    struct h2_stream *big = h2_request(client, "GET", "/big?70000", NULL, 0);
    struct h2_stream *small = h2_request(client, "GET", "/now", NULL, 0);
    h2_finish(client, small);
    h2_finish(client, big);
    assert_int_equal(big->body.used, strlen("GET /big 70000 ") + 70000);
    h2_client_free(&client);
    server_free(server);
}

static void test_writes_large_answers_to_slow_readers(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    enum { BYTES = 20 << 20 };
    struct h2_client *client =
        h2_client_new(server_port(server), &(struct h2_options){.window = 1 << 30});
    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    struct h2_stream *big = h2_request(client, "GET", "/big?20971520", NULL, 0);
    nghttp2_session_send(client->session);
    test_sleep_ms(200); /* the socket fills up */
    h2_finish(client, big);
    assert_int_equal(big->body.used, strlen("GET /big 20971520 ") + BYTES);
    SERVER_WAIT(server, complete, 1);
    h2_client_free(&client);
    server_free(server);
}

static void test_head_has_the_length_but_no_body(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request(client, "HEAD", "/now", NULL, 0);
    h2_finish(client, stream);
    assert_contains(stream->headers, "content-length: 11\n");
    assert_int_equal(stream->body.used, 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_trailers_follow_the_body(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request(client, "POST", "/trailers", "abc", 3);
    h2_finish(client, stream);
    assert_body(stream, "POST /trailers  abc");
    assert_contains(stream->headers, "--\nx-end: done\n");
    assert_null(strstr(stream->headers, "content-length"));
    struct client other = client_new(server_port(server));
    client_send(&other, "GET /trailers HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_starts(client_response(&other, false), "HTTP/1.1 200 OK\r\n");
    client_done(&other);
    h2_client_free(&client);
    server_free(server);
}

static void test_streams_go_both_ways(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request_with(client, "/echo", "x-a", "1", true);
    H2_UNTIL(client, stream->status == 200);
    h2_add(client, stream, "first", 5, false);
    H2_UNTIL(client, stream->body.used == 5);
    enum { BYTES = 1000000 };
    char *body = long_body(BYTES);
    h2_add(client, stream, body, BYTES, true);
    h2_finish(client, stream);
    assert_int_equal(stream->body.used, BYTES + 5);
    assert_memory_equal(stream->body.data, "first", 5);
    assert_memory_equal(stream->body.data + 5, body, BYTES);
    assert_contains(stream->headers, "--\nx-end: done\n");
    assert_int_equal(server_counts(server).data_bytes, BYTES + 5);
    mem_free(&body);
    struct h2_stream *empty = h2_request(client, "POST", "/echo", NULL, 0);
    h2_finish(client, empty);
    assert_int_equal(empty->body.used, 0);
    SERVER_WAIT(server, complete, 2);
    h2_client_free(&client);
    server_free(server);
}

static void test_a_stream_waits_for_its_reader(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client =
        h2_client_new(server_port(server), &(struct h2_options){.manual_windows = true});
    struct h2_stream *stream = h2_request(client, "GET", "/pour?4000000", NULL, 0);
    H2_UNTIL(client, stream->body.used == 65535);
    while (h2_turn(client, 50)) {
    }
    assert_int_equal(stream->body.used, 65535);
    assert_in_range(server_counts(server).poured, 524288, 524288 + 65535 + 30000);
    assert_int_equal(server_counts(server).finished, 0);
    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, 8 << 20);
    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, stream->id, 8 << 20);
    h2_finish(client, stream);
    assert_int_equal(stream->body.used, 4000000);
    assert_true(server_counts(server).writable > 0);
    h2_client_free(&client);
    server_free(server);
}

static void test_an_answer_before_the_end_of_the_body_ends_the_stream(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request_with(client, "/early", "x-a", "1", true);
    h2_finish(client, stream);
    assert_body(stream, "POST /early  ");
    assert_true(stream->ended);
    assert_int_equal(stream->error_code, NGHTTP2_NO_ERROR);
    h2_client_free(&client);
    server_free(server);
}

static void test_a_reset_cancels_its_request_only(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *gone = h2_request(client, "GET", "/hold", NULL, 0);
    struct h2_stream *stream = h2_request_with(client, "/echo", "x-a", "1", true);
    struct h2_stream *body = h2_request_with(client, "/now", "x-a", "1", true);
    struct h2_stream *kept = h2_request(client, "GET", "/late?300", NULL, 0);
    H2_UNTIL(client, server_counts(server).requests == 3);
    h2_reset(client, gone);
    h2_reset(client, stream);
    h2_reset(client, body);
    h2_finish(client, kept);
    assert_body(kept, "GET /late 300 ");
    struct server_counts counts = server_counts(server);
    assert_int_equal(counts.cancelled, 2);
    assert_int_equal(counts.finished, 3);
    assert_int_equal(counts.complete, 1);
    h2_client_free(&client);
    server_free(server);
}

static void test_cancels_all_when_the_client_goes_away(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    for (int i = 0; i < 5; i++)
        h2_request(client, "GET", "/hold", NULL, 0);
    h2_request_with(client, "/echo", "x-a", "1", true);
    H2_UNTIL(client, server_counts(server).requests == 6);
    h2_client_free(&client);
    SERVER_WAIT(server, finished, 6);
    assert_int_equal(server_counts(server).cancelled, 6);
    assert_int_equal(server_active(server), 0);
    server_free(server);
}

static void test_a_held_request_outlives_its_answer_and_its_connection(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request(client, "POST", "/held?300", "body", 4);
    h2_finish(client, stream);
    assert_body(stream, "POST /held 300 body");
    assert_int_equal(server_counts(server).finished, 0);
    struct h2_stream *other = h2_request(client, "GET", "/now", NULL, 0);
    h2_finish(client, other);
    h2_client_free(&client);
    SERVER_WAIT(server, complete, 2);
    server_free(server);
}

static void test_says_continue_when_the_body_is_awaited(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request_with(client, "/now", "expect", "100-continue", true);
    H2_UNTIL(client, client->continues == 1);
    h2_add(client, stream, "body", 4, true);
    h2_finish(client, stream);
    assert_body(stream, "POST /now  body");
    h2_client_free(&client);
    server_free(server);
}

static void test_a_drain_serves_what_is_on_its_way(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *held = h2_request(client, "GET", "/hold", NULL, 0);
    H2_UNTIL(client, server_counts(server).requests == 1);
    server_call(server, listener_drain);
    H2_UNTIL(client, client->goaways == 1);
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    /* A request that crossed the first GOAWAY. nghttp2's client would not send it any more. */
    uint8_t head[64];
    size_t n = h2_plain_head(head);
    h2_send_frame(client, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3,
                  head, n);
    SERVER_WAIT(server, complete, 1);
    struct buffer raw;
    buffer_init(&raw, 1 << 20);
    server_release(server);
    SERVER_WAIT(server, complete, 2);
    char bytes[4096];
    ssize_t got = 0;
    while ((got = recv(client->client.fd, bytes, sizeof bytes, 0)) > 0) /* until it is closed */
        buffer_add(&raw, bytes, (size_t)got);
    assert_int_equal(got, 0);
    static const char last_goaway[] = "\0\0\x08\7\0\0\0\0\0\0\0\0\3\0\0\0\0";
    assert_non_null(memmem(raw.data, raw.used, last_goaway, sizeof last_goaway - 1));
    (void)held;
    buffer_done(&raw);
    h2_client_free(&client);
    for (int tries = 0; server_connections(server) > 0 && tries < 500; tries++)
        test_sleep_ms(10);
    assert_int_equal(server_connections(server), 0);
    server_free(server);
}

static void test_an_old_connection_ends_between_requests(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.age_ns_max = 300 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct client old = client_new(server_port(server));
    client_send(&old, "GET /now HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr(client_response(&old, false), "Connection: close"));
    struct h2_stream *held = h2_request(client, "GET", "/hold", NULL, 0);
    H2_UNTIL(client, client->goaways == 2);
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_last[1], held->id);
    assert_false(client->ended);
    server_release(server);
    h2_finish(client, held);
    assert_body(held, "GET /hold  ");
    H2_UNTIL(client, client->ended);
    client_send(&old, "GET /now HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_contains(client_response(&old, false), "Connection: close");
    client_done(&old);
    h2_client_free(&client);
    server_free(server);
}

static void test_close_retires_the_connection(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    struct h2_stream *stream = h2_request(client, "GET", "/close", NULL, 0);
    h2_finish(client, stream);
    assert_body(stream, "GET /close  ");
    assert_int_equal(client->goaway_last[0], INT32_MAX); /* without a stream it hears no second */
    H2_UNTIL(client, client->ended);
    h2_client_free(&client);
    server_free(server);
}

static void test_frees_what_is_still_open(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct h2_client *client = h2_client_new(server_port(server), NULL);
    h2_request(client, "GET", "/hold", NULL, 0);
    h2_request(client, "GET", "/pour?10000000", NULL, 0);
    h2_request_with(client, "/now", "x-a", "1", true);
    H2_UNTIL(client, server_counts(server).requests == 2);
    server_free(server);
    h2_client_free(&client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_on_the_port_of_http_1_1),
        cmocka_unit_test(test_answers_many_streams_at_once),
        cmocka_unit_test(test_reads_bytes_one_by_one),
        cmocka_unit_test(test_reads_large_bodies_whole),
        cmocka_unit_test(test_writes_to_tiny_windows),
        cmocka_unit_test(test_writes_large_answers_to_slow_readers),
        cmocka_unit_test(test_head_has_the_length_but_no_body),
        cmocka_unit_test(test_trailers_follow_the_body),
        cmocka_unit_test(test_streams_go_both_ways),
        cmocka_unit_test(test_a_stream_waits_for_its_reader),
        cmocka_unit_test(test_an_answer_before_the_end_of_the_body_ends_the_stream),
        cmocka_unit_test(test_a_reset_cancels_its_request_only),
        cmocka_unit_test(test_cancels_all_when_the_client_goes_away),
        cmocka_unit_test(test_a_held_request_outlives_its_answer_and_its_connection),
        cmocka_unit_test(test_says_continue_when_the_body_is_awaited),
        cmocka_unit_test(test_a_drain_serves_what_is_on_its_way),
        cmocka_unit_test(test_an_old_connection_ends_between_requests),
        cmocka_unit_test(test_close_retires_the_connection),
        cmocka_unit_test(test_frees_what_is_still_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
