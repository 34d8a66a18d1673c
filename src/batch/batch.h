/* Where requests wait for a model, and who runs them.
 *
 * A queue belongs to one model version. A quick model (its measured run below inline_ns_max) is run
 * by the loop itself, at the end of the loop's turn, all that the turn brought as one batch ("turn
 * batching"). Any other goes to the pool's executor threads, which take from the queues in turn (no
 * queue starves another), as many requests of the same shape as fit one batch, those of a higher
 * priority level first, and never wait for more unless the options set a delay (then the model is
 * never run by a loop). Results come back to the owner's mailbox.
 *
 * States of a job (one setter, batch_job_set_state in queue.c; RUNNING begins when a job is taken,
 * and a job whose deadline passed or that was cancelled goes through it without a run):
 *
 *   IDLE -> TURN -> RUNNING -> DONE     inline
 *   IDLE -> QUEUED -> RUNNING -> DONE   by an executor
 *   TURN -> QUEUED                      the model proved slow before the job's chunk came
 *   QUEUED, TURN -> IDLE                cancelled in time; done() is not called
 *   DONE -> TURN, QUEUED                submitted again
 */
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "batch/policy.h"
#include "engine/engine.h"

struct batch_pool;
struct batch_queue;
struct batch_turn;

enum batch_job_state {
    BATCH_JOB_IDLE,
    BATCH_JOB_TURN,
    BATCH_JOB_QUEUED,
    BATCH_JOB_RUNNING,
    BATCH_JOB_DONE
};

/* One request's stay. The owner's memory; inputs must live until done() or a successful cancel. */
struct batch_job {
    /* set by the owner before batch_submit */
    const struct tensor *inputs; /* signature order */
    uint64_t output_mask;
    uint64_t deadline_ns;  /* monotonic; UINT64_MAX: none. Checked when taken from the queue */
    uint64_t priority;     /* 1: first; 0, or beyond the levels: the queue's default */
    uint64_t timeout_ns;   /* to wait in the queue, where its options let a job say so; 0: none */
    struct mailbox *owner; /* where done() is called */
    void (*done)(struct batch_job *job); /* Thread: the owner's loop */

    /* results, valid in done() */
    enum err err;
    struct err_text text;
    struct engine_result *result; /* the job's reference: engine_result_unref(). NULL on error */
    int64_t row_first; /* this job's rows of result's outputs; row_count == 0: the whole result */
    int64_t row_count;
    uint64_t queue_ns;   /* submit to start of the run */
    uint64_t compute_ns; /* the run, whole batch */
    uint32_t batch_jobs; /* requests in the batch */

    /* the batcher's own */
    enum batch_job_state state;
    struct batch_queue *queue;
    struct batch_turn *turn; /* TURN and inline runs; else NULL. Thread: the job's loop */
    struct list_node node;
    struct message message;
    uint64_t submitted_ns;
    uint64_t elements;      /* of all inputs: what a run's cost is scaled by */
    int64_t rows;           /* dimension 0; 1 when the model is not batchable */
    uint64_t timeout_at_ns; /* it has waited too long then; UINT64_MAX: never */
    uint32_t level;         /* 0: first; the options' levels: behind all, it has waited too long */
    uint32_t entry_level;   /* that it was submitted with */
    uint32_t passed;        /* TURN: jobs that were put before it */
    _Atomic bool cancelled;
};

/* Output `i` as this job sees it: its rows of a shared result. Pure. */
struct tensor batch_job_output(const struct batch_job *job, size_t i);

/* All zero but the first three: no delay, one level, no time-outs. */
struct batch_options {
    uint32_t rows_max;        /* rows of one batch; 1: never batch */
    uint32_t queue_max;       /* jobs that wait or run; beyond: ERR_QUEUE_FULL */
    uint64_t inline_ns_max;   /* the loop runs a model measured below this; 0: never */
    struct batch_rules rules; /* when a batch leaves; without effect when nothing can share one */
    uint32_t levels;          /* of priority, at most BATCH_LEVELS_MAX; 0 is 1 */
    uint32_t default_level;   /* 1 to levels; 0: the last */
    uint32_t level_max[BATCH_LEVELS_MAX]; /* as queue_max, of one level; 0: queue_max alone */
    uint64_t timeout_ns;                  /* the longest wait; 0: none */
    bool timeout_override;                /* a job's own timeout_ns may shorten it */
    bool timeout_continue; /* who waited too long goes behind all others; else ERR_DEADLINE */
};

/* What a queue tells; each may be NULL. Called on the thread that runs the batch. */
struct batch_observer {
    /* A batch left the queue, or the turn. */
    void (*left)(void *context, uint32_t shard, enum batch_reason reason);
    /* A run gave results. */
    void (*ran)(void *context, uint32_t shard, uint32_t jobs, int64_t rows, uint64_t compute_ns,
                bool inline_run);
    void *context;
};

/* executor_count threads named "inferd-exec-N"; executor i reports as shard first_shard + i. */
struct batch_pool *batch_pool_new(uint32_t executor_count, uint32_t first_shard,
                                  const struct clock *clock);
/* Finishes what is queued, joins. No queue may be left. NULL is accepted. */
void batch_pool_free(struct batch_pool **pool);
/* Nanoseconds executor i has spent running, the run going on included: for the busy ratio. It may
 * step back by a run's last moment. Thread: any. */
uint64_t batch_pool_busy_ns(const struct batch_pool *pool, uint32_t executor);

/* `model` is borrowed and outlives the queue. */
struct batch_queue *batch_queue_new(struct batch_pool *pool, struct engine *engine,
                                    struct engine_model *model, const struct batch_options *options,
                                    const struct batch_observer *observer);
/* No job may be inside. */
void batch_queue_free(struct batch_queue **queue);
/* As they are in force; levels is at least 1, default_level set. Thread: any. */
const struct batch_options *batch_queue_options(const struct batch_queue *queue);
/* Jobs that wait (depth) and that run. Thread: any. */
void batch_queue_load(const struct batch_queue *queue, uint32_t *ret_waiting,
                      uint32_t *ret_running);
/* One measured run of one request (warm-up) with so many elements in its inputs (0: unknown): moves
 * the average that decides inline or executor; the queue's own runs are measured by itself. The
 * elements are what larger requests are scaled by, the first one too. Thread: any. */
void batch_queue_learn(struct batch_queue *queue, uint64_t compute_ns, uint64_t elements);
/* What one request alone takes, on average; 0: nothing measured. Thread: any. */
uint64_t batch_queue_run_ns(const struct batch_queue *queue);
/* Does a loop run a request of usual size itself, at the moment? Thread: any. */
bool batch_queue_runs_inline(const struct batch_queue *queue);
/* Is the time a job may wait also all the time it has? Else it bounds the wait alone, or nothing.
 * Thread: any. */
bool batch_queue_timeout_is_deadline(const struct batch_queue *queue);

/* A loop's turn: jobs of quick models, run together at its end. Owned by one loop; shard is its
 * metric shard. */
struct batch_turn *batch_turn_new(uint32_t shard, const struct clock *clock);
void batch_turn_free(struct batch_turn **turn);
/* Thread: loop. Runs what the turn brought; calls done() of each job directly. Stops after some
 * milliseconds so that the loop stays responsive: what is left stays pending. Not to be called from
 * done(). */
void batch_turn_run(struct batch_turn *turn);
/* Thread: loop. Are there jobs to run at the end of this turn? */
bool batch_turn_pending(const struct batch_turn *turn);

/* Thread: the job's loop. On success done() will be called exactly once, later, unless batch_cancel
 * says true. ERR_QUEUE_FULL: text begins with "Exceeds maximum queue size". */
enum err batch_submit(struct batch_queue *queue, struct batch_turn *turn, struct batch_job *job,
                      struct err_text *text) MUST_CHECK;
/* When a submitted job that still waits is to be answered with ERR_DEADLINE; UINT64_MAX: never. The
 * queue itself does so when it takes the job; an owner's timer is prompter. */
uint64_t batch_job_expires_ns(const struct batch_job *job);
/* Thread: the job's loop. True: taken out, done() will not be called. False: it runs (or is done);
 * done() comes, with ERR_CANCELLED in place of a result. */
bool batch_cancel(struct batch_job *job);
/* Thread: the job's loop. As batch_cancel, but a job that runs comes to its result. */
bool batch_withdraw(struct batch_job *job);
