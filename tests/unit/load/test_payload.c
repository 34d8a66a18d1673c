/* From a model's metadata to requests, by every protocol, and whether an answer is one. */
#include "load/answer.h"
#include "load/payload.h"
#include "load/subject.h"

#include "protocol/v2_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;
static struct signature signature;
static struct err_text text;

static const char metadata[] =
    "{\"name\":\"m\",\"inputs\":["
    "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[-1,3]},"
    "{\"name\":\"ids\",\"datatype\":\"INT64\",\"shape\":[-1,-1]},"
    "{\"name\":\"T\",\"datatype\":\"BYTES\",\"shape\":[2]}],"
    "\"outputs\":[{\"name\":\"Y\",\"datatype\":\"FP32\",\"shape\":[-1,2]}]}";

static int setup(void **state) {
    (void)state;
    arena_init(&arena);
    assert_int_equal(subject_read_json(&arena, str_of(metadata), &signature, &text), ERR_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct payload_target target(enum payload_protocol protocol) {
    return (struct payload_target){.protocol = protocol,
                                   .authority = "h:80",
                                   .model = "m/1",
                                   .version = "2",
                                   .path = "/p?q",
                                   .content_type = "text/x"};
}

static struct tensor *inputs(const char *shape, enum subject_values values) {
    struct random random = random_of(1);
    struct tensor *made;
    struct subject_options options = {
        .shape = str_of(shape), .batch = 2, .values = values, .integers_max = 1};
    if (subject_make_inputs(&arena, &signature, &options, &random, &made, &text))
        fail_msg("%s", text.s);
    return made;
}

static void refuse_shape(const char *shape, const char *why) {
    struct random random = random_of(1);
    struct tensor *made;
    struct subject_options options = {.shape = str_of(shape), .batch = 1};
    assert_int_equal(subject_make_inputs(&arena, &signature, &options, &random, &made, &text),
                     ERR_INVALID);
    assert_string_equal(text.s, why);
}

static void test_free_dimensions_are_the_batch_one_or_what_was_said(void **state) {
    (void)state;
    struct tensor *made = inputs("ids:4,7", SUBJECT_RANDOM);
    assert_int_equal(made[0].shape[0], 2);
    assert_int_equal(made[0].count, 6);
    assert_int_equal(made[1].count, 28);
    assert_int_equal(made[2].count, 2);
    made = inputs("ids:3,5,A:1,3", SUBJECT_RANDOM);
    assert_int_equal(made[0].count, 3);
    assert_int_equal(made[1].count, 15);
    made = inputs("", SUBJECT_RANDOM);
    assert_int_equal(made[1].shape[0], 2);
    assert_int_equal(made[1].shape[1], 1);
}

static void test_shapes_that_do_not_fit_are_refused_and_said(void **state) {
    (void)state;
    refuse_shape("1,2", "the shape '1' names no input; expected NAME:1,30");
    refuse_shape("B:1", "the shape's input 'B' is none of model 'm'");
    refuse_shape("A:1,x", "the shape 'x' is not a number; expected NAME:1,30");
    refuse_shape("A:1,4", "unexpected shape for input 'A' for model 'm'. Expected [-1,3], got "
                          "[1,4]");
    refuse_shape("ids:1,2,3,4,5,6,7,8,9", "the shape of 'ids' has more than 8 dimensions");
    refuse_shape("ids:10000,10000", "input 'ids' would take more than 268435456 bytes");
}

static void test_values_are_zero_or_random_within_their_range(void **state) {
    (void)state;
    struct tensor *zero = inputs("ids:10,10", SUBJECT_ZERO),
                  *random = inputs("ids:10,10", SUBJECT_RANDOM);
    int64_t sum = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(((int64_t *)zero[1].data)[i], 0);
        int64_t value = ((int64_t *)random[1].data)[i];
        assert_true(value == 0 || value == 1);
        sum += value;
    }
    assert_true(sum > 20 && sum < 80);
    for (int i = 0; i < 6; i++) {
        float value = ((float *)random[0].data)[i];
        assert_true(value > 0 && value < 1);
    }
    assert_int_equal(((struct str *)random[2].data)[1].n, 8);
}

/* Reads a REST body back as the server does. */
static void assert_reads_back(struct str body, int64_t json_length, const struct tensor *expected) {
    char *copy = arena_new_zero(&arena, body.n + V2_BODY_SPARE);
    memcpy(copy, body.p, body.n);
    struct v2_limits limits = {1 << 20};
    struct v2_infer_request request;
    if (v2_infer_read(&arena, copy, body.n, json_length, &signature, &limits, &request, &text))
        fail_msg("%s", text.s);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(request.inputs[i].count, expected[i].count);
        assert_memory_equal(request.inputs[i].data, expected[i].data, tensor_bytes(&expected[i]));
    }
    const struct str *texts = request.inputs[2].data, *given = expected[2].data;
    assert_true(str_eq(texts[0], given[0]) && str_eq(texts[1], given[1]));
    assert_int_equal(request.outputs[0].binary, json_length != V2_NO_HEADER_LENGTH);
}

static struct wire_request make(enum payload_protocol protocol, struct tensor *made) {
    struct payload_target to = target(protocol);
    struct v2_infer_request request = {.inputs = made};
    struct wire_request wire;
    if (payload_make(&arena, &to, &signature, &request, &wire, &text))
        fail_msg("%s", text.s);
    return wire;
}

static void test_json_reads_back_as_the_same_tensors(void **state) {
    (void)state;
    struct tensor *made = inputs("", SUBJECT_RANDOM);
    struct wire_request wire = make(PAYLOAD_REST, made);
    assert_reads_back(wire.body, V2_NO_HEADER_LENGTH, made);
    char head[200];
    snprintf(head, sizeof head,
             "POST /v2/models/m%%2F1/versions/2/infer HTTP/1.1\r\nHost: h:80\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             wire.body.n);
    assert_true(str_starts(wire.http1, str_of(head)));
    assert_int_equal(wire.http1.n, strlen(head) + wire.body.n);
    assert_true(str_eq(wire.fields[3].value, STR("/v2/models/m%2F1/versions/2/infer")));
}

static void test_binary_data_read_back_as_the_same_tensors(void **state) {
    (void)state;
    struct tensor *made = inputs("", SUBJECT_RANDOM);
    struct wire_request wire = make(PAYLOAD_REST_BINARY, made);
    const struct wire_field *last = &wire.fields[wire.field_count - 1];
    uint64_t length;
    assert_true(str_eq(last->name, STR("inference-header-content-length")));
    assert_true(str_to_u64(last->value, &length));
    assert_reads_back(wire.body, (int64_t)length, made);
    assert_non_null(strstr(wire.http1.p, "\r\nInference-Header-Content-Length: "));
}

static void test_a_grpc_message_reads_back_as_the_same_tensors(void **state) {
    (void)state;
    struct tensor *made = inputs("", SUBJECT_RANDOM);
    struct wire_request wire = make(PAYLOAD_GRPC, made);
    assert_null(wire.http1.p);
    size_t n = wire.body.n - GRPC_PREFIX_SIZE;
    char *copy = arena_new_zero(&arena, n + GRPC_MESSAGE_SPARE);
    memcpy(copy, wire.body.p + GRPC_PREFIX_SIZE, n);
    struct v2_limits limits = {1 << 20};
    struct v2_proto_infer open;
    struct v2_infer_request request;
    if (v2_proto_infer_open(&arena, (struct str){copy, n}, &limits, &open, &text) ||
        v2_proto_infer_read(&arena, &open, &signature, &limits, &request, &text))
        fail_msg("%s", text.s);
    assert_true(str_eq(open.model_name, STR("m/1")));
    assert_true(str_eq(open.model_version, STR("2")));
    assert_memory_equal(request.inputs[0].data, made[0].data, tensor_bytes(&made[0]));
    assert_memory_equal(request.inputs[1].data, made[1].data, tensor_bytes(&made[1]));
}

static void test_plain_requests_are_as_given(void **state) {
    (void)state;
    struct payload_target to = target(PAYLOAD_GET);
    struct wire_request wire;
    payload_make_plain(&arena, &to, (struct str){"", 0}, &wire);
    assert_true(str_eq(wire.http1, STR("GET /p?q HTTP/1.1\r\nHost: h:80\r\n\r\n")));
    to = target(PAYLOAD_POST);
    payload_make_plain(&arena, &to, STR("body"), &wire);
    assert_true(str_eq(wire.http1, STR("POST /p?q HTTP/1.1\r\nHost: h:80\r\nContent-Type: text/x"
                                       "\r\nContent-Length: 4\r\n\r\nbody")));
    assert_true(str_eq(wire.fields[wire.field_count - 1].value, STR("4")));
}

static void test_metadata_that_cannot_be_used_are_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"name\":\"m\",\"inputs\":[],\"outputs\":[]}",
        "{\"inputs\":[{\"name\":\"A\",\"datatype\":\"FP31\",\"shape\":[1]}]}",
        "{\"inputs\":[{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[\"x\"]}]}",
        "{\"inputs\":[{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1,1,1,1,1,1,1,1,1]}]}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct signature other;
        assert_int_equal(subject_read_json(&arena, str_of(rows[i]), &other, &text), ERR_INVALID);
    }
}

static enum err check(const char *body, int64_t json_length, int status) {
    struct wire_answer answer = {.status = status,
                                 .grpc_status = WIRE_NO_GRPC_STATUS,
                                 .json_length = json_length,
                                 .body = str_of(body)};
    return answer_check(PAYLOAD_REST, &answer, &signature, &text);
}

#define OUTPUT(rest)                                                                               \
    "{\"outputs\":[{\"name\":\"Y\",\"datatype\":\"FP32\",\"shape\":[2,2]," rest "}]}"

static void test_a_good_answer_passes(void **state) {
    (void)state;
    assert_int_equal(check(OUTPUT("\"data\":[1,2,3,4]"), -1, 200), ERR_OK);
    assert_int_equal(check(OUTPUT("\"data\":[[1,2],[3,null]]"), -1, 200), ERR_OK);
    char binary[200];
    strcpy(binary, OUTPUT("\"parameters\":{\"binary_data_size\":16}"));
    int64_t length = (int64_t)strlen(binary);
    strcat(binary, "0123456789abcdef");
    assert_int_equal(check(binary, length, 200), ERR_OK);
}

static void test_an_answer_that_is_none_is_refused(void **state) {
    (void)state;
    assert_int_equal(check("{\"error\":\"oh\"}", -1, 404), ERR_INVALID);
    assert_string_equal(text.s, "the server answers 404: {\"error\":\"oh\"}");
    assert_int_equal(check("<html>", -1, 200), ERR_INVALID);
    assert_int_equal(check("{}", -1, 200), ERR_INVALID);
    assert_int_equal(check("{\"outputs\":[]}", -1, 200), ERR_INVALID);
    assert_int_equal(check("{\"outputs\":[{}]}", -1, 200), ERR_INVALID);
    assert_int_equal(check(OUTPUT("\"data\":[1,2,3]"), -1, 200), ERR_INVALID);
    assert_string_equal(text.s, "output 'Y' has 3 elements or bytes where its shape asks for 4");
    assert_int_equal(check(OUTPUT("\"data\":[1,2,3,4]") "xxxx", 76, 200), ERR_INVALID);
    assert_int_equal(check("{}", 9, 200), ERR_INVALID);
    assert_int_equal(
        check(
            "{\"outputs\":[{\"name\":\"Z\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}",
            -1, 200),
        ERR_INVALID);
    assert_int_equal(
        check(
            "{\"outputs\":[{\"name\":\"Y\",\"datatype\":\"FP64\",\"shape\":[1,2],\"data\":[1,2]}]}",
            -1, 200),
        ERR_INVALID);
    assert_int_equal(check("{\"outputs\":[{\"name\":\"Y\",\"datatype\":\"FP32\",\"shape\":[1,3],"
                           "\"data\":[1,2,3]}]}",
                           -1, 200),
                     ERR_INVALID);
}

/* A server's answer with the one output [2,2], of whose elements `count` are there. */
static enum err check_grpc(int grpc_status, const char *name, int64_t count) {
    float data[4] = {0};
    struct tensor_spec spec = {
        .name = arena_copy(&arena, str_of(name)), .datatype = DATATYPE_FP32, .rank = 2};
    struct signature served = {.model = "m", .version = "1", .outputs = &spec, .output_count = 1};
    struct v2_output_request output = {0, true};
    struct v2_infer_request request = {.outputs = &output, .output_count = 1};
    struct tensor tensor = {
        .datatype = DATATYPE_FP32, .rank = 2, .shape = {2, 2}, .count = count, .data = data};
    struct v2_infer_response response = {
        .signature = &served, .request = &request, .outputs = &tensor};
    struct str parts[V2_PROTO_PARTS_MAX];
    size_t part_count;
    assert_int_equal(v2_proto_infer_write(&arena, &response, false, parts, &part_count, &text),
                     ERR_OK);
    struct buffer body;
    buffer_init(&body, 4096);
    for (size_t i = 0; i < part_count; i++)
        buffer_add_str(&body, parts[i]);
    struct wire_answer answer = {.status = 200,
                                 .grpc_status = grpc_status,
                                 .json_length = WIRE_NO_JSON_LENGTH,
                                 .body = buffer_str(&body)};
    enum err e = answer_check(PAYLOAD_GRPC, &answer, &signature, &text);
    buffer_done(&body);
    return e;
}

static void test_grpc_answers_are_checked_too(void **state) {
    (void)state;
    assert_int_equal(check_grpc(0, "Y", 4), ERR_OK);
    assert_int_equal(check_grpc(0, "Y", 3), ERR_INVALID);
    assert_int_equal(check_grpc(0, "Z", 4), ERR_INVALID);
    assert_int_equal(check_grpc(8, "Y", 4), ERR_INVALID);
    assert_int_equal(check_grpc(WIRE_NO_GRPC_STATUS, "Y", 4), ERR_INVALID);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_free_dimensions_are_the_batch_one_or_what_was_said),
        TEST(test_shapes_that_do_not_fit_are_refused_and_said),
        TEST(test_values_are_zero_or_random_within_their_range),
        TEST(test_json_reads_back_as_the_same_tensors),
        TEST(test_binary_data_read_back_as_the_same_tensors),
        TEST(test_a_grpc_message_reads_back_as_the_same_tensors),
        TEST(test_plain_requests_are_as_given),
        TEST(test_metadata_that_cannot_be_used_are_refused),
        TEST(test_a_good_answer_passes),
        TEST(test_an_answer_that_is_none_is_refused),
        TEST(test_grpc_answers_are_checked_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
