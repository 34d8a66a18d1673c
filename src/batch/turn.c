/* What one loop runs itself: the jobs of quick models that one turn brought.
 *
 * Jobs of one queue and shape go together, higher levels first, then oldest first. The time of a
 * turn is bounded, so that a long list does not keep the loop from its other work: what is left
 * waits for the next turn. A job whose model has meanwhile proved slow goes to the executors
 * instead. Thread: the loop that owns the turn. */
#include "batch/queue.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/num.h"

enum { PASSED_MAX = 64 }; /* jobs of a higher level that one of a lower lets pass */
/* After this long a turn begins no further run. */
static const uint64_t TURN_NS_MAX = 5 * NS_PER_MS;

struct batch_turn {
    struct list jobs;
    struct batch_worker worker;
    bool running;
};

struct batch_turn *batch_turn_new(uint32_t shard, const struct clock *clock) {
    struct batch_turn *turn = mem_new(sizeof *turn);
    list_init(&turn->jobs);
    batch_worker_init(&turn->worker, clock, shard, true);
    return turn;
}

void batch_turn_free(struct batch_turn **turn) {
    if (!*turn)
        return;
    CHECK(list_empty(&(*turn)->jobs) && !(*turn)->running);
    batch_worker_done(&(*turn)->worker);
    mem_free(turn);
}

bool batch_turn_pending(const struct batch_turn *turn) {
    return !list_empty(&turn->jobs);
}

/* Where a job of its level goes: before jobs of its queue's lower levels, which let themselves be
 * passed a bounded number of times; NULL: last. */
static struct list_node *place_of(struct batch_turn *turn, const struct batch_job *job) {
    struct list_node *place = NULL, *node = list_last(&turn->jobs);
    if (job->level + 1 == job->queue->options.levels)
        return NULL;
    for (int seen = 0; node && seen < PASSED_MAX; seen++) {
        struct batch_job *other = CONTAINER_OF(node, struct batch_job, node);
        if (other->queue == job->queue) {
            if (other->level <= job->level || other->passed >= PASSED_MAX)
                break;
            other->passed++;
            place = node;
        }
        node = list_previous(&turn->jobs, node);
    }
    return place;
}

void batch_turn_put(struct batch_turn *turn, struct batch_job *job) {
    struct list_node *place = place_of(turn, job);
    job->turn = turn;
    batch_job_set_state(job, BATCH_JOB_TURN);
    if (place)
        list_add_before(place, &job->node);
    else
        list_add_last(&turn->jobs, &job->node);
}

/* The first job goes to the executors when its model is quick no more. */
static bool hand_over_first(struct batch_turn *turn) {
    struct batch_job *job = CONTAINER_OF(list_first(&turn->jobs), struct batch_job, node);
    if (batch_queue_runs_inline(job->queue))
        return false;
    list_remove(&job->node);
    job->turn = NULL;
    batch_pool_put(job->queue->pool, job);
    return true;
}

void batch_turn_run(struct batch_turn *turn) {
    CHECK(!turn->running);
    turn->running = true;
    const struct clock *clock = turn->worker.clock;
    uint64_t start_ns = clock_now(clock), now_ns = start_ns;
    while (!list_empty(&turn->jobs) && now_ns - start_ns < TURN_NS_MAX) {
        if (hand_over_first(turn))
            continue;
        struct batch batch;
        batch_take_turn(&turn->jobs, now_ns, &batch);
        batch_worker_run(&turn->worker, &batch);
        now_ns = clock_now(clock);
    }
    batch_worker_rest(&turn->worker);
    turn->running = false;
}
