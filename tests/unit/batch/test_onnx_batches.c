/* Batches on ONNX Runtime itself: each request's rows are, bit for bit, what it gets alone. */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 40, ROWS_MAX = 4, FEATURES = 30 };

struct sample {
    struct batch_job job;
    struct tensor input;
    float values[ROWS_MAX][FEATURES];
};

static struct engine *engine;
static struct batch_pool *pool;
static struct batch_turn *turn;
static struct owner owner;
static const struct batch_options options = {
    .rows_max = 32, .queue_max = REQUESTS, .inline_ns_max = NS_PER_S};

static int start(void **state) {
    (void)state;
    struct err_text text = {""};
    if (engine_onnx_new(&engine, &text) != ERR_OK)
        fail_msg("%s", text.s);
    pool = batch_pool_new(1, 1, &clock_real);
    turn = batch_turn_new(0, &clock_real);
    owner_init(&owner);
    return 0;
}

static int stop(void **state) {
    (void)state;
    batch_turn_free(&turn);
    batch_pool_free(&pool);
    owner_done(&owner);
    engine->ops->free(&engine);
    return 0;
}

static struct engine_model *load(const char *folder, const char *rest) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s/1/model.onnx", folder, rest);
    const struct engine_options settings = {.intra_op_threads = 1,
                                            .inter_op_threads = 1,
                                            .graph_optimization = "all",
                                            .memory_arena = true,
                                            .memory_pattern = true};
    struct engine_model *model = NULL;
    struct err_text text = {""};
    if (engine->ops->load(engine, path, &settings, &model, &text) != ERR_OK)
        fail_msg("%s: %s", path, text.s);
    return model;
}

static void sample_done(struct batch_job *job) {
    owner.done++;
    CHECK(job->err == ERR_OK);
}

/* Values that spread over the trees' thresholds: features of this model lie between 0 and 4000. */
static void init_sample(struct sample *sample, unsigned *seed) {
    *sample = (struct sample){.job = {.output_mask = 3, .deadline_ns = UINT64_MAX}};
    int64_t rows = 1 + rand_r(seed) % ROWS_MAX;
    for (int64_t row = 0; row < rows; row++) {
        for (int i = 0; i < FEATURES; i++) {
            static const float scale[] = {0.1F, 1, 30, 200, 2000};
            float part = (float)rand_r(seed) / (float)RAND_MAX;
            sample->values[row][i] = part * scale[rand_r(seed) % (int)ARRAY_LEN(scale)];
        }
    }
    struct err_text text;
    assert_int_equal(
        tensor_set(&sample->input, DATATYPE_FP32, (int64_t[]){rows, FEATURES}, 2, &text), ERR_OK);
    sample->input.data = sample->values;
    sample->job.inputs = &sample->input;
    sample->job.owner = &owner.box;
    sample->job.done = sample_done;
}

static void test_the_tree_model_answers_a_batch_as_it_answers_each_alone(void **state) {
    (void)state;
    const char *source = getenv("INFERD_SOURCE_DIR");
    struct engine_model *model = load(source ? source : ".", "/models/repository/breast-cancer");
    assert_true(engine->ops->signature(model)->batchable);
    struct batch_queue *queue = batch_queue_new(pool, engine, model, &options, NULL);
    batch_queue_learn(queue, 1000, 0);
    static struct sample samples[REQUESTS];
    unsigned seed = 7, labels_seen = 0;
    owner.done = 0;
    for (int i = 0; i < REQUESTS; i++) {
        init_sample(&samples[i], &seed);
        struct err_text text;
        assert_int_equal(batch_submit(queue, turn, &samples[i].job, &text), ERR_OK);
    }
    while (batch_turn_pending(turn))
        batch_turn_run(turn);
    assert_int_equal(owner.done, REQUESTS);
    for (int i = 0; i < REQUESTS; i++) {
        struct batch_job *job = &samples[i].job;
        assert_true(job->batch_jobs > 1);
        struct engine_result *alone = NULL;
        struct err_text text;
        assert_int_equal(engine->ops->run(model, &samples[i].input, 3, &alone, &text), ERR_OK);
        for (size_t k = 0; k < 2; k++) {
            struct tensor mine = batch_job_output(job, k);
            const struct tensor *expected = &alone->outputs[k];
            assert_int_equal(mine.count, expected->count);
            assert_int_equal(mine.shape[0], samples[i].input.shape[0]);
            assert_memory_equal(mine.data, expected->data, tensor_bytes(expected));
        }
        labels_seen |= 1U << *(const int64_t *)alone->outputs[0].data;
        engine_result_unref(&alone);
        engine_result_unref(&job->result);
    }
    assert_int_equal(labels_seen, 3); /* the samples reach both classes */
    batch_queue_free(&queue);
    engine->ops->unload(&model);
}

static void test_strings_of_a_batch_come_back_to_whom_they_belong(void **state) {
    (void)state;
    const char *models = getenv("INFERD_TEST_MODELS");
    if (!models)
        skip();
    struct engine_model *model = load(models, "/identity_bytes");
    struct batch_queue *queue = batch_queue_new(pool, engine, model, &options, NULL);
    struct str texts[3][2] = {{STR("a"), STR("")},
                              {{"n\0l", 3}, STR("long, longer than a small string is")},
                              {STR("x"), STR("y")}};
    struct tensor inputs[3];
    struct batch_job jobs[3];
    batch_queue_learn(queue, 1000, 0);
    for (int i = 0; i < 3; i++) {
        struct err_text text;
        assert_int_equal(tensor_set(&inputs[i], DATATYPE_BYTES, (int64_t[]){1, 2}, 2, &text), 0);
        inputs[i].data = texts[i];
        jobs[i] = (struct batch_job){.inputs = &inputs[i],
                                     .output_mask = 1,
                                     .deadline_ns = UINT64_MAX,
                                     .owner = &owner.box,
                                     .done = sample_done};
        assert_int_equal(batch_submit(queue, turn, &jobs[i], &text), ERR_OK);
    }
    batch_turn_run(turn);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].batch_jobs, 3);
        struct tensor output = batch_job_output(&jobs[i], 0);
        const struct str *out = output.data;
        assert_int_equal(output.count, 2);
        assert_true(str_eq(out[0], texts[i][0]) && str_eq(out[1], texts[i][1]));
        engine_result_unref(&jobs[i].result);
    }
    batch_queue_free(&queue);
    engine->ops->unload(&model);
}

int main(void) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
    print_message("skipped: ONNX Runtime is not built for ThreadSanitizer\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_tree_model_answers_a_batch_as_it_answers_each_alone),
        cmocka_unit_test(test_strings_of_a_batch_come_back_to_whom_they_belong),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
