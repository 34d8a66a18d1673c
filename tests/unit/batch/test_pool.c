/* Executors that wait for a batch to fill: when they stop waiting, and that no wait is lost. The
 * clock is the real one, and the delay an hour or a moment. */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

static const uint64_t HOUR = UINT64_C(3600) * NS_PER_S;
static const uint64_t MOMENT = 2 * NS_PER_MS;

static void test_without_a_delay_a_lone_request_leaves_because_the_executor_is_idle(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    struct request request;
    bench_submit_rows(&request, 1, &bench);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    assert_int_equal(bench.left_count, 1);
    assert_int_equal(bench.left[0], BATCH_LEFT_IDLE);
    bench_done(&bench);
}

static void test_a_full_batch_does_not_wait_for_the_delay(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request requests[8];
    bench_submit_rows(requests, 7, &bench);
    bench_assert_load(&bench, 7, 0);
    request_init(&requests[7], &bench.owner, 1, 1, 7);
    request_submit(&requests[7], bench.queue, NULL);
    owner_wait(&bench.owner, 8);
    requests_check_answers(requests, 8);
    assert_int_equal(bench.run_count, 1);
    assert_int_equal(bench.runs[0].jobs, 8);
    assert_int_equal(bench.left[0], BATCH_LEFT_FULL);
    bench_done(&bench);
}

static void test_a_batch_that_the_next_would_not_fit_is_full(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request first, second;
    request_init(&first, &bench.owner, 5, 1, 1);
    request_init(&second, &bench.owner, 4, 1, 9);
    request_submit(&first, bench.queue, NULL);
    request_submit(&second, bench.queue, NULL);
    owner_wait(&bench.owner, 1);
    request_check_answer(&first);
    assert_true(batch_cancel(&second.job));
    assert_int_equal(bench.left[0], BATCH_LEFT_FULL);
    bench_done(&bench);
}

static void test_what_waited_for_the_delay_leaves_together(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(MOMENT);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request first, requests[3];
    bench_hold(&bench, &first); /* after its own delay */
    bench_submit_rows(requests, 3, &bench);
    bench_release(&bench, 4);
    request_check_answer(&first);
    assert_int_equal(bench.left[0], BATCH_LEFT_DELAY);
    assert_true(first.job.queue_ns >= MOMENT);
    requests_check_answers(requests, 3);
    assert_int_equal(bench.run_count, 2);
    assert_int_equal(bench.left[1], BATCH_LEFT_DELAY);
    assert_true(requests[0].job.queue_ns >= MOMENT);
    bench_done(&bench);
}

static void test_another_shape_ends_the_delay(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request first, other;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&other, &bench.owner, 1, 2, 2);
    request_submit(&first, bench.queue, NULL);
    request_submit(&other, bench.queue, NULL);
    owner_wait(&bench.owner, 1);
    request_check_answer(&first);
    assert_int_equal(bench.left[0], BATCH_LEFT_SHAPE);
    bench_assert_load(&bench, 1, 0); /* `other` waits for its like */
    assert_true(batch_cancel(&other.job));
    bench_done(&bench);
}

static void test_a_request_in_its_delay_can_be_cancelled(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request requests[2];
    bench_submit_rows(requests, 2, &bench);
    assert_true(batch_cancel(&requests[0].job));
    assert_true(batch_withdraw(&requests[1].job));
    bench_assert_load(&bench, 0, 0);
    bench_done(&bench);
    assert_int_equal(bench.run_count, 0);
}

static void test_what_can_never_share_does_not_wait_for_a_delay(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    struct request request;
    bench_init(&bench, "input A INT8 [1,1]\noutput B INT8 [1,1]\n", &options, &clock_real);
    bench_submit_rows(&request, 1, &bench);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    batch_queue_learn(bench.queue, 1000, 0);
    batch_queue_learn(bench.queue, 1000, 0);
    assert_true(batch_queue_runs_inline(bench.queue)); /* and may run in a loop */
    bench_done(&bench);
    options.rows_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    bench_submit_rows(&request, 1, &bench);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    bench_done(&bench);
    options.rows_max = 8; /* a request without rows */
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    request_init(&request, &bench.owner, 0, 1, 1);
    request_submit(&request, bench.queue, NULL);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    bench_done(&bench);
}

static void test_a_quick_model_with_a_delay_is_not_run_by_the_loop(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(MOMENT);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    batch_queue_learn(bench.queue, 1000, 0);
    assert_false(batch_queue_runs_inline(bench.queue));
    struct request request;
    bench_submit_rows(&request, 1, &bench);
    assert_false(batch_turn_pending(bench.turn));
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    bench_done(&bench);
}

static void test_a_queue_in_its_delay_does_not_hinder_another(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct batch_queue *other =
        batch_queue_new(bench.pool, bench.engine, bench.model, &bench_options, NULL);
    struct request waiting, request;
    bench_submit_rows(&waiting, 1, &bench);
    for (unsigned i = 1; i <= 3; i++) {
        bench_init_row(&request, &bench, 0);
        request_submit(&request, other, NULL);
        owner_wait(&bench.owner, i);
        request_check_answer(&request);
    }
    bench_assert_load(&bench, 1, 0);
    assert_true(batch_cancel(&waiting.job));
    batch_queue_free(&other);
    bench_done(&bench);
}

/* Several executors share the timers of several queues: whatever they do, none is lost. */
static void test_every_delay_comes_to_its_end(void **state) {
    (void)state;
    enum { QUEUES = 3, ROUNDS = 60 };
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, &clock_real);
    struct batch_pool *pool = batch_pool_new(3, 0, &clock_real);
    struct batch_queue *queues[QUEUES];
    for (unsigned i = 0; i < QUEUES; i++) {
        struct batch_options options = delayed((i + 1) * 300 * NS_PER_US);
        queues[i] = batch_queue_new(pool, bench.engine, bench.model, &options, NULL);
    }
    struct request requests[QUEUES];
    unsigned done = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < QUEUES; i++) {
            bench_init_row(&requests[i], &bench, 0);
            request_submit(&requests[i], queues[QUEUES - 1 - i], NULL);
        }
        if (round % 2) /* the earliest time is gone again */
            done -= batch_withdraw(&requests[round % QUEUES].job);
        owner_wait(&bench.owner, done += QUEUES);
        for (unsigned i = 0; i < QUEUES; i++)
            if (requests[i].done_at)
                request_check_answer(&requests[i]);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        batch_queue_free(&queues[i]);
    batch_pool_free(&pool);
    bench_done(&bench);
}

/* The executor that waited for both delays is in a run when the second ends. */
static void test_a_delay_ends_in_time_though_its_timer_went_to_run_a_batch(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(2 * NS_PER_MS);
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct batch_pool *pool = batch_pool_new(2, 0, &clock_real);
    struct batch_queue *soon = batch_queue_new(pool, bench.engine, bench.model, &options, NULL);
    options.rules.delay_ns = 20 * NS_PER_MS;
    struct batch_queue *later = batch_queue_new(pool, bench.engine, bench.model, &options, NULL);
    struct request first, second;
    engine_fake_hold(bench.engine, true);
    bench_init_row(&first, &bench, 0);
    bench_init_row(&second, &bench, 0);
    request_submit(&first, soon, NULL);
    request_submit(&second, later, NULL);
    bench_wait_held(&bench, 2);
    bench_release(&bench, 2);
    request_check_answer(&first);
    request_check_answer(&second);
    batch_queue_free(&soon);
    batch_queue_free(&later);
    batch_pool_free(&pool);
    bench_done(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_delay_a_lone_request_leaves_because_the_executor_is_idle),
        cmocka_unit_test(test_a_full_batch_does_not_wait_for_the_delay),
        cmocka_unit_test(test_a_batch_that_the_next_would_not_fit_is_full),
        cmocka_unit_test(test_what_waited_for_the_delay_leaves_together),
        cmocka_unit_test(test_another_shape_ends_the_delay),
        cmocka_unit_test(test_a_request_in_its_delay_can_be_cancelled),
        cmocka_unit_test(test_what_can_never_share_does_not_wait_for_a_delay),
        cmocka_unit_test(test_a_quick_model_with_a_delay_is_not_run_by_the_loop),
        cmocka_unit_test(test_a_queue_in_its_delay_does_not_hinder_another),
        cmocka_unit_test(test_every_delay_comes_to_its_end),
        cmocka_unit_test(test_a_delay_ends_in_time_though_its_timer_went_to_run_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
