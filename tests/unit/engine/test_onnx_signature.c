/* What a session says of its tensors: what is refused at load, the limits, and what an optional or
 * shapeless output does. The models are written here: no tool would make them. */
#include "engine/support.h"

#include "base/buffer.h"
#include "base/check.h"
#include "engine/onnx_writer.h"

#include <stdio.h>

static struct engine *engine;

static int start(void **state) {
    (void)state;
    engine = start_onnx();
    return 0;
}

static int stop(void **state) {
    (void)state;
    engine->ops->free(&engine);
    return engine ? 1 : 0;
}

/* Writes a model with an input X of `type`, which nothing reads, and expects it refused. */
static void check_refused_type(struct buffer *type, const char *part) {
    struct buffer plain;
    buffer_init(&plain, 4096);
    onnx_type_tensor(&plain, 1, (int64_t[]){-1}, 1);
    struct onnx_value inputs[] = {{"X", buffer_str(type)}, {"A", buffer_str(&plain)}};
    struct onnx_value output = {"B", buffer_str(&plain)};
    struct onnx_node node = {"Identity", "A", "B", {NULL, 0}};
    const char *path = own_file("type.onnx");
    onnx_write(path, &(struct onnx_graph){inputs, &output, 2, 1, &node, 1});
    buffer_done(&plain);
    buffer_done(type);
    struct err_text text;
    refuse(engine, path, &text);
    assert_contains(text.s, part);
}

static void test_types_outside_the_protocol_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        int element;
        const char *name;
    } rows[] = {{14, "complex64"}, {17, "FLOAT8E4M3FN"}, {21, "UINT4"}, {22, "INT4"}};
    struct buffer type, inner;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buffer_init(&type, 4096);
        onnx_type_tensor(&type, rows[i].element, (int64_t[]){-1, 2}, 2);
        check_refused_type(&type, rows[i].name);
    }
    buffer_init(&type, 4096);
    buffer_init(&inner, 4096);
    onnx_type_tensor(&inner, 1, (int64_t[]){-1}, 1);
    onnx_type_sequence(&type, buffer_str(&inner));
    check_refused_type(&type, "input 'X' is a sequence");
    buffer_init(&type, 4096);
    onnx_type_map(&type, 7, buffer_str(&inner));
    check_refused_type(&type, "input 'X' is a map");
    buffer_done(&inner);
}

static void test_an_input_without_a_shape_is_refused_and_an_output_is_not(void **state) {
    (void)state;
    struct buffer none, plain;
    buffer_init(&none, 4096);
    onnx_type_tensor(&none, 1, NULL, 0);
    check_refused_type(&none, "input 'X' has no shape in the model");
    buffer_init(&none, 4096);
    buffer_init(&plain, 4096);
    onnx_type_tensor(&none, 1, NULL, 0);
    onnx_type_tensor(&plain, 1, (int64_t[]){-1, 2}, 2);
    struct onnx_value x = {"X", buffer_str(&plain)}, y = {"Y", buffer_str(&none)};
    struct onnx_node node = {"Identity", "X", "Y", {NULL, 0}};
    onnx_write(own_file("type.onnx"), &(struct onnx_graph){&x, &y, 1, 1, &node, 1});
    buffer_done(&none);
    buffer_done(&plain);
    struct engine_model *model = load(engine, own_file("type.onnx"));
    float values[4] = {1, 2, 3, 4};
    struct tensor input = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){2, 2});
    struct engine_result *result = run(model, &input, 1);
    assert_int_equal(result->outputs[0].rank, 2);
    assert_int_equal(result->outputs[0].count, 4);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_more_dimensions_than_the_limit_are_refused(void **state) {
    (void)state;
    int64_t shape[TENSOR_RANK_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(shape); i++)
        shape[i] = -1;
    struct buffer type;
    buffer_init(&type, 4096);
    onnx_type_tensor(&type, 1, shape, TENSOR_RANK_MAX + 1);
    check_refused_type(&type, "input 'X' has 9 dimensions, the limit is 8");
    buffer_init(&type, 4096);
    onnx_type_tensor(&type, 1, shape, TENSOR_RANK_MAX);
    struct onnx_value x = {"X", buffer_str(&type)}, y = {"Y", buffer_str(&type)};
    struct onnx_node node = {"Identity", "X", "Y", {NULL, 0}};
    onnx_write(own_file("type.onnx"), &(struct onnx_graph){&x, &y, 1, 1, &node, 1});
    struct engine_model *model = load(engine, own_file("type.onnx"));
    assert_int_equal(engine->ops->signature(model)->inputs[0].rank, 8);
    engine->ops->unload(&model);
    buffer_done(&type);
}

/* A model of `count` Identities, each with its own input and output. */
static const char *write_wide_model(size_t count) {
    static char names[2][SIGNATURE_TENSORS_MAX + 1][24];
    static struct onnx_value values[2][SIGNATURE_TENSORS_MAX + 1];
    static struct onnx_node nodes[SIGNATURE_TENSORS_MAX + 1];
    struct buffer type;
    buffer_init(&type, 4096);
    onnx_type_tensor(&type, 7, (int64_t[]){-1}, 1);
    for (size_t i = 0; i < count; i++) {
        for (int side = 0; side < 2; side++) {
            snprintf(names[side][i], sizeof names[side][i], "%c%zu", side ? 'Y' : 'X', i);
            values[side][i] = (struct onnx_value){names[side][i], buffer_str(&type)};
        }
        nodes[i] = (struct onnx_node){"Identity", names[0][i], names[1][i], {NULL, 0}};
    }
    const char *path = own_file("wide.onnx");
    onnx_write(path, &(struct onnx_graph){values[0], values[1], count, count, nodes, count});
    buffer_done(&type);
    return path;
}

static void test_more_tensors_than_the_limit_are_refused(void **state) {
    (void)state;
    struct err_text text;
    refuse(engine, write_wide_model(SIGNATURE_TENSORS_MAX + 1), &text);
    assert_string_equal(text.s, "the model has 65 inputs, the limit is 64");
}

static void test_as_many_tensors_as_the_limit_all_have_their_bit(void **state) {
    (void)state;
    struct engine_model *model = load(engine, write_wide_model(SIGNATURE_TENSORS_MAX));
    int64_t values[SIGNATURE_TENSORS_MAX];
    struct tensor inputs[SIGNATURE_TENSORS_MAX];
    for (int i = 0; i < SIGNATURE_TENSORS_MAX; i++) {
        values[i] = i;
        inputs[i] = make_tensor(DATATYPE_INT64, &values[i], 1, (int64_t[]){1});
    }
    struct engine_result *result = run(model, inputs, UINT64_C(1) << 63 | 1);
    assert_int_equal(*(const int64_t *)result->outputs[63].data, 63);
    assert_int_equal(*(const int64_t *)result->outputs[0].data, 0);
    assert_null(result->outputs[1].data);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_an_optional_output_without_a_value_fails_the_run(void **state) {
    (void)state;
    struct buffer tensor, optional;
    buffer_init(&tensor, 4096);
    buffer_init(&optional, 4096);
    onnx_type_tensor(&tensor, 1, (int64_t[]){-1}, 1);
    onnx_type_optional(&optional, buffer_str(&tensor));
    struct onnx_value x = {"X", buffer_str(&tensor)};
    struct onnx_value outputs[] = {{"NOTHING", buffer_str(&optional)}, {"Y", buffer_str(&tensor)}};
    struct onnx_node nodes[] = {{"Optional", "", "NOTHING", buffer_str(&tensor)},
                                {"Identity", "X", "Y", {NULL, 0}}};
    const char *path = own_file("optional.onnx");
    onnx_write(path, &(struct onnx_graph){&x, outputs, 1, 2, nodes, 2});
    struct engine_model *model = load(engine, path);
    assert_int_equal(engine->ops->signature(model)->outputs[0].datatype, DATATYPE_FP32);
    assert_int_equal(engine->ops->signature(model)->outputs[0].rank, 1);
    float value = 1;
    struct tensor input = make_tensor(DATATYPE_FP32, &value, 1, (int64_t[]){1});
    struct engine_result *result = NULL;
    struct err_text text;
    assert_int_equal(model->ops->run(model, &input, 3, &result, &text), ERR_INTERNAL);
    assert_string_equal(text.s, "output 'NOTHING' has no tensor for these inputs");
    result = run(model, &input, 2); /* who does not ask for it gets the rest */
    assert_int_equal(result->outputs[1].count, 1);
    engine_result_unref(&result);
    engine->ops->unload(&model);
    buffer_done(&tensor);
    buffer_done(&optional);
}

static void test_a_model_may_have_no_inputs(void **state) {
    (void)state;
    struct buffer tensor, optional, truth;
    buffer_init(&tensor, 4096);
    buffer_init(&optional, 4096);
    buffer_init(&truth, 4096);
    onnx_type_tensor(&tensor, 1, (int64_t[]){-1}, 1);
    onnx_type_tensor(&truth, 9, (int64_t[]){1}, 0);
    struct onnx_value output = {"Y", buffer_str(&truth)};
    struct onnx_node nodes[] = {{"Optional", "", "NOTHING", buffer_str(&tensor)},
                                {"OptionalHasElement", "NOTHING", "Y", {NULL, 0}}};
    const char *path = own_file("constant.onnx");
    onnx_write(path, &(struct onnx_graph){NULL, &output, 0, 1, nodes, 2});
    struct engine_model *model = load(engine, path);
    assert_int_equal(engine->ops->signature(model)->input_count, 0);
    assert_false(engine->ops->signature(model)->batchable);
    struct engine_result *result = run(model, NULL, 1);
    assert_int_equal(result->outputs[0].datatype, DATATYPE_BOOL);
    assert_int_equal(result->outputs[0].count, 1);
    assert_int_equal(*(const uint8_t *)result->outputs[0].data, 0);
    engine_result_unref(&result);
    engine->ops->unload(&model);
    buffer_done(&tensor);
    buffer_done(&optional);
    buffer_done(&truth);
}

int main(void) {
    if (UNDER_THREAD_SANITIZER) {
        print_message("skipped: ONNX Runtime is not built for ThreadSanitizer\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_outside_the_protocol_are_refused_by_name),
        cmocka_unit_test(test_an_input_without_a_shape_is_refused_and_an_output_is_not),
        cmocka_unit_test(test_more_dimensions_than_the_limit_are_refused),
        cmocka_unit_test(test_more_tensors_than_the_limit_are_refused),
        cmocka_unit_test(test_as_many_tensors_as_the_limit_all_have_their_bit),
        cmocka_unit_test(test_an_optional_output_without_a_value_fails_the_run),
        cmocka_unit_test(test_a_model_may_have_no_inputs),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
