// Datatypes, shapes, signatures, half precision.
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const int64_t none[1];

static void test_every_datatype_is_found_by_its_name_and_its_onnx_number(void **state) {
    (void)state;
    for (int i = 0; i < DATATYPE_COUNT; i++) {
        enum datatype datatype = (enum datatype)i;
        enum datatype found = DATATYPE_COUNT;
        assert_true(datatype_from_name(str_of(datatype_name(datatype)), &found));
        assert_int_equal(found, datatype);
        found = DATATYPE_COUNT;
        assert_true(datatype_from_onnx(datatype_to_onnx(datatype), &found));
        assert_int_equal(found, datatype);
    }
}

static void test_unknown_datatypes_are_not_found(void **state) {
    (void)state;
    static const char *const names[] = {"", "FP", "fp32", "FP32 ", "FP322", "STRING"};
    enum datatype found = DATATYPE_FP64;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(datatype_from_name(str_of(names[i]), &found));
    static const int numbers[] = {-1, 0, 14, 15, 17, 1000};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_false(datatype_from_onnx(numbers[i], &found));
    assert_int_equal(found, DATATYPE_FP64);
}

static void test_sizes_and_json_kinds_are_those_of_the_protocol(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        const char *name;
        size_t size;
        int onnx;
        enum datatype_json json;
    } rows[] = {
        {DATATYPE_BOOL, "BOOL", 1, 9, DATATYPE_JSON_BOOLEAN},
        {DATATYPE_UINT8, "UINT8", 1, 2, DATATYPE_JSON_UNSIGNED},
        {DATATYPE_UINT16, "UINT16", 2, 4, DATATYPE_JSON_UNSIGNED},
        {DATATYPE_UINT32, "UINT32", 4, 12, DATATYPE_JSON_UNSIGNED},
        {DATATYPE_UINT64, "UINT64", 8, 13, DATATYPE_JSON_UNSIGNED},
        {DATATYPE_INT8, "INT8", 1, 3, DATATYPE_JSON_SIGNED},
        {DATATYPE_INT16, "INT16", 2, 5, DATATYPE_JSON_SIGNED},
        {DATATYPE_INT32, "INT32", 4, 6, DATATYPE_JSON_SIGNED},
        {DATATYPE_INT64, "INT64", 8, 7, DATATYPE_JSON_SIGNED},
        {DATATYPE_FP16, "FP16", 2, 10, DATATYPE_JSON_REAL},
        {DATATYPE_BF16, "BF16", 2, 16, DATATYPE_JSON_REAL},
        {DATATYPE_FP32, "FP32", 4, 1, DATATYPE_JSON_REAL},
        {DATATYPE_FP64, "FP64", 8, 11, DATATYPE_JSON_REAL},
        {DATATYPE_BYTES, "BYTES", sizeof(struct str), 8, DATATYPE_JSON_TEXT},
    };
    assert_int_equal(sizeof rows / sizeof *rows, DATATYPE_COUNT);
    for (size_t i = 0; i < DATATYPE_COUNT; i++) {
        assert_string_equal(datatype_name(rows[i].datatype), rows[i].name);
        assert_int_equal(datatype_size(rows[i].datatype), rows[i].size);
        assert_int_equal(datatype_to_onnx(rows[i].datatype), rows[i].onnx);
        assert_int_equal(datatype_json(rows[i].datatype), rows[i].json);
    }
}

static void test_a_shape_sets_rank_count_and_bytes(void **state) {
    (void)state;
    struct tensor tensor;
    struct err_text text;
    static const int64_t shape[] = {2, 3, 4};
    assert_int_equal(tensor_set(&tensor, DATATYPE_INT16, shape, 3, &text), ERR_OK);
    assert_int_equal(tensor.datatype, DATATYPE_INT16);
    assert_int_equal(tensor.rank, 3);
    assert_int_equal(tensor.shape[2], 4);
    assert_int_equal(tensor.count, 24);
    assert_int_equal(tensor_bytes(&tensor), 48);
    assert_null(tensor.data);
}

static void test_a_scalar_has_one_element(void **state) {
    (void)state;
    struct tensor tensor;
    assert_int_equal(tensor_set(&tensor, DATATYPE_FP64, NULL, 0, NULL), ERR_OK);
    assert_int_equal(tensor.rank, 0);
    assert_int_equal(tensor.count, 1);
    assert_int_equal(tensor_bytes(&tensor), 8);
}

static void test_the_largest_count_is_accepted_and_one_more_is_not(void **state) {
    (void)state;
    struct tensor tensor;
    struct err_text text;
    static const int64_t largest[] = {TENSOR_COUNT_MAX};
    static const int64_t more[] = {TENSOR_COUNT_MAX + 1};
    static const int64_t parts[] = {1 << 18, 1 << 18};
    assert_int_equal(tensor_set(&tensor, DATATYPE_BYTES, largest, 1, &text), ERR_OK);
    assert_int_equal(tensor_set(&tensor, DATATYPE_BYTES, parts, 2, &text), ERR_OK);
    assert_int_equal(tensor.count, TENSOR_COUNT_MAX);
    assert_int_equal(tensor_set(&tensor, DATATYPE_BYTES, more, 1, &text), ERR_INVALID);
}

static void test_a_wrong_shape_is_refused_with_what_is_wrong_and_nothing_is_written(void **state) {
    (void)state;
    static const struct {
        int64_t shape[9];
        size_t rank;
        const char *text;
    } rows[] = {
        {{1, -1}, 2, "a dimension is at least 0, got shape [1,-1]"},
        {{0, -5}, 2, "a dimension is at least 0, got shape [0,-5]"},
        {{INT64_MIN}, 1, "a dimension is at least 0, got shape [-9223372036854775808]"},
        {{INT64_MAX, INT64_MAX},
         2,
         "a tensor has at most 68719476736 elements, got shape "
         "[9223372036854775807,9223372036854775807]"},
        {{4294967296, 4294967296, 4294967296, 4294967296},
         4,
         "a tensor has at most 68719476736 elements, got shape "
         "[4294967296,4294967296,4294967296,4294967296]"},
        {{0, 4611686018427387904, 4},
         3,
         "a tensor has at most 68719476736 elements, got shape [0,4611686018427387904,4]"},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, "a shape has at most 8 dimensions, got 9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor tensor = {.count = 77};
        struct err_text text;
        assert_int_equal(tensor_set(&tensor, DATATYPE_FP32, rows[i].shape, rows[i].rank, &text),
                         ERR_INVALID);
        assert_string_equal(text.s, rows[i].text);
        assert_int_equal(tensor.count, 77);
    }
}

static void test_a_dimension_of_zero_gives_an_empty_tensor(void **state) {
    (void)state;
    struct tensor tensor;
    static const int64_t shape[] = {5, 0, 7};
    assert_int_equal(tensor_set(&tensor, DATATYPE_FP32, shape, 3, NULL), ERR_OK);
    assert_int_equal(tensor.count, 0);
    assert_int_equal(tensor_bytes(&tensor), 0);
}

static void test_shapes_are_written_as_in_the_protocol(void **state) {
    (void)state;
    char out[SHAPE_TEXT_SIZE];
    static const int64_t shape[] = {-1, 30, 0};
    assert_string_equal(shape_format(shape, 3, out, sizeof out), "[-1,30,0]");
    assert_string_equal(shape_format(none, 0, out, sizeof out), "[]");
    static const int64_t wide[] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN,
                                   INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    assert_int_equal(strlen(shape_format(wide, 8, out, sizeof out)), 8 * 21 + 1);
}

static void test_a_shape_that_does_not_fit_its_text_is_cut(void **state) {
    (void)state;
    static const int64_t shape[] = {12, 34, 56};
    static const char whole[] = "[12,34,56]";
    for (size_t size = 1; size <= sizeof whole; size++) {
        char out[32];
        memset(out, 'x', sizeof out);
        shape_format(shape, 3, out, size);
        assert_int_equal(strlen(out), size - 1);
        assert_memory_equal(out, whole, size - 1);
        assert_int_equal(out[size], 'x');
    }
}

static char name_x[] = "X";
static char name_empty[] = "";
static char name_x2[] = "X2";
static struct tensor_spec specs[] = {
    {name_x, DATATYPE_FP32, 2, {-1, 30}},
    {name_empty, DATATYPE_INT64, 1, {-1}},
    {name_x2, DATATYPE_BYTES, 0, {0}},
};

static const struct signature signature = {.model = "m",
                                           .version = "1",
                                           .inputs = specs,
                                           .input_count = 2,
                                           .outputs = specs + 1,
                                           .output_count = 2};

static void test_inputs_and_outputs_are_found_by_their_whole_name(void **state) {
    (void)state;
    size_t index = 99;
    assert_true(signature_find_input(&signature, STR("X"), &index));
    assert_int_equal(index, 0);
    assert_true(signature_find_input(&signature, STR(""), &index));
    assert_int_equal(index, 1);
    assert_false(signature_find_input(&signature, STR("X2"), &index));
    assert_false(signature_find_input(&signature, STR("X\0"), &index));
    assert_true(signature_find_output(&signature, STR("X2"), &index));
    assert_int_equal(index, 1);
    assert_false(signature_find_output(&signature, STR("X"), &index));
}

static void expect_fit(enum datatype datatype, const int64_t *shape, size_t rank,
                       const char *expected) {
    struct tensor tensor;
    struct err_text text = {""};
    assert_int_equal(tensor_set(&tensor, datatype, shape, rank, &text), ERR_OK);
    enum err e = tensor_check_spec(&tensor, &specs[0], &signature, &text);
    assert_int_equal(e, expected ? ERR_INVALID : ERR_OK);
    assert_string_equal(text.s, expected ? expected : "");
}

static void test_a_tensor_fits_when_its_datatype_and_every_fixed_dimension_do(void **state) {
    (void)state;
    expect_fit(DATATYPE_FP32, (const int64_t[]){1, 30}, 2, NULL);
    expect_fit(DATATYPE_FP32, (const int64_t[]){0, 30}, 2, NULL);
    expect_fit(DATATYPE_FP32, (const int64_t[]){1000, 30}, 2, NULL);
}

static void test_a_tensor_that_does_not_fit_is_named_with_expected_and_found(void **state) {
    (void)state;
    expect_fit(DATATYPE_FP32, (const int64_t[]){1, 4}, 2,
               "unexpected shape for input 'X' for model 'm'. Expected [-1,30], got [1,4]");
    expect_fit(DATATYPE_FP32, (const int64_t[]){1, 0}, 2,
               "unexpected shape for input 'X' for model 'm'. Expected [-1,30], got [1,0]");
    expect_fit(DATATYPE_FP32, (const int64_t[]){30}, 1,
               "unexpected shape for input 'X' for model 'm'. Expected [-1,30], got [30]");
    expect_fit(DATATYPE_FP32, (const int64_t[]){1, 1, 30}, 3,
               "unexpected shape for input 'X' for model 'm'. Expected [-1,30], got [1,1,30]");
    expect_fit(DATATYPE_FP32, none, 0,
               "unexpected shape for input 'X' for model 'm'. Expected [-1,30], got []");
    expect_fit(DATATYPE_FP64, (const int64_t[]){1, 30}, 2,
               "inference input 'X' data-type is 'FP64', but model 'm' expects 'FP32'");
}

static void test_a_fixed_dimension_of_one_or_zero_is_fixed(void **state) {
    (void)state;
    for (int64_t fixed = 0; fixed <= 1; fixed++) {
        struct tensor_spec spec = {name_x, DATATYPE_FP32, 1, {fixed}};
        for (int64_t found = 0; found <= 2; found++) {
            struct tensor tensor;
            assert_int_equal(tensor_set(&tensor, DATATYPE_FP32, &found, 1, NULL), ERR_OK);
            assert_int_equal(tensor_check_spec(&tensor, &spec, &signature, NULL),
                             found == fixed ? ERR_OK : ERR_INVALID);
        }
    }
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void test_known_half_numbers_convert_both_ways(void **state) {
    (void)state;
    static const struct {
        float value;
        uint16_t fp16, bf16;
    } rows[] = {
        {0.0F, 0x0000, 0x0000},      {-0.0F, 0x8000, 0x8000},    {1.0F, 0x3C00, 0x3F80},
        {-2.0F, 0xC000, 0xC000},     {0.5F, 0x3800, 0x3F00},     {65280.0F, 0x7BF8, 0x477F},
        {0x1p-14F, 0x0400, 0x3880},  {0x1p-24F, 0x0001, 0x3380}, {INFINITY, 0x7C00, 0x7F80},
        {-INFINITY, 0xFC00, 0xFF80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(fp16_from_float(rows[i].value), rows[i].fp16);
        assert_int_equal(bf16_from_float(rows[i].value), rows[i].bf16);
        float back = fp16_to_float(rows[i].fp16);
        assert_memory_equal(&back, &rows[i].value, sizeof back);
        back = bf16_to_float(rows[i].bf16);
        assert_memory_equal(&back, &rows[i].value, sizeof back);
    }
}

static void test_every_half_number_survives_the_way_through_float(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        uint16_t half = (uint16_t)bits;
        if (isnan(fp16_to_float(half))) {
            assert_true((half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0);
            assert_true(isnan(fp16_to_float(fp16_from_float(fp16_to_float(half)))));
        } else {
            assert_int_equal(fp16_from_float(fp16_to_float(half)), half);
        }
        if (isnan(bf16_to_float(half)))
            assert_true(isnan(bf16_to_float(bf16_from_float(bf16_to_float(half)))));
        else
            assert_int_equal(bf16_from_float(bf16_to_float(half)), half);
    }
}

// Between two neighbouring half numbers: just below the middle, the middle, just above it.
static void expect_rounding(uint16_t low, uint16_t (*from)(float), float (*to)(uint16_t)) {
    uint16_t high = (uint16_t)(low + 1);
    float middle = (float)(((double)to(low) + (double)to(high)) / 2);
    uint32_t bits;
    memcpy(&bits, &middle, sizeof bits);
    assert_int_equal(from(float_of(bits - 1)), low);
    assert_int_equal(from(middle), low % 2 == 0 ? low : high);
    assert_int_equal(from(float_of(bits + 1)), high);
    assert_int_equal(from(-middle), (low % 2 == 0 ? low : high) | 0x8000);
}

static void test_rounding_is_to_nearest_and_ties_go_to_even(void **state) {
    (void)state;
    for (uint16_t low = 0; low < 0x7BFF; low++)
        expect_rounding(low, fp16_from_float, fp16_to_float);
    for (uint16_t low = 0; low < 0x7F7F; low++)
        expect_rounding(low, bf16_from_float, bf16_to_float);
}

static void test_numbers_beyond_the_range_become_infinite(void **state) {
    (void)state;
    assert_int_equal(fp16_from_float(65504.0F), 0x7BFF);
    assert_int_equal(fp16_from_float(65519.99F), 0x7BFF);
    assert_int_equal(fp16_from_float(65520.0F), 0x7C00);
    assert_int_equal(fp16_from_float(-65536.0F), 0xFC00);
    assert_int_equal(fp16_from_float(1e38F), 0x7C00);
    assert_int_equal(bf16_from_float(float_of(0x7F7F7FFF)), 0x7F7F);
    assert_int_equal(bf16_from_float(float_of(0x7F7F8000)), 0x7F80);
    assert_int_equal(bf16_from_float(float_of(0x7F7FFFFF)), 0x7F80);
}

static void test_a_nan_stays_a_nan_with_its_sign(void **state) {
    (void)state;
    static const uint32_t nans[] = {0x7F800001, 0x7FC00000, 0xFF800001, 0xFFFFFFFF, 0x7F80FFFF};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        uint16_t half = fp16_from_float(float_of(nans[i]));
        assert_true(isnan(fp16_to_float(half)));
        assert_int_equal(half >> 15, nans[i] >> 31);
        half = bf16_from_float(float_of(nans[i]));
        assert_true(isnan(bf16_to_float(half)));
        assert_int_equal(half >> 15, nans[i] >> 31);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_datatype_is_found_by_its_name_and_its_onnx_number),
        cmocka_unit_test(test_unknown_datatypes_are_not_found),
        cmocka_unit_test(test_sizes_and_json_kinds_are_those_of_the_protocol),
        cmocka_unit_test(test_a_shape_sets_rank_count_and_bytes),
        cmocka_unit_test(test_a_scalar_has_one_element),
        cmocka_unit_test(test_the_largest_count_is_accepted_and_one_more_is_not),
        cmocka_unit_test(test_a_wrong_shape_is_refused_with_what_is_wrong_and_nothing_is_written),
        cmocka_unit_test(test_a_dimension_of_zero_gives_an_empty_tensor),
        cmocka_unit_test(test_shapes_are_written_as_in_the_protocol),
        cmocka_unit_test(test_a_shape_that_does_not_fit_its_text_is_cut),
        cmocka_unit_test(test_inputs_and_outputs_are_found_by_their_whole_name),
        cmocka_unit_test(test_a_tensor_fits_when_its_datatype_and_every_fixed_dimension_do),
        cmocka_unit_test(test_a_tensor_that_does_not_fit_is_named_with_expected_and_found),
        cmocka_unit_test(test_a_fixed_dimension_of_one_or_zero_is_fixed),
        cmocka_unit_test(test_known_half_numbers_convert_both_ways),
        cmocka_unit_test(test_every_half_number_survives_the_way_through_float),
        cmocka_unit_test(test_rounding_is_to_nearest_and_ties_go_to_even),
        cmocka_unit_test(test_numbers_beyond_the_range_become_infinite),
        cmocka_unit_test(test_a_nan_stays_a_nan_with_its_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
