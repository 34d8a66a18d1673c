// The binary tensor extension: blobs after the JSON, and the raw request.
#include "v2_fixture.h"

#define TENSOR(name, shape, datatype, parameters)                                                  \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" datatype "\"" parameters "}"
#define SIZE(n) ",\"parameters\":{\"binary_data_size\":" n "}"
#define REQUEST(inputs) "{\"inputs\":[" inputs "]}"

static void test_blobs_are_taken_in_the_order_of_the_json(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_input(&f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
    v2_fixture_input(&f, DATATYPE_INT16, (const int64_t[]){-1, 0});
    v2_fixture_input(&f, DATATYPE_BOOL, (const int64_t[]){-1, 0});
    static const char json[] = REQUEST(
        TENSOR("Z", "[2]", "BOOL", SIZE("2")) "," TENSOR("X", "[3]", "UINT8", SIZE("3")) "," //
        TENSOR("Y", "[1]", "INT16", ",\"data\":[-2]"));
    assert_int_equal(v2_fixture_read_binary(&f, json, STR("\1\0abc")), ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "abc", 3);
    assert_memory_equal(f.request.inputs[1].data, "\xfe\xff", 2);
    assert_memory_equal(f.request.inputs[2].data, "\1\0", 2);
    v2_fixture_done(&f);
}

// JSON padded with spaces puts the blob at any alignment.
static void test_aligned_blobs_are_views_and_others_are_copies(void **state) {
    (void)state;
    static const float values[] = {1.5F, -2.5F};
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    for (int spaces = 0; spaces < 8; spaces++) {
        char json[256];
        snprintf(json, sizeof json, "%s%*s", REQUEST(TENSOR("X", "[1,2]", "FP32", SIZE("8"))),
                 spaces, "");
        assert_int_equal(
            v2_fixture_read_binary(&f, json, (struct str){(const char *)values, sizeof values}),
            ERR_OK);
        const char *blob = f.body + strlen(json);
        const char *data = f.request.inputs[0].data;
        assert_memory_equal(data, values, sizeof values);
        assert_int_equal((uintptr_t)data % 4, 0);
        assert_true((data == blob) == ((uintptr_t)blob % 4 == 0));
    }
    v2_fixture_done(&f);
}

static void test_a_size_that_is_missing_is_computed(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, 2, 0});
    assert_int_equal(
        v2_fixture_read_binary(&f, REQUEST(TENSOR("X", "[2,2]", "UINT8", "")), STR("abcd")),
        ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "abcd", 4);
    v2_fixture_done(&f);
}

static void test_an_empty_tensor_has_an_empty_blob(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    static const char json[] = REQUEST(TENSOR("X", "[0,2]", "FP32", SIZE("0")));
    assert_int_equal(v2_fixture_read_binary(&f, json, STR("")), ERR_OK);
    assert_int_equal(f.request.inputs[0].count, 0);
    v2_fixture_done(&f);
}

static void test_bytes_elements_point_into_the_body(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    static const char json[] = REQUEST(TENSOR("X", "[3]", "BYTES", SIZE("15")));
    assert_int_equal(v2_fixture_read_binary(&f, json, STR("\2\0\0\0a\0\0\0\0\0\1\0\0\0\xff")),
                     ERR_OK);
    const struct str *elements = f.request.inputs[0].data;
    assert_true(str_eq(elements[0], STR("a\0")));
    assert_true(str_eq(elements[1], STR("")));
    assert_true(str_eq(elements[2], STR("\xff")));
    assert_ptr_equal(elements[0].p, f.body + strlen(json) + 4);
    v2_fixture_done(&f);
}

static void test_blobs_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        const char *json;
        struct str blobs;
        const char *text;
    } rows[] = {
        {DATATYPE_UINT8,
         REQUEST(TENSOR("X", "[2]", "UINT8", SIZE("2"))),
         {"abc", 3},
         "unexpected additional input data for model 'm': 1 bytes follow the data of the last "
         "input"},
        {DATATYPE_UINT8,
         REQUEST(TENSOR("X", "[2]", "UINT8", ",\"data\":[1,2]")),
         {"a", 1},
         "unexpected additional input data for model 'm': 1 bytes follow the data of the last "
         "input"},
        {DATATYPE_UINT8,
         REQUEST(TENSOR("X", "[2]", "UINT8", SIZE("2"))),
         {"a", 1},
         "unexpected size for input 'X', expecting 1 additional bytes for model 'm': it has 2 "
         "bytes, "
         "and 1 are left in the body"},
        {DATATYPE_UINT8,
         REQUEST(TENSOR("X", "[2]", "UINT8", SIZE("18446744073709551615"))),
         {"ab", 2},
         "unexpected size for input 'X', expecting 18446744073709551613 additional bytes for model "
         "'m': it has 18446744073709551615 bytes, and 2 are left in the body"},
        {DATATYPE_UINT8,
         REQUEST(TENSOR("X", "[2]", "UINT8", "")),
         {"a", 1},
         "unexpected size for input 'X', expecting 1 additional bytes for model 'm': ..."},
        {DATATYPE_FP32,
         REQUEST(TENSOR("X", "[2]", "FP32", SIZE("4"))),
         {"abcd", 4},
         "input byte size mismatch for input 'X' for model 'm'. Expected 8, got 4 (FP32, shape "
         "[2])"},
        {DATATYPE_FP32,
         REQUEST(TENSOR("X", "[1]", "FP32", SIZE("0"))),
         {"", 0},
         "input byte size mismatch for input 'X' for model 'm'. Expected 4, got 0 (FP32, shape "
         "[1])"},
        {DATATYPE_BOOL,
         REQUEST(TENSOR("X", "[3]", "BOOL", SIZE("3"))),
         {"\1\0\2", 3},
         "unexpected byte for input 'X' for model 'm': element 2 is neither 0 nor 1 (BOOL)"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[1]", "BYTES", "")),
         {"\0\0\0\0", 4},
         "Unable to parse 'data': input 'X' for model 'm' has neither 'data' nor "
         "'binary_data_size'"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[2]", "BYTES", SIZE("4"))),
         {"\0\0\0\0", 4},
         "unexpected number of string elements 1 for inference input 'X' for model 'm', expecting "
         "2"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[2]", "BYTES", SIZE("9"))),
         {"\5\0\0\0abcde", 9},
         "unexpected number of string elements 1 for inference input 'X' for model 'm', expecting "
         "2"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[1]", "BYTES", SIZE("8"))),
         {"\0\0\0\0\0\0\0\0", 8},
         "unexpected number of string elements 2 for inference input 'X' for model 'm', expecting "
         "1"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[1]", "BYTES", SIZE("7"))),
         {"\0\0\0\0\0\0\0", 7},
         "incomplete string length indicator for inference input 'X' for model 'm', expecting 4 "
         "bytes "
         "but only 3 bytes available"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[1]", "BYTES", SIZE("5"))),
         {"\2\0\0\0a", 5},
         "incomplete string data for inference input 'X' for model 'm', expecting string of length "
         "2 "
         "but only 1 bytes available"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[1]", "BYTES", SIZE("4"))),
         {"\xff\xff\xff\xff", 4},
         "incomplete string data for inference input 'X' for model 'm', expecting string of length "
         "4294967295 but only 0 bytes available"},
        {DATATYPE_BYTES,
         REQUEST(TENSOR("X", "[60000000000]", "BYTES", SIZE("4"))),
         {"\0\0\0\0", 4},
         "unexpected number of string elements 1 for inference input 'X' for model 'm', expecting "
         "60000000000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, rows[i].datatype, (const int64_t[]){-1, 0});
        assert_int_equal(v2_fixture_read_binary(&f, rows[i].json, rows[i].blobs), ERR_INVALID);
        v2_expect_text(&f, rows[i].text);
        v2_fixture_done(&f);
    }
}

// Counted to the end for the text, but never kept past the shape's one.
static void test_many_more_elements_than_the_shape_has_are_counted_only(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    static const char blobs[4 * 50000];
    static const char json[] = REQUEST(TENSOR("X", "[1]", "BYTES", SIZE("200000")));
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}),
                     ERR_INVALID);
    v2_expect_text(&f, "unexpected number of string elements 50000 for inference input 'X' ...");
    v2_fixture_done(&f);
}

static void test_a_copy_counts_against_the_limit(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP64, (const int64_t[]){-1, 0});
    static const char blobs[800];
    f.limits.tensor_bytes_max = 799;
    for (int spaces = 0; spaces < 2; spaces++) { // one of the two is unaligned
        char json[256];
        snprintf(json, sizeof json, "%s%*s", REQUEST(TENSOR("X", "[100]", "FP64", SIZE("800"))),
                 spaces, "");
        enum err e = v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs});
        bool aligned = (uintptr_t)(f.body + strlen(json)) % 8 == 0;
        assert_int_equal(e, aligned ? ERR_OK : ERR_BODY_TOO_LARGE);
    }
    v2_fixture_done(&f);
}

static enum err read_raw(struct v2_fixture *f, struct str body) {
    return v2_fixture_read(f, body, 0);
}

static void expect_shape(const struct v2_fixture *f, const char *expected) {
    char shape[SHAPE_TEXT_SIZE];
    const struct tensor *tensor = &f->request.inputs[0];
    assert_string_equal(shape_format(tensor->shape, tensor->rank, shape, sizeof shape), expected);
}

static void test_a_raw_body_is_the_one_input_and_all_outputs_come_back_binary(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){1, 2, 0});
    v2_fixture_output(&f, DATATYPE_FP32, (const int64_t[]){1, 0});
    static const float values[] = {1.5F, 2.5F};
    assert_int_equal(read_raw(&f, (struct str){(const char *)values, 8}), ERR_OK);
    expect_shape(&f, "[1,2]");
    assert_memory_equal(f.request.inputs[0].data, values, 8);
    assert_null(f.request.id.p);
    assert_false(f.request.outputs_named);
    assert_int_equal(f.request.output_count, 2);
    assert_true(f.request.outputs[0].binary && f.request.outputs[1].binary);
    v2_fixture_done(&f);
}

static void test_a_raw_bodys_size_gives_the_free_dimension(void **state) {
    (void)state;
    static const struct {
        int64_t shape[4];
        bool batchable;
        size_t bytes;
        const char *expected;
    } rows[] = {
        {{-1, 2}, false, 24, "[3,2]"},      {{-1, 2}, true, 8, "[1,2]"},
        {{-1, -1}, true, 20, "[1,5]"},      {{2, -1}, false, 8, "[2,1]"},
        {{-1, 3, -1}, true, 24, "[1,3,2]"}, {{-1, 2}, false, 0, "[0,2]"},
    };
    static const char zeros[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, DATATYPE_FP32, rows[i].shape);
        f.signature.batchable = rows[i].batchable;
        assert_int_equal(read_raw(&f, (struct str){zeros, rows[i].bytes}), ERR_OK);
        expect_shape(&f, rows[i].expected);
        v2_fixture_done(&f);
    }
}

static void test_a_raw_bytes_body_is_one_element_without_length(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{-1, 0}, {1, 0}, {-1, 1, 0}, {-1, -1, 0}, {0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, DATATYPE_BYTES, shapes[i]);
        assert_int_equal(read_raw(&f, STR("\3\0\0\0abc")), ERR_OK);
        assert_int_equal(f.request.inputs[0].count, 1);
        assert_true(str_eq(*(const struct str *)f.request.inputs[0].data, STR("\3\0\0\0abc")));
        assert_int_equal(read_raw(&f, STR("")), ERR_OK);
        assert_int_equal(((const struct str *)f.request.inputs[0].data)->n, 0);
        v2_fixture_done(&f);
    }
}

static void test_raw_bodies_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        enum datatype datatype;
        int64_t shape[4];
        bool batchable;
        size_t bytes;
        const char *text;
    } rows[] = {
        {DATATYPE_FP32,
         {1, 2},
         false,
         7,
         "input byte size mismatch for input 'X' for model 'm'. Expected 8, got 7 (FP32, shape "
         "[1,2])"},
        {DATATYPE_FP32,
         {-1, 2},
         true,
         16,
         "input byte size mismatch for input 'X' for model 'm'. Expected 8, got 16 (FP32, shape "
         "[1,2])"},
        {DATATYPE_FP32,
         {-1, 2},
         false,
         12,
         "input byte size mismatch for input 'X' for model 'm'. Expected whole elements for shape "
         "[-1,2] (FP32), got 12 bytes"},
        {DATATYPE_FP32,
         {-1, -1},
         false,
         16,
         "The shape of the raw input 'X' can not be deduced because there are more than one "
         "variable-sized dimension: model 'm' expects [-1,-1]"},
        {DATATYPE_FP32,
         {-1, -1, -1},
         true,
         16,
         "The shape of the raw input 'X' can not be deduced because there are more than one ..."},
        {DATATYPE_BYTES,
         {-1, 2},
         false,
         3,
         "unexpected number of string elements 1 for inference input 'X' for model 'm', expecting "
         "2"},
        {DATATYPE_FP32,
         {TENSOR_COUNT_MAX, TENSOR_COUNT_MAX},
         false,
         3,
         "input byte size mismatch for input 'X' for model 'm'. Expected whole elements ..."},
    };
    static const char zeros[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, rows[i].datatype, rows[i].shape);
        f.signature.batchable = rows[i].batchable;
        assert_int_equal(read_raw(&f, (struct str){zeros, rows[i].bytes}), ERR_INVALID);
        v2_expect_text(&f, rows[i].text);
        v2_fixture_done(&f);
    }
}

static void test_a_raw_body_needs_a_model_with_one_input(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){1, 0});
    v2_fixture_input(&f, DATATYPE_FP32, (const int64_t[]){1, 0});
    assert_int_equal(read_raw(&f, STR("abcd")), ERR_INVALID);
    v2_expect_text(&f,
                   "expected 1 inputs but got 2 inputs for model 'm': a raw binary request needs a "
                   "model with one input");
    v2_fixture_done(&f);
}

static void test_a_raw_bytes_body_counts_against_the_limit(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){1, 0});
    f.limits.tensor_bytes_max = 15;
    assert_int_equal(read_raw(&f, STR("abc")), ERR_BODY_TOO_LARGE);
    v2_fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blobs_are_taken_in_the_order_of_the_json),
        cmocka_unit_test(test_aligned_blobs_are_views_and_others_are_copies),
        cmocka_unit_test(test_a_size_that_is_missing_is_computed),
        cmocka_unit_test(test_an_empty_tensor_has_an_empty_blob),
        cmocka_unit_test(test_bytes_elements_point_into_the_body),
        cmocka_unit_test(test_blobs_that_do_not_fit_are_refused),
        cmocka_unit_test(test_many_more_elements_than_the_shape_has_are_counted_only),
        cmocka_unit_test(test_a_copy_counts_against_the_limit),
        cmocka_unit_test(test_a_raw_body_is_the_one_input_and_all_outputs_come_back_binary),
        cmocka_unit_test(test_a_raw_bodys_size_gives_the_free_dimension),
        cmocka_unit_test(test_a_raw_bytes_body_is_one_element_without_length),
        cmocka_unit_test(test_raw_bodies_that_do_not_fit_are_refused),
        cmocka_unit_test(test_a_raw_body_needs_a_model_with_one_input),
        cmocka_unit_test(test_a_raw_bytes_body_counts_against_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
