// Whole requests: members, inputs, outputs, ids; what is missing, twice, unknown or of a wrong
// type.
#include "v2_fixture.h"

#define DATA_X "{\"name\":\"X\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}"
#define DATA_Y "{\"name\":\"Y\",\"shape\":[1,1],\"datatype\":\"INT64\",\"data\":[3]}"

// X: FP32 [-1,2], Y: INT64 [-1,1]; A: FP32 [-1], B: INT64 [-1]; batchable.
static void init_two(struct v2_fixture *f) {
    v2_fixture_init(f);
    v2_fixture_input(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    v2_fixture_input(f, DATATYPE_INT64, (const int64_t[]){-1, 1, 0});
    v2_fixture_output(f, DATATYPE_FP32, (const int64_t[]){-1, 0});
    v2_fixture_output(f, DATATYPE_INT64, (const int64_t[]){-1, 0});
    f->signature.batchable = true;
}

static void init_one(struct v2_fixture *f) {
    v2_fixture_init_one(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
}

static void test_reads_a_whole_request(void **state) {
    (void)state;
    struct v2_fixture f;
    init_two(&f);
    assert_int_equal(
        v2_fixture_read_json(
            &f,
            "{\"id\":\"42\",\"parameters\":{\"priority\":3,\"timeout\":2500,\"k\":\"v\",\"n\":1.5},"
            "\"inputs\":[" DATA_Y "," DATA_X "],"
            "\"outputs\":[{\"name\":\"B\"},{\"name\":\"A\",\"parameters\":{\"binary_data\":true}}]"
            "}"),
        ERR_OK);
    assert_true(str_eq(f.request.id, STR("42")));
    assert_int_equal(f.request.priority, 3);
    assert_int_equal(f.request.timeout_us, 2500);
    assert_int_equal(f.request.inputs[0].datatype, DATATYPE_FP32);
    assert_int_equal(f.request.inputs[0].rank, 2);
    assert_memory_equal(f.request.inputs[0].data, ((const float[]){1, 2}), 8);
    assert_int_equal(f.request.inputs[1].datatype, DATATYPE_INT64);
    assert_memory_equal(f.request.inputs[1].data, ((const int64_t[]){3}), 8);
    assert_true(f.request.outputs_named);
    assert_int_equal(f.request.output_count, 2);
    assert_int_equal(f.request.outputs[0].index, 1);
    assert_false(f.request.outputs[0].binary);
    assert_int_equal(f.request.outputs[1].index, 0);
    assert_true(f.request.outputs[1].binary);
    v2_fixture_done(&f);
}

static void test_the_least_request_asks_for_every_output_as_json(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"inputs\":[" DATA_X "," DATA_Y "]}",
        "{\"inputs\":[" DATA_X "," DATA_Y "],\"outputs\":[]}",
        "{\"id\":null,\"parameters\":null,\"outputs\":null,\"inputs\":[" DATA_X "," DATA_Y "]}",
        " \n{ \"model_name\" : \"other\" , \"inputs\" : [\t" DATA_X "," DATA_Y "] } \r\n",
        "{\"future\":{\"a\":[[[1,{}]]]},\"inputs\":[" DATA_X "," DATA_Y "],\"big\":1e999}",
    };
    struct v2_fixture f;
    init_two(&f);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_int_equal(v2_fixture_read_json(&f, bodies[i]), ERR_OK);
        assert_null(f.request.id.p);
        assert_int_equal(f.request.priority, 0);
        assert_int_equal(f.request.timeout_us, 0);
        assert_false(f.request.outputs_named);
        assert_int_equal(f.request.output_count, 2);
        assert_int_equal(f.request.outputs[1].index, 1);
        assert_false(f.request.outputs[1].binary);
    }
    v2_fixture_done(&f);
}

static void test_an_empty_id_is_an_id(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    assert_int_equal(v2_fixture_read_json(&f, "{\"id\":\"\",\"inputs\":[" DATA_X "]}"), ERR_OK);
    assert_non_null(f.request.id.p);
    assert_int_equal(f.request.id.n, 0);
    v2_fixture_done(&f);
}

static void test_an_id_may_have_1024_bytes_and_no_more(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    char body[2048];
    for (int length = V2_ID_MAX; length <= V2_ID_MAX + 1; length++) {
        snprintf(body, sizeof body, "{\"id\":\"%0*d\",\"inputs\":[" DATA_X "]}", length, 1);
        enum err e = v2_fixture_read_json(&f, body);
        assert_int_equal(e, length == V2_ID_MAX ? ERR_OK : ERR_INVALID);
    }
    v2_expect_text(&f,
                   "Unable to parse 'id' for model 'm': it has 1025 bytes, expected at most 1024");
    v2_fixture_done(&f);
}

struct bad {
    const char *body;
    const char *text;
};

static void expect_bad(struct v2_fixture *f, const struct bad *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(v2_fixture_read_json(f, rows[i].body), ERR_INVALID);
        v2_expect_text(f, rows[i].text);
    }
}
#define EXPECT_BAD(f, rows) expect_bad(f, rows, sizeof(rows) / sizeof *(rows))

static void test_text_that_is_not_json_is_refused_with_the_place(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {"", "failed to parse the request JSON buffer: ..."},
        {"{\"inputs\":[1,]}", "failed to parse the request JSON buffer: ..."},
        {"{\"inputs\":[" DATA_X "]} x",
         "failed to parse the request JSON buffer: unexpected content "
         "after document at byte 71 (model 'm'): when binary data follows the JSON, the header "
         "Inference-Header-Content-Length gives the JSON's length"},
        {"{\"inputs\":[" DATA_X, "failed to parse the request JSON buffer: unexpected end of ..."},
        {"{\"id\":\"\xff\"}", "failed to parse the request JSON buffer: invalid UTF-8 encoding in "
                              "string at byte 7 (model 'm')"},
        {"{\"id\":\"\\ud800\"}", "failed to parse the request JSON buffer: ..."},
        {"\xef\xbb\xbf{}", "failed to parse the request JSON buffer: byte order mark ..."},
        {"{'id':1}", "failed to parse the request JSON buffer: ..."},
        {"{\"a\":NaN,\"inputs\":[" DATA_X "]}",
         "failed to parse the request JSON buffer: NaN and Infinity are not JSON (model 'm')"},
        {"{\"a\":[{\"b\":-Infinity}],\"inputs\":[" DATA_X "]}",
         "failed to parse the request JSON buffer: NaN and Infinity are not JSON (model 'm')"},
    };
    struct v2_fixture f;
    init_one(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_binary_data_without_its_header_is_told_of_the_header(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    assert_int_equal(v2_fixture_read_json(&f, "\x01\x02\x03\x04"), ERR_INVALID);
    assert_non_null(strstr(f.text.s, "when the body is one raw binary tensor, the header "
                                     "'Inference-Header-Content-Length: 0' says so"));
    v2_fixture_done(&f);
}

static void test_members_of_a_wrong_type_are_refused(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {"[]", "Unable to parse the request for model 'm': expected an object, got an array"},
        {"1", "Unable to parse the request for model 'm': expected an object, got an integer"},
        {"{}", "Unable to parse 'inputs' for model 'm': expected an array, got nothing"},
        {"{\"inputs\":null}",
         "Unable to parse 'inputs' for model 'm': expected an array, got nothing"},
        {"{\"inputs\":{}}",
         "Unable to parse 'inputs' for model 'm': expected an array, got an object"},
        {"{\"inputs\":[1.5]}", "Unable to parse an entry of 'inputs' for model 'm': expected an "
                               "object, got a real number"},
        {"{\"inputs\":[null]}",
         "Unable to parse an entry of 'inputs' for model 'm': expected an object, got null"},
        {"{\"inputs\":[{}]}",
         "Unable to parse 'name' for model 'm': expected the input's name, got nothing"},
        {"{\"inputs\":[{\"name\":true}]}",
         "Unable to parse 'name' for model 'm': expected the input's name, got a boolean"},
        {"{\"id\":7,\"inputs\":[]}",
         "Unable to parse 'id' for model 'm': expected a string, got an integer"},
        {"{\"id\":NaN,\"inputs\":[]}",
         "Unable to parse 'id' for model 'm': expected a string, got NaN or Infinity"},
        {"{\"id\":99999999999999999999,\"inputs\":[]}",
         "Unable to parse 'id' for model 'm': expected a string, got a very large number"},
        {"{\"parameters\":[],\"inputs\":[]}", "Unable to parse 'parameters': 'parameters' of the "
                                              "request for model 'm' must be an object"},
        {"{\"outputs\":\"A\",\"inputs\":[]}",
         "Unable to parse 'outputs' for model 'm': expected an array, got a string"},
        {"{\"outputs\":[\"A\"],\"inputs\":[]}",
         "Unable to parse an entry of 'outputs' for model 'm': "
         "expected an object, got a string"},
        {"{\"outputs\":[{\"name\":1}],\"inputs\":[]}",
         "Unable to parse 'name' for model 'm': expected the output's name, got an integer"},
    };
    struct v2_fixture f;
    init_one(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_a_member_that_comes_twice_is_refused(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {"{\"inputs\":[],\"inputs\":[]}",
         "Unable to parse the request for model 'm': 'inputs' is given twice"},
        {"{\"id\":null,\"id\":\"1\"}",
         "Unable to parse the request for model 'm': 'id' is given twice"},
        {"{\"inputs\":[{\"name\":\"X\",\"name\":\"Y\"}]}",
         "Unable to parse an entry of 'inputs' for model 'm': 'name' is given twice"},
        {"{\"outputs\":[{\"name\":\"A\",\"name\":\"A\"}]}",
         "Unable to parse an entry of 'outputs' for model 'm': 'name' is given twice"},
    };
    struct v2_fixture f;
    init_one(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_inputs_must_be_the_models_each_once(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {"{\"inputs\":[]}",
         "expected 2 inputs but got 0 inputs for model 'm'. Got inputs [], but "
         "missing required inputs ['X','Y']. Please provide all required inputs."},
        {"{\"inputs\":[" DATA_Y "]}",
         "expected 2 inputs but got 1 inputs for model 'm'. Got inputs ['Y'], but missing required "
         "inputs ['X']. Please provide all required inputs."},
        {"{\"inputs\":[" DATA_X "," DATA_X "]}",
         "input 'X' already exists in request for model 'm'"},
        {"{\"inputs\":[{\"name\":\"x\"}]}",
         "unexpected inference input 'x' for model 'm': its inputs are ['X','Y']"},
        {"{\"inputs\":[" DATA_X "," DATA_Y ",{\"name\":\"\"}]}",
         "unexpected inference input '' for model 'm': its inputs are ['X','Y']"},
        {"{\"inputs\":[" DATA_X
         ",{\"name\":\"Y\",\"shape\":[2,1],\"datatype\":\"INT64\",\"data\":[3,4]}]}",
         "input 'Y' batch size does not match other inputs for 'm'. Expected 1 (as input 'X'), got "
         "2"},
    };
    struct v2_fixture f;
    init_two(&f);
    EXPECT_BAD(&f, rows);
    f.signature.batchable = false; // then the first dimension is nothing special
    assert_int_equal(v2_fixture_read_json(&f, rows[5].body), ERR_OK);
    v2_fixture_done(&f);
}

static void test_a_long_unknown_name_is_cut_in_the_text(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    char body[5000];
    snprintf(body, sizeof body, "{\"inputs\":[{\"name\":\"%04000d\"}]}", 0);
    assert_int_equal(v2_fixture_read_json(&f, body), ERR_INVALID);
    assert_true(strlen(f.text.s) < 200);
    v2_fixture_done(&f);
}

static void test_the_list_of_missing_inputs_is_cut_when_long(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    static char name[200];
    memset(name, 'n', sizeof name - 1);
    for (int i = 0; i < 4; i++) {
        v2_fixture_input(&f, DATATYPE_FP32, (const int64_t[]){1, 0});
        f.inputs[i].name = name;
    }
    assert_int_equal(v2_fixture_read_json(&f, "{\"inputs\":[]}"), ERR_INVALID);
    v2_expect_text(&f, "expected 4 inputs but got 0 inputs for model 'm'. Got inputs [], ...");
    v2_fixture_done(&f);
}

#define INPUT(rest) "{\"inputs\":[{\"name\":\"X\"," rest "}]}"

static void test_datatype_and_shape_must_fit_the_model(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {INPUT("\"shape\":[1,2],\"data\":[1,2]"),
         "Unable to parse 'datatype': input 'X' for model 'm' expected a string, got nothing"},
        {INPUT("\"datatype\":32,\"shape\":[1,2],\"data\":[1,2]"),
         "Unable to parse 'datatype': input 'X' for model 'm' expected a string, got an integer"},
        {INPUT("\"datatype\":\"FLOAT\",\"shape\":[1,2],\"data\":[1,2]"),
         "Unable to parse 'datatype': input 'X' for model 'm' expected 'FP32', got the unknown "
         "datatype 'FLOAT'"},
        {INPUT("\"datatype\":\"FP64\",\"shape\":[1,2],\"data\":[1,2]"),
         "inference input 'X' data-type is 'FP64', but model 'm' expects 'FP32'"},
        {INPUT("\"datatype\":\"FP32\",\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of integers, got "
         "nothing"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":2,\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of integers, got an "
         "integer"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,2.0],\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of 64-bit integers, "
         "got "
         "a real number"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,\"2\"],\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of 64-bit integers, "
         "got "
         "a string"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[18446744073709551615],\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of 64-bit integers, "
         "got "
         "an integer"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[99999999999999999999],\"data\":[1,2]"),
         "Unable to parse 'shape': input 'X' for model 'm' expected an array of 64-bit integers, "
         "got "
         "a very large number"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[-1,2],\"data\":[1,2]"),
         "Unable to parse 'shape': unexpected shape for input 'X' for model 'm': a dimension is at "
         "least 0, got shape [-1,2]"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[4611686018427387904,2],\"data\":[1,2]"),
         "Unable to parse 'shape': unexpected shape for input 'X' for model 'm': a tensor has at "
         "most "
         "..."},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data\":[1]"),
         "Unable to parse 'shape': input 'X' for model 'm' has 9 dimensions, expected at most 8"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[2],\"data\":[1,2]"),
         "unexpected shape for input 'X' for model 'm'. Expected [-1,2], got [2]"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[1,2,3]"),
         "unexpected shape for input 'X' for model 'm'. Expected [-1,2], got [1,3]"},
    };
    struct v2_fixture f;
    init_one(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_outputs_must_be_the_models_each_at_most_once(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {"{\"outputs\":[{\"name\":\"C\"}],\"inputs\":[]}",
         "unexpected inference output 'C' for model 'm': its outputs are ['A','B']"},
        {"{\"outputs\":[{\"name\":\"X\"}],\"inputs\":[]}",
         "unexpected inference output 'X' for model 'm': its outputs are ['A','B']"},
        {"{\"outputs\":[{\"name\":\"A\"},{\"name\":\"B\"},{\"name\":\"A\"}],\"inputs\":[]}",
         "output 'A' already requested for model 'm'"},
    };
    struct v2_fixture f;
    init_two(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_data_must_come_one_way(void **state) {
    (void)state;
    static const struct bad rows[] = {
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,2]"),
         "Unable to parse 'data': input 'X' for model 'm' has neither 'data' nor "
         "'binary_data_size'"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":null"),
         "Unable to parse 'data': input 'X' for model 'm' has neither 'data' nor "
         "'binary_data_size'"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2],"
               "\"parameters\":{\"binary_data_size\":8}"),
         "Unable to parse 'data': input 'X' for model 'm' has both 'data' and 'binary_data_size'"},
        {INPUT("\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"binary_data_size\":8}"),
         "must specify valid 'Inference-Header-Content-Length' in request header and "
         "'binary_data_size' when passing inputs in binary data format (input 'X' for model 'm')"},
    };
    struct v2_fixture f;
    init_one(&f);
    EXPECT_BAD(&f, rows);
    v2_fixture_done(&f);
}

static void test_an_empty_tensor_needs_no_data(void **state) {
    (void)state;
    static const char *const bodies[] = {
        INPUT("\"datatype\":\"FP32\",\"shape\":[0,2]"),
        INPUT("\"datatype\":\"FP32\",\"shape\":[0,2],\"data\":[]"),
        INPUT("\"datatype\":\"FP32\",\"shape\":[0,2],\"parameters\":{\"binary_data_size\":0}"),
    };
    struct v2_fixture f;
    init_one(&f);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_int_equal(v2_fixture_read_json(&f, bodies[i]), ERR_OK);
        assert_int_equal(f.request.inputs[0].count, 0);
    }
    v2_fixture_done(&f);
}

// {"future":[[[...]]],"inputs":[...]} with `depth` levels below "future".
static enum err read_nested_member(struct v2_fixture *f, size_t depth, const char *open,
                                   const char *close) {
    struct buffer body;
    buffer_init(&body, SIZE_MAX);
    buffer_add_c(&body, "{\"future\":");
    for (size_t i = 0; i < depth; i++)
        buffer_add_c(&body, open);
    buffer_add_c(&body, "1");
    for (size_t i = 0; i < depth; i++)
        buffer_add_c(&body, close);
    buffer_add_c(&body, ",\"inputs\":[" DATA_X "]}");
    enum err e = v2_fixture_read(f, buffer_str(&body), V2_NO_HEADER_LENGTH);
    buffer_done(&body);
    return e;
}

static void test_unknown_members_may_nest_64_deep(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    f.limits.tensor_bytes_max = 1 << 26;
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX, "[", "]"), ERR_OK);
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX, "{\"k\":", "}"), ERR_OK);
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX - 1, "[[],", "]"), ERR_OK);
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX, "[[],", "]"), ERR_INVALID);
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX + 1, "[", "]"), ERR_INVALID);
    v2_expect_text(&f,
                   "failed to parse the request JSON buffer: nested deeper than 64 (model 'm')");
    assert_int_equal(read_nested_member(&f, V2_JSON_DEPTH_MAX + 1, "{\"k\":", "}"), ERR_INVALID);
    assert_int_equal(read_nested_member(&f, 1000000, "[", "]"), ERR_INVALID);
    v2_fixture_done(&f);
}

static void test_json_with_more_values_than_the_limit_allows_is_refused_unparsed(void **state) {
    (void)state;
    struct v2_fixture f;
    init_one(&f);
    f.limits.tensor_bytes_max = 16 * 100;
    char body[512] = "{\"inputs\":[";
    for (size_t n = strlen(body); n < sizeof body - 1; n++)
        body[n] = '[';
    assert_int_equal(v2_fixture_read(&f, (struct str){body, 511}, V2_NO_HEADER_LENGTH),
                     ERR_BODY_TOO_LARGE);
    v2_expect_text(&f,
                   "the request JSON for model 'm' has about 505 values, which take more than the "
                   "limit of 1600 bytes: send large tensors as binary data");
    assert_true(f.arena.used < 1600);
    v2_fixture_done(&f);
}

static void test_a_tensor_past_the_limit_is_refused_by_name(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init_one(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    static const char blobs[4 * 100];
    static const char json[] = "{\"inputs\":[{\"name\":\"X\",\"shape\":[100],\"datatype\":"
                               "\"BYTES\",\"parameters\":{\"binary_data_size\":400}}]}";
    f.limits.tensor_bytes_max = 1600;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}), ERR_OK);
    f.limits.tensor_bytes_max = 1599;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}),
                     ERR_BODY_TOO_LARGE);
    v2_expect_text(&f, "input 'X' for model 'm' has 100 elements of 16 bytes in memory, and the "
                       "tensors of one request may take 1599 bytes");
    v2_fixture_done(&f);
}

static void test_the_limit_counts_all_tensors_of_a_request(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_input(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    v2_fixture_input(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    static const char blobs[4 * 200];
    static const char json[] = "{\"inputs\":[{\"name\":\"X\",\"shape\":[100],\"datatype\":"
                               "\"BYTES\",\"parameters\":{\"binary_data_size\":400}},"
                               "{\"name\":\"Y\",\"shape\":[100],\"datatype\":"
                               "\"BYTES\",\"parameters\":{\"binary_data_size\":400}}]}";
    f.limits.tensor_bytes_max = 3200;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}), ERR_OK);
    f.limits.tensor_bytes_max = 3199;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}),
                     ERR_BODY_TOO_LARGE);
    v2_expect_text(&f, "input 'Y' for model 'm' has 100 elements ...");
    v2_fixture_done(&f);
}

static void test_the_limit_counts_json_and_binary_tensors_together(void **state) {
    (void)state;
    struct v2_fixture f;
    v2_fixture_init(&f);
    v2_fixture_input(&f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    v2_fixture_input(&f, DATATYPE_FP64, (const int64_t[]){-1, 0});
    static const char blobs[4 * 100];
    static const char json[] = "{\"inputs\":[{\"name\":\"X\",\"shape\":[100],\"datatype\":"
                               "\"BYTES\",\"parameters\":{\"binary_data_size\":400}},"
                               "{\"name\":\"Y\",\"shape\":[5],\"datatype\":\"FP64\","
                               "\"data\":[1,2,3,4,5]}]}";
    f.limits.tensor_bytes_max = 1640;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}), ERR_OK);
    f.limits.tensor_bytes_max = 1639;
    assert_int_equal(v2_fixture_read_binary(&f, json, (struct str){blobs, sizeof blobs}),
                     ERR_BODY_TOO_LARGE);
    v2_expect_text(&f, "input 'Y' for model 'm' has 5 elements of 8 bytes in memory, ...");
    v2_fixture_done(&f);
}

static void test_the_header_length_is_digits_up_to_the_bodys_length(void **state) {
    (void)state;
    struct err_text text;
    int64_t length = -5;
    assert_int_equal(v2_header_length_read(STR("0"), 0, &length, &text), ERR_OK);
    assert_int_equal(length, 0);
    assert_int_equal(v2_header_length_read(STR("100"), 100, &length, &text), ERR_OK);
    assert_int_equal(length, 100);
    static const char *const bad[] = {"",    "-1",  "+1",  " 1",  "1 ",
                                      "0x1", "1.0", "101", "abc", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        length = -5;
        assert_int_equal(v2_header_length_read(str_of(bad[i]), 100, &length, &text), ERR_INVALID);
        assert_int_equal(length, -5);
        assert_non_null(strstr(text.s, "inference header size should be in range (0, 100), got: "));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_whole_request),
        cmocka_unit_test(test_the_least_request_asks_for_every_output_as_json),
        cmocka_unit_test(test_an_empty_id_is_an_id),
        cmocka_unit_test(test_an_id_may_have_1024_bytes_and_no_more),
        cmocka_unit_test(test_text_that_is_not_json_is_refused_with_the_place),
        cmocka_unit_test(test_binary_data_without_its_header_is_told_of_the_header),
        cmocka_unit_test(test_members_of_a_wrong_type_are_refused),
        cmocka_unit_test(test_a_member_that_comes_twice_is_refused),
        cmocka_unit_test(test_inputs_must_be_the_models_each_once),
        cmocka_unit_test(test_a_long_unknown_name_is_cut_in_the_text),
        cmocka_unit_test(test_the_list_of_missing_inputs_is_cut_when_long),
        cmocka_unit_test(test_datatype_and_shape_must_fit_the_model),
        cmocka_unit_test(test_outputs_must_be_the_models_each_at_most_once),
        cmocka_unit_test(test_data_must_come_one_way),
        cmocka_unit_test(test_an_empty_tensor_needs_no_data),
        cmocka_unit_test(test_unknown_members_may_nest_64_deep),
        cmocka_unit_test(test_json_with_more_values_than_the_limit_allows_is_refused_unparsed),
        cmocka_unit_test(test_a_tensor_past_the_limit_is_refused_by_name),
        cmocka_unit_test(test_the_limit_counts_all_tensors_of_a_request),
        cmocka_unit_test(test_the_limit_counts_json_and_binary_tensors_together),
        cmocka_unit_test(test_the_header_length_is_digits_up_to_the_bodys_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
