/* Runs what was taken: one request alone, or several gathered into one run and split again by rows.
 *
 * A batch of several that fails, or whose outputs do not have one row for each input row, is run
 * again request by request, so that one bad request fails alone. A queue whose batches are futile
 * in this way again and again stops batching. A single request's inputs go to the engine as they
 * are; several are copied one behind the other into scratch memory, which stays for the next batch.
 * Thread: the worker's own. Owns the scratch memory and its description of the gathered inputs. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>

enum { SCRATCH_KEEP_MAX = 1 << 20, SCRATCH_ALIGN = 64 };

#define RELAXED memory_order_relaxed

void batch_worker_init(struct batch_worker *worker, const struct clock *clock, uint32_t shard,
                       bool is_loop) {
    *worker = (struct batch_worker){.clock = clock, .shard = shard, .is_loop = is_loop};
    worker->inputs = mem_new_array(SIGNATURE_TENSORS_MAX, sizeof *worker->inputs);
}

static void free_scratch(struct batch_worker *worker) {
    mem_free(&worker->scratch);
    worker->scratch_size = 0;
}

void batch_worker_done(struct batch_worker *worker) {
    free_scratch(worker);
    mem_free(&worker->inputs);
}

bool batch_worker_has_large_scratch(const struct batch_worker *worker) {
    return worker->scratch_size > SCRATCH_KEEP_MAX;
}

void batch_worker_rest(struct batch_worker *worker) {
    if (batch_worker_has_large_scratch(worker))
        free_scratch(worker);
}

static size_t aligned(size_t bytes) {
    return (bytes + SCRATCH_ALIGN - 1) & ~(size_t)(SCRATCH_ALIGN - 1);
}

/* False when memory is out: the requests still run one by one. */
static bool reserve_scratch(struct batch_worker *worker, size_t size) {
    if (size <= worker->scratch_size)
        return true;
    free_scratch(worker);
    worker->scratch = aligned_alloc(SCRATCH_ALIGN, size);
    worker->scratch_size = worker->scratch ? size : 0;
    return worker->scratch != NULL;
}

/* Gives the job away: neither it nor, for its sake, its queue is touched afterwards. */
static void finish(const struct batch_worker *worker, struct batch_job *job) {
    atomic_fetch_sub_explicit(&job->queue->running, 1, RELAXED);
    batch_job_leave(job);
    if (worker->is_loop)
        batch_job_complete(job);
    else
        mailbox_send(job->owner, &job->message);
}

static struct batch_job *next_job(struct list *jobs) {
    struct list_node *node = list_take_first(jobs);
    return node ? CONTAINER_OF(node, struct batch_job, node) : NULL;
}

static void finish_late(const struct batch_worker *worker, struct list *late, uint64_t now_ns) {
    for (struct batch_job *job; (job = next_job(late));) {
        job->queue_ns = now_ns - job->submitted_ns;
        bool in_us = job->queue_ns < NS_PER_MS;
        job->err =
            err_set(&job->text, ERR_DEADLINE, "Request timeout expired after %llu %s in the queue",
                    (unsigned long long)(job->queue_ns / (in_us ? NS_PER_US : NS_PER_MS)),
                    in_us ? "us" : "ms");
        finish(worker, job);
    }
}

/* Jobs cancelled since they were taken need no run. */
static void drop_cancelled(const struct batch_worker *worker, struct batch *batch) {
    struct list_node *node = list_first(&batch->jobs), *next;
    for (; node; node = next) {
        next = list_next(&batch->jobs, node);
        struct batch_job *job = CONTAINER_OF(node, struct batch_job, node);
        if (!atomic_load_explicit(&job->cancelled, RELAXED))
            continue;
        list_remove(node);
        batch->job_count--;
        batch->rows -= job->rows;
        finish(worker, job);
    }
}

static uint64_t run_begins(struct batch_worker *worker) {
    uint64_t start_ns = clock_now(worker->clock);
    atomic_store_explicit(&worker->run_from_ns, start_ns, RELAXED);
    return start_ns;
}

/* What a run took that began at `start_ns`. */
static uint64_t run_ended(struct batch_worker *worker, uint64_t start_ns) {
    uint64_t compute_ns = clock_now(worker->clock) - start_ns;
    atomic_store_explicit(&worker->run_from_ns, 0, RELAXED);
    atomic_fetch_add_explicit(&worker->busy_ns, compute_ns, RELAXED);
    return compute_ns;
}

static void tell(const struct batch_worker *worker, struct batch_queue *queue,
                 const struct batch *run, uint64_t elements, uint64_t compute_ns) {
    batch_queue_measured(queue, compute_ns, run->job_count, elements);
    if (queue->observer.ran)
        queue->observer.ran(queue->observer.context, worker->shard, run->job_count, run->rows,
                            compute_ns, worker->is_loop);
}

static void tell_left(const struct batch_worker *worker, const struct batch *batch) {
    const struct batch_observer *observer = &batch->queue->observer;
    if (observer->left)
        observer->left(observer->context, worker->shard, batch->reason);
}

static void run_alone(struct batch_worker *worker, struct batch_job *job) {
    struct batch_queue *queue = job->queue;
    uint64_t start_ns = run_begins(worker);
    job->queue_ns = start_ns - job->submitted_ns;
    job->batch_jobs = 1;
    job->err = queue->engine->ops->run(queue->model, job->inputs, job->output_mask, &job->result,
                                       &job->text);
    job->compute_ns = run_ended(worker, start_ns);
    if (job->err == ERR_OK) {
        const struct batch one = {.job_count = 1, .rows = job->rows};
        tell(worker, queue, &one, job->elements, job->compute_ns);
    }
}

/* `judge`: the jobs ran together in vain, which is the queue's fault unless one of them fails
 * alone. */
static void run_each(struct batch_worker *worker, struct batch *batch, bool judge) {
    if (judge)
        atomic_fetch_add_explicit(&batch->queue->futile, 1, RELAXED);
    for (struct batch_job *job; (job = next_job(&batch->jobs));) {
        run_alone(worker, job);
        if (job->err != ERR_OK && judge) {
            atomic_fetch_sub_explicit(&batch->queue->futile, 1, RELAXED);
            judge = false;
        }
        finish(worker, job);
    }
}

static void copy_rows(struct batch *batch, size_t input, char *into) {
    for (struct list_node *node = list_first(&batch->jobs); node;
         node = list_next(&batch->jobs, node)) {
        const struct batch_job *job = CONTAINER_OF(node, struct batch_job, node);
        size_t bytes = tensor_bytes(&job->inputs[input]);
        if (bytes > 0)
            memcpy(into, job->inputs[input].data, bytes);
        into += bytes;
    }
}

/* worker->inputs: the rows of all jobs, one behind the other. False when memory is out. */
static bool gather(struct batch_worker *worker, struct batch *batch) {
    const struct batch_job *first = CONTAINER_OF(list_first(&batch->jobs), struct batch_job, node);
    struct tensor *inputs = worker->inputs;
    size_t count = batch->queue->signature->input_count, size = 0;
    for (size_t i = 0; i < count; i++) {
        inputs[i] = first->inputs[i];
        inputs[i].shape[0] = batch->rows;
        inputs[i].count = first->inputs[i].count / first->rows * batch->rows;
        size += aligned(tensor_bytes(&inputs[i]));
    }
    if (!reserve_scratch(worker, size))
        return false;
    char *into = worker->scratch;
    for (size_t i = 0; i < count; i++) {
        inputs[i].data = into;
        copy_rows(batch, i, into);
        into += aligned(tensor_bytes(&inputs[i]));
    }
    return true;
}

static bool rows_match(const struct batch *batch, const struct engine_result *result,
                       uint64_t output_mask) {
    for (size_t i = 0; i < result->output_count; i++) {
        if (!(output_mask >> i & 1))
            continue;
        if (result->outputs[i].rank == 0 || result->outputs[i].shape[0] != batch->rows)
            return false;
    }
    return true;
}

/* Every job gets its rows of the result, and a reference to it. */
static void share_out(const struct batch_worker *worker, struct batch *batch,
                      struct engine_result *result, uint64_t start_ns, uint64_t compute_ns) {
    uint32_t job_count = batch->job_count;
    int64_t row = 0;
    for (uint32_t i = 1; i < job_count; i++)
        engine_result_ref(result);
    for (struct batch_job *job; (job = next_job(&batch->jobs));) {
        job->result = result;
        job->row_first = row;
        job->row_count = job->rows;
        job->queue_ns = start_ns - job->submitted_ns;
        job->compute_ns = compute_ns;
        job->batch_jobs = job_count;
        row += job->rows;
        finish(worker, job);
    }
}

/* True when the jobs have their results; else nothing was done, and they must run alone. */
static bool run_together(struct batch_worker *worker, struct batch *batch) {
    struct batch_queue *queue = batch->queue;
    uint64_t output_mask = 0, elements = 0;
    for (struct list_node *node = list_first(&batch->jobs); node;
         node = list_next(&batch->jobs, node)) {
        const struct batch_job *job = CONTAINER_OF(node, struct batch_job, node);
        output_mask |= job->output_mask;
        elements += job->elements;
    }
    struct engine_result *result = NULL;
    uint64_t start_ns = run_begins(worker);
    enum err e = queue->engine->ops->run(queue->model, worker->inputs, output_mask, &result, NULL);
    uint64_t compute_ns = run_ended(worker, start_ns);
    if (e != ERR_OK)
        return false;
    if (!rows_match(batch, result, output_mask)) {
        engine_result_unref(&result);
        return false;
    }
    atomic_store_explicit(&queue->futile, 0, RELAXED);
    tell(worker, queue, batch, elements, compute_ns);
    share_out(worker, batch, result, start_ns, compute_ns);
    return true;
}

void batch_worker_run(struct batch_worker *worker, struct batch *batch) {
    if (!list_empty(&batch->late))
        finish_late(worker, &batch->late, clock_now(worker->clock));
    drop_cancelled(worker, batch);
    if (batch->job_count > 0)
        tell_left(worker, batch);
    bool gathered = batch->job_count > 1 && gather(worker, batch);
    if (!gathered || !run_together(worker, batch))
        run_each(worker, batch, gathered);
}
