/* What leaves a queue and in which order: delay, preferred sizes, priority levels, time-outs. Where
 * an executor waits for a delay the clock is the real one, and the delay an hour or a moment. */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

#include <string.h>

static const uint64_t HOUR = UINT64_C(3600) * NS_PER_S;
static const uint64_t MOMENT = 2 * NS_PER_MS;

static void init_row(struct request *request, struct bench *bench, uint64_t priority) {
    request_init(request, &bench->owner, 1, 1, (int8_t)priority);
    request->job.priority = priority;
}

static void submit_rows(struct request *requests, uint32_t count, struct bench *bench) {
    for (uint32_t i = 0; i < count; i++) {
        init_row(&requests[i], bench, 0);
        request_submit(&requests[i], bench->queue, bench->turn);
    }
}

/* The executor is inside a run of `first`; what is submitted now waits. */
static void hold(struct bench *bench, struct request *first) {
    engine_fake_hold(bench->engine, true);
    init_row(first, bench, 1);
    request_submit(first, bench->queue, NULL);
    bench_wait_held(bench, 1);
}

static void release(struct bench *bench, unsigned done) {
    engine_fake_hold(bench->engine, false);
    owner_wait(&bench->owner, done);
}

static void check_answers(struct request *requests, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        request_check_answer(&requests[i]);
}

/* ---- delay ---- */

static struct batch_options delayed(uint64_t delay_ns) {
    struct batch_options options = bench_options;
    options.rules.delay_ns = delay_ns;
    return options;
}

static void test_without_a_delay_a_lone_request_leaves_because_the_executor_is_idle(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    struct request request;
    submit_rows(&request, 1, &bench);
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
    submit_rows(requests, 7, &bench);
    bench_assert_load(&bench, 7, 0);
    request_init(&requests[7], &bench.owner, 1, 1, 7);
    request_submit(&requests[7], bench.queue, NULL);
    owner_wait(&bench.owner, 8);
    check_answers(requests, 8);
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
    hold(&bench, &first); /* after its own delay */
    submit_rows(requests, 3, &bench);
    release(&bench, 4);
    request_check_answer(&first);
    assert_int_equal(bench.left[0], BATCH_LEFT_DELAY);
    assert_true(first.job.queue_ns >= MOMENT);
    check_answers(requests, 3);
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
    submit_rows(requests, 2, &bench);
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
    submit_rows(&request, 1, &bench);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    batch_queue_learn(bench.queue, 1000, 0);
    batch_queue_learn(bench.queue, 1000, 0);
    assert_true(batch_queue_runs_inline(bench.queue)); /* and may run in a loop */
    bench_done(&bench);
    options.rows_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    submit_rows(&request, 1, &bench);
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
    submit_rows(&request, 1, &bench);
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
    submit_rows(&waiting, 1, &bench);
    for (unsigned i = 1; i <= 3; i++) {
        init_row(&request, &bench, 0);
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
            init_row(&requests[i], &bench, 0);
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
    init_row(&first, &bench, 0);
    init_row(&second, &bench, 0);
    request_submit(&first, soon, NULL);
    request_submit(&second, later, NULL);
    bench_wait_held(&bench, 2);
    release(&bench, 2);
    request_check_answer(&first);
    request_check_answer(&second);
    batch_queue_free(&soon);
    batch_queue_free(&later);
    batch_pool_free(&pool);
    bench_done(&bench);
}

/* ---- preferred sizes ---- */

static void test_a_preferred_size_leaves_at_once_and_cuts_what_is_more(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = delayed(HOUR);
    options.rules.preferred[0] = 4;
    options.rules.preferred[1] = 3;
    options.rules.preferred_count = 2;
    bench_init(&bench, BENCH_MODEL, &options, &clock_real);
    struct request held[3], requests[5];
    engine_fake_hold(bench.engine, true);
    submit_rows(held, 3, &bench); /* leave at 3 */
    bench_wait_held(&bench, 1);
    submit_rows(requests, 5, &bench);
    release(&bench, 7);
    assert_int_equal(bench.run_count, 2);
    assert_int_equal(bench.runs[0].rows, 3);
    assert_int_equal(bench.runs[1].rows, 4);
    assert_int_equal(bench.left[0], BATCH_LEFT_PREFERRED);
    assert_int_equal(bench.left[1], BATCH_LEFT_PREFERRED);
    check_answers(held, 3);
    check_answers(requests, 4);
    assert_true(batch_cancel(&requests[4].job));
    bench_done(&bench);
}

static void test_without_a_delay_a_preferred_size_is_taken_and_the_rest_follows(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.rules.preferred[0] = 4;
    options.rules.preferred_count = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, requests[6];
    hold(&bench, &first);
    submit_rows(requests, 6, &bench);
    release(&bench, 7);
    assert_int_equal(bench.run_count, 3);
    assert_int_equal(bench.runs[1].rows, 4);
    assert_int_equal(bench.runs[2].rows, 2);
    assert_int_equal(bench.left[1], BATCH_LEFT_PREFERRED);
    assert_int_equal(bench.left[2], BATCH_LEFT_IDLE);
    request_check_answer(&first);
    check_answers(requests, 6);
    bench_done(&bench);
}

/* ---- priority levels ---- */

static struct batch_options levelled(uint32_t rows_max) {
    struct batch_options options = bench_options;
    options.rows_max = rows_max;
    options.queue_max = 64;
    options.levels = 3;
    return options;
}

static void test_higher_levels_go_first_and_each_level_in_order(void **state) {
    (void)state;
    static const uint64_t priorities[] = {3, 0, 2, 1, 4, 2, 1, UINT64_MAX};
    static const unsigned places[] = {5, 6, 3, 1, 7, 4, 2, 8}; /* 0 and beyond: the last level */
    struct bench bench;
    struct batch_options options = levelled(1);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, requests[ARRAY_LEN(priorities)];
    hold(&bench, &first);
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++) {
        init_row(&requests[i], &bench, priorities[i]);
        request_submit(&requests[i], bench.queue, bench.turn);
    }
    release(&bench, 1 + ARRAY_LEN(priorities));
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        assert_int_equal(requests[i].done_at, 1 + places[i]);
    request_check_answer(&first);
    check_answers(requests, ARRAY_LEN(priorities));
    bench_done(&bench);
}

static void test_a_request_without_a_priority_has_the_default_level(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = levelled(1);
    options.default_level = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, low, high;
    hold(&bench, &first);
    init_row(&low, &bench, 2);
    init_row(&high, &bench, 0);
    request_submit(&low, bench.queue, NULL);
    request_submit(&high, bench.queue, NULL);
    release(&bench, 3);
    assert_int_equal(high.done_at, 2);
    request_check_answer(&first);
    request_check_answer(&low);
    request_check_answer(&high);
    bench_done(&bench);
}

static void test_a_batch_is_filled_from_lower_levels(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = levelled(3);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, requests[4];
    hold(&bench, &first);
    for (unsigned i = 0; i < 4; i++) {
        init_row(&requests[i], &bench, i == 3 ? 1 : 3);
        request_submit(&requests[i], bench.queue, NULL);
    }
    release(&bench, 5);
    assert_int_equal(bench.run_count, 3);
    assert_int_equal(bench.runs[1].jobs, 3);
    assert_int_equal(requests[3].job.row_first, 0);
    assert_int_equal(requests[2].done_at, 5);
    request_check_answer(&first);
    check_answers(requests, 4);
    bench_done(&bench);
}

static void test_a_low_level_comes_to_its_turn_under_a_stream_of_higher_ones(void **state) {
    (void)state;
    enum { HIGH = 40 };
    struct bench bench;
    struct batch_options options = levelled(1);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, low, high[HIGH];
    hold(&bench, &first);
    init_row(&low, &bench, 3);
    request_submit(&low, bench.queue, NULL);
    for (unsigned i = 0; i < HIGH; i++) {
        init_row(&high[i], &bench, 1);
        request_submit(&high[i], bench.queue, NULL);
    }
    release(&bench, HIGH + 2);
    assert_int_equal(low.done_at, 1 + BATCH_PASSED_MAX + 1);
    request_check_answer(&first);
    request_check_answer(&low);
    check_answers(high, HIGH);
    bench_done(&bench);
}

static void test_a_level_has_a_bound_of_its_own(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = levelled(1);
    options.level_max[2] = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, low, refused;
    struct err_text text;
    hold(&bench, &first);
    init_row(&low, &bench, 3);
    init_row(&refused, &bench, 3);
    request_submit(&low, bench.queue, NULL);
    assert_int_equal(batch_submit(bench.queue, NULL, &refused.job, &text), ERR_QUEUE_FULL);
    assert_string_equal(text.s, "Exceeds maximum queue size: 1 requests of priority level 3 wait "
                                "or run, the limit is 1");
    bench_assert_load(&bench, 1, 1);
    refused.job.priority = 2;
    request_submit(&refused, bench.queue, NULL);
    assert_true(batch_cancel(&low.job)); /* gives its place back */
    request_submit(&low, bench.queue, NULL);
    release(&bench, 3);
    request_check_answer(&first);
    request_check_answer(&low);
    request_check_answer(&refused);
    request_submit(&low, bench.queue, NULL); /* and so does one that is done */
    owner_wait(&bench.owner, 4);
    request_check_answer(&low);
    bench_done(&bench);
}

static void test_a_turn_runs_higher_levels_first(void **state) {
    (void)state;
    static const uint64_t priorities[] = {3, 3, 2, 1, 2, 1};
    static const unsigned places[] = {5, 6, 3, 1, 4, 2};
    struct bench bench;
    struct batch_options options = levelled(1);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    bench_make_quick(&bench);
    struct batch_queue *other =
        batch_queue_new(bench.pool, bench.engine, bench.model, &bench_options, NULL);
    batch_queue_learn(other, 1000, 0);
    struct request requests[ARRAY_LEN(priorities)], foreign;
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++) {
        init_row(&requests[i], &bench, priorities[i]);
        request_submit(&requests[i], bench.queue, bench.turn);
    }
    init_row(&foreign, &bench, 1); /* levels are a queue's own: it overtakes nobody */
    request_submit(&foreign, other, bench.turn);
    batch_turn_run(bench.turn);
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        assert_int_equal(requests[i].done_at, places[i]);
    assert_int_equal(foreign.done_at, ARRAY_LEN(priorities) + 1);
    check_answers(requests, ARRAY_LEN(priorities));
    request_check_answer(&foreign);
    batch_queue_free(&other);
    assert_int_equal(bench.left[0], BATCH_LEFT_TURN);
    bench_done(&bench);
}

static void test_in_a_turn_a_low_level_lets_pass_only_so_many(void **state) {
    (void)state;
    enum { HIGH = 70, PASS = 64 };
    struct bench bench;
    struct batch_options options = levelled(1);
    options.queue_max = HIGH + 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    bench_make_quick(&bench);
    bench.ns_each_run = NS_PER_MS; /* some runs a turn */
    struct request low, high[HIGH];
    init_row(&low, &bench, 3);
    request_submit(&low, bench.queue, bench.turn);
    for (unsigned i = 0; i < HIGH; i++) {
        init_row(&high[i], &bench, 1);
        request_submit(&high[i], bench.queue, bench.turn);
    }
    while (batch_turn_pending(bench.turn)) {
        bench.run_count = bench.left_count = 0; /* there are more than the bench notes */
        batch_turn_run(bench.turn);
    }
    assert_int_equal(low.done_at, PASS + 1);
    request_check_answer(&low);
    check_answers(high, HIGH);
    bench_done(&bench);
}

/* ---- time-outs ---- */

static struct batch_options timed(bool override, bool go_on) {
    struct batch_options options = bench_options;
    options.rows_max = 1;
    options.timeout_ns = 10 * NS_PER_MS;
    options.timeout_override = override;
    options.timeout_continue = go_on;
    return options;
}

static void test_who_waited_too_long_is_rejected(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = timed(true, false);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    assert_true(batch_queue_timeout_is_deadline(bench.queue));
    struct request first, late, later, shorter;
    hold(&bench, &first);
    init_row(&late, &bench, 0);
    init_row(&shorter, &bench, 0);
    init_row(&later, &bench, 0);
    shorter.job.timeout_ns = 3 * NS_PER_MS;
    later.job.timeout_ns = NS_PER_S; /* may not be longer than the queue's */
    request_submit(&late, bench.queue, NULL);
    bench.clock.now_ns += 1 * NS_PER_MS;
    request_submit(&shorter, bench.queue, NULL);
    request_submit(&later, bench.queue, NULL);
    assert_int_equal(batch_job_expires_ns(&later.job), bench.clock.now_ns + 10 * NS_PER_MS);
    bench.clock.now_ns += 9 * NS_PER_MS;
    release(&bench, 4);
    request_check_answer(&first);
    request_check_error(&late, ERR_DEADLINE, "Request timeout expired after 10 ms");
    request_check_error(&shorter, ERR_DEADLINE, "Request timeout expired after 9 ms");
    request_check_answer(&later);
    bench_done(&bench);
}

static void test_a_jobs_own_time_counts_only_where_it_may(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = timed(false, false);
    options.timeout_ns = 0;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    assert_false(batch_queue_timeout_is_deadline(bench.queue));
    struct request first, request;
    hold(&bench, &first);
    init_row(&request, &bench, 0);
    request.job.timeout_ns = 1;
    request_submit(&request, bench.queue, NULL);
    bench.clock.now_ns += NS_PER_S;
    assert_int_equal(batch_job_expires_ns(&request.job), UINT64_MAX);
    release(&bench, 2);
    request_check_answer(&first);
    request_check_answer(&request);
    bench_done(&bench);
}

static void test_who_waited_too_long_may_go_on_behind_all_others(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = timed(true, true);
    options.levels = 2;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    assert_false(batch_queue_timeout_is_deadline(bench.queue));
    struct request first, late, dead, intime;
    hold(&bench, &first);
    init_row(&late, &bench, 1);
    init_row(&dead, &bench, 1);
    init_row(&intime, &bench, 2);
    dead.job.deadline_ns = bench.clock.now_ns + 10 * NS_PER_MS; /* that holds all the same */
    request_submit(&late, bench.queue, NULL);
    request_submit(&dead, bench.queue, NULL);
    bench.clock.now_ns += 10 * NS_PER_MS;
    request_submit(&intime, bench.queue, NULL);
    release(&bench, 4);
    request_check_answer(&first);
    request_check_error(&dead, ERR_DEADLINE, "");
    request_check_answer(&intime);
    request_check_answer(&late);
    assert_true(intime.done_at < late.done_at);
    bench_done(&bench);
}

/* More than one look at the queue passes. */
static void test_many_who_waited_too_long_are_all_served(void **state) {
    (void)state;
    enum { MANY = 600 };
    struct bench bench;
    struct batch_options options = timed(true, true);
    options.queue_max = MANY + 1;
    options.rows_max = 64;
    options.rules.preferred[0] = 32;
    options.rules.preferred_count = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    static struct request first, requests[MANY];
    hold(&bench, &first);
    submit_rows(requests, MANY, &bench);
    bench.clock.now_ns += NS_PER_S;
    release(&bench, MANY + 1);
    request_check_answer(&first);
    check_answers(requests, MANY);
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
        cmocka_unit_test(test_a_preferred_size_leaves_at_once_and_cuts_what_is_more),
        cmocka_unit_test(test_without_a_delay_a_preferred_size_is_taken_and_the_rest_follows),
        cmocka_unit_test(test_higher_levels_go_first_and_each_level_in_order),
        cmocka_unit_test(test_a_request_without_a_priority_has_the_default_level),
        cmocka_unit_test(test_a_batch_is_filled_from_lower_levels),
        cmocka_unit_test(test_a_low_level_comes_to_its_turn_under_a_stream_of_higher_ones),
        cmocka_unit_test(test_a_level_has_a_bound_of_its_own),
        cmocka_unit_test(test_a_turn_runs_higher_levels_first),
        cmocka_unit_test(test_in_a_turn_a_low_level_lets_pass_only_so_many),
        cmocka_unit_test(test_who_waited_too_long_is_rejected),
        cmocka_unit_test(test_a_jobs_own_time_counts_only_where_it_may),
        cmocka_unit_test(test_who_waited_too_long_may_go_on_behind_all_others),
        cmocka_unit_test(test_many_who_waited_too_long_are_all_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
