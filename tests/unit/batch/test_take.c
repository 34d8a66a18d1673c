/* What leaves a queue and in which order: preferred sizes, priority levels, time-outs. */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

static const uint64_t HOUR = UINT64_C(3600) * NS_PER_S;

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
    bench_submit_rows(held, 3, &bench); /* leave at 3 */
    bench_wait_held(&bench, 1);
    bench_submit_rows(requests, 5, &bench);
    bench_release(&bench, 7);
    assert_int_equal(bench.run_count, 2);
    assert_int_equal(bench.runs[0].rows, 3);
    assert_int_equal(bench.runs[1].rows, 4);
    assert_int_equal(bench.left[0], BATCH_LEFT_PREFERRED);
    assert_int_equal(bench.left[1], BATCH_LEFT_PREFERRED);
    requests_check_answers(held, 3);
    requests_check_answers(requests, 4);
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
    bench_hold(&bench, &first);
    bench_submit_rows(requests, 6, &bench);
    bench_release(&bench, 7);
    assert_int_equal(bench.run_count, 3);
    assert_int_equal(bench.runs[1].rows, 4);
    assert_int_equal(bench.runs[2].rows, 2);
    assert_int_equal(bench.left[1], BATCH_LEFT_PREFERRED);
    assert_int_equal(bench.left[2], BATCH_LEFT_IDLE);
    request_check_answer(&first);
    requests_check_answers(requests, 6);
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
    bench_hold(&bench, &first);
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++) {
        bench_init_row(&requests[i], &bench, priorities[i]);
        request_submit(&requests[i], bench.queue, bench.turn);
    }
    bench_release(&bench, 1 + ARRAY_LEN(priorities));
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        assert_int_equal(requests[i].done_at, 1 + places[i]);
    request_check_answer(&first);
    requests_check_answers(requests, ARRAY_LEN(priorities));
    bench_done(&bench);
}

static void test_a_request_without_a_priority_has_the_default_level(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = levelled(1);
    options.default_level = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, low, high;
    bench_hold(&bench, &first);
    bench_init_row(&low, &bench, 2);
    bench_init_row(&high, &bench, 0);
    request_submit(&low, bench.queue, NULL);
    request_submit(&high, bench.queue, NULL);
    bench_release(&bench, 3);
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
    bench_hold(&bench, &first);
    for (unsigned i = 0; i < 4; i++) {
        bench_init_row(&requests[i], &bench, i == 3 ? 1 : 3);
        request_submit(&requests[i], bench.queue, NULL);
    }
    bench_release(&bench, 5);
    assert_int_equal(bench.run_count, 3);
    assert_int_equal(bench.runs[1].jobs, 3);
    assert_int_equal(requests[3].job.row_first, 0);
    assert_int_equal(requests[2].done_at, 5);
    request_check_answer(&first);
    requests_check_answers(requests, 4);
    bench_done(&bench);
}

static void test_a_low_level_comes_to_its_turn_under_a_stream_of_higher_ones(void **state) {
    (void)state;
    enum { HIGH = 40 };
    struct bench bench;
    struct batch_options options = levelled(1);
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    struct request first, low, high[HIGH];
    bench_hold(&bench, &first);
    bench_init_row(&low, &bench, 3);
    request_submit(&low, bench.queue, NULL);
    for (unsigned i = 0; i < HIGH; i++) {
        bench_init_row(&high[i], &bench, 1);
        request_submit(&high[i], bench.queue, NULL);
    }
    bench_release(&bench, HIGH + 2);
    assert_int_equal(low.done_at, 1 + BATCH_PASSED_MAX + 1);
    request_check_answer(&first);
    request_check_answer(&low);
    requests_check_answers(high, HIGH);
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
    bench_hold(&bench, &first);
    bench_init_row(&low, &bench, 3);
    bench_init_row(&refused, &bench, 3);
    request_submit(&low, bench.queue, NULL);
    assert_int_equal(batch_submit(bench.queue, NULL, &refused.job, &text), ERR_QUEUE_FULL);
    assert_string_equal(text.s, "Exceeds maximum queue size: 1 requests of priority level 3 wait "
                                "or run, the limit is 1");
    bench_assert_load(&bench, 1, 1);
    refused.job.priority = 2;
    request_submit(&refused, bench.queue, NULL);
    assert_true(batch_cancel(&low.job)); /* gives its place back */
    request_submit(&low, bench.queue, NULL);
    bench_release(&bench, 3);
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
        bench_init_row(&requests[i], &bench, priorities[i]);
        request_submit(&requests[i], bench.queue, bench.turn);
    }
    bench_init_row(&foreign, &bench, 1); /* levels are a queue's own: it overtakes nobody */
    request_submit(&foreign, other, bench.turn);
    batch_turn_run(bench.turn);
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        assert_int_equal(requests[i].done_at, places[i]);
    assert_int_equal(foreign.done_at, ARRAY_LEN(priorities) + 1);
    requests_check_answers(requests, ARRAY_LEN(priorities));
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
    bench_init_row(&low, &bench, 3);
    request_submit(&low, bench.queue, bench.turn);
    for (unsigned i = 0; i < HIGH; i++) {
        bench_init_row(&high[i], &bench, 1);
        request_submit(&high[i], bench.queue, bench.turn);
    }
    while (batch_turn_pending(bench.turn)) {
        bench.run_count = bench.left_count = 0; /* there are more than the bench notes */
        batch_turn_run(bench.turn);
    }
    assert_int_equal(low.done_at, PASS + 1);
    request_check_answer(&low);
    requests_check_answers(high, HIGH);
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
    bench_hold(&bench, &first);
    bench_init_row(&late, &bench, 0);
    bench_init_row(&shorter, &bench, 0);
    bench_init_row(&later, &bench, 0);
    shorter.job.timeout_ns = 3 * NS_PER_MS;
    later.job.timeout_ns = NS_PER_S; /* may not be longer than the queue's */
    request_submit(&late, bench.queue, NULL);
    bench.clock.now_ns += 1 * NS_PER_MS;
    request_submit(&shorter, bench.queue, NULL);
    request_submit(&later, bench.queue, NULL);
    assert_int_equal(batch_job_expires_ns(&later.job), bench.clock.now_ns + 10 * NS_PER_MS);
    bench.clock.now_ns += 9 * NS_PER_MS;
    bench_release(&bench, 4);
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
    bench_hold(&bench, &first);
    bench_init_row(&request, &bench, 0);
    request.job.timeout_ns = 1;
    request_submit(&request, bench.queue, NULL);
    bench.clock.now_ns += NS_PER_S;
    assert_int_equal(batch_job_expires_ns(&request.job), UINT64_MAX);
    bench_release(&bench, 2);
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
    bench_hold(&bench, &first);
    bench_init_row(&late, &bench, 1);
    bench_init_row(&dead, &bench, 1);
    bench_init_row(&intime, &bench, 2);
    dead.job.deadline_ns = bench.clock.now_ns + 10 * NS_PER_MS; /* that holds all the same */
    request_submit(&late, bench.queue, NULL);
    request_submit(&dead, bench.queue, NULL);
    bench.clock.now_ns += 10 * NS_PER_MS;
    request_submit(&intime, bench.queue, NULL);
    bench_release(&bench, 4);
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
    bench_hold(&bench, &first);
    bench_submit_rows(requests, MANY, &bench);
    bench.clock.now_ns += NS_PER_S;
    bench_release(&bench, MANY + 1);
    request_check_answer(&first);
    requests_check_answers(requests, MANY);
    bench_done(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
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
