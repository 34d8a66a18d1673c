/* HTTP/1.1 answers, wherever they are cut. */
#include "wire_support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct wire_fixture fixture;

static int setup(void **state) {
    (void)state;
    wire_fixture_init(&fixture, wire1_new, 1, true);
    fixture.request.http1 = STR("GET / HTTP/1.1\r\n\r\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wire_fixture_done(&fixture);
    return 0;
}

static void begin(void) {
    wire_begin(fixture.wire, &fixture.tags[0], &fixture.request);
    assert_true(str_eq(wire_output(fixture.wire), fixture.request.http1));
    assert_int_equal(wire_output(fixture.wire).n, 0);
}

static enum err feed(const char *bytes) {
    struct err_text text;
    return wire_feed(fixture.wire, bytes, strlen(bytes), &text);
}

static void test_an_answer_is_the_same_wherever_it_is_cut(void **state) {
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\ninference-Header-Content-Length: 3\r\n"
                                 "X-Other: 77\r\nContent-Length: 5\r\n\r\nabcde";
    for (size_t cut = 1; cut < sizeof answer - 1; cut++) {
        struct err_text text;
        begin();
        assert_int_equal(wire_feed(fixture.wire, answer, cut, &text), ERR_OK);
        assert_int_equal(wire_feed(fixture.wire, answer + cut, sizeof answer - 1 - cut, &text),
                         ERR_OK);
        assert_string_equal(wire_said(&fixture), "0:200 json=3 n=5 body=abcde\n");
        assert_true(wire_is_open(fixture.wire));
    }
}

static void test_chunks_are_joined_and_continue_is_passed_over(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many Requests\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
                     ERR_OK);
    assert_string_equal(wire_said(&fixture), "0:429 n=3 body=abc\n");
}

static void test_the_next_request_may_begin_with_the_answer(void **state) {
    (void)state;
    begin();
    fixture.begin_more = 1;
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), ERR_OK);
    assert_string_equal(wire_said(&fixture), "0:200 n=0\n");
    assert_true(str_eq(wire_output(fixture.wire), fixture.request.http1));
    assert_int_equal(feed("HTTP/1.1 204 No Content\r\n\r\n"), ERR_OK);
    assert_string_equal(wire_said(&fixture), "0:204 n=0\n");
}

static void test_bodies_of_good_answers_are_not_kept_unless_asked_for(void **state) {
    (void)state;
    struct wire_fixture other;
    struct err_text text;
    struct str good = STR("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
               bad = STR("HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\ny");
    wire_fixture_init(&other, wire1_new, 1, false);
    wire_begin(other.wire, &other.tags[0], &fixture.request);
    (void)wire_output(other.wire);
    assert_int_equal(wire_feed(other.wire, good.p, good.n, &text), ERR_OK);
    assert_string_equal(wire_said(&other), "0:200 n=1\n");
    wire_begin(other.wire, &other.tags[0], &fixture.request);
    (void)wire_output(other.wire);
    assert_int_equal(wire_feed(other.wire, bad.p, bad.n, &text), ERR_OK);
    assert_string_equal(wire_said(&other), "0:500 n=1 body=y\n");
    wire_fixture_done(&other);
}

static void test_close_is_heeded(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
                     ERR_OK);
    assert_string_equal(wire_said(&fixture), "0:200 n=0\n");
    assert_false(wire_is_open(fixture.wire));
}

static void test_the_end_of_the_stream_may_end_an_answer(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("HTTP/1.1 200 OK\r\n\r\nabc"), ERR_OK);
    assert_string_equal(wire_said(&fixture), "");
    wire_end(fixture.wire);
    assert_string_equal(wire_said(&fixture), "0:200 n=3 body=abc\n");
    assert_false(wire_is_open(fixture.wire));
}

static void test_a_cut_answer_is_none(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), ERR_OK);
    wire_end(fixture.wire);
    assert_string_equal(wire_said(&fixture), "");
}

static void test_what_is_no_answer_is_refused(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("SSH-2.0-x\r\n"), ERR_INVALID);
    assert_false(wire_is_open(fixture.wire));
    assert_string_equal(wire_said(&fixture), "");
}

static void test_an_answer_that_nothing_asked_for_is_refused(void **state) {
    (void)state;
    begin();
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                     ERR_INVALID);
    assert_string_equal(wire_said(&fixture), "0:200 n=0\n");
}

static void test_an_answer_to_a_request_that_was_not_sent_yet_is_refused(void **state) {
    (void)state;
    begin();
    fixture.begin_more = 2;
    assert_int_equal(feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                     ERR_INVALID);
    assert_string_equal(wire_said(&fixture), "0:200 n=0\n");
}

static void test_a_cancelled_request_closes_the_wire(void **state) {
    (void)state;
    begin();
    wire_cancel(fixture.wire, &fixture.tags[0]);
    assert_false(wire_is_open(fixture.wire));
    wire_end(fixture.wire);
    assert_string_equal(wire_said(&fixture), "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_is_the_same_wherever_it_is_cut),
        TEST(test_chunks_are_joined_and_continue_is_passed_over),
        TEST(test_the_next_request_may_begin_with_the_answer),
        TEST(test_bodies_of_good_answers_are_not_kept_unless_asked_for),
        TEST(test_close_is_heeded),
        TEST(test_the_end_of_the_stream_may_end_an_answer),
        TEST(test_a_cut_answer_is_none),
        TEST(test_what_is_no_answer_is_refused),
        TEST(test_an_answer_that_nothing_asked_for_is_refused),
        TEST(test_an_answer_to_a_request_that_was_not_sent_yet_is_refused),
        TEST(test_a_cancelled_request_closes_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
