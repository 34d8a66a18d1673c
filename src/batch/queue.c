/* A queue: the bounds on jobs inside, the measure that decides between loop and executors, the
 * states of a job, a job's way in and out. See batch/queue.h for who owns what when. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

enum {
    FUTILE_MAX = 3,      /* batches that had to be repeated one by one before batching stops */
    SLOW_FACTOR = 16,    /* a run this many times inline_ns_max is no accident */
    LEARN_WEIGHT = 8,    /* a new measurement counts for an eighth */
    LEARN_GROWTH_MAX = 8 /* and for at most this times the average: one preemption is not a trend */
};

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
    CHECK(options->levels <= BATCH_LEVELS_MAX && options->default_level <= MAX(options->levels, 1));
    CHECK(options->rules.preferred_count <= BATCH_PREFERRED_MAX);
    struct batch_queue *queue = mem_new(sizeof *queue);
    queue->pool = pool;
    queue->engine = engine;
    queue->model = model;
    queue->signature = engine->ops->signature(model);
    queue->options = *options;
    if (observer)
        queue->observer = *observer;
    if (queue->options.levels == 0)
        queue->options.levels = 1;
    if (queue->options.default_level == 0)
        queue->options.default_level = queue->options.levels;
    if (!batch_queue_shares(queue))
        queue->options.rules = (struct batch_rules){0}; /* waiting would be in vain */
    for (uint32_t i = 0; i <= queue->options.levels; i++)
        list_init(&queue->waiting[i]);
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

const struct batch_options *batch_queue_options(const struct batch_queue *queue) {
    return &queue->options;
}

bool batch_queue_shares(const struct batch_queue *queue) {
    return queue->signature->batchable && queue->options.rows_max > 1 &&
           atomic_load_explicit(&queue->futile, RELAXED) < FUTILE_MAX;
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

void batch_queue_learn(struct batch_queue *queue, uint64_t compute_ns, uint64_t elements) {
    batch_queue_measured(queue, compute_ns, 1, elements);
}

uint64_t batch_queue_run_ns(const struct batch_queue *queue) {
    return atomic_load_explicit(&queue->run_ns, RELAXED);
}

bool batch_queue_runs_inline(const struct batch_queue *queue) {
    uint64_t run_ns = batch_queue_run_ns(queue);
    return run_ns > 0 && run_ns < queue->options.inline_ns_max &&
           queue->options.rules.delay_ns == 0;
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

bool batch_queue_timeout_is_deadline(const struct batch_queue *queue) {
    return queue->options.timeout_override && !queue->options.timeout_continue;
}

uint64_t batch_job_expires_ns(const struct batch_job *job) {
    return job->queue->options.timeout_continue ? job->deadline_ns
                                                : MIN(job->deadline_ns, job->timeout_at_ns);
}

static uint64_t timeout_of(const struct batch_queue *queue, const struct batch_job *job) {
    uint64_t timeout_ns = queue->options.timeout_ns;
    bool own = queue->options.timeout_override && job->timeout_ns > 0;
    if (own && (timeout_ns == 0 || job->timeout_ns < timeout_ns))
        timeout_ns = job->timeout_ns;
    return timeout_ns == 0 || timeout_ns > UINT64_MAX - job->submitted_ns
               ? UINT64_MAX
               : job->submitted_ns + timeout_ns;
}

/* A priority beyond the levels is none, as in Triton's schedule policy. */
static uint32_t level_of(const struct batch_queue *queue, uint64_t priority) {
    bool valid = priority >= 1 && priority <= queue->options.levels;
    return (valid ? (uint32_t)priority : queue->options.default_level) - 1;
}

/* Has this level room, as far as it has a bound of its own? */
static bool enter_level(struct batch_queue *queue, uint32_t level) {
    uint32_t max = queue->options.level_max[level];
    if (max == 0)
        return true;
    if (atomic_fetch_add_explicit(&queue->level_inside[level], 1, RELAXED) < max)
        return true;
    atomic_fetch_sub_explicit(&queue->level_inside[level], 1, RELAXED);
    return false;
}

static enum err enter(struct batch_queue *queue, uint32_t level, struct err_text *text) {
    const struct batch_options *options = &queue->options;
    uint32_t before = atomic_fetch_add_explicit(&queue->inside, 1, RELAXED);
    if (before < options->queue_max && enter_level(queue, level))
        return ERR_OK;
    atomic_fetch_sub_explicit(&queue->inside, 1, RELAXED);
    if (before >= options->queue_max)
        return err_set(text, ERR_QUEUE_FULL,
                       "Exceeds maximum queue size: %u requests wait or run, the limit is %u",
                       options->queue_max, options->queue_max);
    return err_set(text, ERR_QUEUE_FULL,
                   "Exceeds maximum queue size: %u requests of priority level %u wait or run, the "
                   "limit is %u",
                   options->level_max[level], level + 1, options->level_max[level]);
}

void batch_job_leave(struct batch_job *job) {
    struct batch_queue *queue = job->queue;
    if (queue->options.level_max[job->entry_level] > 0)
        atomic_fetch_sub_explicit(&queue->level_inside[job->entry_level], 1, RELAXED);
    atomic_fetch_sub_explicit(&queue->inside, 1, RELAXED);
}

static void prepare(struct batch_queue *queue, uint32_t level, struct batch_job *job) {
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
    job->level = job->entry_level = level;
    job->passed = 0;
    job->timeout_at_ns = timeout_of(queue, job);
    atomic_store_explicit(&job->cancelled, false, RELAXED);
}

enum err batch_submit(struct batch_queue *queue, struct batch_turn *turn, struct batch_job *job,
                      struct err_text *text) {
    CHECK(job->owner && job->done);
    uint32_t level = level_of(queue, job->priority);
    enum err e = enter(queue, level, text);
    if (e)
        return e;
    prepare(queue, level, job);
    if (turn && is_quick(queue, job))
        batch_turn_put(turn, job);
    else
        batch_pool_put(queue->pool, job);
    return ERR_OK;
}

bool batch_withdraw(struct batch_job *job) {
    if (!job->queue) /* not submitted, or taken out before */
        return true;
    /* Only a job of our own turn may be looked at: an executor may be changing any other. */
    bool out =
        job->turn ? job->state == BATCH_JOB_TURN : batch_pool_withdraw(job->queue->pool, job);
    if (!out)
        return false;
    if (job->turn) {
        list_remove(&job->node);
        batch_job_set_state(job, BATCH_JOB_IDLE);
    }
    batch_job_leave(job);
    job->queue = NULL;
    return true;
}

bool batch_cancel(struct batch_job *job) {
    if (batch_withdraw(job))
        return true;
    atomic_store_explicit(&job->cancelled, true, RELAXED);
    return false;
}
