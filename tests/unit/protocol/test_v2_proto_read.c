// A ModelInferRequest from the bytes that real protobuf makes to tensors.
#include "v2_fixture.h"
#include "v2_messages.h"

#include "protocol/v2_proto.h"

// Reads a message that lies `shift` bytes into an allocation of its size, so that raw data can be
// aligned or not.
static enum err read_shifted(struct v2_fixture *f, struct str message, size_t shift) {
    free(f->body);
    f->body = malloc(shift + message.n + V2_BODY_SPARE);
    assert_non_null(f->body);
    char *start = f->body + shift;
    if (message.n > 0)
        memcpy(start, message.p, message.n);
    memset(start + message.n, '\n', V2_BODY_SPARE);
    arena_reset(&f->arena);
    f->text.s[0] = '\0';
    f->request = (struct v2_infer_request){.priority = 4711};
    struct v2_proto_infer open = {.model_name = STR("untouched")};
    enum err e =
        v2_proto_infer_open(&f->arena, (struct str){start, message.n}, &f->limits, &open, &f->text);
    if (e) {
        assert_true(str_eq(open.model_name, STR("untouched")));
    } else {
        assert_true(str_eq(open.model_name, STR("m")) || message.n < 3);
        e = v2_proto_infer_read(&f->arena, &open, &f->signature, &f->limits, &f->request, &f->text);
    }
    assert_true((e != ERR_OK) == (f->text.s[0] != '\0'));
    assert_true(!e || f->request.priority == 4711);
    return e;
}

static enum err read_message(struct v2_fixture *f, struct str message) {
    return read_shifted(f, message, 0);
}

static void init_raw(struct v2_fixture *f) {
    v2_fixture_init(f);
    v2_fixture_input(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    v2_fixture_input(f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    v2_fixture_output(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    v2_fixture_output(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
}

static void test_all_of_a_raw_request_is_read(void **state) {
    (void)state;
    struct v2_fixture f;
    init_raw(&f);
    assert_int_equal(read_message(&f, MESSAGE(raw_request)), ERR_OK);
    assert_true(str_eq(f.request.id, STR("r1")));
    assert_int_equal(f.request.priority, 3);
    assert_int_equal(f.request.timeout_us, 5000);
    assert_true(f.request.outputs_named);
    assert_int_equal(f.request.output_count, 1);
    assert_int_equal(f.request.outputs[0].index, 0);
    assert_true(f.request.outputs[0].binary);
    const struct tensor *x = &f.request.inputs[0];
    assert_int_equal(x->datatype, DATATYPE_FP32);
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->shape[0], 1);
    assert_int_equal(x->shape[1], 2);
    assert_memory_equal(x->data, ((const float[]){1.5F, -2.5F}), 8);
    const struct str *y = f.request.inputs[1].data;
    assert_true(str_eq(y[0], STR("ab")) && y[1].n == 0);
    v2_fixture_done(&f);
}

static void test_aligned_raw_data_is_a_view_and_other_is_a_copy(void **state) {
    (void)state;
    struct v2_fixture f;
    init_raw(&f);
    size_t views = 0;
    for (size_t shift = 0; shift < 8; shift++) {
        assert_int_equal(read_shifted(&f, MESSAGE(raw_request), shift), ERR_OK);
        const char *data = f.request.inputs[0].data;
        assert_int_equal((uintptr_t)data % 4, 0);
        assert_memory_equal(data, ((const float[]){1.5F, -2.5F}), 8);
        bool view = data >= f.body && data < f.body + shift + sizeof raw_request;
        views += view;
    }
    assert_int_equal(views, 2);
    v2_fixture_done(&f);
}

// The whole of it is given even where no field names the model.
static void test_the_first_step_finds_the_model(void **state) {
    (void)state;
    struct v2_fixture f;
    init_raw(&f);
    struct v2_proto_infer open;
    assert_int_equal(v2_proto_infer_open(&f.arena, MESSAGE(raw_request), &f.limits, &open, &f.text),
                     ERR_OK);
    assert_true(str_eq(open.model_name, STR("m")));
    assert_true(str_eq(open.model_version, STR("7")));
    assert_true(str_eq(open.id, STR("r1")));
    assert_int_equal(v2_proto_infer_open(&f.arena, STR("\x1a\0"), &f.limits, &open, &f.text),
                     ERR_OK);
    assert_int_equal(open.model_name.n, 0);
    assert_int_equal(open.model_version.n, 0);
    assert_null(open.id.p);
    assert_int_equal(v2_proto_infer_open(&f.arena, STR(""), &f.limits, &open, &f.text), ERR_OK);
    v2_fixture_done(&f);
}

// Of a scalar field that comes twice the last one counts; a raw entry may stand anywhere.
static void test_fields_may_come_in_any_order(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){2, 0});
    assert_int_equal(read_message(&f, STR("\x3a\2\5\6"
                                          "\x0a\1q\x0a\1m"
                                          "\x2a\x0c\x12\5UINT8\x18\2\x0a\1X")),
                     ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "\5\6", 2);
    assert_int_equal(read_message(&f, STR("\x0a\1m\x3a\2\5\6"
                                          "\x2a\x0d\x0a\1X\x12\5UINT8\x1a\1\2"
                                          "\x1a\2id")),
                     ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "\5\6", 2);
    assert_true(str_eq(f.request.id, STR("id")));
    v2_fixture_done(&f);
}

// A field number of later versions of the protocol is passed over.
static void test_unknown_fields_are_passed_over(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){2, 0});
    assert_int_equal(read_message(&f, STR("\x0a\1m\xf8\7\5\xf9\7........\xfd\7....\xfa\7\3abc"
                                          "\x2a\x0d\x0a\1X\x12\5UINT8\x1a\1\2\x3a\2\5\6")),
                     ERR_OK);
    v2_fixture_done(&f);
}

struct typed_case {
    enum datatype datatype;
    struct str message;
    const void *expected;
};

static void test_typed_contents_of_every_datatype_are_read(void **state) {
    (void)state;
    const struct typed_case cases[] = {
        {DATATYPE_BOOL, MESSAGE(typed_bool), (const uint8_t[]){1, 0}},
        {DATATYPE_INT8, MESSAGE(typed_int8), (const int8_t[]){INT8_MIN, INT8_MAX}},
        {DATATYPE_INT16, MESSAGE(typed_int16), (const int16_t[]){INT16_MIN, INT16_MAX}},
        {DATATYPE_INT32, MESSAGE(typed_int32), (const int32_t[]){INT32_MIN, INT32_MAX}},
        {DATATYPE_INT64, MESSAGE(typed_int64), (const int64_t[]){INT64_MIN, INT64_MAX}},
        {DATATYPE_UINT8, MESSAGE(typed_uint8), (const uint8_t[]){0, UINT8_MAX}},
        {DATATYPE_UINT16, MESSAGE(typed_uint16), (const uint16_t[]){0, UINT16_MAX}},
        {DATATYPE_UINT32, MESSAGE(typed_uint32), (const uint32_t[]){0, UINT32_MAX}},
        {DATATYPE_UINT64, MESSAGE(typed_uint64), (const uint64_t[]){0, UINT64_MAX}},
        {DATATYPE_FP32, MESSAGE(typed_fp32), (const float[]){0.1F, -3.4e38F}},
        {DATATYPE_FP64, MESSAGE(typed_fp64), (const double[]){0.1, -1.7e308}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, cases[i].datatype, (const int64_t[]){2, 0});
        assert_int_equal(read_message(&f, cases[i].message), ERR_OK);
        const struct tensor *tensor = &f.request.inputs[0];
        assert_memory_equal(tensor->data, cases[i].expected, tensor_bytes(tensor));
        assert_int_equal((uintptr_t)tensor->data % datatype_size(tensor->datatype), 0);
        assert_false(f.request.outputs_named);
        assert_int_equal(f.request.output_count, 1);
        assert_true(f.request.outputs[0].binary);
        assert_null(f.request.id.p);
        v2_fixture_done(&f);
    }
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){2, 0});
    assert_int_equal(read_message(&f, MESSAGE(typed_bytes)), ERR_OK);
    const struct str *elements = f.request.inputs[0].data;
    assert_true(str_eq(elements[0], STR("a\0b")) && elements[1].n == 0 && elements[1].p);
    v2_fixture_done(&f);
}

static void expect_refused(enum datatype datatype, struct str message, const char *text) {
    struct v2_fixture f;
    v2_fixture_init_one(&f, datatype, (const int64_t[]){2, 0});
    assert_int_equal(read_message(&f, message), ERR_INVALID);
    v2_expect_text(&f, text);
    v2_fixture_done(&f);
}

static void test_integers_beyond_their_datatype_are_refused(void **state) {
    (void)state;
    expect_refused(DATATYPE_INT8, MESSAGE(outside_int8),
                   "Unable to parse 'contents': element 1 of input 'X' for model 'm' is a number "
                   "outside -128 to 127 (INT8)");
    expect_refused(DATATYPE_INT16, MESSAGE(outside_int16),
                   "Unable to parse 'contents': element 0 of input 'X' for model 'm' is a number "
                   "outside -32768 to 32767 (INT16)");
    expect_refused(DATATYPE_UINT8, MESSAGE(outside_uint8),
                   "Unable to parse 'contents': element 0 of input 'X' for model 'm' is a number "
                   "outside 0 to 255 (UINT8)");
    expect_refused(DATATYPE_UINT16, MESSAGE(outside_uint16),
                   "Unable to parse 'contents': element 1 of input 'X' for model 'm' is a number "
                   "outside 0 to 65535 (UINT16)");
}

static void test_typed_contents_must_fit_datatype_and_shape(void **state) {
    (void)state;
    expect_refused(DATATYPE_FP32, MESSAGE(wrong_field),
                   "Unable to parse 'contents': input 'X' for model 'm' has data in "
                   "'fp64_contents', expected it in 'fp32_contents' (FP32)");
    expect_refused(DATATYPE_FP16, MESSAGE(half_typed),
                   "Unable to parse 'contents': input 'X' for model 'm' has data in "
                   "'fp32_contents', expected it in 'raw_input_contents' (FP16)");
    expect_refused(DATATYPE_FP32, MESSAGE(three_values),
                   "Unable to parse 'contents': input 'X' for model 'm' got 3 values, expected 2 "
                   "for shape [2]");
}

static void test_typed_inputs_take_no_raw_entry(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_input(&f, DATATYPE_UINT8, (const int64_t[]){3, 0});
    v2_fixture_input(&f, DATATYPE_INT32, (const int64_t[]){1, 0});
    assert_int_equal(read_message(&f, MESSAGE(mixed)), ERR_OK);
    assert_memory_equal(f.request.inputs[0].data, "abc", 3);
    assert_int_equal(*(const int32_t *)f.request.inputs[1].data, 7);
    v2_fixture_done(&f);
}

static void test_raw_data_must_fit(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){1, 0});
    assert_int_equal(read_message(&f, MESSAGE(extra_raw)), ERR_INVALID);
    v2_expect_text(&f, "unexpected additional input data for model 'm': 'raw_input_contents' has 2 "
                       "entries, and the inputs without 'contents' took 1");
    assert_int_equal(read_message(&f, MESSAGE(no_data)), ERR_INVALID);
    v2_expect_text(&f, "Unable to parse 'contents': input 'X' for model 'm' has neither 'contents' "
                       "nor an entry of 'raw_input_contents'");
    v2_fixture_done(&f);
    expect_refused(DATATYPE_FP32, MESSAGE(short_raw),
                   "input byte size mismatch for input 'X' for model 'm'. Expected 8, got 4 (FP32, "
                   "shape [2])");
}

static void test_an_empty_tensor_needs_no_data(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){-1, 0});
    assert_int_equal(read_message(&f, STR("\x0a\1m\x2a\x0d\x0a\1X\x12\5UINT8\x1a\1\0")), ERR_OK);
    assert_int_equal(f.request.inputs[0].count, 0);
    assert_int_equal(read_message(&f, STR("\x0a\1m\x2a\x0d\x0a\1X\x12\5UINT8\x1a\1\0\x3a\0")),
                     ERR_OK);
    v2_fixture_done(&f);
}

// The sentences are those of JSON requests.
static void test_what_does_not_fit_the_model_is_refused(void **state) {
    (void)state;
    expect_refused(DATATYPE_UINT8, MESSAGE(twice),
                   "unexpected shape for input 'X' for model 'm'...");
    expect_refused(DATATYPE_UINT8, MESSAGE(unknown_input),
                   "unexpected inference input 'Q' for model 'm': its inputs are ['X']");
    expect_refused(DATATYPE_UINT8, MESSAGE(bad_datatype),
                   "Unable to parse 'datatype': input 'X' for model 'm' expected 'UINT8', got the "
                   "unknown datatype 'FLOAT'");
    expect_refused(DATATYPE_UINT8, MESSAGE(bad_shape),
                   "Unable to parse 'shape': unexpected shape for input 'X' for model 'm': ...");
    expect_refused(DATATYPE_UINT8, MESSAGE(deep_shape),
                   "Unable to parse 'shape': input 'X' for model 'm' has 9 dimensions, expected at "
                   "most 8");
    expect_refused(DATATYPE_UINT8, MESSAGE(wrong_shape),
                   "unexpected shape for input 'X' for model 'm'...");
    expect_refused(DATATYPE_INT8, MESSAGE(typed_uint8), "...");
    expect_refused(DATATYPE_UINT8, MESSAGE(unknown_output),
                   "unexpected inference output 'Q' for model 'm': its outputs are ['A']");
    expect_refused(DATATYPE_UINT8, STR("\x0a\1m"),
                   "expected 1 inputs but got 0 inputs for model "
                   "'m'. Got inputs [], but missing required "
                   "inputs ['X']. Please provide all required "
                   "inputs.");
}

static void test_an_input_that_comes_twice_is_refused(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){1, 0});
    assert_int_equal(read_message(&f, MESSAGE(twice)), ERR_INVALID);
    v2_expect_text(&f, "input 'X' already exists in request for model 'm'");
    v2_fixture_done(&f);
}

static void test_parameters_are_read_as_in_json(void **state) {
    (void)state;
    expect_refused(DATATYPE_UINT8, MESSAGE(classification),
                   "Unable to parse 'parameters': 'classification' of output 'A' for model 'm' is "
                   "not supported by this server");
    expect_refused(DATATYPE_UINT8, MESSAGE(shared_memory),
                   "Unable to parse 'parameters': 'shared_memory_region' of input 'X' for model "
                   "'m' is not supported by this server: send data in the body, as JSON or binary");
    expect_refused(DATATYPE_UINT8, MESSAGE(sequence_start),
                   "Unable to parse 'parameters': 'sequence_start' of the request for model 'm' is "
                   "not supported by this server");
    expect_refused(DATATYPE_UINT8, MESSAGE(priority_negative),
                   "Unable to parse 'parameters': 'priority' of the request for model 'm' must be "
                   "an integer from 0 to 2^64-1");
    expect_refused(DATATYPE_UINT8, MESSAGE(priority_text),
                   "Unable to parse 'parameters': 'priority' of the request for model 'm' must be "
                   "an integer from 0 to 2^64-1");
    expect_refused(DATATYPE_UINT8, MESSAGE(parameter_unset),
                   "Unable to parse 'parameters': 'a' of the request for model 'm' must be a "
                   "string, a number or a boolean");
    expect_refused(DATATYPE_UINT8, MESSAGE(reserved),
                   "Unable to parse 'parameters': 'triton_x' of the request for model 'm' is "
                   "reserved: parameter keys starting with 'triton_' are not accepted");
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){2, 0});
    assert_int_equal(read_message(&f, MESSAGE(sequence_none)), ERR_OK);
    assert_int_equal(read_message(&f, MESSAGE(final_response)), ERR_OK);
    v2_fixture_done(&f);
}

static void test_too_many_parameters_are_refused(void **state) {
    (void)state;
    static char message[3 + 4 * (V2_PARAMETERS_MAX + 1)] = "\x0a\1m";
    for (size_t i = 3; i < sizeof message; i += 4)
        memcpy(message + i, "\x22\2\x12\0", 4);
    expect_refused(DATATYPE_UINT8, (struct str){message, sizeof message},
                   "Unable to parse 'parameters': 'parameters' of the request for model 'm' has "
                   "too many members (at most 256)");
}

static void test_an_id_is_short_utf_8(void **state) {
    (void)state;
    expect_refused(DATATYPE_UINT8, STR("\x0a\1m\x1a\2\xc3("),
                   "Unable to parse 'id' for model 'm': it is not UTF-8");
    static char message[6 + V2_ID_MAX + 1];
    memset(message, 'i', sizeof message);
    memcpy(message, "\x0a\1m\x1a\x81\x08", 6);
    expect_refused(DATATYPE_UINT8, (struct str){message, sizeof message},
                   "Unable to parse 'id' for model 'm': it has 1025 bytes, expected at most 1024");
}

static void test_what_is_not_protobuf_is_refused(void **state) {
    (void)state;
    const struct str cases[] = {
        STR("\x0a"),                                     // a tag without a length
        STR("\x0a\5m"),                                  // more bytes than there are
        STR("\x02\0"),                                   // field number 0
        STR("\x0b\x0c"),                                 // a group
        STR("\x0f"),                                     // no such wire type
        STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), // a number over 64 bits
        STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0"),
        STR("\x2a\1\x0a"), // an input that is cut
        STR("\x08\1"),     // model_name as a number
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct v2_fixture f;
        v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){1, 0});
        assert_int_equal(read_message(&f, cases[i]), ERR_INVALID);
        v2_expect_text(&f, "Unable to parse the ModelInferRequest: its ...");
        v2_fixture_done(&f);
    }
}

// Wherever a request ends early, it is refused or is another request, and nothing is read past it.
static void test_a_cut_request_is_never_read_past_its_end(void **state) {
    (void)state;
    struct v2_fixture f;
    init_raw(&f);
    for (size_t n = 0; n < sizeof raw_request - 1; n++)
        assert_int_equal(read_message(&f, (struct str){raw_request, n}), ERR_INVALID);
    v2_fixture_done(&f);
}

static void test_more_raw_entries_than_a_model_has_inputs_are_refused(void **state) {
    (void)state;
    char message[2 * (SIGNATURE_TENSORS_MAX + 1)];
    for (size_t i = 0; i < sizeof message; i += 2)
        memcpy(message + i, "\x3a\0", 2);
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){1, 0});
    assert_int_equal(read_message(&f, (struct str){message, sizeof message}), ERR_INVALID);
    v2_expect_text(&f, "the request has more than 64 entries of 'raw_input_contents'");
    v2_fixture_done(&f);
}

// Two bytes on the wire are a hundred in memory.
static void test_a_flood_of_fields_is_bounded(void **state) {
    (void)state;
    static char message[200000];
    for (size_t i = 0; i < sizeof message; i += 2)
        memcpy(message + i, "\x2a\0", 2);
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_UINT8, (const int64_t[]){1, 0});
    assert_int_equal(read_message(&f, (struct str){message, sizeof message}), ERR_BODY_TOO_LARGE);
    v2_expect_text(&f, "the ModelInferRequest of 200000 bytes takes more than 1048576 bytes in "
                       "memory");
    assert_true(f.arena.used < 2 << 20);
    memcpy(message + 1000, "\x3a\0", 2); // in two runs, which would be joined
    f.limits.tensor_bytes_max = 1000;
    assert_int_equal(read_message(&f, (struct str){message, sizeof message}), ERR_BODY_TOO_LARGE);
    v2_expect_text(&f, "the ModelInferRequest has 199998 bytes beside 'raw_input_contents', and at "
                       "most 1000 are accepted");
    v2_fixture_done(&f);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_a_raw_request_is_read),
        cmocka_unit_test(test_aligned_raw_data_is_a_view_and_other_is_a_copy),
        cmocka_unit_test(test_the_first_step_finds_the_model),
        cmocka_unit_test(test_fields_may_come_in_any_order),
        cmocka_unit_test(test_unknown_fields_are_passed_over),
        cmocka_unit_test(test_typed_contents_of_every_datatype_are_read),
        cmocka_unit_test(test_integers_beyond_their_datatype_are_refused),
        cmocka_unit_test(test_typed_contents_must_fit_datatype_and_shape),
        cmocka_unit_test(test_typed_inputs_take_no_raw_entry),
        cmocka_unit_test(test_raw_data_must_fit),
        cmocka_unit_test(test_an_empty_tensor_needs_no_data),
        cmocka_unit_test(test_what_does_not_fit_the_model_is_refused),
        cmocka_unit_test(test_an_input_that_comes_twice_is_refused),
        cmocka_unit_test(test_parameters_are_read_as_in_json),
        cmocka_unit_test(test_too_many_parameters_are_refused),
        cmocka_unit_test(test_an_id_is_short_utf_8),
        cmocka_unit_test(test_what_is_not_protobuf_is_refused),
        cmocka_unit_test(test_a_cut_request_is_never_read_past_its_end),
        cmocka_unit_test(test_more_raw_entries_than_a_model_has_inputs_are_refused),
        cmocka_unit_test(test_a_flood_of_fields_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
