/* The fake engine: its directives, its answers, and holding runs. */
#include "engine/support.h"

#include "base/check.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct engine *engine;

static int start(void **state) {
    (void)state;
    engine = engine_fake_new();
    return 0;
}

static int stop(void **state) {
    (void)state;
    engine->ops->free(&engine);
    return engine ? 1 : 0;
}

static const char *write_model(const char *content) {
    const char *path = own_file("fake.txt");
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    fclose(file);
    return path;
}

static void test_the_signature_is_what_the_file_says(void **state) {
    (void)state;
    struct engine_model *model =
        load(engine, write_model("# a comment\n\ninput A FP32 [-1,4]\n"
                                 "input B BYTES [-1]\noutput C FP32 [-1, 4]\n"));
    const struct signature *signature = engine->ops->signature(model);
    assert_int_equal(signature->input_count, 2);
    assert_int_equal(signature->output_count, 1);
    assert_string_equal(signature->inputs[0].name, "A");
    assert_int_equal(signature->inputs[0].shape[0], -1);
    assert_int_equal(signature->inputs[0].shape[1], 4);
    assert_int_equal(signature->inputs[1].datatype, DATATYPE_BYTES);
    assert_int_equal(signature->inputs[1].rank, 1);
    assert_int_equal(signature->outputs[0].rank, 2);
    assert_true(signature->batchable);
    engine->ops->unload(&model);
    model = load(engine, write_model("input A FP32 []\noutput B FP32 []\n"));
    assert_int_equal(engine->ops->signature(model)->inputs[0].rank, 0);
    assert_false(engine->ops->signature(model)->batchable);
    engine->ops->unload(&model);
}

static void test_a_file_with_mistakes_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *content;
        const char *part;
    } rows[] = {
        {"", "at least one input"},
        {"input A FP32 [1]\n", "at least one input and one output"},
        {"input A FP33 [1]\n", "line 1: 'input A FP33 [1]' is not a directive"},
        {"input A FP32 [1\n", "line 1"},
        {"input A FP32 [-2]\n", "line 1"},
        {"input A FP32 [1,1,1,1,1,1,1,1,1]\n", "line 1"},
        {"\nrun_us x\n", "line 2"},
        {"dance\n", "'dance' is not a directive"},
        {"input A FP32 [1]\noutput B INT8 [1]\n", "'B' and its input differ in datatype"},
        {"input A FP32 [1]\noutput B FP32 [1]\nfail_load no such operator\n", "no such operator"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_text text;
        refuse(engine, write_model(rows[i].content), &text);
        assert_contains(text.s, rows[i].part);
    }
    struct err_text text;
    refuse(engine, "/nonexistent/fake.txt", &text);
    assert_contains(text.s, "No such file");
}

static void test_outputs_are_copies_of_the_inputs(void **state) {
    (void)state;
    struct engine_model *model =
        load(engine, write_model("input A INT8 [-1]\ninput B BYTES [-1]\noutput C INT8 [-1]\n"
                                 "output D BYTES [-1]\noutput E INT8 [-1]\n"));
    int8_t numbers[] = {1, -2, 3};
    struct str texts[] = {STR("one"), {"a\0b", 3}};
    const struct tensor inputs[] = {make_tensor(DATATYPE_INT8, numbers, 1, (int64_t[]){3}),
                                    make_tensor(DATATYPE_BYTES, texts, 1, (int64_t[]){2})};
    struct engine_result *result = run(model, inputs, 7);
    memset(numbers, 0, sizeof numbers);
    memset(texts, 0, sizeof texts);
    assert_memory_equal(result->outputs[0].data, ((int8_t[]){1, -2, 3}), 3);
    assert_memory_equal(result->outputs[2].data, ((int8_t[]){1, -2, 3}), 3);
    const struct str *out = result->outputs[1].data;
    assert_true(str_eq(out[0], STR("one")));
    assert_true(str_eq(out[1], (struct str){"a\0b", 3}));
    engine_result_unref(&result);
    result = run(model, inputs, 4);
    assert_null(result->outputs[0].data);
    assert_non_null(result->outputs[2].data);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static enum err try_run(struct engine_model *model, int8_t first, int64_t rows) {
    int8_t numbers[8] = {1, 1, 1, 1, 1, 1, 1, first};
    struct tensor input = make_tensor(DATATYPE_INT8, numbers + 8 - rows, 1, &rows);
    struct engine_result *result = NULL;
    struct err_text text;
    enum err e = model->ops->run(model, &input, 1, &result, &text);
    engine_result_unref(&result);
    return e;
}

#define HEAD "input A INT8 [-1]\noutput B INT8 [-1]\n"

static void test_runs_fail_as_told(void **state) {
    (void)state;
    struct engine_model *model = load(engine, write_model(HEAD "fail out of order\n"));
    assert_int_equal(try_run(model, 1, 1), ERR_INTERNAL);
    engine->ops->unload(&model);
    model = load(engine, write_model(HEAD "fail_every 3\n"));
    for (int i = 1; i <= 6; i++)
        assert_int_equal(try_run(model, 1, 1), i % 3 == 0 ? ERR_INTERNAL : ERR_OK);
    engine->ops->unload(&model);
    model = load(engine, write_model(HEAD "poison 66\n"));
    assert_int_equal(try_run(model, 66, 4), ERR_INVALID);
    assert_int_equal(try_run(model, 65, 4), ERR_OK);
    engine->ops->unload(&model);
    model = load(engine, write_model(HEAD "rows_limit 3\n"));
    assert_int_equal(try_run(model, 1, 3), ERR_OK);
    assert_int_equal(try_run(model, 1, 4), ERR_INTERNAL);
    engine->ops->unload(&model);
}

static void test_collapse_gives_the_first_row_only(void **state) {
    (void)state;
    struct engine_model *model = load(engine, write_model(HEAD "collapse\n"));
    int8_t numbers[] = {7, 8, 9};
    struct tensor input = make_tensor(DATATYPE_INT8, numbers, 1, (int64_t[]){3});
    struct engine_result *result = run(model, &input, 1);
    assert_int_equal(result->outputs[0].shape[0], 1);
    assert_int_equal(result->outputs[0].count, 1);
    assert_int_equal(*(const int8_t *)result->outputs[0].data, 7);
    engine_result_unref(&result);
    engine->ops->unload(&model);
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static char gate[4096];

static void *open_gate_soon(void *unused) {
    const struct timespec moment = {0, 20000000};
    nanosleep(&moment, NULL);
    FILE *file = fopen(gate, "we");
    assert_non_null(file);
    fclose(file);
    return unused;
}

static void test_a_run_waits_until_its_gate_is_there(void **state) {
    (void)state;
    snprintf(gate, sizeof gate, "%s", own_file("gate"));
    char text[sizeof gate + 256];
    snprintf(text, sizeof text, HEAD "gate %s\n", gate);
    struct engine_model *model = load(engine, write_model(text));
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
    assert_int_equal(try_run(model, 1, 1), ERR_OK);
    assert_int_equal(access(gate, F_OK), 0);
    pthread_join(opener, NULL);
    assert_int_equal(try_run(model, 1, 1), ERR_OK);
    engine->ops->unload(&model);
}

static void test_runs_and_loads_take_the_time_they_are_told(void **state) {
    (void)state;
    uint64_t start_us = now_us();
    struct engine_model *model =
        load(engine, write_model(HEAD "load_us 3000\nrun_us 2000\nsleep_us 4000\n"));
    assert_true(now_us() - start_us >= 3000);
    start_us = now_us();
    assert_int_equal(try_run(model, 1, 1), ERR_OK);
    assert_true(now_us() - start_us >= 6000);
    engine->ops->unload(&model);
}

static void *run_once(void *model) {
    CHECK(try_run(model, 1, 1) == ERR_OK);
    return NULL;
}

static void test_a_held_run_waits_until_it_is_released(void **state) {
    (void)state;
    struct engine_model *model = load(engine, write_model(HEAD));
    engine_fake_hold(engine, true);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_once, model), 0);
    while (engine_fake_held(engine) < 2)
        nanosleep(&(struct timespec){0, 100000}, NULL);
    engine_fake_hold(engine, false);
    assert_int_equal(engine_fake_held(engine), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    engine->ops->unload(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_signature_is_what_the_file_says),
        cmocka_unit_test(test_a_file_with_mistakes_is_refused),
        cmocka_unit_test(test_outputs_are_copies_of_the_inputs),
        cmocka_unit_test(test_runs_fail_as_told),
        cmocka_unit_test(test_collapse_gives_the_first_row_only),
        cmocka_unit_test(test_a_run_waits_until_its_gate_is_there),
        cmocka_unit_test(test_runs_and_loads_take_the_time_they_are_told),
        cmocka_unit_test(test_a_held_run_waits_until_it_is_released),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
