// The reserved, refused and passed-over parameters of requests, inputs and outputs.
#include "v2_fixture.h"

static void init(struct v2_fixture *f) {
    v2_fixture_init_one(f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
    v2_fixture_output(f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
}

// A request whose three parameters objects are given, each as JSON or "null".
static enum err read_with(struct v2_fixture *f, const char *request, const char *input,
                          const char *output) {
    struct buffer body;
    buffer_init(&body, SIZE_MAX);
    buffer_add_format(&body,
                      "{\"parameters\":%s,\"inputs\":[{\"name\":\"X\",\"shape\":[1],\"datatype\":"
                      "\"UINT8\",\"data\":[1],\"parameters\":%s}],"
                      "\"outputs\":[{\"name\":\"A\",\"parameters\":%s},{\"name\":\"B\"}]}",
                      request, input, output);
    enum err e = v2_fixture_read(f, buffer_str(&body), V2_NO_HEADER_LENGTH);
    buffer_done(&body);
    return e;
}

static void test_unknown_parameters_of_scalar_types_are_passed_over(void **state) {
    (void)state;
    struct v2_fixture f;
    init(&f);
    static const char any[] = "{\"a\":\"s\",\"b\":1,\"c\":-1.5,\"d\":true,\"\":0,\"e\":1e999,"
                              "\"content_type\":\"np\",\"a\":2}";
    assert_int_equal(read_with(&f, any, any, any), ERR_OK);
    assert_int_equal(read_with(&f, "{}", "{}", "{}"), ERR_OK);
    v2_fixture_done(&f);
}

static void test_priority_and_timeout_are_read_whole(void **state) {
    (void)state;
    struct v2_fixture f;
    init(&f);
    assert_int_equal(
        read_with(&f, "{\"priority\":18446744073709551615,\"timeout\":0}", "null", "null"), ERR_OK);
    assert_true(f.request.priority == UINT64_MAX);
    assert_int_equal(f.request.timeout_us, 0);
    v2_fixture_done(&f);
}

static void test_sequence_parameters_that_ask_for_nothing_are_accepted(void **state) {
    (void)state;
    struct v2_fixture f;
    init(&f);
    assert_int_equal(
        read_with(&f, "{\"sequence_id\":0,\"sequence_start\":false,\"sequence_end\":false}", "null",
                  "{\"classification\":0}"),
        ERR_OK);
    assert_int_equal(read_with(&f, "{\"sequence_id\":\"\"}", "null", "null"), ERR_OK);
    v2_fixture_done(&f);
}

static void test_an_outputs_own_flag_wins_over_the_requests(void **state) {
    (void)state;
    static const struct {
        const char *request, *output;
        bool a, b;
    } rows[] = {
        {"null", "null", false, false},
        {"null", "{\"binary_data\":true}", true, false},
        {"{\"binary_data_output\":true}", "null", true, true},
        {"{\"binary_data_output\":true}", "{\"binary_data\":false}", false, true},
        {"{\"binary_data_output\":false}", "{\"binary_data\":true}", true, false},
    };
    struct v2_fixture f;
    init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_with(&f, rows[i].request, "null", rows[i].output), ERR_OK);
        assert_int_equal(f.request.outputs[0].binary, rows[i].a);
        assert_int_equal(f.request.outputs[1].binary, rows[i].b);
    }
    v2_fixture_done(&f);
}

static void test_binary_data_output_counts_when_no_outputs_are_named(void **state) {
    (void)state;
    struct v2_fixture f;
    init(&f);
    assert_int_equal(v2_fixture_read_json(
                         &f, "{\"parameters\":{\"binary_data_output\":true},\"inputs\":[{\"name\":"
                             "\"X\",\"shape\":[1],\"datatype\":\"UINT8\",\"data\":[1]}]}"),
                     ERR_OK);
    assert_int_equal(f.request.output_count, 2);
    assert_true(f.request.outputs[0].binary);
    assert_true(f.request.outputs[1].binary);
    v2_fixture_done(&f);
}

static void test_what_is_not_supported_or_not_well_formed_is_refused_by_name(void **state) {
    (void)state;
    enum { REQUEST, INPUT, OUTPUT };
    static const struct {
        int place;
        const char *parameters;
        const char *text; // after "Unable to parse 'parameters': "
    } rows[] = {
        {REQUEST, "1", "'parameters' of the request for model 'm' must be an object"},
        {INPUT, "[]", "'parameters' of input 'X' for model 'm' must be an object"},
        {OUTPUT, "\"\"", "'parameters' of output 'A' for model 'm' must be an object"},
        {REQUEST, "{\"k\":null}",
         "'k' of the request for model 'm' must be a string, a number or a boolean"},
        {REQUEST, "{\"k\":[1]}",
         "'k' of the request for model 'm' must be a string, a number or a boolean"},
        {INPUT, "{\"k\":{}}",
         "'k' of input 'X' for model 'm' must be a string, a number or a boolean"},
        {OUTPUT, "{\"k\":NaN}",
         "'k' of output 'A' for model 'm' must be a string, a number or a boolean"},
        {REQUEST, "{\"priority\":-1}",
         "'priority' of the request for model 'm' must be an integer from 0 to 2^64-1"},
        {REQUEST, "{\"priority\":\"1\"}",
         "'priority' of the request for model 'm' must be an integer from 0 to 2^64-1"},
        {REQUEST, "{\"timeout\":1.5}",
         "'timeout' of the request for model 'm' must be an integer from 0 to 2^64-1"},
        {REQUEST, "{\"timeout\":18446744073709551616}",
         "'timeout' of the request for model 'm' must be an integer from 0 to 2^64-1"},
        {REQUEST, "{\"timeout\":1,\"timeout\":1}",
         "'timeout' of the request for model 'm' is given twice"},
        {REQUEST, "{\"binary_data_output\":1}",
         "'binary_data_output' of the request for model 'm' must be true or false"},
        {REQUEST, "{\"sequence_id\":5}",
         "'sequence_id' of the request for model 'm' is not supported by this server"},
        {REQUEST, "{\"sequence_id\":\"five\"}",
         "'sequence_id' of the request for model 'm' is not supported by this server"},
        {REQUEST, "{\"sequence_start\":true}",
         "'sequence_start' of the request for model 'm' is not supported by this server"},
        {REQUEST, "{\"sequence_end\":true}",
         "'sequence_end' of the request for model 'm' is not supported by this server"},
        {REQUEST, "{\"headers\":\"\"}",
         "'headers' of the request for model 'm' is a reserved name"},
        {REQUEST, "{\"triton_x\":1}",
         "'triton_x' of the request for model 'm' is reserved: parameter keys starting with "
         "'triton_' "
         "are not accepted"},
        {INPUT, "{\"shared_memory_region\":\"r\"}",
         "'shared_memory_region' of input 'X' for model 'm' is not supported by this server: send "
         "data "
         "in the body, as JSON or binary"},
        {INPUT, "{\"shared_memory_byte_size\":0}",
         "'shared_memory_byte_size' of input 'X' for model 'm' is not supported by this server: "
         "send "
         "data in the body, as JSON or binary"},
        {INPUT, "{\"binary_data_size\":-1}",
         "'binary_data_size' of input 'X' for model 'm' must be an integer from 0 to 2^64-1"},
        {OUTPUT, "{\"shared_memory_offset\":1}",
         "'shared_memory_offset' of output 'A' for model 'm' is not supported by this server: send "
         "data "
         "in the body, as JSON or binary"},
        {OUTPUT, "{\"classification\":3}",
         "'classification' of output 'A' for model 'm' is not supported by this server"},
        {OUTPUT, "{\"binary_data\":\"true\"}",
         "'binary_data' of output 'A' for model 'm' must be true or false"},
    };
    struct v2_fixture f;
    init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *given[] = {"null", "null", "null"};
        given[rows[i].place] = rows[i].parameters;
        assert_int_equal(read_with(&f, given[0], given[1], given[2]), ERR_INVALID);
        static const char before[] = "Unable to parse 'parameters': ";
        assert_memory_equal(f.text.s, before, sizeof before - 1);
        assert_string_equal(f.text.s + sizeof before - 1, rows[i].text);
    }
    v2_fixture_done(&f);
}

static void test_256_parameters_are_accepted_and_257_are_not(void **state) {
    (void)state;
    struct v2_fixture f;
    init(&f);
    for (int count = V2_PARAMETERS_MAX; count <= V2_PARAMETERS_MAX + 1; count++) {
        struct buffer parameters;
        buffer_init(&parameters, SIZE_MAX);
        for (int i = 0; i < count; i++)
            buffer_add_format(&parameters, "%s\"p%d\":%d", i ? "," : "{", i, i);
        buffer_add(&parameters, "}", 2);
        enum err e = read_with(&f, parameters.data, "null", "null");
        assert_int_equal(e, count == V2_PARAMETERS_MAX ? ERR_OK : ERR_INVALID);
        buffer_done(&parameters);
    }
    v2_expect_text(
        &f, "Unable to parse 'parameters': 'parameters' of the request for model 'm' has too "
            "many members (at most 256)");
    v2_fixture_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_parameters_of_scalar_types_are_passed_over),
        cmocka_unit_test(test_priority_and_timeout_are_read_whole),
        cmocka_unit_test(test_sequence_parameters_that_ask_for_nothing_are_accepted),
        cmocka_unit_test(test_an_outputs_own_flag_wins_over_the_requests),
        cmocka_unit_test(test_binary_data_output_counts_when_no_outputs_are_named),
        cmocka_unit_test(test_what_is_not_supported_or_not_well_formed_is_refused_by_name),
        cmocka_unit_test(test_256_parameters_are_accepted_and_257_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
