#include "batch/support.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the owner ---- */

static void wake(void *context) {
    struct owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    owner->awake = true;
    pthread_cond_signal(&owner->woken);
    pthread_mutex_unlock(&owner->lock);
}

void owner_init(struct owner *owner) {
    mailbox_init(&owner->box, wake, owner);
    CHECK(pthread_mutex_init(&owner->lock, NULL) == 0);
    CHECK(pthread_cond_init(&owner->woken, NULL) == 0);
    owner->awake = false;
    owner->done = 0;
}

void owner_done(struct owner *owner) {
    assert_false(mailbox_drain(&owner->box));
    /* The last sender may still be inside wake(). */
    pthread_mutex_lock(&owner->lock);
    pthread_mutex_unlock(&owner->lock);
    pthread_cond_destroy(&owner->woken);
    pthread_mutex_destroy(&owner->lock);
}

void owner_wait(struct owner *owner, unsigned done) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (owner->done < done) {
        pthread_mutex_lock(&owner->lock);
        while (!owner->awake)
            if (pthread_cond_timedwait(&owner->woken, &owner->lock, &until) != 0)
                fail_msg("%u of %u are done after ten seconds", owner->done, done);
        owner->awake = false;
        pthread_mutex_unlock(&owner->lock);
        mailbox_drain(&owner->box);
    }
    assert_int_equal(owner->done, done);
}

/* ---- requests ---- */

static void request_done(struct batch_job *job) {
    struct request *request = CONTAINER_OF(job, struct request, job);
    CHECK(job->state == BATCH_JOB_DONE);
    request->done_at = ++request->owner->done;
    if (request->then)
        request->then(request);
}

void request_init(struct request *request, struct owner *owner, int64_t rows, int64_t columns,
                  int8_t first) {
    *request = (struct request){.owner = owner};
    struct err_text text;
    if (tensor_set(&request->input, DATATYPE_INT8, (int64_t[]){rows, columns}, 2, &text) != ERR_OK)
        fail_msg("%s", text.s);
    assert_true(request->input.count <= REQUEST_VALUES_MAX);
    for (int64_t i = 0; i < request->input.count; i++)
        request->values[i] = (int8_t)(first + i);
    request->input.data = request->values;
    request->job.inputs = &request->input;
    request->job.output_mask = 1;
    request->job.deadline_ns = UINT64_MAX;
    request->job.owner = &owner->box;
    request->job.done = request_done;
}

void request_submit(struct request *request, struct batch_queue *queue, struct batch_turn *turn) {
    struct err_text text;
    if (batch_submit(queue, turn, &request->job, &text) != ERR_OK)
        fail_msg("%s", text.s);
}

void request_check_answer(struct request *request) {
    assert_int_not_equal(request->done_at, 0);
    if (request->job.err != ERR_OK)
        fail_msg("%s", request->job.text.s);
    struct tensor output = batch_job_output(&request->job, 0);
    assert_int_equal(output.rank, 2);
    assert_int_equal(output.shape[0], request->input.shape[0]);
    assert_int_equal(output.shape[1], request->input.shape[1]);
    assert_int_equal(output.count, request->input.count);
    if (output.count > 0)
        assert_memory_equal(output.data, request->values, (size_t)output.count);
    engine_result_unref(&request->job.result);
}

void request_check_error(const struct request *request, enum err err, const char *text) {
    assert_int_not_equal(request->done_at, 0);
    assert_int_equal(request->job.err, err);
    assert_null(request->job.result);
    if (strncmp(request->job.text.s, text, strlen(text)) != 0)
        fail_msg("'%s' does not begin with '%s'", request->job.text.s, text);
}

/* ---- the bench ---- */

const struct batch_options bench_options = {
    .rows_max = 8, .queue_max = 16, .inline_ns_max = 100 * NS_PER_US};

static void saw_left(void *context, uint32_t shard, enum batch_reason reason) {
    struct bench *bench = context;
    (void)shard;
    CHECK(bench->left_count < RUNS_MAX);
    bench->left[bench->left_count++] = reason;
}

static void saw_run(void *context, uint32_t shard, uint32_t jobs, int64_t rows, uint64_t compute_ns,
                    bool inline_run) {
    struct bench *bench = context;
    (void)compute_ns;
    CHECK(bench->run_count < RUNS_MAX);
    bench->runs[bench->run_count++] = (struct seen_run){shard, jobs, rows, inline_run};
    bench->clock.now_ns += bench->ns_each_run;
}

struct engine_model *bench_load(const struct bench *bench, const char *directives) {
    char path[] = "/tmp/inferd-batch-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, directives, strlen(directives)), strlen(directives));
    close(fd);
    const struct engine_options options = {.intra_op_threads = 1, .inter_op_threads = 1};
    struct engine_model *model = NULL;
    struct err_text text;
    enum err e = bench->engine->ops->load(bench->engine, path, &options, &model, &text);
    unlink(path);
    if (e != ERR_OK)
        fail_msg("%s", text.s);
    return model;
}

void bench_init(struct bench *bench, const char *directives, const struct batch_options *options,
                const struct clock *clock) {
    memset(bench, 0, sizeof *bench);
    clock_fake_init(&bench->clock, NS_PER_S);
    if (!clock)
        clock = &bench->clock.clock;
    owner_init(&bench->owner);
    bench->engine = engine_fake_new();
    bench->model = bench_load(bench, directives);
    bench->pool = batch_pool_new(1, 5, clock);
    const struct batch_observer observer = {saw_left, saw_run, bench};
    bench->queue = batch_queue_new(bench->pool, bench->engine, bench->model, options, &observer);
    bench->turn = batch_turn_new(3, clock);
}

void bench_done(struct bench *bench) {
    bench_assert_load(bench, 0, 0);
    batch_turn_free(&bench->turn);
    batch_queue_free(&bench->queue);
    batch_pool_free(&bench->pool);
    bench->engine->ops->unload(&bench->model);
    bench->engine->ops->free(&bench->engine);
    owner_done(&bench->owner);
}

void bench_make_quick(struct bench *bench) {
    batch_queue_learn(bench->queue, 10 * NS_PER_US, 0);
    assert_true(batch_queue_runs_inline(bench->queue));
}

void bench_wait_held(const struct bench *bench, uint32_t count) {
    while (engine_fake_held(bench->engine) < count)
        nanosleep(&(struct timespec){0, 50000}, NULL);
}

void bench_assert_load(const struct bench *bench, uint32_t waiting, uint32_t running) {
    uint32_t found_waiting, found_running;
    batch_queue_load(bench->queue, &found_waiting, &found_running);
    assert_int_equal(found_waiting, waiting);
    assert_int_equal(found_running, running);
}

/* ---- rows ---- */

void bench_init_row(struct request *request, struct bench *bench, uint64_t priority) {
    request_init(request, &bench->owner, 1, 1, (int8_t)priority);
    request->job.priority = priority;
}

void bench_submit_rows(struct request *requests, uint32_t count, struct bench *bench) {
    for (uint32_t i = 0; i < count; i++) {
        bench_init_row(&requests[i], bench, 0);
        request_submit(&requests[i], bench->queue, bench->turn);
    }
}

/* The executor is inside a run of `first`; what is submitted now waits. */
void bench_hold(struct bench *bench, struct request *first) {
    engine_fake_hold(bench->engine, true);
    bench_init_row(first, bench, 1);
    request_submit(first, bench->queue, NULL);
    bench_wait_held(bench, 1);
}

void bench_release(struct bench *bench, unsigned done) {
    engine_fake_hold(bench->engine, false);
    owner_wait(&bench->owner, done);
}

void requests_check_answers(struct request *requests, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        request_check_answer(&requests[i]);
}

struct batch_options delayed(uint64_t delay_ns) {
    struct batch_options options = bench_options;
    options.rules.delay_ns = delay_ns;
    return options;
}
