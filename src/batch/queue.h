/* Inside of the batcher: what queue.c, pool.c, turn.c and worker.c share. Private to src/batch.
 *
 * 1. A job counts as `inside` its queue from batch_submit until the moment before its result is
 * given away; nothing touches the queue for a job's sake after that, so the queue may then be
 * freed.
 * 2. Jobs that wait for an executor, and the pool's list of queues, are under the pool's lock; jobs
 * of a turn belong to the turn's loop; a job that was taken belongs to the worker that took it.
 * 3. A job's state is changed by whoever holds it according to 2; only its loop makes it DONE. */
#pragma once

#include "batch/batch.h"

struct batch_queue {
    struct batch_pool *pool;
    struct engine *engine;
    struct engine_model *model;
    const struct signature *signature;
    struct batch_options options;
    struct batch_observer observer;

    /* Under the pool's lock: a list a level, and one of those that have waited too long. */
    struct list waiting[BATCH_LEVELS_MAX + 1];
    uint32_t passed[BATCH_LEVELS_MAX + 1]; /* batches that began with another list */
    uint32_t waiting_count;                /* in all lists */
    struct list_node ready;                /* in the pool's list while there are any */

    /* All relaxed: numbers that decide nothing about memory. */
    _Atomic uint32_t inside;
    _Atomic uint32_t level_inside[BATCH_LEVELS_MAX]; /* where a level has its own bound */
    _Atomic uint32_t running;
    _Atomic uint32_t futile; /* batches that had to be run again one by one */
    _Atomic uint64_t run_ns;
    _Atomic uint64_t elements; /* of an average request */
};

/* What one run takes out of a list. */
struct batch {
    struct batch_queue *queue; /* NULL when `jobs` is empty */
    struct list jobs;          /* oldest first */
    struct list late;          /* waited too long; of any queue */
    enum batch_reason reason;
    uint32_t job_count;
    int64_t rows;
};

/* The only place that changes a job's state. */
void batch_job_set_state(struct batch_job *job, enum batch_job_state state);
/* Thread: the job's loop. DONE, and done(). */
void batch_job_complete(struct batch_job *job);

/* One job fewer is inside its queue. */
void batch_job_leave(struct batch_job *job);

/* Takes from a turn's jobs the first whose deadline has not passed, and what may run with it. */
void batch_take_turn(struct list *jobs, uint64_t now_ns, struct batch *ret);
/* Takes what a queue's rules let leave now: perhaps nothing, when many waited too long. False:
 * there is nothing to do until *ret_until_ns. Jobs must wait; under the pool's lock. `hurry`: no
 * delay any more. */
bool batch_take(struct batch_queue *queue, uint64_t now_ns, bool hurry, struct batch *ret,
                uint64_t *ret_until_ns);
/* Do requests share runs, as far as is known? */
bool batch_queue_shares(const struct batch_queue *queue);
/* A run that gave results: what it took for `jobs` requests of `elements` elements together. */
void batch_queue_measured(struct batch_queue *queue, uint64_t compute_ns, uint32_t jobs,
                          uint64_t elements);

void batch_pool_add_queue(struct batch_pool *pool, struct batch_queue *queue);
void batch_pool_remove_queue(struct batch_pool *pool, struct batch_queue *queue);
/* The job becomes QUEUED. */
void batch_pool_put(struct batch_pool *pool, struct batch_job *job);
/* Takes a waiting job back; it becomes IDLE. False when it has been taken. */
bool batch_pool_withdraw(struct batch_pool *pool, struct batch_job *job);
const struct clock *batch_pool_clock(const struct batch_pool *pool);

void batch_turn_put(struct batch_turn *turn, struct batch_job *job);

/* Runs batches on one thread: an executor's or a loop's. */
struct batch_worker {
    const struct clock *clock;
    uint32_t shard;
    bool is_loop; /* results are given by done() directly, not through the mailbox */
    /* relaxed: figures */
    _Atomic uint64_t busy_ns;     /* in the engine, runs that ended */
    _Atomic uint64_t run_from_ns; /* the run going on began then; 0: none */
    struct tensor *inputs;        /* of a batch of several requests, over the scratch memory */
    char *scratch;
    size_t scratch_size;
};

void batch_worker_init(struct batch_worker *worker, const struct clock *clock, uint32_t shard,
                       bool is_loop);
void batch_worker_done(struct batch_worker *worker);
/* Runs what was taken and gives each job its result. Afterwards the batch's queue may be gone. */
void batch_worker_run(struct batch_worker *worker, struct batch *batch);
/* Nothing to do for now: gives large memory back, when there is some. */
void batch_worker_rest(struct batch_worker *worker);
bool batch_worker_has_large_scratch(const struct batch_worker *worker);
