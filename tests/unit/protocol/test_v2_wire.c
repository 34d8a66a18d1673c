// Protobuf's wire format, field by field.
#include "protocol/v2_wire.h"

#include <cmocka.h>

static void test_fields_of_every_wire_type_are_views(void **state) {
    (void)state;
    struct str message = STR("\x08\x96\x01\x11"
                             "12345678"
                             "\x1a\x02hi\x25"
                             "1234\xf8\xff\xff\xff\x0f\0");
    const struct {
        uint32_t number;
        enum v2_wire_type type;
        struct str bytes;
    } expected[] = {
        {1, V2_WIRE_VARINT, STR("\x96\x01")},
        {2, V2_WIRE_FIXED64, STR("12345678")},
        {3, V2_WIRE_BYTES, STR("hi")},
        {4, V2_WIRE_FIXED32, STR("1234")},
        {(1 << 29) - 1, V2_WIRE_VARINT, STR("\0")},
    };
    const char *at = message.p;
    struct v2_wire_field field;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(v2_wire_next(&message, &field));
        assert_int_equal(field.number, expected[i].number);
        assert_int_equal(field.type, expected[i].type);
        assert_true(str_eq(field.bytes, expected[i].bytes));
        assert_ptr_equal(field.whole.p, at);
        at += field.whole.n;
        assert_ptr_equal(message.p, at);
    }
    assert_false(v2_wire_next(&message, &field));
    assert_int_equal(message.n, 0);
}

static void test_a_malformed_field_is_left_where_it_stands(void **state) {
    (void)state;
    const struct str cases[] = {
        STR("\x80"),                                          // a tag that is cut
        STR("\x08"),                                          // no value
        STR("\x08\x80"),                                      // a value that is cut
        STR("\x02\x00"),                                      // field number 0
        STR("\x0b"),                                          // a group
        STR("\x0e"),                                          // wire types 6 and 7
        STR("\x0f"),                                          //
        STR("\x0d\x01\x02\x03"),                              // four bytes announced
        STR("\x0a\x02x"),                                     // two bytes announced
        STR("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"), // 2^64-1 bytes announced
        STR("\x80\x80\x80\x80\x10\x00"),                      // field number 2^29
        STR("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"),  // over 64 bits
        STR("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str message = cases[i];
        struct v2_wire_field field;
        assert_false(v2_wire_next(&message, &field));
        assert_ptr_equal(message.p, cases[i].p);
        assert_int_equal(message.n, cases[i].n);
    }
}

static void test_numbers_are_written_in_as_few_bytes_as_they_need(void **state) {
    (void)state;
    const struct {
        uint64_t value;
        struct str bytes;
    } cases[] = {
        {0, STR("\0")},
        {127, STR("\x7f")},
        {128, STR("\x80\x01")},
        {300, STR("\xac\x02")},
        {UINT64_MAX, STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[V2_WIRE_VARINT_MAX];
        size_t n = (size_t)(v2_wire_put_varint(out, cases[i].value) - out);
        assert_int_equal(n, cases[i].bytes.n);
        assert_int_equal(n, v2_wire_varint_size(cases[i].value));
        assert_memory_equal(out, cases[i].bytes.p, n);
    }
}

static void test_a_string_is_written_with_tag_and_length(void **state) {
    (void)state;
    char out[16];
    assert_ptr_equal(v2_wire_put_str(out, 15, STR("hi")), out + 4);
    assert_memory_equal(out, "\x7a\x02hi", 4);
    assert_int_equal(v2_wire_bytes_size(2), 4);
    assert_int_equal(v2_wire_bytes_size(128), 131);
    assert_ptr_equal(v2_wire_put_str(out, 1, (struct str){NULL, 0}), out + 2);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_every_wire_type_are_views),
        cmocka_unit_test(test_a_malformed_field_is_left_where_it_stands),
        cmocka_unit_test(test_numbers_are_written_in_as_few_bytes_as_they_need),
        cmocka_unit_test(test_a_string_is_written_with_tag_and_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
