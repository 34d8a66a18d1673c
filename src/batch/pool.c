/* Executors: threads that run what the loops do not run themselves.
 *
 * One lock, one condition. Queues with waiting jobs stand in a ring; an executor takes the first,
 * takes one batch out of it, and puts it back at the end while jobs are left: no queue starves
 * another. An executor never waits for a batch to fill. A job's bytes and results are touched
 * outside the lock. Invariant: a queue is in `ready` exactly while its `waiting` is not empty. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { THREAD_NAME_SIZE = 16 };

struct executor {
    struct batch_pool *pool;
    struct batch_worker worker;
    pthread_t thread;
};

struct batch_pool {
    const struct clock *clock;
    pthread_mutex_t lock;
    pthread_cond_t work;
    /* under the lock */
    struct list ready;
    uint32_t idle; /* executors that wait */
    uint32_t queue_count;
    bool stop;

    uint32_t executor_count;
    struct executor executors[];
};

/* ---- under the lock ---- */

static void queue_taken_from(struct batch_pool *pool, struct batch_queue *queue) {
    list_remove(&queue->ready);
    if (!list_empty(&queue->waiting))
        list_add_last(&pool->ready, &queue->ready);
}

/* Waits for work. False when the pool stops and nothing is left. */
static bool wait_for_work(struct executor *executor) {
    struct batch_pool *pool = executor->pool;
    while (list_empty(&pool->ready)) {
        if (pool->stop)
            return false;
        if (batch_worker_has_large_scratch(&executor->worker)) {
            pthread_mutex_unlock(&pool->lock); /* giving memory back takes time */
            batch_worker_rest(&executor->worker);
            pthread_mutex_lock(&pool->lock);
            continue;
        }
        pool->idle++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
    }
    return true;
}

/* ---- executors ---- */

static void *execute(void *argument) {
    struct executor *executor = argument;
    struct batch_pool *pool = executor->pool;
    pthread_mutex_lock(&pool->lock);
    while (wait_for_work(executor)) {
        struct list_node *first = list_first(&pool->ready);
        CHECK(first);
        struct batch_queue *queue = CONTAINER_OF(first, struct batch_queue, ready);
        struct batch batch;
        batch_take(&queue->waiting, clock_now(pool->clock), &batch);
        queue_taken_from(pool, queue);
        pthread_mutex_unlock(&pool->lock);
        batch_worker_run(&executor->worker, &batch);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void start_executor(struct batch_pool *pool, uint32_t i, uint32_t shard) {
    struct executor *executor = &pool->executors[i];
    executor->pool = pool;
    batch_worker_init(&executor->worker, pool->clock, shard, false);
    CHECK(pthread_create(&executor->thread, NULL, execute, executor) == 0);
    char name[THREAD_NAME_SIZE];
    snprintf(name, sizeof name, "inferd-exec-%u", i % 1000);
    pthread_setname_np(executor->thread, name);
}

struct batch_pool *batch_pool_new(uint32_t executor_count, uint32_t first_shard,
                                  const struct clock *clock) {
    CHECK(executor_count >= 1);
    struct batch_pool *pool =
        mem_new(sizeof *pool + (size_t)executor_count * sizeof pool->executors[0]);
    pool->clock = clock;
    pool->executor_count = executor_count;
    list_init(&pool->ready);
    CHECK(pthread_mutex_init(&pool->lock, NULL) == 0);
    CHECK(pthread_cond_init(&pool->work, NULL) == 0);
    /* Signals are the main loop's: executors are born with all of them blocked. */
    sigset_t all, before;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (uint32_t i = 0; i < executor_count; i++)
        start_executor(pool, i, first_shard + i);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return pool;
}

void batch_pool_free(struct batch_pool **pool_at) {
    struct batch_pool *pool = *pool_at;
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->executor_count; i++) {
        CHECK(pthread_join(pool->executors[i].thread, NULL) == 0);
        batch_worker_done(&pool->executors[i].worker);
    }
    CHECK(pool->queue_count == 0);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool_at);
}

uint64_t batch_pool_busy_ns(const struct batch_pool *pool, uint32_t executor) {
    CHECK(executor < pool->executor_count);
    const struct batch_worker *worker = &pool->executors[executor].worker;
    uint64_t busy_ns = atomic_load_explicit(&worker->busy_ns, memory_order_relaxed);
    uint64_t from_ns = atomic_load_explicit(&worker->run_from_ns, memory_order_relaxed);
    uint64_t now_ns = clock_now(pool->clock);
    return from_ns && now_ns > from_ns ? busy_ns + (now_ns - from_ns) : busy_ns;
}

const struct clock *batch_pool_clock(const struct batch_pool *pool) {
    return pool->clock;
}

/* ---- queues and jobs ---- */

void batch_pool_add_queue(struct batch_pool *pool, struct batch_queue *queue) {
    (void)queue;
    pthread_mutex_lock(&pool->lock);
    pool->queue_count++;
    pthread_mutex_unlock(&pool->lock);
}

void batch_pool_remove_queue(struct batch_pool *pool, struct batch_queue *queue) {
    pthread_mutex_lock(&pool->lock);
    CHECK(list_empty(&queue->waiting) && !list_linked(&queue->ready));
    pool->queue_count--;
    pthread_mutex_unlock(&pool->lock);
}

void batch_pool_put(struct batch_pool *pool, struct batch_job *job) {
    struct batch_queue *queue = job->queue;
    pthread_mutex_lock(&pool->lock);
    batch_job_set_state(job, BATCH_JOB_QUEUED);
    list_add_last(&queue->waiting, &job->node);
    if (!list_linked(&queue->ready))
        list_add_last(&pool->ready, &queue->ready);
    bool wake = pool->idle > 0;
    pthread_mutex_unlock(&pool->lock);
    if (wake)
        pthread_cond_signal(&pool->work);
}

bool batch_pool_withdraw(struct batch_pool *pool, struct batch_job *job) {
    pthread_mutex_lock(&pool->lock);
    bool waits = job->state == BATCH_JOB_QUEUED;
    if (waits) {
        struct batch_queue *queue = job->queue;
        list_remove(&job->node);
        batch_job_set_state(job, BATCH_JOB_IDLE);
        if (list_empty(&queue->waiting))
            list_remove(&queue->ready);
    }
    pthread_mutex_unlock(&pool->lock);
    return waits;
}
