/* A queue: the bound on jobs inside, the measure that decides between loop and executors, the
 * states of a job, and taking a batch out of a list. See batch/queue.h for who owns what when. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"
#include "batch/plan.h"

enum {
    SCAN_JOBS_MAX = 256, /* jobs looked at for one batch: bounds the time under the pool's lock */
    FUTILE_MAX = 3,      /* batches that had to be repeated one by one before batching stops */
    SLOW_FACTOR = 16,    /* a run this many times inline_ns_max is no accident */
    LEARN_WEIGHT = 8,    /* a new measurement counts for an eighth */
    LEARN_GROWTH_MAX = 8 /* and for at most this times the average: one preemption is not a trend */
};
/* A loop's run is not planned to take longer than this. */
static const uint64_t INLINE_BATCH_NS_MAX = 2 * NS_PER_MS;

#define RELAXED memory_order_relaxed

/* ---- states ---- */

void batch_job_set_state(struct batch_job *job, enum batch_job_state state) {
    static const unsigned next[] = {
        [BATCH_JOB_IDLE] = 1U << BATCH_JOB_TURN | 1U << BATCH_JOB_QUEUED,
        [BATCH_JOB_TURN] = 1U << BATCH_JOB_IDLE | 1U << BATCH_JOB_QUEUED | 1U << BATCH_JOB_RUNNING,
        [BATCH_JOB_QUEUED] = 1U << BATCH_JOB_IDLE | 1U << BATCH_JOB_RUNNING,
        [BATCH_JOB_RUNNING] = 1U << BATCH_JOB_DONE,
        [BATCH_JOB_DONE] = 1U << BATCH_JOB_TURN | 1U << BATCH_JOB_QUEUED,
    };
    CHECK(job->state < ARRAY_LEN(next) && next[job->state] >> state & 1);
    job->state = state;
}

void batch_job_complete(struct batch_job *job) {
    if (atomic_load_explicit(&job->cancelled, RELAXED)) {
        engine_result_unref(&job->result);
        job->err = err_set(&job->text, ERR_CANCELLED, "%s", err_default_text(ERR_CANCELLED));
    }
    batch_job_set_state(job, BATCH_JOB_DONE);
    job->done(job);
}

static void receive(struct message *message) {
    batch_job_complete(CONTAINER_OF(message, struct batch_job, message));
}

struct tensor batch_job_output(const struct batch_job *job, size_t i) {
    CHECK(job->result && i < job->result->output_count);
    struct tensor output = job->result->outputs[i];
    if (job->row_count == 0 || output.rank == 0 || output.shape[0] <= 0)
        return output;
    int64_t row = output.count / output.shape[0];
    if (output.data) /* NULL when rows have no elements; they are rows all the same */
        output.data =
            (char *)output.data + (size_t)(job->row_first * row) * datatype_size(output.datatype);
    output.shape[0] = job->row_count;
    output.count = job->row_count * row;
    return output;
}

/* ---- the queue ---- */

struct batch_queue *batch_queue_new(struct batch_pool *pool, struct engine *engine,
                                    struct engine_model *model, const struct batch_options *options,
                                    const struct batch_observer *observer) {
    CHECK(options->rows_max >= 1 && options->queue_max >= 1);
    struct batch_queue *queue = mem_new(sizeof *queue);
    queue->pool = pool;
    queue->engine = engine;
    queue->model = model;
    queue->signature = engine->ops->signature(model);
    queue->options = *options;
    if (observer)
        queue->observer = *observer;
    list_init(&queue->waiting);
    batch_pool_add_queue(pool, queue);
    return queue;
}

void batch_queue_free(struct batch_queue **queue) {
    if (!*queue)
        return;
    CHECK(atomic_load_explicit(&(*queue)->inside, RELAXED) == 0);
    batch_pool_remove_queue((*queue)->pool, *queue);
    mem_free(queue);
}

void batch_queue_load(const struct batch_queue *queue, uint32_t *ret_waiting,
                      uint32_t *ret_running) {
    uint32_t running = atomic_load_explicit(&queue->running, RELAXED);
    uint32_t inside = atomic_load_explicit(&queue->inside, RELAXED);
    *ret_running = MIN(running, inside);
    *ret_waiting = inside - *ret_running;
}

/* ---- the measure ---- */

static uint64_t move_average(uint64_t average, uint64_t sample) {
    if (average == 0)
        return MAX(sample, 1);
    if (sample / LEARN_GROWTH_MAX > average)
        sample = average * LEARN_GROWTH_MAX;
    return MAX(average - average / LEARN_WEIGHT + sample / LEARN_WEIGHT, 1);
}

/* A batch's run bounds what one request alone would take: at most the whole, at least its share.
 * Only an average outside these bounds is moved. So a bigger batch, which takes longer but serves
 * more, does not make a quick model look slow, nor a small share make a slow one look quick. */
void batch_queue_measured(struct batch_queue *queue, uint64_t compute_ns, uint32_t jobs,
                          uint64_t elements) {
    /* An update lost between two threads is no loss: these are averages. */
    uint64_t average = atomic_load_explicit(&queue->run_ns, RELAXED);
    uint64_t share = compute_ns / jobs;
    uint64_t sample = average == 0 ? compute_ns : MIN(MAX(average, share), compute_ns);
    /* Far beyond the bound: off the loops at once. Should it have been a preemption, runs on the
     * executors bring the average down again. */
    if (share / SLOW_FACTOR > queue->options.inline_ns_max)
        atomic_store_explicit(&queue->run_ns, share, RELAXED);
    else if (average == 0 || sample != average)
        atomic_store_explicit(&queue->run_ns, move_average(average, sample), RELAXED);
    uint64_t usual = atomic_load_explicit(&queue->elements, RELAXED);
    if (elements > 0 && usual != elements / jobs)
        atomic_store_explicit(&queue->elements, move_average(usual, elements / jobs), RELAXED);
}

void batch_queue_learn(struct batch_queue *queue, uint64_t compute_ns) {
    batch_queue_measured(queue, compute_ns, 1, 0);
}

uint64_t batch_queue_run_ns(const struct batch_queue *queue) {
    return atomic_load_explicit(&queue->run_ns, RELAXED);
}

bool batch_queue_runs_inline(const struct batch_queue *queue) {
    uint64_t run_ns = batch_queue_run_ns(queue);
    return run_ns > 0 && run_ns < queue->options.inline_ns_max;
}

/* Is this job quick: an average run below the bound, also when scaled to a job larger than usual?
 */
static bool is_quick(const struct batch_queue *queue, const struct batch_job *job) {
    if (!batch_queue_runs_inline(queue))
        return false;
    uint64_t usual = atomic_load_explicit(&queue->elements, RELAXED);
    if (usual == 0 || job->elements <= usual)
        return true;
    double run_ns = (double)batch_queue_run_ns(queue);
    return run_ns * (double)job->elements / (double)usual < (double)queue->options.inline_ns_max;
}

/* ---- in and out ---- */

enum err batch_submit(struct batch_queue *queue, struct batch_turn *turn, struct batch_job *job,
                      struct err_text *text) {
    CHECK(job->owner && job->done);
    uint32_t before = atomic_fetch_add_explicit(&queue->inside, 1, RELAXED);
    if (before >= queue->options.queue_max) {
        atomic_fetch_sub_explicit(&queue->inside, 1, RELAXED);
        return err_set(text, ERR_QUEUE_FULL,
                       "Exceeds maximum queue size: %u requests wait or run, the limit is %u",
                       queue->options.queue_max, queue->options.queue_max);
    }
    job->err = ERR_OK;
    job->text.s[0] = '\0';
    job->result = NULL;
    job->row_first = job->row_count = 0;
    job->queue_ns = job->compute_ns = 0;
    job->batch_jobs = 0;
    job->queue = queue;
    job->turn = NULL;
    job->message.receive = receive;
    job->submitted_ns = clock_now(batch_pool_clock(queue->pool));
    job->rows = queue->signature->batchable ? job->inputs[0].shape[0] : 1;
    job->elements = 0;
    for (size_t i = 0; i < queue->signature->input_count; i++)
        job->elements += (uint64_t)job->inputs[i].count;
    atomic_store_explicit(&job->cancelled, false, RELAXED);
    if (turn && is_quick(queue, job))
        batch_turn_put(turn, job);
    else
        batch_pool_put(queue->pool, job);
    return ERR_OK;
}

bool batch_cancel(struct batch_job *job) {
    if (!job->queue) /* not submitted, or taken out before */
        return true;
    /* Only a job of our own turn may be looked at: an executor may be changing any other. */
    bool out =
        job->turn ? job->state == BATCH_JOB_TURN : batch_pool_withdraw(job->queue->pool, job);
    if (!out) {
        atomic_store_explicit(&job->cancelled, true, RELAXED);
        return false;
    }
    if (job->turn) {
        list_remove(&job->node);
        batch_job_set_state(job, BATCH_JOB_IDLE);
    }
    atomic_fetch_sub_explicit(&job->queue->inside, 1, RELAXED);
    job->queue = NULL;
    return true;
}

/* ---- taking a batch ---- */

static void take_job(struct batch_job *job, struct list *into) {
    list_remove(&job->node);
    batch_job_set_state(job, BATCH_JOB_RUNNING);
    atomic_fetch_add_explicit(&job->queue->running, 1, RELAXED);
    list_add_last(into, &job->node);
}

static void start_batch(struct batch_plan *plan, const struct batch_job *job) {
    struct batch_queue *queue = job->queue;
    int64_t rows_max = queue->options.rows_max;
    uint32_t jobs_max = UINT32_MAX;
    if (!queue->signature->batchable || atomic_load_explicit(&queue->futile, RELAXED) >= FUTILE_MAX)
        rows_max = 1;
    uint64_t run_ns = batch_queue_run_ns(queue);
    if (job->turn && run_ns > 0)
        jobs_max = (uint32_t)MAX(MIN(INLINE_BATCH_NS_MAX / run_ns, UINT32_MAX), 1);
    batch_plan_start(plan, job->inputs, queue->signature->input_count, job->rows);
    batch_plan_limit(plan, rows_max, jobs_max);
}

void batch_take(struct list *from, uint64_t now_ns, struct batch *ret) {
    ret->queue = NULL;
    list_init(&ret->jobs);
    list_init(&ret->late);
    struct batch_plan plan = {.requests = 0};
    struct list_node *node = list_first(from), *next;
    for (int seen = 0; node && seen < SCAN_JOBS_MAX; node = next, seen++) {
        next = list_next(from, node);
        struct batch_job *job = CONTAINER_OF(node, struct batch_job, node);
        if (ret->queue && job->queue != ret->queue)
            continue;
        if (job->deadline_ns <= now_ns) {
            take_job(job, &ret->late);
            continue;
        }
        if (!ret->queue) {
            ret->queue = job->queue;
            start_batch(&plan, job);
        } else {
            enum batch_offer offer = batch_plan_offer(&plan, job->inputs, job->rows);
            if (offer == BATCH_OFFER_OTHER)
                continue;
            if (offer == BATCH_OFFER_FULL)
                break;
        }
        take_job(job, &ret->jobs);
        if (batch_plan_full(&plan))
            break;
    }
    ret->job_count = plan.requests;
    ret->rows = plan.rows;
}
