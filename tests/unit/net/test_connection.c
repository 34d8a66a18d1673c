// Connections over real sockets: requests and answers, pipelining, keep-alive, refusals, timeouts,
// cancellation.
#include "net_support.h"

#include "base/memory.h"

#include <stdio.h>
#include <sys/socket.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path, length, body)                                                                   \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n" body

static void test_answers_and_keeps_the_connection(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    for (int i = 0; i < 3; i++) {
        client_send(&client, GET("/now?a=1"));
        const char *response = client_response(&client, false);
        assert_string_equal(response,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Count: 1\r\n"
                            "Content-Length: 13\r\n\r\nGET /now a=1 ");
    }
    assert_int_equal(server_connections(server), 1);
    client_done(&client);
    SERVER_WAIT(server, complete, 3);
    server_free(server);
}

static void test_answers_pipelined_requests_in_order(void **state) {
    (void)state;
    static const char *const paths[] = {"/now", "/turn", "/message", "/late?5", "/close"};
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    struct buffer text;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < 400; i++) {
        buffer_add_format(&text, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n%04d",
                          i == 399 ? paths[4] : paths[i % 4], i);
    }
    client_send_n(&client, text.data, text.used);
    for (int i = 0; i < 400; i++) {
        const char *response = client_response(&client, false);
        char number[8];
        snprintf(number, sizeof number, "%04d", i);
        assert_starts(response, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(response + strlen(response) - 4, number);
        assert_int_equal(strstr(response, "Connection: close") != NULL, i == 399);
    }
    assert_true(client_sees_end(&client, 1000));
    buffer_done(&text);
    client_done(&client);
    server_free(server);
}

static void test_reads_requests_byte_by_byte(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    const char *text = POST("/turn", "5", "hello") GET("/now");
    for (const char *at = text; *at; at++) {
        client_send_n(&client, at, 1);
        test_sleep_ms(1);
    }
    assert_contains(client_response(&client, false), "POST /turn  hello");
    assert_contains(client_response(&client, false), "GET /now  ");
    client_done(&client);
    server_free(server);
}

static void check_large(struct server *server, bool chunked, size_t n) {
    struct client client = client_new(server_port(server));
    struct buffer text;
    buffer_init(&text, 1 << 26);
    buffer_add_c(&text, "POST /now HTTP/1.1\r\nHost: h\r\n");
    if (chunked)
        buffer_add_c(&text, "Transfer-Encoding: chunked\r\n\r\n");
    else
        buffer_add_format(&text, "Content-Length: %zu\r\n\r\n", n);
    for (size_t at = 0; at < n;) {
        size_t piece = n - at < 9973 ? n - at : 9973;
        if (chunked)
            buffer_add_format(&text, "%zx\r\n", piece);
        for (size_t i = 0; i < piece; i++, at++)
            buffer_add_char(&text, (char)('a' + at % 23));
        if (chunked)
            buffer_add_c(&text, "\r\n");
    }
    buffer_add_c(&text, chunked ? "0\r\n\r\n" GET("/now") : GET("/now"));
    client_send_n(&client, text.data, text.used);
    buffer_done(&text);
    const char *response = client_response(&client, false);
    assert_starts(response, "HTTP/1.1 200 OK\r\n");
    const char *body = strstr(response, "POST /now  ") + 11;
    assert_int_equal(strlen(body), n);
    for (size_t i = 0; i < n; i++)
        if (body[i] != (char)('a' + i % 23))
            fail_msg("byte %zu is wrong", i);
    assert_contains(client_response(&client, false), "GET /now");
    client_done(&client);
}

static void test_reads_large_bodies_whole(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    check_large(server, false, 3000000);
    check_large(server, false, 16000);
    check_large(server, true, 3000000);
    check_large(server, true, 16384);
    server_free(server);
}

static void test_writes_large_answers_to_slow_readers(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/big?20000000") GET("/now"));
    test_sleep_ms(100);
    assert_int_equal(server_counts(server).finished, 0);
    const char *response = client_response(&client, false);
    assert_contains(response, "Content-Length: 20000018\r\n");
    assert_int_equal(strspn(strstr(response, "20000000 ") + 9, "x"), 20000000);
    assert_contains(client_response(&client, false), "GET /now");
    client_done(&client);
    server_free(server);
}

static void test_head_has_the_length_but_no_body(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, "HEAD /now HTTP/1.1\r\nHost: h\r\n\r\n" GET("/now"));
    assert_contains(client_response(&client, true), "Content-Length: 11\r\n");
    assert_starts(client_response(&client, false), "HTTP/1.1 200 OK\r\n");
    client_done(&client);
    server_free(server);
}

static void test_keeps_an_http_1_0_connection_only_when_asked(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_contains(client_response(&client, false), "Connection: keep-alive\r\n");
    client_send(&client, "GET /now HTTP/1.0\r\n\r\n");
    assert_contains(client_response(&client, false), "Connection: close\r\n");
    assert_true(client_sees_end(&client, 1000));
    client_done(&client);
    server_free(server);
}

static void test_says_continue_when_the_body_is_awaited(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, "POST /now HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                         "Content-Length: 2\r\n\r\n");
    assert_string_equal(client_response(&client, true), "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(&client, "ab");
    assert_contains(client_response(&client, false), "POST /now  ab");
    client_send(&client, "POST /now HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                         "Content-Length: 2\r\n\r\na");
    assert_true(client_sees_nothing(&client, 50));
    client_send(&client, "b");
    assert_starts(client_response(&client, false), "HTTP/1.1 200 OK\r\n");
    client_send(&client, "POST /now HTTP/1.1\r\nHost: h\r\nExpect: coffee\r\n"
                         "Content-Length: 2\r\n\r\n");
    assert_starts(client_response(&client, false), "HTTP/1.1 417 Expectation Failed\r\n");
    assert_true(client_sees_end(&client, 3000));
    client_done(&client);
    server_free(server);
}

/* One refused request on a connection of its own. */
static void check_refused(struct server *server, const char *text, const char *status, bool kept) {
    struct client client = client_new(server_port(server));
    unsigned before = server_counts(server).refused;
    client_send(&client, text);
    const char *response = client_response(&client, false);
    assert_starts(response, status);
    assert_contains(response, "Content-Type: application/json\r\n");
    assert_contains(response, "\r\n\r\n{\"error\":\"");
    assert_int_equal(strstr(response, "Connection: close\r\n") == NULL, kept);
    assert_int_equal(server_counts(server).refused, before + 1);
    assert_true(server_counts(server).last_answered);
    char id[48];
    snprintf(id, sizeof id, "X-Request-Id: refusal-%u\r\n", before + 1);
    assert_contains(response, id);
    if (kept) {
        client_send(&client, GET("/now"));
        assert_starts(client_response(&client, false), "HTTP/1.1 200 OK\r\n");
    } else {
        assert_true(client_sees_end(&client, 1000));
    }
    client_done(&client);
}

static void test_refuses_bad_requests_and_closes(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    check_refused(server, "NONSENSE\r\n\r\n", "HTTP/1.1 400 ", false);
    check_refused(server, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", false);
    check_refused(server, "PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n", "HTTP/1.1 505 ", false);
    check_refused(server,
                  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  "HTTP/1.1 400 ", false);
    check_refused(server, "POST /p?q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: br\r\n\r\n",
                  "HTTP/1.1 501 ", false);
    assert_string_equal(server_counts(server).last_path, "/p");
    server_free(server);
}

static char *long_text(const char *before, size_t n, const char *after) {
    struct buffer text;
    buffer_init(&text, 1 << 26);
    buffer_add_c(&text, before);
    for (size_t i = 0; i < n; i++)
        buffer_add_char(&text, 'a');
    buffer_add_c(&text, after);
    buffer_add_char(&text, '\0');
    return text.data;
}

static void test_holds_the_limits(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_bytes_max = 1000;
    struct server *server = server_new(&limits, NULL);
    char *target = long_text("GET /", 1024, " HTTP/1.1\r\nHost: h\r\n\r\n");
    check_refused(server, target, "HTTP/1.1 414 ", false);
    char *endless = long_text("GET /", 9000, "");
    check_refused(server, endless, "HTTP/1.1 414 ", false);
    assert_int_equal(server_counts(server).last_reason, HTTP_REFUSED_TOO_LARGE);
    char *header = long_text("GET / HTTP/1.1\r\nHost: h\r\nX: ", 9000, "");
    check_refused(server, header, "HTTP/1.1 431 ", false);
    char *short_body = long_text(POST("/now", "60000", ""), 60000, "");
    check_refused(server, short_body, "HTTP/1.1 413 ", true);
    check_refused(server, POST("/now", "70000", ""), "HTTP/1.1 413 ", false);
    check_refused(server,
                  "POST /now HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                  "Content-Length: 2000\r\n\r\n",
                  "HTTP/1.1 413 ", false);
    check_refused(server,
                  "POST /now HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n",
                  "HTTP/1.1 413 ", false);
    mem_free(&target);
    mem_free(&endless);
    mem_free(&header);
    mem_free(&short_body);
    server_free(server);
}

static void test_a_client_that_goes_on_sending_still_reads_the_refusal(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    char *text = long_text(POST("/now", "9000000", ""), 9000000, "");
    assert_true(client_try_send_n(&client, text, strlen(text)));
    assert_starts(client_response(&client, false), "HTTP/1.1 413 ");
    assert_true(client_sees_end(&client, 3000));
    mem_free(&text);
    client_done(&client);
    server_free(server);
}

static void test_the_rest_of_a_refused_body_has_one_timeout_as_a_whole(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_bytes_max = 1000;
    limits.body_timeout_ns = 300 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, POST("/now", "60000", ""));
    assert_starts(client_response(&client, false), "HTTP/1.1 413 ");
    uint64_t start = test_now_ms();
    while (test_now_ms() - start < 2000 && client_sees_nothing(&client, 50))
        client_send(&client, "x");
    assert_in_range(test_now_ms() - start, 250, 1500);
    client_done(&client);
    server_free(server);
}

static void test_times_out_slow_requests(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.header_timeout_ns = 300 * TEST_MS;
    limits.body_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    uint64_t start = test_now_ms();
    check_refused(server, "GET /now HTTP/1.1\r\nHo", "HTTP/1.1 408 ", false);
    assert_in_range(test_now_ms() - start, 290, 5000);
    struct server_counts counts = server_counts(server);
    assert_int_equal(counts.last_refusal, ERR_SLOW_REQUEST);
    assert_int_equal(counts.last_reason, HTTP_REFUSED_TIMEOUT);
    assert_int_equal(counts.last_bytes_in, sizeof "GET /now HTTP/1.1\r\nHo" - 1);
    assert_in_range(counts.last_duration_ns, 290 * TEST_MS, 5000 * TEST_MS);
    check_refused(server, POST("/now", "10", "abc"), "HTTP/1.1 408 ", false);
    assert_string_equal(server_counts(server).last_path, "/now");

    struct client silent = client_new(server_port(server));
    assert_true(client_sees_end(&silent, 5000));
    SERVER_WAIT(server, refused, 3);
    assert_false(server_counts(server).last_answered);
    client_done(&silent);

    /* The next request's timeout begins with its first byte. */
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/now"));
    client_response(&client, false);
    client_send(&client, "\r\n"); /* an empty line is not one */
    test_sleep_ms(400);
    client_send(&client, "GET /now HTTP/1.1\r\n");
    test_sleep_ms(50);
    client_send(&client, "Host: h\r\n\r\n");
    assert_starts(client_response(&client, false), "HTTP/1.1 200 ");
    client_done(&client);
    server_free(server);
}

static void test_refuses_a_body_that_trickles(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.body_timeout_ns = 200 * TEST_MS;
    limits.body_bytes_per_s_min = 1000;
    struct server *server = server_new(&limits, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, POST("/now", "100", ""));
    for (int i = 0; i < 30 && server_counts(server).refused == 0; i++) {
        client_send(&client, "a");
        test_sleep_ms(30);
    }
    assert_int_equal(server_counts(server).refused, 1);
    assert_starts(client_response(&client, false), "HTTP/1.1 408 ");
    client_done(&client);
    server_free(server);
}

static void test_closes_idle_connections_silently(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.idle_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/now"));
    client_response(&client, false);
    uint64_t start = test_now_ms();
    assert_true(client_sees_end(&client, 2000));
    assert_in_range(test_now_ms() - start, 80, 2000);
    assert_int_equal(server_counts(server).refused, 0);
    client_done(&client);
    server_free(server);
}

static void test_drops_answers_that_nobody_reads(void **state) {
    (void)state;
    struct http_limits limits = server_default_limits();
    limits.write_timeout_ns = 100 * TEST_MS;
    struct server *server = server_new(&limits, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/big?30000000"));
    SERVER_WAIT(server, finished, 1);
    assert_int_equal(server_counts(server).complete, 0);
    assert_int_equal(server_counts(server).cancelled, 0);
    client_done(&client);
    server_free(server);
}

static void test_cancels_when_the_client_goes_away(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client polite = client_new(server_port(server));
    client_send(&polite, GET("/hold"));
    SERVER_WAIT(server, requests, 1);
    client_done(&polite);
    SERVER_WAIT(server, cancelled, 1);

    struct client rude = client_new(server_port(server));
    client_send(&rude, GET("/late?300"));
    SERVER_WAIT(server, requests, 2);
    struct linger reset = {.l_onoff = 1};
    setsockopt(rude.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_done(&rude);
    SERVER_WAIT(server, cancelled, 2);
    assert_int_equal(server_active(server), 1); /* the handler has not answered yet */
    SERVER_WAIT(server, finished, 2);
    assert_int_equal(server_counts(server).complete, 0);
    server_free(server);
}

static void test_a_held_request_outlives_its_answer(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, POST("/held?100", "3", "abc") GET("/now"));
    assert_contains(client_response(&client, false), "POST /held 100 abc");
    assert_int_equal(server_counts(server).finished, 0);
    assert_true(client_sees_nothing(&client, 50));
    assert_contains(client_response(&client, false), "GET /now");
    SERVER_WAIT(server, complete, 2);

    client_send(&client, GET("/held?150")); /* gone while it is held */
    client_response(&client, false);
    client_done(&client);
    test_sleep_ms(50);
    assert_int_equal(server_counts(server).finished, 2);
    SERVER_WAIT(server, complete, 3);
    assert_int_equal(server_counts(server).cancelled, 0);

    struct client last = client_new(server_port(server));
    client_send(&last, "GET /held?1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client_response(&last, false);
    assert_true(client_sees_end(&last, 1000));
    client_done(&last);
    server_free(server);
}

static void test_a_body_cut_short_is_dropped_without_a_word(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, POST("/now", "10", "abc"));
    shutdown(client.fd, SHUT_WR);
    assert_true(client_sees_end(&client, 1000));
    assert_int_equal(server_counts(server).requests, 0);
    client_done(&client);
    server_free(server);
}

static void test_reads_on_after_what_was_sent_far_ahead(void **state) {
    (void)state;
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/hold"));
    SERVER_WAIT(server, requests, 1);
    char *text = long_text(POST("/now", "1000000", ""), 1000000, GET("/now"));
    client_send(&client, text);
    mem_free(&text);
    assert_true(client_sees_nothing(&client, 50));
    server_release(server);
    assert_contains(client_response(&client, false), "GET /hold");
    assert_contains(client_response(&client, false), "Content-Length: 1000011\r\n");
    assert_contains(client_response(&client, false), "GET /now");
    client_done(&client);
    server_free(server);
}

static void test_a_client_far_ahead_has_to_wait(void **state) {
    (void)state;
    enum { MEGABYTE = 1 << 20, FAR = 100 };
    struct server *server = server_new(NULL, NULL);
    struct client client = client_new(server_port(server));
    client_send(&client, GET("/hold"));
    SERVER_WAIT(server, requests, 1);
    char *text = mem_new(MEGABYTE);
    size_t sent = 0;
    for (int quiet = 0; quiet < 40 && sent < (size_t)FAR * MEGABYTE;) {
        ssize_t n = send(client.fd, text, MEGABYTE, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        if (n <= 0)
            test_sleep_ms(10);
    }
    mem_free(&text);
    assert_true(sent < (size_t)FAR * MEGABYTE); /* the kernel's buffers are full, not ours */
    client_done(&client);
    server_release(server);
    SERVER_WAIT(server, finished, 1);
    server_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_keeps_the_connection),
        cmocka_unit_test(test_answers_pipelined_requests_in_order),
        cmocka_unit_test(test_reads_requests_byte_by_byte),
        cmocka_unit_test(test_reads_large_bodies_whole),
        cmocka_unit_test(test_writes_large_answers_to_slow_readers),
        cmocka_unit_test(test_head_has_the_length_but_no_body),
        cmocka_unit_test(test_keeps_an_http_1_0_connection_only_when_asked),
        cmocka_unit_test(test_says_continue_when_the_body_is_awaited),
        cmocka_unit_test(test_refuses_bad_requests_and_closes),
        cmocka_unit_test(test_holds_the_limits),
        cmocka_unit_test(test_a_client_that_goes_on_sending_still_reads_the_refusal),
        cmocka_unit_test(test_the_rest_of_a_refused_body_has_one_timeout_as_a_whole),
        cmocka_unit_test(test_times_out_slow_requests),
        cmocka_unit_test(test_refuses_a_body_that_trickles),
        cmocka_unit_test(test_closes_idle_connections_silently),
        cmocka_unit_test(test_drops_answers_that_nobody_reads),
        cmocka_unit_test(test_cancels_when_the_client_goes_away),
        cmocka_unit_test(test_a_held_request_outlives_its_answer),
        cmocka_unit_test(test_a_body_cut_short_is_dropped_without_a_word),
        cmocka_unit_test(test_reads_on_after_what_was_sent_far_ahead),
        cmocka_unit_test(test_a_client_far_ahead_has_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
