// gRPC's headers, and its messages whole and in pieces.
#include "protocol/grpc.h"

#include <stdlib.h>

#include <cmocka.h>

#define HELLO "\0\0\0\0\5hello"

static void test_a_timeout_has_digits_and_a_unit(void **state) {
    (void)state;
    const struct {
        struct str value;
        uint64_t ns;
    } cases[] = {
        {STR("2H"), 7200000000000},
        {STR("3M"), 180000000000},
        {STR("1S"), 1000000000},
        {STR("250m"), 250000000},
        {STR("99u"), 99000},
        {STR("12345678n"), 12345678},
        {STR("0S"), 0},
        {STR("00000001S"), 1000000000},
        {STR("5124095H"), 18446742000000000000U}, // the last that fits
        {STR("5124096H"), UINT64_MAX},
        {STR("99999999H"), UINT64_MAX},
        {STR("99999999M"), 5999999940000000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t ns = 1;
        struct err_text text;
        assert_int_equal(grpc_timeout_read(cases[i].value, &ns, &text), ERR_OK);
        assert_true(ns == cases[i].ns);
    }
}

static void test_other_timeouts_are_refused(void **state) {
    (void)state;
    const struct str cases[] = {STR(""),    STR("S"),   STR("1"),   STR("123456789S"),
                                STR("1s"),  STR("-1S"), STR("+1S"), STR("1.5S"),
                                STR("1 S"), STR("S1"),  STR("1SS")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t ns = 1;
        struct err_text text;
        assert_int_equal(grpc_timeout_read(cases[i], &ns, &text), ERR_INVALID);
        assert_int_equal(ns, 1);
    }
    struct err_text text;
    uint64_t ns;
    assert_int_equal(grpc_timeout_read(STR("1s"), &ns, &text), ERR_INVALID);
    assert_string_equal(text.s,
                        "grpc-timeout is '1s', expected 1 to 8 digits and one of H, M, S, m, u, n");
}

static void test_known_codings_are_read_and_others_named(void **state) {
    (void)state;
    enum coding coding = CODING_GZIP;
    struct err_text text;
    assert_int_equal(grpc_coding_read(STR(""), &coding, &text), ERR_OK);
    assert_int_equal(coding, CODING_IDENTITY);
    assert_int_equal(grpc_coding_read(STR("deflate"), &coding, &text), ERR_OK);
    assert_int_equal(coding, CODING_DEFLATE);
    assert_int_equal(grpc_coding_read(STR(" gzip "), &coding, &text), ERR_OK);
    assert_int_equal(coding, CODING_GZIP);
    assert_int_equal(grpc_coding_read(STR("identity"), &coding, &text), ERR_OK);
    assert_int_equal(coding, CODING_IDENTITY);
    assert_int_equal(grpc_coding_read(STR("snappy"), &coding, &text), ERR_BAD_CODING);
    assert_string_equal(text.s, "grpc-encoding 'snappy' is not supported: use one of "
                                "identity,deflate,gzip");
    assert_int_equal(err_grpc_code(ERR_BAD_CODING), 12);
}

static void test_gzip_is_preferred_among_those_accepted(void **state) {
    (void)state;
    assert_int_equal(grpc_coding_accepted(STR("identity, deflate, gzip")), CODING_GZIP);
    assert_int_equal(grpc_coding_accepted(STR("identity,deflate")), CODING_DEFLATE);
    assert_int_equal(grpc_coding_accepted(STR("snappy,identity")), CODING_IDENTITY);
    assert_int_equal(grpc_coding_accepted((struct str){NULL, 0}), CODING_IDENTITY);
}

static void test_a_status_is_the_number_of_the_error_table(void **state) {
    (void)state;
    for (int e = 0; e < ERR_COUNT; e++)
        assert_int_equal(atoi(grpc_status((enum err)e)), err_grpc_code((enum err)e));
    assert_string_equal(grpc_status(ERR_OK), "0");
    assert_string_equal(grpc_status(ERR_BODY_TOO_LARGE), "8");
    assert_string_equal(grpc_status(ERR_UNAUTHENTICATED), "16");
}

static void expect_encoded(struct str text, const char *expected) {
    struct arena arena;
    arena_init(&arena);
    struct str encoded = grpc_message_encode(&arena, text);
    assert_int_equal(encoded.n, strlen(expected));
    assert_memory_equal(encoded.p, expected, encoded.n);
    arena_done(&arena);
}

static void test_a_message_is_percent_encoded(void **state) {
    (void)state;
    expect_encoded(STR("plain ~text"), "plain ~text");
    expect_encoded(STR("50%\n"), "50%25%0A");
    expect_encoded(STR("\xc3\xa4\x7f\0"), "%C3%A4%7F%00");
    expect_encoded(STR("\xff\xe4x"), "%FF%E4x"); // not UTF-8: as it is
    expect_encoded(STR(""), "");
}

static void test_a_long_message_is_cut_between_characters(void **state) {
    (void)state;
    static char text[GRPC_STATUS_MESSAGE_MAX + 100];
    struct arena arena;
    arena_init(&arena);
    memset(text, 'a', sizeof text);
    assert_int_equal(grpc_message_encode(&arena, (struct str){text, sizeof text}).n,
                     GRPC_STATUS_MESSAGE_MAX);
    for (size_t i = 1; i + 2 <= sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    struct str encoded = grpc_message_encode(&arena, (struct str){text, sizeof text});
    assert_true(encoded.n <= GRPC_STATUS_MESSAGE_MAX && encoded.n > GRPC_STATUS_MESSAGE_MAX - 6);
    assert_memory_equal(encoded.p + encoded.n - 6, "%C3%A4", 6);
    arena_done(&arena);
}

static void test_a_prefix_has_a_flag_and_a_length(void **state) {
    (void)state;
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, 0x01020304);
    assert_memory_equal(prefix, "\0\1\2\3\4", 5);
    grpc_prefix_write(prefix, true, 255);
    assert_memory_equal(prefix, "\1\0\0\0\xff", 5);
}

// ---- Unary ----

struct unary {
    struct buffer inflated;
    struct str message;
    struct err_text text;
};

static enum err unary_read(struct unary *unary, struct str body, enum coding coding, size_t max) {
    *unary = (struct unary){.text = {""}};
    buffer_init(&unary->inflated, 0);
    return grpc_unary_read(body, coding, max, &unary->inflated, &unary->message, &unary->text);
}

static void test_a_unary_message_is_a_view(void **state) {
    (void)state;
    struct unary unary;
    struct str body = STR(HELLO);
    assert_int_equal(unary_read(&unary, body, CODING_IDENTITY, 5), ERR_OK);
    assert_ptr_equal(unary.message.p, body.p + 5);
    assert_int_equal(unary.message.n, 5);
    assert_int_equal(unary_read(&unary, STR("\0\0\0\0\0"), CODING_GZIP, 0), ERR_OK);
    assert_int_equal(unary.message.n, 0);
}

static void expect_refused(struct str body, enum coding coding, enum err e, const char *text) {
    struct unary unary;
    assert_int_equal(unary_read(&unary, body, coding, 8), e);
    assert_string_equal(unary.text.s, text);
    buffer_done(&unary.inflated);
}

static void test_what_is_not_one_message_is_refused(void **state) {
    (void)state;
    expect_refused(STR(""), CODING_IDENTITY, ERR_INVALID, "the request has no gRPC message");
    expect_refused(STR("\0\0\0\0"), CODING_IDENTITY, ERR_INVALID,
                   "the request has a cut gRPC message");
    expect_refused(STR("\0\0\0\0\5hell"), CODING_IDENTITY, ERR_INVALID,
                   "the gRPC message is cut short: it has 5 bytes, and 4 came");
    expect_refused(STR(HELLO HELLO), CODING_IDENTITY, ERR_INVALID,
                   "the call takes one gRPC message of 5 bytes, and 15 bytes came");
    expect_refused(STR("\2\0\0\0\0"), CODING_GZIP, ERR_INVALID,
                   "a gRPC message begins with the flag byte 2, expected 0 or 1");
    expect_refused(STR("\1\0\0\0\0"), CODING_IDENTITY, ERR_INVALID,
                   "a gRPC message is flagged as compressed, and no grpc-encoding says how");
    expect_refused(STR("\1\0\0\0\4abcd"), CODING_GZIP, ERR_INVALID,
                   "the gzip body is damaged: incorrect header check");
}

static void test_a_large_message_is_refused_with_both_numbers(void **state) {
    (void)state;
    expect_refused(STR("\0\xff\xff\xff\xff"), CODING_IDENTITY, ERR_BODY_TOO_LARGE,
                   "the gRPC message has 4294967295 bytes, and at most 8 are accepted");
    assert_int_equal(err_grpc_code(ERR_BODY_TOO_LARGE), 8);
}

// ---- Compression ----

static struct str compress(enum coding coding, struct buffer *out) {
    struct err_text text;
    struct str parts[] = {STR("\0\0\0\0\0hello "), STR("hello "), STR("hello hello hello hello")};
    buffer_init(out, 1000);
    assert_int_equal(grpc_message_compress(coding, parts, 3, out, &text), ERR_OK);
    return buffer_str(out);
}

static void test_a_compressed_message_comes_back(void **state) {
    (void)state;
    static const enum coding codings[] = {CODING_GZIP, CODING_DEFLATE};
    for (size_t i = 0; i < 2; i++) {
        struct buffer out;
        struct unary unary;
        struct str body = compress(codings[i], &out);
        assert_int_equal(body.p[0], 1);
        assert_int_equal(unary_read(&unary, body, codings[i], 35), ERR_OK);
        assert_int_equal(unary.message.n, 35);
        assert_memory_equal(unary.message.p, "hello hello hello hello hello hello", 35);
        memset(unary.inflated.data + unary.inflated.used, 'x', GRPC_MESSAGE_SPARE);
        buffer_done(&unary.inflated);
        assert_int_equal(unary_read(&unary, body, codings[i], 34), ERR_BODY_TOO_LARGE);
        assert_non_null(strstr(unary.text.s, "has more than 34 bytes when decompressed, and at "
                                             "most 34 are accepted"));
        buffer_done(&unary.inflated);
        buffer_done(&out);
    }
}

static void test_identity_leaves_a_message_as_it_is(void **state) {
    (void)state;
    struct buffer out;
    struct str body = compress(CODING_IDENTITY, &out);
    assert_int_equal(body.n, 40);
    assert_memory_equal(body.p, "\0\0\0\0\x23hello hello", 16);
    buffer_done(&out);
}

static void test_a_compressed_answer_past_the_limit_is_an_error(void **state) {
    (void)state;
    struct err_text text;
    struct str part = STR(HELLO);
    for (size_t max = 0; max < 20; max++) {
        struct buffer out;
        buffer_init(&out, max);
        assert_int_equal(grpc_message_compress(CODING_GZIP, &part, 1, &out, &text), ERR_INTERNAL);
        assert_int_equal(out.used, 0);
        buffer_done(&out);
    }
}

// ---- Streams ----

static void expect_message(struct buffer *message, const char *expected) {
    assert_int_equal(message->used, strlen(expected));
    assert_memory_equal(message->data, expected, message->used);
    memset(message->data + message->used, 'x', GRPC_MESSAGE_SPARE);
    buffer_done(message);
}

static void test_messages_are_put_together_from_any_pieces(void **state) {
    (void)state;
    static const char stream[] = HELLO "\0\0\0\0\0" HELLO;
    static const char *const expected[] = {"hello", "", "hello"};
    for (size_t piece = 1; piece <= sizeof stream; piece++) {
        struct grpc_reader reader;
        struct err_text text;
        size_t found = 0;
        grpc_reader_init(&reader, CODING_IDENTITY, 5);
        for (size_t at = 0; at < sizeof stream - 1; at += piece) {
            size_t n = at + piece > sizeof stream - 1 ? sizeof stream - 1 - at : piece;
            struct str bytes = {stream + at, n};
            bool complete = true;
            while (complete) {
                struct buffer message;
                assert_int_equal(grpc_reader_feed(&reader, &bytes, &message, &complete, &text),
                                 ERR_OK);
                if (complete)
                    expect_message(&message, expected[found++]);
            }
            assert_int_equal(bytes.n, 0);
        }
        assert_int_equal(found, 3);
        assert_int_equal(grpc_reader_end(&reader, &text), ERR_OK);
        grpc_reader_done(&reader);
    }
}

static void test_compressed_and_plain_messages_may_alternate(void **state) {
    (void)state;
    struct buffer stream;
    compress(CODING_GZIP, &stream);
    buffer_add_str(&stream, STR(HELLO));
    struct str bytes = buffer_str(&stream);
    struct grpc_reader reader;
    struct buffer message;
    struct err_text text;
    bool complete = false;
    grpc_reader_init(&reader, CODING_GZIP, 100);
    assert_int_equal(grpc_reader_feed(&reader, &bytes, &message, &complete, &text), ERR_OK);
    assert_true(complete);
    expect_message(&message, "hello hello hello hello hello hello");
    assert_int_equal(grpc_reader_feed(&reader, &bytes, &message, &complete, &text), ERR_OK);
    assert_true(complete);
    expect_message(&message, "hello");
    grpc_reader_done(&reader);
    buffer_done(&stream);
}

static void test_a_promise_of_much_takes_little_memory(void **state) {
    (void)state;
    struct grpc_reader reader;
    struct buffer message;
    struct err_text text;
    bool complete = true;
    struct str bytes = STR("\0\xff\xff\xff\xff"
                           "some");
    grpc_reader_init(&reader, CODING_IDENTITY, SIZE_MAX);
    assert_int_equal(grpc_reader_feed(&reader, &bytes, &message, &complete, &text), ERR_OK);
    assert_false(complete);
    assert_true(reader.message.capacity < 4096);
    assert_int_equal(grpc_reader_end(&reader, &text), ERR_INVALID);
    assert_string_equal(text.s, "the stream ends inside a gRPC message");
    grpc_reader_done(&reader);
}

static void test_a_stream_refuses_what_a_unary_call_refuses(void **state) {
    (void)state;
    const struct {
        struct str bytes;
        enum err e;
    } cases[] = {
        {STR("\0\0\0\0\x9"), ERR_BODY_TOO_LARGE},
        {STR("\2\0\0\0\0"), ERR_INVALID},
        {STR("\1\0\0\0\4abcd"), ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grpc_reader reader;
        struct buffer message;
        struct err_text text;
        bool complete = true;
        struct str bytes = cases[i].bytes;
        grpc_reader_init(&reader, CODING_DEFLATE, 8);
        assert_int_equal(grpc_reader_feed(&reader, &bytes, &message, &complete, &text), cases[i].e);
        assert_false(complete);
        grpc_reader_done(&reader);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timeout_has_digits_and_a_unit),
        cmocka_unit_test(test_other_timeouts_are_refused),
        cmocka_unit_test(test_known_codings_are_read_and_others_named),
        cmocka_unit_test(test_gzip_is_preferred_among_those_accepted),
        cmocka_unit_test(test_a_status_is_the_number_of_the_error_table),
        cmocka_unit_test(test_a_message_is_percent_encoded),
        cmocka_unit_test(test_a_long_message_is_cut_between_characters),
        cmocka_unit_test(test_a_prefix_has_a_flag_and_a_length),
        cmocka_unit_test(test_a_unary_message_is_a_view),
        cmocka_unit_test(test_what_is_not_one_message_is_refused),
        cmocka_unit_test(test_a_large_message_is_refused_with_both_numbers),
        cmocka_unit_test(test_a_compressed_message_comes_back),
        cmocka_unit_test(test_identity_leaves_a_message_as_it_is),
        cmocka_unit_test(test_a_compressed_answer_past_the_limit_is_an_error),
        cmocka_unit_test(test_messages_are_put_together_from_any_pieces),
        cmocka_unit_test(test_compressed_and_plain_messages_may_alternate),
        cmocka_unit_test(test_a_promise_of_much_takes_little_memory),
        cmocka_unit_test(test_a_stream_refuses_what_a_unary_call_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
