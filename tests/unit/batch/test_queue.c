/* The states of a job, one test for each arrow; the bound, deadlines, and the measure of a model.
 */
#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"
#include "batch/queue.h"

#include <string.h>

/* ---- arrows of the state diagram ---- */

static void test_a_quick_models_job_waits_for_the_turn_and_runs_inline(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request request;
    request_init(&request, &bench.owner, 2, 3, 10);
    assert_false(batch_turn_pending(bench.turn));
    request_submit(&request, bench.queue, bench.turn);
    assert_int_equal(request.job.state, BATCH_JOB_TURN);
    assert_true(batch_turn_pending(bench.turn));
    bench_assert_load(&bench, 1, 0);
    bench.clock.now_ns += 7;
    batch_turn_run(bench.turn);
    assert_int_equal(request.job.state, BATCH_JOB_DONE);
    assert_int_equal(request.job.queue_ns, 7);
    assert_int_equal(request.job.batch_jobs, 1);
    assert_int_equal(request.job.row_count, 0);
    request_check_answer(&request);
    assert_false(batch_turn_pending(bench.turn));
    assert_int_equal(bench.run_count, 1);
    assert_true(bench.runs[0].inline_run);
    assert_int_equal(bench.runs[0].shard, 3);
    bench_done(&bench);
}

static void test_a_job_of_an_unmeasured_model_goes_to_the_executors(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    assert_int_equal(batch_queue_run_ns(bench.queue), 0);
    assert_false(batch_queue_runs_inline(bench.queue));
    struct request request;
    request_init(&request, &bench.owner, 2, 3, 10);
    request_submit(&request, bench.queue, bench.turn);
    assert_false(batch_turn_pending(bench.turn));
    owner_wait(&bench.owner, 1);
    assert_int_equal(request.job.state, BATCH_JOB_DONE);
    request_check_answer(&request);
    assert_int_equal(bench.run_count, 1);
    assert_false(bench.runs[0].inline_run);
    assert_int_equal(bench.runs[0].shard, 5);
    assert_true(batch_queue_run_ns(bench.queue) > 0);
    bench_done(&bench);
}

static void test_a_job_without_a_turn_goes_to_the_executors(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request request;
    request_init(&request, &bench.owner, 1, 1, 1);
    request_submit(&request, bench.queue, NULL);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    bench_done(&bench);
}

static void test_a_job_of_the_turn_can_be_cancelled(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request first, second;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&second, &bench.owner, 1, 1, 2);
    assert_true(batch_cancel(&first.job)); /* never submitted */
    request_submit(&first, bench.queue, bench.turn);
    request_submit(&second, bench.queue, bench.turn);
    assert_true(batch_cancel(&first.job));
    assert_int_equal(first.job.state, BATCH_JOB_IDLE);
    assert_true(batch_cancel(&first.job));
    bench_assert_load(&bench, 1, 0);
    batch_turn_run(bench.turn);
    assert_int_equal(first.done_at, 0);
    request_check_answer(&second);
    bench_done(&bench);
}

static void test_a_queued_job_can_be_cancelled(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request first, second, third;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&second, &bench.owner, 1, 1, 2);
    request_init(&third, &bench.owner, 1, 1, 3);
    request_submit(&first, bench.queue, bench.turn);
    bench_wait_held(&bench, 1);
    request_submit(&second, bench.queue, bench.turn);
    request_submit(&third, bench.queue, bench.turn);
    bench_assert_load(&bench, 2, 1);
    assert_true(batch_cancel(&second.job));
    assert_int_equal(second.job.state, BATCH_JOB_IDLE);
    assert_true(batch_cancel(&second.job));
    bench_assert_load(&bench, 1, 1);
    assert_true(batch_cancel(&third.job)); /* the queue leaves the ring */
    bench_assert_load(&bench, 0, 1);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 1);
    request_check_answer(&first);
    assert_int_equal(second.done_at, 0);
    request_submit(&second, bench.queue, NULL); /* and comes back */
    owner_wait(&bench.owner, 2);
    request_check_answer(&second);
    bench_done(&bench);
}

static void test_a_queue_can_go_as_soon_as_its_last_job_is_cancelled(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    struct batch_queue *other =
        batch_queue_new(bench.pool, bench.engine, bench.model, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request first, second;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&second, &bench.owner, 1, 1, 2);
    request_submit(&first, bench.queue, NULL);
    bench_wait_held(&bench, 1);
    request_submit(&second, other, NULL);
    assert_true(batch_cancel(&second.job));
    batch_queue_free(&other);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 1);
    request_check_answer(&first);
    bench_done(&bench);
}

static void test_a_running_job_that_is_cancelled_has_no_result(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request request;
    request_init(&request, &bench.owner, 1, 1, 1);
    request_submit(&request, bench.queue, bench.turn);
    bench_wait_held(&bench, 1);
    assert_false(batch_cancel(&request.job));
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 1);
    request_check_error(&request, ERR_CANCELLED, "the client went away");
    assert_false(batch_cancel(&request.job)); /* done */
    bench_done(&bench);
}

static struct request *sibling;

static void cancel_sibling(struct request *request) {
    (void)request;
    assert_false(batch_cancel(&sibling->job));
}

static void test_a_job_cancelled_by_its_neighbours_done_has_no_result(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request first, second;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&second, &bench.owner, 1, 1, 2);
    sibling = &second;
    first.then = cancel_sibling;
    request_submit(&first, bench.queue, bench.turn);
    request_submit(&second, bench.queue, bench.turn);
    batch_turn_run(bench.turn);
    request_check_answer(&first);
    request_check_error(&second, ERR_CANCELLED, "");
    bench_done(&bench);
}

static void test_a_job_can_be_submitted_again_when_it_is_done(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    struct request request;
    request_init(&request, &bench.owner, 1, 1, 1);
    request_submit(&request, bench.queue, bench.turn);
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    bench_make_quick(&bench);
    request_submit(&request, bench.queue, bench.turn);
    assert_int_equal(request.job.state, BATCH_JOB_TURN);
    batch_turn_run(bench.turn);
    request_check_answer(&request);
    bench_done(&bench);
}

static void test_a_turns_jobs_go_to_the_executors_when_the_model_proves_slow(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request request;
    request_init(&request, &bench.owner, 1, 1, 1);
    request_submit(&request, bench.queue, bench.turn);
    for (int i = 0; i < 100; i++)
        batch_queue_learn(bench.queue, NS_PER_S, 0);
    batch_turn_run(bench.turn);
    assert_false(batch_turn_pending(bench.turn));
    owner_wait(&bench.owner, 1);
    request_check_answer(&request);
    assert_false(bench.runs[0].inline_run);
    bench_done(&bench);
}

/* ---- the bound ---- */

static void test_jobs_beyond_the_bound_are_refused_at_once(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.queue_max = 3;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request requests[4];
    for (int i = 0; i < 4; i++)
        request_init(&requests[i], &bench.owner, 1, 1, (int8_t)i);
    for (int i = 0; i < 3; i++)
        request_submit(&requests[i], bench.queue, bench.turn);
    struct err_text text;
    assert_int_equal(batch_submit(bench.queue, bench.turn, &requests[3].job, &text),
                     ERR_QUEUE_FULL);
    assert_string_equal(text.s,
                        "Exceeds maximum queue size: 3 requests wait or run, the limit is 3");
    assert_int_equal(requests[3].job.state, BATCH_JOB_IDLE);
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 3);
    request_submit(&requests[3], bench.queue, NULL);
    owner_wait(&bench.owner, 4);
    for (int i = 0; i < 4; i++)
        request_check_answer(&requests[i]);
    bench_done(&bench);
}

static void test_the_bound_counts_jobs_of_the_turn(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.queue_max = 1;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    bench_make_quick(&bench);
    struct request first, second;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&second, &bench.owner, 1, 1, 2);
    request_submit(&first, bench.queue, bench.turn);
    struct err_text text;
    assert_int_equal(batch_submit(bench.queue, bench.turn, &second.job, &text), ERR_QUEUE_FULL);
    assert_true(batch_cancel(&first.job)); /* a cancelled job gives its place back */
    request_submit(&second, bench.queue, bench.turn);
    batch_turn_run(bench.turn);
    request_check_answer(&second);
    bench_done(&bench);
}

/* ---- deadlines ---- */

static void test_a_job_of_the_turn_past_its_deadline_does_not_run(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request late, intime;
    request_init(&late, &bench.owner, 1, 1, 1);
    request_init(&intime, &bench.owner, 1, 1, 2);
    late.job.deadline_ns = bench.clock.now_ns + 5 * NS_PER_MS;
    intime.job.deadline_ns = bench.clock.now_ns + 5 * NS_PER_MS + 1;
    request_submit(&late, bench.queue, bench.turn);
    request_submit(&intime, bench.queue, bench.turn);
    bench.clock.now_ns += 5 * NS_PER_MS;
    batch_turn_run(bench.turn);
    request_check_error(&late, ERR_DEADLINE, "Request timeout expired after 5 ms");
    assert_int_equal(late.job.queue_ns, 5 * NS_PER_MS);
    request_check_answer(&intime);
    assert_int_equal(bench.run_count, 1);
    assert_int_equal(bench.runs[0].jobs, 1);
    bench_done(&bench);
}

static void test_a_wait_below_a_millisecond_is_told_in_microseconds(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    struct request late;
    request_init(&late, &bench.owner, 1, 1, 1);
    late.job.deadline_ns = bench.clock.now_ns + 1;
    request_submit(&late, bench.queue, bench.turn);
    bench.clock.now_ns += 999 * NS_PER_US;
    batch_turn_run(bench.turn);
    request_check_error(&late, ERR_DEADLINE, "Request timeout expired after 999 us in the queue");
    bench_done(&bench);
}

static void test_a_queued_job_past_its_deadline_does_not_run(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    engine_fake_hold(bench.engine, true);
    struct request first, late;
    request_init(&first, &bench.owner, 1, 1, 1);
    request_init(&late, &bench.owner, 1, 1, 2);
    request_submit(&first, bench.queue, bench.turn);
    bench_wait_held(&bench, 1);
    late.job.deadline_ns = bench.clock.now_ns + 1;
    request_submit(&late, bench.queue, bench.turn);
    bench.clock.now_ns += NS_PER_S;
    engine_fake_hold(bench.engine, false);
    owner_wait(&bench.owner, 2);
    request_check_answer(&first);
    request_check_error(&late, ERR_DEADLINE, "Request timeout expired after 1000 ms");
    assert_int_equal(bench.run_count, 1);
    bench_done(&bench);
}

/* ---- the measure ---- */

static void test_the_first_measurement_is_the_average(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    batch_queue_learn(bench.queue, 5000, 0);
    assert_int_equal(batch_queue_run_ns(bench.queue), 5000);
    batch_queue_learn(bench.queue, 13000, 0); /* and others move it by an eighth */
    assert_int_equal(batch_queue_run_ns(bench.queue), 6000);
    bench_done(&bench);
}

static void test_one_preempted_run_does_not_make_a_model_slow_but_many_do(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    uint64_t long_ns = 8 * bench_options.inline_ns_max;
    bench_make_quick(&bench);
    batch_queue_learn(bench.queue, long_ns, 0);
    assert_true(batch_queue_runs_inline(bench.queue));
    for (int i = 0; i < 30; i++)
        batch_queue_learn(bench.queue, long_ns, 0);
    assert_false(batch_queue_runs_inline(bench.queue));
    for (int i = 0; i < 200; i++)
        batch_queue_learn(bench.queue, 1000, 0);
    assert_true(batch_queue_runs_inline(bench.queue));
    bench_done(&bench);
}

static void test_a_run_far_beyond_the_bound_takes_a_model_off_the_loops_at_once(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench);
    batch_queue_learn(bench.queue, 100 * bench_options.inline_ns_max, 0);
    assert_false(batch_queue_runs_inline(bench.queue));
    for (int i = 0; i < 200; i++)
        batch_queue_learn(bench.queue, 1000, 0);
    assert_true(batch_queue_runs_inline(bench.queue));
    bench_done(&bench);
}

static void test_a_batch_says_only_between_what_one_request_takes(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    batch_queue_learn(bench.queue, 8000, 0);
    batch_queue_measured(bench.queue, 64000, 32, 32); /* between 2000 and 64000: nothing new */
    assert_int_equal(batch_queue_run_ns(bench.queue), 8000);
    batch_queue_measured(bench.queue, 320000, 20, 20); /* at least 16000 */
    assert_int_equal(batch_queue_run_ns(bench.queue), 9000);
    batch_queue_measured(bench.queue, 1000, 20, 20); /* at most 1000 */
    assert_int_equal(batch_queue_run_ns(bench.queue), 8000);
    bench_done(&bench);
}

static void test_a_model_is_inline_below_the_bound_only(void **state) {
    (void)state;
    struct bench bench;
    struct batch_options options = bench_options;
    options.inline_ns_max = 1000;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    batch_queue_learn(bench.queue, 999, 0);
    assert_true(batch_queue_runs_inline(bench.queue));
    batch_queue_learn(bench.queue, 1007, 0);
    assert_int_equal(batch_queue_run_ns(bench.queue), 1000);
    assert_false(batch_queue_runs_inline(bench.queue));
    bench_done(&bench);
    options.inline_ns_max = 0;
    bench_init(&bench, BENCH_MODEL, &options, NULL);
    batch_queue_learn(bench.queue, 0, 0);
    assert_false(batch_queue_runs_inline(bench.queue));
    bench_done(&bench);
}

static void test_a_request_much_larger_than_usual_goes_to_the_executors(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    bench_make_quick(&bench); /* 10 µs of at most 100 */
    batch_queue_measured(bench.queue, 10 * NS_PER_US, 1, 4);
    struct request usual, larger, largest;
    request_init(&usual, &bench.owner, 1, 4, 1);
    request_init(&larger, &bench.owner, 9, 4, 1);
    request_init(&largest, &bench.owner, 10, 4, 1);
    request_submit(&usual, bench.queue, bench.turn);
    request_submit(&larger, bench.queue, bench.turn);
    request_submit(&largest, bench.queue, bench.turn);
    assert_int_equal(usual.job.state, BATCH_JOB_TURN);
    assert_int_equal(larger.job.state, BATCH_JOB_TURN);
    owner_wait(&bench.owner, 1);
    request_check_answer(&largest);
    batch_turn_run(bench.turn);
    request_check_answer(&usual);
    request_check_answer(&larger);
    bench_done(&bench);
}

static void test_a_first_request_much_larger_than_warm_ups_goes_to_the_executors(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL, &bench_options, NULL);
    batch_queue_learn(bench.queue, 10 * NS_PER_US, 4); /* of at most 100 */
    struct request usual, large;
    request_init(&usual, &bench.owner, 1, 4, 1);
    request_init(&large, &bench.owner, 10, 4, 1);
    request_submit(&usual, bench.queue, bench.turn);
    request_submit(&large, bench.queue, bench.turn);
    assert_int_equal(usual.job.state, BATCH_JOB_TURN);
    owner_wait(&bench.owner, 1);
    request_check_answer(&large);
    batch_turn_run(bench.turn);
    request_check_answer(&usual);
    bench_done(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quick_models_job_waits_for_the_turn_and_runs_inline),
        cmocka_unit_test(test_a_job_of_an_unmeasured_model_goes_to_the_executors),
        cmocka_unit_test(test_a_job_without_a_turn_goes_to_the_executors),
        cmocka_unit_test(test_a_job_of_the_turn_can_be_cancelled),
        cmocka_unit_test(test_a_queued_job_can_be_cancelled),
        cmocka_unit_test(test_a_queue_can_go_as_soon_as_its_last_job_is_cancelled),
        cmocka_unit_test(test_a_running_job_that_is_cancelled_has_no_result),
        cmocka_unit_test(test_a_job_cancelled_by_its_neighbours_done_has_no_result),
        cmocka_unit_test(test_a_job_can_be_submitted_again_when_it_is_done),
        cmocka_unit_test(test_a_turns_jobs_go_to_the_executors_when_the_model_proves_slow),
        cmocka_unit_test(test_jobs_beyond_the_bound_are_refused_at_once),
        cmocka_unit_test(test_the_bound_counts_jobs_of_the_turn),
        cmocka_unit_test(test_a_job_of_the_turn_past_its_deadline_does_not_run),
        cmocka_unit_test(test_a_wait_below_a_millisecond_is_told_in_microseconds),
        cmocka_unit_test(test_a_queued_job_past_its_deadline_does_not_run),
        cmocka_unit_test(test_the_first_measurement_is_the_average),
        cmocka_unit_test(test_one_preempted_run_does_not_make_a_model_slow_but_many_do),
        cmocka_unit_test(test_a_run_far_beyond_the_bound_takes_a_model_off_the_loops_at_once),
        cmocka_unit_test(test_a_batch_says_only_between_what_one_request_takes),
        cmocka_unit_test(test_a_model_is_inline_below_the_bound_only),
        cmocka_unit_test(test_a_request_much_larger_than_usual_goes_to_the_executors),
        cmocka_unit_test(test_a_first_request_much_larger_than_warm_ups_goes_to_the_executors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
