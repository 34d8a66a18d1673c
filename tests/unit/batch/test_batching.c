/* What runs together: gathering and splitting rows, shapes that never mix, one bad request among
 * good ones, models that cannot be batched, and the order in which turns and executors serve. */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

#include <string.h>

enum { MANY = 12 };

static void submit_many(struct request *requests, size_t count, struct bench *bench,
                        struct batch_turn *turn) {
    for (size_t i = 0; i < count; i++)
        request_submit(&requests[i], bench->queue, turn);
}

/* Request i has 1 + i % 3 rows of 2 columns. */
static void init_many(struct request *requests, size_t count, struct bench *bench) {
    for (size_t i = 0; i < count; i++)
        request_init(&requests[i], &bench->owner, 1 + (int64_t)i % 3, 2, (int8_t)(i * 10));
}

/* ---- together ---- */

static void test_a_turns_requests_run_in_batches_and_each_gets_its_rows(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[MANY];
    init_many(requests, MANY, &bench); /* rows 1 2 3 1 2 3 1 2 3 1 2 3, at most 8 together */
    submit_many(requests, MANY, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 4);
    static const uint32_t jobs[] = {4, 4, 3, 1}, rows[] = {7, 8, 6, 3};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bench.runs[i].jobs, jobs[i]);
        assert_int_equal(bench.runs[i].rows, rows[i]);
    }
    assert_int_equal(requests[1].job.batch_jobs, 4);
    assert_int_equal(requests[1].job.row_first, 1);
    assert_int_equal(requests[1].job.row_count, 2);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(requests[i].done_at, i + 1); /* in order */
        request_check_answer(&requests[i]);
    }
    bench_done(&bench);
}

static void test_what_waits_for_an_executor_runs_in_one_batch(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request requests[5];
    init_many(requests, 5, &bench);
    request_submit(&requests[0], bench.queue, NULL);
    bench_wait_held(&bench, 1);
    submit_many(requests + 1, 4, &bench, NULL); /* rows 2 3 1 2 */
    bench_assert_load(&bench, 4, 1);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 5);
    assert_int_equal(bench.run_count, 2);
    assert_int_equal(bench.runs[1].jobs, 4);
    assert_int_equal(bench.runs[1].rows, 8);
    for (unsigned i = 0; i < 5; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_requests_of_different_shapes_never_mix(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[6];
    for (int i = 0; i < 6; i++) /* columns 1 2 3 1 2 3 */
        request_init(&requests[i], &bench.owner, 1, 1 + i % 3, (int8_t)i);
    submit_many(requests, 6, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 3);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(requests[i].job.batch_jobs, 2);
        request_check_answer(&requests[i]);
    }
    bench_done(&bench);
}

static void test_a_request_without_rows_runs_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[3];
    for (int i = 0; i < 3; i++)
        request_init(&requests[i], &bench.owner, i == 1 ? 0 : 1, 2, (int8_t)i);
    submit_many(requests, 3, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 2);
    assert_int_equal(requests[1].job.batch_jobs, 1);
    for (int i = 0; i < 3; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_a_request_over_the_limit_of_rows_runs_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[3];
    for (int i = 0; i < 3; i++)
        request_init(&requests[i], &bench.owner, i == 1 ? 20 : 1, 2, (int8_t)i);
    submit_many(requests, 3, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 3);
    for (int i = 0; i < 3; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_a_limit_of_one_row_means_no_batching(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.rows_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    bench_make_quick(&bench);
    struct request requests[3];
    init_many(requests, 3, &bench);
    submit_many(requests, 3, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 3);
    for (int i = 0; i < 3; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_a_model_of_fixed_shape_is_not_batched(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, "input A INT8 [1,2]\noutput B INT8 [1,2]\n", &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[2];
    for (int i = 0; i < 2; i++)
        request_init(&requests[i], &bench.owner, 1, 2, (int8_t)i);
    submit_many(requests, 2, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 2);
    for (int i = 0; i < 2; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

/* Two inputs, one of them BYTES; each job asks for another output. */
static void test_every_input_is_gathered_and_every_output_split(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench,
               "input A INT64 [-1,2]\ninput B BYTES [-1]\noutput C INT64 [-1,2]\n"
               "output D BYTES [-1]\n",
               &bench_options, NULL);
    bench_make_quick(&bench);
    int64_t numbers[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    struct str texts[2][2] = {{STR("one"), STR("")}, {{"t\0o", 3}, STR("three")}};
    struct tensor inputs[2][2];
    struct request requests[2];
    for (int i = 0; i < 2; i++) {
        struct err_text text;
        assert_int_equal(tensor_set(&inputs[i][0], DATATYPE_INT64, (int64_t[]){2, 2}, 2, &text), 0);
        assert_int_equal(tensor_set(&inputs[i][1], DATATYPE_BYTES, (int64_t[]){2}, 1, &text), 0);
        inputs[i][0].data = numbers[i];
        inputs[i][1].data = texts[i];
        request_init(&requests[i], &bench.owner, 1, 1, 0);
        requests[i].job.inputs = inputs[i];
        requests[i].job.output_mask = i == 0 ? 1 : 2; /* the run computes both */
    }
    submit_many(requests, 2, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.run_count, 1);
    assert_int_equal(bench.runs[0].rows, 4);
    for (int i = 0; i < 2; i++) {
        struct tensor output = batch_job_output(&requests[i].job, 0);
        assert_int_equal(output.shape[0], 2);
        assert_memory_equal(output.data, numbers[i], sizeof numbers[i]);
    }
    struct tensor output = batch_job_output(&requests[1].job, 1);
    const struct str *out = output.data;
    assert_int_equal(output.count, 2);
    assert_true(str_eq(out[0], texts[1][0]));
    assert_true(str_eq(out[1], texts[1][1]));
    for (int i = 0; i < 2; i++)
        engine_result_unref(&requests[i].job.result);
    bench_done(&bench);
}

static void test_an_output_nobody_asked_for_is_empty(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "output C INT8 [-1,-1]\n", &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[2];
    init_many(requests, 2, &bench);
    submit_many(requests, 2, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(batch_job_output(&requests[1].job, 1).count, 0);
    assert_null(batch_job_output(&requests[1].job, 1).data);
    for (int i = 0; i < 2; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

/* ---- batches that fail ---- */

static void check_one_bad_request(struct request *requests) {
    for (int i = 0; i < 4; i++) {
        assert_int_equal(requests[i].job.batch_jobs, 1);
        if (i == 2)
            request_check_error(&requests[i], ERR_INVALID, "a row is poisoned");
        else
            request_check_answer(&requests[i]);
    }
}

static void test_one_bad_request_of_a_turn_fails_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "poison 66\n", &bench_options, NULL);
    bench_make_quick(&bench);
    struct request requests[4];
    init_many(requests, 4, &bench);
    requests[2].values[2] = 66; /* the first value of its second row */
    submit_many(requests, 4, &bench, bench.turn);
    batch_turn_run(bench.turn);
    check_one_bad_request(requests);
    assert_int_equal(bench.run_count, 3); /* runs without results are not told */
    bench_done(&bench);
}

static void test_one_bad_request_of_an_executors_batch_fails_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "poison 66\n", &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request first, requests[4];
    request_init(&first, &bench.owner, 1, 2, 1);
    request_submit(&first, bench.queue, NULL);
    bench_wait_held(&bench, 1);
    init_many(requests, 4, &bench);
    requests[2].values[2] = 66;
    submit_many(requests, 4, &bench, NULL);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 5);
    request_check_answer(&first);
    check_one_bad_request(requests);
    bench_done(&bench);
}

static void run_pair(struct bench *bench) {
    struct request requests[2];
    for (int i = 0; i < 2; i++)
        request_init(&requests[i], &bench->owner, 1, 2, (int8_t)(i * 9));
    submit_many(requests, 2, bench, bench->turn);
    batch_turn_run(bench->turn);
    for (int i = 0; i < 2; i++)
        request_check_answer(&requests[i]);
}

static void test_outputs_without_a_row_for_each_input_row_are_never_split(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "collapse\n", &bench_options, NULL);
    bench_make_quick(&bench);
    run_pair(&bench);
    assert_int_equal(bench.run_count, 2); /* each alone */
    bench_done(&bench);
}

static void test_a_model_whose_batches_fail_again_and_again_is_batched_no_more(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "rows_limit 1\nfail_every 10\n", &bench_options, NULL);
    bench_make_quick(&bench);
    for (int i = 0; i < 3; i++)
        run_pair(&bench); /* three runs each: runs 1 to 9 of the model */
    struct request requests[2];
    init_many(requests, 1, &bench);
    submit_many(requests, 1, &bench, bench.turn);
    batch_turn_run(bench.turn); /* the tenth fails: so we know how many there were */
    request_check_error(&requests[0], ERR_INTERNAL, "run 10 fails");
    run_pair(&bench); /* 11 and 12 */
    for (int i = 0; i < 3; i++)
        run_pair(&bench); /* to 18 */
    request_init(&requests[0], &bench.owner, 1, 2, 1);
    request_init(&requests[1], &bench.owner, 1, 2, 1);
    submit_many(requests, 2, &bench, bench.turn);
    batch_turn_run(bench.turn);
    request_check_answer(&requests[0]);
    request_check_error(&requests[1], ERR_INTERNAL, "run 20 fails");
    bench_done(&bench);
}

static void test_bad_requests_do_not_stop_the_batching_of_good_ones(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "poison 66\n", &bench_options, NULL);
    bench_make_quick(&bench);
    for (int round = 0; round < 5; round++) {
        struct request requests[2];
        for (int i = 0; i < 2; i++)
            request_init(&requests[i], &bench.owner, 1, 2, (int8_t)(i == 0 ? 66 : 1));
        submit_many(requests, 2, &bench, bench.turn);
        batch_turn_run(bench.turn);
        request_check_error(&requests[0], ERR_INVALID, "a row is poisoned");
        request_check_answer(&requests[1]);
    }
    bench.run_count = 0;
    run_pair(&bench);
    assert_int_equal(bench.run_count, 1);
    bench_done(&bench);
}

/* ---- turns ---- */

static void test_a_turn_ends_in_time_and_leaves_the_rest_for_the_next(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.rows_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    bench_make_quick(&bench);
    bench.ns_each_run = 2 * NS_PER_MS; /* of at most 5 */
    struct request requests[5];
    init_many(requests, 5, &bench);
    submit_many(requests, 5, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.owner.done, 3);
    assert_true(batch_turn_pending(bench.turn));
    batch_turn_run(bench.turn);
    assert_int_equal(bench.owner.done, 5);
    assert_false(batch_turn_pending(bench.turn));
    for (int i = 0; i < 5; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_a_turns_batch_is_small_when_the_model_is_not_so_quick(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.inline_ns_max = 2 * NS_PER_MS;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    batch_queue_learn(bench.queue, 900 * NS_PER_US, 0); /* two fit 2 ms */
    struct request requests[4];
    for (int i = 0; i < 4; i++)
        request_init(&requests[i], &bench.owner, 1, 2, (int8_t)i);
    submit_many(requests, 4, &bench, bench.turn);
    batch_turn_run(bench.turn);
    assert_int_equal(bench.runs[0].jobs, 2);
    for (int i = 0; i < 4; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static struct bench *shared_bench;

static void submit_next(struct request *request) {
    request_submit(request + 1, shared_bench->queue, shared_bench->turn);
}

static void test_done_may_submit_the_next_request_of_the_same_turn(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    shared_bench = &bench;
    struct request requests[3];
    init_many(requests, 3, &bench);
    requests[0].then = requests[1].then = submit_next;
    request_submit(&requests[0], bench.queue, bench.turn);
    batch_turn_run(bench.turn);
    for (int i = 0; i < 3; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_a_turn_serves_several_models(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct engine_model *model = bench_load(&bench, BENCH_MODEL);
    struct batch_queue *other =
        batch_queue_new(bench.pool, bench.engine, model, &bench_options, NULL);
    batch_queue_learn(other, 1000, 0);
    struct request requests[4];
    for (int i = 0; i < 4; i++) {
        request_init(&requests[i], &bench.owner, 1, 2, (int8_t)i);
        request_submit(&requests[i], i % 2 ? other : bench.queue, bench.turn);
    }
    batch_turn_run(bench.turn);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(requests[i].job.batch_jobs, 2); /* with the other of its model */
        request_check_answer(&requests[i]);
    }
    assert_int_equal(bench.run_count, 1);
    batch_queue_free(&other);
    bench.engine->ops->unload(&model);
    bench_done(&bench);
}

/* ---- executors ---- */

static void test_no_queue_starves_another(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.rows_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct engine_model *model = bench_load(&bench, BENCH_MODEL);
    struct batch_queue *other = batch_queue_new(bench.pool, bench.engine, model, &options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request busy[6], quiet[2];
    for (int i = 0; i < 6; i++)
        request_init(&busy[i], &bench.owner, 1, 2, (int8_t)i);
    for (int i = 0; i < 2; i++)
        request_init(&quiet[i], &bench.owner, 1, 2, (int8_t)i);
    submit_many(busy, 6, &bench, NULL);
    bench_wait_held(&bench, 1);
    request_submit(&quiet[0], other, NULL);
    request_submit(&quiet[1], other, NULL);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 8);
    /* busy busy quiet busy quiet busy busy busy: the queues in turn from the time both wait */
    assert_int_equal(busy[0].done_at, 1);
    assert_true(quiet[0].done_at <= 3);
    assert_true(quiet[1].done_at <= 5);
    for (int i = 0; i < 6; i++)
        request_check_answer(&busy[i]);
    for (int i = 0; i < 2; i++)
        request_check_answer(&quiet[i]);
    batch_queue_free(&other);
    bench.engine->ops->unload(&model);
    bench_done(&bench);
}

static void test_executors_say_how_long_they_ran(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "sleep_us 2000\n", &bench_options, &clock_real);
    assert_int_equal(batch_pool_busy_ns(bench.pool, 0), 0);
    struct request request;
    request_init(&request, &bench.owner, 1, 2, 1);
    request_submit(&request, bench.queue, bench.turn);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    assert_true(request.job.compute_ns >= 2 * NS_PER_MS);
    assert_int_equal(batch_pool_busy_ns(bench.pool, 0), request.job.compute_ns);
    bench_done(&bench);
}

static void test_a_large_batch_does_not_keep_its_memory(void **state) {
    (void)state;
    enum { BYTES = 600 * 1024 };
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    static int8_t values[3][BYTES];
    struct request requests[3];
    for (int i = 0; i < 3; i++) {
        request_init(&requests[i], &bench.owner, 1, 1, 0);
        struct err_text text;
        assert_int_equal(
            tensor_set(&requests[i].input, DATATYPE_INT8, (int64_t[]){1, BYTES}, 2, &text), ERR_OK);
        memset(values[i], i, BYTES);
        requests[i].input.data = values[i];
    }
    request_submit(&requests[0], bench.queue, NULL);
    bench_wait_held(&bench, 1);
    request_submit(&requests[1], bench.queue, NULL);
    request_submit(&requests[2], bench.queue, NULL);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 3);
    assert_int_equal(bench.runs[1].jobs, 2);
    for (int i = 0; i < 3; i++) {
        struct tensor output = batch_job_output(&requests[i].job, 0);
        assert_memory_equal(output.data, values[i], BYTES);
        engine_result_unref(&requests[i].job.result);
    }
    bench_done(&bench);
}

static void test_rows_without_elements_are_shared_out_too(void **state) {
    (void)state;
    struct tensor output = {.datatype = DATATYPE_FP32, .rank = 2, .shape = {4, 0}};
    struct engine_result result = {.output_count = 1, .outputs = &output};
    struct batch_job job = {.result = &result, .row_first = 1, .row_count = 2};
    struct tensor mine = batch_job_output(&job, 0);
    assert_int_equal(mine.shape[0], 2);
    assert_int_equal(mine.shape[1], 0);
    assert_int_equal(mine.count, 0);
    assert_null(mine.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_without_elements_are_shared_out_too),
        cmocka_unit_test(test_a_turns_requests_run_in_batches_and_each_gets_its_rows),
        cmocka_unit_test(test_what_waits_for_an_executor_runs_in_one_batch),
        cmocka_unit_test(test_requests_of_different_shapes_never_mix),
        cmocka_unit_test(test_a_request_without_rows_runs_alone),
        cmocka_unit_test(test_a_request_over_the_limit_of_rows_runs_alone),
        cmocka_unit_test(test_a_limit_of_one_row_means_no_batching),
        cmocka_unit_test(test_a_model_of_fixed_shape_is_not_batched),
        cmocka_unit_test(test_every_input_is_gathered_and_every_output_split),
        cmocka_unit_test(test_an_output_nobody_asked_for_is_empty),
        cmocka_unit_test(test_one_bad_request_of_a_turn_fails_alone),
        cmocka_unit_test(test_one_bad_request_of_an_executors_batch_fails_alone),
        cmocka_unit_test(test_outputs_without_a_row_for_each_input_row_are_never_split),
        cmocka_unit_test(test_a_model_whose_batches_fail_again_and_again_is_batched_no_more),
        cmocka_unit_test(test_bad_requests_do_not_stop_the_batching_of_good_ones),
        cmocka_unit_test(test_a_turn_ends_in_time_and_leaves_the_rest_for_the_next),
        cmocka_unit_test(test_a_turns_batch_is_small_when_the_model_is_not_so_quick),
        cmocka_unit_test(test_done_may_submit_the_next_request_of_the_same_turn),
        cmocka_unit_test(test_a_turn_serves_several_models),
        cmocka_unit_test(test_no_queue_starves_another),
        cmocka_unit_test(test_executors_say_how_long_they_ran),
        cmocka_unit_test(test_a_large_batch_does_not_keep_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
