/* The ONNX Runtime engine over real models: loading, refusing, running, giving memory back. */
#include "engine/support.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * 4;
}

/* ---- running ---- */

/* 2 rows of 3 elements each, all bits used; BOOL has 0 and 1 only. */
static void check_identity(enum datatype datatype) {
    char name[32], lower[16];
    size_t n = strlen(datatype_name(datatype));
    for (size_t i = 0; i <= n; i++) {
        char c = datatype_name(datatype)[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    snprintf(name, sizeof name, "identity_%s", lower);
    struct engine_model *model = load(engine, test_model(name));
    const struct signature *signature = engine->ops->signature(model);
    assert_int_equal(signature->inputs[0].datatype, datatype);
    assert_int_equal(signature->outputs[0].datatype, datatype);
    assert_true(signature->batchable);

    unsigned char bytes[6 * 8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = datatype == DATATYPE_BOOL ? i % 3 == 0 : (unsigned char)(i * 37 + 255);
    struct str texts[6] = {STR(""),   STR("a"),        {"x\0y", 3},
                           {"\0", 1}, STR("\xff\xfe"), STR("Z\xc3\xbcrich")};
    struct tensor input = make_tensor(datatype, bytes, 2, (int64_t[]){2, 3});
    if (datatype == DATATYPE_BYTES)
        input.data = texts;
    struct engine_result *result = run(model, &input, 1);
    const struct tensor *output = &result->outputs[0];
    assert_int_equal(output->datatype, datatype);
    assert_int_equal(output->rank, 2);
    assert_int_equal(output->shape[0], 2);
    assert_int_equal(output->shape[1], 3);
    assert_int_equal(output->count, 6);
    assert_ptr_not_equal(output->data, input.data);
    const struct str *out = output->data;
    for (size_t i = 0; datatype == DATATYPE_BYTES && i < 6; i++)
        assert_true(str_eq(out[i], texts[i]));
    if (datatype != DATATYPE_BYTES)
        assert_memory_equal(output->data, bytes, tensor_bytes(&input));
    engine_result_unref(&result);
    engine->ops->unload(&model);
    assert_null(model);
}

static void test_every_datatype_goes_through_bit_for_bit(void **state) {
    (void)state;
    for (int datatype = 0; datatype < DATATYPE_COUNT; datatype++)
        check_identity((enum datatype)datatype);
}

static void test_a_scalar_goes_through(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("identity_scalar"));
    assert_false(engine->ops->signature(model)->batchable);
    float value = 2.5F;
    struct tensor input = make_tensor(DATATYPE_FP32, &value, 0, NULL);
    struct engine_result *result = run(model, &input, 1);
    assert_int_equal(result->outputs[0].rank, 0);
    assert_int_equal(result->outputs[0].count, 1);
    assert_memory_equal(result->outputs[0].data, &value, sizeof value);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_tensors_without_elements_go_through(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("identity_zero"));
    const int64_t shapes[][2] = {{0, 3}, {2, 0}, {0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct tensor input = make_tensor(DATATYPE_FP32, NULL, 2, shapes[i]);
        struct engine_result *result = run(model, &input, 1);
        assert_int_equal(result->outputs[0].count, 0);
        assert_int_equal(result->outputs[0].shape[0], shapes[i][0]);
        assert_int_equal(result->outputs[0].shape[1], shapes[i][1]);
        engine_result_unref(&result);
    }
    engine->ops->unload(&model);
    model = load(engine, test_model("identity_bytes"));
    struct tensor input = make_tensor(DATATYPE_BYTES, NULL, 2, (int64_t[]){0, 3});
    struct engine_result *result = run(model, &input, 1);
    assert_int_equal(result->outputs[0].count, 0);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_an_output_may_have_a_shape_that_depends_on_the_data(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("positions"));
    assert_false(engine->ops->signature(model)->batchable);
    float values[4] = {1, 0, 0, 1};
    struct tensor input = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){2, 2});
    struct engine_result *result = run(model, &input, 1);
    const int64_t expected[] = {0, 1, 0, 1};
    assert_int_equal(result->outputs[0].count, 4);
    assert_memory_equal(result->outputs[0].data, expected, sizeof expected);
    engine_result_unref(&result);
    memset(values, 0, sizeof values);
    result = run(model, &input, 1);
    assert_int_equal(result->outputs[0].shape[0], 2);
    assert_int_equal(result->outputs[0].shape[1], 0);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_only_the_outputs_asked_for_are_given(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("add_sub"));
    float left[16], right[16];
    for (int i = 0; i < 16; i++) {
        left[i] = (float)i;
        right[i] = 100;
    }
    const struct tensor inputs[] = {make_tensor(DATATYPE_FP32, left, 2, (int64_t[]){1, 16}),
                                    make_tensor(DATATYPE_FP32, right, 2, (int64_t[]){1, 16})};
    struct engine_result *result = run(model, inputs, 2);
    assert_int_equal(result->output_count, 2);
    assert_null(result->outputs[0].data);
    assert_int_equal(result->outputs[0].count, 0);
    assert_true(((const float *)result->outputs[1].data)[3] == -97);
    engine_result_unref(&result);
    result = run(model, inputs, UINT64_MAX); /* bits without an output mean nothing */
    assert_true(((const float *)result->outputs[0].data)[3] == 103);
    assert_true(((const float *)result->outputs[1].data)[3] == -97);
    engine_result_unref(&result);
    struct err_text text;
    assert_int_equal(model->ops->run(model, inputs, 4, &result, &text), ERR_INVALID);
    assert_string_equal(text.s, "no output was asked for");
    assert_null(result);
    engine->ops->unload(&model);
}

static void test_several_inputs_of_several_datatypes(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("mixed"));
    int32_t whole[] = {1, -2, 3, 4};
    float reals[] = {0.5F, 0.25F, 1, 2};
    struct str words[] = {STR("a"), STR(""), STR("b"), STR("cc")};
    const struct tensor inputs[] = {make_tensor(DATATYPE_INT32, whole, 2, (int64_t[]){2, 2}),
                                    make_tensor(DATATYPE_FP32, reals, 2, (int64_t[]){2, 2}),
                                    make_tensor(DATATYPE_BYTES, words, 2, (int64_t[]){2, 2})};
    struct engine_result *result = run(model, inputs, 7);
    const float sums[] = {1.5F, -1.75F, 4, 6};
    const int64_t shape[] = {2, 2};
    assert_memory_equal(result->outputs[0].data, sums, sizeof sums);
    assert_true(str_eq_c(((const struct str *)result->outputs[1].data)[3], "cc"));
    assert_memory_equal(result->outputs[2].data, shape, sizeof shape);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_a_result_lives_until_its_last_reference(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("identity_bytes"));
    struct str text = STR("still here");
    struct tensor input = make_tensor(DATATYPE_BYTES, &text, 2, (int64_t[]){1, 1});
    struct engine_result *first = run(model, &input, 1), *second = first;
    engine_result_ref(second);
    engine_result_unref(&first);
    assert_null(first);
    assert_true(str_eq_c(*(const struct str *)second->outputs[0].data, "still here"));
    engine_result_unref(&second);
    engine_result_unref(&second); /* NULL is accepted */
    engine->ops->unload(&model);
    engine->ops->unload(&model);
}

/* ---- failing runs ---- */

static void check_failing_run(struct engine_model *model, const struct tensor *input,
                              const char *part) {
    struct engine_result *result = NULL;
    struct err_text text = {""};
    assert_int_equal(model->ops->run(model, input, 1, &result, &text), ERR_INVALID);
    assert_null(result);
    assert_null(strchr(text.s, '\n'));
    assert_contains(text.s, part);
}

static void test_inputs_the_model_refuses_are_invalid_with_its_reason(void **state) {
    (void)state;
    int64_t indices[] = {0, 4};
    struct engine_model *model = load(engine, test_model("lookup"));
    struct tensor input = make_tensor(DATATYPE_INT64, indices, 1, (int64_t[]){2});
    check_failing_run(model, &input, "idx=4");
    engine->ops->unload(&model);

    float values[8] = {0};
    model = load(engine, test_model("mlp"));
    input = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){2, 4});
    check_failing_run(model, &input, "Got: 4 Expected: 64");
    input = make_tensor(DATATYPE_INT32, values, 2, (int64_t[]){2, 4});
    check_failing_run(model, &input, "int32");
    engine->ops->unload(&model);
}

static void test_a_model_works_after_a_failed_run(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("lookup"));
    int64_t indices[] = {4, 3};
    struct tensor input = make_tensor(DATATYPE_INT64, indices, 1, (int64_t[]){2});
    check_failing_run(model, &input, "out of data bounds");
    indices[0] = 0;
    struct engine_result *result = run(model, &input, 1);
    const float expected[] = {10, 40};
    assert_memory_equal(result->outputs[0].data, expected, sizeof expected);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

/* ---- what does not load ---- */

static void test_what_cannot_be_loaded_is_refused_with_the_reason(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *part;
    } rows[] = {{"missing", "model.onnx is missing"},
                {"empty", "model.onnx is empty (0 bytes): not an ONNX file"},
                {"truncated", "not an ONNX file, or a damaged one ("},
                {"random", "not an ONNX file, or a damaged one ("},
                {"text", "not an ONNX file, or a damaged one ("},
                {"unsupported", "NoSuchOperator"},
                {"future_opset", "failed:ONNX Runtime only"},
                {"mistyped", "bound to different types"},
                {"external_missing", "weights.bin"},
                {"external_escape", "escapes model directory"},
                {"sequence", "output 'OUTPUT0' is a sequence, the protocol knows tensors only: a "
                             "scikit-learn classifier is exported with zipmap off "
                             "(options={id(model): {'zipmap': False}})"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_text text;
        refuse(engine, broken_model(rows[i].name), &text);
        assert_contains(text.s, rows[i].part);
        assert_null(strstr(text.s, "/onnxruntime_src/"));
    }
}

static void test_a_web_page_is_called_what_it_is(void **state) {
    (void)state;
    static const char page[] = "\n<!DOCTYPE HTML><title>404</title>";
    char path[] = "/tmp/inferd-test-onnx-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, page, sizeof page - 1), sizeof page - 1);
    close(fd);
    struct err_text text;
    refuse(engine, path, &text);
    unlink(path);
    assert_contains(text.s, "not an ONNX file, or a damaged one (34 bytes, an HTML page): ");
}

static void test_a_folder_is_no_model(void **state) {
    (void)state;
    struct err_text text;
    refuse(engine, "/tmp", &text);
    assert_string_equal(text.s, "/tmp is not a file");
}

/* ---- options ---- */

static void test_only_keys_of_onnx_runtime_are_known_settings(void **state) {
    (void)state;
    assert_true(engine->ops->knows_setting("session.set_denormal_as_zero"));
    assert_true(engine->ops->knows_setting("mlas.enable_gemm_fastmath_arm64_bfloat16"));
    assert_false(engine->ops->knows_setting("session.set_denormals_as_zero"));
    assert_false(engine->ops->knows_setting(""));
}

static enum err load_with(const struct engine_options *options, struct err_text *text) {
    struct engine_model *model = NULL;
    enum err e = engine->ops->load(engine, test_model("mlp"), options, &model, text);
    float values[64] = {0};
    struct tensor input = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){1, 64});
    if (e == ERR_OK) {
        struct engine_result *result = run(model, &input, 1);
        assert_int_equal(result->outputs[0].shape[1], 8);
        engine_result_unref(&result);
    }
    engine->ops->unload(&model);
    return e;
}

static void test_execution_settings_are_accepted(void **state) {
    (void)state;
    static char key[] = "session.set_denormal_as_zero", value[] = "1";
    const struct engine_setting setting = {key, value};
    const struct engine_options rows[] = {{2, 1, "all", true, true, true, NULL, 0},
                                          {1, 2, "disable", false, false, false, NULL, 0},
                                          {1, 1, "basic", false, true, false, &setting, 1},
                                          {1, 1, "extended", true, false, true, NULL, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_text text = {""};
        if (load_with(&rows[i], &text) != ERR_OK)
            fail_msg("row %zu: %s", i, text.s);
    }
}

static void test_a_wrong_setting_is_refused_by_name(void **state) {
    (void)state;
    struct err_text text;
    struct engine_options options = plain_options;
    options.graph_optimization = "fast";
    assert_int_equal(load_with(&options, &text), ERR_INVALID);
    assert_contains(text.s, "'fast': expected disable, basic, extended or all");

    char key[2048], value[] = "1"; /* ONNX Runtime's limit is 1024 */
    memset(key, 'k', sizeof key);
    memcpy(key, "session.", strlen("session."));
    key[sizeof key - 1] = '\0';
    const struct engine_setting setting = {key, value};
    options = plain_options;
    options.session = &setting;
    options.session_count = 1;
    assert_int_equal(load_with(&options, &text), ERR_INVALID);
    assert_contains(text.s, "session option 'session.kkkk");
}

/* ---- threads and memory ---- */

enum { RUNS_EACH = UNDER_ADDRESS_SANITIZER ? 100 : 1000, THREADS = 4 };

static void *run_many(void *argument) {
    struct engine_model *model = argument;
    float left[16], right[16];
    for (int i = 0; i < RUNS_EACH; i++) {
        for (int k = 0; k < 16; k++) {
            left[k] = (float)(i + k);
            right[k] = (float)(i - k);
        }
        const struct tensor inputs[] = {make_tensor(DATATYPE_FP32, left, 2, (int64_t[]){1, 16}),
                                        make_tensor(DATATYPE_FP32, right, 2, (int64_t[]){1, 16})};
        struct engine_result *result = run(model, inputs, 3);
        for (int k = 0; k < 16; k++) {
            CHECK(((const float *)result->outputs[0].data)[k] == (float)(2 * i));
            CHECK(((const float *)result->outputs[1].data)[k] == (float)(2 * k));
        }
        engine_result_unref(&result);
    }
    return NULL;
}

static void test_one_session_runs_on_many_threads_at_once(void **state) {
    (void)state;
    struct engine_model *model = load(engine, test_model("add_sub"));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, model), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    engine->ops->unload(&model);
}

static void *load_many(void *argument) {
    for (int i = 0; i < 10; i++) {
        struct engine_model *model = NULL;
        CHECK(engine->ops->load(engine, argument, &plain_options, &model, NULL) == ERR_OK);
        engine->ops->unload(&model);
    }
    return NULL;
}

static void test_models_load_on_many_threads_at_once(void **state) {
    (void)state;
    char *path = mem_copy_c(test_model("mlp"));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_many, path), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    mem_free(&path);
}

static void load_run_unload(const char *path, const struct tensor *input) {
    struct engine_model *model = load(engine, path);
    struct engine_result *result = run(model, input, 3);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static void test_memory_comes_back_after_200_loads_and_unloads(void **state) {
    (void)state;
    float *values = mem_new_array(4096 * 30, sizeof *values);
    struct tensor input = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){4096, 30});
    for (int i = 0; i < 5; i++)
        load_run_unload(demonstration_model(), &input);
    long before = resident_kib();
    for (int i = 0; i < (UNDER_ADDRESS_SANITIZER ? 10 : 200); i++)
        load_run_unload(demonstration_model(), &input);
    long after = resident_kib();
    mem_free(&values);
    if (!UNDER_ADDRESS_SANITIZER && after * 10 > before * 11)
        fail_msg("%ld KiB before, %ld KiB after", before, after);
}

static void test_memory_of_an_outlier_run_comes_back(void **state) {
    (void)state;
    enum { ROWS = 100000 };
    float *values = mem_new_array((size_t)ROWS * 64, sizeof *values);
    memset(values, 0, (size_t)ROWS * 64 * sizeof *values);
    struct tensor usual = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){4, 64});
    struct tensor outlier = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){ROWS, 64});
    struct engine_model *model = load(engine, test_model("mlp"));
    struct engine_result *result = run(model, &usual, 1);
    engine_result_unref(&result);
    long before = resident_kib();
    result = run(model, &outlier, 1); /* 64 MB between its layers */
    engine_result_unref(&result);
    long after = resident_kib();
    engine->ops->unload(&model);
    mem_free(&values);
    if (!UNDER_ADDRESS_SANITIZER && after > before + 32768)
        fail_msg("%ld KiB before, %ld KiB after", before, after);
}

static long grown_kib(struct engine_model *model, const struct tensor *input, long before) {
    struct engine_result *result = run(model, input, 1);
    engine_result_unref(&result);
    return resident_kib() - before;
}

/* 128 KiB in, 64 MiB and more within: no input says how large it is. */
static void test_a_trim_gives_the_memory_of_variable_shapes_back(void **state) {
    (void)state;
    enum { LENGTH = 4096, LARGE_KIB = 32768, LITTLE_KIB = 8192 };
    float *values = mem_new_array((size_t)LENGTH * 8, sizeof *values);
    struct tensor usual = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){16, 8});
    struct tensor large = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){LENGTH, 8});
    struct engine_model *model = load(engine, test_model("attention"));
    for (int i = 0; i < 20; i++)
        grown_kib(model, &usual, 0);
    long before = resident_kib();
    long kept = grown_kib(model, &large, before);
    assert_int_equal(engine->ops->trim(model, &usual), ERR_OK);
    long idle = resident_kib() - before;
    grown_kib(model, &large, before);
    assert_int_equal(engine->ops->trim(model, NULL), ERR_OK); /* it runs on: in passing */
    long passing = grown_kib(model, &usual, before);
    long wandering = 0;
    for (int64_t length = 64; length <= LENGTH; length += 403) {
        struct tensor any = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){length, 8});
        wandering = grown_kib(model, &any, before);
    }
    assert_int_equal(engine->ops->trim(model, &usual), ERR_OK);
    long after = resident_kib() - before;
    print_message("KiB beyond the start: %ld after a large run, %ld trimmed, %ld trimmed in "
                  "passing, %ld after many shapes, %ld trimmed\n",
                  kept, idle, passing, wandering, after);
    engine->ops->unload(&model);
    mem_free(&values);
    if (UNDER_ADDRESS_SANITIZER)
        return;
    assert_true(kept > LARGE_KIB); /* else this test shows nothing */
    assert_true(idle < LITTLE_KIB && passing < LITTLE_KIB && after < LITTLE_KIB);
}

static void test_a_trim_with_inputs_that_do_not_fit_fails(void **state) {
    (void)state;
    float values[16] = {0};
    struct tensor wrong = make_tensor(DATATYPE_FP32, values, 2, (int64_t[]){2, 7});
    struct engine_model *model = load(engine, test_model("attention"));
    assert_int_equal(engine->ops->trim(model, &wrong), ERR_INVALID);
    engine->ops->unload(&model);
}

static void test_a_trim_of_text_outputs_works(void **state) {
    (void)state;
    struct str texts[2] = {STR("one"), STR("two")};
    struct tensor input = make_tensor(DATATYPE_BYTES, texts, 2, (int64_t[]){1, 2});
    struct engine_model *model = load(engine, test_model("identity_bytes"));
    assert_int_equal(engine->ops->trim(model, &input), ERR_OK);
    engine->ops->unload(&model);
}

static void test_the_version_is_known(void **state) {
    (void)state;
    assert_true(strncmp(engine_onnx_version(), "1.", 2) == 0);
    assert_string_equal(engine->ops->name, "onnxruntime");
}

int main(void) {
    if (UNDER_THREAD_SANITIZER) {
        print_message("skipped: ONNX Runtime is not built for ThreadSanitizer\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_datatype_goes_through_bit_for_bit),
        cmocka_unit_test(test_a_scalar_goes_through),
        cmocka_unit_test(test_tensors_without_elements_go_through),
        cmocka_unit_test(test_an_output_may_have_a_shape_that_depends_on_the_data),
        cmocka_unit_test(test_only_the_outputs_asked_for_are_given),
        cmocka_unit_test(test_several_inputs_of_several_datatypes),
        cmocka_unit_test(test_a_result_lives_until_its_last_reference),
        cmocka_unit_test(test_inputs_the_model_refuses_are_invalid_with_its_reason),
        cmocka_unit_test(test_a_model_works_after_a_failed_run),
        cmocka_unit_test(test_what_cannot_be_loaded_is_refused_with_the_reason),
        cmocka_unit_test(test_a_web_page_is_called_what_it_is),
        cmocka_unit_test(test_a_folder_is_no_model),
        cmocka_unit_test(test_only_keys_of_onnx_runtime_are_known_settings),
        cmocka_unit_test(test_execution_settings_are_accepted),
        cmocka_unit_test(test_a_wrong_setting_is_refused_by_name),
        cmocka_unit_test(test_one_session_runs_on_many_threads_at_once),
        cmocka_unit_test(test_models_load_on_many_threads_at_once),
        cmocka_unit_test(test_memory_comes_back_after_200_loads_and_unloads),
        cmocka_unit_test(test_memory_of_an_outlier_run_comes_back),
        cmocka_unit_test(test_a_trim_gives_the_memory_of_variable_shapes_back),
        cmocka_unit_test(test_a_trim_with_inputs_that_do_not_fit_fails),
        cmocka_unit_test(test_a_trim_of_text_outputs_works),
        cmocka_unit_test(test_the_version_is_known),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
