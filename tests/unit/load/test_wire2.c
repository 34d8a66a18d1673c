/* HTTP/2 against a server made of nghttp2 in the same process. The server keeps requests until the
 * test answers them. */
#include "wire_support.h"

#include "base/check.h"
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <nghttp2/nghttp2.h>
#include <cmocka.h>

struct server {
    nghttp2_session *session;
    struct buffer heard; /* "/path=BODY\n" for each request */
    int32_t ids[8];
    size_t count;
    struct str rest; /* of the answer's body */
    int grpc_status; /* -1: no trailers */
};

static struct wire_fixture fixture;
static struct server server;

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *context) {
    (void)session, (void)frame, (void)flags, (void)context;
    if (str_eq((struct str){(const char *)name, name_length}, STR(":path")))
        buffer_add_format(&server.heard, "%.*s=", (int)value_length, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *context) {
    (void)session, (void)flags, (void)id, (void)context;
    buffer_add(&server.heard, data, MIN(n, (size_t)10));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)session, (void)context;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && frame->hd.stream_id > 0) {
        server.ids[server.count++ % 8] = frame->hd.stream_id;
        buffer_add_char(&server.heard, '\n');
    }
    return 0;
}

static int setup(void **state) {
    (void)state;
    wire_fixture_init(&fixture, wire2_new, 4, true);
    fixture.request = (struct wire_request){
        .fields = {{STR(":method"), STR("POST")},
                   {STR(":scheme"), STR("http")},
                   {STR(":authority"), STR("h")},
                   {STR(":path"), STR("/x")}},
        .field_count = 4,
        .body = STR("hello"),
    };
    server = (struct server){.grpc_status = -1};
    buffer_init(&server.heard, 1 << 20);
    nghttp2_session_callbacks *callbacks;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    CHECK(nghttp2_session_server_new(&server.session, callbacks, NULL) == 0);
    nghttp2_session_callbacks_del(callbacks);
    CHECK(nghttp2_submit_settings(server.session, 0, NULL, 0) == 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wire_fixture_done(&fixture);
    nghttp2_session_del(server.session);
    buffer_done(&server.heard);
    return 0;
}

/* Carries bytes both ways until both are silent. */
static void exchange(void) {
    bool quiet = false;
    while (!quiet) {
        struct str output = wire_output(fixture.wire);
        const uint8_t *data;
        quiet = output.n == 0;
        if (output.n > 0)
            assert_int_equal(
                nghttp2_session_mem_recv(server.session, (const uint8_t *)output.p, output.n),
                output.n);
        ssize_t n = nghttp2_session_mem_send(server.session, &data);
        struct err_text text;
        if (n > 0)
            assert_int_equal(wire_feed(fixture.wire, (const char *)data, (size_t)n, &text), ERR_OK);
        quiet = quiet && n == 0;
    }
}

static const char *heard(void) {
    buffer_add_char(&server.heard, '\0');
    server.heard.used = 0;
    return server.heard.data;
}

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *context) {
    (void)source, (void)context;
    size_t n = MIN(room, server.rest.n);
    memcpy(out, server.rest.p, n);
    server.rest = (struct str){server.rest.p + n, server.rest.n - n};
    if (server.rest.n > 0)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (server.grpc_status >= 0) {
        char status[16];
        snprintf(status, sizeof status, "%d", server.grpc_status);
        nghttp2_nv trailers[] = {field("grpc-status", status), field("grpc-message", "why%20not")};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        CHECK(nghttp2_submit_trailer(session, id, trailers, 2) == 0);
    }
    return (ssize_t)n;
}

static void answer(int32_t id, const char *status, struct str body) {
    nghttp2_nv head[] = {field(":status", status), field("inference-header-content-length", "2")};
    nghttp2_data_provider provider = {.read_callback = read_answer};
    server.rest = body;
    CHECK(nghttp2_submit_response(server.session, id, head, 2, &provider) == 0);
    exchange();
}

static void begin(int tag) {
    wire_begin(fixture.wire, &fixture.tags[tag], &fixture.request);
}

static void test_requests_go_out_and_answers_come_in_any_order(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(wire_is_open(fixture.wire));
        begin(i);
    }
    assert_false(wire_is_open(fixture.wire));
    exchange();
    assert_int_equal(server.count, 4);
    assert_string_equal(heard(), "/x=/x=/x=/x=hello\nhello\nhello\nhello\n");
    answer(server.ids[2], "200", STR("abc"));
    assert_string_equal(wire_said(&fixture), "2:200 json=2 n=3 body=abc\n");
    assert_true(wire_is_open(fixture.wire));
    answer(server.ids[0], "429", STR(""));
    assert_string_equal(wire_said(&fixture), "0:429 json=2 n=0\n");
    begin(2);
    exchange();
    answer(server.ids[4], "200", STR("d"));
    assert_string_equal(wire_said(&fixture), "2:200 json=2 n=1 body=d\n");
}

static void test_trailers_say_how_a_call_ended(void **state) {
    (void)state;
    begin(1);
    exchange();
    server.grpc_status = 8;
    answer(server.ids[0], "200", STR("q"));
    assert_string_equal(wire_said(&fixture), "1:200 grpc=8 message=why%20not json=2 n=1 body=q\n");
}

static void test_the_next_request_may_begin_with_the_answer(void **state) {
    (void)state;
    begin(0);
    exchange();
    fixture.begin_more = 3;
    for (int i = 0; i < 4; i++)
        answer(server.ids[i], "200", STR("x"));
    assert_string_equal(wire_said(&fixture), "0:200 json=2 n=1 body=x\n0:200 json=2 n=1 body=x\n"
                                             "0:200 json=2 n=1 body=x\n0:200 json=2 n=1 body=x\n");
    assert_int_equal(server.count, 4);
}

static void test_large_bodies_pass_both_windows(void **state) {
    (void)state;
    enum { SIZE = 3000000 };
    char *large = test_calloc(SIZE, 1);
    fixture.request.body = (struct str){large, SIZE};
    begin(0);
    /* The server's own window is 64 KiB: it must be given back for more to come. */
    for (int i = 0; i < 100 && server.count == 0; i++)
        exchange();
    assert_int_equal(server.count, 1);
    nghttp2_nv head[] = {field(":status", "200")};
    nghttp2_data_provider provider = {.read_callback = read_answer};
    server.rest = (struct str){large, SIZE};
    CHECK(nghttp2_submit_response(server.session, server.ids[0], head, 1, &provider) == 0);
    exchange();
    assert_true(str_starts(str_of(wire_said(&fixture)), STR("0:200 n=3000000 body=")));
    test_free(large);
}

static void test_a_reset_stream_is_refused(void **state) {
    (void)state;
    begin(3);
    exchange();
    CHECK(nghttp2_submit_rst_stream(server.session, 0, server.ids[0], NGHTTP2_REFUSED_STREAM) == 0);
    exchange();
    assert_string_equal(wire_said(&fixture), "3 refused: REFUSED_STREAM\n");
    assert_true(wire_is_open(fixture.wire));
}

static void test_a_cancelled_request_says_nothing_and_frees_its_place(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        begin(i);
    exchange();
    wire_cancel(fixture.wire, &fixture.tags[1]);
    assert_false(wire_is_open(fixture.wire));
    exchange();
    assert_true(wire_is_open(fixture.wire));
    begin(1);
    exchange();
    answer(server.ids[4], "200", STR("x"));
    assert_string_equal(wire_said(&fixture), "1:200 json=2 n=1 body=x\n");
}

static void test_after_goaway_what_is_in_flight_ends_and_nothing_begins(void **state) {
    (void)state;
    begin(0);
    exchange();
    CHECK(nghttp2_submit_goaway(server.session, 0, server.ids[0], NGHTTP2_NO_ERROR, NULL, 0) == 0);
    exchange();
    assert_false(wire_is_open(fixture.wire));
    answer(server.ids[0], "200", STR("x"));
    assert_string_equal(wire_said(&fixture), "0:200 json=2 n=1 body=x\n");
}

static void test_what_is_not_http2_is_refused(void **state) {
    (void)state;
    struct err_text text;
    struct str other = STR("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    begin(0);
    assert_int_equal(wire_feed(fixture.wire, other.p, other.n, &text), ERR_INVALID);
    assert_true(str_starts(str_of(text.s), STR("not HTTP/2")));
    assert_false(wire_is_open(fixture.wire));
}

static void test_what_breaks_the_rules_is_refused_at_once(void **state) {
    (void)state;
    struct err_text text;
    /* HEADERS with an index of HPACK that does not exist. */
    static const char head[] = {0, 0, 2, 1, 5, 0, 0, 0, 1, (char)0xbf, (char)0xff};
    begin(0);
    exchange();
    assert_int_equal(wire_feed(fixture.wire, head, sizeof head, &text), ERR_INVALID);
    assert_true(str_starts(str_of(text.s), STR("not HTTP/2")));
    assert_false(wire_is_open(fixture.wire));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_go_out_and_answers_come_in_any_order),
        TEST(test_trailers_say_how_a_call_ended),
        TEST(test_the_next_request_may_begin_with_the_answer),
        TEST(test_large_bodies_pass_both_windows),
        TEST(test_a_reset_stream_is_refused),
        TEST(test_a_cancelled_request_says_nothing_and_frees_its_place),
        TEST(test_after_goaway_what_is_in_flight_ends_and_nothing_begins),
        TEST(test_what_is_not_http2_is_refused),
        TEST(test_what_breaks_the_rules_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
