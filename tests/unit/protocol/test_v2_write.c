// Responses: JSON of every datatype, binary parts, NaN and Infinity, errors.
#include "v2_fixture.h"

static struct tensor tensor_of(enum datatype datatype, const int64_t *shape, size_t rank,
                               const void *data) {
    struct tensor tensor;
    assert_int_equal(tensor_set(&tensor, datatype, shape, rank, NULL), ERR_OK);
    tensor.data = (void *)(uintptr_t)data;
    return tensor;
}

// Asks for outputs 0 to count - 1 as JSON.
static void ask(struct v2_fixture *f, struct v2_output_request *outputs, size_t count) {
    for (size_t i = 0; i < count; i++)
        outputs[i] = (struct v2_output_request){i, false};
    f->request = (struct v2_infer_request){.outputs = outputs, .output_count = count};
}

static void test_an_answer_names_the_model_and_holds_the_outputs_in_the_asked_order(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_output(&f, DATATYPE_INT64, (const int64_t[]){-1, 0});
    v2_fixture_output(&f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    struct v2_output_request outputs[2] = {{1, false}, {0, false}};
    f.request = (struct v2_infer_request){.id = STR("a\"1"), .outputs = outputs, .output_count = 2};
    struct tensor tensors[] = {
        tensor_of(DATATYPE_FP32, (const int64_t[]){1, 2}, 2, (const float[]){0.25F, 0.75F}),
        tensor_of(DATATYPE_INT64, (const int64_t[]){1}, 1, (const int64_t[]){-1}),
    };
    assert_int_equal(v2_fixture_write(&f, tensors, V2_NONFINITE_NULL), ERR_OK);
    v2_expect_json(&f,
                   "{\"id\":\"a\\\"1\",\"model_name\":\"m\",\"model_version\":\"7\",\"outputs\":["
                   "{\"name\":\"B\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[0.25,0.75]},"
                   "{\"name\":\"A\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[-1]}]}");
    assert_int_equal(f.part_count, 0);
    v2_fixture_done(&f);
}

static void test_an_answer_is_appended_to_what_the_buffer_holds(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    ask(&f, NULL, 0);
    struct v2_infer_response response = {&f.signature, &f.request, NULL, V2_NONFINITE_NULL};
    buffer_add_c(&f.json, "before ");
    assert_int_equal(v2_infer_write(&f.arena, &response, &f.json, f.parts, &f.part_count, &f.text),
                     ERR_OK);
    v2_expect_json(&f, "before {\"model_name\":\"m\",\"model_version\":\"7\",\"outputs\":[]}");
    v2_fixture_done(&f);
}

static void expect_data(enum datatype datatype, const void *data, int64_t count,
                        enum v2_nonfinite nonfinite, const char *expected) {
    struct v2_fixture f;
    v2_fixture_init_one(&f, datatype, (const int64_t[]){-1, 0});
    struct v2_output_request outputs[1];
    ask(&f, outputs, 1);
    struct tensor tensor = tensor_of(datatype, &count, 1, data);
    assert_int_equal(v2_fixture_write(&f, &tensor, nonfinite), ERR_OK);
    char all[1024];
    snprintf(
        all, sizeof all,
        "{\"model_name\":\"m\",\"model_version\":\"7\",\"outputs\":[{\"name\":\"A\",\"datatype\":"
        "\"%s\",\"shape\":[%d],\"data\":[%s]}]}",
        datatype_name(datatype), (int)count, expected);
    v2_expect_json(&f, all);
    v2_fixture_done(&f);
}

static void test_every_datatype_is_written_exactly(void **state) {
    (void)state;
    static const enum v2_nonfinite any = V2_NONFINITE_NULL;
    expect_data(DATATYPE_BOOL, "\1\0\1", 3, any, "true,false,true");
    expect_data(DATATYPE_UINT8, "\0\x7f\xff", 3, any, "0,127,255");
    expect_data(DATATYPE_UINT16, (const uint16_t[]){0, UINT16_MAX}, 2, any, "0,65535");
    expect_data(DATATYPE_UINT32, (const uint32_t[]){0, UINT32_MAX}, 2, any, "0,4294967295");
    expect_data(DATATYPE_UINT64, (const uint64_t[]){0, UINT64_MAX, 9007199254740993}, 3, any,
                "0,18446744073709551615,9007199254740993");
    expect_data(DATATYPE_INT8, (const int8_t[]){INT8_MIN, INT8_MAX}, 2, any, "-128,127");
    expect_data(DATATYPE_INT16, (const int16_t[]){INT16_MIN, INT16_MAX}, 2, any, "-32768,32767");
    expect_data(DATATYPE_INT32, (const int32_t[]){INT32_MIN, INT32_MAX}, 2, any,
                "-2147483648,2147483647");
    expect_data(DATATYPE_INT64, (const int64_t[]){INT64_MIN, 0, INT64_MAX}, 3, any,
                "-9223372036854775808,0,9223372036854775807");
    expect_data(DATATYPE_FP16, (const uint16_t[]){0x2E66, 0x3C00, 0x7BFF, 0x0001}, 4, any,
                "0.1,1.0,65500.0,6e-8");
    expect_data(DATATYPE_BF16, (const uint16_t[]){0x3DCD, 0x3F80, 0x7F7F, 0x8000}, 4, any,
                "0.1,1.0,3.39e38,-0.0");
    expect_data(DATATYPE_FP32, (const float[]){0.1F, -1, 16777216, 3.4028235e38F}, 4, any,
                "0.1,-1.0,16777216.0,3.4028235e38");
    expect_data(DATATYPE_FP64, (const double[]){0.1, -1, 1e300, 5e-324}, 4, any,
                "0.1,-1.0,1e300,5e-324");
    expect_data(DATATYPE_BYTES, (const struct str[]){{"a\0\"\n", 4}, {"", 0}, {"\xc3\xa9", 2}}, 3,
                any, "\"a\\u0000\\\"\\n\",\"\",\"\xc3\xa9\"");
}

static void test_empty_tensors_have_empty_data(void **state) {
    (void)state;
    for (int i = 0; i < DATATYPE_COUNT; i++)
        expect_data((enum datatype)i, NULL, 0, V2_NONFINITE_NULL, "");
}

static void test_nan_and_infinity_are_null_or_literals_as_chosen(void **state) {
    (void)state;
    static const float singles[] = {NAN, INFINITY, -INFINITY, -NAN, 1};
    static const double doubles[] = {(double)NAN, (double)INFINITY, (double)-INFINITY, 1};
    static const uint16_t halves[] = {0x7E00, 0x7C00, 0xFC00, 0x3C00};
    static const uint16_t brains[] = {0x7FC0, 0x7F80, 0xFF80, 0x3F80};
    expect_data(DATATYPE_FP32, singles, 5, V2_NONFINITE_NULL, "null,null,null,null,1.0");
    expect_data(DATATYPE_FP64, doubles, 4, V2_NONFINITE_NULL, "null,null,null,1.0");
    expect_data(DATATYPE_FP16, halves, 4, V2_NONFINITE_NULL, "null,null,null,1.0");
    expect_data(DATATYPE_BF16, brains, 4, V2_NONFINITE_NULL, "null,null,null,1.0");
    expect_data(DATATYPE_FP32, singles, 5, V2_NONFINITE_LITERAL, "NaN,Infinity,-Infinity,NaN,1.0");
    expect_data(DATATYPE_FP64, doubles, 4, V2_NONFINITE_LITERAL, "NaN,Infinity,-Infinity,1.0");
    expect_data(DATATYPE_FP16, halves, 4, V2_NONFINITE_LITERAL, "NaN,Infinity,-Infinity,1.0");
    expect_data(DATATYPE_BF16, brains, 4, V2_NONFINITE_LITERAL, "NaN,Infinity,-Infinity,1.0");
}

// More values than one block or one batch of doubles holds: none is lost where they join.
static void test_long_tensors_are_written_without_a_seam(void **state) {
    (void)state;
    enum { COUNT = 5000 };
    float *singles = malloc(COUNT * sizeof *singles);
    double *doubles = malloc(COUNT * sizeof *doubles);
    assert_true(singles && doubles);
    struct buffer expected;
    buffer_init(&expected, SIZE_MAX);
    for (int i = 0; i < COUNT; i++) {
        singles[i] = (float)i + 0.5F;
        doubles[i] = i + 0.5;
        buffer_add_format(&expected, "%s%d.5", i ? "," : "\"data\":[", i);
    }
    buffer_add_c(&expected, "]}]}");
    static const enum datatype datatypes[] = {DATATYPE_FP32, DATATYPE_FP64};
    const void *const memories[] = {singles, doubles};
    for (int i = 0; i < 2; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, datatypes[i], (const int64_t[]){-1, 0});
        struct v2_output_request outputs[1];
        ask(&f, outputs, 1);
        struct tensor tensor = tensor_of(datatypes[i], (const int64_t[]){COUNT}, 1, memories[i]);
        assert_int_equal(v2_fixture_write(&f, &tensor, V2_NONFINITE_NULL), ERR_OK);
        assert_true(str_ends(buffer_str(&f.json), buffer_str(&expected)));
        v2_fixture_done(&f);
    }
    buffer_done(&expected);
    free(singles);
    free(doubles);
}

static void test_binary_outputs_are_views_in_the_order_of_the_json(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_output(&f, DATATYPE_FP32, (const int64_t[]){-1, 0});
    v2_fixture_output(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    v2_fixture_output(&f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
    struct v2_output_request outputs[3] = {{1, true}, {2, false}, {0, true}};
    f.request = (struct v2_infer_request){.outputs = outputs, .output_count = 3};
    static const float singles[] = {1, NAN};
    static const struct str texts[] = {{"ab", 2}, {NULL, 0}, {"\xff", 1}};
    struct tensor tensors[] = {
        tensor_of(DATATYPE_BYTES, (const int64_t[]){3}, 1, texts),
        tensor_of(DATATYPE_UINT8, (const int64_t[]){1}, 1, "\5"),
        tensor_of(DATATYPE_FP32, (const int64_t[]){2}, 1, singles),
    };
    assert_int_equal(v2_fixture_write(&f, tensors, V2_NONFINITE_NULL), ERR_OK);
    v2_expect_json(&f, "{\"model_name\":\"m\",\"model_version\":\"7\",\"outputs\":["
                       "{\"name\":\"B\",\"datatype\":\"BYTES\",\"shape\":[3],\"parameters\":"
                       "{\"binary_data_size\":15}},"
                       "{\"name\":\"C\",\"datatype\":\"UINT8\",\"shape\":[1],\"data\":[5]},"
                       "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[2],\"parameters\":"
                       "{\"binary_data_size\":8}}]}");
    assert_int_equal(f.part_count, 2);
    assert_int_equal(f.parts[0].n, 15);
    assert_memory_equal(f.parts[0].p, "\2\0\0\0ab\0\0\0\0\1\0\0\0\xff", 15);
    assert_int_equal(f.parts[1].n, 8);
    assert_ptr_equal(f.parts[1].p, singles);
    v2_fixture_done(&f);
}

static void test_an_element_too_long_for_its_length_is_an_internal_error(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    struct v2_output_request outputs[1] = {{0, true}};
    f.request = (struct v2_infer_request){.outputs = outputs, .output_count = 1};
    static const struct str texts[] = {{"", 0}, {"x", (size_t)UINT32_MAX + 1}};
    struct tensor tensor = tensor_of(DATATYPE_BYTES, (const int64_t[]){2}, 1, texts);
    assert_int_equal(v2_fixture_write(&f, &tensor, V2_NONFINITE_NULL), ERR_INTERNAL);
    v2_expect_text(&f, "element 1 has 4294967296 bytes, more than BYTES can say");
    v2_fixture_done(&f);
}

static void test_text_that_is_not_utf8_must_be_asked_for_as_binary(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    struct v2_output_request outputs[1];
    ask(&f, outputs, 1);
    static const struct str texts[] = {{"ok", 2}, {"\xff", 1}};
    struct tensor tensor = tensor_of(DATATYPE_BYTES, (const int64_t[]){2}, 1, texts);
    assert_int_equal(v2_fixture_write(&f, &tensor, V2_NONFINITE_NULL), ERR_INVALID);
    v2_expect_text(
        &f, "output 'A' for model 'm' has bytes that are not UTF-8 (element 1) and cannot be "
            "written as JSON: ask for it with the parameter 'binary_data': true");
    v2_fixture_done(&f);
}

static void test_a_buffer_of_the_answers_size_is_enough_and_one_byte_less_is_not(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_FP32, (const int64_t[]){-1, 0});
    struct v2_output_request outputs[1];
    ask(&f, outputs, 1);
    static const float singles[300] = {1.25F};
    struct tensor tensor = tensor_of(DATATYPE_FP32, (const int64_t[]){300}, 1, singles);
    assert_int_equal(v2_fixture_write(&f, &tensor, V2_NONFINITE_NULL), ERR_OK);
    size_t size = f.json.used;
    for (size_t less = 0; less < 2; less++) {
        buffer_done(&f.json);
        buffer_init(&f.json, size - less);
        assert_int_equal(v2_fixture_write(&f, &tensor, V2_NONFINITE_NULL),
                         less ? ERR_INTERNAL : ERR_OK);
    }
    v2_expect_text(&f, "the answer of model 'm' as JSON is larger than ...");
    v2_fixture_done(&f);
}

static void test_an_error_is_one_json_object(void **state) {
    (void)state;
    struct buffer json;
    buffer_init(&json, 1000);
    v2_error_write(&json, "no \"such\"\nthing \xff\xc3\xa9");
    assert_true(str_eq(buffer_str(&json), STR("{\"error\":\"no \\\"such\\\"\\nthing "
                                              "\xef\xbf\xbd\xc3\xa9\"}")));
    buffer_done(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_names_the_model_and_holds_the_outputs_in_the_asked_order),
        cmocka_unit_test(test_an_answer_is_appended_to_what_the_buffer_holds),
        cmocka_unit_test(test_every_datatype_is_written_exactly),
        cmocka_unit_test(test_empty_tensors_have_empty_data),
        cmocka_unit_test(test_nan_and_infinity_are_null_or_literals_as_chosen),
        cmocka_unit_test(test_long_tensors_are_written_without_a_seam),
        cmocka_unit_test(test_binary_outputs_are_views_in_the_order_of_the_json),
        cmocka_unit_test(test_an_element_too_long_for_its_length_is_an_internal_error),
        cmocka_unit_test(test_text_that_is_not_utf8_must_be_asked_for_as_binary),
        cmocka_unit_test(test_a_buffer_of_the_answers_size_is_enough_and_one_byte_less_is_not),
        cmocka_unit_test(test_an_error_is_one_json_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
