// JSON values to elements of every datatype.
#include "v2_fixture.h"

static void expect_bytes(const struct v2_fixture *f, const void *expected, size_t size) {
    assert_int_equal(tensor_bytes(&f->request.inputs[0]), size);
    assert_memory_equal(f->request.inputs[0].data, expected, size);
}

// Every row: a datatype, a flat array of values, and the bytes it must become.
static void test_values_of_every_datatype_are_read_exactly(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        const char *data;
        size_t size;
        unsigned char bytes[32];
    } rows[] = {
        {DATATYPE_BOOL, "[true,false]", 2, {1, 0}},
        {DATATYPE_UINT8, "[0,255]", 2, {0, 255}},
        {DATATYPE_INT8, "[-128,127]", 2, {0x80, 0x7F}},
        {DATATYPE_UINT16, "[0,65535]", 4, {0, 0, 0xFF, 0xFF}},
        {DATATYPE_INT16, "[-32768,32767]", 4, {0, 0x80, 0xFF, 0x7F}},
        {DATATYPE_UINT32, "[1,4294967295]", 8, {1, 0, 0, 0, 255, 255, 255, 255}},
        {DATATYPE_INT32, "[-2147483648,2147483647]", 8, {0, 0, 0, 0x80, 255, 255, 255, 0x7F}},
        {DATATYPE_UINT64,
         "[9007199254740993,18446744073709551615]",
         16,
         {1, 0, 0, 0, 0, 0, 0x20, 0, 255, 255, 255, 255, 255, 255, 255, 255}},
        {DATATYPE_INT64,
         "[-9223372036854775808,9223372036854775807]",
         16,
         {0, 0, 0, 0, 0, 0, 0, 0x80, 255, 255, 255, 255, 255, 255, 255, 0x7F}},
        {DATATYPE_INT64,
         "[-9007199254740993,-0]",
         16,
         {0xFF, 255, 255, 255, 255, 255, 0xDF, 255, 0, 0, 0, 0, 0, 0, 0, 0}},
        {DATATYPE_INT8, "[3.0,-1.2e1]", 2, {3, 0xF4}},
        {DATATYPE_UINT16, "[1e3,-0.0]", 4, {0xE8, 3, 0, 0}},
        {DATATYPE_UINT64,
         "[4503599627370495.0,1E0]",
         16,
         {255, 255, 255, 255, 255, 255, 0x0F, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
        {DATATYPE_INT64,
         "[-4503599627370495.0,0e99]",
         16,
         {1, 0, 0, 0, 0, 0, 0xF0, 255, 0, 0, 0, 0, 0, 0, 0, 0}},
        {DATATYPE_FP32, "[1,-2.5]", 8, {0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0}},
        {DATATYPE_FP32, "[-0.0,-0]", 8, {0, 0, 0, 0x80, 0, 0, 0, 0x80}},
        {DATATYPE_FP32, "[0.1,1e-46]", 8, {0xCD, 0xCC, 0xCC, 0x3D, 0, 0, 0, 0}},
        {DATATYPE_FP32,
         "[3.4028235e38,18446744073709551616]",
         8,
         {0xFF, 0xFF, 0x7F, 0x7F, 0, 0, 0x80, 0x5F}},
        {DATATYPE_FP32, "[-7,-1]", 8, {0, 0, 0xE0, 0xC0, 0, 0, 0x80, 0xBF}},
        {DATATYPE_FP64,
         "[0.1,-1]",
         16,
         {0x9A, 0x99, 0x99, 0x99, 0x99, 0x99, 0xB9, 0x3F, 0, 0, 0, 0, 0, 0, 0xF0, 0xBF}},
        {DATATYPE_FP64,
         "[1.7976931348623157e308,5e-324]",
         16,
         {255, 255, 255, 255, 255, 255, 0xEF, 0x7F, 1, 0, 0, 0, 0, 0, 0, 0}},
        {DATATYPE_FP16, "[1,65504]", 4, {0, 0x3C, 0xFF, 0x7B}},
        {DATATYPE_FP16, "[65519.999,-0.0]", 4, {0xFF, 0x7B, 0, 0x80}},
        {DATATYPE_BF16, "[1,-2.5]", 4, {0x80, 0x3F, 0x20, 0xC0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, rows[i].datatype, (const int64_t[]){-1, 0});
        assert_int_equal(v2_fixture_read_data(&f, "[2]", rows[i].data), ERR_OK);
        expect_bytes(&f, rows[i].bytes, rows[i].size);
        v2_fixture_done(&f);
    }
}

// A decimal just above the middle between two FP16 numbers, so near that a float cannot tell:
// rounding twice would go down to even.
static void test_half_numbers_are_rounded_once(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP16, (const int64_t[]){-1, 0});
    assert_int_equal(v2_fixture_read_data(&f, "[4]",
                                          "[1.00048828125,1.000488281250001,1.00146484375,"
                                          "1.001464843749999]"),
                     ERR_OK);
    expect_bytes(&f, ((const uint16_t[]){0x3C00, 0x3C01, 0x3C02, 0x3C01}), 8);
    v2_fixture_done(&f);
    v2_fixture_init_one(&f, DATATYPE_BF16, (const int64_t[]){-1, 0});
    assert_int_equal(v2_fixture_read_data(&f, "[4]",
                                          "[1.00390625,1.003906250000001,-1.003906250000001,"
                                          "1.011718749999999]"),
                     ERR_OK);
    expect_bytes(&f, ((const uint16_t[]){0x3F80, 0x3F81, 0xBF81, 0x3F81}), 8);
    v2_fixture_done(&f);
}

static void test_strings_keep_every_byte(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    assert_int_equal(
        v2_fixture_read_data(&f, "[4]",
                             "[\"\",\"a\\u0000b\",\"\\ud83d\\ude00 \xc3\xa9\",\"\\\"\\\\\\n\"]"),
        ERR_OK);
    const struct str *elements = f.request.inputs[0].data;
    assert_true(str_eq(elements[0], STR("")));
    assert_true(str_eq(elements[1], STR("a\0b")));
    assert_true(str_eq(elements[2], STR("\xf0\x9f\x98\x80 \xc3\xa9")));
    assert_true(str_eq(elements[3], STR("\"\\\n")));
    v2_fixture_done(&f);
}

static void test_values_that_are_not_of_the_datatype_are_refused_with_their_place(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        const char *data;
        const char *text; // after "element 1 of input 'X' for model 'm' is "
    } rows[] = {
        {DATATYPE_BOOL, "[true,1]", "an integer, expected true or false (BOOL)"},
        {DATATYPE_BOOL, "[true,\"true\"]", "a string, expected true or false (BOOL)"},
        {DATATYPE_UINT8, "[0,256]", "a number outside 0 to 255 (UINT8)"},
        {DATATYPE_UINT8, "[0,-1]", "a number outside 0 to 255 (UINT8)"},
        {DATATYPE_UINT8, "[0,-1.0]", "a number outside 0 to 255 (UINT8)"},
        {DATATYPE_UINT8, "[0,1.5]", "a number with a fraction, expected an integer (UINT8)"},
        {DATATYPE_UINT8, "[0,true]", "a boolean, expected an integer (UINT8)"},
        {DATATYPE_UINT8, "[0,null]", "null, expected an integer (UINT8)"},
        {DATATYPE_UINT8, "[0,NaN]", "NaN or Infinity, expected an integer (UINT8)"},
        {DATATYPE_UINT16, "[0,65536]", "a number outside 0 to 65535 (UINT16)"},
        {DATATYPE_UINT32, "[0,4294967296]", "a number outside 0 to 4294967295 (UINT32)"},
        {DATATYPE_UINT64, "[0,18446744073709551616]",
         "a number outside 0 to 18446744073709551615 (UINT64)"},
        {DATATYPE_UINT64, "[0,4503599627370497.25]",
         "a real number of 2^52 or more, which may not be exact: write an integer (UINT64)"},
        {DATATYPE_INT8, "[0,128]", "a number outside -128 to 127 (INT8)"},
        {DATATYPE_INT8, "[0,-129]", "a number outside -128 to 127 (INT8)"},
        {DATATYPE_INT8, "[0,1e2,0]", NULL},
        {DATATYPE_INT8, "[0,1e3]", "a number outside -128 to 127 (INT8)"},
        {DATATYPE_INT8, "[0,3.5]", "a number with a fraction, expected an integer (INT8)"},
        {DATATYPE_INT8, "[0,\"3\"]", "a string, expected an integer (INT8)"},
        {DATATYPE_INT16, "[0,32768]", "a number outside -32768 to 32767 (INT16)"},
        {DATATYPE_INT32, "[0,-2147483649]", "a number outside -2147483648 to 2147483647 (INT32)"},
        {DATATYPE_INT64, "[0,9223372036854775808]",
         "a number outside -9223372036854775808 to 9223372036854775807 (INT64)"},
        {DATATYPE_INT64, "[0,-9223372036854775809]",
         "a number outside -9223372036854775808 to 9223372036854775807 (INT64)"},
        {DATATYPE_INT64, "[0,1e999]",
         "a number outside -9223372036854775808 to 9223372036854775807 (INT64)"},
        {DATATYPE_INT64, "[0,-1e300]",
         "a real number of 2^52 or more, which may not be exact: write an integer (INT64)"},
        {DATATYPE_FP16, "[0,65520]", "a number outside what the datatype can hold (FP16)"},
        {DATATYPE_FP16, "[0,-1e39]", "a number outside what the datatype can hold (FP16)"},
        {DATATYPE_BF16, "[0,3.4e38]", "a number outside what the datatype can hold (BF16)"},
        {DATATYPE_FP32, "[0.5,3.5e38]", "a number outside what the datatype can hold (FP32)"},
        {DATATYPE_FP32, "[0.5,-1e300]", "a number outside what the datatype can hold (FP32)"},
        {DATATYPE_FP64, "[0,1e309]", "a number outside what the datatype can hold (FP64)"},
        {DATATYPE_FP32, "[0,NaN]", "NaN or Infinity, expected a number (FP32)"},
        {DATATYPE_FP32, "[0,-Infinity]", "NaN or Infinity, expected a number (FP32)"},
        {DATATYPE_FP64, "[0,nan]", "NaN or Infinity, expected a number (FP64)"},
        {DATATYPE_FP32, "[0,null]", "null, expected a number (FP32)"},
        {DATATYPE_FP32, "[0.5,\"1\"]", "a string, expected a number (FP32)"},
        {DATATYPE_FP32, "[0,true]", "a boolean, expected a number (FP32)"},
        {DATATYPE_FP32, "[0,[1]]", "an array, expected a number (FP32)"},
        {DATATYPE_FP32, "[0,{}]", "an object, expected a number (FP32)"},
        {DATATYPE_BYTES, "[\"\",1]", "an integer, expected a string (BYTES)"},
        {DATATYPE_BYTES, "[\"\",null]", "null, expected a string (BYTES)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, rows[i].datatype, (const int64_t[]){-1, 0});
        const char *shape = rows[i].text ? "[2]" : "[3]";
        enum err e = v2_fixture_read_data(&f, shape, rows[i].data);
        assert_int_equal(e, rows[i].text ? ERR_INVALID : ERR_OK);
        if (rows[i].text) {
            static const char before[] =
                "Unable to parse 'data': element 1 of input 'X' for model 'm' is ";
            assert_memory_equal(f.text.s, before, sizeof before - 1);
            assert_string_equal(f.text.s + sizeof before - 1, rows[i].text);
        }
        v2_fixture_done(&f);
    }
}

static void test_a_very_long_integer_is_a_number_for_real_datatypes(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP64, (const int64_t[]){-1, 0});
    assert_int_equal(v2_fixture_read_data(&f, "[2]",
                                          "[123456789012345678901234567890,"
                                          "-100000000000000000000000000000000000000000000000000]"),
                     ERR_OK);
    expect_bytes(&f, ((const double[]){123456789012345678901234567890.0, -1e50}), 16);
    v2_fixture_done(&f);
}

static void test_data_may_be_flat_or_nested_to_the_shape(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        const char *data;
    } rows[] = {
        {"[1,2,3]", "[1,2,3,4,5,6]"},
        {"[1,2,3]", "[[[1,2,3],[4,5,6]]]"},
        {"[2,3,1]", "[[[1],[2],[3]],[[4],[5],[6]]]"},
        {"[6,1,1]", "[[[1]],[[2]],[[3]],[[4]],[[5]],[[6]]]"},
    };
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, -1, -1, 0});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(v2_fixture_read_data(&f, rows[i].shape, rows[i].data), ERR_OK);
        expect_bytes(&f, "\1\2\3\4\5\6", 6);
    }
    v2_fixture_done(&f);
}

static void test_a_nested_row_error_names_the_element_of_the_whole_tensor(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){-1, 3, 0});
    assert_int_equal(v2_fixture_read_data(&f, "[2,3]", "[[1.5,2.5,3.5],[4.5,\"x\",6]]"),
                     ERR_INVALID);
    v2_expect_text(&f, "Unable to parse 'data': element 4 of input 'X' for model 'm' is a string, "
                       "expected a number (FP32)");
    v2_fixture_done(&f);
}

static void test_a_scalar_is_an_array_of_one(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){0});
    assert_int_equal(v2_fixture_read_data(&f, "[]", "[7]"), ERR_OK);
    expect_bytes(&f, "\7", 1);
    assert_int_equal(v2_fixture_read_data(&f, "[]", "7"), ERR_INVALID);
    v2_expect_text(&f,
                   "Unable to parse 'data': input 'X' for model 'm' has an integer, expected an "
                   "array");
    assert_int_equal(v2_fixture_read_data(&f, "[]", "[[7]]"), ERR_INVALID);
    v2_expect_text(&f, "Unable to parse 'data': input 'X' for model 'm' has an array at depth 2, "
                       "expected values either flat or nested to shape []");
    v2_fixture_done(&f);
}

static void test_empty_tensors_may_be_flat_or_nested(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        const char *data;
    } rows[] = {{"[0,3]", "[]"}, {"[2,0]", "[]"}, {"[2,0]", "[[],[]]"}};
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, -1, 0});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(v2_fixture_read_data(&f, rows[i].shape, rows[i].data), ERR_OK);
        assert_int_equal(f.request.inputs[0].count, 0);
    }
    assert_int_equal(v2_fixture_read_data(&f, "[0,3]", "[[]]"), ERR_INVALID);
    assert_int_equal(v2_fixture_read_data(&f, "[2,0]", "[[]]"), ERR_INVALID);
    v2_fixture_done(&f);
}

static void test_a_wrong_number_of_values_is_refused_with_expected_and_found(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        const char *data;
        const char *text; // after "Unable to parse 'data': input 'X' for model 'm' "
    } rows[] = {
        {"[1,30]", "[1,2,3]", "got 3 values, expected 30 for shape [1,30]"},
        {"[1,30]", "[]", "got 0 values, expected 30 for shape [1,30]"},
        {"[0,30]", "[1]", "got 1 values, expected 0 for shape [0,30]"},
        {"[1,30]", "[[1,2,3]]", "got 3 values at depth 2, expected 30 for shape [1,30]"},
        {"[1,2]", "[[1,2,3]]", "got 3 values at depth 2, expected 2 for shape [1,2]"},
        {"[2,2]", "[[1,2]]", "got 1 values at depth 1, expected 2 for shape [2,2]"},
        {"[2,2]", "[[1,2],[3]]", "got 1 values at depth 2, expected 2 for shape [2,2]"},
        {"[2,2]", "[[1,2],3]",
         "has an integer at depth 2, expected values either flat or nested to shape [2,2]"},
        {"[1,50000000000]", "[[1,2]]",
         "got 2 values at depth 2, expected 50000000000 for shape [1,50000000000]"},
        {"[2,2]", "{}", "has an object, expected an array"},
    };
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP64, (const int64_t[]){-1, -1, 0});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(v2_fixture_read_data(&f, rows[i].shape, rows[i].data), ERR_INVALID);
        static const char before[] = "Unable to parse 'data': input 'X' for model 'm' ";
        assert_memory_equal(f.text.s, before, sizeof before - 1);
        assert_string_equal(f.text.s + sizeof before - 1, rows[i].text);
        assert_true(f.arena.used < 8192);
    }
    v2_fixture_done(&f);
}

// Fewer values in the whole text than the shape has: found without memory for the tensor.
static void test_a_short_text_with_a_large_shape_costs_no_tensor(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP64, (const int64_t[]){-1, -1, 0});
    struct buffer data;
    buffer_init(&data, SIZE_MAX);
    buffer_add_c(&data, "[[1,2,3]");
    for (int row = 1; row < 50; row++)
        buffer_add_c(&data, ",[]");
    buffer_add(&data, "]", 2);
    assert_int_equal(v2_fixture_read_data(&f, "[50,3]", data.data), ERR_INVALID);
    v2_expect_text(&f, "Unable to parse 'data': input 'X' for model 'm' got 0 values at depth 2, "
                       "expected 3 for shape [50,3]");
    buffer_done(&data);
    v2_fixture_done(&f);
}

static void test_nesting_beyond_the_rank_is_refused_at_any_depth(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, -1, 0});
    f.limits.tensor_bytes_max = 1 << 26;
    enum { DEPTH = 500000 };
    char *data = malloc(2 * DEPTH + 1);
    assert_non_null(data);
    memset(data, '[', DEPTH);
    memset(data + DEPTH, ']', DEPTH);
    data[2 * DEPTH] = '\0';
    assert_int_equal(v2_fixture_read_data(&f, "[1,1]", data), ERR_INVALID);
    v2_expect_text(&f, "Unable to parse 'data': element 0 of input 'X' for model 'm' is an array, "
                       "expected an integer (UINT8)");
    free(data);
    v2_fixture_done(&f);
}

static void test_errors_never_show_values(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        const char *data;
    } rows[] = {{DATATYPE_UINT8, "[424242,1]"},
                {DATATYPE_FP32, "[\"424242\",1]"},
                {DATATYPE_FP32, "[424242e300,1]"},
                {DATATYPE_BOOL, "[424242,1]"},
                {DATATYPE_INT8, "[\"424242\"]"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, rows[i].datatype, (const int64_t[]){-1, 0});
        assert_int_equal(v2_fixture_read_data(&f, "[2]", rows[i].data), ERR_INVALID);
        assert_null(strstr(f.text.s, "424242"));
        v2_fixture_done(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_datatype_are_read_exactly),
        cmocka_unit_test(test_half_numbers_are_rounded_once),
        cmocka_unit_test(test_strings_keep_every_byte),
        cmocka_unit_test(test_values_that_are_not_of_the_datatype_are_refused_with_their_place),
        cmocka_unit_test(test_a_very_long_integer_is_a_number_for_real_datatypes),
        cmocka_unit_test(test_data_may_be_flat_or_nested_to_the_shape),
        cmocka_unit_test(test_a_nested_row_error_names_the_element_of_the_whole_tensor),
        cmocka_unit_test(test_a_scalar_is_an_array_of_one),
        cmocka_unit_test(test_empty_tensors_may_be_flat_or_nested),
        cmocka_unit_test(test_a_wrong_number_of_values_is_refused_with_expected_and_found),
        cmocka_unit_test(test_a_short_text_with_a_large_shape_costs_no_tensor),
        cmocka_unit_test(test_nesting_beyond_the_rank_is_refused_at_any_depth),
        cmocka_unit_test(test_errors_never_show_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
