// Response heads.
#include "base/check.h"
#include "base/memory.h"
#include "net/http1_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

static void check_head(const struct http1_head *head, const char *expected) {
    struct buffer out;
    buffer_init(&out, 4096);
    http1_write_head(&out, head);
    buffer_add_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_done(&out);
}

static void test_writes_status_headers_and_length(void **state) {
    (void)state;
    struct http_header headers[] = {{STR("A"), STR("1")}, {STR("B"), STR("")}};
    check_head(&(struct http1_head){.status = 200,
                                    .headers = headers,
                                    .header_count = 2,
                                    .body_length = 12345678901,
                                    .minor_version = 1},
               "HTTP/1.1 200 OK\r\nA: 1\r\nB: \r\nContent-Length: 12345678901\r\n\r\n");
    check_head(&(struct http1_head){.status = 599, .minor_version = 1},
               "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n");
}

static void test_says_what_becomes_of_the_connection(void **state) {
    (void)state;
    check_head(&(struct http1_head){.status = 429, .minor_version = 1, .close = true},
               "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    check_head(&(struct http1_head){.status = 200, .minor_version = 0},
               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    check_head(&(struct http1_head){.status = 200, .minor_version = 0, .close = true},
               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static void test_gives_no_length_where_there_is_no_body(void **state) {
    (void)state;
    check_head(&(struct http1_head){.status = 204, .minor_version = 1},
               "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(http1_status_has_body(304));
    assert_false(http1_status_has_body(100));
    assert_true(http1_status_has_body(200));
}

static void test_a_value_cannot_end_its_header(void **state) {
    (void)state;
    uint64_t before = atomic_load(&anomaly_count);
    struct http_header header = {STR("A"), STR("x\r\nSet-Cookie: y\0z")};
    check_head(
        &(struct http1_head){
            .status = 200, .headers = &header, .header_count = 1, .minor_version = 1},
        "HTTP/1.1 200 OK\r\nA: x  Set-Cookie: y z\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(atomic_load(&anomaly_count) - before, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_status_headers_and_length),
        cmocka_unit_test(test_says_what_becomes_of_the_connection),
        cmocka_unit_test(test_gives_no_length_where_there_is_no_body),
        cmocka_unit_test(test_a_value_cannot_end_its_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
