// The HTTP/1 codec: every case is fed whole, byte by byte, and cut in two at every place.
#include "codec_driver.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct http1_limits limits = {
    .body_bytes_max = 1000,
    .header_bytes_max = 400,
    .header_count_max = 8,
    .target_bytes_max = 100,
};

struct split {
    size_t first;
    size_t next;
};

static size_t piece(void *context, size_t fed, size_t total) {
    const struct split *split = context;
    (void)total;
    return fed == 0 ? split->first : split->next;
}

static char *run(struct str input, struct split split) {
    struct buffer out;
    buffer_init(&out, 1 << 20);
    codec_run(&limits, input, piece, &split, &out);
    buffer_add_char(&out, '\0');
    return out.data;
}

static void check(struct str input, const char *expected) {
    char *whole = run(input, (struct split){input.n, 1});
    assert_string_equal(whole, expected);
    char *bytes = run(input, (struct split){1, 1});
    assert_string_equal(bytes, expected);
    mem_free(&bytes);
    for (size_t at = 1; at < input.n; at++) {
        char *two = run(input, (struct split){at, input.n});
        assert_string_equal(two, expected);
        mem_free(&two);
    }
    mem_free(&whole);
}

#define H "Host: h\r\n"
#define CHECK_CASE(input, expected) check(STR(input), expected)

static void test_reads_a_request_without_a_body(void **state) {
    (void)state;
    CHECK_CASE("GET /v2/health/live?a=b HTTP/1.1\r\n" H "Accept:  x y \t\r\nE:\r\n\r\n",
               "GET /v2/health/live?a=b v=1.1 keep=1 Host:h;Accept:x y;E:; body= wire=65|");
    CHECK_CASE("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / v=1.1 keep=1 Host:h; body= wire=31|");
    CHECK_CASE("GET http://h/x HTTP/1.1\r\n" H "\r\n",
               "GET http://h/x v=1.1 keep=1 Host:h; body= wire=36|");
    CHECK_CASE("OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * v=1.1 keep=1 Host:h; body= wire=31|");
}

static void test_reads_a_body_of_known_length(void **state) {
    (void)state;
    CHECK_CASE("POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
               "POST /a v=1.1 keep=1 Host:h;Content-Length:5; body=hello wire=53|");
    CHECK_CASE("POST /a HTTP/1.1\r\n" H "content-length: 0\r\n\r\n",
               "POST /a v=1.1 keep=1 Host:h;content-length:0; body= wire=48|");
    CHECK_CASE("POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhel", "...");
}

static void test_joins_chunks_and_drops_extensions_and_trailers(void **state) {
    (void)state;
    CHECK_CASE(
        "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
        "3;x=\"y\"\r\nabc\r\n000A\r\n0123456789\r\n0\r\nT: z\r\nU: v\r\n\r\n",
        "POST /a v=1.1 keep=1 Host:h;Transfer-Encoding:chunked; body=abc0123456789 wire=106|");
    CHECK_CASE("POST /a HTTP/1.1\r\n" H "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
               "POST /a v=1.1 keep=1 Host:h;transfer-encoding:CHUNKED; body= wire=62|");
}

static void test_reads_pipelined_requests_in_order(void **state) {
    (void)state;
    CHECK_CASE("POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\n" H
               "\r\nPOST /3 HTTP/1.1\r\n" H
               "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /4 HTTP/1.0\r\n\r\nGE",
               "POST /1 v=1.1 keep=1 Host:h;Content-Length:2; body=ab wire=50|"
               "GET /2 v=1.1 keep=1 Host:h; body= wire=28|"
               "POST /3 v=1.1 keep=1 Host:h;Transfer-Encoding:chunked; body=x wire=68|"
               "GET /4 v=1.0 keep=0  body= wire=19|...");
}

static void test_knows_when_the_client_keeps_the_connection(void **state) {
    (void)state;
    CHECK_CASE("GET / HTTP/1.0\r\n\r\n", "GET / v=1.0 keep=0  body= wire=18|");
    CHECK_CASE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
               "GET / v=1.0 keep=1 Connection:keep-alive; body= wire=42|");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
               "GET / v=1.1 keep=0 Host:h;Connection:close; body= wire=46|");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "Connection: x, close\r\n\r\n",
               "GET / v=1.1 keep=0 Host:h;Connection:x, close; body= wire=49|");
}

static void test_knows_an_expectation(void **state) {
    (void)state;
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
               "POST / v=1.1 keep=1 expect Host:h;Expect:100-Continue;Content-Length:1; body=x "
               "wire=70|");
    CHECK_CASE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
               "POST / v=1.0 keep=0 Expect:100-continue;Content-Length:1; body=x wire=61|");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Expect: tea\r\nContent-Length: 1\r\n\r\nx",
               "!BAD_EXPECTATION kept");
}

static void test_refuses_what_could_smuggle_a_request(void **state) {
    (void)state;
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
               "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
               "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
               "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\nx", "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\nx", "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\nx", "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\nx",
               "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n", "!INVALID lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
               "!UNSUPPORTED lost");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", "!UNSUPPORTED lost");
    CHECK_CASE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\nHost: h\n\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "X y: a\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H ": a\r\n\r\n", "!INVALID lost");
}

static void test_refuses_bad_chunks(void **state) {
    (void)state;
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
    CHECK_CASE(CHUNKED "-1\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "g\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "3 \r\nabc\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "3\nabc\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "3\r\nabcd\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "fffffffffffffffff\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "0\r\nContent-Length: 3\r\n\r\n", "!INVALID lost");
    CHECK_CASE(CHUNKED "0\r\nX : 3\r\n\r\n", "!INVALID lost");
}

static void test_refuses_what_is_not_http_1(void **state) {
    (void)state;
    CHECK_CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!BAD_HTTP_VERSION lost");
    CHECK_CASE("GET / HTTP/2.0\r\n\r\n", "!BAD_HTTP_VERSION lost");
    CHECK_CASE("GET / HTTP/1.2\r\n\r\n", "!BAD_HTTP_VERSION lost");
    CHECK_CASE("GET /\r\n\r\n", "!BAD_HTTP_VERSION lost");
    CHECK_CASE("DESCRIBE rtsp://h/ RTSP/1.0\r\n\r\n", "!BAD_HTTP_VERSION lost");
    CHECK_CASE("\x16\x03\x01\x02\x00\x01", "!INVALID lost");
    CHECK_CASE("FOO / HTTP/1.1\r\n" H "\r\n", "!INVALID lost");
    CHECK_CASE("CONNECT h:80 HTTP/1.1\r\n" H "\r\n", "!UNSUPPORTED lost");
    CHECK_CASE("GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", "!INVALID lost");
    CHECK_CASE("GET /#x HTTP/1.1\r\n" H "\r\n", "!INVALID kept");
    CHECK_CASE("GET *x HTTP/1.1\r\n" H "\r\n", "!INVALID kept");
}

static void test_needs_one_host_in_http_1_1(void **state) {
    (void)state;
    CHECK_CASE("GET / HTTP/1.1\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\n" H "HOST: h\r\n\r\n", "!INVALID lost");
    CHECK_CASE("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / v=1.1 keep=1 Host:; body= wire=25|");
}

/* "GET /aaa HTTP/1.1", with as many headers and as long a target as asked. */
static char *request_of(size_t target, size_t headers, size_t value) {
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_add_c(&text, "GET /");
    for (size_t i = 1; i < target; i++)
        buffer_add_char(&text, 'a');
    buffer_add_c(&text, " HTTP/1.1\r\n" H);
    for (size_t i = 1; i < headers; i++) {
        buffer_add_c(&text, "X: ");
        for (size_t j = 0; j < value; j++)
            buffer_add_char(&text, 'v');
        buffer_add_c(&text, "\r\n");
    }
    buffer_add_c(&text, "\r\n");
    buffer_add_char(&text, '\0');
    return text.data;
}

static void check_made(size_t target, size_t headers, size_t value, const char *expected) {
    char *text = request_of(target, headers, value);
    if (expected) {
        check(str_of(text), expected);
    } else {
        char *seen = run(str_of(text), (struct split){1, 1});
        assert_non_null(strstr(seen, "wire="));
        mem_free(&seen);
    }
    mem_free(&text);
}

static void test_holds_the_limits_of_a_head(void **state) {
    (void)state;
    check_made(100, 1, 0, NULL);
    check_made(101, 1, 0, "!TARGET_TOO_LONG lost");
    check_made(500, 1, 0, "!TARGET_TOO_LONG lost");
    check_made(1, 8, 1, NULL);
    check_made(1, 9, 1, "!HEADERS_TOO_LARGE lost");
    /* 16 + 9 + 2 bytes, and 5 + value for the second header */
    check_made(1, 2, 400 - 27 - 5, NULL);
    check_made(1, 2, 400 - 27 - 4, "!HEADERS_TOO_LARGE lost");
    check_made(1, 2, 1000, "!HEADERS_TOO_LARGE lost");
}

static void test_refuses_a_large_body_before_it_comes(void **state) {
    (void)state;
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 1001\r\n\r\n", "!BODY_TOO_LARGE kept");
    CHECK_CASE("POST / HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n", "...");
    CHECK_CASE(CHUNKED "3e9\r\n", "!BODY_TOO_LARGE lost");
    CHECK_CASE(CHUNKED "3e8\r\n", "...");
    CHECK_CASE(CHUNKED "2\r\nab\r\n3e7\r\n", "!BODY_TOO_LARGE lost");
}

static void add_flood(struct buffer *text, const char *piece_text, size_t bytes) {
    buffer_add_c(text, CHUNKED);
    while (text->used < bytes)
        buffer_add_c(text, piece_text);
}

static void check_flood(const char *piece_text, size_t bytes, const char *expected) {
    struct buffer text;
    buffer_init(&text, 1 << 20);
    add_flood(&text, piece_text, bytes);
    for (size_t cut = 1; cut < 5000; cut += 499) {
        char *seen = run(buffer_str(&text), (struct split){cut, cut});
        assert_string_equal(seen, expected);
        mem_free(&seen);
    }
    buffer_done(&text);
}

static void test_refuses_a_flood_of_framing(void **state) {
    (void)state;
    struct buffer text;
    buffer_init(&text, 1 << 20);
    add_flood(&text, "1;a=bcdefghijklmnopqrstuvwxyz\r\nx\r\n", 30000);
    char *seen = run(buffer_str(&text), (struct split){77, 77});
    assert_string_equal(seen, "...");
    mem_free(&seen);
    buffer_clear(&text);
    buffer_add_c(&text, CHUNKED "1;");
    for (int i = 0; i < 70000; i++)
        buffer_add_char(&text, 'a');
    seen = run(buffer_str(&text), (struct split){500, 500});
    assert_string_equal(seen, "!BODY_TOO_LARGE lost");
    mem_free(&seen);
    seen = run(buffer_str(&text), (struct split){text.used, 1});
    assert_string_equal(seen, "!BODY_TOO_LARGE lost");
    mem_free(&seen);
    buffer_done(&text);
    check_flood("1;a=bcdefghijklmnopqrstuvwxyzbcdefghijklmnopqrstuvwxyzbcdefghijklmnopqrstuvwxyz"
                "bcdefghijklmnopqrstuvwxyzbcdefghijklmnopqrstuvwxyz\r\nx\r\n",
                100000, "!BODY_TOO_LARGE lost");
}

static void test_bounds_the_number_of_trailers(void **state) {
    (void)state;
    CHECK_CASE(CHUNKED "0\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\ng:1\r\nh:1\r\ni:1\r\n\r\n",
               "!HEADERS_TOO_LARGE lost");
}

static void test_announces_the_head_before_the_body(void **state) {
    (void)state;
    struct http1 codec;
    http1_init(&codec);
    http1_start(&codec, &limits);
    char text[] = "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody";
    size_t head = sizeof text - 1 - 4;
    size_t used = head;
    assert_int_equal(http1_feed(&codec, text, &used), HTTP1_HEAD);
    assert_true(codec.expect_continue);
    assert_int_equal(codec.wire_bytes, codec.head_bytes);
    assert_int_equal(http1_message_bytes(&codec), head + 4);
    used = head + 2;
    assert_int_equal(http1_feed(&codec, text, &used), HTTP1_MORE);
    used = head + 4;
    assert_int_equal(http1_feed(&codec, text, &used), HTTP1_REQUEST);
    assert_int_equal(codec.end, head + 4);
    http1_done(&codec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_request_without_a_body),
        cmocka_unit_test(test_reads_a_body_of_known_length),
        cmocka_unit_test(test_joins_chunks_and_drops_extensions_and_trailers),
        cmocka_unit_test(test_reads_pipelined_requests_in_order),
        cmocka_unit_test(test_knows_when_the_client_keeps_the_connection),
        cmocka_unit_test(test_knows_an_expectation),
        cmocka_unit_test(test_refuses_what_could_smuggle_a_request),
        cmocka_unit_test(test_refuses_bad_chunks),
        cmocka_unit_test(test_refuses_what_is_not_http_1),
        cmocka_unit_test(test_needs_one_host_in_http_1_1),
        cmocka_unit_test(test_holds_the_limits_of_a_head),
        cmocka_unit_test(test_refuses_a_large_body_before_it_comes),
        cmocka_unit_test(test_refuses_a_flood_of_framing),
        cmocka_unit_test(test_bounds_the_number_of_trailers),
        cmocka_unit_test(test_announces_the_head_before_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
