/* Executors: threads that run what the loops do not run themselves.
 *
 * One lock, one condition. Queues with waiting jobs stand in a ring; an executor takes one batch
 * out of the first whose rules let one leave (without a delay that is the first), and puts it back
 * at the end while jobs are left: no queue starves another. With nothing to take it waits for a
 * signal or for the earliest end of a delay. A job's bytes and results are touched outside the
 * lock.
 * 1. A queue is in `ready` exactly while jobs wait in it.
 * 2. While executors are idle and a delay runs, one of them waits with a timer that ends no later.
 * `timer_ns` is NEVER or the end of a timer that runs. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { THREAD_NAME_SIZE = 16 };
static const uint64_t NEVER = UINT64_MAX;

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
    uint32_t idle;     /* executors that wait */
    uint64_t timer_ns; /* an executor waits until then; NEVER: none is known to */
    uint32_t queue_count;
    bool stop;

    uint32_t executor_count;
    struct executor executors[];
};

/* ---- under the lock ---- */

static void taken_from(struct batch_pool *pool, struct batch_queue *queue) {
    list_remove(&queue->ready);
    if (queue->waiting_count > 0)
        list_add_last(&pool->ready, &queue->ready);
}

/* The first queue whose rules let something leave; false: none before *ret_until_ns. */
static bool find_work(struct batch_pool *pool, struct batch *ret, uint64_t *ret_until_ns) {
    *ret_until_ns = NEVER;
    if (list_empty(&pool->ready))
        return false;
    uint64_t now_ns = clock_now(pool->clock);
    for (struct list_node *node = list_first(&pool->ready); node;
         node = list_next(&pool->ready, node)) {
        struct batch_queue *queue = CONTAINER_OF(node, struct batch_queue, ready);
        uint64_t until_ns;
        if (batch_take(queue, now_ns, pool->stop, ret, &until_ns)) {
            taken_from(pool, queue);
            return true;
        }
        *ret_until_ns = MIN(*ret_until_ns, until_ns);
    }
    return false;
}

static void wait_until(struct batch_pool *pool, uint64_t until_ns) {
    uint64_t now_ns = clock_now(pool->clock);
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until); /* what the condition knows; the pool's may be a fake */
    uint64_t sum = (uint64_t)until.tv_nsec + ns % NS_PER_S;
    until.tv_sec += (time_t)(ns / NS_PER_S + sum / NS_PER_S);
    until.tv_nsec = (long)(sum % NS_PER_S);
    pthread_cond_timedwait(&pool->work, &pool->lock, &until);
}

/* Waits until something comes, or until then. One executor's timer is enough: others wait without,
 * and whoever takes a batch wakes one of them when no timer is left. */
static void wait_for_work(struct batch_pool *pool, uint64_t until_ns) {
    pool->idle++;
    if (pool->timer_ns <= until_ns) {
        pthread_cond_wait(&pool->work, &pool->lock);
    } else {
        pool->timer_ns = until_ns;
        wait_until(pool, until_ns);
        pool->timer_ns = NEVER;
    }
    pool->idle--;
}

/* False when the pool stops and nothing is left. */
static bool next_batch(struct executor *executor, struct batch *ret) {
    struct batch_pool *pool = executor->pool;
    uint64_t until_ns;
    while (!find_work(pool, ret, &until_ns)) {
        if (pool->stop)
            return false;
        if (batch_worker_has_large_scratch(&executor->worker)) {
            pthread_mutex_unlock(&pool->lock); /* giving memory back takes time */
            batch_worker_rest(&executor->worker);
            pthread_mutex_lock(&pool->lock);
        } else {
            wait_for_work(pool, until_ns);
        }
    }
    if (pool->timer_ns == NEVER && pool->idle > 0 && !list_empty(&pool->ready))
        pthread_cond_signal(&pool->work);
    return true;
}

/* ---- executors ---- */

static void *execute(void *argument) {
    struct executor *executor = argument;
    struct batch_pool *pool = executor->pool;
    struct batch batch;
    pthread_mutex_lock(&pool->lock);
    while (next_batch(executor, &batch)) {
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

static void init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
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
    pool->timer_ns = NEVER;
    init_condition(&pool->work);
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
    CHECK(queue->waiting_count == 0 && !list_linked(&queue->ready));
    pool->queue_count--;
    pthread_mutex_unlock(&pool->lock);
}

void batch_pool_put(struct batch_pool *pool, struct batch_job *job) {
    struct batch_queue *queue = job->queue;
    pthread_mutex_lock(&pool->lock);
    batch_job_set_state(job, BATCH_JOB_QUEUED);
    list_add_last(&queue->waiting[job->level], &job->node);
    queue->waiting_count++;
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
        if (--queue->waiting_count == 0)
            list_remove(&queue->ready);
    }
    pthread_mutex_unlock(&pool->lock);
    return waits;
}
