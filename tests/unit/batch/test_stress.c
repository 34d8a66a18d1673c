/* Many loops at once: submitting, cancelling, running turns, with models that change between quick
 * and slow, fail, and go away the moment their last request is done; queues with and without delay,
 * preferred sizes, priority levels, bounds and time-outs of both kinds. Every request comes to
 * exactly one end, with the right answer. Made for the thread and address sanitizers. */
#include "batch/support.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOPS = 4,
    EXECUTORS = 3,
    STEPS = 3000,      /* of each loop */
    OUT_MAX = 48,      /* requests a loop has out */
    SHARED_QUEUES = 3, /* one of each options */
    COLUMNS_MAX = 4,
    ROWS_MAX = 3
};

struct loop {
    pthread_t thread; /* set by itself */
    struct owner owner;
    struct batch_turn *turn;
    unsigned seed;
    struct job_box *out[OUT_MAX];
    struct batch_queue *own; /* freed whenever nothing of it is out, and made again */
    unsigned own_out, own_made;
    unsigned submitted, refused, answered, cancelled_early, cancelled_late, late, poisoned;
};

struct job_box {
    struct batch_job job;
    struct tensor input;
    int8_t values[ROWS_MAX * COLUMNS_MAX];
    struct loop *loop;
    unsigned slot;
    bool own, poisoned, cancelled;
};

static struct engine *engine;
static struct engine_model *model;
static struct batch_pool *pool;
static struct batch_queue *shared[SHARED_QUEUES];
static const struct batch_options options[] = {
    {.rows_max = 6, .queue_max = 24, .inline_ns_max = 200 * NS_PER_US},
    {.rows_max = 8,
     .queue_max = 24,
     .rules = {.delay_ns = 150 * NS_PER_US, .preferred = {5, 4}, .preferred_count = 2},
     .levels = 3,
     .level_max = {0, 12, 6},
     .timeout_override = true,
     .timeout_continue = true},
    {.rows_max = 6,
     .queue_max = 24,
     .inline_ns_max = 200 * NS_PER_US,
     .levels = 2,
     .default_level = 1,
     .timeout_ns = NS_PER_MS,
     .timeout_override = true},
};

static unsigned pick(struct loop *loop, unsigned below) {
    return (unsigned)rand_r(&loop->seed) % below;
}

static void give_back(struct job_box *box) {
    struct loop *loop = box->loop;
    loop->out[box->slot] = NULL;
    if (box->own && --loop->own_out == 0)
        batch_queue_free(&loop->own);
    memset(box, 0xA5, sizeof *box); /* whoever still looks at it will be seen */
    free(box);
}

static void done(struct batch_job *job) {
    struct job_box *box = CONTAINER_OF(job, struct job_box, job);
    struct loop *loop = box->loop;
    CHECK(pthread_equal(pthread_self(), loop->thread));
    switch ((int)job->err) {
    case ERR_OK: {
        struct tensor output = batch_job_output(job, 0);
        CHECK(!box->cancelled && !box->poisoned);
        CHECK(output.count == box->input.count && output.shape[0] == box->input.shape[0]);
        CHECK(memcmp(output.data, box->values, (size_t)output.count) == 0);
        loop->answered++;
        break;
    }
    case ERR_CANCELLED:
        CHECK(box->cancelled);
        loop->cancelled_late++;
        break;
    case ERR_DEADLINE:
        CHECK(batch_job_expires_ns(job) != UINT64_MAX);
        loop->late++;
        break;
    default:
        CHECK(job->err == ERR_INVALID && box->poisoned);
        loop->poisoned++;
    }
    CHECK(job->err == ERR_OK || !job->result);
    engine_result_unref(&job->result);
    give_back(box);
}

static void submit(struct loop *loop, unsigned slot) {
    struct job_box *box = mem_new(sizeof *box);
    const int64_t shape[] = {1 + pick(loop, ROWS_MAX), 1 + pick(loop, COLUMNS_MAX)};
    CHECK(tensor_set(&box->input, DATATYPE_INT8, shape, 2, NULL) == ERR_OK);
    for (int64_t i = 0; i < box->input.count; i++)
        box->values[i] = (int8_t)pick(loop, 60);
    box->poisoned = pick(loop, 40) == 0;
    if (box->poisoned)
        box->values[0] = 66;
    box->input.data = box->values;
    box->loop = loop;
    box->slot = slot;
    box->own = pick(loop, 3) == 0;
    box->job = (struct batch_job){.inputs = &box->input,
                                  .output_mask = 1,
                                  .deadline_ns = UINT64_MAX,
                                  .owner = &loop->owner.box,
                                  .done = done};
    box->job.priority = pick(loop, 5);
    if (pick(loop, 10) == 0)
        box->job.timeout_ns = 1 + pick(loop, 300 * NS_PER_US);
    if (pick(loop, 30) == 0)
        box->job.deadline_ns = clock_now(&clock_real) + pick(loop, 200 * NS_PER_US);
    if (box->own && !loop->own)
        loop->own = batch_queue_new(pool, engine, model,
                                    &options[loop->own_made++ % ARRAY_LEN(options)], NULL);
    loop->own_out += box->own;
    loop->out[slot] = box;
    struct batch_queue *queue = box->own ? loop->own : shared[pick(loop, SHARED_QUEUES)];
    struct err_text text;
    if (batch_submit(queue, loop->turn, &box->job, &text) == ERR_OK) {
        loop->submitted++;
        return;
    }
    loop->refused++;
    give_back(box);
}

static void cancel(struct job_box *box) {
    box->cancelled = true;
    if (batch_cancel(&box->job)) {
        box->loop->cancelled_early++;
        give_back(box);
    }
}

static void step(struct loop *loop) {
    unsigned slot = pick(loop, OUT_MAX);
    if (!loop->out[slot])
        submit(loop, slot);
    else if (pick(loop, 16) == 0 && !loop->out[slot]->cancelled)
        cancel(loop->out[slot]);
    if (pick(loop, 8) == 0)
        mailbox_drain(&loop->owner.box);
    if (pick(loop, 8) == 0)
        batch_turn_run(loop->turn);
    if (pick(loop, 16) == 0) /* executors come to their turn too */
        nanosleep(&(struct timespec){0, 1000}, NULL);
    if (pick(loop, 64) == 0) /* the model becomes quick, or slow */
        for (int i = 0; i < 40; i++)
            batch_queue_learn(shared[0], pick(loop, 2) ? NS_PER_US : NS_PER_S, 0);
}

static bool anything_out(const struct loop *loop) {
    for (unsigned i = 0; i < OUT_MAX; i++)
        if (loop->out[i])
            return true;
    return false;
}

static void *run_loop(void *argument) {
    struct loop *loop = argument;
    loop->thread = pthread_self();
    for (int i = 0; i < STEPS; i++)
        step(loop);
    while (anything_out(loop)) {
        batch_turn_run(loop->turn);
        if (!mailbox_drain(&loop->owner.box))
            nanosleep(&(struct timespec){0, 20000}, NULL);
    }
    return NULL;
}

static void test_every_request_comes_to_one_end_with_the_right_answer(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, BENCH_MODEL "poison 66\nrun_us 3\n", &options[0], &clock_real);
    engine = bench.engine;
    model = bench.model;
    pool = batch_pool_new(EXECUTORS, 0, &clock_real);
    for (int i = 0; i < SHARED_QUEUES; i++)
        shared[i] = batch_queue_new(pool, engine, model, &options[i], NULL);
    static struct loop loops[LOOPS];
    pthread_t threads[LOOPS];
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (struct loop){.seed = i + 1};
        owner_init(&loops[i].owner);
        loops[i].turn = batch_turn_new(i, &clock_real);
        assert_int_equal(pthread_create(&threads[i], NULL, run_loop, &loops[i]), 0);
    }
    struct loop sum = {.seed = 0};
    for (unsigned i = 0; i < LOOPS; i++) {
        struct loop *loop = &loops[i];
        pthread_join(threads[i], NULL);
        unsigned ends = loop->answered + loop->cancelled_early + loop->cancelled_late + loop->late +
                        loop->poisoned;
        assert_int_equal(loop->submitted, ends);
        assert_null(loop->own);
        batch_turn_free(&loop->turn);
        sum.answered += loop->answered;
        sum.refused += loop->refused;
        sum.cancelled_early += loop->cancelled_early;
        sum.cancelled_late += loop->cancelled_late;
        sum.late += loop->late;
        sum.poisoned += loop->poisoned;
    }
    for (int i = 0; i < SHARED_QUEUES; i++)
        batch_queue_free(&shared[i]);
    batch_pool_free(&pool);
    for (unsigned i = 0; i < LOOPS; i++)
        owner_done(&loops[i].owner);
    bench_done(&bench);
    print_message("%u answered, %u refused, %u + %u cancelled, %u late, %u poisoned\n",
                  sum.answered, sum.refused, sum.cancelled_early, sum.cancelled_late, sum.late,
                  sum.poisoned);
    assert_true(sum.answered > 0 && sum.late > 0 && sum.cancelled_early > 0 && sum.poisoned > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_comes_to_one_end_with_the_right_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
