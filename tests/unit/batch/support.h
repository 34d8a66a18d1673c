/* What the batcher's tests share: a loop's stand-in, a bench with one model on the fake engine,
 * requests of INT8 rows whose answers can be checked. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batch/batch.h"

#include <pthread.h>

/* Stands for a loop: a mailbox, and a way to wait for it. */
struct owner {
    struct mailbox box;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool awake;    /* under the lock */
    unsigned done; /* calls of done(). Thread: the owner's */
};

void owner_init(struct owner *owner);
void owner_done(struct owner *owner);
/* Receives until `done` calls of done() have come; fails the test after ten seconds. */
void owner_wait(struct owner *owner, unsigned done);

enum { REQUEST_VALUES_MAX = 64 };

/* A job of one INT8 input [rows, columns] with its memory. */
struct request {
    struct batch_job job;
    struct tensor input;
    int8_t values[REQUEST_VALUES_MAX];
    struct owner *owner;
    unsigned done_at;                      /* owner->done when done() was called; 0: not called */
    void (*then)(struct request *request); /* called by done(); may be NULL */
};

/* Value k of row r is first + r * columns + k. */
void request_init(struct request *request, struct owner *owner, int64_t rows, int64_t columns,
                  int8_t first);
void request_submit(struct request *request, struct batch_queue *queue, struct batch_turn *turn);
/* The request has its own rows back; the result is released. */
void request_check_answer(struct request *request);
/* The request failed so; its text begins with `text`. */
void request_check_error(const struct request *request, enum err err, const char *text);

/* What the observer saw, in order. */
enum { RUNS_MAX = 64 };
struct seen_run {
    uint32_t shard, jobs;
    int64_t rows;
    bool inline_run;
};

struct bench {
    struct clock_fake clock;
    struct engine *engine;
    struct engine_model *model;
    struct batch_pool *pool;
    struct batch_queue *queue;
    struct batch_turn *turn;
    struct owner owner;
    struct seen_run runs[RUNS_MAX];
    unsigned run_count;
    enum batch_reason left[RUNS_MAX];
    unsigned left_count;
    uint64_t ns_each_run; /* the clock moves by this after each run */
};

#define BENCH_MODEL "input A INT8 [-1,-1]\noutput B INT8 [-1,-1]\n"
extern const struct batch_options bench_options; /* 8 rows, 16 jobs, inline below 100 µs */

/* A model of these directives; one executor. `clock` NULL: the bench's fake clock. */
void bench_init(struct bench *bench, const char *directives, const struct batch_options *options,
                const struct clock *clock);
void bench_done(struct bench *bench);
/* Loads another model of the same engine. */
struct engine_model *bench_load(const struct bench *bench, const char *directives);
void bench_make_quick(struct bench *bench);
/* Waits until `count` runs are inside the held engine. */
void bench_wait_held(const struct bench *bench, uint32_t count);
void bench_assert_load(const struct bench *bench, uint32_t waiting, uint32_t running);

/* A request of one row and column. */
void bench_init_row(struct request *request, struct bench *bench, uint64_t priority);
/* Initialises and submits so many, without a priority. */
void bench_submit_rows(struct request *requests, uint32_t count, struct bench *bench);
/* The executor is inside a run of `first`; what is submitted now waits. */
void bench_hold(struct bench *bench, struct request *first);
/* Lets it go on, until so many are done. */
void bench_release(struct bench *bench, unsigned done);
void requests_check_answers(struct request *requests, uint32_t count);
/* bench_options with a delay. */
struct batch_options delayed(uint64_t delay_ns);
