// A ModelInferResponse in pieces, compared with what real protobuf makes of the same answer: the
// constants are SerializeToString() of what each comment says, in Python, from the definitions that
// tritonclient carries.
#include "v2_fixture.h"

#include "protocol/v2_proto.h"

#define MESSAGE(array) ((struct str){(array), sizeof(array) - 1})

// A FP32 [1,2] {1.5,-2.5}, B BYTES [2] {"ab",""}; id "r1"
static const char two_outputs[] =
    "\x0a\x01m\x12\x01\x37\x1a\x02r1*\x0d\x0a\x01\x41\x12\x04\x46P32\x1a\x02\x01\x02*\x0d"
    "\x0a\x01\x42\x12\x05\x42YTES\x1a\x01\x02\x32\x08\x00\x00\xc0\x3f\x00\x00 \xc0\x32"
    "\x0a\x02\x00\x00\x00\x61\x62\x00\x00\x00\x00";

// A INT64 [] 300, without an id
static const char scalar[] =
    "\x0a\x01m\x12\x01\x37*\x0a\x0a\x01\x41\x12\x05INT642\x08,\x01\x00\x00\x00\x00\x00"
    "\x00";

// the same on a stream: triton_final_response true
static const char streamed[] =
    "\x12\x39\x0a\x01m\x12\x01\x37\x22\x1b\x0a\x15triton_final_response\x12\x02\x08\x01*"
    "\x0a\x0a\x01\x41\x12\x05INT642\x08,\x01\x00\x00\x00\x00\x00\x00";

struct written {
    struct str parts[V2_PROTO_PARTS_MAX];
    size_t part_count;
    struct buffer whole;
};

static void write_answer(struct v2_fixture *f, const struct tensor *outputs, bool stream,
                         struct written *ret) {
    struct v2_infer_response response = {&f->signature, &f->request, outputs, V2_NONFINITE_NULL};
    assert_int_equal(
        v2_proto_infer_write(&f->arena, &response, stream, ret->parts, &ret->part_count, &f->text),
        ERR_OK);
    buffer_init(&ret->whole, SIZE_MAX);
    for (size_t i = 0; i < ret->part_count; i++) {
        assert_true(ret->parts[i].n > 0);
        buffer_add_str(&ret->whole, ret->parts[i]);
    }
}

static void expect_message(struct written *written, struct str expected) {
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, expected.n);
    assert_int_equal(written->whole.used, GRPC_PREFIX_SIZE + expected.n);
    assert_memory_equal(written->whole.data, prefix, GRPC_PREFIX_SIZE);
    assert_memory_equal(written->whole.data + GRPC_PREFIX_SIZE, expected.p, expected.n);
    buffer_done(&written->whole);
}

// Asks for output `index` of the signature, as the next one.
static void ask(struct v2_fixture *f, size_t index) {
    f->request.outputs[f->request.output_count++] = (struct v2_output_request){index, true};
}

static struct tensor tensor_of(enum datatype datatype, int64_t count, const void *data) {
    struct tensor tensor;
    assert_int_equal(tensor_set(&tensor, datatype, &count, 1, NULL), ERR_OK);
    tensor.data = (void *)(uintptr_t)data;
    return tensor;
}

static void init(struct v2_fixture *f, struct v2_output_request *outputs) {
    v2_fixture_init(f);
    v2_fixture_output(f, DATATYPE_FP32, (const int64_t[]){-1, 2, 0});
    v2_fixture_output(f, DATATYPE_BYTES, (const int64_t[]){-1, 0});
    f->request.outputs = outputs;
}

static void test_small_outputs_and_the_head_are_one_piece(void **state) {
    (void)state;
    struct v2_fixture f;
    struct v2_output_request outputs[2];
    init(&f, outputs);
    ask(&f, 0);
    ask(&f, 1);
    f.request.id = STR("r1");
    const struct str elements[] = {STR("ab"), STR("")};
    struct tensor tensors[2];
    assert_int_equal(tensor_set(&tensors[0], DATATYPE_FP32, (const int64_t[]){1, 2}, 2, NULL),
                     ERR_OK);
    tensors[0].data = (void *)(uintptr_t)(const float[]){1.5F, -2.5F};
    tensors[1] = tensor_of(DATATYPE_BYTES, 2, elements);
    struct written written;
    write_answer(&f, tensors, false, &written);
    assert_int_equal(written.part_count, 1);
    expect_message(&written, MESSAGE(two_outputs));
    v2_fixture_done(&f);
}

static void test_an_answer_on_a_stream_is_wrapped_and_final(void **state) {
    (void)state;
    struct v2_fixture f;
    struct v2_output_request outputs[1];
    init(&f, outputs);
    ask(&f, 0);
    const int64_t value = 300;
    struct tensor tensor;
    assert_int_equal(tensor_set(&tensor, DATATYPE_INT64, NULL, 0, NULL), ERR_OK);
    tensor.data = (void *)(uintptr_t)&value;
    struct written written;
    write_answer(&f, &tensor, false, &written);
    expect_message(&written, MESSAGE(scalar));
    write_answer(&f, &tensor, true, &written);
    expect_message(&written, MESSAGE(streamed));
    v2_fixture_done(&f);
}

static void test_large_outputs_are_views(void **state) {
    (void)state;
    static const uint8_t data[1000] = {1, 2, 3};
    struct v2_fixture f;
    struct v2_output_request outputs[2];
    init(&f, outputs);
    ask(&f, 0);
    ask(&f, 1);
    struct tensor tensors[2] = {tensor_of(DATATYPE_UINT8, sizeof data, data),
                                tensor_of(DATATYPE_UINT8, 3, data)};
    struct written written;
    write_answer(&f, tensors, false, &written);
    assert_int_equal(written.part_count, 3);
    assert_ptr_equal(written.parts[1].p, data);
    assert_int_equal(written.parts[1].n, sizeof data);
    // Behind the view: the second entry of raw_output_contents.
    assert_true(str_eq(written.parts[2], STR("\x32\3\1\2\3")));
    assert_true(str_ends(written.parts[0], STR("\x32\xe8\7")));
    buffer_done(&written.whole);
    v2_fixture_done(&f);
}

static void test_the_data_of_many_large_outputs_still_fits_the_parts(void **state) {
    (void)state;
    static const uint8_t data[600] = {1};
    static struct tensor_spec specs[SIGNATURE_TENSORS_MAX];
    static struct tensor tensors[SIGNATURE_TENSORS_MAX];
    static char name[] = "A";
    struct v2_output_request outputs[SIGNATURE_TENSORS_MAX];
    struct v2_fixture f;
    init(&f, outputs);
    for (size_t i = 0; i < SIGNATURE_TENSORS_MAX; i++) {
        specs[i] = (struct tensor_spec){.name = name, .datatype = DATATYPE_UINT8};
        tensors[i] = tensor_of(DATATYPE_UINT8, sizeof data, data);
        ask(&f, i);
    }
    f.signature.outputs = specs;
    f.signature.output_count = SIGNATURE_TENSORS_MAX;
    struct written written;
    write_answer(&f, tensors, true, &written);
    assert_int_equal(written.part_count, 63);
    assert_true(written.whole.used > SIGNATURE_TENSORS_MAX * sizeof data);
    size_t length = written.whole.used - GRPC_PREFIX_SIZE;
    char prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, false, length);
    assert_memory_equal(written.whole.data, prefix, GRPC_PREFIX_SIZE);
    buffer_done(&written.whole);
    v2_fixture_done(&f);
}

static void test_an_answer_without_outputs_is_a_message_too(void **state) {
    (void)state;
    struct v2_fixture f;
    struct v2_output_request outputs[1];
    init(&f, outputs);
    struct written written;
    write_answer(&f, NULL, false, &written);
    expect_message(&written, STR("\x0a\1m\x12\1\x37"));
    v2_fixture_done(&f);
}

static void test_an_answer_over_two_gigabytes_is_an_error(void **state) {
    (void)state;
    struct v2_fixture f;
    struct v2_output_request outputs[1];
    init(&f, outputs);
    ask(&f, 0);
    struct tensor tensor = tensor_of(DATATYPE_FP64, (int64_t)1 << 29, NULL); // never looked at
    struct v2_infer_response response = {&f.signature, &f.request, &tensor, V2_NONFINITE_NULL};
    struct written written;
    assert_int_equal(v2_proto_infer_write(&f.arena, &response, false, written.parts,
                                          &written.part_count, &f.text),
                     ERR_INTERNAL);
    v2_expect_text(&f, "the answer of model 'm' is larger than the 2 GiB of a protobuf message");
    v2_fixture_done(&f);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_outputs_and_the_head_are_one_piece),
        cmocka_unit_test(test_an_answer_on_a_stream_is_wrapped_and_final),
        cmocka_unit_test(test_large_outputs_are_views),
        cmocka_unit_test(test_the_data_of_many_large_outputs_still_fits_the_parts),
        cmocka_unit_test(test_an_answer_without_outputs_is_a_message_too),
        cmocka_unit_test(test_an_answer_over_two_gigabytes_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
