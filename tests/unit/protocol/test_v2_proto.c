// Messages by protobuf-c, compared with what real protobuf makes: the constants are
// SerializeToString() of what each comment says, in Python, from tritonclient's definitions.
#include "protocol/v2_proto.h"

#include <cmocka.h>

#define MESSAGE(array) ((struct str){(array), sizeof(array) - 1})

extern const ProtobufCMessageDescriptor inference__server_metadata_response__descriptor;

// error_message "no such model", infer_response with id "r1"
static const char stream_error[] = "\x0a\x0dno such model\x12\x04\x1a\x02r1";

// error_message "no", empty infer_response
static const char stream_error_without_id[] = "\x0a\x02no\x12\x00";

// ServerMetadataResponse: name "inferd", version "1", extensions "a", "bc"
static const char server_metadata[] = "\x0a\x06inferd\x12\x01\x31\x1a\x01\x61\x1a\x02\x62\x63";

static void expect_message(struct buffer *out, struct str expected) {
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, expected.n);
    assert_false(out->full);
    assert_int_equal(out->used, GRPC_PREFIX_SIZE + expected.n);
    assert_memory_equal(out->data, prefix, GRPC_PREFIX_SIZE);
    assert_memory_equal(out->data + GRPC_PREFIX_SIZE, expected.p, expected.n);
    buffer_clear(out);
}

static enum err unpack(struct arena *arena, struct str message, size_t bytes_max,
                       ProtobufCMessage **ret, struct err_text *text) {
    return v2_proto_unpack(arena, &inference__server_metadata_response__descriptor, message,
                           bytes_max, ret, text);
}

static void test_a_message_that_was_read_is_written_the_same(void **state) {
    (void)state;
    struct arena arena;
    struct buffer out;
    struct err_text text;
    ProtobufCMessage *message;
    arena_init(&arena);
    buffer_init(&out, GRPC_PREFIX_SIZE + sizeof server_metadata - 1);
    assert_int_equal(unpack(&arena, MESSAGE(server_metadata), 4096, &message, &text), ERR_OK);
    v2_proto_pack(&out, message);
    expect_message(&out, MESSAGE(server_metadata));
    buffer_done(&out);
    arena_done(&arena);
}

static void test_a_message_past_the_maximum_is_not_written(void **state) {
    (void)state;
    struct arena arena;
    struct buffer out;
    struct err_text text;
    ProtobufCMessage *message;
    arena_init(&arena);
    buffer_init(&out, GRPC_PREFIX_SIZE + sizeof server_metadata - 2);
    assert_int_equal(unpack(&arena, MESSAGE(server_metadata), 4096, &message, &text), ERR_OK);
    v2_proto_pack(&out, message);
    assert_true(out.full);
    assert_int_equal(out.used, 0);
    buffer_done(&out);
    arena_done(&arena);
}

static void test_what_is_read_stays_within_its_memory(void **state) {
    (void)state;
    struct arena arena;
    struct err_text text;
    ProtobufCMessage *message = NULL;
    arena_init(&arena);
    size_t max = 0;
    for (; unpack(&arena, MESSAGE(server_metadata), max, &message, &text); max++) {
        assert_null(message);
        assert_true(
            strncmp(text.s, "the ServerMetadataResponse of 18 bytes takes more than ", 55) == 0);
        arena_reset(&arena);
    }
    assert_true(arena.used <= max);
    arena_done(&arena);
}

static void test_what_is_not_the_message_is_refused(void **state) {
    (void)state;
    struct arena arena;
    struct err_text text;
    ProtobufCMessage *message = NULL;
    arena_init(&arena);
    assert_int_equal(unpack(&arena, STR("\x0a\5x"), 4096, &message, &text), ERR_INVALID);
    assert_string_equal(
        text.s, "Unable to parse the ServerMetadataResponse: its 3 bytes are no such message");
    assert_null(message);
    arena_done(&arena);
}

static void test_a_failed_request_of_a_stream_has_a_message_of_its_own(void **state) {
    (void)state;
    struct buffer out;
    buffer_init(&out, 4096);
    v2_proto_stream_error_write(&out, "no such model", STR("r1"));
    expect_message(&out, MESSAGE(stream_error));
    v2_proto_stream_error_write(&out, "no", (struct str){NULL, 0});
    expect_message(&out, MESSAGE(stream_error_without_id));
    buffer_done(&out);
}

// Clients refuse a message whose strings are not UTF-8.
static void test_the_texts_of_an_error_are_utf_8(void **state) {
    (void)state;
    struct buffer out;
    buffer_init(&out, 4096);
    v2_proto_stream_error_write(&out, "n\xffo", STR("\xff"));
    expect_message(&out, STR("\x0a\3n?o\x12\0"));
    v2_proto_stream_error_write(&out, "\xc3\xa4", STR("\xc3\xa4"));
    expect_message(&out, STR("\x0a\2\xc3\xa4\x12\4\x1a\2\xc3\xa4"));
    buffer_done(&out);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_that_was_read_is_written_the_same),
        cmocka_unit_test(test_a_message_past_the_maximum_is_not_written),
        cmocka_unit_test(test_what_is_read_stays_within_its_memory),
        cmocka_unit_test(test_what_is_not_the_message_is_refused),
        cmocka_unit_test(test_a_failed_request_of_a_stream_has_a_message_of_its_own),
        cmocka_unit_test(test_the_texts_of_an_error_are_utf_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
