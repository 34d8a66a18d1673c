/* Taking one run's jobs out of the lists in which they wait.
 *
 * A walk passes the lists in order and offers each job to a plan. For a queue with rules it goes
 * twice: once to see what could leave, and, when the policy lets it, once to take that. Who has
 * waited too long is put aside on the way: to be answered, or behind all others. Thread: whoever
 * holds the lists (queue.h, 2). */
#include "batch/queue.h"

#include "base/num.h"
#include "batch/plan.h"

enum { SCAN_JOBS_MAX = 256 }; /* looked at for one batch: bounds the time under the pool's lock */
/* A loop's run is not planned to take longer than this. */
static const uint64_t INLINE_BATCH_NS_MAX = 2 * NS_PER_MS;

#define RELAXED memory_order_relaxed

/* ---- the walk ---- */

struct walk {
    struct list *lists;
    uint32_t count;
    uint32_t first;      /* the list that begins; the others follow in order */
    struct list *behind; /* for jobs that have waited too long but stay; NULL: they stay in place */
    uint64_t now_ns;
    uint32_t jobs_max; /* to take; 0: only look */

    uint32_t step; /* 0: `first`; i + 1: list i */
    int seen;
    struct list *list;
    struct list_node *next;
};

static struct batch_job *walk_next(struct walk *walk) {
    if (walk->seen == SCAN_JOBS_MAX)
        return NULL;
    while (!walk->next) {
        if (walk->step > walk->count)
            return NULL;
        uint32_t index = walk->step == 0 ? walk->first : walk->step - 1;
        bool again = walk->step > 0 && index == walk->first;
        walk->step++;
        if (again)
            continue;
        walk->list = &walk->lists[index];
        walk->next = list_first(walk->list);
    }
    struct list_node *node = walk->next;
    walk->next = list_next(walk->list, node);
    walk->seen++;
    return CONTAINER_OF(node, struct batch_job, node);
}

static void take_job(struct batch_job *job, struct list *into) {
    list_remove(&job->node);
    if (!job->turn)
        job->queue->waiting_count--;
    batch_job_set_state(job, BATCH_JOB_RUNNING);
    atomic_fetch_add_explicit(&job->queue->running, 1, RELAXED);
    list_add_last(into, &job->node);
}

/* True when the job has waited too long, and is in its place no more. */
static bool put_aside(const struct walk *walk, struct batch_job *job, struct list *late) {
    if (batch_job_expires_ns(job) <= walk->now_ns) {
        take_job(job, late);
        return true;
    }
    uint32_t behind = job->queue->options.levels;
    if (!walk->behind || job->timeout_at_ns > walk->now_ns || job->level == behind)
        return false;
    list_remove(&job->node);
    job->level = behind;
    list_add_last(walk->behind, &job->node);
    return true;
}

/* ---- the plan ---- */

static void start_plan(struct batch_plan *plan, const struct batch_job *job, uint32_t jobs_max) {
    const struct batch_queue *queue = job->queue;
    int64_t rows_max = batch_queue_shares(queue) ? queue->options.rows_max : 1;
    uint64_t run_ns = batch_queue_run_ns(queue);
    if (jobs_max == 0)
        jobs_max = UINT32_MAX;
    if (job->turn && run_ns > 0)
        jobs_max = (uint32_t)MAX(MIN(INLINE_BATCH_NS_MAX / run_ns, jobs_max), 1);
    batch_plan_start(plan, job->inputs, queue->signature->input_count, job->rows);
    batch_plan_limit(plan, rows_max, jobs_max);
    batch_plan_prefer(plan, queue->options.rules.preferred, queue->options.rules.preferred_count);
}

/* Is the offered job in the plan? *ret_end: there is no use in offering more. */
static bool offer(struct batch_plan *plan, const struct batch_job *job, bool *ret_end) {
    enum batch_offer answer = batch_plan_offer(plan, job->inputs, job->rows);
    *ret_end = answer == BATCH_OFFER_FULL;
    return answer == BATCH_OFFER_TAKEN;
}

/* Fills `plan`, and, unless it only looks, ret's jobs. Returns the levels that gave some (a mask).
 */
static uint32_t walk_jobs(struct walk *walk, struct batch *ret, struct batch_plan *plan) {
    const struct batch_queue *queue = NULL;
    uint32_t levels = 0;
    bool end = false;
    *plan = (struct batch_plan){.requests = 0};
    for (struct batch_job *job; !end && (job = walk_next(walk));) {
        if ((queue && job->queue != queue) || put_aside(walk, job, &ret->late))
            continue;
        if (!queue) {
            queue = job->queue;
            start_plan(plan, job, walk->jobs_max);
        } else if (!offer(plan, job, &end)) {
            continue;
        }
        levels |= 1U << job->level;
        ret->queue = job->queue;
        if (walk->jobs_max > 0)
            take_job(job, &ret->jobs);
        end = batch_plan_full(plan);
    }
    return levels;
}

static bool is_full(const struct batch_plan *plan) {
    return plan->rows_max > 1 && !plan->alone && (plan->rows >= plan->rows_max || plan->crowded);
}

static void clear(struct batch *batch) {
    *batch = (struct batch){.queue = NULL};
    list_init(&batch->jobs);
    list_init(&batch->late);
}

void batch_take_turn(struct list *jobs, uint64_t now_ns, struct batch *ret) {
    struct walk walk = {.lists = jobs, .count = 1, .now_ns = now_ns, .jobs_max = UINT32_MAX};
    struct batch_plan plan;
    clear(ret);
    walk_jobs(&walk, ret, &plan);
    ret->job_count = plan.requests;
    ret->rows = plan.rows;
    ret->reason = is_full(&plan) ? BATCH_LEFT_FULL : BATCH_LEFT_TURN;
}

/* ---- a queue ---- */

static uint32_t levels_waiting(struct batch_queue *queue) {
    uint32_t mask = 0;
    for (uint32_t i = 0; i <= queue->options.levels; i++)
        if (!list_empty(&queue->waiting[i]))
            mask |= 1U << i;
    return mask;
}

/* Each list's first has waited longest in it. */
static uint64_t oldest_ns(struct batch_queue *queue) {
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i <= queue->options.levels; i++) {
        struct list_node *node = list_first(&queue->waiting[i]);
        if (node)
            oldest = MIN(oldest, CONTAINER_OF(node, struct batch_job, node)->submitted_ns);
    }
    return oldest;
}

static struct batch_decision decide(struct batch_queue *queue, struct walk walk,
                                    struct batch *ret) {
    struct batch_plan plan;
    walk_jobs(&walk, ret, &plan);
    const struct batch_view view = {
        .requests = plan.requests,
        .preferred_requests = plan.preferred_requests,
        .full = is_full(&plan),
        .alone = plan.alone || plan.rows_max == 1,
        .other_shape = plan.other,
        .oldest_ns = oldest_ns(queue),
    };
    return batch_policy_decide(&queue->options.rules, &view, walk.now_ns);
}

bool batch_take(struct batch_queue *queue, uint64_t now_ns, bool hurry, struct batch *ret,
                uint64_t *ret_until_ns) {
    uint32_t lists = queue->options.levels + 1;
    const struct batch_rules *rules = &queue->options.rules;
    struct walk walk = {
        .lists = queue->waiting,
        .count = lists,
        .first = batch_policy_level(queue->passed, lists, levels_waiting(queue)),
        .behind = queue->options.timeout_continue ? &queue->waiting[lists - 1] : NULL,
        .now_ns = now_ns,
    };
    struct batch_decision decision = {.requests = UINT32_MAX, .reason = BATCH_LEFT_IDLE};
    clear(ret);
    if (!hurry && (rules->delay_ns > 0 || rules->preferred_count > 0)) {
        decision = decide(queue, walk, ret);
        bool only_put_aside = !ret->queue; /* there may be more behind them */
        ret->queue = NULL;
        *ret_until_ns = decision.until_ns;
        if (decision.requests == 0)
            return only_put_aside || !list_empty(&ret->late);
    }
    struct batch_plan plan;
    walk.jobs_max = decision.requests;
    uint32_t taken = walk_jobs(&walk, ret, &plan);
    ret->job_count = plan.requests;
    ret->rows = plan.rows;
    ret->reason =
        decision.reason == BATCH_LEFT_IDLE && is_full(&plan) ? BATCH_LEFT_FULL : decision.reason;
    batch_policy_note(queue->passed, lists, taken, levels_waiting(queue));
    return true;
}
